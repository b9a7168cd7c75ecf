/* test_keeper_kept.c: what the next server is told and given. */
#include "keeper_stage.h"

/* --- what the next one is told --- */

static void each_session_is_told_with_its_state(void **state)
{
    (void)hello();
    serve();
    s.spawn_waits = true;
    (void)spawn(1);
    s.spawn_waits = false;
    spawn_all(2, 5);
    cf_ladder_event(&s.k, cf_table_by_key(&s.k.table, 3), CF_EVENT_LEFT, 7 << 8);
    s.stays = true;
    TELL(cf_wire_end, .type = CF_WIRE_END, .key = 4, .grace_ms = 0);
    s.stays = false;
    TELL(cf_wire_end, .type = CF_WIRE_END, .key = 5, .grace_ms = 0);
    succeed();

    assert_int_equal(hello().held, 5);
    assert_int_equal(expect(CF_WIRE_HELD, 1).held.session_state, CF_WIRE_S_NONE);
    assert_int_equal(expect(CF_WIRE_HELD, 2).held.session_state, CF_WIRE_S_LIVE);
    assert_int_equal(expect(CF_WIRE_HELD, 3).held.session_state, CF_WIRE_S_LEFT);
    assert_int_equal(expect(CF_WIRE_HELD, 4).held.session_state, CF_WIRE_S_ENDING);
    assert_int_equal(expect(CF_WIRE_HELD, 5).held.session_state, CF_WIRE_S_ENDING);
    assert_int_equal(expect(CF_WIRE_LEFT, 3).left.wait_status, 7 << 8);
    expect(CF_WIRE_ENDED, 5);
    expect_silence();
    cf_ladder_event(&s.k, cf_table_by_key(&s.k.table, 1), CF_EVENT_STARTED, 55);
    assert_int_equal(expect(CF_WIRE_SPAWNED, 1).spawned.pid, 55);
    s.k.now_ns += CF_NS_PER_S;
    cf_ladder_event(&s.k, cf_table_by_key(&s.k.table, 4), CF_EVENT_TIMER, 0);
    expect(CF_WIRE_ENDED, 4);
    expect_silence();
}

static void the_pid_and_the_hold_are_told(void **state)
{
    struct cf_wire_held held;

    (void)hello();
    serve();
    s.spawn_waits = true;
    (void)spawn(1);
    s.spawn_waits = false;
    spawn_all(2, 2);
    succeed();
    (void)hello();
    assert_int_equal(expect(CF_WIRE_HELD, 1).held.pid, 0);
    held = expect(CF_WIRE_HELD, 2).held;
    assert_int_equal(held.pid, 1002);
    assert_int_equal(held.hold, CF_HOLD_PIDNS);
}

static void what_happens_before_hello_is_not_told_before_it(void **state)
{
    (void)hello();
    serve();
    s.spawn_waits = true;
    (void)spawn(1);
    s.spawn_waits = false;
    spawn_all(2, 3);
    succeed();
    cf_ladder_event(&s.k, cf_table_by_key(&s.k.table, 1), CF_EVENT_STARTED, 55);
    cf_ladder_event(&s.k, cf_table_by_key(&s.k.table, 2), CF_EVENT_LEFT, 0);
    cf_ladder_end(&s.k, cf_table_by_key(&s.k.table, 3), CF_CAUSE_LEASE, 0);
    expect_silence();
    (void)hello();
    assert_int_equal(expect(CF_WIRE_HELD, 1).held.pid, 55);
    assert_int_equal(expect(CF_WIRE_HELD, 2).held.session_state, CF_WIRE_S_LEFT);
    assert_int_equal(expect(CF_WIRE_HELD, 3).held.session_state, CF_WIRE_S_ENDING);
    expect(CF_WIRE_LEFT, 2);
    expect(CF_WIRE_ENDED, 3);
    expect_silence();
}

