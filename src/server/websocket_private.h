/* websocket_private.h: what upgrade.c, which makes a WebSocket, and websocket.c, which runs it, share. */
#ifndef CURFEW_SERVER_WEBSOCKET_PRIVATE_H
#define CURFEW_SERVER_WEBSOCKET_PRIVATE_H

#include "server/edge.h"
#include "server/handshake.h"
#include "server/websocket_edge.h"

#include <event2/event.h>
#include <wslay/wslay.h>

struct cf_ws {
    TAILQ_ENTRY(cf_ws) link;            /* in http->sockets */
    struct cf_request *request;
    const struct cf_ws_events *events;
    void *arg;
    struct MHD_UpgradeResponseHandle *upgraded;     /* NULL: not handed over */
    wslay_event_context_ptr wslay;
    struct event *in, *out, *timer;     /* EV_READ; EV_WRITE, once; what `tick` looks after */
    char *early;                        /* what libmicrohttpd had read beyond the handshake */
    size_t early_len, early_at;
    size_t read_left, write_left;       /* bytes in this turn */
    int64_t taken_ns;                   /* when it was sent something last that it has taken, or was paused */
    int64_t heard_ns;                   /* when the client sent something last; monotonic, as the next two */
    int64_t pinged_ns;
    int64_t asked_ns;                   /* when it was to be closed; 0: it is not */
    int64_t closing_ns;                 /* when a close went out; 0: none did */
    int fd;
    unsigned close_code;                /* 0: open */
    char close_reason[CF_WS_REASON_MAX + 1];
    char accept[CF_HANDSHAKE_ACCEPT_BYTES];
    bool paused;
    bool close_queued;                  /* in wslay */
    bool in_turn;
    bool refused;                       /* a frame whose header is against the protocol */
    bool lost;                          /* the socket failed or ended, or the client is given up */
    bool opened, told;                  /* `open` and `closed` were called */
};

/* The socket is ours from now on, and these bytes were read from it already.  Calls `open` soon, or without memory
 * `closed` at once. */
void cf_ws_start(struct cf_ws *ws, int fd, struct MHD_UpgradeResponseHandle *upgraded, const char *early,
                 size_t early_len);

#endif
