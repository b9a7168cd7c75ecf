/* test_keeper_spare.c: what is made ahead of a session, and what becomes of a start when a call fails.
 * budget: 240 (on two busy cores under ASan) */
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

static const struct behaviour behaviours[] = {
    { "sessions start with the limit on descriptors that the keeper was started with",
      descriptors_keep_their_old_limit },
    { "a session takes the spare, and there is a new one after it", a_session_takes_the_spare },
    { "a spare that is killed is replaced and leaves nothing", a_killed_spare_is_replaced, .needs_init = true },
    { "a spare that is killed just before it is taken harms no session",
      a_spare_killed_just_before_it_is_taken_harms_no_session, .needs_init = true },
    { "Nothing escapes: no spare outlives a keeper that goes in order", no_spare_outlives_the_keeper },
    { "Nothing escapes: nor one that is killed", a_spare_goes_when_its_keeper_is_killed },
    { "Nothing escapes: a call that fails while a session starts leaves it whole or nothing",
      a_failing_call_leaves_a_session_whole_or_nothing },
};

int main(int argc, char **argv)
{
    return run_holds(argc, argv, behaviours, sizeof behaviours / sizeof behaviours[0]);
}
