/* shutdown.h: going down in order: SIGTERM or SIGINT, drain, end every session, say BYE. */
#ifndef CURFEW_SERVER_SHUTDOWN_H
#define CURFEW_SERVER_SHUTDOWN_H

#include "server/server.h"

/* Takes over SIGTERM and SIGINT.  A second one while it shuts down kills what is left at once. */
int cf_shutdown_prepare(struct cf_server *server, struct cf_error *error);
/* Another server takes this one's place: serves on until nobody waits for an answer, at most for `drain_ns`, and exits. */
void cf_shutdown_leave(struct cf_server *server, int64_t drain_ns);
/* Whether no session is left, and no shell that waits for one. */
bool cf_shutdown_all_gone(const struct cf_server *server);
void cf_shutdown_free(struct cf_server *server);

#endif
