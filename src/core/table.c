/* table.c: memory, slots, handles, and who is found by which name. */
#include "core/table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define HANDLE_SHIFT 32                 /* generation above, slot below */

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

static void *take(const struct cf_core *core, uint32_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow((size_t)count, size, &bytes))
        return NULL;
    return core->allocator.take(core->allocator.context, bytes);
}

static void give(const struct cf_core *core, void *memory)
{
    if (memory)
        core->allocator.give(core->allocator.context, memory);
}

struct cf_core *cf_core_new(const struct cf_limits *limits, const struct cf_policy *policies)
{
    static const struct cf_core_allocator standard = { take_malloc, give_free, NULL };
    return cf_core_new_with_allocator(limits, policies, &standard);
}

struct cf_core *cf_core_new_with_allocator(const struct cf_limits *limits, const struct cf_policy *policies,
                                           const struct cf_core_allocator *allocator)
{
    struct cf_core *core = allocator->take(allocator->context, sizeof *core);
    if (!core)
        return NULL;
    memset(core, 0, sizeof *core);
    core->allocator = *allocator;
    core->free_slot = CF_TABLE_NO_SLOT;
    core->free_workspace = CF_MAP_NONE;
    core->key = cf_map_key_from((uint64_t)(uintptr_t)core);
    if (cf_table_reserve_slot(core) != 0 || cf_table_reserve_workspace(core) != 0) {
        cf_core_free(&core);
        return NULL;
    }
    cf_core_limits_set(core, limits);
    for (int kind = 0; kind < CF_KINDS; kind++)
        cf_core_policy_set(core, (enum cf_kind)kind, &policies[kind]);
    return core;
}

void cf_core_free(struct cf_core **core)
{
    struct cf_core *old = *core;
    if (!old)
        return;
    give(old, old->idle_deadline_ns);
    give(old, old->age_deadline_ns);
    give(old, old->rows);
    give(old, old->ids.cells);
    give(old, old->workspaces);
    give(old, old->names.cells);
    old->allocator.give(old->allocator.context, old);
    *core = NULL;
}

static void map_ids(struct cf_core *core, struct cf_map_cell *cells, uint32_t count)
{
    cf_map_init(&core->ids, cells, count);
    for (uint32_t slot = 0; slot < core->fresh; slot++)
        if (core->rows[slot].state != CF_STATE_FREE)
            cf_map_put(&core->ids, core->rows[slot].id_tag, slot);
}

static void map_names(struct cf_core *core, struct cf_map_cell *cells, uint32_t count)
{
    cf_map_init(&core->names, cells, count);
    for (uint32_t i = 0; i < core->workspace_fresh; i++)
        if (core->workspaces[i].count > 0)
            cf_map_put(&core->names, core->workspaces[i].tag, i);
}

void cf_core_seed_set(struct cf_core *core, uint64_t seed)
{
    core->key = cf_map_key_from(seed);
    for (uint32_t slot = 0; slot < core->fresh; slot++) {
        struct cf_row *row = &core->rows[slot];
        row->id_tag = cf_map_tag(&core->key, row->id, strlen(row->id));
    }
    for (uint32_t i = 0; i < core->workspace_fresh; i++) {
        struct cf_workspace *workspace = &core->workspaces[i];
        workspace->tag = cf_map_tag(&core->key, workspace->name, strlen(workspace->name));
    }
    map_ids(core, core->ids.cells, core->ids.mask + 1);
    map_names(core, core->names.cells, core->names.mask + 1);
}

/* Moves the first `used` entries to the bigger array and gives the old one back. */
static void *move(const struct cf_core *core, void *bigger, void *old, uint32_t used, size_t size)
{
    if (used > 0)
        memcpy(bigger, old, (size_t)used * size);
    give(core, old);
    return bigger;
}

int cf_table_reserve_slot(struct cf_core *core)
{
    if (core->free_slot != CF_TABLE_NO_SLOT || core->fresh < core->capacity)
        return 0;
    if (core->capacity >= CF_TABLE_SLOTS_MAX)
        return CF_E_NO_MEMORY;
    uint32_t capacity = core->capacity ? core->capacity * 2 : CF_TABLE_BLOCK;
    int64_t *idle = take(core, capacity, sizeof *idle);
    int64_t *age = take(core, capacity, sizeof *age);
    struct cf_row *rows = take(core, capacity, sizeof *rows);
    struct cf_map_cell *cells = take(core, capacity * 2, sizeof *cells);
    if (!idle || !age || !rows || !cells) {
        give(core, idle);
        give(core, age);
        give(core, rows);
        give(core, cells);
        return CF_E_NO_MEMORY;
    }
    core->idle_deadline_ns = move(core, idle, core->idle_deadline_ns, core->fresh, sizeof *idle);
    core->age_deadline_ns = move(core, age, core->age_deadline_ns, core->fresh, sizeof *age);
    core->rows = move(core, rows, core->rows, core->fresh, sizeof *rows);
    for (uint32_t slot = core->fresh; slot < capacity; slot++)
        idle[slot] = age[slot] = CF_NEVER_NS;
    give(core, core->ids.cells);
    map_ids(core, cells, capacity * 2);
    core->capacity = capacity;
    return 0;
}

