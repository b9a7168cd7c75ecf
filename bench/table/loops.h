/* loops.h: an adapter's functions, made from what the file that includes this defines for one session:
 *
 *     uint64_t create_one(struct store *, const char *id, int64_t now_ns)      0: refused
 *     bool touch_one(struct store *, uint64_t ref, int64_t now_ns, bool message)
 *     bool touch_id_one(struct store *, const char *id, int64_t now_ns)
 *     bool lookup_one(struct store *, const char *id)
 *     bool end_one(struct store *, uint64_t ref)                                                           */
#ifndef CURFEW_BENCH_TABLE_LOOPS_H
#define CURFEW_BENCH_TABLE_LOOPS_H

static size_t create(struct store *store, const struct name *ids, size_t count, int64_t now_ns, uint64_t *ret_refs)
{
    size_t done = 0;
    for (size_t i = 0; i < count; i++)
        done += (ret_refs[i] = create_one(store, ids[i].text, now_ns)) != 0;
    return done;
}

static size_t touch(struct store *store, const uint64_t *refs, size_t count, int64_t now_ns)
{
    size_t done = 0;
    for (size_t i = 0; i < count; i++)
        done += touch_one(store, refs[i], now_ns, false);
    return done;
}

static size_t touch_message(struct store *store, const uint64_t *refs, size_t count, int64_t now_ns)
{
    size_t done = 0;
    for (size_t i = 0; i < count; i++)
        done += touch_one(store, refs[i], now_ns, true);
    return done;
}

static size_t touch_id(struct store *store, const struct name *ids, size_t count, int64_t now_ns)
{
    size_t done = 0;
    for (size_t i = 0; i < count; i++)
        done += touch_id_one(store, ids[i].text, now_ns);
    return done;
}

static size_t lookup(struct store *store, const struct name *ids, size_t count)
{
    size_t done = 0;
    for (size_t i = 0; i < count; i++)
        done += lookup_one(store, ids[i].text);
    return done;
}

static size_t end(struct store *store, const uint64_t *refs, size_t count)
{
    size_t done = 0;
    for (size_t i = 0; i < count; i++)
        done += end_one(store, refs[i]);
    return done;
}

#define LOOPS                                                                                           \
    .create = create, .touch = touch, .touch_message = touch_message, .touch_id = touch_id, .lookup = lookup, \
    .end = end

#endif
