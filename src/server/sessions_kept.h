/* sessions_kept.h: sessions of an earlier server. */
#ifndef CURFEW_SERVER_SESSIONS_KEPT_H
#define CURFEW_SERVER_SESSIONS_KEPT_H

#include "server/keep.h"
#include "server/sessions.h"

/* A session as its record (kind SESSION) says, without a shell.  0; or a code and its message, and there is none. */
int cf_sessions_restore(struct cf_sessions *sessions, const struct cf_vault_record *record, struct cf_error *error);
/* Its shell (kind SHELL), current or replaced, once the session is there; `heir` is what the keeper holds of it.  False: it is
 * no session's, or cannot be had any more. */
bool cf_sessions_restore_shell(struct cf_sessions *sessions, const struct cf_vault_record *record, struct cf_heir *heir, struct cf_journal *journal);
/* All shells are there: goes on with what they were doing, and ends what cannot go on. */
void cf_sessions_resume(struct cf_sessions *sessions);

#endif
