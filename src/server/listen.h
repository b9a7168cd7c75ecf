/* listen.h: the sockets that clients connect to. */
#ifndef CURFEW_SERVER_LISTEN_H
#define CURFEW_SERVER_LISTEN_H

#include "base/error.h"
#include "base/settings.h"

#include <event2/event.h>
#include <sys/socket.h>

struct cf_listen;

/* Addresses of one host name, and the Unix socket. */
#define CF_LISTEN_MAX 8

/* Listeners that an earlier server had open; the callee takes them over. */
struct cf_listeners {
    int fds[CF_LISTEN_MAX];
    unsigned count;
};

/* A new connection; the callee owns `fd` from here on. */
typedef void cf_listen_accepted(void *arg, int fd, const struct sockaddr_storage *from, socklen_t from_len);
/* A connection was closed unserved because no descriptor was free. */
typedef void cf_listen_shed(void *arg);

/* Listens on the setting host and port (every address that the name has, all with one port) and on the Unix socket.
 * An address that is not loopback needs token_required.  A socket file on which nobody answers is replaced.  With `from`, those are
 * used instead. */
int cf_listen_open(struct event_base *loop, const struct cf_settings *settings, const struct cf_listeners *from, cf_listen_accepted *accepted,
                   cf_listen_shed *shed, void *arg, struct cf_listen **ret_listen, struct cf_error *error)
    __attribute__((warn_unused_result));
/* Those that are open, borrowed. */
void cf_listen_list(const struct cf_listen *listen, struct cf_listeners *ret);
/* Closes the listeners and removes the socket file. */
void cf_listen_close(struct cf_listen **listen);
/* "127.0.0.1:8000", "[::1]:8000": the first TCP address with its port as bound. */
const char *cf_listen_address(const struct cf_listen *listen);

#endif
