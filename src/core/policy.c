/* policy.c: limits, and the deadlines that follow from them. */
#include "core/table.h"

int64_t cf_policy_later(int64_t since_ns, int64_t span_ns)
{
    int64_t sum;
    return __builtin_add_overflow(since_ns, span_ns, &sum) ? CF_NEVER_NS : sum;
}

struct cf_policy cf_policy_at_least_0(const struct cf_policy *policy)
{
    return (struct cf_policy){ policy->idle_ns < 0 ? 0 : policy->idle_ns, policy->age_ns < 0 ? 0 : policy->age_ns };
}

void cf_core_limits_set(struct cf_core *core, const struct cf_limits *limits)
{
    core->limits = *limits;
    core->limits.emergency = cf_policy_at_least_0(&limits->emergency);
}

const struct cf_limits *cf_core_limits(const struct cf_core *core)
{
    return &core->limits;
}

/* Blocks of class OWN keep deadlines, some of which follow from a policy: they must be looked at anew. */
static void distrust_own(struct cf_core *core)
{
    for (uint32_t slot = 0; slot < core->fresh; slot += CF_TABLE_BLOCK) {
        struct cf_block *block = cf_table_block(core, slot);
        if (block->class == CF_CLASS_OWN)
            block->stalest_ns = block->oldest_ns = 0;
    }
}

void cf_core_policy_set(struct cf_core *core, unsigned kind, const struct cf_policy *policy)
{
    if (kind >= core->kinds)
        return;
    core->policies[kind] = cf_policy_at_least_0(policy);
    distrust_own(core);
}

const struct cf_policy *cf_core_policy(const struct cf_core *core, unsigned kind)
{
    return kind < core->kinds ? &core->policies[kind] : NULL;
}

struct cf_policy cf_policy_of(const struct cf_policy *policies, const struct cf_row *row, uint32_t flags)
{
    struct cf_policy limits = cf_policy_at_least_0(&policies[cf_table_kind(flags)]);
    if (flags & CF_FLAG_IDLE_OWN)
        limits.idle_ns = cf_table_label(row)->idle_ns;
    if (flags & CF_FLAG_AGE_OWN)
        limits.age_ns = cf_table_label(row)->age_ns;
    return limits;
}

static void lower(int64_t *bound_ns, int64_t time_ns)
{
    if (time_ns < *bound_ns)
        *bound_ns = time_ns;
}

void cf_policy_note(struct cf_core *core, uint32_t slot)
{
    const struct cf_row *row = cf_table_row(core, slot);
    struct cf_block *block = cf_table_block(core, slot);
    int64_t used_ns = cf_table_last_used(core, slot), created_ns = row->created_ns;
    if (cf_table_state(row->flags) != CF_STATE_ACTIVE)
        return;
    if (block->class == CF_CLASS_OWN) {
        struct cf_policy limits = cf_policy_of(core->policies, row, row->flags);
        used_ns = cf_policy_later(used_ns, limits.idle_ns);
        created_ns = cf_policy_later(created_ns, limits.age_ns);
    }
    if (block->may_idle >> slot % CF_TABLE_BLOCK & 1)
        lower(&block->stalest_ns, used_ns);
    lower(&block->oldest_ns, created_ns);
}
