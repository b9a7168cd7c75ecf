/* test_keeper_next.c: what a server that comes after another finds in the keeper's hand.
 * budget: 240 (as test_keeper) */
#include "keeper_holds.h"

#include "base/clock.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE_MS 5                      /* instead of 100 ms, between two starts in a row */

static void open_with(struct peer *p, const struct peer_birth *birth)
{
    struct cf_wire_serving serving = { .type = CF_WIRE_SERVING };

    peer_open_as(p, birth);
    peer_hello(p);
    peer_send(p, &serving, sizeof serving, NULL, 0);
}

static void open_lasting(struct peer *p, void **state)
{
    open_with(p, &(struct peer_birth){ .hold = hold_of(state), .restarts = 1000, .pause_ms = PAUSE_MS, .settled_ms = 1 });
}

/* The next server, which says SERVING at once, as in HELD and KEPT nothing is asked of it. */
static void next(struct peer *p)
{
    struct cf_wire_serving serving = { .type = CF_WIRE_SERVING };

    assert_true(peer_next(p));
    peer_hello(p);
    peer_send(p, &serving, sizeof serving, NULL, 0);
}

static void hold(struct peer *p, uint64_t key, uint64_t tag, int fd)
{
    struct cf_wire_hold request = { .type = CF_WIRE_HOLD, .count = 1, .key = key, .tags = { tag } };

    peer_send(p, &request, sizeof request, &fd, 1);
}

/* A pipe with `text` in it, whose only reader the keeper has then. */
static int hold_pipe(struct peer *p, uint64_t key, uint64_t tag, const char *text)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), (ssize_t)strlen(text));
    hold(p, key, tag, ends[0]);
    close(ends[0]);
    return ends[1];
}

static void expect(struct peer *p, uint32_t type, union report *ret, int *ret_fds, size_t *ret_nfds)
{
    assert_true(peer_take(p, ret, ret_fds, ret_nfds));
    assert_int_equal(ret->type, type);
}

static struct cf_wire_held expect_held(struct peer *p, uint64_t key, uint32_t session_state)
{
    union report report;
    int fds[CF_WIRE_FDS_MAX];
    size_t nfds;

    expect(p, CF_WIRE_HELD, &report, fds, &nfds);
    assert_int_equal(report.held.key, key);
    assert_int_equal(report.held.session_state, session_state);
    return report.held;
}

/* One KEPT with one descriptor in it that reads as `text`. */
static void expect_pipe(struct peer *p, uint64_t key, uint64_t tag, const char *text)
{
    union report report;
    int fds[CF_WIRE_FDS_MAX];
    size_t nfds;

    expect(p, CF_WIRE_KEPT, &report, fds, &nfds);
    assert_int_equal(nfds, 1);
    assert_int_equal(report.kept.count, 1);
    assert_int_equal(report.kept.key, key);
    assert_int_equal(report.kept.tags[0], tag);
    assert_true(peer_await_text(fds[0], text));
    close(fds[0]);
}

static void what_a_server_held_comes_to_the_next(void **state)
{
    struct peer p;
    struct cf_wire_held held;
    CF_FD_AUTO own = -1;
    CF_FD_AUTO one = -1;
    union report report;

    open_lasting(&p, state);
    peer_spawn(&p, 7, "sleep 1000", LEASE_MS, NULL);
    assert_true(peer_await(&p, CF_WIRE_SPAWNED, 7, &report));
    own = hold_pipe(&p, 0, 99, "of the server");
    one = hold_pipe(&p, 7, 3, "of the session");
    next(&p);
    assert_int_equal(p.welcome.servers, 1);
    assert_int_equal(p.welcome.held, 1);
    assert_int_equal(p.welcome.kept, 2);
    expect_pipe(&p, 0, 99, "of the server");
    held = expect_held(&p, 7, CF_WIRE_S_LIVE);
    assert_int_equal(held.pid, report.spawned.pid);
    assert_int_equal(held.hold, report.spawned.hold);
    expect_pipe(&p, 7, 3, "of the session");
    peer_end(&p, 7, 0);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 7, &report));
    bye(&p);
}

