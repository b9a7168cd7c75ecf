/* ledger_db.c: opening, schema, writing. */
#include "server/ledger_db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Somebody who looks at the file with a tool of his own is waited for so long. */
#define BUSY_MS 500

/* The order matters: auto_vacuum is laid down with the first page.  NORMAL: after a power cut the last transactions may
 * be missing, but the file is whole; kill -9 loses nothing that was committed. */
static const char pragmas[] =
    "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;"
    "PRAGMA temp_store = MEMORY; PRAGMA mmap_size = 0; PRAGMA cache_size = -1024; PRAGMA journal_size_limit = 4194304;";

static const char schema[] =
    "BEGIN IMMEDIATE;"
    "CREATE TABLE running (session_id TEXT PRIMARY KEY, kind TEXT NOT NULL, workspace TEXT NOT NULL,"
    " created_ns INTEGER NOT NULL, hold INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE ended (seq INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,"
    " workspace TEXT NOT NULL, created_ns INTEGER NOT NULL, ended_ns INTEGER NOT NULL, reason TEXT NOT NULL, evidence TEXT NOT NULL,"
    " rung TEXT NOT NULL, wait_status INTEGER, killed INTEGER NOT NULL, took_ms INTEGER NOT NULL, idle_ns INTEGER NOT NULL,"
    " message_count INTEGER NOT NULL, hold INTEGER NOT NULL, closed_ms INTEGER, interrupted_ms INTEGER, killed_ms INTEGER,"
    " agent TEXT NOT NULL DEFAULT '', restarts INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX ended_by_time ON ended (ended_ns);"
    /* Apart, so that a walk through history reads few pages. */
    "CREATE TABLE outputs (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL);"
    "CREATE TRIGGER ended_gone AFTER DELETE ON ended BEGIN DELETE FROM outputs WHERE seq = old.seq; END;"
    "CREATE TABLE audit (seq INTEGER PRIMARY KEY AUTOINCREMENT, at_ns INTEGER NOT NULL, action TEXT NOT NULL,"
    " by_whom TEXT NOT NULL, session_id TEXT NOT NULL, name TEXT NOT NULL, old TEXT NOT NULL, value TEXT NOT NULL,"
    " detail TEXT NOT NULL);"
    "CREATE INDEX audit_by_time ON audit (at_ns);"
    "PRAGMA application_id = 1668441719; PRAGMA user_version = 1;"
    "COMMIT;";
_Static_assert(CF_LEDGER_APPLICATION == 1668441719 && CF_LEDGER_VERSION == 1, "the schema above says so");

static const char *const texts[CF_LEDGER_STATEMENTS] = {
    [CF_LEDGER_BEGIN] = "BEGIN IMMEDIATE",
    [CF_LEDGER_COMMIT] = "COMMIT",
    [CF_LEDGER_ROLLBACK] = "ROLLBACK",
    [CF_LEDGER_OPENED] =
        "INSERT OR IGNORE INTO running (session_id, kind, workspace, created_ns, hold) SELECT ?1, ?2, ?3, ?4, ?5"
        " WHERE NOT EXISTS (SELECT 1 FROM ended WHERE session_id = ?1)",
    [CF_LEDGER_CLOSED] = "DELETE FROM running WHERE session_id = ?1",
    [CF_LEDGER_ENDED] = "INSERT OR IGNORE INTO ended (session_id, kind, workspace, created_ns, ended_ns, reason, evidence, rung,"
                        " wait_status, killed, took_ms, idle_ns, message_count, hold, closed_ms, interrupted_ms, killed_ms, agent, restarts)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)",
    [CF_LEDGER_OUTPUT] = "INSERT INTO outputs (seq, bytes) VALUES (last_insert_rowid(), ?1)",
    [CF_LEDGER_AUDIT] = "INSERT INTO audit (at_ns, action, by_whom, session_id, name, old, value, detail)"
                        " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    [CF_LEDGER_EXPIRE_ENDED] =
        "DELETE FROM ended WHERE seq IN (SELECT seq FROM ended WHERE ended_ns < ?1 ORDER BY ended_ns LIMIT ?2)",
    [CF_LEDGER_EXPIRE_AUDIT] =
        "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit WHERE at_ns < ?1 ORDER BY at_ns LIMIT ?2)",
    [CF_LEDGER_TRIM_ENDED] = "DELETE FROM ended WHERE seq IN (SELECT seq FROM ended ORDER BY seq LIMIT ?1)",
    [CF_LEDGER_TRIM_AUDIT] = "DELETE FROM audit WHERE seq IN (SELECT seq FROM audit ORDER BY seq LIMIT ?1)",
    [CF_LEDGER_OLDEST_ENDED] = "SELECT min(ended_ns) FROM ended",
    [CF_LEDGER_OLDEST_AUDIT] = "SELECT min(at_ns) FROM audit",
    [CF_LEDGER_PAGES] = "PRAGMA page_count",
    [CF_LEDGER_SHRINK] = "PRAGMA incremental_vacuum(1000)",
};

