/* plan.c: who would end, without ending anybody.
 *
 * The list of core/plan.h is built in the caller's own array, whose rows are core's under another name, so that a plan
 * needs no memory and looks at each row once. */
#include "lib/lib.h"

#include "core/plan.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static_assert(sizeof(struct curfew_planned) == sizeof(struct cf_due) &&
              offsetof(struct curfew_planned, session) == offsetof(struct cf_due, handle) &&
              offsetof(struct curfew_planned, reason) == offsetof(struct cf_due, reason) &&
              offsetof(struct curfew_planned, when_ns) == offsetof(struct cf_due, when_ns) &&
              offsetof(struct curfew_planned, idle_for_ns) == offsetof(struct cf_due, idle_for_ns),
              "a row of a plan is core's");

static int check(const struct curfew_table *table, const struct curfew_plan_query *query, struct curfew_error *error)
{
    char name[32];
    int rc = 0;
    if (query->within_ns < 0)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "within_ns", "within_ns must not be negative");
    for (unsigned kind = 0; rc == 0 && query->policies != NULL && kind < table->kinds; kind++) {
        (void)snprintf(name, sizeof name, "policies[%u]", kind);
        rc = cf_options_check_policy(&query->policies[kind], name, error);
    }
    return rc;
}

static int64_t later(int64_t since_ns, int64_t span_ns)
{
    int64_t sum;
    return __builtin_add_overflow(since_ns, span_ns, &sum) ? CF_NEVER_NS : sum;
}

/* Gives it public rows, in their order.  They tell how long each has been idle now, not at the plan's end, and hold
 * nothing between their members, so that equal plans are equal byte by byte. */
static void publish(struct cf_plan *plan, struct curfew_planned *ret_planned, int64_t ahead_ns)
{
    cf_plan_sort(plan);
    for (size_t i = 0; i < plan->count; i++) {
        struct cf_due due = plan->best[i];
        memset(&ret_planned[i], 0, sizeof ret_planned[i]);
        ret_planned[i].session = due.handle;
        ret_planned[i].reason = (enum curfew_reason)due.reason;
        ret_planned[i].when_ns = due.when_ns;
        ret_planned[i].idle_for_ns = due.idle_for_ns > ahead_ns ? due.idle_for_ns - ahead_ns : 0;
    }
}

/* Returns how far ahead of now it looked. */
static int64_t collect(struct curfew_table *table, struct cf_plan *plan, const struct curfew_plan_query *query)
{
    struct cf_due due[CF_LIB_HOLD_ROWS];
    struct cf_policy policies[CURFEW_KINDS_MAX];
    int64_t now_ns = cf_lib_now(table);
    now_ns = now_ns < 0 ? 0 : now_ns;
    struct cf_judge judge = { .now_ns = later(now_ns, query->within_ns) };
    if (query->policies != NULL) {
        for (unsigned kind = 0; kind < table->kinds; kind++)
            policies[kind] = cf_table_policy(&query->policies[kind]);
        judge.policies = policies;
    }
    for (uint32_t cursor = 0; cursor != CF_SCAN_END;) {
        cf_lock_retake(&table->lock);
        size_t count = cf_core_scan(table->core, &judge, &cursor, CF_LIB_HOLD_BLOCKS, due, CF_LIB_HOLD_ROWS);
        cf_lock_give(&table->lock);
        for (size_t i = 0; i < count; i++)
            cf_plan_add(plan, &due[i]);
    }
    return judge.now_ns - now_ns;
}

int curfew_plan(struct curfew_table *table, const struct curfew_plan_query *query, struct curfew_planned *ret_planned,
                size_t max, size_t *ret_count, size_t *ret_total, struct curfew_error *error)
{
    static const struct curfew_plan_query now = { .within_ns = 0 };
    struct cf_plan plan = { .best = (struct cf_due *)ret_planned, .max = ret_planned != NULL ? max : 0 };
    if (query == NULL)
        query = &now;
    int rc = check(table, query, error);
    if (rc != 0)
        return rc;
    int64_t ahead_ns = collect(table, &plan, query);
    publish(&plan, ret_planned, ahead_ns);
    *ret_count = plan.count;
    if (ret_total != NULL)
        *ret_total = plan.total;
    return 0;
}
