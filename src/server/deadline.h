/* deadline.h: absolute deadlines of connections.
 *
 * Each phase has one length, so the deadlines of a phase fall due in the order in which they were set: a list
 * a phase, appended at its tail, looked at from its head.  One timer is armed for the earliest; moving a
 * connection from phase to phase costs no system call and no heap.  Nothing is armed when nobody waits. */
#ifndef CURFEW_SERVER_DEADLINE_H
#define CURFEW_SERVER_DEADLINE_H

#include <event2/event.h>
#include <stdint.h>
#include <sys/queue.h>

enum cf_phase {
    CF_PHASE_HEADER,                    /* connected; the first request's headers are not complete */
    CF_PHASE_BODY,                      /* headers complete, body not */
    CF_PHASE_WORK,                      /* a handler has it: no deadline */
    CF_PHASE_IDLE,                      /* answered; the next request's headers are not complete */
    CF_PHASES
};

struct cf_deadline {
    TAILQ_ENTRY(cf_deadline) link;
    int64_t at_ns;                      /* monotonic */
    enum cf_phase phase;                /* CF_PHASE_WORK: in no list */
};

TAILQ_HEAD(cf_deadline_list, cf_deadline);

struct cf_deadlines {
    struct event *timer;
    int64_t armed_ns;                   /* CF_NEVER_NS when the timer is not armed */
    int64_t length_ns[CF_PHASES];
    struct cf_deadline_list lists[CF_PHASES];
    void (*expire)(void *arg, struct cf_deadline *late, enum cf_phase phase);
    void *arg;
};

/* `length_ns` by phase.  `expire` is called once for each
 * that is late, with the phase that it was in; it is in CF_PHASE_WORK already. -1: out of memory. */
int cf_deadlines_init(struct cf_deadlines *d, struct event_base *loop, const int64_t length_ns[CF_PHASES],
                      void (*expire)(void *arg, struct cf_deadline *late, enum cf_phase phase), void *arg);
void cf_deadlines_free(struct cf_deadlines *d);

/* A deadline starts zeroed with phase CF_PHASE_WORK; setting WORK takes it out. */
void cf_deadline_set(struct cf_deadlines *d, struct cf_deadline *one, enum cf_phase phase, int64_t now_ns);

#endif