static void bye_of_process(struct peer *p)
{
    struct cf_wire_bye request = { .type = CF_WIRE_BYE, .grace_ms = 0 };

    peer_send(p, &request, sizeof request, NULL, 0);
    assert_true(peer_broken(p));
    assert_int_equal(kill(p->server_pid, SIGKILL), 0);
    assert_int_equal(peer_close(p), 0);
    assert_int_equal(peer_alive(p), 0);
}

/* Processes but this one and the keeper that have a descriptor open whose target has this name in it. */
static unsigned count_holders(const struct peer *p, const char *name)
{
    DIR *processes = opendir("/proc");
    struct dirent *process, *entry;
    unsigned count = 0;

    while ((process = readdir(processes)) != NULL) {
        char path[600], target[256];
        DIR *fds;

        if (process->d_name[0] < '1' || process->d_name[0] > '9' || atoi(process->d_name) == getpid() ||
            atoi(process->d_name) == p->keeper_pid)
            continue;
        snprintf(path, sizeof path, "/proc/%s/fd", process->d_name);
        fds = opendir(path);
        while (fds != NULL && (entry = readdir(fds)) != NULL) {
            ssize_t length;

            snprintf(path, sizeof path, "/proc/%s/fd/%s", process->d_name, entry->d_name);
            length = readlink(path, target, sizeof target - 1);
            target[length > 0 ? length : 0] = '\0';
            count += strstr(target, name) != NULL;
        }
        if (fds != NULL)
            closedir(fds);
    }
    closedir(processes);
    return count;
}

static void neither_init_nor_leader_has_what_is_held(void **state)
{
    struct peer p;
    union report report;
    CF_FD_AUTO memory = memfd_create("curfew-test-kept", MFD_CLOEXEC);
    CF_FD_AUTO out = -1;

    open_lasting(&p, state);
    hold(&p, 0, 1, memory);
    start(&p, 1, "sleep 1000", LEASE_MS, NULL);
    hold(&p, 1, 1, memory);
    start(&p, 2, "echo ready; sleep 1000", LEASE_MS, &out);
    assert_true(peer_await_text(out, "ready"));
    run_one(&p, 3);                     /* a round trip through the loop, which makes the next containment ahead, too */
    assert_int_equal(count_holders(&p, "curfew-test-kept"), 0);
    next(&p);
    assert_true(peer_await(&p, CF_WIRE_KEPT, 1, &report));
    assert_int_equal(count_holders(&p, "curfew-test-kept"), 0);
    bye(&p);
}

/* A leader that reads a pipe whose other end the keeper alone has. */
static void start_reader(struct peer *p, uint64_t key, const char *script)
{
    struct cf_wire_spawn spawn = { .type = CF_WIRE_SPAWN, .key = key, .lease_ms = LEASE_MS, .fd_count = 1 };
    CF_FD_AUTO folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CF_FD_AUTO block = peer_block(p, script, &spawn);
    union report report;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    peer_send(p, &spawn, sizeof spawn, (int[]){ folder, block, ends[0] }, 3);
    hold(p, key, 1, ends[1]);
    close(ends[0]);
    close(ends[1]);
    assert_true(peer_await(p, CF_WIRE_SPAWNED, key, &report));
    assert_int_equal(report.spawned.status, 0);
}

static void an_end_closes_what_is_held_of_the_session(void **state)
{
    struct peer p;
    union report report;

    open_lasting(&p, state);
    start_reader(&p, 1, "trap '' INT; read -r _; exit 6");
    next(&p);
    assert_true(peer_await(&p, CF_WIRE_HELD, 1, &report));
    assert_int_equal(report.held.session_state, CF_WIRE_S_LIVE);
    peer_end(&p, 1, PEER_WAIT_MS);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    assert_in_range(report.ended.rung, CF_RUNG_CLOSED, CF_RUNG_INTERRUPTED);    /* a busy machine takes over 50 ms */
    assert_int_equal(WEXITSTATUS(report.ended.wait_status), 6);
    bye(&p);
}

