/* plan.h: the first of those who are due, in the order of their moments.
 *
 * Takes as many as there are, one after another, and keeps the `max` whose moments come first; two at the same moment
 * stand in the order of their handles, so that equal plans read alike.  They lie in the caller's own array, as a heap
 * whose root is the latest: it takes no memory, and one that comes too late to be listed costs one comparison. */
#ifndef CURFEW_CORE_PLAN_H
#define CURFEW_CORE_PLAN_H

#include "core/core.h"

/* Begin with { .best = array, .max = its length }. */
struct cf_plan {
    struct cf_due *best;                /* may be NULL when `max` is 0 */
    size_t count, max;                  /* `count` are kept */
    size_t total;                       /* all that were added */
};

void cf_plan_add(struct cf_plan *plan, const struct cf_due *one);
/* Adds everybody in the table who is due by this judge, whose now_ns may lie ahead.  CLOSED and FAILED rows have no
 * moment of their own, they go at the next sweep: here they are due at `now_ns`. */
void cf_plan_scan(struct cf_plan *plan, struct cf_core *core, const struct cf_judge *judge, int64_t now_ns);
/* Puts those that are kept into their order.  Nothing may be added afterwards. */
void cf_plan_sort(struct cf_plan *plan);

#endif
