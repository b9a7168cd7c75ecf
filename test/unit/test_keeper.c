/* test_keeper.c: what the keeper promises, shown on real processes, for each containment that this machine offers.
 * budget: 300 (on two busy cores under ASan; 150 s beside one other program) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/fd.h"
#include "keeper/folders.h"
#include "keeper/table.h"
#include "keeper_peer.h"

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

#define LEASE_MS 600000

/* Everything that gets away from a killpg or a walk of the tree.  The forker makes short-lived grandchildren as fast
 * as it can; the pipe holder is the plain `sleep`, whose stdout is the session's. */
#define ESCAPERS \
    "sleep 1000 & " \
    "nohup sleep 1000 >/dev/null 2>&1 & " \
    "setsid sleep 1000 & " \
    "( ( setsid bash -c 'trap \"\" HUP INT TERM; while :; do sleep 1000; done' </dev/null >/dev/null 2>&1 & ) & ) ; " \
    "bash -c 'kill -STOP $$; sleep 1000' & " \
    "bash -c 'while :; do :; done' & " \
    "( trap '' HUP INT TERM; sleep 1000 ) & "
#define FORKER "bash -c 'while :; do ( sleep 0.02 & ); done' & "
#define ESCAPER_COUNT 9

static uint32_t hold_of(void **state)
{
    return (uint32_t)(uintptr_t)*state;
}

static void start(struct peer *p, uint64_t key, const char *script, int64_t lease_ms, int *ret_fd)
{
    union report report;

    peer_spawn(p, key, script, lease_ms, ret_fd);
    assert_true(peer_await(p, CF_WIRE_SPAWNED, key, &report));
    assert_int_equal(report.spawned.status, 0);
    assert_true(report.spawned.pid > 1);
    assert_int_equal(kill(report.spawned.pid, 0), 0);
}

