/* linger.h: clients that are still sending a body which was refused.
 *
 * Closing a socket with unread bytes resets it, and a reset can overtake the answer that says why.  So such a
 * connection is kept, its sending side closed, and what still comes is dropped, up to a bound in time, bytes and
 * number. */
#ifndef CURFEW_SERVER_LINGER_H
#define CURFEW_SERVER_LINGER_H

#include <event2/event.h>
#include <stdint.h>
#include <sys/queue.h>

struct cf_lingerer;

struct cf_linger {
    struct event_base *loop;
    TAILQ_HEAD(, cf_lingerer) list;
    unsigned count;
};

void cf_linger_init(struct cf_linger *linger, struct event_base *loop);
void cf_linger_free(struct cf_linger *linger);
/* Takes a duplicate of `fd`, which the caller closes.  Does nothing when there is no room. */
void cf_linger_add(struct cf_linger *linger, int fd);

#endif
