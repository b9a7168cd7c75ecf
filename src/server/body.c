#include "server/body.h"

#include "core/core.h"
#include "server/body_edge.h"
#include "server/priority.h"
#include "server/request.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* A turn also ends after so many parts, however small. */
#define PART_COST 256
/* Memory that a part's head may keep while its source has nothing. */
#define HEAD_KEPT (64u << 10)
/* libmicrohttpd wants a size; nothing goes through it. */
#define BLOCK_BYTES 64
#define SEGMENTS 4

enum state {
    HEADERS,                            /* libmicrohttpd sends them, and has not asked for a body yet */
    SENDING,                            /* there is more: as soon as the socket takes it */
    WAITING,                            /* the source has nothing */
    FLUSHING,                           /* the source has ended; the socket is full */
    ENDED,                              /* given back: libmicrohttpd sends the last chunk … */
    CUT,                                /* … or closes the connection */
};

struct cf_body {
    TAILQ_ENTRY(cf_body) link;          /* in http->bodies */
    struct cf_request *request;
    const struct cf_body_source *source;
    void *arg;
    struct event *turn;                 /* EV_WRITE, once */
    struct event *look;                 /* EV_READ and EV_CLOSED: whether the client is still there */
    struct cf_body_part part;
    struct iovec segments[SEGMENTS];    /* of the part: chunk header, head, data, end of the chunk */
    char *kept;                         /* NULL, or a copy of the data */
    char header[20];
    size_t size, sent;                  /* bytes of the segments */
    int queued_bytes;                   /* in the socket, when waiting for room began */
    enum state state;
    bool chunked;
};

static int fd_of(const struct cf_body *b)
{
    return b->request->conn->fd;
}

/* ---- to and from libmicrohttpd ---- */

static void free_events(struct cf_body *b)
{
    struct event **events[] = { &b->turn, &b->look };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (*events[i])
            event_free(*events[i]);
        *events[i] = NULL;
    }
}

/* Gives the connection back; `state` says how it ends. */
static void leave(struct cf_body *b, enum state state)
{
    struct cf_conn *conn = b->request->conn;
    free_events(b);
    b->state = state;
    cf_deadline_set(&conn->http->deadlines, &conn->deadline, CF_PHASE_IDLE, cf_clock_now().mono_ns);
    MHD_resume_connection(conn->mhd);
    /* It keeps no descriptor that would wake the loop for this. */
    event_active(conn->http->again, EV_TIMEOUT, 0);
}

static void on_turn(evutil_socket_t fd, short what, void *arg);

/* libmicrohttpd does not look at a suspended connection.  What its client sends meanwhile is the next request and stays
 * in the socket, so the loop must be told once, not for as long as it is there: hence EV_ET, and libevent allows
 * no mixture at one descriptor. */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct pollfd p = { .fd = (int)fd, .events = POLLRDHUP };
    if (poll(&p, 1, 0) > 0 && p.revents)
        leave(arg, CUT);
}

static bool start(struct cf_body *b)
{
    struct cf_conn *conn = b->request->conn;
    const int on = 1;
    b->turn = event_new(conn->http->loop, conn->fd, EV_WRITE | EV_ET, on_turn, b);
    b->look = event_new(conn->http->loop, conn->fd, EV_READ | EV_CLOSED | EV_PERSIST | EV_ET, on_look, b);
    if (!b->turn || !b->look || event_add(b->look, NULL) < 0) {
        free_events(b);
        return false;
    }
    (void)event_priority_set(b->turn, CF_PRIORITY_OUTPUT);
    if (!conn->unix_socket)
        setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    cf_deadline_set(&conn->http->deadlines, &conn->deadline, CF_PHASE_WORK, 0);
    MHD_suspend_connection(conn->mhd);
    b->state = SENDING;
    event_active(b->turn, EV_WRITE, 0);
    return true;
}

/* Asked for a body when the headers are sent, and again when the connection was given back. */
static ssize_t read_body(void *cls, uint64_t at, char *to, size_t max)
{
    struct cf_body *b = cls;
    if (b->state == HEADERS && !start(b))
        b->state = CUT;
    if (b->state == CUT)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    return b->state == ENDED ? MHD_CONTENT_READER_END_OF_STREAM : 0;
}

