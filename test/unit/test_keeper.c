/* test_keeper.c: what the keeper promises, shown on real processes, for each containment that this machine offers.
 * budget: 240 (on two busy cores under ASan; 40 s on quiet ones) */
#include "keeper_holds.h"

#include "base/clock.h"
#include "base/fd.h"
#include "keeper/folders.h"
#include "keeper/table.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void escape(void **state, const char *script, int64_t grace_ms)
{
    struct peer p;
    union report report;
    CF_FD_AUTO out = -1;

    peer_open(&p, hold_of(state));
    start(&p, 1, script, LEASE_MS, &out);
    assert_true(peer_await_text(out, "ready"));
    assert_true(peer_await_alive(&p, ESCAPER_COUNT));
    peer_end(&p, 1, grace_ms);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    assert_int_equal(peer_alive(&p), 0);
    assert_int_equal(report.ended.rung, CF_RUNG_KILLED);
    assert_int_equal(report.ended.cause, CF_CAUSE_ASKED);
    assert_true(report.ended.killed >= 3);
    assert_true(report.ended.took_ms >= (grace_ms > 0 ? grace_ms : 0));
    if (grace_ms == 0) {
        assert_int_equal(report.ended.closed_ms, -1);
        assert_int_equal(report.ended.interrupted_ms, -1);
        assert_int_equal(report.ended.killed_ms, 0);
    } else {                            /* the window is a tenth of the grace, at most 50 ms */
        assert_int_equal(report.ended.closed_ms, 0);
        assert_true(report.ended.interrupted_ms >= (grace_ms < 500 ? grace_ms / 10 : 50));
        assert_true(report.ended.killed_ms >= report.ended.interrupted_ms + grace_ms);
        assert_true(report.ended.took_ms >= report.ended.killed_ms);
    }
    bye(&p);
}

static void nothing_escapes_at_once(void **state)
{
    escape(state, ESCAPERS "echo ready; wait", 0);
}

static void nothing_escapes_with_grace(void **state)
{
    escape(state, ESCAPERS "echo ready; wait", 1000);
}

static void forker_does_not_escape(void **state)
{
    escape(state, ESCAPERS FORKER "echo ready; wait", 0);
}

static void forker_does_not_escape_with_grace(void **state)
{
    escape(state, ESCAPERS FORKER "trap '' INT; echo ready; while :; do wait; done", 300);
}

static void orphans_die_after_the_leader_left(void **state)
{
    struct peer p;
    union report report;
    CF_FD_AUTO out = -1;

    peer_open(&p, hold_of(state));
    peer_spawn(&p, 1, ESCAPERS "echo ready; exit 7", LEASE_MS, &out);   /* it may be gone before one could look */
    assert_true(peer_await(&p, CF_WIRE_SPAWNED, 1, &report));
    assert_int_equal(report.spawned.status, 0);
    assert_true(peer_await(&p, CF_WIRE_LEFT, 1, &report));
    assert_true(WIFEXITED(report.left.wait_status));
    assert_int_equal(WEXITSTATUS(report.left.wait_status), 7);
    assert_true(peer_await_alive(&p, 5));
    peer_end(&p, 1, 100);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    assert_int_equal(peer_alive(&p), 0);
    assert_int_equal(WEXITSTATUS(report.ended.wait_status), 7);
    bye(&p);
}

