/* test_seeds.c: the tests that the coordinator's and the manager's documents print, in C, by nothing but curfew.h.
 *
 * Where they sleep, time is moved by the test; what they call a task or a background task runs for real. */
#include <curfew.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define MS_NS INT64_C(1000000)
#define BOUND_S 30                      /* how long the tests with a real clock wait for what must come */

static int64_t test_now_ns;

static int64_t test_clock(void *context)
{
    return test_now_ns;
}

static void sleep_ms(int64_t ms)
{
    test_now_ns += ms * MS_NS;
}

/* A session's standard settings as the manager's document has them, but for the limits that a test gives. */
static struct curfew_table *make_table(const struct curfew_kind *kind, uint32_t max_sessions, bool test_time)
{
    struct curfew_options options;
    struct curfew_error error;
    struct curfew_table *table = NULL;

    curfew_options_init(&options, sizeof options);
    options.limits.max_sessions = max_sessions;
    options.limits.max_active = UINT32_MAX;
    if (kind != NULL) {
        options.kinds = kind;
        options.kind_count = 1;
    }
    test_now_ns = 1000 * CURFEW_S_NS;
    if (test_time)
        options.clock = test_clock;
    if (curfew_table_new(&options, &table, &error) != 0)
        fail_msg("%s", error.text);
    return table;
}

static curfew_session create(struct curfew_table *table, const char *id)
{
    const struct curfew_new want = { .id = id };
    struct curfew_error error;
    curfew_session session = 0;
    if (curfew_session_create(table, &want, &session, &error) != 0)
        fail_msg("%s: %s", id, error.text);
    assert_true(session != 0);
    return session;
}

static bool contains(struct curfew_table *table, const char *id)
{
    curfew_session session;
    return curfew_session_find(table, id, &session) == 0;
}

static struct curfew_info get(struct curfew_table *table, curfew_session session)
{
    struct curfew_info info;
    assert_int_equal(curfew_session_get(table, session, &info, sizeof info), 0);
    return info;
}

static struct curfew_counts metrics(struct curfew_table *table)
{
    struct curfew_counts counts;
    curfew_counts_get(table, &counts, sizeof counts);
    return counts;
}

/* ── the coordinator ── */

static void test_cleanup_inactive_sessions(void **state)
{
    struct curfew_table *table = make_table(NULL, 1000, true);
    size_t removed = 77;
    create(table, "old");
    sleep_ms(3600 * 1000);
    create(table, "young");

    assert_int_equal(curfew_cleanup_inactive(table, 3600 * CURFEW_S_NS, &removed), 0);
    assert_int_equal(removed, 0);               /* strictly older */
    assert_true(contains(table, "old"));

    test_now_ns += 1;
    assert_int_equal(curfew_cleanup_inactive(table, 3600 * CURFEW_S_NS, &removed), 0);
    assert_int_equal(removed, 1);
    assert_false(contains(table, "old"));
    assert_true(contains(table, "young"));
    curfew_table_free(&table);
}

static void test_touch_session_updates_timestamp(void **state)
{
    struct curfew_table *table = make_table(NULL, 1000, true);
    curfew_session session = create(table, "one");
    int64_t before_ns = get(table, session).last_used_ns;
    int64_t created_ns = get(table, session).created_ns;
    assert_true(before_ns == created_ns);

    sleep_ms(10);
    assert_int_equal(curfew_session_touch_id(table, "one", CURFEW_TOUCH_MESSAGE), 0);
    assert_true(get(table, session).last_used_ns == before_ns + 10 * MS_NS);
    assert_true(get(table, session).created_ns == created_ns);
    assert_int_equal(get(table, session).message_count, 1);
    curfew_table_free(&table);
}

static void switching_and_all_causes_touch(void **state)
{
    static const enum curfew_touch causes[] = { CURFEW_TOUCH_MESSAGE, CURFEW_TOUCH_TOOL, CURFEW_TOUCH_STATE };
    struct curfew_table *table = make_table(NULL, 1000, true);
    struct curfew_coordinator *coordinator = NULL;
    curfew_session current = 0, session = create(table, "one");
    assert_int_equal(curfew_coordinator_new(table, &coordinator), 0);

    sleep_ms(10);
    assert_int_equal(curfew_switch(coordinator, session), 0);
    assert_true(get(table, session).last_used_ns == test_now_ns);
    assert_int_equal(curfew_current(coordinator, &current), 0);
    assert_true(current == session);
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        sleep_ms(10);
        assert_int_equal(curfew_session_touch(table, session, causes[i]), 0);
        assert_true(get(table, session).last_used_ns == test_now_ns);
    }
    assert_int_equal(get(table, session).message_count, 1);
    curfew_coordinator_free(&coordinator);
    curfew_table_free(&table);
}

