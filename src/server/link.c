/* link.c: requests out, reports in. */
#include "server/link.h"

#include "base/clock.h"
#include "base/buf.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"
#include "server/keep.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define WELCOME_TIMEOUT_MS 10000
#define SEND_TIMEOUT_MS 30000
/* Reports handled before other descriptors get their turn. */
#define REPORTS_A_TURN 64

struct cf_link {
    int fd;
    struct event *event;
    struct cf_link_reports reports;
    void *arg;
    struct cf_wire_welcome welcome;
    bool lost;
};

union report {
    uint32_t type;
#define ROW(name, number, structure) struct structure name;
    CF_WIRE_REPORTS(ROW)
#undef ROW
};

static bool size_fits(uint32_t type, size_t len)
{
    switch (type) {
#define ROW(name, number, structure) case number: return len == sizeof(struct structure);
    CF_WIRE_REPORTS(ROW)
#undef ROW
    default: return false;
    }
}

static void lose(struct cf_link *link, const char *why)
{
    if (link->lost)
        return;
    link->lost = true;
    if (link->event != NULL)
        event_del(link->event);
    if (link->reports.lost != NULL)
        link->reports.lost(link->arg, why);
}

/* The keeper never waits for the server and reads whenever it is not at work, so to wait for room here bounds what
 * can pile up between the two and cannot lock them against each other. */
static void send_packet(struct cf_link *link, const void *packet, size_t len, const int *fds, size_t fd_count)
{
    while (!link->lost && cf_packet_send(link->fd, packet, len, fds, fd_count) < 0) {
        struct pollfd p = { .fd = link->fd, .events = POLLOUT };
        if (errno == EPIPE || errno == ECONNRESET) {
            if (link->event != NULL)
                event_active(link->event, EV_READ, 0);  /* it may have said what became of the sessions before it went */
            return;
        }
        if (errno != EAGAIN || poll(&p, 1, SEND_TIMEOUT_MS) == 0)
            lose(link, errno == EAGAIN ? "does not read" : strerror(errno));
    }
}

static void dispatch(struct cf_link *link, const union report *r)
{
    switch (r->type) {
    case CF_WIRE_SPAWNED: link->reports.spawned(link->arg, &r->SPAWNED); break;
    case CF_WIRE_SIGNALED: link->reports.signaled(link->arg, &r->SIGNALED); break;
    case CF_WIRE_LEFT: link->reports.left(link->arg, &r->LEFT); break;
    case CF_WIRE_LEAVE: link->reports.leave(link->arg, &r->LEAVE); break;
    case CF_WIRE_ENDED: link->reports.ended(link->arg, &r->ENDED); break;
    default: lose(link, "said something out of place"); break;
    }
}

static void close_all(int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        cf_fd_close(&fds[i]);
}

/* One report, and its descriptors, which are the caller's.  Returns 1, 0 when there is none, -1 when the keeper is gone or a packet is not of its form. */
static int receive(struct cf_link *link, union report *ret, int *fds, size_t *ret_count)
{
    *ret_count = 0;
    ssize_t n = cf_packet_recv(link->fd, ret, sizeof *ret, fds, CF_WIRE_FDS_MAX, ret_count);
    if (n < 0 && errno == ECONNRESET)   /* told once, when the keeper hung up on requests of ours; its last reports are still there */
        n = cf_packet_recv(link->fd, ret, sizeof *ret, fds, CF_WIRE_FDS_MAX, ret_count);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (n >= (ssize_t)sizeof ret->type && size_fits(ret->type, (size_t)n) && (*ret_count == 0 || ret->type == CF_WIRE_KEPT))
        return 1;
    close_all(fds, *ret_count);
    return -1;
}

static void on_report(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_link *link = arg;
    union report r;
    int fds[CF_WIRE_FDS_MAX];
    size_t count;
    for (int i = 0; i < REPORTS_A_TURN && !link->lost; i++) {
        int got = receive(link, &r, fds, &count);
        if (got == 0)
            return;
        if (got < 0) {
            lose(link, "is gone");
            return;
        }
        close_all(fds, count);
        dispatch(link, &r);
    }
}