static void bye(struct peer *p)
{
    struct cf_wire_bye request = { .type = CF_WIRE_BYE, .grace_ms = 0 };
    int status;

    peer_send(p, &request, sizeof request, NULL, 0);
    assert_true(peer_broken(p));
    status = peer_close(p);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_int_equal(peer_alive(p), 0);
}

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
    start(&p, 1, ESCAPERS "echo ready; exit 7", LEASE_MS, &out);
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
    for (int variant = 0; variant < 7; variant++) {
        struct cf_wire_spawn spawn = { .type = CF_WIRE_SPAWN, .key = 9, .argc = 1, .args_bytes = 5, .lease_ms = 1000 };

        switch (variant) {
        case 0: break;                                  /* the block is no memory file */
        case 1: spawn.argc = 0; break;
        case 2: spawn.args_bytes = CF_WIRE_ARGS_MAX + 1; break;
        case 3: spawn.envc = 0xffffffff; break;
        case 4: spawn.fd_count = 3; break;              /* not as many as came */
        case 5: spawn.hold = 64; break;
        case 6: spawn.lease_ms = 0; break;
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

    if (hold_of(state) == CF_HOLD_CGROUP)
        skip();                         /* has none */
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

/* --- descriptors --- */

static void descriptors_keep_their_old_limit(void **state)
{
    struct cf_wire_spawn spawn = { .type = CF_WIRE_SPAWN, .key = 1, .lease_ms = LEASE_MS, .fd_count = 2,
                                   .fd_targets = { 31, 1 } };
    CF_FD_AUTO folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CF_FD_AUTO block = -1;
    int out[2];
    struct peer p;
    union report report;

    /* Lower than the number at which a descriptor is placed, and than those that are needed meanwhile. */
    peer_open_as(&p, &(struct peer_birth){ .hold = hold_of(state), .open_files = 24 });
    peer_hello(&p);
    block = peer_block(&p, "n=$(ulimit -Sn); echo \"soft $n far\" >&31", &spawn);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    peer_send(&p, &spawn, sizeof spawn, (int[]){ folder, block, out[1], out[1] }, 4);
    close(out[1]);
    assert_true(peer_await(&p, CF_WIRE_SPAWNED, 1, &report));
    assert_int_equal(report.spawned.status, 0);
    assert_true(peer_await_text(out[0], "soft 24 far"));
    close(out[0]);
    bye(&p);
}

/* --- the spare --- */

/* What a keeper has when it is at rest with no session. */
struct rest {
    char folder[600];                   /* of its cgroups; empty: it has none */
    unsigned fds, children, folders;
};

static struct rest look(const struct peer *p, const char *folder)
{
    struct rest rest;
    pid_t one;

    memset(&rest, 0, sizeof rest);
    rest.fds = peer_count_fds(p->keeper_pid);
    rest.children = peer_children(p->keeper_pid, &one);
    snprintf(rest.folder, sizeof rest.folder, "%s", folder);
    rest.folders = folder[0] != '\0' ? peer_count_folders(folder) : 0;
    return rest;
}

static void run_one(struct peer *p, uint64_t key)
{
    union report report;

    start(p, key, "sleep 1000", LEASE_MS, NULL);
    peer_end(p, key, 0);
    assert_true(peer_await(p, CF_WIRE_ENDED, key, &report));
}

/* Runs a session to find out where its cgroup is, and waits for the spare that the keeper then has; *ret is what there
 * is with it. */
static void come_to_rest(struct peer *p, uint32_t hold, struct rest *ret)
{
    char path[512] = "";
    union report report;
    int64_t until_ns = peer_now_ns() + PEER_WAIT_MS * CF_NS_PER_MS;

    peer_spawn(p, 900, "sleep 1000", LEASE_MS, NULL);
    assert_true(peer_await(p, CF_WIRE_SPAWNED, 900, &report));
    if ((hold & CF_HOLD_CGROUP) != 0) {
        assert_true(peer_cgroup_of(report.spawned.pid, path));
        *strrchr(path, '/') = '\0';
    }
    peer_end(p, 900, 0);
    assert_true(peer_await(p, CF_WIRE_ENDED, 900, &report));
    do {
        struct rest first = look(p, path);

        (void)poll(NULL, 0, 20);        /* a spare is not made at one stroke, so what is there has to last */
        *ret = look(p, path);
        if (first.children == (hold != CF_HOLD_CGROUP) && first.folders == (path[0] != '\0') &&
            memcmp(&first, ret, sizeof first) == 0)
            return;
    } while (peer_now_ns() < until_ns);
    fail_msg("no spare: %u children, %u folders", ret->children, ret->folders);
}

static bool rests_again(const struct peer *p, const struct rest *before)
{
    int64_t until_ns = peer_now_ns() + PEER_WAIT_MS * CF_NS_PER_MS;
    struct rest now;

    do {
        now = look(p, before->folder);
        if (now.fds == before->fds && now.children == before->children && now.folders == before->folders)
            return true;
        (void)poll(NULL, 0, 2);
    } while (peer_now_ns() < until_ns);
    print_message("%u descriptors (%u), %u children (%u), %u cgroups (%u)\n", now.fds, before->fds, now.children,
                  before->children, now.folders, before->folders);
    return false;
}

static void a_session_takes_the_spare(void **state)
{
    struct peer p;
    union report report;
    struct rest rest;
    pid_t spare = 0;
    char before[512], after[512];

    peer_open(&p, hold_of(state));
    come_to_rest(&p, hold_of(state), &rest);
    (void)peer_children(p.keeper_pid, &spare);
    if (spare != 0)
        assert_true(peer_cgroup_of(spare, before));
    else
        snprintf(before, sizeof before, "%.400s/s%u", rest.folder, 3u);
    peer_spawn(&p, 1, "sleep 1000", LEASE_MS, NULL);
    assert_true(peer_await(&p, CF_WIRE_SPAWNED, 1, &report));
    assert_int_equal(report.spawned.status, 0);
    assert_int_equal(peer_parent(report.spawned.pid), spare != 0 ? spare : p.keeper_pid);
    if (spare != 0) {
        assert_true(peer_cgroup_of(report.spawned.pid, after));
        assert_string_equal(after, before);
    }
    peer_end(&p, 1, 0);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    assert_true(rests_again(&p, &rest));
    bye(&p);
}

static void a_killed_spare_is_replaced(void **state)
{
    struct peer p;
    struct rest rest;
    pid_t spare = 0, next = 0;

    if (hold_of(state) == CF_HOLD_CGROUP)
        skip();                         /* nobody is in it */
    peer_open(&p, hold_of(state));
    come_to_rest(&p, hold_of(state), &rest);
    (void)peer_children(p.keeper_pid, &spare);
    kill(spare, SIGKILL);
    assert_true(peer_gone(spare));
    run_one(&p, 1);
    assert_true(rests_again(&p, &rest));
    (void)peer_children(p.keeper_pid, &next);
    assert_int_not_equal(next, spare);
    /* By itself, too, which takes longer. */
    kill(next, SIGKILL);
    assert_true(peer_gone(next));
    assert_true(rests_again(&p, &rest));
    bye(&p);
}

static void a_spare_killed_just_before_it_is_taken_harms_no_session(void **state)
{
    struct peer p;
    struct rest rest;
    union report report;
    pid_t spare = 0;

    if (hold_of(state) == CF_HOLD_CGROUP)
        skip();
    peer_open(&p, hold_of(state));
    come_to_rest(&p, hold_of(state), &rest);
    (void)peer_children(p.keeper_pid, &spare);
    /* The keeper finds the request first, and that the spare has died after it. */
    kill(p.keeper_pid, SIGSTOP);
    peer_spawn(&p, 1, "sleep 1000", LEASE_MS, NULL);
    kill(spare, SIGKILL);
    assert_true(peer_gone(spare));
    kill(p.keeper_pid, SIGCONT);
    assert_true(peer_await(&p, CF_WIRE_SPAWNED, 1, &report));
    assert_int_equal(report.spawned.status, 0);
    peer_end(&p, 1, 0);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    run_one(&p, 2);
    assert_true(rests_again(&p, &rest));
    bye(&p);
}

static void no_spare_outlives_the_keeper(void **state)
{
    struct peer p;
    struct rest rest;
    pid_t spare = 0;

    peer_open(&p, hold_of(state));
    come_to_rest(&p, hold_of(state), &rest);
    (void)peer_children(p.keeper_pid, &spare);
    bye(&p);
    if (spare != 0)
        assert_int_equal(peer_parent(spare), 0);
    if (rest.folder[0] != '\0')
        assert_int_not_equal(access(rest.folder, F_OK), 0);
}

static void a_spare_goes_when_its_keeper_is_killed(void **state)
{
    struct peer p, next;
    struct rest rest;
    pid_t spare = 0;

    peer_open(&p, hold_of(state));
    come_to_rest(&p, hold_of(state), &rest);
    (void)peer_children(p.keeper_pid, &spare);
    kill(p.keeper_pid, SIGKILL);
    (void)peer_close(&p);
    if (spare != 0)
        assert_true(peer_gone(spare));
    peer_open_silent(&next, hold_of(state), p.state_dir);
    peer_hello(&next);
    if (rest.folder[0] != '\0')         /* the new one's spare is there, the old one's is not */
        assert_in_range(peer_count_folders(rest.folder), 0, 1);
    bye(&next);
    if (rest.folder[0] != '\0')
        assert_int_not_equal(access(rest.folder, F_OK), 0);
}

/* --- faults --- */

/* Starts a session from the spare and one that finds none.  What could not be started is not there in any part; what
 * could is there whole.  Returns how many could not. */
static unsigned start_with_fault(struct peer *p)
{
    uint64_t started[2];
    union report report;
    unsigned count = 0;

    peer_spawn(p, 1, "sleep 1000", LEASE_MS, NULL);
    peer_spawn(p, 2, "sleep 1000", LEASE_MS, NULL);
    for (int i = 0; i < 2; i++) {
        assert_true(peer_await(p, CF_WIRE_SPAWNED, 0, &report));
        if (report.spawned.status == 0)
            started[count++] = report.spawned.key;
    }
    assert_true(peer_await_exactly(p, count));
    for (unsigned i = 0; i < count; i++) {
        peer_end(p, started[i], 0);
        assert_true(peer_await(p, CF_WIRE_ENDED, started[i], &report));
        assert_int_equal(report.ended.rung, CF_RUNG_KILLED);
    }
    assert_int_equal(peer_alive(p), 0);
    return 2 - count;
}

static void a_failing_call_leaves_a_session_whole_or_nothing(void **state)
{
    enum { CALLS = 55 };              /* above what each kind takes, but for the sweeps of a subreaper */
    struct peer p;
    struct rest rest;
    unsigned refused = 0, met = 0, missed = 0;

    peer_open(&p, hold_of(state));
    come_to_rest(&p, hold_of(state), &rest);
    for (int nth = 1; nth <= CALLS && missed < 4; nth++) {
        peer_fail_at(nth);
        refused += start_with_fault(&p);
        if (peer_fail_at(0) <= 0)
            met++;
        else
            missed++;                   /* a start takes no more than that */
        run_one(&p, 3);
        if (!rests_again(&p, &rest))
            fail_msg("call %d: something is left", nth);
    }
    print_message("%u calls failed, %u sessions were refused\n", met, refused);
    assert_true(refused >= 3);
    bye(&p);
}

#define FOR_EACH_HOLD(X) \
    X(both, "cgroup+pidns", CF_HOLD_CGROUP | CF_HOLD_PIDNS) \
    X(cgroup, "cgroup", CF_HOLD_CGROUP) \
    X(pidns, "pidns", CF_HOLD_PIDNS) \
    X(subreaper, "subreaper", CF_HOLD_SUBREAPER)

static const struct { const char *title; CMUnitTestFunction function; } behaviours[] = {
    { "Nothing escapes: a killed session leaves no process", nothing_escapes_at_once },
    { "Nothing escapes: nor one that had a second of grace", nothing_escapes_with_grace },
    { "Nothing escapes: a process that keeps forking does not get away", forker_does_not_escape },
    { "Nothing escapes: nor does it with grace", forker_does_not_escape_with_grace },
    { "Nothing escapes: orphans of a leader that left by itself go with the session",
      orphans_die_after_the_leader_left },
    { "Nothing escapes: a session that kills its own init is ended all the same", a_killed_init_lets_nothing_escape },
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
    { "sessions start with the limit on descriptors that the keeper was started with",
      descriptors_keep_their_old_limit },
    { "a session takes the spare, and there is a new one after it", a_session_takes_the_spare },
    { "a spare that is killed is replaced and leaves nothing", a_killed_spare_is_replaced },
    { "a spare that is killed just before it is taken harms no session",
      a_spare_killed_just_before_it_is_taken_harms_no_session },
    { "Nothing escapes: no spare outlives a keeper that goes in order", no_spare_outlives_the_keeper },
    { "Nothing escapes: nor one that is killed", a_spare_goes_when_its_keeper_is_killed },
    { "Nothing escapes: a call that fails while a session starts leaves it whole or nothing",
      a_failing_call_leaves_a_session_whole_or_nothing },
};

#define BEHAVIOURS (sizeof behaviours / sizeof behaviours[0])

static int run_hold(const char *name, uint32_t hold)
{
    struct CMUnitTest tests[BEHAVIOURS];
    static char titles[BEHAVIOURS][200];

    if (!peer_offers(hold)) {
        printf("# skipped: containment %s does not work on this machine\n", name);
        return 0;
    }
    for (size_t i = 0; i < BEHAVIOURS; i++) {
        snprintf(titles[i], sizeof titles[i], "%s: %s", name, behaviours[i].title);
        tests[i] = (struct CMUnitTest){ .name = titles[i], .test_func = behaviours[i].function,
                                        .initial_state = (void *)(uintptr_t)hold };
    }
    return _cmocka_run_group_tests(name, tests, BEHAVIOURS, NULL, NULL);
}

/* --- of no containment --- */

static void a_table_has_room_for_what_a_start_records(void **state)
{
    struct cf_table t;

    cf_table_init(&t, 2000);
    for (uint32_t i = 1; i <= 1500; i++) {
        struct cf_held *held = cf_table_add(&t, i);

        assert_non_null(held);
        peer_no_memory(true);
        cf_table_pid_set(&t, held, (pid_t)i);
        cf_table_cgroup_set(&t, held, i);
        peer_no_memory(false);
        assert_ptr_equal(cf_table_by_pid(&t, (pid_t)i), held);
        assert_ptr_equal(cf_table_by_cgroup(&t, i), held);
    }
    cf_table_free(&t);
}

static void make_folder(char *ret_path, size_t size)
{
    const char *base = getenv("TMPDIR");

    snprintf(ret_path, size, "%s/keeper.XXXXXX", base != NULL ? base : "/tmp");
    assert_non_null(mkdtemp(ret_path));
}

/* Where a keeper is that leaves something, and the next one. */
static void sweep_elsewhere(uint32_t hold, bool move_away)
{
    char folder[100], here[512], there[600], file[200];
    struct peer p, next;
    CF_FD_AUTO out = -1;
    struct stat status;

    make_folder(folder, sizeof folder);
    assert_true(peer_cgroup_of(getpid(), here));
    snprintf(there, sizeof there, "%s/curfew-test-%d", here, (int)getpid());
    assert_int_equal(mkdir(there, 0755), 0);
    peer_open_as(&p, &(struct peer_birth){ .hold = hold, .state_dir = folder, .cgroup = there });
    peer_hello(&p);
    start(&p, 1, ESCAPERS "echo ready; wait", LEASE_MS, &out);
    assert_true(peer_await_text(out, "ready"));
    kill(p.keeper_pid, SIGKILL);
    (void)peer_close(&p);
    peer_open_as(&next, &(struct peer_birth){ .hold = hold, .state_dir = folder, .cgroup = move_away ? NULL : there });
    peer_hello(&next);
    assert_int_equal(peer_alive(&p), 0);
    assert_true(next.welcome.swept >= 3);
    if (move_away)
        assert_int_equal(peer_count_folders(there), 0);
    snprintf(file, sizeof file, "%s/cgroup", folder);
    assert_int_equal(stat(file, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    bye(&next);
    assert_int_equal(rmdir(there), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);         /* and nothing else is in it */
}

static void what_a_keeper_left_in_another_cgroup_is_swept(void **state)
{
    if (peer_cgroup_mount() == NULL || !peer_offers(CF_HOLD_CGROUP))
        skip();
    sweep_elsewhere(CF_HOLD_CGROUP, true);
    sweep_elsewhere(CF_HOLD_CGROUP, false);
}

static void a_list_of_cgroups_that_says_anything_harms_nobody(void **state)
{
    char folder[100], file[200], here[512], other[600], plain[200];
    struct peer p;
    FILE *list;

    if (peer_cgroup_mount() == NULL || !peer_offers(CF_HOLD_CGROUP))
        skip();
    make_folder(folder, sizeof folder);
    assert_true(peer_cgroup_of(getpid(), here));
    snprintf(other, sizeof other, "%s/curfew-00000000", here);
    snprintf(plain, sizeof plain, "%s/curfew-plain", folder);
    assert_int_equal(mkdir(other, 0755), 0);
    assert_int_equal(mkdir(plain, 0755), 0);
    snprintf(file, sizeof file, "%s/cgroup", folder);
    list = fopen(file, "we");
    assert_non_null(list);
    fprintf(list, "%s\n%s\n%s\n\n/\nnonsense\n/nowhere/at/all", other, here, plain);
    for (int i = 0; i < 3000; i++)
        fputs("x/", list);
    fclose(list);
    peer_open_as(&p, &(struct peer_birth){ .hold = CF_HOLD_CGROUP, .state_dir = folder });
    peer_hello(&p);
    run_one(&p, 1);
    bye(&p);
    assert_int_equal(rmdir(other), 0);          /* neither was removed */
    assert_int_equal(rmdir(plain), 0);
    assert_int_equal(unlink(file), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void refuses(const char *path, const char *first, const char *second)
{
    struct cf_error error = { 0 };

    assert_int_equal(cf_folder_make(path, 0700, &error), CF_E_SYSTEM);
    assert_non_null(strstr(error.text, path));
    assert_non_null(strstr(error.text, first));
    assert_non_null(strstr(error.text, second));
}

static void a_folder_that_others_may_write_is_refused(void **state)
{
    char folder[100], path[120], link[120], slashed[130];
    struct cf_error error = { 0 };

    make_folder(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/state", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    snprintf(slashed, sizeof slashed, "%s//", link);
    assert_int_equal(cf_folder_make(path, 0700, &error), 0);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(cf_folder_make(path, 0700, &error), 0);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(cf_folder_make(slashed, 0700, &error), 0);
    assert_int_equal(chmod(path, 0775), 0);
    refuses(path, "0775", "owner");
    refuses(link, "0775", "owner");
    assert_int_equal(chmod(path, 01777), 0);
    refuses(path, "1777", "owner");
    assert_int_equal(chmod(path, 0700), 0);
    if (geteuid() == 0) {
        assert_int_equal(chown(path, 12345, 12345), 0);
        refuses(path, "12345", "0700");
        assert_int_equal(chown(path, 0, 0), 0);
        assert_int_equal(lchown(link, 12345, 12345), 0);
        refuses(link, "12345", "symbolic link");
        assert_int_equal(cf_folder_make(slashed, 0700, &error), CF_E_SYSTEM);
    }
    assert_int_equal(unlink(link), 0);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static const struct CMUnitTest alone[] = {
    { .name = "a table has room for what a start records, with no memory left",
      .test_func = a_table_has_room_for_what_a_start_records },
    { .name = "Nothing escapes: what a killed keeper left in one cgroup is swept by one that starts in another",
      .test_func = what_a_keeper_left_in_another_cgroup_is_swept },
    { .name = "Nothing dies by mistake: a list of cgroups that says anything harms nobody",
      .test_func = a_list_of_cgroups_that_says_anything_harms_nobody },
    { .name = "a folder that others may write, own or link is refused with its owner and mode",
      .test_func = a_folder_that_others_may_write_is_refused },
};

int main(int argc, char **argv)
{
    int failed = 0;

    if (argc > 2)
        cmocka_set_test_filter(argv[2]);
#define ROW(id, name, hold) if (argc < 2 || strcmp(argv[1], name) == 0) failed += run_hold(name, hold);
    FOR_EACH_HOLD(ROW)
#undef ROW
    if (argc < 2 || strcmp(argv[1], "alone") == 0)
        failed += cmocka_run_group_tests_name("alone", alone, NULL, NULL);
    return failed != 0;
}