static void what_happened_in_between_is_told_to_the_next(void **state)
{
    struct peer p;
    union report report;
    CF_FD_AUTO out = -1;

    open_lasting(&p, state);
    p.remembers = true;
    start_reader(&p, 1, "read -r _; exit 9");
    start(&p, 2, "sleep 1000", LEASE_MS, &out);
    peer_end(&p, 2, 0);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 2, &report));
    peer_send(&p, &(struct cf_wire_drop){ .type = CF_WIRE_DROP, .key = 1, .tag = 1 }, sizeof(struct cf_wire_drop), NULL, 0);
    next(&p);
    assert_int_equal(p.welcome.held, 2);
    assert_true(peer_await(&p, CF_WIRE_LEFT, 1, &report));      /* told to the one or the other */
    assert_int_equal(WEXITSTATUS(report.left.wait_status), 9);
    next(&p);
    assert_true(peer_await(&p, CF_WIRE_LEFT, 1, &report));
    assert_true(peer_await(&p, CF_WIRE_ENDED, 2, &report));
    peer_forget(&p, 2);
    peer_end(&p, 1, 0);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    peer_forget(&p, 1);
    next(&p);
    assert_int_equal(p.welcome.held, 0);
    assert_int_equal(peer_alive(&p), 0);
    p.remembers = false;
    bye(&p);
}

static void what_a_server_said_before_it_was_killed_counts(void **state)
{
    struct peer p;
    union report report;
    CF_FD_AUTO in = -1;

    open_lasting(&p, state);
    start(&p, 1, "sleep 1000", LEASE_MS, NULL);
    start(&p, 2, "sleep 1000", LEASE_MS, NULL);
    for (int i = 0; i < 600; i++)       /* more than one turn of the keeper's, whose answers nobody reads */
        peer_signal(&p, 1, SIGCONT, CF_SCOPE_LEADER, 0);
    peer_end(&p, 1, 0);
    in = hold_pipe(&p, 2, 5, "last words");
    next(&p);
    assert_int_equal(expect_held(&p, 1, CF_WIRE_S_ENDING).key, 1);
    expect_held(&p, 2, CF_WIRE_S_LIVE);
    expect_pipe(&p, 2, 5, "last words");
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    bye(&p);
}

static void two_hundred_servers_leave_no_descriptor_and_no_process(void **state)
{
    struct peer p;
    union report report;
    CF_FD_AUTO in = -1;
    unsigned before = 0, children = 0;
    pid_t one;

    open_with(&p, &(struct peer_birth){ .hold = hold_of(state), .restarts = 1000, .pause_ms = 1, .settled_ms = 1,
                                        .process = true });
    start(&p, 1, "sleep 1000", LEASE_MS, NULL);
    in = hold_pipe(&p, 1, 1, "x");
    for (int i = 0; i < 200; i++) {
        next(&p);
        assert_true(peer_await(&p, CF_WIRE_KEPT, 1, &report));
        assert_int_equal(report.kept.count, 1);
        assert_int_equal(kill(p.server_pid, SIGKILL), 0);
        assert_true(peer_gone(p.server_pid));
        if (i == 10) {
            before = peer_count_fds(p.keeper_pid);
            children = peer_children(p.keeper_pid, &one);
        }
    }
    next(&p);
    assert_true(peer_await(&p, CF_WIRE_KEPT, 1, &report));
    assert_true(peer_count_fds(p.keeper_pid) <= before + 1);
    assert_true(peer_children(p.keeper_pid, &one) <= children + 1);
    assert_int_equal(peer_alive(&p), 1);
    bye_of_process(&p);
}

