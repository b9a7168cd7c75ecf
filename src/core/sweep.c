/* sweep.c: who is due.
 *
 * A session is due when now - last_used > idle or now - created > age, strictly (S0.14).  With `cut` = now - limit
 * that is time < cut, which cannot overflow: neither is negative.
 *
 * The first look is at each block's two bounds.  Where a bound lies before its cut, it is made exact: for idle from
 * 8 bytes a row that lie side by side, in vector code; only if it still does the rows are judged one by one.
 * Touches only move times up, so a bound once made exact holds for as long as its limit takes to pass: what a sweep
 * costs that finds nobody does not depend on how many touches there were.  (Of two touches at the same time the
 * earlier may stay; then a bound made between them is too high by what lies between them, and the session is seen
 * so much later.) */
#include "core/table.h"

/* clang has target_clones as well, but not together with no_sanitize. */
#if defined(__x86_64__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define VECTOR __attribute__((target_clones("default", "avx2"), optimize("O3"), no_sanitize("thread")))
#else
#define VECTOR __attribute__((no_sanitize("thread")))
#endif

typedef int64_t lanes __attribute__((vector_size(32), aligned(8), may_alias));

/* A bit for each time before the cut, and the least of the times.  It reads beside touches that write: each of them
 * is one store of one aligned word, so what is read is the time before or after it, and either is good.  No
 * compiler makes vector code of atomic loads, hence the plain ones. */
VECTOR static uint64_t before(const int64_t *used_ns, int64_t cut_ns, int64_t *ret_least_ns)
{
    lanes least = { CF_NEVER_NS, CF_NEVER_NS, CF_NEVER_NS, CF_NEVER_NS }, mask = { 0 }, bits = { 1, 2, 4, 8 };
    for (int i = 0; i < CF_TABLE_BLOCK; i += 4, bits <<= 4) {
        lanes now = *(const lanes *)(used_ns + i), less = now < least;
        least = (now & less) | (least & ~less);
        mask |= (now < cut_ns) & bits;
    }
    int64_t one = least[0] < least[1] ? least[0] : least[1], other = least[2] < least[3] ? least[2] : least[3];
    *ret_least_ns = one < other ? one : other;
    return (uint64_t)(mask[0] | mask[1] | mask[2] | mask[3]);
}

static bool may_age(uint32_t flags)
{
    return cf_table_state(flags) == CF_STATE_ACTIVE && !(flags & CF_FLAG_ASKED);
}

static int64_t oldest(const struct cf_row *row)
{
    int64_t least = CF_NEVER_NS;
    for (int i = 0; i < CF_TABLE_BLOCK; i++)
        if (may_age(row[i].flags) && row[i].created_ns < least)
            least = row[i].created_ns;
    return least;
}

/* The least time of the rows that may end by idleness. */
static int64_t stalest(const struct cf_core *core, uint32_t first)
{
    int64_t least = CF_NEVER_NS;
    for (uint64_t left = cf_table_block(core, first)->may_idle; left != 0; left &= left - 1) {
        int64_t used_ns = cf_table_last_used(core, first + (uint32_t)__builtin_ctzll(left));
        least = used_ns < least ? used_ns : least;
    }
    return least;
}

/* The rows that may end by idleness and were last used before the cut; raises the bound where there are none. */
static uint64_t idlers(const struct cf_core *core, uint32_t first, struct cf_block *block, int64_t cut_ns)
{
    int64_t least_ns;
    uint64_t early = before(cf_table_used(core, first), cut_ns, &least_ns), mask = early & block->may_idle;
    if (mask == 0)                      /* one that is busy, say, may lie far back: then it takes the long way */
        block->stalest_ns = early == 0 ? least_ns : stalest(core, first);
    return mask;
}

/* Both bounds of a block of class OWN. */
static void refresh_own(const struct cf_core *core, struct cf_block *block, uint32_t first)
{
    block->stalest_ns = block->oldest_ns = CF_NEVER_NS;
    for (uint32_t slot = first; slot < first + CF_TABLE_BLOCK; slot++) {
        const struct cf_row *row = cf_table_row(core, slot);
        if (!may_age(row->flags))
            continue;
        struct cf_policy limits = cf_policy_of(core->policies, row, row->flags);
        int64_t idle_ns = cf_policy_later(cf_table_last_used(core, slot), limits.idle_ns);
        int64_t age_ns = cf_policy_later(row->created_ns, limits.age_ns);
        if ((block->may_idle >> slot % CF_TABLE_BLOCK & 1) && idle_ns < block->stalest_ns)
            block->stalest_ns = idle_ns;
        if (age_ns < block->oldest_ns)
            block->oldest_ns = age_ns;
    }
}

