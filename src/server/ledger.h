/* ledger.h: history: what was recorded of sessions, of their ends and of changes at run time, in a SQLite database that
 * outlives the server.
 *
 * The loop only puts an entry into a bounded queue; one thread of the ledger's own writes, many entries in a
 * transaction, and no failure of its disk reaches a session.  What is not written yet waits in the queue; when that is
 * full the oldest goes and is counted.  Looking something up is done by a second connection, by the loop itself, and
 * bounded: with a write-ahead log a reader never waits for the writer.
 *
 * All functions are called by the loop's thread.  NULL is a ledger that is off: nothing is recorded or found. */
#ifndef CURFEW_SERVER_LEDGER_H
#define CURFEW_SERVER_LEDGER_H

#include "base/error.h"
#include "base/settings.h"
#include "core/core.h"
#include "server/tombs.h"

struct cf_ledger;

/* How long cf_ledger_free waits for what is queued. */
#define CF_LEDGER_FLUSH_NS (5 * CF_NS_PER_S)
#define CF_LEDGER_BY_MAX 96
#define CF_LEDGER_VALUE_MAX 128

struct cf_ledger_options {
    const char *path;                   /* copied */
    size_t queue;                       /* entries that wait; as many again may be in the writer's hands */
    int64_t retention_ns;
    int64_t max_bytes;
    /* Called by the loop when the writer waits and there is something for it: to call cf_ledger_wake some milliseconds
     * later, behind the answer.  NULL: it is woken at once. */
    void (*queued)(void *arg);
    void *arg;
};

/* Opens the database, or begins one; what cannot be opened now is tried again and again by the writer.  Nothing is
 * written before cf_ledger_start.  NULL: no memory. */
struct cf_ledger *cf_ledger_new(const struct cf_ledger_options *options);
/* What is recorded as running, and is not among `held`, gets a tombstone with the reason `lost`.  `lost` is called for
 * each (NULL: nobody wants to know), the tombstone borrowed.  Returns how many.  Where the database cannot be opened
 * now, that is done when it can, without calling `lost`. */
typedef void cf_ledger_lost(void *arg, const struct cf_tomb *tomb);
size_t cf_ledger_reconcile(struct cf_ledger *ledger, const char *const *held, size_t count, cf_ledger_lost *lost,
                           void *arg);
/* Starts the writer.  0 or CF_E_SYSTEM. */
int cf_ledger_start(struct cf_ledger *ledger, struct cf_error *error);
void cf_ledger_wake(struct cf_ledger *ledger);
/* Writes what is queued, for at most CF_LEDGER_FLUSH_NS, and ends the writer.  What cannot be written is told in the
 * log. */
void cf_ledger_free(struct cf_ledger **ledger);
/* Readable when the database was begun anew while the server ran, or what was recorded may be incomplete: whoever knows
 * what runs should record it once more (cf_ledger_again says whether, and forgets it).  -1 without a ledger. */
int cf_ledger_again_fd(const struct cf_ledger *ledger);
bool cf_ledger_again(struct cf_ledger *ledger);

/* ── recording ── */

/* A session that has started; recording it again changes nothing. */
void cf_ledger_opened(struct cf_ledger *ledger, const char *id, const char *kind, const char *workspace,
                      int64_t created_wall_ns, uint32_t hold);
/* Everything is copied. */
void cf_ledger_ended(struct cf_ledger *ledger, const struct cf_tomb *tomb);

/* Something that was asked for or decided. */
struct cf_audit {
    int64_t at_wall_ns;                 /* 0: now */
    char action[24];
    char by[CF_LEDGER_BY_MAX];          /* who asked; empty: whom cf_ledger_by named, else unknown */
    char session_id[CF_ID_MAX];
    char name[64], old[CF_LEDGER_VALUE_MAX], value[CF_LEDGER_VALUE_MAX];       /* of a setting */
    char detail[CF_EVIDENCE_MAX];
};
void cf_ledger_audit(struct cf_ledger *ledger, const struct cf_audit *audit);
/* Who asks for what is recorded from now on; NULL: nobody in particular. */
void cf_ledger_by(struct cf_ledger *ledger, const char *by);
bool cf_ledger_has_by(const struct cf_ledger *ledger);
/* A session's end was decided. */
void cf_ledger_audit_end(struct cf_ledger *ledger, const char *id, enum cf_reason reason, const char *evidence);
/* One entry for each setting that differs. */
void cf_ledger_audit_settings(struct cf_ledger *ledger, const struct cf_settings *old, const struct cf_settings *now);

/* ── looking up ── */

/* The tombstone of a session; NULL when there is none, or none can be read.  Borrowed until the next call. */
const struct cf_tomb *cf_ledger_find(struct cf_ledger *ledger, const char *id);

/* One call looks at no more than so many rows, whatever it is asked. */
#define CF_LEDGER_SCAN_MAX 5000
struct cf_ledger_query {
    int64_t since_ns, until_ns;         /* wall clock, both included */
    const char *reason, *kind, *workspace;      /* of history; NULL: any */
    const char *action;                 /* of the audit; NULL: any */
    const char *session_id;             /* NULL: any */
    int64_t before;                     /* rows with smaller numbers; INT64_MAX: from the newest on */
    size_t limit;
};
/* Calls `each` with what fits, the newest first, everything borrowed.  *ret_next is where to go on (`before`), 0 when
 * all was seen.  0; CF_E_UNAVAILABLE when there is no ledger or it cannot be read now. */
typedef void cf_ledger_tomb_row(void *arg, int64_t number, const struct cf_tomb *tomb);
int cf_ledger_history(struct cf_ledger *ledger, const struct cf_ledger_query *query, cf_ledger_tomb_row *each,
                      void *arg, int64_t *ret_next, struct cf_error *error);
typedef void cf_ledger_audit_row(void *arg, int64_t number, const struct cf_audit *audit);
int cf_ledger_audits(struct cf_ledger *ledger, const struct cf_ledger_query *query, cf_ledger_audit_row *each,
                     void *arg, int64_t *ret_next, struct cf_error *error);

/* ── how it does ── */

struct cf_ledger_status {
    const char *state;                  /* "ok", "failing", "off" */
    size_t queued;
    char error[256];                    /* the last one, while it is failing */
};
void cf_ledger_status(struct cf_ledger *ledger, struct cf_ledger_status *ret);
/* Fills in the counters that are the ledger's. */
void cf_ledger_count(struct cf_ledger *ledger, struct cf_counts *counts);

#endif
