/* uthash by id, and a walk over all of it for each sweep. */
#include "bench/table/record.h"

#include <stdlib.h>
#include <uthash.h>

struct session {
    UT_hash_handle hh;
    RECORD_FIELDS;
};

struct store {
    struct session *all;
    struct workspaces workspaces;
};

static void free_session(struct store *store, struct session *session)
{
    HASH_DEL(store->all, session);
    session->workspace->count--;
    free(session);
}

static struct store *open_store(const char *folder, size_t max, int64_t now_ns)
{
    return calloc(1, sizeof(struct store));
}

static void close_store(struct store *store)
{
    struct session *session, *next;
    HASH_ITER(hh, store->all, session, next)
        free_session(store, session);
    free(store);
}

static inline struct session *find(struct store *store, const char *id)
{
    struct session *session;
    HASH_FIND_STR(store->all, id, session);
    return session;
}

static inline uint64_t create_one(struct store *store, const char *id, int64_t now_ns)
{
    if (find(store, id) != NULL)
        return 0;
    size_t bytes = strlen(id) + 1;
    struct session *session = malloc(sizeof *session + bytes);
    if (session == NULL)
        return 0;
    RECORD_FILL(session, id, bytes, record_workspace_join(&store->workspaces, record_workspace(id)), now_ns);
    HASH_ADD_KEYPTR(hh, store->all, session->id, (unsigned)bytes - 1, session);
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

static inline bool end_one(struct store *store, uint64_t ref)
{
    free_session(store, (struct session *)(uintptr_t)ref);
    return true;
}

static size_t sweep(struct store *store, int64_t now_ns)
{
    size_t ended = 0;
    struct session *session, *next;
    HASH_ITER(hh, store->all, session, next) {
        if (!RECORD_DUE(session, now_ns))
            continue;
        free_session(store, session);
        ended++;
    }
    return ended;
}

#include "bench/table/pointers.h"
#include "bench/table/loops.h"

const struct adapter adapter_uthash = {
    .name = "uthash", .what = "uthash by id; a sweep walks all of it (HASH_ITER)",
    .by_reference = true, .open = open_store, .close = close_store, .sweep = sweep, LOOPS,
};
