/* libcurfew, through its public header only. */
#include "bench/table/record.h"
#include "curfew.h"

#include <stdio.h>
#include <stdlib.h>

struct store {
    struct curfew_table *table;
    int64_t now_ns;                     /* of the benchmark's clock; atomic: several threads read it */
};

/* What curfew_session_touch_id and curfew_sweep get the time from; costs them about what another clock would. */
static int64_t read_clock(void *context)
{
    struct store *store = context;
    return __atomic_load_n(&store->now_ns, __ATOMIC_RELAXED);
}

static struct store *open_table(int64_t now_ns, bool own_clock)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    store->now_ns = now_ns;
    struct curfew_kind kind = {"session", {IDLE_NS, AGE_NS}};
    struct curfew_options options;
    struct curfew_error error;
    curfew_options_init(&options, sizeof options);
    options.kinds = &kind;
    options.kind_count = 1;
    options.limits = (struct curfew_limits){UINT32_MAX, UINT32_MAX, UINT32_MAX};
    if (!own_clock) {
        options.clock = read_clock;
        options.clock_context = store;
    }
    if (curfew_table_new(&options, &store->table, &error) != 0) {
        fprintf(stderr, "bench: curfew: %s\n", error.text);
        free(store);
        return NULL;
    }
    return store;
}

static struct store *open_store(const char *folder, size_t max, int64_t now_ns)
{
    return open_table(now_ns, false);
}

static struct store *open_own_clock(const char *folder, size_t max, int64_t now_ns)
{
    return open_table(now_ns, true);
}

static void close_store(struct store *store)
{
    curfew_table_free(&store->table);
    free(store);
}

static inline void set_clock(struct store *store, int64_t now_ns)
{
    __atomic_store_n(&store->now_ns, now_ns, __ATOMIC_RELAXED);
}

static inline uint64_t create_one(struct store *store, const char *id, int64_t now_ns)
{
    struct curfew_new want = {.id = id, .workspace = record_workspace(id), .user = store};
    curfew_session session;
    return curfew_session_create(store->table, &want, &session, NULL) == 0 ? session : 0;
}

static inline bool touch_one(struct store *store, uint64_t ref, int64_t now_ns, bool message)
{
    enum curfew_touch cause = message ? CURFEW_TOUCH_MESSAGE : CURFEW_TOUCH_HEARTBEAT;
    return curfew_session_touch_at(store->table, ref, cause, now_ns) == 0;
}

static inline bool touch_id_one(struct store *store, const char *id, int64_t now_ns)
{
    return curfew_session_touch_id(store->table, id, CURFEW_TOUCH_HEARTBEAT) == 0;
}

static inline bool lookup_one(struct store *store, const char *id)
{
    curfew_session session;
    return curfew_session_find(store->table, id, &session) == 0;
}

static inline bool end_one(struct store *store, uint64_t ref)
{
    return curfew_session_end(store->table, ref) == 0;
}

#include "bench/table/loops.h"

static size_t create_at(struct store *store, const struct name *ids, size_t count, int64_t now_ns, uint64_t *ret_refs)
{
    set_clock(store, now_ns);
    return create(store, ids, count, now_ns, ret_refs);
}

static size_t touch_id_at(struct store *store, const struct name *ids, size_t count, int64_t now_ns)
{
    set_clock(store, now_ns);
    return touch_id(store, ids, count, now_ns);
}

static size_t sweep(struct store *store, int64_t now_ns)
{
    size_t ended = 0;
    set_clock(store, now_ns);
    return curfew_sweep(store->table, &ended) == 0 ? ended : SIZE_MAX;
}

static size_t bytes(struct store *store)
{
    struct curfew_counts counts;
    curfew_counts_get(store->table, &counts, sizeof counts);
    return counts.memory_bytes;
}

static size_t touch_own_clock(struct store *store, const uint64_t *refs, size_t count, int64_t now_ns)
{
    size_t done = 0;
    for (size_t i = 0; i < count; i++)
        done += curfew_session_touch(store->table, refs[i], CURFEW_TOUCH_HEARTBEAT) == 0;
    return done;
}

static size_t message_own_clock(struct store *store, const uint64_t *refs, size_t count, int64_t now_ns)
{
    size_t done = 0;
    for (size_t i = 0; i < count; i++)
        done += curfew_session_touch(store->table, refs[i], CURFEW_TOUCH_MESSAGE) == 0;
    return done;
}

const struct adapter adapter_curfew = {
    .name = "curfew", .what = "libcurfew; touch is curfew_session_touch_at, the table's clock is the benchmark's",
    .by_reference = true, .many_threads = true,
    .open = open_store, .close = close_store, .create = create_at, .touch = touch, .touch_message = touch_message,
    .touch_id = touch_id_at,
    .lookup = lookup, .end = end, .sweep = sweep, .bytes = bytes,
};

const struct adapter adapter_curfew_clock = {
    .name = "curfew-clock", .what = "libcurfew with its standard clock; touch is curfew_session_touch, which reads it",
    .by_reference = true, .many_threads = true, .reads_clock = true,
    .open = open_own_clock, .close = close_store, .create = create, .touch = touch_own_clock,
    .touch_message = message_own_clock, .touch_id = touch_id,
    .lookup = lookup, .bytes = bytes,
};
