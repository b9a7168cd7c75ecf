/* policy.c: deadlines, and who is past one.
 *
 * A session is due when now > deadline, strictly (S0.14).  Every deadline lies between CF_TABLE_PAST_NS and CF_NEVER_NS
 * and every time between 0 and CF_NEVER_NS, so deadline - now never overflows, and its sign alone says who is due:
 * subtract and OR, which any processor does on several rows at once. */
#include "core/table.h"

int64_t cf_policy_later(int64_t since_ns, int64_t span_ns)
{
    int64_t sum;
    return __builtin_add_overflow(since_ns, span_ns, &sum) ? CF_NEVER_NS : sum;
}

void cf_policy_refresh(struct cf_core *core, uint32_t slot)
{
    const struct cf_row *row = &core->rows[slot];
    int64_t idle = CF_NEVER_NS, age = CF_NEVER_NS;
    switch ((enum cf_state)row->state) {
    case CF_STATE_ACTIVE:
        if (!row->busy)
            idle = cf_policy_later(row->last_used_ns, row->idle_ns);
        age = cf_policy_later(row->created_ns, row->age_ns);
        break;
    case CF_STATE_CLOSED:
    case CF_STATE_FAILED:
        idle = age = CF_TABLE_PAST_NS;
        break;
    case CF_STATE_FREE:
    case CF_STATE_STARTING:
    case CF_STATE_ENDING:
        break;
    }
    core->idle_deadline_ns[slot] = idle;
    core->age_deadline_ns[slot] = age;
}

static int64_t at_least_0(int64_t span_ns)
{
    return span_ns < 0 ? 0 : span_ns;
}

void cf_core_limits_set(struct cf_core *core, const struct cf_limits *limits)
{
    core->limits = *limits;
    core->limits.emergency_idle_ns = at_least_0(limits->emergency_idle_ns);
    core->limits.emergency_age_ns = at_least_0(limits->emergency_age_ns);
}

void cf_core_policy_set(struct cf_core *core, enum cf_kind kind, const struct cf_policy *policy)
{
    if ((unsigned)kind >= CF_KINDS)
        return;
    struct cf_policy *own = &core->policies[kind];
    own->idle_ns = at_least_0(policy->idle_ns);
    own->age_ns = at_least_0(policy->age_ns);
    for (uint32_t slot = 0; slot < core->fresh; slot++) {
        struct cf_row *row = &core->rows[slot];
        if (row->state == CF_STATE_FREE || row->kind != kind)
            continue;
        if (!row->idle_own)
            row->idle_ns = own->idle_ns;
        if (!row->age_own)
            row->age_ns = own->age_ns;
        cf_policy_refresh(core, slot);
    }
}

const struct cf_policy *cf_core_policy(const struct cf_core *core, enum cf_kind kind)
{
    return (unsigned)kind < CF_KINDS ? &core->policies[kind] : NULL;
}

/* True when any slot of the block that starts at `first` is due.  No branch and no comparison inside, so that the
 * compiler makes vector code of it. */
static bool block_is_due(const struct cf_core *core, uint32_t first, int64_t now_ns)
{
    const int64_t *idle = core->idle_deadline_ns + first;
    const int64_t *age = core->age_deadline_ns + first;
    int64_t any = 0;
    for (int i = 0; i < CF_TABLE_BLOCK; i++)
        any |= (idle[i] - now_ns) | (age[i] - now_ns);
    return any < 0;
}

static struct cf_due due(const struct cf_core *core, uint32_t slot, int64_t now_ns, enum cf_reason rule)
{
    const struct cf_row *row = &core->rows[slot];
    enum cf_reason reason = rule;
    if (row->state == CF_STATE_CLOSED)
        reason = CF_REASON_CLOSED;
    else if (row->state == CF_STATE_FAILED)
        reason = CF_REASON_FAILED;
    return (struct cf_due){
        .handle = cf_table_handle(core, slot),
        .reason = reason,
        .idle_for_ns = now_ns > row->last_used_ns ? now_ns - row->last_used_ns : 0,
    };
}

/* The rule itself, for one slot. */
static bool slot_is_due(const struct cf_core *core, uint32_t slot, int64_t now_ns, struct cf_due *ret)
{
    int64_t idle = core->idle_deadline_ns[slot], age = core->age_deadline_ns[slot];
    if (now_ns <= idle && now_ns <= age)
        return false;
    *ret = due(core, slot, now_ns, idle <= age ? CF_REASON_IDLE : CF_REASON_AGE);
    return true;
}

static size_t gather_block(const struct cf_core *core, uint32_t first, int64_t now_ns, struct cf_due *ret, size_t max)
{
    size_t n = 0;
    for (uint32_t slot = first; slot < first + CF_TABLE_BLOCK && n < max; slot++)
        n += slot_is_due(core, slot, now_ns, &ret[n]);
    return n;
}

bool cf_core_due_one(const struct cf_core *core, cf_handle handle, int64_t now_ns, struct cf_due *ret)
{
    return cf_table_row(core, handle) != NULL && slot_is_due(core, (uint32_t)handle, cf_table_now(now_ns), ret);
}

size_t cf_core_due(const struct cf_core *core, int64_t now_ns, struct cf_due *ret, size_t max)
{
    size_t n = 0;
    now_ns = cf_table_now(now_ns);
    for (uint32_t first = 0; first < core->fresh && n < max; first += CF_TABLE_BLOCK)
        if (block_is_due(core, first, now_ns))
            n += gather_block(core, first, now_ns, ret + n, max - n);
    return n;
}

static bool in_emergency(const struct cf_core *core, const struct cf_row *row, int64_t now_ns)
{
    switch ((enum cf_state)row->state) {
    case CF_STATE_ACTIVE:
        return !row->busy && (now_ns > cf_policy_later(row->last_used_ns, core->limits.emergency_idle_ns) ||
                              now_ns > cf_policy_later(row->created_ns, core->limits.emergency_age_ns));
    case CF_STATE_CLOSED:
    case CF_STATE_FAILED:
        return true;
    case CF_STATE_FREE:
    case CF_STATE_STARTING:
    case CF_STATE_ENDING:
        break;
    }
    return false;
}

size_t cf_core_due_emergency(const struct cf_core *core, int64_t now_ns, struct cf_due *ret, size_t max)
{
    size_t n = 0;
    now_ns = cf_table_now(now_ns);
    for (uint32_t slot = 0; slot < core->fresh && n < max; slot++)
        if (in_emergency(core, &core->rows[slot], now_ns))
            ret[n++] = due(core, slot, now_ns, CF_REASON_LIMIT);
    return n;
}

int64_t cf_core_next_due(const struct cf_core *core)
{
    int64_t least = CF_NEVER_NS;
    for (uint32_t slot = 0; slot < core->fresh; slot++) {
        int64_t idle = core->idle_deadline_ns[slot], age = core->age_deadline_ns[slot];
        int64_t first = idle < age ? idle : age;
        if (first < least)
            least = first;
    }
    return least == CF_NEVER_NS ? CF_NEVER_NS : least + 1;
}
