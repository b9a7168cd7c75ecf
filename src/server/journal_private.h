/* journal_private.h: a journal's inside, shared by journal.c and journal_kept.c (what the next server finds of it). */
#ifndef CURFEW_SERVER_JOURNAL_PRIVATE_H
#define CURFEW_SERVER_JOURNAL_PRIVATE_H

#include "server/journal.h"
#include "server/keep.h"

struct cf_journal {
    unsigned refs;
    const struct cf_keep *keep;         /* borrowed; may be NULL */
    uint64_t number;
    cf_vault_ref kept;                  /* struct cf_kept_journal */
    struct cf_journal_limits limits;
    struct cf_spool *spool;
    TAILQ_HEAD(cf_execs, cf_exec) execs;
    uint32_t count, last_number;
    uint64_t terminal_bytes;
    bool of_program;
    uint64_t program_bytes[CF_STREAMS];
    LIST_HEAD(, cf_watch) watches;
    struct cf_watch *writer;
    bool held;                          /* the writer waits for cf_journal_moved */
    bool closed;
    struct cf_buf tombstone;
};

/* Without a record in the vault; `number` 0: a fresh one. */
struct cf_journal *cf_journal_make(const struct cf_journal_limits *limits, struct cf_spool_budget *budget, uint64_t number);

/* Write down how things are: the journal, a command, how much it has printed, its rescued first bytes. */
void cf_journal_keep(struct cf_journal *j);
void cf_journal_keep_exec(const struct cf_journal *j, struct cf_exec *e);
void cf_journal_keep_counts(const struct cf_journal *j, const struct cf_exec *e);
void cf_journal_keep_head(const struct cf_journal *j, struct cf_exec *e, enum cf_stream stream);
/* The command is forgotten. */
void cf_journal_keep_no_more(const struct cf_journal *j, struct cf_exec *e);

#endif