static void grace_is_over_when_nothing_is_left(void **state)
{
    struct peer p;
    union report report;
    CF_FD_AUTO out = -1;
    int64_t began_ns;

    peer_open(&p, hold_of(state));
    start(&p, 1, "sleep 1000 & echo ready; trap 'exit 3' INT; while :; do sleep 1000 & wait; done", LEASE_MS, &out);
    assert_true(peer_await_text(out, "ready"));
    /* Background jobs of a script ignore SIGINT: kill them by SIGTERM so that only the leader has to go. */
    began_ns = peer_now_ns();
    peer_end(&p, 1, 600000);
    peer_signal(&p, 1, SIGKILL, CF_SCOPE_YOUNG, 0);     /* comes after END: left alone */
    peer_end(&p, 1, 500);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    assert_int_equal(report.ended.rung, CF_RUNG_KILLED);
    assert_int_equal(peer_alive(&p), 0);
    assert_true(peer_now_ns() - began_ns < 10 * CF_NS_PER_S);

    start(&p, 2, "trap 'exit 3' INT; echo go >&1; read -t 1000 <> <(:)", LEASE_MS, NULL);
    peer_end(&p, 2, 600000);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 2, &report));
    assert_in_range(report.ended.rung, CF_RUNG_EMPTY, CF_RUNG_INTERRUPTED);
    assert_true(report.ended.took_ms < PEER_WAIT_MS);
    bye(&p);
}

static void a_stopped_process_is_woken_to_be_interrupted(void **state)
{
    struct peer p;
    union report report;
    CF_FD_AUTO out = -1;

    peer_open(&p, hold_of(state));
    start(&p, 1, "trap 'exit 4' INT; echo ready; kill -STOP $$; while :; do :; done", LEASE_MS, &out);
    assert_true(peer_await_text(out, "ready"));
    peer_end(&p, 1, 600000);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    assert_int_equal(report.ended.rung, CF_RUNG_INTERRUPTED);
    assert_int_equal(WEXITSTATUS(report.ended.wait_status), 4);
    assert_int_equal(report.ended.closed_ms, 0);
    assert_true(report.ended.interrupted_ms >= 50 && report.ended.interrupted_ms <= report.ended.took_ms);
    assert_int_equal(report.ended.killed_ms, -1);
    bye(&p);
}

static void an_empty_session_ends_at_once(void **state)
{
    struct peer p;
    union report report;

    peer_open(&p, hold_of(state));
    peer_spawn(&p, 1, "exit 5", LEASE_MS, NULL);
    assert_true(peer_await(&p, CF_WIRE_LEFT, 1, &report));
    assert_int_equal(WEXITSTATUS(report.left.wait_status), 5);
    peer_end(&p, 1, 600000);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    assert_in_range(report.ended.rung, CF_RUNG_EMPTY, CF_RUNG_CLOSED);
    peer_end(&p, 1, 0);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    assert_int_equal(report.ended.rung, CF_RUNG_UNKNOWN);
    assert_int_equal(report.ended.closed_ms, -1);
    assert_int_equal(report.ended.interrupted_ms, -1);
    assert_int_equal(report.ended.killed_ms, -1);
    bye(&p);
}

static void a_failed_exec_leaves_nothing(void **state)
{
    struct peer p;
    union report report;

    peer_open(&p, hold_of(state));
    peer_spawn(&p, 1, "/no/such/program", LEASE_MS, NULL);
    assert_true(peer_await(&p, CF_WIRE_SPAWNED, 1, &report));
    assert_int_equal(report.spawned.status, ENOENT);
    assert_int_equal(peer_alive(&p), 0);
    /* The key is free again. */
    start(&p, 1, "sleep 1000", LEASE_MS, NULL);
    peer_spawn(&p, 1, "sleep 1000", LEASE_MS, NULL);
    assert_true(peer_await(&p, CF_WIRE_SPAWNED, 1, &report));
    assert_int_equal(report.spawned.status, EEXIST);
    bye(&p);
}

