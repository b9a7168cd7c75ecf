/* handover.h: a server that comes after another learns what there is. */
#ifndef CURFEW_KEEPER_HANDOVER_H
#define CURFEW_KEEPER_HANDOVER_H

#include "keeper/context.h"

/* With WELCOME out, HELD and KEPT are due. */
void cf_handover_begin(struct cf_keeper *k);
/* Sends of them what the server takes.  Nothing is owed to it, and nothing read of it, before all are out. */
void cf_handover_flush(struct cf_keeper *k);
/* The connection is gone. */
void cf_handover_stop(struct cf_keeper *k);

#endif
