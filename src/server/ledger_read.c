/* ledger_read.c: looking things up, by a connection of the loop's own that only reads.
 *
 * A reader of a write-ahead log waits for nobody; each look-up is by key or bounded in rows. */
#include "server/ledger_private.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum query { FIND, HISTORY, HISTORY_ONE, AUDIT };

static const char *const texts[] = {
    [FIND] = "SELECT " CF_LEDGER_TOMB_COLUMNS ", (SELECT bytes FROM outputs WHERE outputs.seq = ended.seq) FROM ended"
             " WHERE session_id = ?1",
    [HISTORY] = "SELECT " CF_LEDGER_TOMB_COLUMNS " FROM ended WHERE seq < ?1 ORDER BY seq DESC",
    [HISTORY_ONE] = "SELECT " CF_LEDGER_TOMB_COLUMNS " FROM ended WHERE seq < ?1 AND session_id = ?2",
    [AUDIT] = "SELECT seq, at_ns, action, by_whom, session_id, name, old, value, detail FROM audit"
              " WHERE seq < ?1 ORDER BY seq DESC",
};

void cf_ledger_reader_close(struct cf_ledger *l)
{
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        sqlite3_finalize(l->queries[i]);
        l->queries[i] = NULL;
    }
    sqlite3_close(l->reader);
    l->reader = NULL;
}

/* A file that is bad is the writer's to deal with; unless it has done so already, and this is still the old one. */
static void suspect(struct cf_ledger *l)
{
    struct stat st;
    if (stat(l->path, &st) < 0 || l->reader == NULL || cf_ledger_db_moved(l->reader))
        return;
    pthread_mutex_lock(&l->lock);
    l->suspect = st.st_ino;
    pthread_mutex_unlock(&l->lock);
    pthread_cond_signal(&l->wake);
}

static void failed(struct cf_ledger *l, int code, struct cf_error *error)
{
    cf_error_set(error, CF_E_UNAVAILABLE, NULL, "the ledger cannot be read now: %s",
                 l->reader != NULL ? sqlite3_errmsg(l->reader) : sqlite3_errstr(code));
    if (cf_ledger_db_is_broken(code))
        suspect(l);
    cf_ledger_reader_close(l);
}

/* It may not write, but it is opened so that it could: a log that a kill has left has to be gone through by whoever
 * comes first. */