/* ── the manager ── */

static const struct curfew_kind impatient = { "session", { 200 * MS_NS, 86400 * CURFEW_S_NS } };

static void test_session_cleanup(void **state)
{
    struct curfew_table *table = make_table(&impatient, 1000, true);
    size_t ended = 77;
    curfew_session session1 = create(table, "session1");
    create(table, "session2");

    /* The document touches session1 at once and sleeps for 300 ms, after which both would be stale; what it wants to
     * show takes a touch within the last 200 ms. */
    sleep_ms(150);
    assert_int_equal(curfew_session_touch(table, session1, CURFEW_TOUCH_MESSAGE), 0);
    sleep_ms(150);

    assert_int_equal(curfew_sweep(table, &ended), 0);
    assert_int_equal(ended, 1);
    assert_true(contains(table, "session1"));
    assert_false(contains(table, "session2"));
    assert_int_equal(metrics(table).ended[CURFEW_REASON_IDLE], 1);
    curfew_table_free(&table);
}

static void test_max_sessions_limit(void **state)
{
    struct curfew_table *table = make_table(NULL, 2, true);
    const struct curfew_new third = { .id = "s3" };
    struct curfew_error error;
    curfew_session session = 77;
    create(table, "s1");
    create(table, "s2");

    /* Nobody has been idle for 300 s: the limit answers, and says how many there may be. */
    assert_int_equal(curfew_session_create(table, &third, &session, &error), CURFEW_E_TOO_MANY_SESSIONS);
    assert_true(session == 77);
    assert_non_null(strstr(error.text, "2"));
    assert_int_equal(metrics(table).emergency_runs, 1);
    assert_int_equal(metrics(table).sessions_refused, 1);

    /* 300 s and a bit later the emergency cleanup makes room. */
    sleep_ms(300 * 1000);
    assert_int_equal(curfew_session_touch_id(table, "s2", CURFEW_TOUCH_MESSAGE), 0);
    test_now_ns += 1;
    create(table, "s3");
    assert_false(contains(table, "s1"));
    assert_true(contains(table, "s2"));
    assert_int_equal(metrics(table).ended[CURFEW_REASON_LIMIT], 1);
    curfew_table_free(&table);
}

static void test_cleanup_task_runs(void **state)
{
    const struct curfew_kind kind = { "session", { 100 * MS_NS, 86400 * CURFEW_S_NS } };
    struct curfew_table *table = make_table(&kind, 1000, false);
    struct timespec start, now;
    create(table, "test");
    assert_int_equal(curfew_sweeper_interval_set(table, 50 * MS_NS, NULL), 0);
    assert_int_equal(curfew_sweeper_start(table, NULL), 0);

    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        nanosleep(&(struct timespec){ .tv_nsec = 5 * MS_NS }, NULL);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (contains(table, "test") && now.tv_sec - start.tv_sec < BOUND_S);

    assert_false(contains(table, "test"));
    assert_true(metrics(table).cleanup_runs > 0);
    assert_int_equal(metrics(table).cleanup_errors, 0);
    curfew_table_free(&table);
}

static void standard_settings_are_the_documents(void **state)
{
    struct curfew_options options;
    curfew_options_init(&options, sizeof options);
    assert_true(options.sweep_interval_ns == 60 * CURFEW_S_NS);
    assert_int_equal(options.limits.max_sessions, 1000);
    assert_true(options.cleanup_on_shutdown);
    assert_true(options.emergency.idle_ns == 300 * CURFEW_S_NS && options.emergency.age_ns == 3600 * CURFEW_S_NS);

    struct curfew_table *table = make_table(NULL, 1000, true);
    struct curfew_policy policy = { 0, 0 };
    assert_int_equal(curfew_policy_get(table, 0, &policy), 0);
    assert_true(policy.idle_ns == 3600 * CURFEW_S_NS && policy.age_ns == 86400 * CURFEW_S_NS);
    curfew_table_free(&table);
}

