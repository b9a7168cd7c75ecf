/* test_keeper_revive.c: servers that die, and those that come after them. */
#include "keeper_stage.h"

/* --- last words --- */

static void what_a_dead_server_said_counts(void **state)
{
    CF_FD_AUTO in = -1;
    struct cf_wire_hold hold_it = { .type = CF_WIRE_HOLD, .count = 1, .key = 3, .tags = { 4 } };
    struct cf_wire_end end = { .type = CF_WIRE_END, .key = 1 };
    int ends[2];

    (void)hello();
    serve();
    spawn_all(1, 3);
    cf_ladder_event(&s.k, cf_table_by_key(&s.k.table, 2), CF_EVENT_LEFT, 0);
    cf_link_flush(&s.k);                                        /* unread, so that its end is a reset */
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(cf_packet_send(s.peer_fd, &end, sizeof end, NULL, 0), 0);
    assert_int_equal(cf_packet_send(s.peer_fd, &hold_it, sizeof hold_it, ends, 1), 0);
    close(ends[0]);
    in = ends[1];
    cf_fd_close(&s.peer_fd);
    cf_ladder_event(&s.k, cf_table_by_key(&s.k.table, 3), CF_EVENT_LEFT, 0);
    cf_link_flush(&s.k);                                        /* to nobody, which is how it is noticed */
    assert_true(s.k.link.lost);
    succeed();
    assert_true(held_open(in));
    assert_int_equal(hello().kept, 1);
    assert_int_equal(expect(CF_WIRE_HELD, 1).held.session_state, CF_WIRE_S_ENDING);
    expect(CF_WIRE_HELD, 2);
    expect(CF_WIRE_HELD, 3);
    expect(CF_WIRE_KEPT, 3);
    expect(CF_WIRE_ENDED, 1);
    expect(CF_WIRE_LEFT, 2);
    expect(CF_WIRE_LEFT, 3);
    expect_silence();
}

static void a_goodbye_behind_a_reset_is_heard(void **state)
{
    struct cf_wire_bye bye = { .type = CF_WIRE_BYE };

    (void)hello();
    serve();
    spawn_all(1, 1);
    cf_ladder_event(&s.k, cf_table_by_key(&s.k.table, 1), CF_EVENT_LEFT, 0);
    cf_link_flush(&s.k);
    assert_int_equal(cf_packet_send(s.peer_fd, &bye, sizeof bye, NULL, 0), 0);
    cf_fd_close(&s.peer_fd);
    cf_link_read(&s.k);
    assert_true(s.k.link.lost && !s.k.link.said_bye);
    cf_link_drain(&s.k);
    cf_link_drop(&s.k);
    assert_true(s.k.link.said_bye);
    assert_int_equal(s.k.phase, CF_PHASE_ENDING);
    assert_int_equal(s.k.table.live, 0);                        /* no server is to come that could forget */
    assert_false(cf_revive_after(&s.k, "is gone", false));
}

static void what_an_unruly_server_says_after_that_does_not_count(void **state)
{
    struct cf_wire_end end = { .type = CF_WIRE_END, .key = 1 };

    (void)hello();
    serve();
    spawn_all(1, 1);
    assert_int_equal(cf_packet_send(s.peer_fd, "rubbish", 7, NULL, 0), 0);
    assert_int_equal(cf_packet_send(s.peer_fd, &end, sizeof end, NULL, 0), 0);
    cf_link_read(&s.k);
    assert_true(s.k.link.unruly);
    succeed();
    (void)hello();
    assert_int_equal(expect(CF_WIRE_HELD, 1).held.session_state, CF_WIRE_S_LIVE);
}

static void a_start_that_failed_unheard_is_told_once(void **state)
{
    (void)hello();
    serve();
    s.spawn_waits = true;
    (void)spawn(1);
    s.spawn_waits = false;
    cf_fd_close(&s.peer_fd);
    cf_ladder_event(&s.k, cf_table_by_key(&s.k.table, 1), CF_EVENT_FAILED, ENOEXEC);
    succeed();
    assert_int_equal(hello().held, 1);
    assert_int_equal(expect(CF_WIRE_HELD, 1).held.session_state, CF_WIRE_S_NONE);
    assert_int_equal(expect(CF_WIRE_SPAWNED, 1).spawned.status, ENOEXEC);
    assert_int_equal(s.k.table.live, 0);
    succeed();
    assert_int_equal(hello().held, 0);
    expect_silence();
}

