/* websocket.h: a connection that became a WebSocket (RFC 6455).
 *
 * The edge checks the handshake, libmicrohttpd answers it, and from then on frames are read and written here by wslay
 * on the server's loop.  Pings, closing, UTF-8 of text and peers that are gone are not the handler's business. */
#ifndef CURFEW_SERVER_WEBSOCKET_H
#define CURFEW_SERVER_WEBSOCKET_H

#include "server/call.h"

#include <stdbool.h>
#include <stddef.h>

/* A longer message of the client's ends the connection with 1009. */
#define CF_WS_MESSAGE_MAX (64u << 10)
/* Bytes and messages that wait for one client at most. */
#define CF_WS_QUEUE_MAX (4u << 20)
#define CF_WS_QUEUE_MESSAGES 4096
/* Bytes of the reason of a close; what is longer is cut. */
#define CF_WS_REASON_MAX 122

enum {
    CF_WS_NORMAL = 1000,
    CF_WS_GOING_AWAY = 1001,
    CF_WS_GONE = 1006,                  /* without a close of the client's; never sent */
};

struct cf_ws;

/* All are called from the loop, none from within a function of this file. */
struct cf_ws_events {
    /* The handshake is done; `ws` may be used until `closed`. */
    void (*open)(void *arg, struct cf_ws *ws);
    /* A whole message; text is UTF-8.  `data` is not NUL-terminated and borrowed for the call.  None comes after
     * cf_ws_close. */
    void (*message)(void *arg, bool binary, const char *data, size_t len);
    /* The socket took everything that was queued, so more may be. */
    void (*want)(void *arg);
    /* The last call, exactly once, also when there was no `open`; frees `arg`.  The code of the client's close, or of
     * ours, or CF_WS_GONE. */
    void (*closed)(void *arg, unsigned code);
};

/* Answers `call` with 101 and hands its connection over; or with 400 or 426, when it does not ask for that, and `closed`
 * was called.  The call is gone afterwards. */
void cf_call_upgrade(struct cf_call *call, const struct cf_ws_events *events, void *arg);

/* Queues one message; copies it.  -1: after cf_ws_close, no memory, or more than CF_WS_QUEUE_… would wait.  Text must be
 * UTF-8. */
int cf_ws_send(struct cf_ws *ws, bool binary, const char *data, size_t len) __attribute__((warn_unused_result));
/* Nothing waits to be sent. */
bool cf_ws_idle(const struct cf_ws *ws);
/* Of one client's messages, what may still come after cf_ws_pause: it was read along with the one before. */
#define CF_WS_BEHIND_MAX 4096
/* While paused nothing is read, so that a client that sends faster than what takes it waits; some messages that were
 * read already may still come.  It is pinged, but not expected to answer; that it has gone is seen within some seconds, that its
 * host has when that acknowledges nothing for the time within which it would have to answer.  A close of the client's is answered
 * once it is paused no more; after that same time it is let go. */
void cf_ws_pause(struct cf_ws *ws, bool paused);
/* It has closed, and waits for that answer: it takes nothing any more. */
bool cf_ws_leaving(const struct cf_ws *ws);
/* Ends it without a word, as if the connection had broken. */
void cf_ws_drop(struct cf_ws *ws);
/* Closes when what is queued was sent; `reason` is UTF-8 and may be NULL.  Later calls change nothing. */
void cf_ws_close(struct cf_ws *ws, unsigned code, const char *reason);

#endif