static void a_server_that_breaks_the_rules_is_killed_and_followed(void **state)
{
    struct peer p;
    union report report;
    pid_t broken;

    open_with(&p, &(struct peer_birth){ .hold = hold_of(state), .restarts = 1000, .pause_ms = 1, .process = true });
    start(&p, 1, "sleep 1000", LEASE_MS, NULL);
    next(&p);
    broken = p.server_pid;
    peer_send(&p, "rubbish", 7, NULL, 0);
    assert_true(peer_broken(&p));
    next(&p);
    assert_true(peer_gone(broken));
    assert_int_not_equal(p.server_pid, broken);
    assert_true(peer_await(&p, CF_WIRE_HELD, 1, &report));
    assert_int_equal(peer_alive(&p), 1);
    bye_of_process(&p);
}

/* Its connection has ended, its process lives on: two seconds are enough to go. */
static void a_server_that_only_closes_its_connection_is_killed_in_the_end(void **state)
{
    struct peer p;
    union report report;
    pid_t silent;

    open_with(&p, &(struct peer_birth){ .hold = hold_of(state), .restarts = 1000, .pause_ms = 1, .process = true });
    start(&p, 1, "sleep 1000", LEASE_MS, NULL);
    next(&p);
    silent = p.server_pid;
    next(&p);
    assert_true(peer_gone(silent));
    assert_true(peer_await(&p, CF_WIRE_HELD, 1, &report));
    bye_of_process(&p);
}

static void a_server_that_hangs_costs_no_session(void **state)
{
    enum { SHORT_MS = 400 };
    struct peer p;
    union report report;
    pid_t hung;
    struct cf_wire_renew renew = { .type = CF_WIRE_RENEW, .lease_ms = LEASE_MS };

    open_with(&p, &(struct peer_birth){ .hold = hold_of(state), .restarts = 1000, .pause_ms = 1, .process = true });
    start(&p, 1, "sleep 1000", SHORT_MS, NULL);
    start(&p, 2, "sleep 1000", LEASE_MS, NULL);
    next(&p);
    hung = p.server_pid;
    close(p.fd);                        /* by next(), which would else be the end of it before its time */
    p.fd = -1;
    assert_true(peer_await_next(&p, &p.fd, &p.server_pid));
    assert_true(peer_gone(hung));
    peer_hello(&p);
    peer_send(&p, &renew, sizeof renew, NULL, 0);
    assert_int_equal(p.welcome.held, 2);
    for (uint64_t key = 1; key <= 2; key++) {
        assert_true(peer_await(&p, CF_WIRE_HELD, key, &report));
        assert_int_equal(report.held.session_state, CF_WIRE_S_LIVE);
    }
    assert_int_equal(peer_alive(&p), 2);
    bye_of_process(&p);
}

static void if_the_next_does_not_renew_either_the_session_ends(void **state)
{
    struct peer p;
    union report report;

    open_lasting(&p, state);
    start(&p, 1, "sleep 1000", 300, NULL);
    assert_true(peer_broken(&p));       /* it was given up for not renewing */
    next(&p);
    assert_true(peer_await(&p, CF_WIRE_HELD, 1, &report));
    assert_int_equal(report.held.session_state, CF_WIRE_S_LIVE);
    assert_true(peer_await(&p, CF_WIRE_ENDED, 1, &report));
    assert_int_equal(report.ended.cause, CF_CAUSE_LEASE);
    assert_int_equal(peer_alive(&p), 0);
    bye(&p);
}

