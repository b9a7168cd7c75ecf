/* test_lib_sweep.c: who ends when: sweeps, limits, emergencies, shutdown and the counters, on a clock that the tests
 * move. */
#include "lib_fixture.h"

static void set_limits(struct world *w, uint32_t sessions, uint32_t active, uint32_t workspace)
{
    const struct curfew_limits limits = { sessions, active, workspace };
    assert_int_equal(curfew_limits_set(w->table, &limits, NULL), 0);
}

/* ── sweeps ── */

static void idle_and_age_are_strict(void **state)
{
    struct world *w = *state;
    const struct curfew_new want = { .id = "old", .idle_ns = CURFEW_NEVER_NS, .age_ns = 100 * S };
    curfew_session idle = create(w, "idle"), old = create_with(w, &want);
    advance(w, 100 * S);
    assert_int_equal(sweep(w), 0);
    advance(w, 1);
    assert_int_equal(sweep(w), 1);
    assert_false(is_here(w, old));
    w->now_ns = T0 + IDLE;
    assert_int_equal(sweep(w), 0);
    advance(w, 1);
    assert_int_equal(sweep(w), 1);
    assert_false(is_here(w, idle));
    struct curfew_counts now = counts(w);
    assert_true(now.ended[CURFEW_REASON_IDLE] == 1 && now.ended[CURFEW_REASON_AGE] == 1 && now.cleanup_runs == 4);
    assert_true(now.sessions_created == 2 && now.sessions_cleaned == 2 && now.sessions_active == 0);
}

static void touching_keeps_alive(void **state)
{
    struct world *w = *state;
    curfew_session one = create(w, "session1"), two = create(w, "session2");
    advance(w, IDLE);
    assert_int_equal(curfew_session_touch(w->table, one, CURFEW_TOUCH_MESSAGE), 0);
    advance(w, 1);
    assert_int_equal(sweep(w), 1);
    assert_true(is_here(w, one) && !is_here(w, two));
    assert_int_equal(curfew_session_touch(w->table, two, CURFEW_TOUCH_MESSAGE), CURFEW_E_GONE);
}

/* More than fit into several holds of the lock. */
static void many_go_in_one_sweep(void **state)
{
    struct world *w = *state;
    enum { MANY = 60000 };
    for (int i = 0; i < MANY; i++) {
        const struct curfew_new want = { .idle_ns = i % 3 == 0 ? 10 * S : 0 };
        create_with(w, &want);
    }
    size_t most = counts(w).memory_bytes;
    advance(w, 10 * S + 1);
    assert_int_equal(sweep(w), MANY / 3);
    assert_true(counts(w).sessions_active == MANY - MANY / 3);
    advance(w, IDLE);
    assert_int_equal(sweep(w), MANY - MANY / 3);
    assert_true(counts(w).sessions_active == 0 && counts(w).ended[CURFEW_REASON_IDLE] == MANY);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < MANY; i++) {
            const struct curfew_new want = { .idle_ns = i % 3 == 0 ? 10 * S : 0 };
            create_with(w, &want);
        }
        advance(w, IDLE + 1);
        assert_int_equal(sweep(w), MANY);
    }
    assert_true(counts(w).memory_bytes <= most + most / 4);
}

static void sessions_that_come_and_go_take_no_more_memory(void **state)
{
    struct world *w = *state;
    char id[64];
    uint64_t most = 0;
    for (int i = 0; i < 100000; i++) {
        snprintf(id, sizeof id, "an-id-that-does-not-fit-into-a-row-%d", i);
        assert_int_equal(curfew_session_end(w->table, create(w, id)), 0);
        uint64_t now = i % 100 == 0 ? counts(w).memory_bytes : 0;
        if (i < 50000)
            most = now > most ? now : most;
        else
            assert_true(now <= most + most / 50);   /* a few labels more or less wait for their readers */
    }
}