/* Waits for one. */
static int await(struct cf_link *link, union report *ret, int *fds, size_t *ret_count, struct cf_error *error)
{
    struct pollfd p = { .fd = link->fd, .events = POLLIN };
    int got = 0;
    while (got == 0) {
        if (poll(&p, 1, WELCOME_TIMEOUT_MS) != 1)
            return cf_error_set(error, CF_E_SYSTEM, NULL, "the keeper does not answer");
        got = receive(link, ret, fds, ret_count);
    }
    return got > 0 ? 0 : cf_error_set(error, CF_E_SYSTEM, NULL, "the keeper is gone, or speaks another version of the wire");
}

/* HELD and KEPT come at once and before any report about a session. */
static int inherit(struct cf_link *link, struct cf_heirs *heirs, struct cf_error *error)
{
    uint32_t held = 0, kept = 0;
    int code = 0, fds[CF_WIRE_FDS_MAX];
    heirs->servers = link->welcome.servers;
    while (code == 0 && (held < link->welcome.held || kept < link->welcome.kept)) {
        union report r;
        size_t count;
        code = await(link, &r, fds, &count, error);
        if (code != 0)
            break;
        bool taken = r.type == CF_WIRE_HELD ? cf_heirs_add(heirs, &r.HELD) == 0 : r.type == CF_WIRE_KEPT && cf_heirs_add_fds(heirs, &r.KEPT, fds, count) == 0;
        if (!taken)
            code = cf_error_set(error, CF_E_SYSTEM, NULL, "what the keeper holds cannot be taken over");
        held += r.type == CF_WIRE_HELD;
        kept += (uint32_t)count;
    }
    cf_heirs_sort(heirs);
    return code;
}

static int greet(struct cf_link *link, struct cf_error *error)
{
    struct cf_wire_hello hello = { .type = CF_WIRE_HELLO, .version = CF_WIRE_VERSION };
    union report r;
    int fds[CF_WIRE_FDS_MAX];
    size_t count;
    if (cf_packet_send(link->fd, &hello, sizeof hello, NULL, 0) < 0)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot greet the keeper: %s", strerror(errno));
    int code = await(link, &r, fds, &count, error);
    if (code != 0)
        return code;
    close_all(fds, count);
    if (r.type != CF_WIRE_WELCOME || r.WELCOME.version != CF_WIRE_VERSION)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "the keeper speaks another version of the wire");
    link->welcome = r.WELCOME;
    return 0;
}