struct MHD_Response *cf_body_response(struct cf_body *b)
{
    struct MHD_Response *response =
        MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, read_body, b, NULL);
    /* libmicrohttpd 0.9.75 sends a last chunk also to HEAD, which would stand before the next answer. */
    if (response && b->request->head_only)
        MHD_set_response_options(response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT, MHD_RO_END);
    return response;
}

void cf_bodies_cut(struct cf_http *http)
{
    struct cf_body *b;
    TAILQ_FOREACH(b, &http->bodies, link) {
        if (b->state == SENDING || b->state == WAITING || b->state == FLUSHING)
            leave(b, CUT);
        else if (b->state == HEADERS)
            b->state = CUT;
    }
}

/* ---- writing ---- */

/* Waits until the socket takes more. */
static void await_room(struct cf_body *b)
{
    int64_t stall_ns = b->request->conn->http->settings->stream_stall_timeout;
    const struct timeval stall = { .tv_sec = stall_ns / CF_NS_PER_S, .tv_usec = stall_ns % CF_NS_PER_S / 1000 };
    if (ioctl(fd_of(b), SIOCOUTQ, &b->queued_bytes) < 0)
        b->queued_bytes = 0;
    if (event_add(b->turn, &stall) < 0)
        leave(b, CUT);
}

/* The kernel calls a socket writable only when a third or more of its buffer is free, so a slow reader is known by
 * what its socket still holds. */
static bool has_taken(struct cf_body *b)
{
    int before = b->queued_bytes;
    return ioctl(fd_of(b), SIOCOUTQ, &b->queued_bytes) == 0 && b->queued_bytes < before;
}

static enum cf_body_step fetch(struct cf_body *b)
{
    struct cf_body_part *part = &b->part;
    cf_buf_reset(&part->head);
    free(b->kept);
    b->kept = NULL;
    part->data = NULL;
    part->len = b->size = b->sent = 0;
    enum cf_body_step step = b->source->next(b->arg, part);
    if (step == CF_BODY_WAIT && part->head.cap > HEAD_KEPT)
        cf_buf_free(&part->head);
    if (step != CF_BODY_MORE)
        return step;
    if (part->head.failed)
        return CF_BODY_ABORT;
    size_t len = part->head.len + part->len;
    if (len == 0)
        return step;
    int header = b->chunked ? snprintf(b->header, sizeof b->header, "%zx\r\n", len) : 0;
    static char end[] = "\r\n";
    b->segments[0] = (struct iovec){ b->header, (size_t)header };
    b->segments[1] = (struct iovec){ part->head.data, part->head.len };
    b->segments[2] = (struct iovec){ (void *)(uintptr_t)part->data, part->len };
    b->segments[3] = (struct iovec){ end, b->chunked ? 2 : 0 };
    b->size = len + (size_t)header + b->segments[3].iov_len;
    return step;
}

/* Hands at most `max` bytes of the part to the kernel.  How many it took, or -1: the client is gone. */
static ssize_t push(struct cf_body *b, size_t max, int flags)
{
    struct iovec iov[SEGMENTS];
    struct msghdr message = { .msg_iov = iov };
    size_t skip = b->sent, left = max;
    for (int i = 0; i < SEGMENTS && left > 0; i++) {
        struct iovec s = b->segments[i];
        if (skip >= s.iov_len) {
            skip -= s.iov_len;
            continue;
        }
        s.iov_base = (char *)s.iov_base + skip;
        s.iov_len -= skip;
        skip = 0;
        if (s.iov_len > left)
            s.iov_len = left;
        left -= s.iov_len;
        iov[message.msg_iovlen++] = s;
    }
    ssize_t len;
    do
        len = sendmsg(fd_of(b), &message, MSG_NOSIGNAL | MSG_DONTWAIT | flags);
    while (len < 0 && errno == EINTR);
    return len < 0 && errno == EAGAIN ? 0 : len;
}