static int fail(struct cf_ledger_db *db, int code)
{
    int system = sqlite3_system_errno(db->handle);
    bool tell = system != 0 && (code & 0xff) != SQLITE_FULL && (code & 0xff) != SQLITE_BUSY;
    snprintf(db->error, sizeof db->error, "%s%s%s%s",
             db->handle != NULL ? sqlite3_errmsg(db->handle) : sqlite3_errstr(code), tell ? " (" : "",
             tell ? strerror(system) : "", tell ? ")" : "");
    return code;
}

/* A number that a PRAGMA or SELECT gives. */
static int ask(struct cf_ledger_db *db, const char *text, int64_t *ret)
{
    sqlite3_stmt *statement;
    int code = sqlite3_prepare_v2(db->handle, text, -1, &statement, NULL);
    if (code == SQLITE_OK && (code = sqlite3_step(statement)) == SQLITE_ROW) {
        *ret = sqlite3_column_int64(statement, 0);
        code = SQLITE_OK;
    }
    if (code != SQLITE_OK)
        fail(db, code);
    sqlite3_finalize(statement);
    return code;
}

/* One that others could read, and that is known to be ours by now.  Where there are no modes that is no use. */
static void tighten(const char *path)
{
    static const char *const ends[] = { "", "-wal", "-shm" };
    char name[PATH_MAX];
    struct stat st;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        snprintf(name, sizeof name, "%s%s", path, ends[i]);
        if (stat(name, &st) == 0 && (st.st_mode & 077) != 0)
            (void)chmod(name, 0600);
    }
}

/* Sees to it that the schema is there and is ours, before anything is changed. */
static int settle(struct cf_ledger_db *db, bool *ret_fresh)
{
    int64_t version, application, tables;
    int code;
    if ((code = ask(db, "PRAGMA user_version", &version)) != SQLITE_OK ||
        (code = ask(db, "PRAGMA application_id", &application)) != SQLITE_OK ||
        (code = ask(db, "SELECT count(*) FROM sqlite_master", &tables)) != SQLITE_OK)
        return code;
    *ret_fresh = tables == 0;
    if (tables > 0 && application != CF_LEDGER_APPLICATION) {
        snprintf(db->error, sizeof db->error, "it is a database of something else; set ledger_file to another path");
        return CF_LEDGER_FOREIGN;
    }
    if (version > CF_LEDGER_VERSION) {
        snprintf(db->error, sizeof db->error, "its schema is version %lld of a later curfew, this one knows %d",
                 (long long)version, CF_LEDGER_VERSION);
        return CF_LEDGER_NEWER;
    }
    tighten(sqlite3_db_filename(db->handle, "main"));
    if ((code = sqlite3_exec(db->handle, pragmas, NULL, NULL, NULL)) != SQLITE_OK ||
        (*ret_fresh && (code = sqlite3_exec(db->handle, schema, NULL, NULL, NULL)) != SQLITE_OK))
        return fail(db, code);
    return ask(db, "PRAGMA page_size", &db->page_bytes);
}

