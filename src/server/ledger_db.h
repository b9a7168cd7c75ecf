/* ledger_db.h: the ledger's database as its writer has it: opening, the schema, one transaction, the oldest rows.
 *
 * Knows nothing of threads.  What can fail gives a SQLite result code, or a CF_LEDGER_…, with a sentence in `error`. */
#ifndef CURFEW_SERVER_LEDGER_DB_H
#define CURFEW_SERVER_LEDGER_DB_H

#include "server/ledger.h"

#include <sqlite3.h>

#define CF_LEDGER_VERSION 1             /* PRAGMA user_version */
#define CF_LEDGER_APPLICATION 0x63726677        /* PRAGMA application_id: "crfw" */
#define CF_LEDGER_NEWER (-1)            /* its schema is a later curfew's */
#define CF_LEDGER_FOREIGN (-2)          /* a database, but no ledger */
/* Rows that one step of retention removes at most. */
#define CF_LEDGER_STEP_ROWS 500
/* Databases that were put aside and are kept; of more the oldest goes. */
#define CF_LEDGER_ASIDE_MAX 8

enum cf_ledger_statement {
    CF_LEDGER_BEGIN, CF_LEDGER_COMMIT, CF_LEDGER_ROLLBACK, CF_LEDGER_OPENED, CF_LEDGER_CLOSED, CF_LEDGER_ENDED,
    CF_LEDGER_OUTPUT, CF_LEDGER_AUDIT, CF_LEDGER_EXPIRE_ENDED, CF_LEDGER_EXPIRE_AUDIT, CF_LEDGER_TRIM_ENDED,
    CF_LEDGER_TRIM_AUDIT,
    CF_LEDGER_OLDEST_ENDED, CF_LEDGER_OLDEST_AUDIT, CF_LEDGER_PAGES, CF_LEDGER_SHRINK, CF_LEDGER_STATEMENTS
};

struct cf_ledger_db {
    sqlite3 *handle;                    /* NULL: not open */
    sqlite3_stmt *statements[CF_LEDGER_STATEMENTS];
    int64_t page_bytes;
    char error[256];
};

/* An entry of the queue. */
struct cf_ledger_entry {
    struct cf_ledger_entry *next;
    enum { CF_ENTRY_OPENED, CF_ENTRY_ENDED, CF_ENTRY_AUDIT } what;
    union {
        struct {
            char id[CF_ID_MAX], workspace[CF_WORKSPACE_MAX], kind[16];
            int64_t created_wall_ns;
            uint32_t hold;
        } opened;
        struct cf_tomb ended;           /* owns its last_output */
        struct cf_audit audit;
    };
};

/* SQLITE_OK, with *ret_fresh when the database was begun now. */
int cf_ledger_db_open(struct cf_ledger_db *db, const char *path, bool *ret_fresh);
void cf_ledger_db_close(struct cf_ledger_db *db);
/* The file is no longer at its path: what is written there is lost. */
bool cf_ledger_db_moved(sqlite3 *handle);
/* Whether the file itself is bad, so that trying again cannot help. */
bool cf_ledger_db_is_broken(int code);
/* Writes all entries, in one transaction, or none. */
int cf_ledger_db_write(struct cf_ledger_db *db, const struct cf_ledger_entry *entries);
/* Renames the database (which is closed) to PATH.WORD-TIME, so that a fresh one can take its place.  0 or errno. */
int cf_ledger_db_put_aside(const char *path, const char *word, int64_t now_wall_ns, char *ret_path, size_t size);

/* One step of retention: removes up to CF_LEDGER_STEP_ROWS rows of each table that are older than `cutoff_wall_ns`, or,
 * when the file is larger than `max_bytes`, of that whose oldest is older.  *ret_rows: how many went; *ret_more:
 * another step has something to do. */
int cf_ledger_db_prune(struct cf_ledger_db *db, int64_t cutoff_wall_ns, int64_t max_bytes, size_t *ret_rows,
                       bool *ret_more);
/* The wall time of the oldest row; CF_NEVER_NS when there is none. */
int cf_ledger_db_oldest(struct cf_ledger_db *db, int64_t *ret_wall_ns);

/* Ends what is recorded as running and not among `held`, in one transaction; see cf_ledger_reconcile. */
int cf_ledger_db_lose(struct cf_ledger_db *db, char *const *held, size_t count, cf_ledger_lost *lost, void *arg,
                      size_t *ret_count);

/* The columns of a tombstone, in the order in which cf_ledger_db_tomb reads them from column 0 on. */
#define CF_LEDGER_TOMB_COLUMNS \
    "seq, session_id, kind, workspace, created_ns, ended_ns, reason, evidence, rung, wait_status, killed, took_ms, idle_ns," \
    " message_count, hold, closed_ms, interrupted_ms, killed_ms, agent, restarts"
#define CF_LEDGER_TOMB_COUNT 20
/* Without its last output. */
void cf_ledger_db_tomb(sqlite3_stmt *row, struct cf_tomb *ret);
void cf_ledger_db_text(sqlite3_stmt *row, int column, char *ret, size_t size);

#endif
