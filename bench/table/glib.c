/* GLib's GHashTable by id, and a walk over all of it for each sweep. */
#include "bench/table/record.h"

#include <glib.h>
#include <stdlib.h>

struct session {
    RECORD_FIELDS;
};

struct store {
    GHashTable *table;
    struct workspaces workspaces;
};

static void free_session(gpointer data)
{
    struct session *session = data;
    session->workspace->count--;
    g_free(session);
}

static struct store *open_store(const char *folder, size_t max, int64_t now_ns)
{
    struct store *store = calloc(1, sizeof *store);
    if (store != NULL)
        store->table = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, free_session);
    return store;
}

static void close_store(struct store *store)
{
    g_hash_table_destroy(store->table);
    free(store);
}

static inline uint64_t create_one(struct store *store, const char *id, int64_t now_ns)
{
    if (g_hash_table_contains(store->table, id))
        return 0;
    size_t bytes = strlen(id) + 1;
    struct session *session = g_malloc(sizeof *session + bytes);
    RECORD_FILL(session, id, bytes, record_workspace_join(&store->workspaces, record_workspace(id)), now_ns);
    g_hash_table_insert(store->table, session->id, session);
    return (uintptr_t)session;
}

static inline bool touch_one(struct store *store, uint64_t ref, int64_t now_ns, bool message)
{
    struct session *session = (struct session *)(uintptr_t)ref;
    if (session->state != RECORD_ACTIVE)
        return false;
    session->last_used_ns = now_ns;
    session->messages += message;
    return true;
}

static inline struct session *find(struct store *store, const char *id)
{
    return g_hash_table_lookup(store->table, id);
}

static inline bool end_one(struct store *store, uint64_t ref)
{
    return g_hash_table_remove(store->table, ((struct session *)(uintptr_t)ref)->id);
}

static gboolean due(gpointer key, gpointer value, gpointer data)
{
    const struct session *session = value;
    return RECORD_DUE(session, *(const int64_t *)data);
}

static size_t sweep(struct store *store, int64_t now_ns)
{
    return g_hash_table_foreach_remove(store->table, due, &now_ns);
}

#include "bench/table/pointers.h"
#include "bench/table/loops.h"

const struct adapter adapter_glib = {
    .name = "GHashTable", .what = "GLib's GHashTable by id; a sweep walks all of it (foreach_remove)",
    .by_reference = true, .open = open_store, .close = close_store, .sweep = sweep, LOOPS,
};
