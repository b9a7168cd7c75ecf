/* wait.h: a request that is answered when its session's journal has news, or its time is over. */
#ifndef CURFEW_SERVER_WAIT_H
#define CURFEW_SERVER_WAIT_H

#include "server/journal.h"

#include <event2/event.h>

/* Answers when there is what it waits for, or when this is the last time; returns whether it did. */
typedef bool cf_wait_look(void *arg, bool last);

/* Looks at once, then each time that the journal has news, from the loop; for the last time after `most_ns` (0: at once).  -1: out of memory,
 * and nothing was answered. */
int cf_wait(struct event_base *loop, struct cf_journal *journal, int64_t most_ns, cf_wait_look *look, void *arg);

#endif
