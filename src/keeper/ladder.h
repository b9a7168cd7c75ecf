/* ladder.h: a session's states, and what each event does to them. */
#ifndef CURFEW_KEEPER_LADDER_H
#define CURFEW_KEEPER_LADDER_H

#include "keeper/context.h"

enum cf_event {
    CF_EVENT_STARTED,                   /* value: the leader's pid */
    CF_EVENT_FAILED,                    /* value: errno */
    CF_EVENT_LEFT,                      /* value: the leader's wait status */
    CF_EVENT_CHANGED,                   /* something of it died: look whether it is empty */
    CF_EVENT_END,                       /* value: grace in milliseconds */
    CF_EVENT_TIMER,
    CF_EVENTS
};

void cf_ladder_event(struct cf_keeper *k, struct cf_held *held, enum cf_event event, int64_t value);
/* END with its cause; the cause of the first one stays. */
void cf_ladder_end(struct cf_keeper *k, struct cf_held *held, enum cf_end_cause cause, int64_t grace_ms);
/* The lease runs `lease_ms` from now, if the session is not ending. */
void cf_ladder_renew(struct cf_keeper *k, struct cf_held *held, int64_t lease_ms);

#endif