static sqlite3_stmt *prepare(struct cf_ledger *l, enum query which, struct cf_error *error)
{
    int code = SQLITE_OK, flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    if (l == NULL) {
        cf_error_set(error, CF_E_UNAVAILABLE, NULL, "no ledger is kept: ledger_file is none");
        return NULL;
    }
    if (l->reader != NULL && cf_ledger_db_moved(l->reader))
        cf_ledger_reader_close(l);
    if (l->reader == NULL) {
        code = sqlite3_open_v2(l->path, &l->reader, flags, NULL);
        /* Were it the last to close, it would write the log back, and the loop would wait for the disk. */
        if (code == SQLITE_OK)
            code = sqlite3_db_config(l->reader, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
        if (code == SQLITE_OK)
            code = sqlite3_exec(l->reader, "PRAGMA query_only = ON; PRAGMA cache_size = -1024; PRAGMA mmap_size = 0",
                                NULL, NULL, NULL);
    }
    if (code == SQLITE_OK && l->queries[which] == NULL)
        code = sqlite3_prepare_v3(l->reader, texts[which], -1, SQLITE_PREPARE_PERSISTENT, &l->queries[which], NULL);
    if (code == SQLITE_OK)
        return l->queries[which];
    failed(l, code, error);
    return NULL;
}

const struct cf_tomb *cf_ledger_find(struct cf_ledger *l, const char *id)
{
    struct cf_error error;
    sqlite3_stmt *s = l != NULL ? prepare(l, FIND, &error) : NULL;
    if (s == NULL)
        return NULL;
    sqlite3_bind_text(s, 1, id, -1, SQLITE_STATIC);
    int code = sqlite3_step(s);
    if (code == SQLITE_ROW) {
        const void *bytes = sqlite3_column_blob(s, CF_LEDGER_TOMB_COUNT);
        size_t len = (size_t)sqlite3_column_bytes(s, CF_LEDGER_TOMB_COUNT);
        cf_ledger_db_tomb(s, &l->found);
        l->found.last_output = l->found_output;
        l->found.last_output_len = len < sizeof l->found_output ? len : sizeof l->found_output;
        if (bytes != NULL)
            memcpy(l->found_output, bytes, l->found.last_output_len);
    }
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        failed(l, code, &error);
    return code == SQLITE_ROW ? &l->found : NULL;
}

static bool fits(sqlite3_stmt *s, int column, const char *wanted)
{
    const char *text = (const char *)sqlite3_column_text(s, column);
    return wanted == NULL || (text != NULL && strcmp(text, wanted) == 0);
}

static bool tomb_fits(sqlite3_stmt *s, const struct cf_ledger_query *q)
{
    int64_t at_ns = sqlite3_column_int64(s, 5);
    return at_ns >= q->since_ns && at_ns <= q->until_ns && fits(s, 6, q->reason) && fits(s, 2, q->kind) &&
           fits(s, 3, q->workspace);
}

static bool audit_fits(sqlite3_stmt *s, const struct cf_ledger_query *q)
{
    int64_t at_ns = sqlite3_column_int64(s, 1);
    return at_ns >= q->since_ns && at_ns <= q->until_ns && fits(s, 2, q->action) && fits(s, 4, q->session_id);
}

static void read_audit(sqlite3_stmt *s, struct cf_audit *ret)
{
    ret->at_wall_ns = sqlite3_column_int64(s, 1);
    cf_ledger_db_text(s, 2, ret->action, sizeof ret->action);
    cf_ledger_db_text(s, 3, ret->by, sizeof ret->by);
    cf_ledger_db_text(s, 4, ret->session_id, sizeof ret->session_id);
    cf_ledger_db_text(s, 5, ret->name, sizeof ret->name);
    cf_ledger_db_text(s, 6, ret->old, sizeof ret->old);
    cf_ledger_db_text(s, 7, ret->value, sizeof ret->value);
    cf_ledger_db_text(s, 8, ret->detail, sizeof ret->detail);
}

struct sink {
    cf_ledger_tomb_row *tomb;           /* one of the two */
    cf_ledger_audit_row *audit;
    void *arg;
};

static void give(sqlite3_stmt *s, const struct sink *to)
{
    struct cf_tomb tomb;
    struct cf_audit audit;
    if (to->tomb != NULL) {
        cf_ledger_db_tomb(s, &tomb);
        to->tomb(to->arg, sqlite3_column_int64(s, 0), &tomb);
    } else {
        read_audit(s, &audit);
        to->audit(to->arg, sqlite3_column_int64(s, 0), &audit);
    }
}

/* Goes down from the newest until enough fit, or enough were looked at: the caller goes on from there. */
static int walk(struct cf_ledger *l, enum query which, const struct cf_ledger_query *q, const struct sink *to,
                int64_t *ret_next, struct cf_error *error)
{
    size_t given = 0, seen = 0;
    int64_t at = 0;
    int code;
    sqlite3_stmt *s = prepare(l, which, error);
    if (s == NULL)
        return CF_E_UNAVAILABLE;
    sqlite3_bind_int64(s, 1, q->before);
    if (which == HISTORY_ONE)
        sqlite3_bind_text(s, 2, q->session_id, -1, SQLITE_STATIC);
    while ((code = sqlite3_step(s)) == SQLITE_ROW && given < q->limit && seen++ < CF_LEDGER_SCAN_MAX) {
        at = sqlite3_column_int64(s, 0);
        if (to->tomb != NULL ? !tomb_fits(s, q) : !audit_fits(s, q))
            continue;
        give(s, to);
        given++;
    }
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    if (code != SQLITE_ROW && code != SQLITE_DONE) {
        failed(l, code, error);
        return CF_E_UNAVAILABLE;
    }
    *ret_next = code == SQLITE_ROW ? at : 0;
    return 0;
}

int cf_ledger_history(struct cf_ledger *l, const struct cf_ledger_query *q, cf_ledger_tomb_row *each, void *arg,
                      int64_t *ret_next, struct cf_error *error)
{
    const struct sink to = { .tomb = each, .arg = arg };
    return walk(l, q->session_id != NULL ? HISTORY_ONE : HISTORY, q, &to, ret_next, error);
}

int cf_ledger_audits(struct cf_ledger *l, const struct cf_ledger_query *q, cf_ledger_audit_row *each, void *arg,
                     int64_t *ret_next, struct cf_error *error)
{
    const struct sink to = { .audit = each, .arg = arg };
    return walk(l, AUDIT, q, &to, ret_next, error);
}
