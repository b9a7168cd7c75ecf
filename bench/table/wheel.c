/* A hierarchical timing wheel with ticks of a second, over a hash by id: four levels of 256 slots, each slot a list.
 *
 * Eager: a touch moves the session to the slot of its new deadline (not at all when that is the same tick).  Lazy: a
 * touch stores the time and nothing else; a session whose slot comes up before it is due is put into the right one
 * then. */
#include "bench/table/index.h"
#include "bench/table/record.h"

#include <stdlib.h>

#define LEVELS 4
#define SLOTS 256

struct link {
    struct link *prev, *next;
};

struct session {
    struct link link;
    uint64_t tick;                      /* that its slot stands for */
    RECORD_FIELDS;
};

struct store {
    struct index ids;
    struct link slots[LEVELS][SLOTS];
    uint64_t tick;                      /* all up to it have been looked at */
    bool lazy;
    struct workspaces workspaces;
};

static struct store *open_wheel(int64_t now_ns, bool lazy)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL || !index_open(&store->ids, offsetof(struct session, id)))
        abort();
    for (unsigned level = 0; level < LEVELS; level++)
        for (unsigned slot = 0; slot < SLOTS; slot++)
            store->slots[level][slot].prev = store->slots[level][slot].next = &store->slots[level][slot];
    store->tick = (uint64_t)(now_ns / SECOND_NS);
    store->lazy = lazy;
    return store;
}

static struct store *open_eager(const char *folder, size_t max, int64_t now_ns)
{
    return open_wheel(now_ns, false);
}

static struct store *open_lazy(const char *folder, size_t max, int64_t now_ns)
{
    return open_wheel(now_ns, true);
}

static void close_store(struct store *store)
{
    for (size_t i = 0; i <= store->ids.mask; i++)
        free(store->ids.cells[i].value);
    index_close(&store->ids);
    free(store);
}

static inline uint64_t tick_of(const struct session *session)
{
    int64_t idle = session->last_used_ns + IDLE_NS, age = session->created_ns + AGE_NS;
    /* The tick after the moment, so that it is past by then. */
    return (uint64_t)((idle < age ? idle : age) / SECOND_NS) + 1;
}

static inline void unlink_session(struct session *session)
{
    session->link.prev->next = session->link.next;
    session->link.next->prev = session->link.prev;
}

static inline void link_session(struct store *store, struct session *session, uint64_t tick)
{
    unsigned level = 0;
    session->tick = tick;
    for (uint64_t ahead = tick - store->tick; ahead >= SLOTS && level < LEVELS - 1; ahead /= SLOTS)
        level++;
    struct link *slot = &store->slots[level][tick >> (8 * level) & (SLOTS - 1)];
    session->link.prev = slot->prev;
    session->link.next = slot;
    slot->prev->next = &session->link;
    slot->prev = &session->link;
}

static inline uint64_t create_one(struct store *store, const char *id, int64_t now_ns)
{
    size_t bytes = strlen(id) + 1;
    uint64_t hash = index_hash(id, bytes - 1);
    if (index_find(&store->ids, hash, id, bytes) != NULL || !index_reserve(&store->ids))
        return 0;
    struct session *session = malloc(sizeof *session + bytes);
    if (session == NULL)
        return 0;
    RECORD_FILL(session, id, bytes, record_workspace_join(&store->workspaces, record_workspace(id)), now_ns);
    index_add(&store->ids, hash, session);
    link_session(store, session, tick_of(session));
    return (uintptr_t)session;
}

static inline bool touch_one(struct store *store, uint64_t ref, int64_t now_ns, bool message)
{
    struct session *session = (struct session *)(uintptr_t)ref;
    if (session->state != RECORD_ACTIVE)
        return false;
    session->last_used_ns = now_ns;
    session->messages += message;
    if (store->lazy)
        return true;
    uint64_t tick = tick_of(session);
    if (tick != session->tick) {
        unlink_session(session);
        link_session(store, session, tick);
    }
    return true;
}

static inline struct session *find(struct store *store, const char *id)
{
    return index_find_id(&store->ids, id);
}

static inline bool end_one(struct store *store, uint64_t ref)
{
    struct session *session = (struct session *)(uintptr_t)ref;
    unlink_session(session);
    index_remove(&store->ids, index_hash(session->id, strlen(session->id)), session);
    session->workspace->count--;
    free(session);
    return true;
}

/* Empties a slot: who is due ends, everybody else goes where he belongs by now. */
static size_t empty_slot(struct store *store, struct link *slot, int64_t now_ns)
{
    size_t ended = 0;
    struct link *first = slot->next;
    slot->prev->next = NULL;
    slot->prev = slot->next = slot;
    if (first == slot)
        return 0;
    for (struct link *at = first, *next; at != NULL; at = next) {
        struct session *session = (struct session *)at;
        next = at->next;
        if (RECORD_DUE(session, now_ns)) {
            at->prev = at->next = at;
            end_one(store, (uintptr_t)session);
            ended++;
        } else {
            uint64_t tick = tick_of(session);
            link_session(store, session, tick > store->tick ? tick : store->tick + 1);
        }
    }
    return ended;
}

static size_t sweep(struct store *store, int64_t now_ns)
{
    size_t ended = 0;
    for (uint64_t until = (uint64_t)(now_ns / SECOND_NS); store->tick < until;) {
        store->tick++;
        /* At the turn of a level its next slot is spread over the levels below. */
        for (unsigned level = 1; level < LEVELS && (store->tick & ((UINT64_C(1) << (8 * level)) - 1)) == 0; level++)
            ended += empty_slot(store, &store->slots[level][store->tick >> (8 * level) & (SLOTS - 1)], now_ns);
        ended += empty_slot(store, &store->slots[0][store->tick & (SLOTS - 1)], now_ns);
    }
    return ended;
}

#include "bench/table/pointers.h"
#include "bench/table/loops.h"

const struct adapter adapter_wheel = {
    .name = "wheel",
    .what = "a hierarchical timing wheel of 1 s over a hash; a touch moves the session to its new slot",
    .by_reference = true, .open = open_eager, .close = close_store, .sweep = sweep, LOOPS,
};

const struct adapter adapter_wheel_lazy = {
    .name = "wheel-lazy",
    .what = "the same wheel; a touch is a store, a session moves when its slot comes up too early",
    .by_reference = true, .open = open_lazy, .close = close_store, .sweep = sweep, LOOPS,
};
