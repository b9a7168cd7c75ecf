/* store.c: memory and slots, what a row is, and who is found by which id. */
#include "core/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LINE_BYTES 64                   /* of the processor's cache */

_Static_assert(CF_SESSIONS_MAX == CF_TABLE_BLOCK * ((1u << CF_TABLE_CHUNKS) - 1), "what the chunks hold");

/* Not laid out for pages of 2 MiB: a touch of one of a million is no faster for it (3.9 ns either way), one by id by a
 * thirtieth, and the kernel stops a creation for 4 to 13 ms when it has to make such pages first. */
static void *take_malloc(void *context, size_t bytes)
{
    (void)context;
    return malloc(bytes);
}

static void give_free(void *context, void *memory)
{
    (void)context;
    free(memory);
}

struct cf_core_allocator cf_core_allocator_standard(void)
{
    return (struct cf_core_allocator){ take_malloc, give_free, NULL };
}

void *cf_table_alloc(struct cf_core *core, size_t bytes)
{
    void *memory = core->allocator.take(core->allocator.context, bytes);
    if (memory)
        core->bytes += bytes;
    return memory;
}

void cf_table_dealloc(struct cf_core *core, void *memory, size_t bytes)
{
    if (!memory)
        return;
    core->bytes -= bytes;
    core->allocator.give(core->allocator.context, memory);
}

void cf_table_put_free(struct cf_core *core, uint32_t slot)
{
    uint16_t class = cf_table_block(core, slot)->class;
    cf_table_row(core, slot)->next = core->free_slots[class];
    core->free_slots[class] = slot;
}

/* ── the table itself ── */

struct cf_core *cf_core_new(const struct cf_core_options *options)
{
    const struct cf_core_allocator standard = cf_core_allocator_standard();
    const struct cf_core_allocator *allocator = options->allocator ? options->allocator : &standard;
    assert(options->kinds > 0 && options->kinds <= CF_KINDS_MAX);
    struct cf_core *core = allocator->take(allocator->context, sizeof *core);
    if (!core)
        return NULL;
    memset(core, 0, sizeof *core);
    core->allocator = *allocator;
    core->bytes = sizeof *core;
    core->kinds = options->kinds;
    core->key = cf_map_key_from(options->seed);
    core->free_workspace = core->last_workspace = CF_MAP_NONE;
    core->collected.slots = core->waiting.slots = CF_TABLE_NO_SLOT;
    for (int class = 0; class < CF_CLASSES; class++)
        core->free_slots[class] = CF_TABLE_NO_SLOT;
    struct cf_store store = cf_limbo_store(core);
    if (!cf_map_init(&core->ids, &store) || !cf_map_init(&core->names, &store) || !cf_table_reserve(core, 0)) {
        cf_core_free(&core);
        return NULL;
    }
    core->shared = options->shared;
    cf_core_limits_set(core, &options->limits);
    for (unsigned kind = 0; kind < core->kinds; kind++)
        cf_core_policy_set(core, kind, &options->policies[kind]);
    return core;
}

/* What belongs to rows that are still here. */
static void free_rows(struct cf_core *core)
{
    for (uint32_t slot = 0; slot < core->fresh; slot++) {
        struct cf_row *row = cf_table_row(core, slot);
        if (cf_table_state(row->flags) != CF_STATE_FREE && (row->flags & CF_FLAG_LABEL))
            cf_table_dealloc(core, cf_table_label(row), cf_table_label(row)->dead.bytes);
    }
    for (uint32_t slot = 0; slot < core->fresh; slot += CF_TABLE_BLOCK) {
        struct cf_note *note = cf_table_block(core, slot)->notes;
        while (note) {
            struct cf_note *next = note->next;
            cf_table_dealloc(core, note, note->bytes);
            note = next;
        }
    }
}

void cf_core_free(struct cf_core **core)
{
    struct cf_core *old = *core;
    if (!old)
        return;
    old->shared = false;                /* from here on nobody reads */
    struct cf_store store = cf_limbo_store(old);
    free_rows(old);
    cf_map_clear(&old->ids, &store);
    cf_map_clear(&old->names, &store);
    cf_limbo_clear(old);
    for (int i = 0; i < CF_TABLE_CHUNKS; i++) {
        cf_table_dealloc(old, old->chunks[i].memory, old->chunks[i].bytes);
        cf_table_dealloc(old, old->workspaces[i], 0);
    }
    old->allocator.give(old->allocator.context, old);
    *core = NULL;
}