/* Writes until the source or the socket has had enough, or the turn is over, and says what comes now. */
static enum state write_some(struct cf_body *b, bool *ret_held)
{
    size_t left = CF_BODY_TURN_BYTES;
    for (bool first = true; left > 0;) {
        if (b->sent == b->size) {
            static const enum state then[] = { SENDING, WAITING, FLUSHING, CUT };
            enum cf_body_step step = fetch(b);
            if (step != CF_BODY_MORE)
                return then[step];
            left -= left < PART_COST ? left : PART_COST;
            if (left == 0 || b->size == 0)
                continue;
        }
        /* What follows the first part is held back for whole packets, until the turn's end. */
        size_t want = b->size - b->sent < left ? b->size - b->sent : left;
        ssize_t len = push(b, want, first ? 0 : MSG_MORE);
        if (len < 0)
            return CUT;
        *ret_held |= !first;
        first = false;
        b->sent += (size_t)len;
        left -= (size_t)len;
        if ((size_t)len < want)
            return SENDING;
    }
    return SENDING;
}

static void write_on(struct cf_body *b)
{
    const int on = 1;
    bool held = false;
    b->state = write_some(b, &held);
    if (held && !b->request->conn->unix_socket)
        setsockopt(fd_of(b), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (b->state == SENDING)
        await_room(b);
    else if (b->state == CUT)
        leave(b, CUT);
    else if (b->state == FLUSHING) {
        /* The last chunk needs room in the socket, for which libmicrohttpd would wait as long as for a next request,
         * however slowly the client reads. */
        struct pollfd p = { .fd = fd_of(b), .events = POLLOUT };
        if (poll(&p, 1, 0) > 0)
            leave(b, ENDED);
        else
            await_room(b);
    }
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
    struct cf_body *b = arg;
    if (!(what & EV_TIMEOUT)) {
        if (b->state == FLUSHING)
            leave(b, ENDED);
        else
            write_on(b);
    } else if (has_taken(b)) {
        await_room(b);
    } else {
        leave(b, CUT);
    }
}

/* ---- the handler's side ---- */

void cf_body_wake(struct cf_body *b)
{
    if (b->state == WAITING)
        event_active(b->turn, EV_WRITE, 0);
}

void cf_body_keep(struct cf_body *b)
{
    struct iovec *data = &b->segments[2];
    if (b->kept || data->iov_len == 0 || b->sent == b->size || b->state == ENDED || b->state == CUT)
        return;
    b->kept = malloc(data->iov_len);
    if (!b->kept) {
        leave(b, CUT);
        return;
    }
    memcpy(b->kept, data->iov_base, data->iov_len);
    data->iov_base = b->kept;
}

void cf_call_stream(struct cf_call *call, const char *type, const struct cf_body_source *source, void *arg,
                    struct cf_body **ret_body)
{
    struct cf_request *r = call->edge;
    struct cf_body *b = r->conn ? calloc(1, sizeof *b) : NULL;
    if (ret_body)
        *ret_body = b;
    if (!b) {
        source->done(arg, false);
        cf_call_fail_code(call, r->conn ? CF_E_NO_MEMORY : CF_E_SHUTTING_DOWN, NULL, "the answer cannot be sent");
        return;
    }
    b->request = r;
    b->source = source;
    b->arg = arg;
    b->chunked = !r->http10;
    cf_buf_init(&b->part.head, CF_BODY_HEAD_MAX);
    TAILQ_INSERT_TAIL(&r->conn->http->bodies, b, link);
    r->body = b;
    call->type = type;
    call->answered = true;
    cf_request_answer(r, MHD_HTTP_OK);
}

void cf_body_free(struct cf_body **ptr, bool ok)
{
    struct cf_body *b = *ptr;
    if (!b)
        return;
    *ptr = NULL;
    /* A connection that libmicrohttpd closes was given back before, or never came this far. */
    free_events(b);
    TAILQ_REMOVE(&b->request->conn->http->bodies, b, link);
    b->source->done(b->arg, ok && (b->state == ENDED || b->state == HEADERS));
    cf_buf_free(&b->part.head);
    free(b->kept);
    free(b);
}