int cf_table_reserve_workspace(struct cf_core *core)
{
    if (core->free_workspace != CF_MAP_NONE || core->workspace_fresh < core->workspace_capacity)
        return 0;
    if (core->workspace_capacity >= CF_TABLE_SLOTS_MAX)
        return CF_E_NO_MEMORY;
    uint32_t capacity = core->workspace_capacity ? core->workspace_capacity * 2 : 16;
    struct cf_workspace *workspaces = take(core, capacity, sizeof *workspaces);
    struct cf_map_cell *cells = take(core, capacity * 2, sizeof *cells);
    if (!workspaces || !cells) {
        give(core, workspaces);
        give(core, cells);
        return CF_E_NO_MEMORY;
    }
    core->workspaces = move(core, workspaces, core->workspaces, core->workspace_fresh, sizeof *workspaces);
    give(core, core->names.cells);
    map_names(core, cells, capacity * 2);
    core->workspace_capacity = capacity;
    return 0;
}

cf_handle cf_table_handle(const struct cf_core *core, uint32_t slot)
{
    return (cf_handle)core->rows[slot].generation << HANDLE_SHIFT | slot;
}

struct cf_row *cf_table_row(const struct cf_core *core, cf_handle handle)
{
    uint32_t slot = (uint32_t)handle;
    if (slot >= core->fresh)
        return NULL;
    struct cf_row *row = &core->rows[slot];
    return row->state != CF_STATE_FREE && row->generation == handle >> HANDLE_SHIFT ? row : NULL;
}

uint32_t cf_table_slot_of(const struct cf_core *core, const char *id, size_t len)
{
    uint32_t tag = cf_map_tag(&core->key, id, len);
    uint32_t at = cf_map_home(&core->ids, tag);
    uint32_t slot;
    while ((slot = cf_map_next(&core->ids, tag, &at)) != CF_MAP_NONE)
        if (strcmp(core->rows[slot].id, id) == 0)
            return slot;
    return CF_TABLE_NO_SLOT;
}

uint32_t cf_table_take_slot(struct cf_core *core, const char *id, size_t len)
{
    uint32_t slot = core->free_slot, generation = 1;
    if (slot != CF_TABLE_NO_SLOT) {
        core->free_slot = core->rows[slot].next_free;
        generation = core->rows[slot].generation;
    } else {
        assert(core->fresh < core->capacity);
        slot = core->fresh++;
    }
    struct cf_row *row = &core->rows[slot];
    memset(row, 0, sizeof *row);
    row->generation = generation;
    memcpy(row->id, id, len);
    row->id_tag = cf_map_tag(&core->key, id, len);
    cf_map_put(&core->ids, row->id_tag, slot);
    core->count++;
    return slot;
}

void cf_table_give_slot(struct cf_core *core, uint32_t slot)
{
    struct cf_row *row = &core->rows[slot];
    cf_map_drop(&core->ids, row->id_tag, slot);
    row->state = CF_STATE_FREE;
    core->idle_deadline_ns[slot] = core->age_deadline_ns[slot] = CF_NEVER_NS;
    core->count--;
    row->generation++;
    if (row->generation == 0)
        return;                         /* retired: a next generation would make old handles valid again */
    row->next_free = core->free_slot;
    core->free_slot = slot;
}

uint32_t cf_table_workspace_of(const struct cf_core *core, const char *name, size_t len)
{
    uint32_t tag = cf_map_tag(&core->key, name, len);
    uint32_t at = cf_map_home(&core->names, tag);
    uint32_t number;
    while ((number = cf_map_next(&core->names, tag, &at)) != CF_MAP_NONE)
        if (strcmp(core->workspaces[number].name, name) == 0)
            return number;
    return CF_MAP_NONE;
}

uint32_t cf_table_workspace_join(struct cf_core *core, const char *name, size_t len)
{
    uint32_t number = cf_table_workspace_of(core, name, len);
    if (number != CF_MAP_NONE) {
        core->workspaces[number].count++;
        return number;
    }
    number = core->free_workspace;
    if (number != CF_MAP_NONE) {
        core->free_workspace = core->workspaces[number].next_free;
    } else {
        assert(core->workspace_fresh < core->workspace_capacity);
        number = core->workspace_fresh++;
    }
    struct cf_workspace *workspace = &core->workspaces[number];
    memset(workspace, 0, sizeof *workspace);
    memcpy(workspace->name, name, len);
    workspace->tag = cf_map_tag(&core->key, name, len);
    workspace->count = 1;
    cf_map_put(&core->names, workspace->tag, number);
    core->workspace_count++;
    return number;
}

void cf_table_workspace_leave(struct cf_core *core, uint32_t number)
{
    struct cf_workspace *workspace = &core->workspaces[number];
    if (--workspace->count > 0)
        return;
    cf_map_drop(&core->names, workspace->tag, number);
    workspace->next_free = core->free_workspace;
    core->free_workspace = number;
    core->workspace_count--;
}
