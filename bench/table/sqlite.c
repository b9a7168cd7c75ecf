/* SQLite in memory: a table by id with an index on the deadline, prepared statements, many in one transaction. */
#include "bench/table/record.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

enum statement { CREATE, TOUCH, MESSAGE, TOUCH_ID, LOOKUP, END, SWEEP, BEGIN, COMMIT, STATEMENTS };

static const char *const texts[STATEMENTS] = {
    [CREATE] = "INSERT INTO session (id, workspace, created, last_used, messages, state, user, deadline)"
               " VALUES (?1, ?2, ?3, ?3, 0, 1, ?4, ?5)",
    [TOUCH] = "UPDATE session SET last_used = ?2, deadline = min(?3, created + ?4) WHERE number = ?1 AND state = 1",
    [MESSAGE] = "UPDATE session SET last_used = ?2, deadline = min(?3, created + ?4), messages = messages + 1"
                " WHERE number = ?1 AND state = 1",
    [TOUCH_ID] = "UPDATE session SET last_used = ?2, deadline = min(?3, created + ?4) WHERE id = ?1 AND state = 1",
    [LOOKUP] = "SELECT number, user FROM session WHERE id = ?1",
    [END] = "DELETE FROM session WHERE number = ?1",
    [SWEEP] = "DELETE FROM session WHERE deadline < ?1",
    [BEGIN] = "BEGIN", [COMMIT] = "COMMIT",
};

static const char schema[] =
    "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = MEMORY;"
    "CREATE TABLE session (number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, workspace TEXT NOT NULL,"
    " created INTEGER NOT NULL, last_used INTEGER NOT NULL, messages INTEGER NOT NULL, state INTEGER NOT NULL,"
    " user INTEGER, deadline INTEGER NOT NULL);"
    "CREATE INDEX by_deadline ON session (deadline);";

struct store {
    sqlite3 *db;
    sqlite3_stmt *statements[STATEMENTS];
};

static struct store *open_store(const char *folder, size_t max, int64_t now_ns)
{
    struct store *store = calloc(1, sizeof *store);
    /* One thread at a time: its own mutexes would only cost. */
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (store == NULL || sqlite3_open_v2(":memory:", &store->db, flags, NULL) != 0 ||
        sqlite3_exec(store->db, schema, NULL, NULL, NULL) != 0) {
        fprintf(stderr, "bench: sqlite: %s\n", store == NULL ? "no memory" : sqlite3_errmsg(store->db));
        return NULL;
    }
    for (unsigned i = 0; i < STATEMENTS; i++)
        if (sqlite3_prepare_v3(store->db, texts[i], -1, SQLITE_PREPARE_PERSISTENT, &store->statements[i], NULL) != 0) {
            fprintf(stderr, "bench: sqlite: %s\n", sqlite3_errmsg(store->db));
            return NULL;
        }
    return store;
}

static void close_store(struct store *store)
{
    for (unsigned i = 0; i < STATEMENTS; i++)
        sqlite3_finalize(store->statements[i]);
    sqlite3_close(store->db);
    free(store);
}

/* Runs a statement that is bound; true when it changed or found a row. */
static bool step(struct store *store, enum statement which)
{
    sqlite3_stmt *statement = store->statements[which];
    int result = sqlite3_step(statement);
    bool found = result == SQLITE_ROW || (result == SQLITE_DONE && sqlite3_changes(store->db) > 0);
    sqlite3_reset(statement);
    return found;
}

static size_t create(struct store *store, const struct name *ids, size_t count, int64_t now_ns, uint64_t *ret_refs)
{
    size_t done = 0;
    sqlite3_stmt *statement = store->statements[CREATE];
    step(store, BEGIN);
    sqlite3_bind_int64(statement, 3, now_ns);
    sqlite3_bind_int64(statement, 5, now_ns + (IDLE_NS < AGE_NS ? IDLE_NS : AGE_NS));
    for (size_t i = 0; i < count; i++) {
        sqlite3_bind_text(statement, 1, ids[i].text, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 2, record_workspace(ids[i].text), -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 4, (int64_t)(uintptr_t)store);
        bool made = sqlite3_step(statement) == SQLITE_DONE;
        sqlite3_reset(statement);
        ret_refs[i] = made ? (uint64_t)sqlite3_last_insert_rowid(store->db) : 0;
        done += made;
    }
    step(store, COMMIT);
    return done;
}

static void bind_touch(sqlite3_stmt *statement, int64_t now_ns)
{
    sqlite3_bind_int64(statement, 2, now_ns);
    sqlite3_bind_int64(statement, 3, now_ns + IDLE_NS);
    sqlite3_bind_int64(statement, 4, AGE_NS);
}

static size_t touch_by(struct store *store, enum statement which, const uint64_t *refs, size_t count, int64_t now_ns)
{
    size_t done = 0;
    step(store, BEGIN);
    bind_touch(store->statements[which], now_ns);
    for (size_t i = 0; i < count; i++) {
        sqlite3_bind_int64(store->statements[which], 1, (int64_t)refs[i]);
        done += step(store, which);
    }
    step(store, COMMIT);
    return done;
}

static size_t touch(struct store *store, const uint64_t *refs, size_t count, int64_t now_ns)
{
    return touch_by(store, TOUCH, refs, count, now_ns);
}

static size_t touch_message(struct store *store, const uint64_t *refs, size_t count, int64_t now_ns)
{
    return touch_by(store, MESSAGE, refs, count, now_ns);
}

static size_t touch_id(struct store *store, const struct name *ids, size_t count, int64_t now_ns)
{
    size_t done = 0;
    step(store, BEGIN);
    bind_touch(store->statements[TOUCH_ID], now_ns);
    for (size_t i = 0; i < count; i++) {
        sqlite3_bind_text(store->statements[TOUCH_ID], 1, ids[i].text, -1, SQLITE_STATIC);
        done += step(store, TOUCH_ID);
    }
    step(store, COMMIT);
    return done;
}

static size_t lookup(struct store *store, const struct name *ids, size_t count)
{
    size_t done = 0;
    sqlite3_stmt *statement = store->statements[LOOKUP];
    step(store, BEGIN);
    for (size_t i = 0; i < count; i++) {
        sqlite3_bind_text(statement, 1, ids[i].text, -1, SQLITE_STATIC);
        done += sqlite3_step(statement) == SQLITE_ROW;
        sqlite3_reset(statement);
    }
    step(store, COMMIT);
    return done;
}

static size_t end(struct store *store, const uint64_t *refs, size_t count)
{
    size_t done = 0;
    step(store, BEGIN);
    for (size_t i = 0; i < count; i++) {
        sqlite3_bind_int64(store->statements[END], 1, (int64_t)refs[i]);
        done += step(store, END);
    }
    step(store, COMMIT);
    return done;
}

static size_t sweep(struct store *store, int64_t now_ns)
{
    sqlite3_stmt *statement = store->statements[SWEEP];
    sqlite3_bind_int64(statement, 1, now_ns);
    int result = sqlite3_step(statement);
    size_t ended = result == SQLITE_DONE ? (size_t)sqlite3_changes(store->db) : SIZE_MAX;
    sqlite3_reset(statement);
    return ended;
}

const struct adapter adapter_sqlite = {
    .name = "SQLite", .what = "in memory, indices on id and deadline, prepared statements, each batch one transaction",
    .by_reference = true, .slow = true,
    .open = open_store, .close = close_store, .create = create, .touch = touch, .touch_message = touch_message,
    .touch_id = touch_id, .lookup = lookup, .end = end, .sweep = sweep,
};