/* The coordinator's loop: a sweep every five minutes, an hour of idleness. */
static void an_hour_and_five_minutes(void **state)
{
    struct curfew_table *table = make_table(NULL, 1000, true);
    size_t removed = 0;
    assert_int_equal(curfew_sweeper_interval_set(table, 300 * CURFEW_S_NS, NULL), 0);
    create(table, "quiet");
    curfew_session used = create(table, "used");
    for (int sweep = 1; sweep <= 12; sweep++) {
        sleep_ms(300 * 1000);
        assert_int_equal(curfew_session_touch(table, used, CURFEW_TOUCH_MESSAGE), 0);
        assert_int_equal(curfew_sweep(table, &removed), 0);
        assert_int_equal(removed, 0);           /* after exactly an hour as well */
    }
    sleep_ms(300 * 1000);
    assert_int_equal(curfew_sweep(table, &removed), 0);
    assert_int_equal(removed, 1);
    assert_false(contains(table, "quiet"));
    assert_true(contains(table, "used"));
    curfew_table_free(&table);
}

static void the_old_the_closed_and_the_failed_go(void **state)
{
    struct curfew_table *table = make_table(NULL, 1000, true);
    curfew_session old = create(table, "old");
    size_t ended = 0;
    for (int hour = 0; hour < 24; hour++) {
        sleep_ms(3600 * 1000);
        assert_int_equal(curfew_session_touch(table, old, CURFEW_TOUCH_MESSAGE), 0);
    }
    curfew_session failed = create(table, "failed");
    assert_int_equal(curfew_session_close(table, create(table, "closed")), 0);
    assert_int_equal(curfew_session_fail(table, failed, "connection reset"), 0);
    assert_int_equal(get(table, failed).state, CURFEW_FAILED);
    assert_string_equal(get(table, failed).failure, "connection reset");
    create(table, "new");
    test_now_ns += 1;

    assert_int_equal(curfew_sweep(table, &ended), 0);
    assert_int_equal(ended, 3);
    assert_true(contains(table, "new"));
    assert_int_equal(metrics(table).ended[CURFEW_REASON_AGE], 1);
    assert_int_equal(metrics(table).ended[CURFEW_REASON_CLOSED], 1);
    assert_int_equal(metrics(table).ended[CURFEW_REASON_FAILED], 1);
    curfew_table_free(&table);
}

static void shutdown_ends_all(void **state)
{
    struct curfew_table *table = make_table(NULL, 1000, true);
    const struct curfew_new late = { .id = "late" };
    curfew_session session;
    size_t ended = 0;
    create(table, "one");
    create(table, "two");

    assert_int_equal(curfew_shutdown(table, &ended), 0);
    assert_int_equal(ended, 2);
    struct curfew_counts counts = metrics(table);
    assert_int_equal(counts.sessions_active, 0);
    assert_int_equal(counts.sessions_created, 2);
    assert_int_equal(counts.sessions_cleaned, 2);
    assert_int_equal(counts.ended[CURFEW_REASON_SHUTDOWN], 2);
    assert_int_equal(curfew_session_create(table, &late, &session, NULL), CURFEW_E_SHUTTING_DOWN);
    curfew_table_free(&table);
}

static void version_is_the_headers(void **state)
{
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", CURFEW_VERSION_MAJOR, CURFEW_VERSION_MINOR, CURFEW_VERSION_PATCH);
    assert_string_equal(curfew_version(), text);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        { "S2.2: test_cleanup_inactive_sessions: those that are strictly older than max_age go, and are counted",
          test_cleanup_inactive_sessions, NULL, NULL, NULL },
        { "S2.1: test_touch_session_updates_timestamp: a touch moves last_used, and nothing else",
          test_touch_session_updates_timestamp, NULL, NULL, NULL },
        { "S2.5: a switch, a message, a tool that ran and a changed state each touch", switching_and_all_causes_touch,
          NULL, NULL, NULL },
        { "S3.2: test_session_cleanup: the touched session stays, the other one goes", test_session_cleanup,
          NULL, NULL, NULL },
        { "S3.5: test_max_sessions_limit: one too many is refused, or an emergency cleanup makes room",
          test_max_sessions_limit, NULL, NULL, NULL },
        { "S2.7, S3.7: test_cleanup_task_runs: the sweeper ends an idle session by itself and counts its runs",
          test_cleanup_task_runs, NULL, NULL, NULL },
        { "S2.4: who is idle for an hour goes at the sweep that comes every five minutes", an_hour_and_five_minutes,
          NULL, NULL, NULL },
        { "S3.4: the standard settings are those of the document", standard_settings_are_the_documents,
          NULL, NULL, NULL },
        { "S3.3: the old, the closed and the failed go at the next sweep", the_old_the_closed_and_the_failed_go,
          NULL, NULL, NULL },
        { "S3.6: a shutdown ends every session and lets no other in", shutdown_ends_all, NULL, NULL, NULL },
        { "the library's version is its header's", version_is_the_headers, NULL, NULL, NULL },
    };
    return cmocka_run_group_tests_name("seeds", tests, NULL, NULL);
}
