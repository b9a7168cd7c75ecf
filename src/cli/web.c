#include "cli/web.h"

#include "base/clock.h"
#include "cli/handshake.h"

#include <curl/curl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <wslay/wslay.h>

#define MESSAGE_BYTES ((uint64_t)64 << 20)      /* the drawing of the largest screen is less */
#define REASON_BYTES 124

struct cf_web {
    struct cf_client *client;
    struct cf_exchange connection;      /* holds the connection only */
    wslay_event_context_ptr frames;
    cf_web_message_fn *message;
    void *arg;
    struct cf_buf early;                /* what came along with the handshake */
    size_t early_at;
    int fd;
    bool lost;
    bool paused;
    bool more;                          /* the pause came before all that is here was read */
    unsigned code;
    char reason[REASON_BYTES];
    int64_t heard_ns;
};

static ssize_t on_receive(wslay_event_context_ptr frames, uint8_t *data, size_t size, int flags, void *arg)
{
    struct cf_web *web = arg;
    long got;

    web->more = web->paused;
    if (web->paused) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    if (web->early_at < web->early.len) {
        size_t rest = web->early.len - web->early_at, len = rest < size ? rest : size;

        memcpy(data, web->early.data + web->early_at, len);
        web->early_at += len;
        return (ssize_t)len;
    }
    got = cf_handshake_receive(&web->connection, (char *)data, size);
    if (got > 0) {
        web->heard_ns = cf_clock_now().mono_ns;
        return got;
    }
    web->lost = web->lost || got < 0;
    wslay_event_set_error(frames, got == 0 ? WSLAY_ERR_WOULDBLOCK : WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr frames, const uint8_t *data, size_t len, int flags, void *arg)
{
    struct cf_web *web = arg;
    size_t sent = 0;
    CURLcode code = curl_easy_send(web->connection.easy, data, len, &sent);

    if (code == CURLE_OK && sent > 0)
        return (ssize_t)sent;
    web->lost = web->lost || (code != CURLE_OK && code != CURLE_AGAIN);
    wslay_event_set_error(frames, web->lost ? WSLAY_ERR_CALLBACK_FAILURE : WSLAY_ERR_WOULDBLOCK);
    return -1;
}

static int on_mask(wslay_event_context_ptr frames, uint8_t *data, size_t len, void *arg)
{
    return getrandom(data, len, 0) == (ssize_t)len ? 0 : -1;
}

static void on_message(wslay_event_context_ptr frames, const struct wslay_event_on_msg_recv_arg *got, void *arg)
{
    struct cf_web *web = arg;
    size_t len;

    if (got->opcode == WSLAY_TEXT_FRAME || got->opcode == WSLAY_BINARY_FRAME) {
        web->message(web->arg, got->opcode == WSLAY_BINARY_FRAME, (const char *)got->msg, got->msg_length);
    } else if (got->opcode == WSLAY_CONNECTION_CLOSE) {
        web->code = got->status_code ? got->status_code : CF_WEB_NORMAL;
        len = got->msg_length < 2 ? 0 : got->msg_length - 2;        /* the code stands before it */
        len = len < sizeof web->reason ? len : sizeof web->reason - 1;
        if (len > 0)
            memcpy(web->reason, got->msg + 2, len);
        web->reason[len] = '\0';
    }
}

static const struct wslay_event_callbacks callbacks = {
    .recv_callback = on_receive, .send_callback = on_send, .genmask_callback = on_mask,
    .on_msg_recv_callback = on_message,
};

int cf_web_open(struct cf_client *client, struct cf_exchange *x, cf_web_message_fn *message, void *arg,
                struct cf_web **ret)
{
    struct cf_web *web = calloc(1, sizeof *web);
    curl_socket_t fd = -1;

    if (!web) {
        cf_error_set(&x->error, CF_E_NO_MEMORY, NULL, "out of memory");
        return -1;
    }
    web->client = client;
    web->message = message;
    web->arg = arg;
    web->code = CF_WEB_LOST;
    cf_buf_init(&web->early, (size_t)1 << 20);
    if (cf_client_open(client, x) < 0 || cf_handshake(cf_client_where(client), x, &web->early) < 0 ||
        wslay_event_context_client_init(&web->frames, &callbacks, web) != 0) {
        cf_client_stop(client, x);
        cf_web_free(&web);
        return -1;
    }
    wslay_event_config_set_max_recv_msg_length(web->frames, MESSAGE_BYTES);
    curl_easy_getinfo(x->easy, CURLINFO_ACTIVESOCKET, &fd);
    web->fd = fd;
    web->heard_ns = cf_clock_now().mono_ns;
    web->connection.easy = x->easy;
    x->easy = NULL;
    *ret = web;
    return 0;
}

void cf_web_free(struct cf_web **web)
{
    if (!*web)
        return;
    if ((*web)->frames)
        wslay_event_context_free((*web)->frames);
    cf_client_stop((*web)->client, &(*web)->connection);
    cf_buf_free(&(*web)->early);
    free(*web);
    *web = NULL;
}

int cf_web_fd(const struct cf_web *web)
{
    return web->fd;
}

void cf_web_pause(struct cf_web *web, bool paused)
{
    web->paused = paused;
}

short cf_web_wants(const struct cf_web *web)
{
    return (short)((!web->paused && wslay_event_want_read(web->frames) ? POLLIN : 0) |
                   (wslay_event_want_write(web->frames) ? POLLOUT : 0));
}

bool cf_web_ready(const struct cf_web *web)
{
    return !web->paused && (web->more || web->early_at < web->early.len);
}

bool cf_web_turn(struct cf_web *web)
{
    if (wslay_event_want_write(web->frames) && wslay_event_send(web->frames) != 0)
        web->lost = true;
    if (!web->paused && wslay_event_want_read(web->frames) && wslay_event_recv(web->frames) != 0)
        web->lost = true;
    /* The answer to a ping or to the server's close. */
    if (!web->lost && wslay_event_want_write(web->frames) && wslay_event_send(web->frames) != 0)
        web->lost = true;
    if (wslay_event_want_write(web->frames))
        return !web->lost;
    /* wslay reads no more after a frame that breaks the protocol. */
    return !web->lost && !wslay_event_get_close_received(web->frames) && wslay_event_want_read(web->frames);
}

bool cf_web_send(struct cf_web *web, bool binary, const char *data, size_t len)
{
    struct wslay_event_msg message = {.opcode = binary ? WSLAY_BINARY_FRAME : WSLAY_TEXT_FRAME,
                                      .msg = (const uint8_t *)data, .msg_length = len};

    return wslay_event_queue_msg(web->frames, &message) == 0;
}

size_t cf_web_queued(const struct cf_web *web)
{
    return wslay_event_get_queued_msg_length(web->frames);
}

void cf_web_close(struct cf_web *web)
{
    wslay_event_queue_close(web->frames, CF_WEB_NORMAL, NULL, 0);
}

int64_t cf_web_heard_ns(const struct cf_web *web)
{
    return web->heard_ns;
}

unsigned cf_web_code(const struct cf_web *web)
{
    return web->code;
}

const char *cf_web_reason(const struct cf_web *web)
{
    return web->reason;
}