static void a_lease_that_runs_out_ends_the_session(void **state)
{
    struct peer p;
    union report report;
    struct cf_wire_renew renew = { .type = CF_WIRE_RENEW, .key = 0, .lease_ms = LEASE_MS };

    peer_open(&p, hold_of(state));
    start(&p, 1, "trap '' INT; sleep 1000 & sleep 1000", 2000, NULL);
    peer_send(&p, &renew, sizeof renew, NULL, 0);
    start(&p, 2, "sleep 1000", 200, NULL);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 0, &report));
    assert_int_equal(report.ended.key, 2);
    assert_int_equal(report.ended.cause, CF_CAUSE_LEASE);
    renew.key = 1;
    renew.lease_ms = 100;
    peer_send(&p, &renew, sizeof renew, NULL, 0);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    assert_int_equal(report.ended.cause, CF_CAUSE_LEASE);
    assert_int_equal(report.ended.closed_ms, -1);       /* nobody was there to close it */
    assert_true(report.ended.interrupted_ms >= 0);
    assert_int_equal(peer_alive(&p), 0);
    bye(&p);
}

static void a_keeper_that_was_stopped_expires_no_lease(void **state)
{
    struct peer p;
    struct cf_wire_renew renew = { .type = CF_WIRE_RENEW, .key = 0, .lease_ms = LEASE_MS };
    union report report;

    peer_open(&p, hold_of(state));
    start(&p, 1, "sleep 1000", 2000, NULL);
    assert_int_equal(kill(p.keeper_pid, SIGSTOP), 0);
    (void)poll(NULL, 0, 4000);          /* the lease runs out; a stopped process gives nothing to wait for */
    assert_int_equal(kill(p.keeper_pid, SIGCONT), 0);
    (void)poll(NULL, 0, 100);
    peer_send(&p, &renew, sizeof renew, NULL, 0);
    peer_spawn(&p, 2, "exit 0", LEASE_MS, NULL);
    assert_true(peer_await(&p, CF_WIRE_LEFT, 2, &report));
    assert_int_equal(peer_alive(&p), 1);
    bye(&p);
}

static void all_end_when_the_server_goes(void **state)
{
    struct peer p;
    CF_FD_AUTO out = -1;
    int status;

    peer_open(&p, hold_of(state));
    start(&p, 1, ESCAPERS "echo ready; wait", LEASE_MS, &out);
    start(&p, 2, "sleep 1000", LEASE_MS, NULL);
    assert_true(peer_await_text(out, "ready"));
    status = peer_close(&p);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), CF_KEEPER_EXIT_LOST);
    assert_int_equal(peer_alive(&p), 0);
}

static void a_second_signal_does_not_break_the_cleaning(void **state)
{
    struct peer p;
    CF_FD_AUTO out = -1;
    int status;

    peer_open(&p, hold_of(state));
    start(&p, 1, ESCAPERS "echo ready; wait", LEASE_MS, &out);
    assert_true(peer_await_text(out, "ready"));
    kill(p.keeper_pid, SIGTERM);
    kill(p.keeper_pid, SIGINT);
    kill(p.keeper_pid, SIGTERM);
    assert_true(peer_broken(&p));
    status = peer_close(&p);
    assert_true(WIFEXITED(status));
    assert_int_equal(peer_alive(&p), 0);
}

static void a_killed_keeper_leaves_nothing_for_long(void **state)
{
    struct peer p, next;
    CF_FD_AUTO out = -1;
    struct cf_wire_hello hello = { .type = CF_WIRE_HELLO, .version = CF_WIRE_VERSION };
    union report report;

    peer_open(&p, hold_of(state));
    start(&p, 1, ESCAPERS "echo ready; wait", LEASE_MS, &out);
    assert_true(peer_await_text(out, "ready"));
    kill(p.keeper_pid, SIGKILL);
    (void)peer_close(&p);
    if (hold_of(state) != CF_HOLD_CGROUP)
        assert_true(peer_await_dead(&p));       /* by itself */
    peer_open_silent(&next, hold_of(state), p.state_dir);
    peer_send(&next, &hello, sizeof hello, NULL, 0);
    assert_true(peer_await(&next, CF_WIRE_WELCOME, 0, &report));
    assert_int_equal(peer_alive(&p), 0);
    if (hold_of(state) == CF_HOLD_CGROUP)
        assert_true(report.welcome.swept >= 3);
    bye(&next);
}