static void cleanup_of_inactive_ones_takes_all_but_the_busy(void **state)
{
    struct world *w = *state;
    const struct curfew_new own = { .id = "own", .idle_ns = CURFEW_NEVER_NS };
    curfew_session recent, never = create_with(w, &own), busy = create(w, "busy"), closed;
    size_t ended = 0;
    create(w, "stale");
    assert_int_equal(curfew_session_busy(w->table, busy, true), 0);
    advance(w, 60 * S);
    recent = create(w, "recent");
    closed = create(w, "closed");
    assert_int_equal(curfew_session_close(w->table, closed), 0);
    assert_int_equal(curfew_cleanup_inactive(w->table, -1, &ended), CURFEW_E_INVALID);
    assert_int_equal(curfew_cleanup_inactive(w->table, 60 * S, &ended), 0);
    assert_int_equal(ended, 1);                 /* the closed one; the others were used exactly 60 s ago */
    advance(w, 1);
    assert_int_equal(curfew_cleanup_inactive(w->table, 60 * S, &ended), 0);
    assert_int_equal(ended, 2);
    assert_true(is_here(w, recent) && is_here(w, busy) && !is_here(w, never) && !is_here(w, closed));
    advance(w, 100 * S);                        /* old, but just used */
    assert_int_equal(curfew_session_touch_id(w->table, "recent", CURFEW_TOUCH_INPUT), 0);
    assert_int_equal(curfew_cleanup_inactive(w->table, 50 * S, &ended), 0);
    assert_true(ended == 0 && is_here(w, recent));
    advance(w, 1);
    assert_int_equal(curfew_cleanup_inactive(w->table, 0, &ended), 0);
    assert_int_equal(ended, 1);
    struct curfew_counts now = counts(w);
    assert_true(now.ended[CURFEW_REASON_IDLE] == 3 && now.ended[CURFEW_REASON_CLOSED] == 1 && now.cleanup_runs == 4);
    assert_int_equal(curfew_cleanup_inactive(w->table, CURFEW_NEVER_NS, NULL), 0);
    assert_true(is_here(w, busy));
}

static void the_next_due_time_is_the_sweeps(void **state)
{
    struct world *w = *state;
    assert_true(curfew_next_due(w->table) == CURFEW_NEVER_NS);
    curfew_session one = create(w, "one");
    const struct curfew_new sooner = { .id = "sooner", .idle_ns = CURFEW_NEVER_NS, .age_ns = 7 * S };
    curfew_session two = create_with(w, &sooner);
    for (int i = 0; i < 40000; i++)
        create(w, NULL);
    assert_true(curfew_next_due(w->table) == T0 + 7 * S + 1);
    w->now_ns = T0 + 7 * S;
    assert_int_equal(sweep(w), 0);
    w->now_ns = curfew_next_due(w->table);
    assert_int_equal(sweep(w), 1);
    assert_false(is_here(w, two));
    assert_true(curfew_next_due(w->table) == T0 + IDLE + 1);
    assert_int_equal(curfew_session_close(w->table, one), 0);
    assert_true(curfew_next_due(w->table) == 0);
}

/* ── limits ── */

static void a_limit_of_active_ones(void **state)
{
    struct world *w = *state;
    struct curfew_error error;
    set_limits(w, UINT32_MAX, 2, UINT32_MAX);
    curfew_session one = create(w, "one");
    const struct curfew_new want = { .id = "two", .starting = true };
    create_with(w, &want);
    assert_int_equal(create_fails(w, "three", &error), CURFEW_E_TOO_MANY_ACTIVE);
    assert_int_equal(error.code, CURFEW_E_TOO_MANY_ACTIVE);
    assert_non_null(strstr(error.text, "2"));
    assert_int_equal(curfew_session_close(w->table, one), 0);
    create(w, "three");                         /* a closed one is not active */
    assert_true(is_here(w, one));
    assert_true(counts(w).sessions_refused == 1 && counts(w).emergency_runs == 1);
}

