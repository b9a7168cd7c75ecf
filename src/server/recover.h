/* recover.h: taking over what a server that died had: from its vault and the keeper's hand to live sessions. */
#ifndef CURFEW_SERVER_RECOVER_H
#define CURFEW_SERVER_RECOVER_H

#include "server/keep.h"
#include "server/listen.h"
#include "server/server.h"

/* Opens the link to the keeper, and the vault: the one of an earlier server, when there was one.  True in *ret_settled: the settings are that server's,
 * as it had them, changes at run time included.  0 or a code with a message. */
int cf_recover_open(struct cf_server *server, bool *ret_settled, struct cf_error *error);
/* Writes the settings down for the next server. */
void cf_recover_keep_settings(struct cf_server *server);
/* Opens the ledger, and brings sessions, their output, tombstones and what is kept of ended sessions back to life.  What the keeper holds and nobody
 * knows is ended; what is recorded and not held is lost.  0 or CF_E_NO_MEMORY, CF_E_SYSTEM. */
int cf_recover_sessions(struct cf_server *server, struct cf_error *error);
/* The listeners that the keeper holds, to be taken over. */
void cf_recover_listeners(struct cf_server *server, struct cf_listeners *ret);
void cf_recover_keep_listeners(struct cf_server *server);
/* No next server is to have them: who connects is to be refused. */
void cf_recover_drop_listeners(struct cf_server *server);
/* Nothing more is taken over. */
void cf_recover_done(struct cf_server *server);

#endif
