/* sweep.h: who is over the limits goes: every cleanup_interval, and when asked. */
#ifndef CURFEW_SERVER_SWEEP_H
#define CURFEW_SERVER_SWEEP_H

#include "server/server.h"
#include "server/tombs.h"

struct cf_sweep;

struct cf_sweep *cf_sweep_new(struct cf_server *server);
void cf_sweep_free(struct cf_sweep **sweep);

/* The automatic sweep.  Starting a running one, or stopping a stopped one, changes nothing; no session is touched by either. */
void cf_sweep_start(struct cf_sweep *sweep);
void cf_sweep_stop(struct cf_sweep *sweep);
bool cf_sweep_running(const struct cf_sweep *sweep);
/* A session was started: the timer, which does not run while there is none, may be needed. */
void cf_sweep_wake(struct cf_sweep *sweep);

/* Changes what can change at run time; NULL leaves a row as it is.  Durations in nanoseconds, already checked. */
struct cf_sweep_change {
    const int64_t *session_timeout_ns, *cleanup_interval_ns;
    const int64_t *agent_timeout_ns, *agent_cleanup_interval_ns;
    const bool *auto_cleanup_enabled;
};
void cf_sweep_configure(struct cf_sweep *sweep, const struct cf_sweep_change *change);

/* Starts the end of every session that is over its limits; calls `gone` for each when nothing of it is left.
 * Returns how many that will be. */
size_t cf_sweep_now(struct cf_sweep *sweep, struct cf_now now, int64_t grace_ns, void (*gone)(void *arg, const struct cf_tomb *tomb),
                    void *arg);

#endif