/* ── one row ── */

static struct cf_due due(const struct cf_core *core, uint32_t slot, const struct cf_judge *judge,
                         enum cf_reason reason, int64_t when_ns)
{
    int64_t used_ns = cf_table_last_used(core, slot);
    return (struct cf_due){
        .handle = cf_table_handle(core, slot), .reason = reason, .when_ns = when_ns,
        .idle_for_ns = judge->now_ns > used_ns ? judge->now_ns - used_ns : 0,
    };
}

static struct cf_policy limits_of(const struct cf_core *core, const struct cf_judge *judge, const struct cf_row *row)
{
    if (judge->all)
        return cf_policy_at_least_0(judge->all);
    return cf_policy_of(judge->policies ? judge->policies : core->policies, row, row->flags);
}

/* The rule itself. */
static bool judge_row(const struct cf_core *core, uint32_t slot, const struct cf_judge *judge, struct cf_due *ret)
{
    const struct cf_row *row = cf_table_row(core, slot);
    enum cf_state state = cf_table_state(row->flags);
    bool busy = (row->flags & CF_FLAG_BUSY) != 0;
    if (row->flags & CF_FLAG_ASKED)
        return false;
    if (state == CF_STATE_CLOSED || state == CF_STATE_FAILED) {
        *ret = due(core, slot, judge, state == CF_STATE_CLOSED ? CF_REASON_CLOSED : CF_REASON_FAILED, 0);
        return true;
    }
    if (state != CF_STATE_ACTIVE || (busy && judge->all))
        return false;
    struct cf_policy limits = limits_of(core, judge, row);
    int64_t idle_ns = busy ? CF_NEVER_NS : cf_policy_later(cf_table_last_used(core, slot), limits.idle_ns);
    int64_t age_ns = cf_policy_later(row->created_ns, limits.age_ns);
    int64_t when_ns = idle_ns <= age_ns ? idle_ns : age_ns;
    if (judge->now_ns <= when_ns)
        return false;
    enum cf_reason rule = idle_ns <= age_ns ? CF_REASON_IDLE : CF_REASON_AGE;
    *ret = due(core, slot, judge, judge->reason != CF_REASON_NONE ? judge->reason : rule, when_ns);
    return true;
}

bool cf_core_judge_one(const struct cf_core *core, cf_handle handle, const struct cf_judge *judge, struct cf_due *ret)
{
    uint32_t flags;
    struct cf_judge own = *judge;
    own.now_ns = cf_table_now(judge->now_ns);
    return cf_table_named(core, handle, &flags) && judge_row(core, (uint32_t)handle, &own, ret);
}

bool cf_core_due_one(const struct cf_core *core, cf_handle handle, int64_t now_ns, struct cf_due *ret)
{
    const struct cf_judge in_force = { .now_ns = now_ns };
    return cf_core_judge_one(core, handle, &in_force, ret);
}

/* ── many ── */

struct cuts {                           /* times before these are due */
    int64_t idle_ns[CF_CLASSES], age_ns[CF_CLASSES];
    bool own_bounds;                    /* what blocks of class OWN keep is of use */
};

static int64_t cut(int64_t now_ns, int64_t limit_ns)
{
    return limit_ns == CF_NEVER_NS ? INT64_MIN : now_ns - (limit_ns < 0 ? 0 : limit_ns);
}

static void make_cuts(const struct cf_core *core, const struct cf_judge *judge, struct cuts *ret)
{
    const struct cf_policy *policies = judge->policies ? judge->policies : core->policies;
    for (unsigned kind = 0; kind < core->kinds; kind++) {
        const struct cf_policy *policy = judge->all ? judge->all : &policies[kind];
        ret->idle_ns[kind] = cut(judge->now_ns, policy->idle_ns);
        ret->age_ns[kind] = cut(judge->now_ns, policy->age_ns);
    }
    ret->own_bounds = !judge->all && !judge->policies;
    ret->idle_ns[CF_CLASS_OWN] = ret->age_ns[CF_CLASS_OWN] = judge->now_ns;
}