/* Only its owner may read it; SQLite gives its other files the same mode.  It is never opened otherwise than by SQLite
 * while SQLite has it open: closing any descriptor of a file gives up the process's locks on it. */
static int make_private(struct cf_ledger_db *db, const char *path)
{
    struct stat st = { 0 };
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0) {
        close(fd);
        return SQLITE_OK;
    }
    if (errno == EEXIST && stat(path, &st) == 0 && S_ISREG(st.st_mode)) {
        if (access(path, W_OK) == 0)
            return SQLITE_OK;           /* SQLite would not say why it cannot */
    } else if (errno == EEXIST) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
    }
    int why = errno;
    snprintf(db->error, sizeof db->error, "%s", strerror(why));
    return SQLITE_CANTOPEN;
}

int cf_ledger_db_open(struct cf_ledger_db *db, const char *path, bool *ret_fresh)
{
    bool fresh = false;
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE;
    *db = (struct cf_ledger_db){ 0 };
    int code = make_private(db, path);
    if (code == SQLITE_OK && (code = sqlite3_open_v2(path, &db->handle, flags, NULL)) != SQLITE_OK)
        fail(db, code);
    if (code == SQLITE_OK) {
        sqlite3_busy_timeout(db->handle, BUSY_MS);
        code = settle(db, &fresh);
    }
    for (int i = 0; i < CF_LEDGER_STATEMENTS && code == SQLITE_OK; i++) {
        code = sqlite3_prepare_v3(db->handle, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &db->statements[i], NULL);
        if (code != SQLITE_OK)
            fail(db, code == SQLITE_ERROR ? SQLITE_CORRUPT : code);     /* ours by name, but not by its tables */
        if (code == SQLITE_ERROR)
            code = SQLITE_CORRUPT;
    }
    if (code != SQLITE_OK)
        cf_ledger_db_close(db);
    else
        *ret_fresh = fresh;
    return code;
}

void cf_ledger_db_close(struct cf_ledger_db *db)
{
    for (int i = 0; i < CF_LEDGER_STATEMENTS; i++) {
        sqlite3_finalize(db->statements[i]);
        db->statements[i] = NULL;
    }
    sqlite3_close(db->handle);
    db->handle = NULL;
}

bool cf_ledger_db_moved(sqlite3 *handle)
{
    int moved = 0;
    return sqlite3_file_control(handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0;
}

bool cf_ledger_db_is_broken(int code)
{
    return code > 0 && ((code & 0xff) == SQLITE_CORRUPT || (code & 0xff) == SQLITE_NOTADB);
}

/* Runs a statement that was bound, and makes it ready for the next time. */
static int run(struct cf_ledger_db *db, enum cf_ledger_statement which)
{
    sqlite3_stmt *s = db->statements[which];
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW) {
    }
    code = code == SQLITE_DONE ? SQLITE_OK : fail(db, code);
    sqlite3_reset(s);
    sqlite3_clear_bindings(s);
    return code;
}

static void bind_text(sqlite3_stmt *s, int at, const char *text)
{
    sqlite3_bind_text(s, at, text, -1, SQLITE_STATIC);
}

static int write_opened(struct cf_ledger_db *db, const struct cf_ledger_entry *e)
{
    sqlite3_stmt *s = db->statements[CF_LEDGER_OPENED];
    bind_text(s, 1, e->opened.id);
    bind_text(s, 2, e->opened.kind);
    bind_text(s, 3, e->opened.workspace);
    sqlite3_bind_int64(s, 4, e->opened.created_wall_ns);
    sqlite3_bind_int64(s, 5, e->opened.hold);
    return run(db, CF_LEDGER_OPENED);
}

