#include "core/plan.h"

#define BATCH 256

static bool is_later(const struct cf_due *a, const struct cf_due *b)
{
    if (a->when_ns != b->when_ns)
        return a->when_ns > b->when_ns;
    return a->handle > b->handle;
}

/* Puts `one` where it belongs at or above `at`, a place that is free. */
static void rise(struct cf_due *heap, size_t at, const struct cf_due *one)
{
    for (; at > 0 && is_later(one, &heap[(at - 1) / 2]); at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = *one;
}

/* Puts `one` where it belongs at or below the root, which is free. */
static void sink(struct cf_due *heap, size_t count, const struct cf_due *one)
{
    size_t at = 0;
    for (size_t child = 1; child < count; child = 2 * at + 1) {
        if (child + 1 < count && is_later(&heap[child + 1], &heap[child]))
            child++;
        if (!is_later(&heap[child], one))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = *one;
}

void cf_plan_add(struct cf_plan *plan, const struct cf_due *one)
{
    plan->total++;
    if (plan->count < plan->max)
        rise(plan->best, plan->count++, one);
    else if (plan->max > 0 && is_later(&plan->best[0], one))
        sink(plan->best, plan->count, one);
}

void cf_plan_scan(struct cf_plan *plan, struct cf_core *core, const struct cf_judge *judge, int64_t now_ns)
{
    struct cf_due due[BATCH];
    for (uint32_t cursor = 0; cursor != CF_SCAN_END;) {
        size_t count = cf_core_scan(core, judge, &cursor, UINT32_MAX, due, BATCH);
        for (size_t i = 0; i < count; i++) {
            if (due[i].reason == CF_REASON_CLOSED || due[i].reason == CF_REASON_FAILED)
                due[i].when_ns = now_ns;
            cf_plan_add(plan, &due[i]);
        }
    }
}

void cf_plan_sort(struct cf_plan *plan)
{
    for (size_t left = plan->count; left > 1; left--) {
        struct cf_due last = plan->best[left - 1];
        plan->best[left - 1] = plan->best[0];
        sink(plan->best, left - 1, &last);
    }
}
