/* A binary heap of deadlines, as libevent's timers are, over a hash by id.  A touch moves the session in the heap. */
#include "bench/table/index.h"
#include "bench/table/record.h"

#include <stdlib.h>

struct session {
    uint32_t place;                     /* in the heap */
    RECORD_FIELDS;
};

struct entry {
    int64_t deadline_ns;
    struct session *session;
};

struct store {
    struct index ids;
    struct entry *heap;
    size_t count, capacity;
    struct workspaces workspaces;
};

static struct store *open_store(const char *folder, size_t max, int64_t now_ns)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL || !index_open(&store->ids, offsetof(struct session, id)))
        abort();
    return store;
}

static void close_store(struct store *store)
{
    for (size_t i = 0; i < store->count; i++)
        free(store->heap[i].session);
    free(store->heap);
    index_close(&store->ids);
    free(store);
}

static inline int64_t deadline(const struct session *session)
{
    int64_t idle = session->last_used_ns + IDLE_NS, age = session->created_ns + AGE_NS;
    return idle < age ? idle : age;
}

static inline void settle(struct store *store, size_t place, struct entry entry)
{
    store->heap[place] = entry;
    entry.session->place = (uint32_t)place;
}

static void rise(struct store *store, size_t place, struct entry entry)
{
    while (place > 0 && store->heap[(place - 1) / 2].deadline_ns > entry.deadline_ns) {
        settle(store, place, store->heap[(place - 1) / 2]);
        place = (place - 1) / 2;
    }
    settle(store, place, entry);
}

static void sink(struct store *store, size_t place, struct entry entry)
{
    for (size_t child; (child = place * 2 + 1) < store->count; place = child) {
        if (child + 1 < store->count && store->heap[child + 1].deadline_ns < store->heap[child].deadline_ns)
            child++;
        if (store->heap[child].deadline_ns >= entry.deadline_ns)
            break;
        settle(store, place, store->heap[child]);
    }
    settle(store, place, entry);
}

static inline uint64_t create_one(struct store *store, const char *id, int64_t now_ns)
{
    size_t bytes = strlen(id) + 1;
    uint64_t hash = index_hash(id, bytes - 1);
    if (index_find(&store->ids, hash, id, bytes) != NULL || !index_reserve(&store->ids))
        return 0;
    if (store->count == store->capacity) {
        size_t capacity = store->capacity == 0 ? 64 : store->capacity * 2;
        struct entry *heap = realloc(store->heap, capacity * sizeof heap[0]);
        if (heap == NULL)
            return 0;
        store->heap = heap;
        store->capacity = capacity;
    }
    struct session *session = malloc(sizeof *session + bytes);
    if (session == NULL)
        return 0;
    RECORD_FILL(session, id, bytes, record_workspace_join(&store->workspaces, record_workspace(id)), now_ns);
    index_add(&store->ids, hash, session);
    rise(store, store->count++, (struct entry){deadline(session), session});
    return (uintptr_t)session;
}

static inline bool touch_one(struct store *store, uint64_t ref, int64_t now_ns, bool message)
{
    struct session *session = (struct session *)(uintptr_t)ref;
    if (session->state != RECORD_ACTIVE)
        return false;
    session->last_used_ns = now_ns;
    session->messages += message;
    sink(store, session->place, (struct entry){deadline(session), session});
    return true;
}

static inline struct session *find(struct store *store, const char *id)
{
    return index_find_id(&store->ids, id);
}

static inline bool end_one(struct store *store, uint64_t ref)
{
    struct session *session = (struct session *)(uintptr_t)ref;
    size_t place = session->place;
    struct entry last = store->heap[--store->count];
    if (last.session != session) {
        if (place > 0 && store->heap[(place - 1) / 2].deadline_ns > last.deadline_ns)
            rise(store, place, last);
        else
            sink(store, place, last);
    }
    index_remove(&store->ids, index_hash(session->id, strlen(session->id)), session);
    session->workspace->count--;
    free(session);
    return true;
}

static size_t sweep(struct store *store, int64_t now_ns)
{
    size_t ended = 0;
    while (store->count > 0 && store->heap[0].deadline_ns < now_ns) {
        end_one(store, (uintptr_t)store->heap[0].session);
        ended++;
    }
    return ended;
}

#include "bench/table/pointers.h"
#include "bench/table/loops.h"

const struct adapter adapter_heap = {
    .name = "heap",
    .what = "a binary heap of deadlines over a hash; a touch moves the session, a sweep takes from the top",
    .by_reference = true, .open = open_store, .close = close_store, .sweep = sweep, LOOPS,
};
