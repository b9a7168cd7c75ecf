/* What is remembered of sessions that have ended. */
#include "base/clock.h"
#include "server/tombs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void bury(struct cf_tombs *t, int n, int64_t at_s)
{
    struct cf_tomb tomb = { .reason = CF_REASON_IDLE, .ended_mono_ns = at_s * CF_NS_PER_S };
    snprintf(tomb.id, sizeof tomb.id, "bash_w_%d", n);
    tomb.last_output = strdup("bye");
    tomb.last_output_len = 3;
    assert_non_null(cf_tombs_add(t, &tomb));
}

static const struct cf_tomb *find(struct cf_tombs *t, int n, int64_t now_s)
{
    char id[32];
    snprintf(id, sizeof id, "bash_w_%d", n);
    return cf_tombs_find(t, id, now_s * CF_NS_PER_S);
}

static void found_by_id(void **state)
{
    struct cf_tombs *t = cf_tombs_new(10, 100 * CF_NS_PER_S, NULL);
    bury(t, 1, 1);
    assert_non_null(find(t, 1, 2));
    assert_null(find(t, 2, 2));
    assert_int_equal(find(t, 1, 2)->reason, CF_REASON_IDLE);
    cf_tombs_free(&t);
    assert_null(t);
    cf_tombs_free(&t);
}

static void the_oldest_go_first(void **state)
{
    struct cf_tombs *t = cf_tombs_new(3, 100 * CF_NS_PER_S, NULL);
    for (int i = 0; i < 5; i++)
        bury(t, i, i);
    assert_int_equal(cf_tombs_count(t), 3);
    assert_null(find(t, 0, 5));
    assert_null(find(t, 1, 5));
    for (int i = 2; i < 5; i++)
        assert_non_null(find(t, i, 5));
    cf_tombs_free(&t);
}

static void retention_is_strict(void **state)
{
    struct cf_tombs *t = cf_tombs_new(3, 100 * CF_NS_PER_S, NULL);
    bury(t, 1, 10);
    assert_non_null(find(t, 1, 110));
    assert_null(cf_tombs_find(t, "bash_w_1", 110 * CF_NS_PER_S + 1));
    assert_int_equal(cf_tombs_count(t), 0);
    cf_tombs_free(&t);
}

static void thousands_are_found(void **state)
{
    struct cf_tombs *t = cf_tombs_new(5000, 100000 * CF_NS_PER_S, NULL);
    for (int i = 0; i < 20000; i++)
        bury(t, i, i / 100);
    assert_int_equal(cf_tombs_count(t), 5000);
    for (int i = 0; i < 20000; i++)
        assert_int_equal(find(t, i, 201) != NULL, i >= 15000);
    cf_tombs_free(&t);
}

static void shown_with_every_field(void **state)
{
    static const char *const fields[] = { "session_id", "kind", "workspace_name", "state", "created_at", "ended_at", "reason",
        "evidence", "inactive_time", "message_count", "containment", "rung", "killed", "took_ms", "ladder", "exit_code", "signal", "last_output" };
    struct cf_tomb tomb = { .id = "bash_w_1", .reason = CF_REASON_CLOSED, .has_status = true, .wait_status = 3 << 8, .rung = CF_RUNG_EMPTY,
                            .hold = CF_HOLD_CGROUP | CF_HOLD_PIDNS };
    struct cf_buf out;
    struct cf_jsonw w;
    cf_buf_init(&out, 4096);
    cf_jsonw_init(&w, &out);
    cf_tomb_json(&tomb, &w, NULL);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        char quoted[64];
        snprintf(quoted, sizeof quoted, "\"%s\":", fields[i]);
        assert_non_null(strstr(out.data, quoted));
    }
    assert_non_null(strstr(out.data, "\"exit_code\":3,\"signal\":null"));
    assert_non_null(strstr(out.data, "\"containment\":\"cgroup+pidns\""));
    cf_buf_reset(&out);
    tomb.wait_status = 9;
    cf_jsonw_init(&w, &out);
    cf_tomb_json(&tomb, &w, NULL);
    assert_non_null(strstr(out.data, "\"exit_code\":null,\"signal\":9"));
    cf_buf_free(&out);
}

static void tells_the_steps_in_their_order(void **state)
{
    char text[CF_LADDER_TEXT_MAX];
    struct cf_tomb tomb = { .id = "agent_w_1", .rung = CF_RUNG_KILLED, .closed_ms = 0, .interrupted_ms = 50, .killed_ms = 5050 };
    struct cf_buf out;
    struct cf_jsonw w;
    assert_string_equal(cf_tomb_ladder(&tomb, text), "closed after 0 ms, interrupted after 50 ms, killed after 5050 ms");
    cf_buf_init(&out, 4096);
    cf_jsonw_init(&w, &out);
    cf_tomb_json(&tomb, &w, NULL);
    assert_non_null(strstr(out.data, "\"ladder\":[{\"step\":\"closed\",\"after_ms\":0},{\"step\":\"interrupted\",\"after_ms\":50},"
                                     "{\"step\":\"killed\",\"after_ms\":5050}]"));
    cf_buf_free(&out);
    tomb.closed_ms = tomb.interrupted_ms = -1;
    tomb.killed_ms = 0;
    assert_string_equal(cf_tomb_ladder(&tomb, text), "killed after 0 ms");
    tomb.killed_ms = -1;
    assert_string_equal(cf_tomb_ladder(&tomb, text), "no step");
    tomb.killed_ms = INT64_MAX;
    tomb.closed_ms = tomb.interrupted_ms = INT64_MAX;
    assert_true(strlen(cf_tomb_ladder(&tomb, text)) < CF_LADDER_TEXT_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "a tombstone is found by its session's id", .test_func = found_by_id },
        { .name = "at the bound the oldest tombstone goes", .test_func = the_oldest_go_first },
        { .name = "a tombstone stays until its retention has run out", .test_func = retention_is_strict },
        { .name = "thousands of tombstones are each found", .test_func = thousands_are_found },
        { .name = "a tombstone tells reason, evidence, ladder and exit status", .test_func = shown_with_every_field },
        { .name = "S1.2: a tombstone tells the steps of the end in their order, and how long after the decision each was",
          .test_func = tells_the_steps_in_their_order },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