static void limits_of_nothing_one_and_all(void **state)
{
    struct world *w = *state;
    struct curfew_error error;
    set_limits(w, 0, UINT32_MAX, UINT32_MAX);
    assert_int_equal(create_fails(w, "one", &error), CURFEW_E_TOO_MANY_SESSIONS);
    set_limits(w, UINT32_MAX, 0, UINT32_MAX);
    assert_int_equal(create_fails(w, "one", &error), CURFEW_E_TOO_MANY_ACTIVE);
    set_limits(w, UINT32_MAX, UINT32_MAX, 0);
    assert_int_equal(create_fails(w, "one", &error), CURFEW_E_WORKSPACE_FULL);
    assert_string_equal(error.field, "workspace");
    set_limits(w, 1, 1, 1);
    curfew_session one = create(w, "one");
    assert_int_equal(create_fails(w, "two", &error), CURFEW_E_WORKSPACE_FULL);
    const struct curfew_new elsewhere = { .id = "two", .workspace = "elsewhere" };
    curfew_session two;
    assert_int_equal(curfew_session_create(w->table, &elsewhere, &two, &error), CURFEW_E_TOO_MANY_ACTIVE);
    set_limits(w, UINT32_MAX, UINT32_MAX, UINT32_MAX);
    two = create_with(w, &elsewhere);
    set_limits(w, 1, 1, 1);                     /* ends nobody */
    assert_true(is_here(w, one) && is_here(w, two));
    assert_true(counts(w).sessions_refused == 5);
    assert_int_equal(curfew_limits_set(w->table, NULL, &error), CURFEW_E_INVALID);
}

static void an_emergency_makes_room(void **state)
{
    struct world *w = *state;
    set_limits(w, 2, UINT32_MAX, UINT32_MAX);
    curfew_session one = create(w, "s1"), two = create(w, "s2");
    advance(w, 300 * S);
    assert_int_equal(create_fails(w, "s3", NULL), CURFEW_E_TOO_MANY_SESSIONS);  /* strictly longer than 300 s */
    assert_int_equal(curfew_session_touch(w->table, two, CURFEW_TOUCH_MESSAGE), 0);
    advance(w, 1);
    create(w, "s3");
    assert_true(!is_here(w, one) && is_here(w, two));
    struct curfew_counts now = counts(w);
    assert_true(now.ended[CURFEW_REASON_LIMIT] == 1 && now.emergency_runs == 2 && now.sessions_refused == 1);
    assert_true(now.cleanup_runs == 0);
}

static void an_emergency_takes_the_old_and_spares_the_busy(void **state)
{
    struct world *w = *state;
    set_limits(w, 2, UINT32_MAX, UINT32_MAX);
    curfew_session old = create(w, "old"), busy = create(w, "busy");
    assert_int_equal(curfew_session_busy(w->table, busy, true), 0);
    advance(w, 3600 * S + 1);
    assert_int_equal(curfew_session_touch(w->table, old, CURFEW_TOUCH_MESSAGE), 0);
    create(w, "new");
    assert_true(!is_here(w, old) && is_here(w, busy));
    static const struct curfew_policy never = { CURFEW_NEVER_NS, CURFEW_NEVER_NS };
    assert_int_equal(curfew_emergency_set(w->table, &never, NULL), 0);
    advance(w, 3600 * S);
    assert_int_equal(create_fails(w, "newer", NULL), CURFEW_E_TOO_MANY_SESSIONS);
    static const struct curfew_policy at_once = { 0, CURFEW_NEVER_NS };
    assert_int_equal(curfew_emergency_set(w->table, &at_once, NULL), 0);
    create(w, "newer");
}

/* ── shutdown ── */

static void shutdown_ends_everybody(void **state)
{
    struct world *w = *state;
    struct curfew_error error;
    const struct curfew_new starting = { .id = "starting", .starting = true };
    curfew_session busy = create(w, "busy"), closed = create(w, "closed");
    size_t ended = 0;
    create_with(w, &starting);
    for (int i = 0; i < 1000; i++)
        create(w, NULL);
    assert_int_equal(curfew_session_busy(w->table, busy, true), 0);
    assert_int_equal(curfew_session_close(w->table, closed), 0);
    assert_int_equal(curfew_shutdown(w->table, &ended), 0);
    assert_int_equal(ended, 1003);
    assert_int_equal(create_fails(w, "late", &error), CURFEW_E_SHUTTING_DOWN);
    assert_int_equal(curfew_sweeper_start(w->table, &error), CURFEW_E_SHUTTING_DOWN);
    assert_int_equal(curfew_shutdown(w->table, &ended), 0);
    assert_int_equal(ended, 0);
    assert_true(counts(w).ended[CURFEW_REASON_SHUTDOWN] == 1002 && counts(w).sessions_active == 0);
    assert_int_equal(sweep(w), 0);
}

