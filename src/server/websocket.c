#include "server/websocket.h"

#include "server/websocket_private.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Of one client in one turn of the loop; then the others have theirs. */
#define TURN_READ_BYTES (256u << 10)
#define TURN_WRITE_BYTES (1u << 20)
/* Answers to pings that wait; nothing more is read meanwhile. */
#define ANSWERS_MAX 64
/* While nothing is read, whether the client is still there is asked so often. */
#define LOOK_NS CF_NS_PER_S
/* And it is pinged so often at least. */
#define PAUSED_PING_NS (5 * CF_NS_PER_S)

/* ---- wslay's callbacks ---- */

static ssize_t would_block(struct cf_ws *ws)
{
    wslay_event_set_error(ws->wslay, WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static ssize_t lose(struct cf_ws *ws)
{
    ws->lost = true;
    wslay_event_set_error(ws->wslay, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static bool may_read(const struct cf_ws *ws)
{
    return !ws->paused && wslay_event_get_queued_msg_count(ws->wslay) < CF_WS_QUEUE_MESSAGES + ANSWERS_MAX;
}

static ssize_t receive(wslay_event_context_ptr wslay, uint8_t *data, size_t max, int flags, void *arg)
{
    struct cf_ws *ws = arg;
    if (!may_read(ws) || ws->read_left == 0)
        return would_block(ws);
    if (ws->early_at < ws->early_len) {
        size_t len = ws->early_len - ws->early_at < max ? ws->early_len - ws->early_at : max;
        memcpy(data, ws->early + ws->early_at, len);
        ws->early_at += len;
        return (ssize_t)len;
    }
    ssize_t len = recv(ws->fd, data, max, MSG_DONTWAIT);
    if (len < 0 && (errno == EAGAIN || errno == EINTR))
        return would_block(ws);
    if (len <= 0)
        return lose(ws);
    ws->heard_ns = cf_clock_now().mono_ns;
    ws->read_left -= (size_t)len < ws->read_left ? (size_t)len : ws->read_left;
    return len;
}

static ssize_t transmit(wslay_event_context_ptr wslay, const uint8_t *data, size_t len, int flags, void *arg)
{
    struct cf_ws *ws = arg;
    if (ws->write_left == 0)
        return would_block(ws);
    ssize_t sent = send(ws->fd, data, len < ws->write_left ? len : ws->write_left,
                        MSG_DONTWAIT | MSG_NOSIGNAL | (flags & WSLAY_MSG_MORE ? MSG_MORE : 0));
    if (sent < 0 && (errno == EAGAIN || errno == EINTR))
        return would_block(ws);
    if (sent < 0)
        return lose(ws);
    ws->write_left -= (size_t)sent;
    ws->taken_ns = cf_clock_now().mono_ns;
    return sent;
}

static void on_message(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *m, void *arg)
{
    struct cf_ws *ws = arg;
    if (ws->close_code == 0 && !wslay_is_ctrl_frame(m->opcode))
        ws->events->message(ws->arg, m->opcode == WSLAY_BINARY_FRAME, (const char *)m->msg, m->msg_length);
}

/* The client has said goodbye, and what it sent before that waits: so does our answer. */
static bool is_leaving(const struct cf_ws *ws)
{
    return ws->paused && !ws->lost && !ws->refused && wslay_event_get_close_received(ws->wslay);
}

/* ---- the end ---- */

static struct cf_http *http_of(const struct cf_ws *ws)
{
    return ws->request->conn->http;
}

static unsigned code_of(const struct cf_ws *ws)
{
    if (!ws->wslay)
        return CF_WS_GONE;
    if (ws->refused)
        return WSLAY_CODE_PROTOCOL_ERROR;
    if (ws->close_code == 0 && wslay_event_get_close_received(ws->wslay))
        return wslay_event_get_status_code_received(ws->wslay);
    return wslay_event_get_close_sent(ws->wslay) ? wslay_event_get_status_code_sent(ws->wslay) : CF_WS_GONE;
}

/* Gives the connection back to libmicrohttpd, which closes it; `ws` itself stays until cf_ws_free. */
static void finish(struct cf_ws *ws)
{
    struct cf_http *http = http_of(ws);
    struct event **events[] = { &ws->in, &ws->out, &ws->timer };
    unsigned code = code_of(ws);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        if (*events[i])
            event_free(*events[i]);
        *events[i] = NULL;
    }
    if (ws->wslay)
        wslay_event_context_free(ws->wslay);
    ws->wslay = NULL;
    TAILQ_REMOVE(&http->sockets, ws, link);
    /* Unread bytes would make the close a reset, which can overtake our reason. */
    if (!ws->lost)
        cf_linger_add(&http->linger, ws->fd);
    ws->told = true;
    ws->events->closed(ws->arg, code);
    MHD_upgrade_action(ws->upgraded, MHD_UPGRADE_ACTION_CLOSE);
    /* It keeps no descriptor that would wake the loop for this. */
    event_active(http->again, EV_TIMEOUT, 0);
}

static bool is_over(const struct cf_ws *ws)
{
    if (ws->lost || (ws->refused && !wslay_event_want_write(ws->wslay)))
        return true;
    return wslay_event_get_close_sent(ws->wslay) &&
           (wslay_event_get_close_received(ws->wslay) || !wslay_event_get_read_enabled(ws->wslay));
}

/* ---- one turn ---- */

static void read_in(struct cf_ws *ws)
{
    static const char close_1002[] = { '\x88', 2, '\x03', '\xea' };
    bool between = !wslay_event_want_write(ws->wslay);  /* no frame of ours is half sent */
    int code = wslay_event_get_read_enabled(ws->wslay) ? wslay_event_recv(ws->wslay) : 0;
    if (code == 0 || ws->lost)
        return;
    /* wslay 1.1.1 says why it closes, but not for what it finds in a frame's header; then it has queued a close without
     * a code. */
    ws->refused = code == WSLAY_ERR_CALLBACK_FAILURE;
    ws->lost = !ws->refused;
    if (between && ws->refused) {
        wslay_event_shutdown_write(ws->wslay);
        send(ws->fd, close_1002, sizeof close_1002, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static void flush(struct cf_ws *ws)
{
    if (!is_leaving(ws) && wslay_event_want_write(ws->wslay) && wslay_event_send(ws->wslay) < 0)
        ws->lost = true;
}

/* wslay sends a close before what was queued earlier, so it gets ours when that is out. */
static void flush_close(struct cf_ws *ws)
{
    if (ws->lost || ws->close_code == 0 || ws->close_queued || wslay_event_want_write(ws->wslay))
        return;
    ws->close_queued = true;
    wslay_event_queue_close(ws->wslay, (uint16_t)ws->close_code, (const uint8_t *)ws->close_reason,
                            strlen(ws->close_reason));
    flush(ws);
}

static void write_out(struct cf_ws *ws)
{
    bool had = wslay_event_want_write(ws->wslay);
    flush(ws);
    /* What `want` queues goes in the next turn, so that a fast client does not hold the loop. */
    if (had && !ws->lost && ws->close_code == 0 && wslay_event_get_write_enabled(ws->wslay) &&
        !wslay_event_want_write(ws->wslay))
        ws->events->want(ws->arg);
    flush_close(ws);
}

static void plan_tick(struct cf_ws *ws, int64_t now_ns);

/* Reads, writes, and says what is waited for. */
static void turn(struct cf_ws *ws)
{
    ws->in_turn = true;
    ws->read_left = TURN_READ_BYTES;
    ws->write_left = TURN_WRITE_BYTES;
    if (!ws->opened) {
        ws->opened = true;
        ws->events->open(ws->arg, ws);
    }
    read_in(ws);
    if (!ws->lost)
        write_out(ws);
    ws->in_turn = false;
    if (is_over(ws)) {
        finish(ws);
        return;
    }
    if (ws->closing_ns == 0 && wslay_event_get_close_sent(ws->wslay)) {
        ws->closing_ns = cf_clock_now().mono_ns;
        plan_tick(ws, ws->closing_ns);
    }
    if (is_leaving(ws) && ws->asked_ns == 0) {
        ws->asked_ns = cf_clock_now().mono_ns;
        plan_tick(ws, ws->asked_ns);
    }
    if (wslay_event_get_read_enabled(ws->wslay) && may_read(ws))
        event_add(ws->in, NULL);
    else
        event_del(ws->in);
    if (wslay_event_want_write(ws->wslay) && !is_leaving(ws))
        event_add(ws->out, NULL);
}

static void on_io(evutil_socket_t fd, short what, void *arg)
{
    turn(arg);
}

/* ---- time ---- */

/* When `tick` has to look again. */
static void plan_tick(struct cf_ws *ws, int64_t now_ns)
{
    const struct cf_http *http = http_of(ws);
    int64_t at_ns = ws->heard_ns + (ws->pinged_ns > ws->heard_ns ? http->ws_silence_ns : http->ws_ping_ns);
    if (ws->paused)
        at_ns = now_ns + LOOK_NS;
    if (ws->asked_ns && at_ns > ws->asked_ns + http->ws_silence_ns)
        at_ns = ws->asked_ns + http->ws_silence_ns;
    if (ws->closing_ns)
        at_ns = ws->closing_ns + http->ws_close_ns;
    int64_t wait_ns = at_ns > now_ns ? at_ns - now_ns : 0;
    const struct timeval wait = { .tv_sec = (time_t)(wait_ns / CF_NS_PER_S),
                                  .tv_usec = (suseconds_t)(wait_ns % CF_NS_PER_S / 1000 + 1) };
    event_add(ws->timer, &wait);
}

static bool is_late(const struct cf_ws *ws, int64_t now_ns)
{
    const struct cf_http *http = http_of(ws);
    if (ws->closing_ns)
        return now_ns - ws->closing_ns >= http->ws_close_ns;
    if (ws->asked_ns && now_ns - ws->asked_ns >= http->ws_silence_ns)
        return true;
    if (ws->paused)                     /* its silence is ours, but it takes what it is sent */
        return !cf_ws_idle(ws) && now_ns - ws->taken_ns >= http->ws_silence_ns;
    return now_ns - ws->heard_ns >= http->ws_silence_ns;
}

/* Whether a ping is due.  The answer of a paused client is not read; but it hears of us, and its system tells that it has gone
 * when that is sent something, by an RST or by no acknowledgement.  A FIN would come behind what is not read, if at all. */
static bool is_ping_due(const struct cf_ws *ws, int64_t now_ns)
{
    int64_t ping_ns = http_of(ws)->ws_ping_ns, last_ns = ws->heard_ns;
    if (ws->closing_ns || is_leaving(ws))
        return false;
    if (!ws->paused)
        return ws->pinged_ns <= ws->heard_ns && now_ns - ws->heard_ns >= ping_ns;
    if (ws->pinged_ns > last_ns)
        last_ns = ws->pinged_ns;
    return cf_ws_idle(ws) && now_ns - last_ns >= (ping_ns < PAUSED_PING_NS ? ping_ns : PAUSED_PING_NS);
}

static void ping(struct cf_ws *ws, int64_t now_ns)
{
    const struct wslay_event_msg message = { .opcode = WSLAY_PING };
    wslay_event_queue_msg(ws->wslay, &message);
    ws->pinged_ns = now_ns;
    event_active(ws->out, EV_WRITE, 0);
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
    struct cf_ws *ws = arg;
    int64_t now_ns = cf_clock_now().mono_ns;
    struct pollfd p = { .fd = ws->fd };
    /* What a paused client has sent is still to be read when it has only shut down its own side. */
    if (is_late(ws, now_ns) || (ws->paused && poll(&p, 1, 0) > 0)) {
        ws->lost = true;
        finish(ws);
        return;
    }
    if (is_ping_due(ws, now_ns))
        ping(ws, now_ns);
    plan_tick(ws, now_ns);
}

/* ---- beginning and stop ---- */

static bool prepare(struct cf_ws *ws, const char *early, size_t early_len)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = receive,
        .send_callback = transmit,
        .on_msg_recv_callback = on_message,
    };
    struct event_base *loop = http_of(ws)->loop;
    ws->early = early_len > 0 ? malloc(early_len) : NULL;
    if (early_len > 0 && !ws->early)
        return false;
    if (early_len > 0)
        memcpy(ws->early, early, early_len);
    ws->early_len = early_len;
    ws->in = event_new(loop, ws->fd, EV_READ | EV_PERSIST, on_io, ws);
    ws->out = event_new(loop, ws->fd, EV_WRITE, on_io, ws);
    ws->timer = evtimer_new(loop, tick, ws);
    if (!ws->in || !ws->out || !ws->timer || wslay_event_context_server_init(&ws->wslay, &callbacks, ws) != 0)
        return false;
    wslay_event_config_set_max_recv_msg_length(ws->wslay, CF_WS_MESSAGE_MAX);
    return true;
}

void cf_ws_start(struct cf_ws *ws, int fd, struct MHD_UpgradeResponseHandle *upgraded, const char *early,
                 size_t early_len)
{
    ws->fd = fd;
    ws->upgraded = upgraded;
    ws->heard_ns = cf_clock_now().mono_ns;
    TAILQ_INSERT_TAIL(&http_of(ws)->sockets, ws, link);
    if (!prepare(ws, early, early_len)) {
        ws->lost = true;
        finish(ws);
        return;
    }
    plan_tick(ws, ws->heard_ns);
    event_active(ws->in, EV_READ, 0);
}

void cf_sockets_stop(struct cf_http *http)
{
    struct cf_ws *ws, *next;
    for (ws = TAILQ_FIRST(&http->sockets); ws; ws = next) {
        next = TAILQ_NEXT(ws, link);
        ws->write_left = TURN_WRITE_BYTES;
        ws->paused = false;
        flush(ws);
        if (!ws->lost && !wslay_event_get_close_sent(ws->wslay)) {
            wslay_event_queue_close(ws->wslay, CF_WS_GOING_AWAY, (const uint8_t *)"", 0);
            flush(ws);
        }
        finish(ws);
    }
}

/* ---- the handler's side ---- */

int cf_ws_send(struct cf_ws *ws, bool binary, const char *data, size_t len)
{
    const struct wslay_event_msg message = { .opcode = binary ? WSLAY_BINARY_FRAME : WSLAY_TEXT_FRAME,
                                             .msg = (const uint8_t *)data,
                                             .msg_length = len };
    size_t queued = wslay_event_get_queued_msg_length(ws->wslay);
    if (ws->close_code || len > CF_WS_QUEUE_MAX || queued > CF_WS_QUEUE_MAX - len ||
        wslay_event_get_queued_msg_count(ws->wslay) >= CF_WS_QUEUE_MESSAGES ||
        wslay_event_queue_msg(ws->wslay, &message) != 0)
        return -1;
    if (!ws->in_turn)
        event_active(ws->out, EV_WRITE, 0);
    return 0;
}

bool cf_ws_idle(const struct cf_ws *ws)
{
    return !wslay_event_want_write(ws->wslay);
}

bool cf_ws_leaving(const struct cf_ws *ws)
{
    return is_leaving(ws);
}

/* A host that does not acknowledge for so long is gone.  Where this is no TCP, who has gone is known at once. */
static void bound_silence(const struct cf_ws *ws)
{
    const unsigned most_ms = ws->paused ? (unsigned)(http_of(ws)->ws_silence_ns / CF_NS_PER_MS) : 0;
    (void)setsockopt(ws->fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &most_ms, sizeof most_ms);
}

void cf_ws_pause(struct cf_ws *ws, bool paused)
{
    int64_t now_ns = cf_clock_now().mono_ns;
    if (ws->paused == paused || ws->close_code)
        return;
    ws->paused = paused;
    ws->heard_ns = ws->taken_ns = now_ns;   /* its silence meanwhile was ours */
    bound_silence(ws);
    plan_tick(ws, now_ns);
    if (!paused && !ws->in_turn)
        event_active(ws->in, EV_READ, 0);
}

void cf_ws_drop(struct cf_ws *ws)
{
    ws->lost = true;
    event_active(ws->in, EV_READ, 0);
}

void cf_ws_close(struct cf_ws *ws, unsigned code, const char *reason)
{
    if (ws->close_code)
        return;
    size_t len = reason ? strnlen(reason, CF_WS_REASON_MAX + 1) : 0;
    if (len > CF_WS_REASON_MAX)
        for (len = CF_WS_REASON_MAX; len > 0 && (reason[len] & 0xc0) == 0x80;)
            len--;
    if (len > 0)
        memcpy(ws->close_reason, reason, len);
    ws->close_code = code;
    ws->asked_ns = cf_clock_now().mono_ns;
    ws->paused = false;                 /* its answer is to be read */
    plan_tick(ws, ws->asked_ns);
    if (!ws->in_turn)
        event_active(ws->out, EV_WRITE, 0);
}
