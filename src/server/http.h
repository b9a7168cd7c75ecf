/* http.h: the edge: libmicrohttpd, hardened in one place, between sockets and calls. */
#ifndef CURFEW_SERVER_HTTP_H
#define CURFEW_SERVER_HTTP_H

#include "base/error.h"
#include "base/settings.h"
#include "server/listen.h"

#include <event2/event.h>
#include <stdint.h>

struct cf_http;
struct cf_server;
struct cf_counts;

/* Opens the TCP and Unix listeners, reads or makes the token, and serves on `loop`.  `settings` and `counts` are
 * borrowed for the edge's life; `server` is handed to every call.  0 or a code with a message (port in use, no
 * permission, …).  With `from` it serves on those listeners, which it takes over. */
int cf_http_start(struct event_base *loop, const struct cf_settings *settings, const struct cf_listeners *from, struct cf_counts *counts,
                  struct cf_server *server, struct cf_http **ret_http, struct cf_error *error);
/* The listeners, borrowed. */
void cf_http_listeners(const struct cf_http *http, struct cf_listeners *ret);
/* Closes the listeners; requests in flight go on, new ones on open connections are answered 503. */
void cf_http_drain(struct cf_http *http);
/* Connections that are open. */
unsigned cf_http_connections(const struct cf_http *http);
/* Requests that are not answered yet. */
unsigned cf_http_pending(const struct cf_http *http);
void cf_http_stop(struct cf_http **http);
/* "127.0.0.1:8000" as bound (with the port that the kernel chose), for the banner. */
const char *cf_http_address(const struct cf_http *http);

#endif