static void what_ended_is_told_until_it_is_forgotten(void **state)
{
    (void)hello();
    serve();
    spawn_all(1, 2);
    TELL(cf_wire_forget, .type = CF_WIRE_FORGET, .key = 1);     /* it has not ended */
    TELL(cf_wire_end, .type = CF_WIRE_END, .key = 1, .grace_ms = 0);
    expect(CF_WIRE_ENDED, 1);
    TELL(cf_wire_end, .type = CF_WIRE_END, .key = 1, .grace_ms = 0);
    expect_silence();                                           /* ENDED is one */
    for (int i = 0; i < 3; i++) {
        succeed();
        assert_int_equal(hello().held, 2);
        expect(CF_WIRE_HELD, 1);
        expect(CF_WIRE_HELD, 2);
        expect(CF_WIRE_ENDED, 1);
        expect_silence();
    }
    assert_int_equal(spawn(1)->state, CF_HELD_GONE);
    assert_int_equal(expect(CF_WIRE_SPAWNED, 1).spawned.status, EEXIST);
    TELL(cf_wire_forget, .type = CF_WIRE_FORGET, .key = 1);
    TELL(cf_wire_forget, .type = CF_WIRE_FORGET, .key = 1);
    TELL(cf_wire_forget, .type = CF_WIRE_FORGET, .key = 77);
    assert_null(cf_table_by_key(&s.k.table, 1));
    succeed();
    assert_int_equal(hello().held, 1);
    expect(CF_WIRE_HELD, 2);
    expect_silence();
    TELL(cf_wire_end, .type = CF_WIRE_END, .key = 1, .grace_ms = 0);
    assert_int_equal(expect(CF_WIRE_ENDED, 1).ended.rung, CF_RUNG_UNKNOWN);
}

static void forget_before_the_last_word_keeps_that(void **state)
{
    (void)hello();
    serve();
    spawn_all(1, 1);
    TELL(cf_wire_end, .type = CF_WIRE_END, .key = 1, .grace_ms = 0);
    expect(CF_WIRE_ENDED, 1);
    s.k.link.blocked = true;
    cf_link_signaled(&s.k, cf_table_by_key(&s.k.table, 1));
    assert_int_equal(cf_packet_send(s.peer_fd, &(struct cf_wire_forget){ .type = CF_WIRE_FORGET, .key = 1 },
                                    sizeof(struct cf_wire_forget), NULL, 0), 0);
    cf_link_read(&s.k);
    assert_non_null(cf_table_by_key(&s.k.table, 1));
    expect(CF_WIRE_SIGNALED, 1);
    assert_null(cf_table_by_key(&s.k.table, 1));
}

static void a_server_that_reads_late_gets_all_and_is_not_heard_before(void **state)
{
    enum { SESSIONS = 250, EACH = 20 };
    uint32_t held = 0, kept = 0;
    int first_fd, last_fd;
    union report report;

    (void)hello();
    serve();
    spawn_all(1, SESSIONS);
    for (uint64_t key = 1; key <= SESSIONS; key++)
        for (uint64_t tag = 1; tag <= (key == 1 || key == SESSIONS ? EACH - 1 : EACH); tag++)
            close(hold_pipe(key, tag));
    first_fd = hold_pipe(1, EACH);
    last_fd = hold_pipe(SESSIONS, EACH);
    succeed();
    assert_int_equal(cf_packet_send(s.peer_fd, &(struct cf_wire_hello){ CF_WIRE_HELLO, CF_WIRE_VERSION }, 8, NULL, 0), 0);
    assert_int_equal(cf_packet_send(s.peer_fd, &(struct cf_wire_serving){ CF_WIRE_SERVING, 0 }, 8, NULL, 0), 0);
    cf_link_read(&s.k);
    for (int i = 0; i < 10; i++)
        cf_link_flush(&s.k);
    assert_true(s.k.link.handover.running && s.k.link.blocked);
    cf_link_read(&s.k);
    assert_false(s.k.revival.serving);                          /* nothing is read meanwhile */
    /* One that it knows of and one that is yet to come end in the middle of it. */
    cf_ladder_end(&s.k, cf_table_by_key(&s.k.table, 1), CF_CAUSE_LEASE, 0);
    cf_ladder_end(&s.k, cf_table_by_key(&s.k.table, SESSIONS), CF_CAUSE_LEASE, 0);
    assert_int_equal(s.k.kept.total, (SESSIONS - 1) * EACH);    /* of the other WELCOME has told */
    assert_true(held_open(last_fd));
    assert_true(hear(&report, NULL));
    assert_int_equal(report.welcome.held, SESSIONS);
    assert_int_equal(report.welcome.kept, SESSIONS * EACH);
    while (held + kept < SESSIONS + SESSIONS * EACH) {
        assert_true(hear(&report, NULL));
        assert_true(report.type == CF_WIRE_HELD || report.type == CF_WIRE_KEPT);
        held += report.type == CF_WIRE_HELD;
        kept += report.type == CF_WIRE_KEPT ? report.kept.count : 0;
        if (report.type == CF_WIRE_KEPT)
            assert_int_equal(report.kept.key, held);            /* behind its own HELD */
    }
    expect(CF_WIRE_ENDED, 1);
    expect(CF_WIRE_ENDED, SESSIONS);
    expect_silence();
    assert_false(held_open(first_fd));
    assert_false(held_open(last_fd));
    cf_link_read(&s.k);
    assert_true(s.k.revival.serving);
    assert_int_equal(s.k.kept.total, (SESSIONS - 2) * EACH);
    close(first_fd);
    close(last_fd);
}