static void signals_of_an_earlier_server_are_not_told(void **state)
{
    (void)hello();
    serve();
    spawn_all(1, 1);
    for (int i = 0; i < 3; i++)
        TELL(cf_wire_signal, .type = CF_WIRE_SIGNAL, .signo = SIGINT, .key = 1, .scope = CF_SCOPE_GROUP);
    cf_link_signaled(&s.k, cf_table_by_key(&s.k.table, 1));
    assert_int_equal(expect(CF_WIRE_SIGNALED, 1).signaled.answers, 1);
    cf_link_signaled(&s.k, cf_table_by_key(&s.k.table, 1));     /* told to nobody */
    succeed();
    (void)hello();
    expect(CF_WIRE_HELD, 1);
    TELL(cf_wire_signal, .type = CF_WIRE_SIGNAL, .signo = SIGINT, .key = 1, .scope = CF_SCOPE_GROUP);
    cf_link_signaled(&s.k, cf_table_by_key(&s.k.table, 1));     /* the third of the one before */
    expect_silence();
    cf_link_signaled(&s.k, cf_table_by_key(&s.k.table, 1));
    assert_int_equal(expect(CF_WIRE_SIGNALED, 1).signaled.answers, 1);
}

/* --- starting it again --- */

static int64_t pause_of(void)
{
    return (s.k.revival.due_ns - s.k.now_ns) / CF_NS_PER_MS;
}

/* It dies after so long, having served or not. */
static bool die(int64_t after_ms, bool served)
{
    if (served) {
        (void)hello();
        serve();
    }
    s.k.now_ns += after_ms * CF_NS_PER_MS;
    cf_fd_close(&s.peer_fd);
    cf_link_drop(&s.k);
    return cf_revive_after(&s.k, "is gone", false);
}

static void come_back(void)
{
    s.k.now_ns = s.k.revival.due_ns;
    assert_int_equal(cf_revive_turn(&s.k), 0);
}

static void starts_in_a_row_are_further_and_further_apart(void **state)
{
    static const int64_t pauses[RESTARTS] = { 0, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000, 10000 };

    for (int i = 0; i < RESTARTS; i++) {
        assert_true(die(i % 2 == 0 ? 9999 : 60000, i % 2 == 0));    /* a short life, or one that never came up */
        assert_int_equal(pause_of(), pauses[i]);
        s.k.now_ns = s.k.revival.due_ns - 1;
        assert_int_equal(cf_revive_turn(&s.k), 0);
        assert_int_equal(s.starts, i);
        come_back();
        assert_int_equal(s.starts, i + 1);
    }
    assert_false(die(9999, true));
    assert_true(s.k.revival.gave_up);
    assert_int_equal(s.k.revival.due_ns, CF_NEVER_NS);
}

static void ten_seconds_of_serving_make_good(void **state)
{
    for (int i = 0; i < 5; i++) {
        assert_true(die(0, true));
        come_back();
    }
    for (int i = 0; i < 3 * RESTARTS; i++) {
        assert_true(die(10000, true));
        assert_int_equal(pause_of(), 0);
        come_back();
    }
    assert_true(die(0, false));
    assert_int_equal(pause_of(), 100);
}

static void a_start_that_fails_is_one_of_those_in_a_row(void **state)
{
    assert_true(die(0, true));
    s.start_fails = true;
    for (int i = 1; i < RESTARTS; i++) {
        s.k.now_ns = s.k.revival.due_ns;
        assert_int_equal(cf_revive_turn(&s.k), -1);
        assert_true(cf_revive_after(&s.k, "cannot be started", false));
    }
    s.k.now_ns = s.k.revival.due_ns;
    assert_int_equal(cf_revive_turn(&s.k), -1);
    assert_false(cf_revive_after(&s.k, "cannot be started", false));
    assert_int_equal(s.starts, RESTARTS);
}

static void the_first_has_to_have_served(void **state)
{
    (void)hello();
    assert_false(die(60000, false));
    assert_int_equal(s.k.revival.due_ns, CF_NEVER_NS);
}

static void without_restarts_or_while_it_ends_none_is_started(void **state)
{
    (void)hello();
    serve();
    s.k.phase = CF_PHASE_DRAINING;
    assert_false(cf_revive_after(&s.k, "is gone", false));
    s.k.phase = CF_PHASE_SERVING;
    s.k.config.server_restarts = 0;
    assert_false(die(0, false));
}

/* --- a server that hangs --- */

/* Lets the time pass until the session's deadline, which is seen so late; what is due happens. */
static void pass_deadline(uint64_t key, int64_t late_ms)
{
    struct cf_held *held = cf_table_by_key(&s.k.table, key);
    uint32_t slot;

    s.k.now_ns = s.k.table.deadlines_ns[held->slot] + late_ms * CF_NS_PER_MS;
    for (slot = cf_table_due(&s.k.table, 0, s.k.now_ns); slot < s.k.table.capacity;
         slot = cf_table_due(&s.k.table, slot + 1, s.k.now_ns))
        cf_ladder_event(&s.k, cf_table_slot(&s.k.table, slot), CF_EVENT_TIMER, 0);
}

static enum cf_held_state state_of(uint64_t key)
{
    return cf_table_by_key(&s.k.table, key)->state;
}

