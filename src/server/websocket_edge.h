/* websocket_edge.h: what the edge does with the connections of websocket.h. */
#ifndef CURFEW_SERVER_WEBSOCKET_EDGE_H
#define CURFEW_SERVER_WEBSOCKET_EDGE_H

#include "server/edge.h"
#include "server/websocket.h"

/* A client is pinged when it has sent nothing for so long … */
#define CF_WS_PING_NS (30 * CF_NS_PER_S)
/* … and closed after this. */
#define CF_WS_SILENCE_NS (60 * CF_NS_PER_S)
/* From our close to the client's. */
#define CF_WS_CLOSE_NS (5 * CF_NS_PER_S)

/* For libmicrohttpd to queue; NULL: no memory. */
struct MHD_Response *cf_ws_response(struct cf_ws *ws);
/* The edge stops: each that is open says 1001 and ends. */
void cf_sockets_stop(struct cf_http *http);
/* libmicrohttpd is done with the connection, and maybe was before it was handed over.  Takes NULL. */
void cf_ws_free(struct cf_ws **ws);

#endif
