/* workspaces.c: the names of workspaces and how many rows are in each; under the lock only. */
#include "core/table.h"

#include <string.h>

struct cf_workspace *cf_workspaces_at(const struct cf_core *core, uint32_t number)
{
    uint32_t place, chunk = cf_table_chunk(number, &place);
    return &core->workspaces[chunk][place];
}

uint32_t cf_workspaces_find(const struct cf_core *core, const char *name, uint32_t tag)
{
    struct cf_map_walk walk = cf_map_walk(&core->names, tag);
    uint32_t number;
    while ((number = cf_map_walk_next(&walk)) != CF_MAP_NONE)
        if (strcmp(cf_workspaces_at(core, number)->name, name) == 0)
            return number;
    return CF_MAP_NONE;
}

bool cf_workspaces_reserve(struct cf_core *core, uint32_t tag)
{
    struct cf_store store = cf_limbo_store(core);
    if (!cf_map_reserve(&core->names, &store, tag))
        return false;
    if (core->free_workspace != CF_MAP_NONE || core->workspace_fresh < core->workspace_capacity)
        return true;
    uint32_t place, chunk = cf_table_chunk(core->workspace_fresh, &place);
    if (chunk >= CF_TABLE_CHUNKS)
        return false;
    uint32_t entries = CF_TABLE_BLOCK << chunk;
    core->workspaces[chunk] = cf_table_alloc(core, entries * sizeof(struct cf_workspace));
    if (!core->workspaces[chunk])
        return false;
    core->workspace_capacity += entries;
    return true;
}

uint32_t cf_workspaces_make(struct cf_core *core, const char *name, size_t len, uint32_t tag)
{
    uint32_t number = core->free_workspace;
    if (number == CF_MAP_NONE)
        number = core->workspace_fresh++;
    else
        core->free_workspace = cf_workspaces_at(core, number)->next_free;
    struct cf_workspace *workspace = cf_workspaces_at(core, number);
    memset(workspace, 0, sizeof *workspace);
    memcpy(workspace->name, name, len);
    workspace->tag = tag;
    cf_map_put(&core->names, tag, number);
    core->workspace_count++;
    return number;
}

void cf_workspaces_leave(struct cf_core *core, uint32_t number)
{
    struct cf_workspace *workspace = cf_workspaces_at(core, number);
    if (--workspace->count > 0)
        return;
    cf_map_drop(&core->names, workspace->tag, number);
    workspace->next_free = core->free_workspace;
    core->free_workspace = number;
    if (core->last_workspace == number)
        core->last_workspace = CF_MAP_NONE;
    core->workspace_count--;
}

uint32_t cf_core_workspaces(const struct cf_core *core)
{
    return core->workspace_count;
}

uint32_t cf_core_in_workspace(const struct cf_core *core, const char *workspace)
{
    size_t len = workspace ? strnlen(workspace, CF_WORKSPACE_MAX) : 0;
    if (len == 0 || len == CF_WORKSPACE_MAX)
        return 0;
    uint32_t number = cf_workspaces_find(core, workspace, cf_map_tag(&core->key, workspace, len));
    return number == CF_MAP_NONE ? 0 : cf_workspaces_at(core, number)->count;
}