static void a_server_that_goes_while_it_is_told_leaves_nothing_open_of_what_ended(void **state)
{
    CF_FD_AUTO ended = -1;
    CF_FD_AUTO lives = -1;

    (void)hello();
    serve();
    spawn_all(1, 200);
    for (uint64_t key = 1; key < 199; key++)
        for (uint64_t tag = 1; tag <= 16; tag++)
            close(hold_pipe(key, tag));
    ended = hold_pipe(199, 1);
    lives = hold_pipe(200, 1);
    succeed();
    assert_int_equal(cf_packet_send(s.peer_fd, &(struct cf_wire_hello){ CF_WIRE_HELLO, CF_WIRE_VERSION }, 8, NULL, 0), 0);
    cf_link_read(&s.k);
    cf_link_flush(&s.k);
    assert_true(s.k.link.handover.running);
    cf_ladder_end(&s.k, cf_table_by_key(&s.k.table, 199), CF_CAUSE_LEASE, 0);
    assert_true(held_open(ended));
    succeed();
    assert_false(held_open(ended));
    assert_true(held_open(lives));
}

/* --- what is held --- */

static void a_tag_holds_one_descriptor(void **state)
{
    int old = hold_pipe(0, 5), replaced, dropped;

    assert_false(held_open(old));                               /* not before HELLO: that broke the rules */
    assert_true(s.k.link.unruly);
    close(old);
    s.k.link.lost = s.k.link.unruly = false;
    (void)hello();
    spawn_all(1, 1);
    for (uint64_t key = 0; key < 2; key++) {
        old = hold_pipe(key, 5);
        assert_true(held_open(old));
        replaced = hold_pipe(key, 5);
        assert_false(held_open(old));
        assert_true(held_open(replaced));
        dropped = hold_pipe(key, 6);
        TELL(cf_wire_drop, .type = CF_WIRE_DROP, .key = key, .tag = 6);
        TELL(cf_wire_drop, .type = CF_WIRE_DROP, .key = key, .tag = 6);
        assert_false(held_open(dropped));
        assert_true(held_open(replaced));
        TELL(cf_wire_drop, .type = CF_WIRE_DROP, .key = key, .tag = 5);
        assert_false(held_open(replaced));
        close(old);
        close(replaced);
        close(dropped);
    }
    assert_int_equal(s.k.kept.total, 0);
    assert_false(s.k.link.lost);
}

static void of_what_is_unknown_or_ending_nothing_is_held(void **state)
{
    CF_FD_AUTO unknown = -1;
    CF_FD_AUTO ending = -1;
    CF_FD_AUTO before = -1;
    CF_FD_AUTO gone = -1;

    (void)hello();
    spawn_all(1, 2);
    before = hold_pipe(2, 1);
    s.stays = true;
    TELL(cf_wire_end, .type = CF_WIRE_END, .key = 2, .grace_ms = 1000);
    assert_false(held_open(before));                            /* closed as END comes */
    ending = hold_pipe(2, 2);
    s.stays = false;
    TELL(cf_wire_end, .type = CF_WIRE_END, .key = 1, .grace_ms = 0);
    gone = hold_pipe(1, 1);
    unknown = hold_pipe(99, 1);
    assert_false(held_open(unknown));
    assert_false(held_open(ending));
    assert_false(held_open(gone));
    assert_int_equal(s.k.kept.total, 0);
    assert_false(s.k.link.lost);
}

