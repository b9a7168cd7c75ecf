/* limbo.c: what was freed while somebody without the lock may still look at it, and the pages of the hashes, most of
 * which pass through it. */
#include "core/table.h"

#include <string.h>

#define LINE_BYTES 64                   /* of the processor's cache */
#define SLAB_PAGES 512                  /* 2 MiB: a large page of the processor */
#define PIECE_BYTES 64

/* ── pages ── */

/* Pages of the maps are as large as the system's and taken and given one by one: in slabs they share the large
 * pages that a big allocation may get, and a look-up misses one translation less.  A slab is touched page by page,
 * as they are needed. */
static bool add_slab(struct cf_core *core)
{
    struct cf_pool *pool = &core->pool;
    uint32_t pages = pool->slab_pages ? pool->slab_pages * 2 : 1;
    if (pages > SLAB_PAGES)
        pages = SLAB_PAGES;
    size_t bytes = 2 * LINE_BYTES + pages * sizeof(struct cf_map_page);
    struct cf_dead *slab = cf_table_alloc(core, bytes);
    if (!slab)
        return false;
    *slab = (struct cf_dead){ pool->slabs, bytes };
    pool->slabs = slab;
    pool->slab_pages = pool->left = pages;
    pool->next = (char *)(slab + 1);
    pool->next += -(uintptr_t)pool->next & (LINE_BYTES - 1);
    return true;
}

static void *take_page(struct cf_core *core)
{
    struct cf_pool *pool = &core->pool;
    struct cf_dead *page = pool->free;
    if (page) {
        pool->free = page->next;
        return page;
    }
    if (pool->left == 0 && !add_slab(core))
        return NULL;
    void *fresh = pool->next;
    pool->next += sizeof(struct cf_map_page);
    pool->left--;
    return fresh;
}

static void *take_for_map(void *context, size_t bytes)
{
    struct cf_core *core = context;
    return bytes == sizeof(struct cf_map_page) ? take_page(core) : cf_table_alloc(core, bytes);
}

static void give_dead(struct cf_core *core, struct cf_dead *dead)
{
    if (dead->bytes != sizeof(struct cf_map_page)) {
        cf_table_dealloc(core, dead, dead->bytes);
        return;
    }
    dead->next = core->pool.free;
    core->pool.free = dead;
}

/* ── limbo ── */

/* In limbo a piece is a row, or as much memory as one. */
static size_t weight(const struct cf_dead *dead)
{
    return 1 + dead->bytes / PIECE_BYTES;
}

static void bury(void *context, struct cf_dead *dead)
{
    struct cf_core *core = context;
    if (!core->shared) {
        give_dead(core, dead);
        return;
    }
    dead->next = core->collected.dead;
    core->collected.dead = dead;
    core->collected.pieces += weight(dead);
}

struct cf_store cf_limbo_store(struct cf_core *core)
{
    return (struct cf_store){ take_for_map, bury, core };
}

void cf_limbo_bury(struct cf_core *core, struct cf_dead *dead)
{
    bury(core, dead);
}

size_t cf_core_limbo_collected(const struct cf_core *core)
{
    return core->collected.pieces;
}

bool cf_core_limbo_waiting(const struct cf_core *core)
{
    return core->waiting.pieces > 0;
}

void cf_core_limbo_close(struct cf_core *core)
{
    if (core->waiting.pieces > 0)
        return;
    core->waiting = core->collected;
    core->collected = (struct cf_batch){ .slots = CF_TABLE_NO_SLOT };
}

/* Ends the slot's last tie: the hash still knows it by its id. */
static void release(struct cf_core *core, uint32_t slot)
{
    const struct cf_row *row = cf_table_row(core, slot);
    const char *id = cf_table_id(row, row->flags);
    if (!(row->flags & CF_FLAG_FORGOTTEN))
        cf_map_drop(&core->ids, cf_map_tag(&core->key, id, strlen(id)), slot);
    if (*cf_table_gate(core, slot) >> CF_GATE_SHIFT != 0)
        cf_table_put_free(core, slot);  /* else it is retired: a next generation would make old handles valid again */
}

void cf_limbo_slot(struct cf_core *core, uint32_t slot)
{
    if (!core->shared) {
        release(core, slot);
        return;
    }
    cf_table_row(core, slot)->next = core->collected.slots;
    core->collected.slots = slot;
    core->collected.pieces++;
}

/* Slots before labels: theirs are still read. */
bool cf_core_limbo_free(struct cf_core *core, size_t pieces)
{
    struct cf_batch *batch = &core->waiting;
    for (; pieces > 0 && batch->slots != CF_TABLE_NO_SLOT; pieces--, batch->pieces--) {
        uint32_t slot = batch->slots;
        batch->slots = cf_table_row(core, slot)->next;
        release(core, slot);
    }
    while (pieces > 0 && batch->dead) {
        struct cf_dead *dead = batch->dead;
        batch->dead = dead->next;
        batch->pieces -= weight(dead);
        pieces--;
        give_dead(core, dead);
    }
    return batch->pieces == 0;
}

static void free_dead(struct cf_core *core, struct cf_dead *dead)
{
    while (dead) {
        struct cf_dead *next = dead->next;
        give_dead(core, dead);
        dead = next;
    }
}

void cf_limbo_clear(struct cf_core *core)
{
    free_dead(core, core->waiting.dead);
    free_dead(core, core->collected.dead);
    while (core->pool.slabs) {
        struct cf_dead *slab = core->pool.slabs;
        core->pool.slabs = slab->next;
        cf_table_dealloc(core, slab, slab->bytes);
    }
}
