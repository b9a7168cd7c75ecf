/* hold.h: containment in practice: start, signal, kill, prove, release. */
#ifndef CURFEW_KEEPER_HOLD_H
#define CURFEW_KEEPER_HOLD_H

#include "keeper/context.h"

const struct cf_hold_ops *cf_hold_ops(void);

/* Reads what the session's init has said, and passes it to the ladder. */
void cf_hold_listen(struct cf_keeper *k, struct cf_held *held);
/* A child of ours, the session's init or leader, was reaped with this status. */
void cf_hold_reaped(struct cf_keeper *k, struct cf_held *held, pid_t pid, int wait_status);

/* Brings every session held by a subreaper alone the signal that it waits for: one look at all processes of the
 * machine for all of them, as each look costs some 6 us a process. */
void cf_hold_sweep(struct cf_keeper *k);

/* Kills every child of this process that belongs to no session, with all that descends from it: what is left
 * where a session killed its own subreaper.  Returns how many there still were. */
unsigned cf_hold_strays(struct cf_keeper *k);

/* Finds by trying which containments work and settles hold_offered, hold_default and user_namespace.
 * CF_E_UNAVAILABLE when the configured one does not, with the reason. */
int cf_hold_probe(struct cf_keeper *k, struct cf_error *error);

#endif
