/* keeper_stage.h: a keeper without its loop, sessions that are no processes, and the test at the server's end; the clock is the test's. */
#ifndef CURFEW_TEST_KEEPER_STAGE_H
#define CURFEW_TEST_KEEPER_STAGE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"
#include "keeper/context.h"
#include "keeper/ladder.h"
#include "keeper/link.h"
#include "keeper/revive.h"
#include "keeper_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define LEASE_MS 60000
#define RESTARTS 12

/* A keeper without its loop, and the test at the server's end. */
static struct {
    struct cf_keeper k;
    int peer_fd;
    unsigned starts;
    bool start_fails;
    bool spawn_fails, spawn_waits;      /* what the next start does */
    bool stays;                         /* what is killed does not go */
} s;

/* --- sessions that are no processes --- */

static inline int start(struct cf_keeper *k, struct cf_held *held, const struct cf_spawn_plan *plan, const int *fds)
{
    held->init_pid = 1;
    if (s.spawn_fails)
        return EAGAIN;
    if (!s.spawn_waits)
        cf_ladder_event(k, held, CF_EVENT_STARTED, 1000 + (pid_t)held->key);
    return 0;
}

static inline int send_signal(struct cf_keeper *k, struct cf_held *held, const struct cf_scope *scope, int signo, bool wake)
{
    return 0;                           /* an init answers when the test says so */
}

static inline void kill_all(struct cf_keeper *k, struct cf_held *held)
{
    if (!s.stays)
        held->init_pid = 0;
}

static inline bool empty(struct cf_keeper *k, struct cf_held *held)
{
    return held->init_pid == 0;
}

static inline int release(struct cf_keeper *k, struct cf_held *held)
{
    return 0;
}

/* --- servers --- */

static inline pid_t connect_next(void *context, enum cf_start which, int *ret_fd)
{
    int ends[2];

    s.starts++;
    if (s.start_fails) {
        errno = EAGAIN;
        return -1;
    }
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends), 0);
    *ret_fd = ends[0];
    s.peer_fd = ends[1];
    return 0;
}

static inline int set_up(void **state)
{
    static const struct cf_hold_ops ops = { start, send_signal, kill_all, empty, release };
    int fd;

    cf_log_init("keeper", getenv("CURFEW_TEST_LOG") != NULL ? CF_LOG_DEBUG : CF_LOG_ERROR);
    memset(&s, 0, sizeof s);
    s.k = (struct cf_keeper){ .ops = &ops, .hold_default = CF_HOLD_PIDNS, .hold_offered = 7, .now_ns = CF_NS_PER_S,
                              .proc_fd = -1, .signal_fd = -1, .epoll_fd = epoll_create1(EPOLL_CLOEXEC),
                              .spare = { .control_fd = -1, .cgroup_fd = -1 }, .cgroups = { .dir_fd = -1 } };
    s.k.config = (struct cf_keeper_config){ .start_server = connect_next, .server_restarts = RESTARTS, .grace_ms = 1000 };
    s.k.phase_until_ns = s.k.revival.due_ns = s.k.spare_due_ns = s.k.upgrade.until_ns = CF_NEVER_NS;
    cf_table_init(&s.k.table, 300);
    assert_int_equal(connect_next(NULL, CF_START_CURRENT, &fd), 0);
    s.starts = 0;
    cf_keeper_connect(&s.k, fd, 0);
    return 0;
}

static inline int tear_down(void **state)
{
    cf_link_drop(&s.k);
    cf_kept_free(&s.k);
    assert_int_equal(s.k.kept.total, 0);
    cf_table_free(&s.k.table);
    cf_fd_close(&s.k.epoll_fd);
    cf_fd_close(&s.peer_fd);
    return 0;
}