static void drops(struct peer *p)
{
    int status;

    assert_true(peer_broken(p));
    status = peer_close(p);
    assert_int_equal(WEXITSTATUS(status), CF_KEEPER_EXIT_LOST);
    assert_int_equal(peer_alive(p), 0);
}

static void illegal_packets_drop_the_peer(void **state)
{
    struct cf_wire_hello hello = { .type = CF_WIRE_HELLO, .version = CF_WIRE_VERSION };
    struct cf_wire_hello odd_version = { .type = CF_WIRE_HELLO, .version = 99 };
    struct cf_wire_renew renew = { .type = CF_WIRE_RENEW, .lease_ms = 1 };
    struct cf_wire_spawned report = { .type = CF_WIRE_SPAWNED };
    struct cf_wire_signal odd = { .type = CF_WIRE_SIGNAL, .signo = 1000, .scope = CF_SCOPE_ALL };
    uint32_t unknown = 77;
    char large[4096] = { CF_WIRE_END };
    int fds[16];
    struct peer p;

    for (int i = 0; i < 16; i++)
        fds[i] = STDERR_FILENO;
    for (int variant = 0; variant < 8; variant++) {
        if (variant == 0 || variant == 1)
            peer_open_silent(&p, hold_of(state), NULL);
        else
            peer_open(&p, hold_of(state));
        if (variant >= 2)
            start(&p, 1, "sleep 1000", LEASE_MS, NULL);
        switch (variant) {
        case 0: peer_send(&p, &renew, sizeof renew, NULL, 0); break;           /* before HELLO */
        case 1: peer_send(&p, &odd_version, sizeof odd_version, NULL, 0); break;
        case 2: peer_send(&p, &hello, sizeof hello, NULL, 0); break;           /* twice */
        case 3: peer_send(&p, &unknown, sizeof unknown, NULL, 0); break;
        case 4: peer_send(&p, &renew, sizeof renew - 4, NULL, 0); break;
        case 5: peer_send(&p, &renew, sizeof renew, fds, 16); break;
        case 6: peer_send(&p, large, sizeof large, NULL, 0); break;
        case 7: peer_send(&p, &report, sizeof report, NULL, 0); peer_send(&p, &odd, sizeof odd, NULL, 0); break;
        }
        drops(&p);
    }
}

static void bad_spawns_are_refused(void **state)
{
    struct peer p;
    union report report;
    CF_FD_AUTO folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CF_FD_AUTO file = open("/proc/self/stat", O_RDONLY | O_CLOEXEC);
    int fds[7] = { folder, file, file, file, file, file, file };

    peer_open(&p, hold_of(state));
    for (int variant = 0; variant < 9; variant++) {
        struct cf_wire_spawn spawn = { .type = CF_WIRE_SPAWN, .key = 9, .argc = 1, .args_bytes = 5, .lease_ms = 1000 };

        switch (variant) {
        case 0: break;                                  /* the block is no memory file */
        case 1: spawn.argc = 0; break;
        case 2: spawn.args_bytes = CF_WIRE_ARGS_MAX + 1; break;
        case 3: spawn.envc = 0xffffffff; break;
        case 4: spawn.fd_count = 3; break;              /* not as many as came */
        case 5: spawn.hold = 64; break;
        case 6: spawn.lease_ms = 0; break;
        case 7: spawn.flags = CF_SPAWN_FLAGS + 1; break;
        case 8: spawn.flags = CF_SPAWN_TERMINAL; break; /* and no descriptor to be it */
        }
        peer_send(&p, &spawn, sizeof spawn, fds, 2);
        assert_true(peer_await(&p, CF_WIRE_SPAWNED, 9, &report));
        assert_int_not_equal(report.spawned.status, 0);
    }
    bye(&p);
}