size_t cf_core_bytes(const struct cf_core *core)
{
    return core->bytes;
}

/* ── slots ── */

static bool add_chunk(struct cf_core *core, uint32_t number)
{
    struct cf_chunk *chunk = &core->chunks[number];
    size_t slots = (size_t)CF_TABLE_BLOCK << number;
    size_t used = slots * sizeof *chunk->used_ns, gates = slots * sizeof *chunk->gates,
           rows = slots * sizeof *chunk->rows;
    size_t bytes = LINE_BYTES + used + gates + rows + slots / CF_TABLE_BLOCK * sizeof *chunk->blocks;
    char *memory = cf_table_alloc(core, bytes);
    if (!memory)
        return false;
    char *at = memory + (-(uintptr_t)memory & (LINE_BYTES - 1));
    chunk->memory = memory;
    chunk->bytes = bytes;
    chunk->used_ns = (int64_t *)(void *)at;
    chunk->gates = (uint32_t *)(void *)(at += used);
    chunk->rows = (struct cf_row *)(void *)(at += gates);
    chunk->blocks = (struct cf_block *)(void *)(at + rows);
    return true;
}

bool cf_table_reserve(struct cf_core *core, unsigned class)
{
    if (core->free_slots[class] != CF_TABLE_NO_SLOT)
        return true;
    uint32_t first = core->fresh, place;
    if (first >= CF_SESSIONS_MAX)
        return false;
    uint32_t chunk = cf_table_chunk(first, &place);
    if (place == 0 && !add_chunk(core, chunk))
        return false;
    *cf_table_block(core, first) = (struct cf_block){ .stalest_ns = CF_NEVER_NS, .oldest_ns = CF_NEVER_NS,
                                                      .class = (uint16_t)class };
    for (uint32_t slot = first + CF_TABLE_BLOCK; slot-- > first;) {
        *cf_table_gate(core, slot) = 1u << CF_GATE_SHIFT;
        *cf_table_used(core, slot) = CF_NEVER_NS;
        cf_table_row(core, slot)->flags = CF_STATE_FREE;
        cf_table_put_free(core, slot);
    }
    __atomic_store_n(&core->fresh, first + CF_TABLE_BLOCK, __ATOMIC_RELEASE);
    return true;
}

uint32_t cf_table_take(struct cf_core *core, unsigned class)
{
    uint32_t slot = core->free_slots[class];
    assert(slot != CF_TABLE_NO_SLOT);
    core->free_slots[class] = cf_table_row(core, slot)->next;
    core->count++;
    return slot;
}

/* ── what a row is ── */

/* CLOSED or FAILED, and nobody is being asked about it. */
static bool waits(uint32_t flags)
{
    enum cf_state state = cf_table_state(flags);
    return (state == CF_STATE_CLOSED || state == CF_STATE_FAILED) && !(flags & CF_FLAG_ASKED);
}

static bool is_open(enum cf_state state)
{
    return state == CF_STATE_STARTING || state == CF_STATE_ACTIVE;
}

/* The flags first: who sees the gate open sees what the row is. */
static void set_gate(struct cf_core *core, uint32_t slot, uint32_t generation, bool open)
{
    __atomic_store_n(cf_table_gate(core, slot), generation << CF_GATE_SHIFT | (open ? CF_GATE_OPEN : 0),
                     __ATOMIC_RELEASE);
}

void cf_table_become(struct cf_core *core, uint32_t slot, uint32_t flags)
{
    struct cf_row *row = cf_table_row(core, slot);
    struct cf_block *block = cf_table_block(core, slot);
    uint64_t bit = UINT64_C(1) << slot % CF_TABLE_BLOCK;
    enum cf_state before = cf_table_state(row->flags), after = cf_table_state(flags);
    if (before != CF_STATE_FREE)
        core->tally.here[cf_table_kind(row->flags)][before]--;
    if (after != CF_STATE_FREE)
        core->tally.here[cf_table_kind(flags)][after]++;
    block->live = (uint16_t)(block->live + (after != CF_STATE_FREE) - (before != CF_STATE_FREE));
    block->terminal = (uint16_t)(block->terminal + waits(flags) - waits(row->flags));
    block->may_idle &= ~bit;
    if (after == CF_STATE_ACTIVE && !(flags & (CF_FLAG_BUSY | CF_FLAG_ASKED)))
        block->may_idle |= bit;
    __atomic_store_n(&row->flags, flags, __ATOMIC_RELEASE);
    if (is_open(before) != is_open(after))
        set_gate(core, slot, *cf_table_gate(core, slot) >> CF_GATE_SHIFT, is_open(after));
}

