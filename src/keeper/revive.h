/* revive.h: another server for one that died. */
#ifndef CURFEW_KEEPER_REVIVE_H
#define CURFEW_KEEPER_REVIVE_H

#include "keeper/context.h"

/* The server's connection or process is gone, `how` in words.  Whether another one comes; false: the sessions have to end. */
bool cf_revive_after(struct cf_keeper *k, const char *how, bool unruly);
/* Whether a server that goes now is one after which another comes: the first has to have come up. */
static inline bool cf_revive_may(const struct cf_keeper *k)
{
    return k->config.start_server != NULL && k->config.server_restarts != 0 && k->revival.served != 0 &&
        k->phase == CF_PHASE_SERVING;
}
/* Does what is due.  0, or -1: the server that was due cannot be started. */
int cf_revive_turn(struct cf_keeper *k);

#endif
