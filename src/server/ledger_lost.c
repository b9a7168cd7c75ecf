/* ledger_lost.c: what was recorded as running when a server died, and is held by nobody. */
#include "server/ledger_db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVIDENCE "recorded as running, but no keeper holds it"

void cf_ledger_db_text(sqlite3_stmt *row, int column, char *ret, size_t size)
{
    const unsigned char *text = sqlite3_column_text(row, column);
    snprintf(ret, size, "%s", text != NULL ? (const char *)text : "");
}

/* What another version has recorded, and this one does not know, is shown as unknown. */
static unsigned number_of(const char *name, const char *(*name_of)(unsigned), unsigned count)
{
    unsigned i = 0;
    while (i < count && strcmp(name_of(i), name) != 0)
        i++;
    return i;
}

static const char *kind_of(unsigned i)
{
    return cf_kind_name((enum cf_kind)i);
}

static const char *reason_of(unsigned i)
{
    return cf_reason_name((enum cf_reason)i);
}

static const char *rung_of(unsigned i)
{
    return cf_rung_name((enum cf_rung)i);
}

static int64_t step(sqlite3_stmt *row, int column)
{
    return sqlite3_column_type(row, column) != SQLITE_NULL ? sqlite3_column_int64(row, column) : -1;
}

void cf_ledger_db_tomb(sqlite3_stmt *row, struct cf_tomb *ret)
{
    char name[32];
    *ret = (struct cf_tomb){ .created_wall_ns = sqlite3_column_int64(row, 4), .ended_wall_ns = sqlite3_column_int64(row, 5),
                             .has_status = sqlite3_column_type(row, 9) != SQLITE_NULL, .wait_status = sqlite3_column_int(row, 9),
                             .killed = (uint32_t)sqlite3_column_int64(row, 10), .took_ms = sqlite3_column_int64(row, 11),
                             .idle_for_ns = sqlite3_column_int64(row, 12), .message_count = (uint64_t)sqlite3_column_int64(row, 13),
                             .hold = (uint32_t)sqlite3_column_int64(row, 14), .closed_ms = step(row, 15),
                             .interrupted_ms = step(row, 16), .killed_ms = step(row, 17), .restarts = (unsigned)sqlite3_column_int64(row, 19) };
    cf_ledger_db_text(row, 1, ret->id, sizeof ret->id);
    cf_ledger_db_text(row, 2, name, sizeof name);
    ret->kind = (enum cf_kind)number_of(name, kind_of, CF_KINDS);
    cf_ledger_db_text(row, 3, ret->workspace, sizeof ret->workspace);
    cf_ledger_db_text(row, 6, name, sizeof name);
    ret->reason = (enum cf_reason)number_of(name, reason_of, CF_REASONS);
    cf_ledger_db_text(row, 7, ret->evidence, sizeof ret->evidence);
    cf_ledger_db_text(row, 8, name, sizeof name);
    cf_ledger_db_text(row, 18, ret->agent, sizeof ret->agent);
    ret->rung = (enum cf_rung)number_of(name, rung_of, CF_RUNG_KILLED + 1);
}

/* Lists them where SQL can look them up. */
static int list_held(struct cf_ledger_db *db, char *const *held, size_t count)
{
    sqlite3_stmt *s;
    static const char make[] =
        "CREATE TEMP TABLE IF NOT EXISTS held (id TEXT PRIMARY KEY) WITHOUT ROWID; DELETE FROM held";
    int code = sqlite3_exec(db->handle, make, NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_prepare_v2(db->handle, "INSERT OR IGNORE INTO held VALUES (?1)", -1, &s, NULL);
    if (code != SQLITE_OK)
        return code;
    for (size_t i = 0; i < count && code == SQLITE_OK; i++) {
        sqlite3_bind_text(s, 1, held[i], -1, SQLITE_STATIC);
        code = sqlite3_step(s) == SQLITE_DONE ? SQLITE_OK : SQLITE_ERROR;
        sqlite3_reset(s);
    }
    sqlite3_finalize(s);
    return code;
}

static int move_rows(struct cf_ledger_db *db, size_t *ret_count)
{
    static const char move[] =
        "INSERT OR IGNORE INTO ended (session_id, kind, workspace, created_ns, ended_ns, reason, evidence, rung,"
        " wait_status, killed, took_ms, idle_ns, message_count, hold)"
        " SELECT session_id, kind, workspace, created_ns, ?1, 'lost', '" EVIDENCE "', 'unknown', NULL, 0, 0, 0, 0, hold"
        " FROM running WHERE session_id NOT IN (SELECT id FROM held) ORDER BY created_ns";
    static const char tell[] =
        "INSERT INTO audit (at_ns, action, by_whom, session_id, name, old, value, detail)"
        " SELECT ?1, 'end', 'start', session_id, '', '', '', 'lost: " EVIDENCE "'"
        " FROM running WHERE session_id NOT IN (SELECT id FROM held) ORDER BY created_ns";
    const char *const texts[] = { tell, move, "DELETE FROM running WHERE session_id NOT IN (SELECT id FROM held)" };
    int64_t now_ns = cf_clock_now().wall_ns;
    int code = SQLITE_OK;
    for (size_t i = 0; i < sizeof texts / sizeof *texts && code == SQLITE_OK; i++) {
        sqlite3_stmt *s;
        if ((code = sqlite3_prepare_v2(db->handle, texts[i], -1, &s, NULL)) != SQLITE_OK)
            break;
        if (sqlite3_bind_parameter_count(s) > 0)
            sqlite3_bind_int64(s, 1, now_ns);
        code = sqlite3_step(s) == SQLITE_DONE ? SQLITE_OK : sqlite3_errcode(db->handle);
        if (texts[i] == move)
            *ret_count = (size_t)sqlite3_changes(db->handle);
        sqlite3_finalize(s);
    }
    return code;
}

/* The newest `count` rows are those that were just moved. */
static void tell_all(struct cf_ledger_db *db, size_t count, cf_ledger_lost *lost, void *arg)
{
    sqlite3_stmt *s;
    static const char newest[] = "SELECT " CF_LEDGER_TOMB_COLUMNS " FROM ended ORDER BY seq DESC LIMIT ?1";
    if (sqlite3_prepare_v2(db->handle, newest, -1, &s, NULL) != SQLITE_OK)
        return;
    sqlite3_bind_int64(s, 1, (int64_t)count);
    while (sqlite3_step(s) == SQLITE_ROW) {
        struct cf_tomb tomb;
        cf_ledger_db_tomb(s, &tomb);
        lost(arg, &tomb);
    }
    sqlite3_finalize(s);
}

int cf_ledger_db_lose(struct cf_ledger_db *db, char *const *held, size_t count, cf_ledger_lost *lost, void *arg,
                      size_t *ret_count)
{
    size_t moved = 0;
    int code = sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL);
    if (code == SQLITE_OK)
        code = list_held(db, held, count);
    if (code == SQLITE_OK)
        code = move_rows(db, &moved);
    if (code == SQLITE_OK)
        code = sqlite3_exec(db->handle, "DELETE FROM held; COMMIT", NULL, NULL, NULL);
    if (code != SQLITE_OK) {
        snprintf(db->error, sizeof db->error, "%s", sqlite3_errmsg(db->handle));
        (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
        return code;
    }
    if (lost != NULL && moved > 0)
        tell_all(db, moved, lost, arg);
    *ret_count = moved;
    return SQLITE_OK;
}