static void a_session_has_as_many_as_the_wire_says(void **state)
{
    unsigned before;
    int in[CF_WIRE_KEPT_MAX + 1];
    bool seen[CF_WIRE_KEPT_MAX + 2] = { false };
    union report report;
    unsigned got = 0;

    (void)hello();
    serve();
    spawn_all(1, 1);
    before = open_fds();
    for (uint64_t tag = 1; tag <= CF_WIRE_KEPT_MAX + 1; tag++)
        in[tag - 1] = hold_pipe(1, tag);
    assert_true(held_open(in[CF_WIRE_KEPT_MAX - 1]));
    assert_false(held_open(in[CF_WIRE_KEPT_MAX]));
    close(in[CF_WIRE_KEPT_MAX]);
    in[CF_WIRE_KEPT_MAX] = hold_pipe(1, 7);                     /* a tag that is there has its place */
    assert_true(held_open(in[CF_WIRE_KEPT_MAX]));
    assert_false(held_open(in[6]));
    succeed();
    assert_int_equal(hello().kept, CF_WIRE_KEPT_MAX);
    expect(CF_WIRE_HELD, 1);
    while (hear(&report, NULL))
        for (uint32_t i = 0; i < report.kept.count; i++) {
            assert_in_range(report.kept.tags[i], 1, CF_WIRE_KEPT_MAX);
            assert_false(seen[report.kept.tags[i]]);
            seen[report.kept.tags[i]] = true;
            got++;
        }
    assert_int_equal(got, CF_WIRE_KEPT_MAX);
    TELL(cf_wire_end, .type = CF_WIRE_END, .key = 1, .grace_ms = 0);
    for (uint32_t i = 0; i <= CF_WIRE_KEPT_MAX; i++)
        close(in[i]);
    assert_int_equal(open_fds(), before);
}

/* Numbers that are no descriptors: there are more of them than a process may have. */
static void the_server_has_as_many_as_the_wire_says_and_time_for_none_is_lost(void **state)
{
    const int none = 1 << 24;
    int64_t began_ns = peer_now_ns();
    uint32_t next = 0, count = 0;

    for (uint64_t tag = 1; tag <= CF_WIRE_KEPT_SERVER_MAX; tag++)
        assert_int_equal(cf_kept_put(&s.k, NULL, tag << 20, none + (int)tag), 0);
    assert_int_equal(cf_kept_put(&s.k, NULL, 1, none), -1);
    assert_int_equal(cf_kept_put(&s.k, NULL, 7 << 20, none), 0);
    do {
        uint64_t tags[CF_WIRE_FDS_MAX];
        int fds[CF_WIRE_FDS_MAX];
        uint32_t got = cf_kept_list(&s.k, NULL, next, tags, fds, &next);

        for (uint32_t i = 0; i < got; i++)
            assert_int_equal(fds[i], tags[i] == 7 << 20 ? none : none + (int)(tags[i] >> 20));
        count += got;
    } while (next != 0);
    assert_int_equal(count, CF_WIRE_KEPT_SERVER_MAX);
    for (uint64_t tag = 1; tag <= CF_WIRE_KEPT_SERVER_MAX; tag++)
        cf_kept_drop(&s.k, NULL, tag << 20);
    assert_int_equal(s.k.kept.total, 0);
    assert_true(peer_now_ns() - began_ns < 5 * CF_NS_PER_S);    /* 20 ms; the square of it would be minutes */
}

static void a_hold_that_does_not_fit_itself_drops_the_server(void **state)
{
    static const struct cf_wire_hold bad[] = {
        { .type = CF_WIRE_HOLD, .count = 2, .tags = { 1, 2 } },         /* one descriptor comes with each */
        { .type = CF_WIRE_HOLD, .count = 0 },
        { .type = CF_WIRE_HOLD, .count = 1 },
        { .type = CF_WIRE_HOLD, .count = 1, .tags = { 1, 2 } },
        { .type = CF_WIRE_HOLD, .count = 1, .tags = { 1, [CF_WIRE_FDS_MAX - 1] = 2 } },
        { .type = CF_WIRE_HOLD, .count = ~0u, .tags = { 1, 2, 3, 4, 5, 6, 7, 8 } },
    };
    unsigned before;

    (void)hello();
    before = open_fds();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tell(&bad[i], sizeof bad[i], (int[]){ s.k.epoll_fd }, 1);
        assert_true(s.k.link.lost && s.k.link.unruly);
        s.k.link.lost = s.k.link.unruly = false;
    }
    assert_int_equal(s.k.kept.total, 0);
    assert_int_equal(open_fds(), before);
}

static void without_memory_nothing_is_held_and_nothing_else_suffers(void **state)
{
    CF_FD_AUTO own = -1;
    CF_FD_AUTO one = -1;

    (void)hello();
    spawn_all(1, 1);
    peer_no_memory(true);
    own = hold_pipe(0, 1);
    one = hold_pipe(1, 1);
    peer_no_memory(false);
    assert_false(held_open(own));
    assert_false(held_open(one));
    assert_false(s.k.link.lost);
    close(own);
    close(one);
    own = hold_pipe(0, 1);
    one = hold_pipe(1, 1);
    assert_true(held_open(own));
    assert_true(held_open(one));
}

