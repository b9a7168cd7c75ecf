/* websocket.h: the smallest WebSocket client that can type a key and see it come back. */
#ifndef CURFEW_BENCH_WEBSOCKET_H
#define CURFEW_BENCH_WEBSOCKET_H

#include "bench/http.h"

#include <stdbool.h>
#include <stddef.h>

struct websocket {
    struct http *http;              /* borrowed; its data are what came, the first `given` bytes are done with */
    size_t given;
};

struct message {
    bool binary;
    const char *data;               /* borrowed from the connection until the next call; not NUL-terminated */
    size_t len;
};

/* Makes the connection w->http a WebSocket.  0, or -1 after telling why; likewise below. */
int websocket_open(struct websocket *w, const char *path);
/* Sends one binary message of less than 126 bytes. */
int websocket_send(struct websocket *w, const char *data, size_t len);
/* Waits for the next text or binary message, and answers pings that come before it.  A close is a failure. */
int websocket_receive(struct websocket *w, struct message *ret_message);

#endif
