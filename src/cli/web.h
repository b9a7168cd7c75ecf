/* web.h: a WebSocket (RFC 6455) to the server, the client's side. */
#ifndef CURFEW_CLI_WEB_H
#define CURFEW_CLI_WEB_H

#include "cli/client.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CF_WEB_NORMAL 1000u
#define CF_WEB_GOING_AWAY 1001u
#define CF_WEB_LOST 1006u               /* the connection broke without a word */
#define CF_WEB_BEHIND 4001u             /* we took too little for too long */

struct cf_web;

/* A whole message; borrowed for the call. */
typedef void cf_web_message_fn(void *arg, bool binary, const char *data, size_t len);

/* Connects and shakes hands, for 10 s at most each.  `x` is a request as cf_request_make makes it; what the server
 * refuses it with is in x->error then, and x can be shown and freed as any.  0 and an owned connection, or -1. */
int cf_web_open(struct cf_client *client, struct cf_exchange *x, cf_web_message_fn *message, void *arg,
                struct cf_web **ret);
void cf_web_free(struct cf_web **web);
int cf_web_fd(const struct cf_web *web);
/* While paused nothing is taken from the server; may be called from a message. */
void cf_web_pause(struct cf_web *web, bool paused);
/* What to poll its descriptor for. */
short cf_web_wants(const struct cf_web *web);
/* Something is here already, so that there is nothing to wait for. */
bool cf_web_ready(const struct cf_web *web);
/* Sends and receives as much as goes without waiting.  False: the connection is over; see cf_web_code. */
bool cf_web_turn(struct cf_web *web);
/* Queues a message, which is copied.  False: no memory, or it is closing. */
bool cf_web_send(struct cf_web *web, bool binary, const char *data, size_t len);
size_t cf_web_queued(const struct cf_web *web);
/* Says goodbye; the connection is over when the server has answered. */
void cf_web_close(struct cf_web *web);
/* When the server was last heard of, CLOCK_MONOTONIC. */
int64_t cf_web_heard_ns(const struct cf_web *web);
/* How it ended: the code of the server's close, and its reason; borrowed. */
unsigned cf_web_code(const struct cf_web *web);
const char *cf_web_reason(const struct cf_web *web);

#endif