static void shutdown_without_cleanup_leaves_them(void **state)
{
    struct world *w = *state;
    size_t ended = 999;
    struct curfew_options options = world_options(w);
    options.cleanup_on_shutdown = false;
    options.callbacks = (struct curfew_callbacks){ world_before, world_after, NULL, w };
    curfew_table_free(&w->table);
    world_make(w, &options);
    curfew_session one = create(w, "one");
    assert_int_equal(curfew_shutdown(w->table, &ended), 0);
    assert_true(ended == 0 && is_here(w, one));
    curfew_table_free(&w->table);
    assert_true(w->note_count == 0 && w->table == NULL);
    world_make(w, &options);
}

/* ── the log (S3.10) ── */

static void the_log_says_what_went(void **state)
{
    struct world *w = *state;
    set_limits(w, 3, UINT32_MAX, UINT32_MAX);
    create(w, "a\nb\033");
    curfew_session closed = create(w, "closed");
    create(w, "kept");
    assert_int_equal(curfew_session_close(w->table, closed), 0);
    assert_int_equal(sweep(w), 1);
    assert_string_equal(w->log, "2 sweep: ended 1 session (1 closed): closed\n3 sweep: 2 sessions left\n");
    w->log_bytes = 0;
    create(w, "third");
    advance(w, 301 * S);
    assert_int_equal(curfew_session_touch_id(w->table, "kept", CURFEW_TOUCH_INPUT), 0);
    create(w, "fourth");
    assert_string_equal(w->log, "1 emergency cleanup: there are as many sessions as there may be\n"
                                "2 emergency cleanup: ended 2 sessions (2 limit): a\\x0ab\\x1b, third\n"
                                "3 emergency cleanup: 1 session left\n");
    w->log_bytes = 0;
    assert_int_equal(sweep(w), 0);
    assert_string_equal(w->log, "3 sweep: 2 sessions left\n");
}

static void a_long_line_is_bounded(void **state)
{
    char id[96];
    struct world *w = *state;
    for (int i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "session-%060d", i);
        create(w, id);
    }
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 1000);
    assert_non_null(strstr(w->log, "2 sweep: ended 1000 sessions (1000 idle): session-"));
    assert_non_null(strstr(w->log, ", and more\n"));
    assert_true(w->log_bytes < 600);
}

#define TEST(title, function) { title, function, begin, finish, NULL }
#define TEST_LOGGED(title, function) { title, function, begin_logged, finish, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("S3.2, S3.3: idle and age are strict", idle_and_age_are_strict),
        TEST("S2.5, S3.1: touching keeps a session alive", touching_keeps_alive),
        TEST("S3.9: tens of thousands go in one sweep, and their memory is used again", many_go_in_one_sweep),
        TEST("S3.9: sessions that come and go take no more memory", sessions_that_come_and_go_take_no_more_memory),
        TEST("S2.2: cleanup_inactive ends who was used strictly longer ago, but the busy, and says how many",
             cleanup_of_inactive_ones_takes_all_but_the_busy),
        TEST("the next due time is when a sweep ends somebody", the_next_due_time_is_the_sweeps),
        TEST("S2.6: max_active counts who starts or is active", a_limit_of_active_ones),
        TEST("limits of 0, 1 and none; lowering one ends nobody", limits_of_nothing_one_and_all),
        TEST("S3.5: at the limit an emergency makes room, else TooManySessions", an_emergency_makes_room),
        TEST("S3.5: an emergency takes the old and spares the busy; its rules can change",
             an_emergency_takes_the_old_and_spares_the_busy),
        TEST("S3.6: shutdown ends everybody and refuses new ones", shutdown_ends_everybody),
        TEST("S3.4: without cleanup_on_shutdown they are left, and dropped with the table",
             shutdown_without_cleanup_leaves_them),
        TEST_LOGGED("S3.10: the log says what went, what is left, and warns of an emergency", the_log_says_what_went),
        TEST_LOGGED("S3.10: the line about a thousand sessions is bounded", a_long_line_is_bounded),
    };
    return cmocka_run_group_tests_name("lib_sweep", tests, NULL, NULL);
}