static void signals_reach_their_scope(void **state)
{
    struct peer p;
    union report report;
    CF_FD_AUTO out = -1;
    unsigned alive = 0;

    /* Leader, a child in its group, and one in a session of its own: each says by a letter that a signal came. */
    peer_open(&p, hold_of(state));
    start(&p, 1, "w() { trap \"echo -n $1\" USR1; echo -n .; while :; do sleep 0.05; done; }; export -f w; "
                 "bash -c 'w g' & setsid bash -c 'w o' & w l", LEASE_MS, &out);
    assert_true(peer_await_letters(out, "..."));
    peer_signal(&p, 1, SIGUSR1, CF_SCOPE_LEADER, 0);
    assert_true(peer_await_letters(out, "l"));
    peer_signal(&p, 1, SIGUSR1, CF_SCOPE_YOUNG, UINT64_MAX);    /* nobody is that young */
    peer_signal(&p, 1, SIGKILL, CF_SCOPE_YOUNG, 0);             /* all but the leader */
    for (int i = 0; i < 2000 && ((alive = peer_alive(&p)) > 2 || alive == 0); i++)
        (void)poll(NULL, 0, 5);
    assert_in_range(alive, 1, 2);                               /* the leader and its `sleep 0.05` */
    peer_signal(&p, 1, SIGKILL, CF_SCOPE_ALL, 0);
    assert_true(peer_await(&p, CF_WIRE_LEFT, 1, &report));
    assert_true(WIFSIGNALED(report.left.wait_status));
    peer_signal(&p, 4711, SIGKILL, CF_SCOPE_ALL, 0);            /* unknown: nothing happens */
    bye(&p);
}

static void a_signal_for_the_group_spares_other_groups(void **state)
{
    struct peer p;
    CF_FD_AUTO out = -1;
    unsigned alive = 0;

    peer_open(&p, hold_of(state));
    start(&p, 1, "sleep 1000 & setsid bash -c 'echo -n .; exec sleep 1000' & trap '' TERM; sleep 1000 & echo -n .; "
                 "while :; do wait; done", LEASE_MS, &out);
    assert_true(peer_await_letters(out, ".."));
    assert_true(peer_await_alive(&p, 4));
    peer_signal(&p, 1, SIGTERM, CF_SCOPE_GROUP, 0);             /* only the first sleep feels it */
    for (int i = 0; i < 2000 && (alive = peer_alive(&p)) > 3; i++)
        (void)poll(NULL, 0, 5);
    assert_int_equal(alive, 3);
    peer_signal(&p, 1, SIGKILL, CF_SCOPE_GROUP, 0);
    for (int i = 0; i < 2000 && (alive = peer_alive(&p)) > 1; i++)
        (void)poll(NULL, 0, 5);
    assert_int_equal(alive, 1);                                 /* the setsid one */
    bye(&p);
}

static void two_hundred_end_side_by_side(void **state)
{
    enum { SESSIONS = 200 };
    struct peer p;
    union report report;
    int64_t began_ns;

    peer_open(&p, hold_of(state));
    for (uint64_t key = 1; key <= SESSIONS; key++)
        peer_spawn(&p, key, "for i in 1 2 3 4; do sleep 1000 & done; wait", LEASE_MS, NULL);
    for (int i = 0; i < SESSIONS; i++) {
        assert_true(peer_await(&p, CF_WIRE_SPAWNED, 0, &report));
        assert_int_equal(report.spawned.status, 0);
    }
    assert_true(peer_await_alive(&p, SESSIONS * 5));
    began_ns = peer_now_ns();
    for (uint64_t key = 1; key <= SESSIONS; key++)
        peer_end(&p, key, 0);
    for (int i = 0; i < SESSIONS; i++) {
        assert_true(peer_await(&p, CF_WIRE_ENDED, 0, &report));
        assert_int_equal(report.ended.rung, CF_RUNG_KILLED);
    }
    assert_int_equal(peer_alive(&p), 0);
    print_message("%d sessions of 5 ended in %lld ms\n", SESSIONS,
                  (long long)((peer_now_ns() - began_ns) / CF_NS_PER_MS));
    bye(&p);
}