static bool is_quiet(const struct cf_block *block, const struct cuts *cuts)
{
    if (block->class == CF_CLASS_OWN && !cuts->own_bounds && block->live > 0)
        return false;
    return block->terminal == 0 && block->stalest_ns >= cuts->idle_ns[block->class] &&
           block->oldest_ns >= cuts->age_ns[block->class];
}

enum suspicion { QUIET, NOBODY, IDLERS, ANYBODY };     /* QUIET: the bounds said so as they were */

/* What there may be in the block that begins at `first`; for IDLERS, who. */
static enum suspicion look(const struct cf_core *core, uint32_t first, const struct cuts *cuts, uint64_t *ret_idlers)
{
    struct cf_block *block = cf_table_block(core, first);
    int64_t idle_cut = cuts->idle_ns[block->class], age_cut = cuts->age_ns[block->class];
    if (is_quiet(block, cuts))
        return QUIET;
    if (block->live == 0)
        return NOBODY;
    if (block->terminal > 0)
        return ANYBODY;
    if (block->class == CF_CLASS_OWN) {
        if (!cuts->own_bounds)
            return ANYBODY;
        refresh_own(core, block, first);
        return block->stalest_ns < idle_cut || block->oldest_ns < age_cut ? ANYBODY : NOBODY;
    }
    if (block->oldest_ns < age_cut)
        block->oldest_ns = oldest(cf_table_row(core, first));
    if (block->oldest_ns < age_cut)
        return ANYBODY;
    if (block->stalest_ns >= idle_cut)
        return NOBODY;
    *ret_idlers = idlers(core, first, block, idle_cut);
    return *ret_idlers != 0 ? IDLERS : NOBODY;
}

/* For rows that are due by idleness and where no other rule is past: their rows need not be read.  The handles are
 * slots only, see name. */
static size_t gather_idlers(const struct cf_core *core, uint32_t first, uint64_t mask, const struct cf_judge *judge,
                            int64_t cut_ns, struct cf_due *ret)
{
    const int64_t *used_ns = cf_table_used(core, first);
    enum cf_reason reason = judge->reason != CF_REASON_NONE ? judge->reason : CF_REASON_IDLE;
    int64_t limit_ns = judge->now_ns - cut_ns;
    size_t n = 0;
    for (; mask != 0; mask &= mask - 1) {
        uint32_t place = (uint32_t)__builtin_ctzll(mask);
        int64_t then_ns = __atomic_load_n(&used_ns[place], __ATOMIC_RELAXED);
        ret[n] = (struct cf_due){
            .handle = first + place, .reason = reason, .when_ns = then_ns + limit_ns,
            .idle_for_ns = judge->now_ns - then_ns,
        };
        n += then_ns < cut_ns;          /* it may have been touched just now */
    }
    return n;
}

static size_t gather(const struct cf_core *core, uint32_t *cursor, const struct cf_judge *judge,
                     struct cf_due *ret, size_t max)
{
    uint32_t slot = *cursor, end = (slot | (CF_TABLE_BLOCK - 1)) + 1;
    size_t n = 0;
    for (; slot < end && n < max; slot++)
        n += judge_row(core, slot, judge, &ret[n]);
    *cursor = slot;
    return n;
}

/* Makes handles of the slots that gather_idlers has left: in a loop of its own the processor waits for all gates at
 * once. */
static void name(const struct cf_core *core, struct cf_due *due, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (due[i].handle <= UINT32_MAX)
            due[i].handle = cf_table_handle(core, (uint32_t)due[i].handle);
}

/* From the first slot of a block, the next block that is not quiet: most of a sweep that finds little goes by here. */
static uint32_t pass_quiet(const struct cf_core *core, uint32_t slot, uint32_t *blocks, const struct cuts *cuts)
{
    while (slot < core->fresh && *blocks > 0) {
        uint32_t place, number = cf_table_chunk(slot, &place), end = CF_TABLE_BLOCK << number;
        const struct cf_block *first = &core->chunks[number].blocks[place / CF_TABLE_BLOCK], *block = first;
        if (end - place > core->fresh - slot)
            end = place + (core->fresh - slot);
        const struct cf_block *last = first + (end - place) / CF_TABLE_BLOCK;
        if ((uint32_t)(last - first) > *blocks)
            last = first + *blocks;
        while (block < last && is_quiet(block, cuts))
            block++;
        slot += (uint32_t)(block - first) * CF_TABLE_BLOCK;
        *blocks -= (uint32_t)(block - first);
        if (block < last)
            break;
    }
    return slot;
}

