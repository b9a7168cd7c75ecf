/* handshake.h: how an HTTP connection becomes a WebSocket. */
#ifndef CURFEW_CLI_HANDSHAKE_H
#define CURFEW_CLI_HANDSHAKE_H

#include "cli/client.h"

/* What a connection (x->easy) gives now.  More than 0: bytes; 0: nothing yet; -1: it is over. */
long cf_handshake_receive(struct cf_exchange *x, char *data, size_t size);
/* Asks for x->path on the open connection x->easy and reads the answer.  0, and in *ret_early what came behind it; or
 * -1 and x->error, x->http and x->reply. */
int cf_handshake(const struct cf_where *where, struct cf_exchange *x, struct cf_buf *ret_early);
/* The Sec-WebSocket-Accept that belongs to a key; `text` holds 29 bytes. */
void cf_handshake_accept(const char *key, char *text);

#endif
