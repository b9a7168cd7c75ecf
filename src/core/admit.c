/* admit.c: who may come in, and what can be asked about who is here. */
#include "core/table.h"

#include <string.h>

static int check_name(const char *name, size_t size, const char *field, size_t *ret_len, struct cf_error *error)
{
    size_t len = name ? strnlen(name, size) : 0;
    if (len == 0 || len == size)
        return cf_error_set(error, CF_E_INVALID, field, "%s must have 1 to %zu bytes", field, size - 1);
    *ret_len = len;
    return 0;
}

static int check_times(const struct cf_admission *want, struct cf_error *error)
{
    if (want->idle_ns < 0)
        return cf_error_set(error, CF_E_INVALID, "idle_timeout", "idle_timeout must not be negative");
    if (want->age_ns < 0)
        return cf_error_set(error, CF_E_INVALID, "max_age", "max_age must not be negative");
    return 0;
}

static int check_limits(const struct cf_core *core, const char *name, uint32_t number, struct cf_error *error)
{
    uint32_t inside = number == CF_MAP_NONE ? 0 : core->workspaces[number].count;
    uint32_t most = core->limits.max_per_workspace;
    if (inside >= most)
        return cf_error_set(error, CF_E_WORKSPACE_FULL, "workspace",
                            "workspace %s has %u sessions, and %u is the most it may have", name, inside, most);
    most = core->limits.max_sessions;
    if (core->count >= most)
        return cf_error_set(error, CF_E_TOO_MANY_SESSIONS, NULL,
                            "there are %u sessions, and %u is the most there may be", core->count, most);
    return 0;
}

static int check(const struct cf_core *core, const struct cf_admission *want, size_t *ret_id_len,
                 size_t *ret_name_len, struct cf_error *error)
{
    int rc = check_name(want->id, CF_ID_MAX, "id", ret_id_len, error);
    if (rc == 0)
        rc = check_name(want->workspace, CF_WORKSPACE_MAX, "workspace", ret_name_len, error);
    if (rc == 0 && (unsigned)want->kind >= CF_KINDS)
        rc = cf_error_set(error, CF_E_INVALID, "kind", "kind is not one of those that there are");
    if (rc == 0)
        rc = check_times(want, error);
    if (rc == 0 && cf_table_slot_of(core, want->id, *ret_id_len) != CF_TABLE_NO_SLOT)
        rc = cf_error_set(error, CF_E_INVALID, "id", "id %s is taken", want->id);
    return rc;
}

static void fill(struct cf_core *core, struct cf_row *row, const struct cf_admission *want, int64_t now_ns)
{
    const struct cf_policy *policy = &core->policies[want->kind];
    row->kind = (uint8_t)want->kind;
    row->state = CF_STATE_STARTING;
    row->idle_own = want->idle_ns != 0;
    row->age_own = want->age_ns != 0;
    row->idle_ns = row->idle_own ? want->idle_ns : policy->idle_ns;
    row->age_ns = row->age_own ? want->age_ns : policy->age_ns;
    row->created_ns = row->last_used_ns = now_ns;
}

int cf_core_admit(struct cf_core *core, const struct cf_admission *want, int64_t now_ns,
                  cf_handle *ret_handle, struct cf_error *error)
{
    size_t id_len = 0, name_len = 0;
    int rc = check(core, want, &id_len, &name_len, error);
    if (rc != 0)
        return rc;
    uint32_t number = cf_table_workspace_of(core, want->workspace, name_len);
    rc = check_limits(core, want->workspace, number, error);
    if (rc != 0)
        return rc;
    if (cf_table_reserve_slot(core) != 0 || (number == CF_MAP_NONE && cf_table_reserve_workspace(core) != 0))
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "no memory for another session");

    uint32_t slot = cf_table_take_slot(core, want->id, id_len);
    fill(core, &core->rows[slot], want, cf_table_now(now_ns));
    core->rows[slot].workspace = cf_table_workspace_join(core, want->workspace, name_len);
    cf_policy_refresh(core, slot);
    core->counts.sessions_active = core->count;
    *ret_handle = cf_table_handle(core, slot);
    return 0;
}

bool cf_core_find(const struct cf_core *core, const char *id, cf_handle *ret_handle)
{
    size_t len = id ? strnlen(id, CF_ID_MAX) : 0;
    if (len == 0 || len == CF_ID_MAX)
        return false;
    uint32_t slot = cf_table_slot_of(core, id, len);
    if (slot == CF_TABLE_NO_SLOT)
        return false;
    *ret_handle = cf_table_handle(core, slot);
    return true;
}

static int64_t left(int64_t deadline_ns, int64_t now_ns)
{
    if (deadline_ns == CF_NEVER_NS)
        return CF_NEVER_NS;
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

bool cf_core_get(const struct cf_core *core, cf_handle handle, int64_t now_ns, struct cf_session *ret)
{
    const struct cf_row *row = cf_table_row(core, handle);
    if (!row)
        return false;
    now_ns = cf_table_now(now_ns);
    *ret = (struct cf_session){
        .handle = handle,
        .kind = (enum cf_kind)row->kind,
        .state = (enum cf_state)row->state,
        .reason = (enum cf_reason)row->reason,
        .busy = row->busy,
        .idle_own = row->idle_own,
        .age_own = row->age_own,
        .created_ns = row->created_ns,
        .last_used_ns = row->last_used_ns,
        .idle_ns = row->idle_ns,
        .age_ns = row->age_ns,
        .idle_left_ns = left(core->idle_deadline_ns[(uint32_t)handle], now_ns),
        .age_left_ns = left(core->age_deadline_ns[(uint32_t)handle], now_ns),
        .message_count = row->message_count,
    };
    memcpy(ret->id, row->id, sizeof ret->id);
    memcpy(ret->workspace, core->workspaces[row->workspace].name, sizeof ret->workspace);
    return true;
}

bool cf_core_next(const struct cf_core *core, size_t *cursor, cf_handle *ret_handle)
{
    while (*cursor < core->fresh) {
        uint32_t slot = (uint32_t)(*cursor)++;
        if (core->rows[slot].state != CF_STATE_FREE) {
            *ret_handle = cf_table_handle(core, slot);
            return true;
        }
    }
    return false;
}

uint32_t cf_core_count(const struct cf_core *core)
{
    return core->count;
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
    uint32_t number = cf_table_workspace_of(core, workspace, len);
    return number == CF_MAP_NONE ? 0 : core->workspaces[number].count;
}

struct cf_counts *cf_core_counts(struct cf_core *core)
{
    return &core->counts;
}
