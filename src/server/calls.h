/* calls.h: what the handlers of several operations share. */
#ifndef CURFEW_SERVER_CALLS_H
#define CURFEW_SERVER_CALLS_H

#include "core/core.h"
#include "server/call.h"
#include "server/tombs.h"

/* Answers with the error, and with the tombstone as error.session when there is one (NULL: none). */
void cf_calls_fail(struct cf_call *call, const struct cf_error *error, const struct cf_tomb *tomb);
/* Finds the session that the path names, or answers 404, or 410 with the tombstone. */
bool cf_calls_find(struct cf_call *call, cf_handle *ret_handle);

struct cf_ledger;

/* What is put on record from now on was asked for by this caller; ended by cf_ledger_by(…, NULL). */
void cf_calls_by(const struct cf_call *call);
/* Puts on record that this caller asked for it. */
void cf_calls_note(const struct cf_call *call, const char *action, const char *detail);
/* Writes how the ledger does, as "ledger". */
void cf_calls_ledger(struct cf_jsonw *w, struct cf_ledger *ledger);

#endif
