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

/* What an admission looks up, and what it finds. */
struct names {
    size_t id_len, workspace_len;
    uint32_t id_tag, workspace_tag;
    uint32_t workspace;                 /* number, or CF_MAP_NONE */
};

static int check_form(const struct cf_core *core, const struct cf_admission *want,
                      struct names *ret, struct cf_error *error)
{
    int rc = check_name(want->id, CF_ID_MAX, "id", &ret->id_len, error);
    if (rc == 0)
        rc = check_name(want->workspace, CF_WORKSPACE_MAX, "workspace", &ret->workspace_len, error);
    if (rc == 0 && want->kind >= core->kinds)
        rc = cf_error_set(error, CF_E_INVALID, "kind", "kind must be 0 to %u", core->kinds - 1);
    if (rc == 0)
        rc = check_times(want, error);
    return rc;
}

/* The id's place in the hash is asked for first: while it comes, the workspace is looked up. */
static int look_up(struct cf_core *core, const struct cf_admission *want, struct names *names, struct cf_error *error)
{
    struct cf_seen seen;
    names->id_tag = cf_map_tag(&core->key, want->id, names->id_len);
    cf_map_prefetch(&core->ids, names->id_tag);
    names->workspace = core->last_workspace;            /* most often the same as for the one before */
    if (names->workspace == CF_MAP_NONE ||
        strcmp(cf_workspaces_at(core, names->workspace)->name, want->workspace) != 0) {
        names->workspace_tag = cf_map_tag(&core->key, want->workspace, names->workspace_len);
        names->workspace = cf_workspaces_find(core, want->workspace, names->workspace_tag);
    }
    if (cf_table_find(core, want->id, names->id_tag, &seen) != 0)
        return cf_error_set(error, CF_E_EXISTS, "id", "there is a session with id %s", want->id);
    if (seen.dead)
        cf_table_forget(core, names->id_tag);
    return 0;
}

static uint32_t active(const struct cf_core *core)
{
    uint32_t n = 0;
    for (unsigned kind = 0; kind < core->kinds; kind++)
        n += core->tally.here[kind][CF_STATE_STARTING] + core->tally.here[kind][CF_STATE_ACTIVE];
    return n;
}

static int check_limits(const struct cf_core *core, const char *name, uint32_t number, struct cf_error *error)
{
    const struct cf_limits *limits = &core->limits;
    uint32_t inside = number == CF_MAP_NONE ? 0 : cf_workspaces_at(core, number)->count;
    if (inside >= limits->max_per_workspace)
        return cf_error_set(error, CF_E_WORKSPACE_FULL, "workspace",
                            "workspace %s has %u sessions, and %u is the most it may have",
                            name, inside, limits->max_per_workspace);
    if (active(core) >= limits->max_active)
        return cf_error_set(error, CF_E_TOO_MANY_ACTIVE, NULL,
                            "there are %u active sessions, and %u is the most there may be",
                            active(core), limits->max_active);
    if (core->count >= limits->max_sessions)
        return cf_error_set(error, CF_E_TOO_MANY_SESSIONS, NULL,
                            "there are %u sessions, and %u is the most there may be",
                            core->count, limits->max_sessions);
    return 0;
}

static struct cf_label *make_label(struct cf_core *core, const struct cf_admission *want, size_t id_len)
{
    size_t bytes = sizeof(struct cf_label) + id_len + 1;
    struct cf_label *label = cf_table_alloc(core, bytes);
    if (!label)
        return NULL;
    label->dead.bytes = bytes;
    label->idle_ns = want->idle_ns;
    label->age_ns = want->age_ns;
    memcpy(label->text, want->id, id_len + 1);
    return label;
}

/* All the memory that the row will need.  What was got before the rest was refused stays for the next one. */
static bool reserve(struct cf_core *core, const struct cf_admission *want, const struct names *names, unsigned class,
                    struct cf_label **ret_label)
{
    struct cf_store store = cf_limbo_store(core);
    *ret_label = NULL;
    if (!cf_table_reserve(core, class) || !cf_map_reserve(&core->ids, &store, names->id_tag) ||
        (names->workspace == CF_MAP_NONE && !cf_workspaces_reserve(core, names->workspace_tag)))
        return false;
    if (class == CF_CLASS_OWN || names->id_len >= CF_TEXT_INLINE)
        return (*ret_label = make_label(core, want, names->id_len)) != NULL;
    return true;
}

static uint32_t flags_of(const struct cf_admission *want)
{
    return (want->idle_ns != 0 ? CF_FLAG_IDLE_OWN : 0u) | (want->age_ns != 0 ? CF_FLAG_AGE_OWN : 0u) |
           want->kind << CF_FLAG_KIND_SHIFT | CF_STATE_STARTING;
}

