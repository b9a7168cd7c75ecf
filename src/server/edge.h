/* edge.h: what the files of the edge share: a connection, a request, the edge itself. */
#ifndef CURFEW_SERVER_EDGE_H
#define CURFEW_SERVER_EDGE_H

#include "server/auth.h"
#include "server/call.h"
#include "server/deadline.h"
#include "server/http.h"
#include "server/linger.h"
#include "server/listen.h"
#include "server/peer.h"
#include "server/route.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <sys/queue.h>

struct cf_body;
struct cf_request;
struct cf_ws;

/* Kept small: there is one for each idle connection. */
struct cf_conn {
    struct cf_http *http;
    struct MHD_Connection *mhd;
    struct cf_request *request;         /* NULL between requests */
    struct cf_deadline deadline;
    int fd;                             /* MHD's; it closes it after it said CLOSED */
    uint8_t peer;                       /* enum cf_peer */
    bool unix_socket;
    bool linger;                        /* a body was refused unread: the client may still be sending */
};

enum cf_request_state {
    CF_REQUEST_READING,                 /* body not complete */
    CF_REQUEST_WORKING,                 /* a handler has the call */
    CF_REQUEST_ANSWERED,                /* `status` and call.body are the answer */
};

struct cf_request {
    struct cf_call call;
    struct cf_conn *conn;               /* NULL: the edge has stopped, and the call is only waited for */
    TAILQ_ENTRY(cf_request) link;       /* in http->suspended, while `suspended` */
    struct cf_buf in;                   /* the body */
    struct cf_body *body;               /* an answer that is written as it comes; NULL: it is call.body */
    struct cf_ws *ws;                   /* an answer that makes the connection a WebSocket; NULL: it does not */
    int status;
    enum cf_request_state state;
    bool dispatching;                   /* the handler was called and has not returned */
    bool suspended;
    bool raw;                           /* the body is taken as it is */
    bool http10;
    bool head_only;                     /* HEAD */
    bool upgrade_required;              /* a refusal is 426 */
    bool close;                         /* the connection ends with this answer */
    char allow[64];                     /* of a 405 */
};

struct cf_http {
    struct event_base *loop;
    const struct cf_settings *settings;
    struct cf_counts *counts;
    struct cf_server *server;
    struct MHD_Daemon *daemon;
    struct event *wake;                 /* MHD's epoll is ready */
    struct event *again;                /* MHD wants to run without it */
    struct event *watch;                /* looks after suspended requests, once a second */
    struct cf_listen *listen;
    struct cf_peers peers;
    struct cf_auth auth;
    struct cf_routes routes;
    struct cf_deadlines deadlines;
    struct cf_linger linger;
    struct cf_conn *adding;             /* handed from MHD_add_connection to its notification */
    json_t *no_params;                  /* the empty object that most requests share */
    TAILQ_HEAD(, cf_request) suspended;
    TAILQ_HEAD(, cf_body) bodies;
    TAILQ_HEAD(, cf_ws) sockets;        /* that were handed over */
    int64_t ws_ping_ns, ws_silence_ns, ws_close_ns;     /* CF_WS_…; a test has shorter ones */
    unsigned connections;
    unsigned pending;                   /* requests between their headers and the end of their answer */
    size_t reply_max_bytes;
    bool draining;
    char address[80];
};

#endif
