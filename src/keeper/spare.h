/* spare.h: a containment that waits for its session.
 *
 * Making a cgroup, the namespaces and their init takes half as long as starting a bash in them.  So one is made
 * ahead, a moment after a session was started, of the kind that sessions get which ask for none; nothing runs in it
 * but its init. */
#ifndef CURFEW_KEEPER_SPARE_H
#define CURFEW_KEEPER_SPARE_H

#include "keeper/context.h"

/* The spare when there is one of this kind, else a fresh one.  0 or an errno, and then there is nothing to clean up.
 * The caller owns what *ret_berth names. */
int cf_spare_take(struct cf_keeper *k, uint32_t hold, struct cf_berth *ret_berth);
/* Makes one when it is due and the keeper serves. */
void cf_spare_turn(struct cf_keeper *k);
/* Its init was reaped: something killed it. */
void cf_spare_lost(struct cf_keeper *k);
/* Kills and removes it, and makes no more. */
void cf_spare_drop(struct cf_keeper *k);

#endif
