/* pace.h: how fast sessions that print without end are listened to.
 *
 * A pipe that is emptied as fast as it can be keeps its writer and the server running all the time; with many of them no processor is
 * left for the command that somebody waits for.  So when more than one stream floods, all together get so many bytes a window, and who
 * is over it waits for the next one while its writer waits for room in the pipe.  One alone is not slowed down. */
#ifndef CURFEW_SERVER_PACE_H
#define CURFEW_SERVER_PACE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct cf_pace;

/* One stream of output. */
struct cf_paced {
    TAILQ_ENTRY(cf_paced) link;         /* while it waits */
    bool waits;
    uint64_t window;                    /* the last one in which it flooded */
    void (*resume)(void *arg);
    void *arg;
};

struct cf_pace *cf_pace_new(struct event_base *loop);      /* NULL: out of memory */
void cf_pace_free(struct cf_pace **pace);
/* Counts `bytes` that a stream gave in one turn without coming to an end; returns whether it may go on now, else `resume` is called. */
bool cf_pace_flooded(struct cf_pace *pace, struct cf_paced *paced, uint64_t bytes);
/* It waits no more. */
void cf_pace_leave(struct cf_pace *pace, struct cf_paced *paced);

#endif