static void without_a_free_number_nothing_is_held_and_nothing_old_either(void **state)
{
    struct rlimit files, none;
    CF_FD_AUTO own = -1;
    CF_FD_AUTO one = -1;
    int ends[2];

    (void)hello();
    spawn_all(1, 1);
    own = hold_pipe(0, 1);
    one = hold_pipe(1, 1);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    none = (struct rlimit){ .rlim_cur = 3, .rlim_max = files.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (uint64_t key = 0; key < 3; key++)
        tell(&(struct cf_wire_hold){ .type = CF_WIRE_HOLD, .count = 1, .key = key, .tags = { 1 } },
             sizeof(struct cf_wire_hold), ends, 1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    close(ends[0]);
    assert_false(s.k.link.lost);
    assert_false(held_open(ends[1]));
    assert_false(held_open(own));       /* the next server would take it for the new one */
    assert_false(held_open(one));
    assert_int_equal(s.k.kept.total, 0);
    close(ends[1]);
}

static void a_thousand_holds_and_two_hundred_servers_leave_no_descriptor(void **state)
{
    unsigned before;

    (void)hello();
    serve();
    spawn_all(1, 1);
    close(hold_pipe(0, 1));
    close(hold_pipe(1, 1));
    before = open_fds();
    for (uint64_t i = 0; i < 1000; i++) {
        close(hold_pipe(i % 2, 2 + i % 7));
        TELL(cf_wire_drop, .type = CF_WIRE_DROP, .key = i % 2, .tag = 2 + i % 7);
    }
    assert_int_equal(open_fds(), before);
    for (int i = 0; i < 200; i++) {
        succeed();
        (void)hello();
        serve();
        expect(CF_WIRE_KEPT, 0);
        expect(CF_WIRE_HELD, 1);
        expect(CF_WIRE_KEPT, 1);
        expect_silence();
        s.k.now_ns += 10 * CF_NS_PER_S;
    }
    assert_int_equal(open_fds(), before);
    assert_int_equal(s.k.revival.served, 201);
}

static void a_flood_of_holds_is_bounded(void **state)
{
    unsigned before;

    (void)hello();
    serve();
    spawn_all(1, 1);
    before = open_fds();
    for (uint64_t i = 1; i <= 20000; i++)
        close(hold_pipe(1, i));
    assert_int_equal(s.k.kept.total, CF_WIRE_KEPT_MAX);
    assert_int_equal(open_fds(), before + CF_WIRE_KEPT_MAX);
    assert_false(s.k.link.lost);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("the next server is told of each session with its state, then what it has to know", each_session_is_told_with_its_state),
        TEST("the next server is told the leader's pid and what holds it", the_pid_and_the_hold_are_told),
        TEST("what happens before HELLO is not told before WELCOME, and once", what_happens_before_hello_is_not_told_before_it),
        TEST("what has ended is told to each server, once, until one forgets it", what_ended_is_told_until_it_is_forgotten),
        TEST("what is forgotten goes when all is said", forget_before_the_last_word_keeps_that),
        TEST("a server that reads late is told all, and not heard before", a_server_that_reads_late_gets_all_and_is_not_heard_before),
        TEST("a server that goes while it is told leaves nothing open of what ended",
             a_server_that_goes_while_it_is_told_leaves_nothing_open_of_what_ended),
        TEST("a tag holds one descriptor, until it is dropped or replaced", a_tag_holds_one_descriptor),
        TEST("of a session that is unknown, ending or gone nothing is held", of_what_is_unknown_or_ending_nothing_is_held),
        TEST("128 descriptors of a session are held, a further one is closed", a_session_has_as_many_as_the_wire_says),
        TEST("65536 descriptors of the server are held, and found quickly",
             the_server_has_as_many_as_the_wire_says_and_time_for_none_is_lost),
        TEST("a HOLD that contradicts itself drops the server", a_hold_that_does_not_fit_itself_drops_the_server),
        TEST("without memory nothing is held, and nothing else suffers", without_memory_nothing_is_held_and_nothing_else_suffers),
        TEST("without a free number nothing is held, and nothing old under its tag",
             without_a_free_number_nothing_is_held_and_nothing_old_either),
        TEST("1000 holds and drops and 200 servers leave no descriptor", a_thousand_holds_and_two_hundred_servers_leave_no_descriptor),
        TEST("a flood of HOLD is bounded", a_flood_of_holds_is_bounded),
    };

    return cmocka_run_group_tests_name("keeper kept", tests, NULL, NULL);
}
