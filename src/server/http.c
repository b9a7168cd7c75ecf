#include "server/http.h"

#include "base/log.h"
#include "core/core.h"
#include "server/body_edge.h"
#include "server/edge.h"
#include "server/request.h"
#include "server/websocket_edge.h"

#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* Beside the header bytes a connection's pool holds 56 for each header and argument, and the answer's headers.
 * libmicrohttpd writes to the whole pool after each request, so its size is what an idle connection costs. */
#define POOL_ASIDE 1024
/* Times that MHD_run is called in one wake-up while it says that it has more to do. */
#define RUNS_MAX 8
/* Runs at the stop, each of which can move every answer one step towards its socket. */
#define STOP_RUNS 16

/* ---- libmicrohttpd in the loop ---- */

static void run(evutil_socket_t fd, short what, void *arg)
{
    struct cf_http *http = arg;
    MHD_UNSIGNED_LONG_LONG wait_ms = 0;
    bool waits = true;
    for (int i = 0; i < RUNS_MAX && waits && wait_ms == 0; i++) {
        MHD_run(http->daemon);
        waits = MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES;
    }
    if (waits) {
        const struct timeval wait = { .tv_sec = (time_t)(wait_ms / 1000),
                                      .tv_usec = (suseconds_t)(wait_ms % 1000 * 1000) };
        event_add(http->again, &wait);
    }
}

/* libmicrohttpd unescapes nothing: %2F in a path is not a slash, and the query's names are checked before they are
 * decoded. */
static size_t keep_escapes(void *cls, struct MHD_Connection *mhd, char *text)
{
    return strlen(text);
}

/* ---- connections ---- */

static void notify(void *cls, struct MHD_Connection *mhd, void **context, enum MHD_ConnectionNotificationCode what)
{
    struct cf_http *http = cls;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = http->adding;
        if (http->adding)
            http->adding->mhd = mhd;
        http->adding = NULL;
        return;
    }
    struct cf_conn *conn = *context;
    if (!conn)
        return;
    cf_deadline_set(&http->deadlines, &conn->deadline, CF_PHASE_WORK, 0);
    if (conn->linger)
        cf_linger_add(&http->linger, conn->fd);
    http->connections--;
    free(conn);
    *context = NULL;
}

static void shed(void *arg)
{
    struct cf_http *http = arg;
    http->counts->connections_refused++;
}

static void accepted(void *arg, int fd, const struct sockaddr_storage *from, socklen_t from_len)
{
    struct cf_http *http = arg;
    struct cf_conn *conn =
        http->connections < (unsigned)http->settings->max_connections ? calloc(1, sizeof *conn) : NULL;
    if (!conn) {
        evutil_closesocket(fd);
        shed(http);
        return;
    }
    conn->http = http;
    conn->fd = fd;
    conn->unix_socket = from->ss_family == AF_UNIX;
    conn->peer = (uint8_t)(conn->unix_socket ? cf_peers_unix(&http->peers, fd) : cf_peers_tcp(&http->peers, fd, from));
    conn->deadline.phase = CF_PHASE_WORK;
    cf_deadline_set(&http->deadlines, &conn->deadline, CF_PHASE_HEADER, cf_clock_now().mono_ns);
    http->connections++;
    http->adding = conn;
    /* It closes the descriptor when it fails. */
    bool added = MHD_add_connection(http->daemon, fd, (const struct sockaddr *)from, from_len) == MHD_YES;
    if (http->adding) {
        http->adding = NULL;
        cf_deadline_set(&http->deadlines, &conn->deadline, CF_PHASE_WORK, 0);
        http->connections--;
        free(conn);
    }
    if (!added)
        shed(http);
}

#define LATE_BODY                                                                                                      \
    "{\"status\":\"error\",\"error\":{\"code\":\"timeout\",\"message\":\"the request was not complete in time\"}}"

/* Written past libmicrohttpd, which has sent nothing for this request; its socket then ends, which it notices. */
static void expire(void *arg, struct cf_deadline *late, enum cf_phase phase)
{
    struct cf_conn *conn = (struct cf_conn *)((char *)late - offsetof(struct cf_conn, deadline));
    static const char answer[] =
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Type: application/json\r\n"
        "Content-Length: 94\r\n\r\n" LATE_BODY;
    _Static_assert(sizeof LATE_BODY - 1 == 94, "Content-Length of the 408");
    if (phase != CF_PHASE_IDLE)
        send(conn->fd, answer, sizeof answer - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    shutdown(conn->fd, SHUT_RDWR);
}

/* A suspended connection is not looked at by libmicrohttpd, so whether its client still waits is asked here. */
static void watch(evutil_socket_t fd, short what, void *arg)
{
    struct cf_http *http = arg;
    const struct timeval second = { .tv_sec = 1 };
    struct cf_request *r;
    TAILQ_FOREACH(r, &http->suspended, link) {
        struct pollfd p = { .fd = r->conn->fd, .events = POLLRDHUP };
        if (!r->call.abandoned && poll(&p, 1, 0) > 0 && p.revents)
            r->call.abandoned = true;
    }
    if (!TAILQ_EMPTY(&http->suspended))
        event_add(http->watch, &second);
}

/* ---- start ---- */

static int start_daemon(struct cf_http *http, struct cf_error *error)
{
    const struct cf_settings *s = http->settings;
    http->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_ALLOW_UPGRADE, 0, NULL, NULL,
        cf_request_access, http,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)s->max_connections,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)s->max_header_bytes + POOL_ASIDE,
        MHD_OPTION_CONNECTION_TIMEOUT, 0u,
        MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_NOTIFY_COMPLETED, cf_request_completed, http,
        MHD_OPTION_NOTIFY_CONNECTION, notify, http,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL,
        MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        http->daemon ? MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info)
        return cf_error_set(error, CF_E_INTERNAL, NULL, "libmicrohttpd does not start");
    http->wake = event_new(http->loop, info->epoll_fd, EV_READ | EV_PERSIST, run, http);
    http->again = evtimer_new(http->loop, run, http);
    http->watch = evtimer_new(http->loop, watch, http);
    if (!http->wake || !http->again || !http->watch || event_add(http->wake, NULL) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the edge");
    return 0;
}

