/* test_keeper_next.c: what a server that comes after another finds in the keeper's hand.
 * budget: 240 (as test_keeper) */
#include "keeper_holds.h"

#include "base/clock.h"
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
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

static void drop(struct peer *p, uint64_t key, uint64_t tag)
{
    struct cf_wire_drop request = { .type = CF_WIRE_DROP, .key = key, .tag = tag };

    peer_send(p, &request, sizeof request, NULL, 0);
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

static const struct behaviour behaviours[] = {
    { "what a server held comes to the next one, with what is in the pipes", what_a_server_held_comes_to_the_next },
};

int main(int argc, char **argv)
{
    (void)drop;
    return run_holds(argc, argv, behaviours, sizeof behaviours / sizeof behaviours[0]);
}
