#include "edge_fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct edge *edge;

/* Handlers of the rows that a test does not care for. */
static void answer(struct cf_call *call)
{
    cf_jsonw_bool(cf_call_data(call), NULL, true);
    cf_call_reply(call, 200);
}
#define HANDLER(name)                                                                                                 \
    __attribute__((weak)) void cf_calls_##name(struct cf_call *call)                                                  \
    {                                                                                                                 \
        answer(call);                                                                                                 \
    }
#define OPERATION(name, ...) HANDLER(name)
#include "tables/operations.def"
#undef OPERATION

static void tick(evutil_socket_t fd, short what, void *arg)
{
}

void edge_turn(void)
{
    event_base_loop(edge->loop, EVLOOP_ONCE);
}

void edge_restart(void)
{
    struct cf_error error = { 0 };
    edge_stop();
    assert_int_equal(cf_http_start(edge->loop, &edge->settings, NULL, &edge->counts, NULL, &edge->http, &error), 0);
}

void edge_stop(void)
{
    cf_http_stop(&edge->http);
}

void edge_setup(struct edge *one)
{
    const struct timeval often = { .tv_usec = 10000 };
    struct cf_error error = { 0 };
    memset(one, 0, sizeof *one);
    edge = one;
    strcpy(edge->folder, "/tmp/curfew-edge.XXXXXX");
    assert_non_null(mkdtemp(edge->folder));
    cf_settings_default(&edge->settings);
    snprintf(edge->settings.token_file, sizeof edge->settings.token_file, "%s/token", edge->folder);
    snprintf(edge->settings.socket, sizeof edge->settings.socket, "%s/socket", edge->folder);
    assert_int_equal(cf_settings_set(&edge->settings, "port", "0", &error), 0);
    edge->loop = event_base_new();
    edge->tick = event_new(edge->loop, -1, EV_PERSIST, tick, NULL);
    event_add(edge->tick, &often);
    edge_restart();
}

int edge_teardown(void)
{
    char path[128];
    edge_stop();
    event_free(edge->tick);
    event_base_free(edge->loop);
    snprintf(path, sizeof path, "%s/token", edge->folder);
    unlink(path);
    return rmdir(edge->folder);
}

/* ---- a client ---- */

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct client *c = arg;
    static char data[65536];
    ssize_t len = recv((int)fd, data, sizeof data, MSG_DONTWAIT);
    if (len < 0 && errno == EAGAIN)
        return;
    if (len <= 0) {
        c->ended = true;
        c->reset = len < 0;
        event_del(c->readable);
        return;
    }
    c->total += (size_t)len;
    if (!c->drop)
        cf_buf_append(&c->in, data, (size_t)len);
}

void client_open(struct client *c, bool unix_socket)
{
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    memset(c, 0, sizeof *c);
    cf_buf_init(&c->in, 1u << 30);
    c->fd = socket(unix_socket ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(c->fd >= 0);
    snprintf(un.sun_path, sizeof un.sun_path, "%.100s", edge->settings.socket);
    in.sin_port = htons((uint16_t)atoi(strrchr(cf_http_address(edge->http), ':') + 1));
    const struct sockaddr *to = unix_socket ? (struct sockaddr *)&un : (struct sockaddr *)&in;
    assert_int_equal(connect(c->fd, to, unix_socket ? sizeof un : sizeof in), 0);
    c->readable = event_new(edge->loop, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    client_read(c, true);
}

void client_read(struct client *c, bool on)
{
    if (on && !c->reading)
        event_add(c->readable, NULL);
    else if (!on)
        event_del(c->readable);
    c->reading = on;
}

void client_close(struct client *c)
{
    if (c->fd < 0)
        return;
    event_free(c->readable);
    close(c->fd);
    c->fd = -1;
    cf_buf_free(&c->in);
}

void client_reset(struct client *c)
{
    const struct linger at_once = { .l_onoff = 1 };
    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    client_close(c);
}

void client_send(struct client *c, const void *data, size_t len)
{
    for (const char *at = data; len > 0;) {
        ssize_t sent = send(c->fd, at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            edge_turn();
            continue;
        }
        if (sent < 0)
            return;
        at += sent;
        len -= (size_t)sent;
    }
}

void client_puts(struct client *c, const char *text)
{
    client_send(c, text, strlen(text));
}

void client_get(struct client *c, const char *path, const char *headers)
{
    char text[4096];
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n", path, headers);
    client_puts(c, text);
}

bool client_has(const struct client *c, const char *text)
{
    return c->in.len > 0 && memmem(c->in.data, c->in.len, text, strlen(text));
}

static void take(struct client *c, size_t len)
{
    memmove(c->in.data, c->in.data + len, c->in.len - len + 1);
    c->in.len -= len;
}

bool client_take_head(struct client *c, struct cf_buf *ret_head)
{
    const char *end = c->in.len ? memmem(c->in.data, c->in.len, "\r\n\r\n", 4) : NULL;
    if (!end)
        return false;
    size_t len = (size_t)(end - c->in.data) + 4;
    cf_buf_reset(ret_head);
    cf_buf_append(ret_head, c->in.data, len);
    take(c, len);
    return true;
}

bool client_take_chunks(struct client *c, struct cf_buf *ret)
{
    const char *at = c->in.data, *end = at + c->in.len;
    bool complete = false;
    while (!complete && at && at < end) {
        const char *line = memmem(at, (size_t)(end - at), "\r\n", 2);
        if (!line)
            break;
        size_t len = strtoul(at, NULL, 16);
        if ((size_t)(end - line) < len + 4)
            break;
        assert_memory_equal(line + 2 + len, "\r\n", 2);
        cf_buf_append(ret, line + 2, len);
        at = line + len + 4;
        complete = len == 0;
    }
    if (c->in.len)
        take(c, (size_t)(at - c->in.data));
    return complete;
}