static void a_server_that_reads_late_loses_no_report(void **state)
{
    enum { SESSIONS = 600 };            /* far more reports than the socket holds */
    struct peer p;
    union report report;
    unsigned spawned = 0;

    peer_open(&p, hold_of(state));
    for (uint64_t key = 1; key <= SESSIONS; key++)
        peer_spawn(&p, key, "/no/such/program", LEASE_MS, NULL);
    while (spawned < SESSIONS && peer_await(&p, CF_WIRE_SPAWNED, 0, &report))
        spawned += report.spawned.status == ENOENT;
    assert_int_equal(spawned, SESSIONS);
    bye(&p);
}

static void a_killed_init_lets_nothing_escape(void **state)
{
    struct peer p;
    union report report;
    CF_FD_AUTO out = -1;

    peer_open(&p, hold_of(state));
    /* $PPID of the leader is the init; from inside a namespace it cannot be killed. */
    start(&p, 1, "trap '' INT; trap 'kill -KILL $PPID' USR1; " ESCAPERS "echo ready; while :; do wait; done", LEASE_MS,
          &out);
    assert_true(peer_await_text(out, "ready"));
    peer_signal(&p, 1, SIGUSR1, CF_SCOPE_LEADER, 0);
    if (hold_of(state) == CF_HOLD_SUBREAPER)
        assert_true(peer_await(&p, CF_WIRE_LEFT, 1, &report));
    peer_end(&p, 1, 200);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    assert_int_equal(peer_alive(&p), 0);
    bye(&p);
}

static const struct behaviour behaviours[] = {
    { "Nothing escapes: a killed session leaves no process", nothing_escapes_at_once },
    { "Nothing escapes: nor one that had a second of grace", nothing_escapes_with_grace },
    { "Nothing escapes: a process that keeps forking does not get away", forker_does_not_escape },
    { "Nothing escapes: nor does it with grace", forker_does_not_escape_with_grace },
    { "Nothing escapes: orphans of a leader that left by itself go with the session",
      orphans_die_after_the_leader_left },
    { "Nothing escapes: a session that kills its own init is ended all the same", a_killed_init_lets_nothing_escape, .needs_init = true },
    { "S1.2: grace is over as soon as nothing is left, and a second END shortens it",
      grace_is_over_when_nothing_is_left },
    { "S1.2: a stopped process is woken so that it can react to SIGINT", a_stopped_process_is_woken_to_be_interrupted },
    { "a session with nothing in it ends at once, an unknown one is answered", an_empty_session_ends_at_once },
    { "a program that cannot be started leaves no process and no key", a_failed_exec_leaves_nothing },
    { "a lease that nobody renews ends its session and no other", a_lease_that_runs_out_ends_the_session },
    { "Nothing dies by mistake: a keeper that was stopped expires no lease",
      a_keeper_that_was_stopped_expires_no_lease },
    { "when the server goes, every session ends and the keeper exits 70", all_end_when_the_server_goes },
    { "a second and third signal do not break the cleaning", a_second_signal_does_not_break_the_cleaning },
    { "Nothing escapes: after kill -9 of the keeper nothing is left, at the latest when the next one starts",
      a_killed_keeper_leaves_nothing_for_long },
    { "illegal packets drop the peer and end its sessions", illegal_packets_drop_the_peer },
    { "a SPAWN that makes no sense is refused and changes nothing", bad_spawns_are_refused },
    { "signals reach the group, the young, the leader or all", signals_reach_their_scope },
    { "a signal for the group spares other groups", a_signal_for_the_group_spares_other_groups },
    { "two hundred sessions of five processes end side by side", two_hundred_end_side_by_side },
    { "a server that reads late loses no report", a_server_that_reads_late_loses_no_report },
};

int main(int argc, char **argv)
{
    return run_holds(argc, argv, behaviours, sizeof behaviours / sizeof behaviours[0]);
}