static inline void tell(const void *packet, size_t len, const int *fds, size_t nfds)
{
    assert_int_equal(cf_packet_send(s.peer_fd, packet, len, fds, nfds), 0);
    cf_link_read(&s.k);
    cf_link_flush(&s.k);
}
#define TELL(structure, ...) tell(&(struct structure){ __VA_ARGS__ }, sizeof(struct structure), NULL, 0)

/* The next report; false: there is none now.  Descriptors that nobody asks for are closed. */
static inline bool hear(union report *ret, int *ret_fds)
{
    int fds[CF_WIRE_FDS_MAX];
    size_t nfds;

    cf_link_flush(&s.k);
    memset(ret, 0, sizeof *ret);
    if (cf_packet_recv(s.peer_fd, ret, sizeof *ret, fds, CF_WIRE_FDS_MAX, &nfds) <= 0)
        return false;
    for (size_t i = 0; i < nfds; i++)
        if (ret_fds != NULL)
            ret_fds[i] = fds[i];
        else
            close(fds[i]);
    if (ret->type == CF_WIRE_KEPT)
        assert_int_equal(nfds, ret->kept.count);
    return true;
}

static inline union report expect(uint32_t type, uint64_t key)
{
    union report report;

    assert_true(hear(&report, NULL));
    assert_int_equal(report.type, type);
    assert_int_equal(type == CF_WIRE_HELD ? report.held.key : type == CF_WIRE_KEPT ? report.kept.key
                     : type == CF_WIRE_ENDED ? report.ended.key : type == CF_WIRE_WELCOME ? key : report.spawned.key, key);
    return report;
}

static inline void expect_silence(void)
{
    union report report;

    assert_false(hear(&report, NULL));
    assert_int_equal(errno, EAGAIN);
}

static inline struct cf_wire_welcome hello(void)
{
    TELL(cf_wire_hello, .type = CF_WIRE_HELLO, .version = CF_WIRE_VERSION);
    return expect(CF_WIRE_WELCOME, 0).welcome;
}

static inline void serve(void)
{
    TELL(cf_wire_serving, .type = CF_WIRE_SERVING);
}

/* The server goes and another one comes; as the keeper's loop has it. */
static inline void succeed(void)
{
    cf_fd_close(&s.peer_fd);
    cf_link_read(&s.k);
    cf_link_drain(&s.k);
    cf_link_drop(&s.k);
    assert_true(cf_revive_after(&s.k, "is gone", false));
    s.k.now_ns = s.k.revival.due_ns;
    assert_int_equal(cf_revive_turn(&s.k), 0);
    assert_true(s.k.link.fd >= 0);
}

static inline struct cf_held *spawn(uint64_t key)
{
    struct cf_wire_spawn request = { .type = CF_WIRE_SPAWN, .key = key, .argc = 1, .args_bytes = 2, .lease_ms = LEASE_MS };

    tell(&request, sizeof request, (int[]){ 0, 0 }, 2);
    return cf_table_by_key(&s.k.table, key);
}

static inline void spawn_all(uint64_t first, uint64_t last)
{
    for (uint64_t key = first; key <= last; key++) {
        assert_non_null(spawn(key));
        expect(CF_WIRE_SPAWNED, key);
    }
}

/* Under a tag the keeper holds the read end of a pipe; the write end shows whether it does. */
static inline int hold_pipe(uint64_t key, uint64_t tag)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    tell(&(struct cf_wire_hold){ .type = CF_WIRE_HOLD, .count = 1, .key = key, .tags = { tag } }, sizeof(struct cf_wire_hold),
         ends, 1);
    close(ends[0]);
    return ends[1];
}

static inline bool held_open(int write_fd)
{
    struct pollfd state = { .fd = write_fd, .events = POLLOUT };

    assert_int_equal(poll(&state, 1, 0), 1);
    return (state.revents & POLLERR) == 0;
}

static inline unsigned open_fds(void)
{
    return peer_count_fds(getpid());
}

#define TEST(title, function) { .name = title, .test_func = function, .setup_func = set_up, .teardown_func = tear_down }

#endif
