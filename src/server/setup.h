/* setup.h: building the server from its settings, and taking it down. */
#ifndef CURFEW_SERVER_SETUP_H
#define CURFEW_SERVER_SETUP_H

#include "base/log.h"
#include "server/server.h"

enum cf_log_level cf_setup_log_level(const struct cf_settings *settings);
/* Builds everything that server.h names, listening last; `server->settings` is filled already.  0 or a code with its message. */
int cf_setup(struct cf_server *server, char *const *environment, struct cf_error *error);
/* What a person needs first: where it listens, where the token is, what to type. */
void cf_setup_banner(const struct cf_server *server);
/* Accepts a server that cf_setup left half-built. */
void cf_teardown(struct cf_server *server);

#endif
