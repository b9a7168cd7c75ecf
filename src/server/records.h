/* records.h: the server's ledger: opened with the server, told what runs, closed before the keeper is told goodbye. */
#ifndef CURFEW_SERVER_RECORDS_H
#define CURFEW_SERVER_RECORDS_H

#include "server/server.h"

/* Opens the ledger that the settings name.  `held` are the sessions that the keeper still holds; any other that is
 * recorded as running gets a tombstone with the reason `lost`.  A ledger that cannot be opened is told in the log and
 * tried again: not an error. */
int cf_records_open(struct cf_server *server, const char *const *held, size_t count, struct cf_error *error);
void cf_records_close(struct cf_server *server);

#endif
