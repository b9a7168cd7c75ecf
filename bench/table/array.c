/* The floor: an array of what curfew must look at, without a table around it.
 *
 * A touch is a store beside the comparison that shows that the handle is not stale.  A sweep adds up, as fast as the
 * memory gives it, as many bytes as curfew has to read: what it keeps for each block of 64, and after touches each
 * session's time as well. */
#include "bench/table/adapter.h"
#include "core/table.h"

#include <stdlib.h>
#include <sys/mman.h>

#define HUGE_BYTES ((size_t)2 << 20)

typedef uint64_t words __attribute__((vector_size(64), may_alias));

struct store {
    uint32_t *gates;
    words *used;                        /* as many times of last use */
    words *blocks;
    size_t used_bytes, block_bytes;
    uint32_t count;
    bool touched;
};

static void *take(size_t bytes)
{
    void *memory = aligned_alloc(HUGE_BYTES, bytes);
    if (memory == NULL)
        abort();
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

static size_t round_up(size_t bytes)
{
    return (bytes + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;
}

static size_t sweep_bytes(size_t sessions, bool touched)
{
    size_t blocks = (sessions + CF_TABLE_BLOCK - 1) / CF_TABLE_BLOCK;
    return blocks * sizeof(struct cf_block) + (touched ? sessions * sizeof(int64_t) : 0);
}

static struct store *open_store(const char *folder, size_t max, int64_t now_ns)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    store->used_bytes = max * sizeof(int64_t);
    store->block_bytes = sweep_bytes(max, false);
    store->gates = take(round_up(max * sizeof store->gates[0]));
    store->used = take(round_up(store->used_bytes));
    store->blocks = take(round_up(store->block_bytes));
    for (size_t i = 0; i < store->block_bytes / sizeof(words); i++)
        store->blocks[i] = (words){i};
    return store;
}

static void close_store(struct store *store)
{
    free(store->gates);
    free(store->used);
    free(store->blocks);
    free(store);
}

static size_t create(struct store *store, const struct name *ids, size_t count, int64_t now_ns, uint64_t *ret_refs)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = store->count++;
        ret_refs[i] = UINT64_C(1) << 32 | slot;
        store->gates[slot] = 1;
        ((int64_t *)store->used)[slot] = now_ns;
    }
    return count;
}

static size_t touch(struct store *store, const uint64_t *refs, size_t count, int64_t now_ns)
{
    size_t done = 0;
    int64_t *used = (int64_t *)store->used;
    for (size_t i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)refs[i];
        if (store->gates[slot] != refs[i] >> 32)
            continue;
        __atomic_store_n(&used[slot], now_ns, __ATOMIC_RELAXED);
        done++;
    }
    store->touched = true;
    return done;
}

static uint64_t sum(const void *memory, size_t bytes)
{
    const words *at = memory, *end = at + bytes / sizeof *at;
    words a = {0}, b = {0};
    for (; at + 1 < end; at += 2) {
        a += at[0];
        b += at[1];
    }
    a += b;
    return a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7];
}

static size_t sweep(struct store *store, int64_t now_ns)
{
    uint64_t seen = sum(store->blocks, store->block_bytes);
    if (store->touched)
        seen += sum(store->used, store->used_bytes);
    store->touched = false;
    /* So that adding up is not left out. */
    __asm__ volatile("" : : "r"(seen));
    return 0;
}

const struct adapter adapter_array = {
    .name = "bare-array",
    .what = "no table at all: a store at a place that is known, and adding up what a sweep must read",
    .by_reference = true, .floor = true, .many_threads = true,
    .open = open_store, .close = close_store, .create = create, .touch = touch, .sweep = sweep,
    .sweep_bytes = sweep_bytes,
};