static int start(struct cf_http *http, const struct cf_listeners *from, struct cf_error *error)
{
    const struct cf_settings *s = http->settings;
    const int64_t length_ns[CF_PHASES] = {
        [CF_PHASE_HEADER] = s->header_timeout,
        [CF_PHASE_BODY] = s->body_timeout,
        [CF_PHASE_IDLE] = s->keepalive_timeout,
    };
    http->auth.host = s->host;
    http->auth.allowed_hosts = s->allowed_hosts;
    http->auth.allowed_origins = s->allowed_origins;
    http->auth.token_required = s->token_required;
    int code = cf_auth_token(s->token_file, http->auth.token, error);
    if (code < 0)
        return code;
    if (!http->no_params || cf_deadlines_init(&http->deadlines, http->loop, length_ns, expire, http) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the edge");
    code = start_daemon(http, error);
    if (code < 0)
        return code;
    code = cf_listen_open(http->loop, s, from, accepted, shed, http, &http->listen, error);
    if (code == 0)
        snprintf(http->address, sizeof http->address, "%s", cf_listen_address(http->listen));
    return code;
}

void cf_http_listeners(const struct cf_http *http, struct cf_listeners *ret)
{
    ret->count = 0;
    if (http->listen != NULL)
        cf_listen_list(http->listen, ret);
}

int cf_http_start(struct event_base *loop, const struct cf_settings *settings, const struct cf_listeners *from, struct cf_counts *counts,
                  struct cf_server *server, struct cf_http **ret_http, struct cf_error *error)
{
    struct cf_http *http = calloc(1, sizeof *http);
    if (!http)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the edge");
    http->loop = loop;
    http->settings = settings;
    http->counts = counts;
    http->server = server;
    http->no_params = json_object();
    /* Two streams, each byte of which JSON may need six for, and room for what goes with them. */
    http->reply_max_bytes = (size_t)settings->max_output_bytes * 12 + (64u << 20);
    TAILQ_INIT(&http->suspended);
    TAILQ_INIT(&http->bodies);
    TAILQ_INIT(&http->sockets);
    http->ws_ping_ns = CF_WS_PING_NS;
    http->ws_silence_ns = CF_WS_SILENCE_NS;
    http->ws_close_ns = CF_WS_CLOSE_NS;
    cf_routes_init(&http->routes);
    cf_peers_init(&http->peers);
    cf_linger_init(&http->linger, loop);
    int code = start(http, from, error);
    if (code < 0)
        cf_http_stop(&http);
    else
        *ret_http = http;
    return code;
}

/* ---- the end ---- */

void cf_http_drain(struct cf_http *http)
{
    cf_listen_close(&http->listen);
    http->draining = true;
}

unsigned cf_http_connections(const struct cf_http *http)
{
    return http->connections;
}

unsigned cf_http_pending(const struct cf_http *http)
{
    return http->pending;
}

void cf_http_stop(struct cf_http **ptr)
{
    struct cf_http *http = *ptr;
    if (!http)
        return;
    cf_listen_close(&http->listen);
    http->draining = true;
    while (!TAILQ_EMPTY(&http->suspended))
        cf_request_orphan(TAILQ_FIRST(&http->suspended));
    cf_bodies_cut(http);
    cf_sockets_stop(http);
    if (http->daemon) {
        for (int i = 0; i < STOP_RUNS && http->pending > 0; i++)
            MHD_run(http->daemon);
        MHD_stop_daemon(http->daemon);
    }
    struct event *events[] = { http->wake, http->again, http->watch };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i])
            event_free(events[i]);
    cf_deadlines_free(&http->deadlines);
    cf_linger_free(&http->linger);
    cf_peers_free(&http->peers);
    json_decref(http->no_params);
    free(http);
    *ptr = NULL;
}

const char *cf_http_address(const struct cf_http *http)
{
    return http->address;
}