static void expect_exit(struct peer *p, int expected)
{
    int status;

    cf_fd_close(&p->fd);
    assert_true(peer_gone(p->keeper_pid));
    assert_int_equal(waitpid(p->keeper_pid, &status, 0), p->keeper_pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
    assert_int_equal(peer_alive(p), 0);
    p->keeper_pid = 0;
    peer_close(p);
}

static void it_is_given_up_in_the_end(void **state)
{
    struct peer p;

    open_with(&p, &(struct peer_birth){ .hold = hold_of(state), .restarts = 3, .pause_ms = PAUSE_MS });
    start(&p, 1, "sleep 1000", LEASE_MS, NULL);
    for (int i = 0; i < 3; i++)
        assert_true(peer_next(&p));
    expect_exit(&p, CF_KEEPER_EXIT_LOST);
}

static void starts_in_vain_are_followed_by_others(void **state)
{
    struct peer p;
    union report report;

    open_with(&p, &(struct peer_birth){ .hold = hold_of(state), .restarts = 5, .pause_ms = PAUSE_MS, .vain_from = 1,
                                        .vain = 4 });
    start(&p, 1, "sleep 1000", LEASE_MS, NULL);
    next(&p);
    assert_true(peer_await(&p, CF_WIRE_HELD, 1, &report));
    bye(&p);
}

static void without_a_server_to_come_the_sessions_end(void **state)
{
    struct peer p;
    struct peer_birth birth = { .hold = hold_of(state), .restarts = 0 };

    open_with(&p, &birth);                                      /* none is wanted */
    start(&p, 1, "sleep 1000", LEASE_MS, NULL);
    expect_exit(&p, CF_KEEPER_EXIT_LOST);

    birth.restarts = 5;
    peer_open_as(&p, &birth);
    peer_hello(&p);                                             /* it never served */
    start(&p, 1, "sleep 1000", LEASE_MS, NULL);
    expect_exit(&p, CF_KEEPER_EXIT_LOST);

    birth.vain_from = 1;
    birth.vain = 100;
    birth.pause_ms = PAUSE_MS;
    open_with(&p, &birth);                                      /* none can be started */
    start(&p, 1, "sleep 1000", LEASE_MS, NULL);
    expect_exit(&p, CF_KEEPER_EXIT_LOST);
}

static void told_to_go_while_no_server_is_there_it_ends_all_in_order(void **state)
{
    struct peer p;
    CF_FD_AUTO out = -1;

    open_with(&p, &(struct peer_birth){ .hold = hold_of(state), .restarts = 5, .pause_ms = 600000 });
    start(&p, 1, "trap 'echo asked; exit' INT; echo ready; while :; do sleep 0.1; done", LEASE_MS, &out);
    assert_true(peer_await_text(out, "ready"));
    assert_true(peer_next(&p));         /* at once; the next one would come in ten minutes */
    assert_int_equal(shutdown(p.fd, SHUT_WR), 0);
    assert_true(peer_broken(&p));       /* the keeper has seen that it is gone */
    assert_int_equal(kill(p.keeper_pid, SIGTERM), 0);
    assert_true(peer_await_text(out, "asked"));
    expect_exit(&p, 0);
}

static const struct behaviour behaviours[] = {
    { "what a server held comes to the next one, with what is in the pipes", what_a_server_held_comes_to_the_next },
    { "neither init nor leader has what is held", neither_init_nor_leader_has_what_is_held },
    { "an end closes what is held of the session, whose shell sees its input closed",
      an_end_closes_what_is_held_of_the_session },
    { "what happened while no server was there, or listened, is told to the next",
      what_happened_in_between_is_told_to_the_next },
    { "what a server had said before it was killed counts, behind answers that it did not read",
      what_a_server_said_before_it_was_killed_counts },
    { "200 servers leave no descriptor and no process", two_hundred_servers_leave_no_descriptor_and_no_process },
    { "a server that breaks the rules is killed, and another one starts",
      a_server_that_breaks_the_rules_is_killed_and_followed },
    { "a server that only closes its connection is killed in the end",
      a_server_that_only_closes_its_connection_is_killed_in_the_end },
    { "Nothing dies by mistake: a server that hangs is killed, and costs no session", a_server_that_hangs_costs_no_session },
    { "a session that the next server does not renew either ends", if_the_next_does_not_renew_either_the_session_ends },
    { "a server that dies again and again is given up: all sessions end, exit status 70", it_is_given_up_in_the_end },
    { "starts that fail are followed by others", starts_in_vain_are_followed_by_others },
    { "with no server to come the sessions end", without_a_server_to_come_the_sessions_end },
    { "told to go while no server is there, the keeper ends all with the grace and exits with 0",
      told_to_go_while_no_server_is_there_it_ends_all_in_order },
};

int main(int argc, char **argv)
{
    return run_holds(argc, argv, behaviours, sizeof behaviours / sizeof behaviours[0]);
}
