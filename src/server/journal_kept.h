/* journal_kept.h: journals of an earlier server. */
#ifndef CURFEW_SERVER_JOURNAL_KEPT_H
#define CURFEW_SERVER_JOURNAL_KEPT_H

#include "server/journal.h"
#include "server/keep.h"

/* A journal as its record (kind JOURNAL) says, with one reference: still without output and commands.  NULL: no memory, or the record is none. */
struct cf_journal *cf_journal_restore(const struct cf_vault_record *record, const struct cf_journal_limits *limits, struct cf_spool_budget *budget);
/* Its output: the record is of kind SPOOL; takes `fd` over. */
void cf_journal_restore_spool(struct cf_journal *journal, const struct cf_vault_record *record, int fd);
/* A command (kind EXEC); all of them, in the order of their numbers, when its output is there.  False: no memory, or the record is none. */
bool cf_journal_restore_exec(struct cf_journal *journal, const struct cf_vault_record *record);
/* Commands that are neither ended nor the one that runs (NULL: none does) were taken by a server that died before it began them. */
void cf_journal_lose(struct cf_journal *journal, const struct cf_exec *running);
/* First bytes of a command (kind HEAD), when that is there. */
void cf_journal_restore_head(struct cf_journal *journal, const struct cf_vault_record *record);

#endif