/* A step that was not taken stays NULL, as that of a session which is lost. */
static void bind_steps(sqlite3_stmt *s, int at, const struct cf_tomb *t)
{
    const int64_t steps[] = { t->closed_ms, t->interrupted_ms, t->killed_ms };
    for (int i = 0; i < 3; i++)
        if (steps[i] >= 0)
            sqlite3_bind_int64(s, at + i, steps[i]);
}

static int write_ended(struct cf_ledger_db *db, const struct cf_tomb *t)
{
    sqlite3_stmt *s = db->statements[CF_LEDGER_ENDED];
    bind_text(db->statements[CF_LEDGER_CLOSED], 1, t->id);
    int code = run(db, CF_LEDGER_CLOSED);
    bind_text(s, 1, t->id);
    bind_text(s, 2, cf_kind_name(t->kind));
    bind_text(s, 3, t->workspace);
    sqlite3_bind_int64(s, 4, t->created_wall_ns);
    sqlite3_bind_int64(s, 5, t->ended_wall_ns);
    bind_text(s, 6, cf_reason_name(t->reason));
    bind_text(s, 7, t->evidence);
    bind_text(s, 8, cf_rung_name(t->rung));
    if (t->has_status)
        sqlite3_bind_int(s, 9, t->wait_status);
    sqlite3_bind_int64(s, 10, t->killed);
    sqlite3_bind_int64(s, 11, t->took_ms);
    sqlite3_bind_int64(s, 12, t->idle_for_ns);
    sqlite3_bind_int64(s, 13, (int64_t)t->message_count);
    sqlite3_bind_int64(s, 14, t->hold);
    bind_steps(s, 15, t);
    bind_text(s, 18, t->agent);
    sqlite3_bind_int64(s, 19, t->restarts);
    if (code == SQLITE_OK)
        code = run(db, CF_LEDGER_ENDED);
    if (code != SQLITE_OK || sqlite3_changes(db->handle) == 0 || t->last_output_len == 0)
        return code;
    sqlite3_bind_blob(db->statements[CF_LEDGER_OUTPUT], 1, t->last_output, (int)t->last_output_len, SQLITE_STATIC);
    return run(db, CF_LEDGER_OUTPUT);
}

static int write_audit(struct cf_ledger_db *db, const struct cf_audit *a)
{
    sqlite3_stmt *s = db->statements[CF_LEDGER_AUDIT];
    sqlite3_bind_int64(s, 1, a->at_wall_ns);
    bind_text(s, 2, a->action);
    bind_text(s, 3, a->by);
    bind_text(s, 4, a->session_id);
    bind_text(s, 5, a->name);
    bind_text(s, 6, a->old);
    bind_text(s, 7, a->value);
    bind_text(s, 8, a->detail);
    return run(db, CF_LEDGER_AUDIT);
}

/* The first error's sentence is the one that tells. */
static int undo(struct cf_ledger_db *db, int code)
{
    char why[sizeof db->error];
    memcpy(why, db->error, sizeof why);
    if (!sqlite3_get_autocommit(db->handle))
        (void)run(db, CF_LEDGER_ROLLBACK);
    memcpy(db->error, why, sizeof why);
    return code;
}

int cf_ledger_db_write(struct cf_ledger_db *db, const struct cf_ledger_entry *entries)
{
    int code = run(db, CF_LEDGER_BEGIN);
    for (const struct cf_ledger_entry *e = entries; e != NULL && code == SQLITE_OK; e = e->next)
        code = e->what == CF_ENTRY_OPENED ? write_opened(db, e)
               : e->what == CF_ENTRY_ENDED ? write_ended(db, &e->ended)
                                           : write_audit(db, &e->audit);
    if (code == SQLITE_OK)
        code = run(db, CF_LEDGER_COMMIT);
    return code == SQLITE_OK ? code : undo(db, code);
}
