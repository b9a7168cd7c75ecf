/* pointers.h: for an adapter whose reference is the session's address: what goes by id, made from its find and its touch_one.
 *
 *     struct session *find(struct store *, const char *id)      NULL: not here */
#ifndef CURFEW_BENCH_TABLE_POINTERS_H
#define CURFEW_BENCH_TABLE_POINTERS_H

static inline bool touch_id_one(struct store *store, const char *id, int64_t now_ns)
{
    struct session *session = find(store, id);
    return session != NULL && touch_one(store, (uintptr_t)session, now_ns, false);
}

static inline bool lookup_one(struct store *store, const char *id)
{
    return find(store, id) != NULL;
}

#endif