static void drop_note(struct cf_core *core, uint32_t slot)
{
    struct cf_note **at = &cf_table_block(core, slot)->notes;
    while (*at && (*at)->slot != slot)
        at = &(*at)->next;
    if (!*at)
        return;
    struct cf_note *note = *at;
    *at = note->next;
    cf_table_dealloc(core, note, note->bytes);
}

void cf_table_give(struct cf_core *core, uint32_t slot)
{
    struct cf_row *row = cf_table_row(core, slot);
    uint32_t flags = row->flags, generation = *cf_table_gate(core, slot) >> CF_GATE_SHIFT;
    cf_table_become(core, slot, CF_STATE_FREE | (flags & CF_FLAG_LABEL));
    set_gate(core, slot, generation == CF_GENERATION_MAX ? 0 : generation + 1, false);
    __atomic_store_n(cf_table_used(core, slot), CF_NEVER_NS, __ATOMIC_RELAXED);
    if (cf_table_block(core, slot)->notes)
        drop_note(core, slot);
    core->count--;
    cf_limbo_slot(core, slot);
    if (flags & CF_FLAG_LABEL)
        cf_limbo_bury(core, &cf_table_label(row)->dead);
}

cf_handle cf_table_find(const struct cf_core *core, const char *id, uint32_t tag, struct cf_seen *ret_seen)
{
    struct cf_map_walk walk = cf_map_walk(&core->ids, tag);
    uint32_t slot, place;
    *ret_seen = (struct cf_seen){ .sure = true };
    while ((slot = cf_map_walk_next(&walk)) != CF_MAP_NONE) {
        const struct cf_chunk *chunk = &core->chunks[cf_table_chunk(slot, &place)];
        const struct cf_row *row = &chunk->rows[place];
        __builtin_prefetch(&chunk->gates[place]);       /* it is most likely this one, and then most likely touched: */
        __builtin_prefetch(&chunk->used_ns[place], 1);  /* so that these come while the row does */
        uint32_t flags = cf_table_flags(row);
        if (cf_table_state(flags) == CF_STATE_FREE) {
            ret_seen->dead = true;
            continue;
        }
        if (strcmp(cf_table_id(row, flags), id) != 0)
            continue;
        uint32_t gate = __atomic_load_n(&chunk->gates[place], __ATOMIC_ACQUIRE);
        ret_seen->state = cf_table_state(cf_table_flags(row));
        if (ret_seen->state != CF_STATE_FREE)           /* else the gate may be that of the slot's next session */
            return (cf_handle)(gate >> CF_GATE_SHIFT) << 32 | slot;
        ret_seen->sure = false;
    }
    ret_seen->sure = ret_seen->sure && cf_map_walk_sure(&walk);
    return 0;
}

/* The first row of the tag that is in limbo. */
static uint32_t find_dead(const struct cf_core *core, uint32_t tag)
{
    struct cf_map_walk walk = cf_map_walk(&core->ids, tag);
    uint32_t slot;
    while ((slot = cf_map_walk_next(&walk)) != CF_MAP_NONE)
        if (cf_table_state(cf_table_row(core, slot)->flags) == CF_STATE_FREE)
            return slot;
    return CF_TABLE_NO_SLOT;
}

void cf_table_forget(struct cf_core *core, uint32_t tag)
{
    uint32_t slot;
    while ((slot = find_dead(core, tag)) != CF_TABLE_NO_SLOT) {
        cf_map_drop(&core->ids, tag, slot);
        struct cf_row *row = cf_table_row(core, slot);
        __atomic_store_n(&row->flags, row->flags | CF_FLAG_FORGOTTEN, __ATOMIC_RELEASE);
    }
}