static void a_server_that_hangs_is_killed_and_the_leases_run_once_more(void **state)
{
    int64_t hung_ns;

    (void)hello();
    serve();
    spawn_all(1, 3);
    cf_ladder_event(&s.k, cf_table_by_key(&s.k.table, 3), CF_EVENT_LEFT, 0);
    pass_deadline(1, 0);
    assert_false(s.k.revival.hung);                             /* doubted */
    pass_deadline(1, 0);
    assert_true(s.k.revival.hung);
    hung_ns = s.k.now_ns;
    for (uint64_t key = 1; key <= 3; key++)
        assert_int_equal(s.k.table.deadlines_ns[cf_table_by_key(&s.k.table, key)->slot],
                         hung_ns + LEASE_MS * CF_NS_PER_MS);
    assert_int_equal(cf_revive_turn(&s.k), 0);
    assert_true(s.k.link.lost);                                 /* there is no process to kill here */
    assert_int_equal(state_of(1), CF_HELD_LIVE);
    assert_int_equal(state_of(3), CF_HELD_LEFT);
    succeed();
    (void)hello();
    serve();
    pass_deadline(1, 0);
    pass_deadline(1, 0);
    assert_false(s.k.revival.hung);                             /* nobody has renewed since */
    assert_true(state_of(1) > CF_HELD_LEFT);
    assert_true(state_of(2) > CF_HELD_LEFT);
    assert_int_equal(cf_table_by_key(&s.k.table, 1)->cause, CF_CAUSE_LEASE);
}

static void a_renewal_makes_good(void **state)
{
    (void)hello();
    serve();
    spawn_all(1, 1);
    for (int i = 0; i < 3; i++) {
        pass_deadline(1, 0);
        pass_deadline(1, 0);
        assert_true(s.k.revival.hung);
        assert_int_equal(cf_revive_turn(&s.k), 0);
        s.k.now_ns += 10 * CF_NS_PER_S;
        succeed();
        (void)hello();
        serve();
        TELL(cf_wire_renew, .type = CF_WIRE_RENEW, .lease_ms = LEASE_MS);
    }
    assert_int_equal(state_of(1), CF_HELD_LIVE);
}

static void a_keeper_that_was_stopped_blames_nobody(void **state)
{
    (void)hello();
    serve();
    spawn_all(1, 1);
    for (int i = 0; i < 5; i++) {
        pass_deadline(1, 2000);
        assert_false(s.k.revival.hung);
        assert_int_equal(state_of(1), CF_HELD_LIVE);
    }
}

static void with_nobody_to_blame_a_lease_ends_its_session(void **state)
{
    (void)hello();
    serve();
    spawn_all(1, 1);
    assert_true(die(0, false));
    pass_deadline(1, 0);
    pass_deadline(1, 0);
    assert_true(state_of(1) > CF_HELD_LEFT);
    assert_false(s.k.revival.hung);
}

static void without_restarts_a_lease_ends_its_session(void **state)
{
    (void)hello();
    serve();
    s.k.config.server_restarts = 0;
    spawn_all(1, 1);
    pass_deadline(1, 0);
    pass_deadline(1, 0);
    assert_true(state_of(1) > CF_HELD_LEFT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("what a dead server had said counts, behind its unread reports too", what_a_dead_server_said_counts),
        TEST("a BYE of a server that left reports unread is heard", a_goodbye_behind_a_reset_is_heard),
        TEST("what a server says after it broke the rules does not count", what_an_unruly_server_says_after_that_does_not_count),
        TEST("a start that failed while no server listened is told to the next one, once", a_start_that_failed_unheard_is_told_once),
        TEST("signals that an earlier server asked for are answered to nobody", signals_of_an_earlier_server_are_not_told),
        TEST("a server that dies again and again is started at once, after 100 ms, and up to 10 s, then given up",
             starts_in_a_row_are_further_and_further_apart),
        TEST("ten seconds of serving make a death the first in a row", ten_seconds_of_serving_make_good),
        TEST("a start that fails is one of those in a row", a_start_that_fails_is_one_of_those_in_a_row),
        TEST("a first server that never served is not started again", the_first_has_to_have_served),
        TEST("without server_restarts, or while the keeper ends, none is started", without_restarts_or_while_it_ends_none_is_started),
        TEST("a server that hangs is killed, and the leases run once more", a_server_that_hangs_is_killed_and_the_leases_run_once_more),
        TEST("a renewal makes good, each time", a_renewal_makes_good),
        TEST("a keeper that was stopped blames nobody", a_keeper_that_was_stopped_blames_nobody),
        TEST("a lease that runs out while no server is there ends its session", with_nobody_to_blame_a_lease_ends_its_session),
        TEST("without server_restarts a lease that runs out ends its session", without_restarts_a_lease_ends_its_session),
    };

    return cmocka_run_group_tests_name("keeper revive", tests, NULL, NULL);
}