int cf_core_admit(struct cf_core *core, const struct cf_admission *want, int64_t now_ns,
                  cf_handle *ret_handle, struct cf_error *error)
{
    struct names names = { 0 };
    struct cf_label *label;
    int rc = check_form(core, want, &names, error);
    if (rc == 0)
        rc = look_up(core, want, &names, error);
    if (rc == 0)
        rc = check_limits(core, want->workspace, names.workspace, error);
    if (rc != 0)
        return rc;
    uint32_t flags = flags_of(want);
    unsigned class = cf_table_class(flags);
    if (!reserve(core, want, &names, class, &label))
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "no memory for another session");

    uint32_t slot = cf_table_take(core, class);
    struct cf_row *row = cf_table_row(core, slot);
    now_ns = cf_table_now(now_ns);
    row->created_ns = now_ns;
    row->user = want->user;
    __atomic_store_n(&row->messages, 0, __ATOMIC_RELAXED);
    row->workspace = names.workspace;
    if (names.workspace == CF_MAP_NONE)
        row->workspace = cf_workspaces_make(core, want->workspace, names.workspace_len, names.workspace_tag);
    cf_workspaces_at(core, row->workspace)->count++;
    core->last_workspace = row->workspace;
    if (label) {
        memcpy(row->text, &label, sizeof label);
        flags |= CF_FLAG_LABEL;
    } else {
        memcpy(row->text, want->id, names.id_len + 1);
    }
    __atomic_store_n(cf_table_used(core, slot), now_ns, __ATOMIC_RELAXED);
    cf_table_become(core, slot, flags);
    cf_map_put(&core->ids, names.id_tag, slot);
    core->tally.unstarted++;
    core->counts.sessions_active = core->count;
    *ret_handle = cf_table_handle(core, slot);
    return 0;
}

static enum cf_found find(const struct cf_core *core, const char *id, struct cf_seen *ret_seen, cf_handle *ret_handle)
{
    size_t len = id ? strnlen(id, CF_ID_MAX) : 0;
    if (len == 0 || len == CF_ID_MAX)
        return CF_ABSENT;
    cf_handle handle = cf_table_find(core, id, cf_map_tag(&core->key, id, len), ret_seen);
    if (handle == 0)
        return ret_seen->sure ? CF_ABSENT : CF_UNSURE;
    *ret_handle = handle;
    return CF_FOUND;
}

bool cf_core_find(const struct cf_core *core, const char *id, cf_handle *ret_handle)
{
    struct cf_seen seen;
    return find(core, id, &seen, ret_handle) == CF_FOUND;
}

enum cf_found cf_core_find_shared(const struct cf_core *core, const char *id, cf_handle *ret_handle)
{
    struct cf_seen seen;
    cf_handle handle = 0;
    enum cf_found found = find(core, id, &seen, &handle);
    if (found == CF_FOUND && seen.state == CF_STATE_ENDING)
        return CF_ABSENT;
    if (found == CF_FOUND)
        *ret_handle = handle;
    return found;
}

enum cf_state cf_core_state(const struct cf_core *core, cf_handle handle)
{
    uint32_t flags;
    return cf_table_named(core, handle, &flags) ? cf_table_state(flags) : CF_STATE_FREE;
}

static int64_t left(int64_t deadline_ns, int64_t now_ns)
{
    if (deadline_ns == CF_NEVER_NS)
        return CF_NEVER_NS;
    return deadline_ns > now_ns ? deadline_ns - now_ns : 0;
}

static void fill_times(struct cf_session *ret, int64_t now_ns)
{
    ret->idle_left_ns = ret->age_left_ns = CF_NEVER_NS;
    if (ret->state == CF_STATE_CLOSED || ret->state == CF_STATE_FAILED)
        ret->idle_left_ns = ret->age_left_ns = 0;
    if (ret->state != CF_STATE_ACTIVE)
        return;
    if (!ret->busy)
        ret->idle_left_ns = left(cf_policy_later(ret->last_used_ns, ret->idle_ns), now_ns);
    ret->age_left_ns = left(cf_policy_later(ret->created_ns, ret->age_ns), now_ns);
}

static void fill_failure(const struct cf_core *core, uint32_t slot, char *ret)
{
    const struct cf_note *note = cf_table_block(core, slot)->notes;
    while (note && note->slot != slot)
        note = note->next;
    if (note)
        strcpy(ret, note->text);
}

bool cf_core_get(const struct cf_core *core, cf_handle handle, int64_t now_ns, struct cf_session *ret)
{
    uint32_t flags, slot = (uint32_t)handle;
    const struct cf_row *row = cf_table_named(core, handle, &flags);
    if (!row)
        return false;
    struct cf_policy limits = cf_policy_of(core->policies, row, flags);
    *ret = (struct cf_session){
        .handle = handle,
        .kind = cf_table_kind(flags),
        .state = cf_table_state(flags),
        .reason = cf_table_reason(flags),
        .busy = (flags & CF_FLAG_BUSY) != 0,
        .asked = (flags & CF_FLAG_ASKED) != 0,
        .idle_own = (flags & CF_FLAG_IDLE_OWN) != 0,
        .age_own = (flags & CF_FLAG_AGE_OWN) != 0,
        .created_ns = row->created_ns,
        .last_used_ns = cf_table_last_used(core, slot),
        .idle_ns = limits.idle_ns,
        .age_ns = limits.age_ns,
        .message_count = __atomic_load_n(&row->messages, __ATOMIC_RELAXED),
        .user = row->user,
    };
    strcpy(ret->id, cf_table_id(row, flags));
    strcpy(ret->workspace, cf_workspaces_at(core, row->workspace)->name);
    fill_failure(core, slot, ret->failure);
    fill_times(ret, cf_table_now(now_ns));
    return true;
}

bool cf_core_next(const struct cf_core *core, size_t *cursor, cf_handle *ret_handle)
{
    while (*cursor < core->fresh) {
        uint32_t slot = (uint32_t)*cursor;
        if (slot % CF_TABLE_BLOCK == 0 && cf_table_block(core, slot)->live == 0) {
            *cursor += CF_TABLE_BLOCK;
            continue;
        }
        ++*cursor;
        if (cf_table_state(cf_table_row(core, slot)->flags) != CF_STATE_FREE) {
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

struct cf_counts *cf_core_counts(struct cf_core *core)
{
    return &core->counts;
}

const struct cf_tally *cf_core_tally(const struct cf_core *core)
{
    return &core->tally;
}
