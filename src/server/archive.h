/* archive.h: journals of sessions that have ended, for as long as their results are kept: a client that comes back after its command took
 * the session with it still finds the output and the exit status. */
#ifndef CURFEW_SERVER_ARCHIVE_H
#define CURFEW_SERVER_ARCHIVE_H

#include "server/journal.h"

#include <event2/event.h>

/* Journals at a time; beyond it the oldest goes. */
#define CF_ARCHIVE_MAX 256

struct cf_archive;

/* `budget` is that of all spools, borrowed: the oldest journals go when more than three quarters of it are used.  NULL: out of memory. */
struct cf_archive *cf_archive_new(struct event_base *loop, int64_t retention_ns, const struct cf_spool_budget *budget);
struct cf_vault_record;
/* Of an earlier server's entry (kind ARCHIVE): which journal it is of, whose, and since when. False: it is none. */
bool cf_archive_kept(const struct cf_vault_record *record, uint64_t *ret_journal, const char **ret_id, int64_t *ret_since_ns);
void cf_archive_free(struct cf_archive **archive);
/* Takes a reference of its own; one that ran and printed nothing is not kept, nor one for which there is no memory. */
void cf_archive_add(struct cf_archive *archive, const char *id, struct cf_journal *journal, int64_t now_mono_ns);
/* NULL: there is none of that session, or none any more.  Borrowed. */
struct cf_journal *cf_archive_find(const struct cf_archive *archive, const char *id);

#endif