int cf_link_open(int fd, struct cf_heirs *heirs, struct cf_link **ret, struct cf_error *error)
{
    struct cf_link *link = calloc(1, sizeof *link);
    if (link == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    *link = (struct cf_link){ .fd = fd };
    int code = cf_fd_nonblock(fd) < 0 ? cf_error_set(error, CF_E_SYSTEM, NULL, "the keeper's socket: %s", strerror(errno))
                                      : greet(link, error);
    if (code == 0)
        code = inherit(link, heirs, error);
    if (code != 0) {
        cf_link_close(&link);
        return code;
    }
    *ret = link;
    return 0;
}

int cf_link_listen(struct cf_link *link, struct event_base *loop, const struct cf_link_reports *reports, void *arg, struct cf_error *error)
{
    link->reports = *reports;
    link->arg = arg;
    link->event = event_new(loop, link->fd, EV_READ | EV_PERSIST, on_report, link);
    if (link->event == NULL || event_add(link->event, NULL) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    return 0;
}

void cf_link_close(struct cf_link **link)
{
    if (*link == NULL)
        return;
    if ((*link)->event != NULL)
        event_free((*link)->event);
    cf_fd_close(&(*link)->fd);
    free(*link);
    *link = NULL;
}

const struct cf_wire_welcome *cf_link_welcome(const struct cf_link *link)
{
    return &link->welcome;
}

static uint32_t pack(struct cf_buf *block, const char *const *list)
{
    uint32_t n = 0;
    for (; list[n] != NULL; n++)
        cf_buf_append(block, list[n], strlen(list[n]) + 1);
    return n;
}

int cf_link_args_make(const char *const *argv, const char *const *envv, struct cf_link_args *ret, struct cf_error *error)
{
    struct cf_buf block;
    int code = 0;
    CF_FD_AUTO fd = -1;
    cf_buf_init(&block, CF_WIRE_ARGS_MAX);
    struct cf_link_args args = { .argc = pack(&block, argv), .envc = pack(&block, envv) };
    args.bytes = (uint32_t)block.len;
    if (block.failed)
        code = cf_error_set(error, CF_E_TOO_LARGE, "env_pass", "arguments and environment are over %u bytes", CF_WIRE_ARGS_MAX);
    else if ((fd = memfd_create("curfew-args", MFD_CLOEXEC | MFD_ALLOW_SEALING)) < 0 ||
             cf_fd_write_all(fd, block.data, block.len) < 0 ||
             fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
        code = cf_error_set(error, CF_E_SYSTEM, NULL, "cannot hand over the arguments: %s", strerror(errno));
    cf_buf_free(&block);
    if (code == 0) {
        args.fd = fd;
        fd = -1;
        *ret = args;
    }
    return code;
}

int cf_link_spawn(struct cf_link *link, const struct cf_link_spawn *what, struct cf_error *error)
{
    struct cf_wire_spawn packet = { .type = CF_WIRE_SPAWN, .key = what->key, .hold = what->hold,
                                    .argc = what->args->argc, .envc = what->args->envc, .args_bytes = what->args->bytes,
                                    .fd_count = what->fd_count, .lease_ms = what->lease_ms, .flags = what->flags };
    int fds[CF_WIRE_FDS_MAX] = { what->cwd_fd, what->args->fd };
    for (uint32_t i = 0; i < what->fd_count; i++) {
        fds[2 + i] = what->fds[i];
        packet.fd_targets[i] = what->targets[i];
    }
    send_packet(link, &packet, sizeof packet, fds, 2 + what->fd_count);
    return link->lost ? cf_error_set(error, CF_E_UNAVAILABLE, NULL, "the keeper is gone") : 0;
}

void cf_link_renew(struct cf_link *link, uint64_t key, int64_t lease_ms)
{
    struct cf_wire_renew packet = { .type = CF_WIRE_RENEW, .key = key, .lease_ms = lease_ms };
    send_packet(link, &packet, sizeof packet, NULL, 0);
}

void cf_link_signal(struct cf_link *link, uint64_t key, int signo, enum cf_wire_scope scope, uint64_t since_ticks)
{
    struct cf_wire_signal packet = { .type = CF_WIRE_SIGNAL, .key = key, .signo = signo, .scope = scope,
                                     .since_ticks = since_ticks };
    send_packet(link, &packet, sizeof packet, NULL, 0);
}

void cf_link_end(struct cf_link *link, uint64_t key, int64_t grace_ms)
{
    struct cf_wire_end packet = { .type = CF_WIRE_END, .key = key, .grace_ms = grace_ms };
    send_packet(link, &packet, sizeof packet, NULL, 0);
}

void cf_link_bye(struct cf_link *link, int64_t grace_ms)
{
    struct cf_wire_bye packet = { .type = CF_WIRE_BYE, .grace_ms = grace_ms };
    send_packet(link, &packet, sizeof packet, NULL, 0);
}

void cf_link_hold(struct cf_link *link, uint64_t key, const uint64_t *tags, const int *fds, uint32_t count)
{
    struct cf_wire_hold packet = { .type = CF_WIRE_HOLD, .key = key, .count = count };
    memcpy(packet.tags, tags, count * sizeof *tags);
    send_packet(link, &packet, sizeof packet, fds, count);
}

void cf_link_drop(struct cf_link *link, uint64_t key, uint64_t tag)
{
    struct cf_wire_drop packet = { .type = CF_WIRE_DROP, .key = key, .tag = tag };
    send_packet(link, &packet, sizeof packet, NULL, 0);
}

void cf_link_forget(struct cf_link *link, uint64_t key)
{
    struct cf_wire_forget packet = { .type = CF_WIRE_FORGET, .key = key };
    send_packet(link, &packet, sizeof packet, NULL, 0);
}

void cf_link_serving(struct cf_link *link)
{
    struct cf_wire_serving packet = { .type = CF_WIRE_SERVING };
    send_packet(link, &packet, sizeof packet, NULL, 0);
}

void cf_link_upgrade(struct cf_link *link)
{
    struct cf_wire_upgrade packet = { .type = CF_WIRE_UPGRADE };
    send_packet(link, &packet, sizeof packet, NULL, 0);
}

void cf_link_handover(struct cf_link *link)
{
    struct cf_wire_handover packet = { .type = CF_WIRE_HANDOVER };
    send_packet(link, &packet, sizeof packet, NULL, 0);
}