size_t cf_core_scan(struct cf_core *core, const struct cf_judge *judge, uint32_t *cursor, uint32_t blocks,
                    struct cf_due *ret, size_t max)
{
    struct cf_judge own = *judge;
    struct cuts cuts;
    uint32_t slot = *cursor;
    size_t n = 0;
    own.now_ns = cf_table_now(judge->now_ns);
    make_cuts(core, &own, &cuts);
    while (slot < core->fresh && blocks > 0 && n < max) {
        uint64_t mask = 0;
        enum suspicion whom = slot % CF_TABLE_BLOCK != 0 ? ANYBODY : look(core, slot, &cuts, &mask);
        if (whom == QUIET) {
            slot = pass_quiet(core, slot, &blocks, &cuts);
            continue;
        }
        blocks--;
        if (whom == IDLERS && max - n < CF_TABLE_BLOCK)
            whom = ANYBODY;             /* so that it can go on within the block */
        if (whom == IDLERS)
            n += gather_idlers(core, slot, mask, &own, cuts.idle_ns[cf_table_block(core, slot)->class], ret + n);
        if (whom == ANYBODY)
            n += gather(core, &slot, &own, ret + n, max - n);
        else
            slot += CF_TABLE_BLOCK;
    }
    name(core, ret, n);
    *cursor = slot < core->fresh ? slot : CF_SCAN_END;
    return n;
}

static size_t scan_all(struct cf_core *core, const struct cf_judge *judge, struct cf_due *ret, size_t max)
{
    uint32_t cursor = 0;
    return cf_core_scan(core, judge, &cursor, UINT32_MAX, ret, max);
}

size_t cf_core_due(struct cf_core *core, int64_t now_ns, struct cf_due *ret, size_t max)
{
    const struct cf_judge in_force = { .now_ns = now_ns };
    return scan_all(core, &in_force, ret, max);
}

size_t cf_core_due_emergency(struct cf_core *core, int64_t now_ns, struct cf_due *ret, size_t max)
{
    const struct cf_judge emergency = { .now_ns = now_ns, .all = &core->limits.emergency, .reason = CF_REASON_LIMIT };
    return scan_all(core, &emergency, ret, max);
}

/* ── the next one ── */

/* The block's first deadline, by its bounds as they are. */
static int64_t first_deadline(const struct cf_core *core, const struct cf_block *block)
{
    struct cf_policy limits = { 0, 0 };
    if (block->class != CF_CLASS_OWN)
        limits = core->policies[block->class];
    int64_t idle_ns = cf_policy_later(block->stalest_ns, limits.idle_ns);
    int64_t age_ns = cf_policy_later(block->oldest_ns, limits.age_ns);
    return idle_ns < age_ns ? idle_ns : age_ns;
}

void cf_core_next_due_part(struct cf_core *core, uint32_t *cursor, uint32_t blocks, int64_t *least)
{
    uint32_t slot = *cursor;
    for (; slot < core->fresh && blocks > 0 && *least > 0; slot += CF_TABLE_BLOCK, blocks--) {
        struct cf_block *block = cf_table_block(core, slot);
        if (block->live == 0)
            continue;
        if (block->terminal > 0) {
            *least = 0;
            break;
        }
        if (first_deadline(core, block) >= *least)
            continue;
        if (block->class == CF_CLASS_OWN) {
            refresh_own(core, block, slot);
        } else {
            block->stalest_ns = stalest(core, slot);
            block->oldest_ns = oldest(cf_table_row(core, slot));
        }
        int64_t exact = first_deadline(core, block);
        if (exact != CF_NEVER_NS && exact + 1 < *least)
            *least = exact + 1;         /* due strictly after it */
    }
    *cursor = slot < core->fresh && *least > 0 ? slot : CF_SCAN_END;
}

int64_t cf_core_next_due(struct cf_core *core)
{
    uint32_t cursor = 0;
    int64_t least = CF_NEVER_NS;
    cf_core_next_due_part(core, &cursor, UINT32_MAX, &least);
    return least;
}
