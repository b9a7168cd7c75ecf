/* What the table is to reach, and whether it does. */
#include "bench/table/results.h"

#include <math.h>
#include <stdio.h>

#define AT 1000000                      /* sessions that the bars are about */
#define MORE 10000000                   /* where growth must still be linear */

struct judge {
    const struct results *r;
    size_t size;                        /* the number of AT */
    unsigned judged, missed;
};

static void print(struct judge *j, const char *what, double value, const char *relation, double limit, bool reached)
{
    if (isnan(value)) {
        printf("    %-88s %10s\n", what, "-");
        return;
    }
    j->judged++;
    j->missed += !reached;
    printf("    %-88s %10.4g   %s %g, %s\n", what, value, relation, limit, reached ? "reached" : "NOT REACHED");
}

static void at_most(struct judge *j, const char *what, double value, double limit)
{
    print(j, what, value, "at most", limit, value <= limit);
}

static void at_least(struct judge *j, const char *what, double value, double limit)
{
    print(j, what, value, "at least", limit, value >= limit);
}

static double of(const struct judge *j, enum measure measure, const struct adapter *adapter)
{
    return results_median(j->r, measure, results_competitor(j->r, adapter), j->size);
}

static double own(const struct judge *j, enum measure measure)
{
    return of(j, measure, &adapter_curfew);
}

static bool is_rival(const struct adapter *adapter)
{
    return !adapter->floor && adapter != &adapter_curfew && adapter != &adapter_curfew_clock;
}

/* A sweep that finds nobody, against reading what it must at full speed. */
static void against_reading(struct judge *j, enum measure sweep, bool touched)
{
    char what[128];
    double reading_us = of(j, sweep, &adapter_array);
    double gb_each_s = (double)adapter_array.sweep_bytes(AT, touched) / reading_us / 1e3;
    snprintf(what, sizeof what, "sweep %s touches, against reading its arrays (%.0f us, %.1f GB/s) [times]",
             touched ? "after" : "without", reading_us, gb_each_s);
    at_most(j, what, own(j, sweep) / reading_us, 1.5);
}

/* The fastest look-up among the others. */
static double best_lookup(const struct judge *j, const char **ret_name)
{
    double best = NAN;
    for (size_t i = 0; i < j->r->competitor_count; i++) {
        double value = results_median(j->r, M_LOOKUP, i, j->size);
        if (!is_rival(j->r->competitors[i]) || isnan(value) || value >= best)
            continue;
        best = value;
        *ret_name = j->r->competitors[i]->name;
    }
    return best;
}

/* A round of a table's life, in nanoseconds for each session: one touch of each, and a sweep that ends 1 %. */
static double life_ns(const struct judge *j, enum measure touches, size_t competitor)
{
    double touch = results_median(j->r, touches, competitor, j->size);
    if (isnan(touch))
        touch = results_median(j->r, M_TOUCH_ID, competitor, j->size);
    return touch + results_median(j->r, M_ENDED_FRESH, competitor, j->size) / 100;
}

static void against_others(struct judge *j)
{
    char what[128];
    size_t curfew = results_competitor(j->r, &adapter_curfew);
    for (size_t i = 0; i < j->r->competitor_count; i++) {
        const struct adapter *other = j->r->competitors[i];
        if (!is_rival(other))
            continue;
        snprintf(what, sizeof what, "times faster than %s: touch all, then a sweep that ends 1 %%", other->name);
        at_least(j, what, life_ns(j, M_TOUCH, i) / life_ns(j, M_TOUCH, curfew), 5);
        snprintf(what, sizeof what, "the same, where each touch counts a message");
        at_least(j, what, life_ns(j, M_MESSAGE, i) / life_ns(j, M_MESSAGE, curfew), 5);
        snprintf(what, sizeof what, "times smaller than %s, by the allocator's count", other->name);
        at_least(j, what, of(j, M_BYTES, other) / own(j, M_BYTES), 1.5);
    }
}

/* What a session costs in all of these, at one size. */
static double cost_ns(const struct results *r, size_t size)
{
    size_t curfew = results_competitor(r, &adapter_curfew);
    if (size == SIZE_MAX || curfew == SIZE_MAX)
        return NAN;
    double sweep_ns = results_median(r, M_SWEEP_FRESH, curfew, size) * 1e3 / (double)r->sizes[size];
    double ended_ns = results_median(r, M_ENDED_FRESH, curfew, size) / 100;
    return results_median(r, M_CREATE, curfew, size) + results_median(r, M_TOUCH, curfew, size) +
           results_median(r, M_TOUCH_ID, curfew, size) + sweep_ns + ended_ns;
}

unsigned results_judge(const struct results *r)
{
    struct judge j = {.r = r, .size = results_size(r, AT)};
    const char *best_name = "others";
    char what[128];
    if (j.size == SIZE_MAX || results_competitor(r, &adapter_curfew) == SIZE_MAX) {
        printf("\nno bars: they are about curfew at 1M sessions\n");
        return 0;
    }
    printf("\nbars, curfew at 1M sessions\n");
    at_most(&j, "touch by handle [ns]", own(&j, M_TOUCH), 5);
    double best = best_lookup(&j, &best_name);
    snprintf(what, sizeof what, "touch by id against the bare look-up of the best hash, that of %s [times]", best_name);
    at_most(&j, what, own(&j, M_TOUCH_ID) / best, 1.5);
    at_most(&j, "create, amortised [ns]", own(&j, M_CREATE), 100);
    at_most(&j, "create, longest single call while it grows [us of CPU]", own(&j, M_GROW_LONGEST), 1000);
    against_reading(&j, M_SWEEP_FRESH, true);
    against_reading(&j, M_SWEEP_STEADY, false);
    at_most(&j, "sweep after touches that ends 1 % [ns for each ended]", own(&j, M_ENDED_FRESH), 60);
    at_most(&j, "sweep after another that ends 1 % [ns for each ended]", own(&j, M_ENDED_STEADY), 60);
    at_most(&j, "memory without names [bytes a session]", own(&j, M_BYTES_BARE), 96);
    snprintf(what, sizeof what, "two threads against one, both touch all sessions; the bare array %.2f [times]",
             of(&j, M_SCALING, &adapter_array));
    at_least(&j, what, own(&j, M_SCALING), 1.8);
    snprintf(what, sizeof what, "two threads against one, each its half of the sessions; the bare array %.2f [times]",
             of(&j, M_SCALING_HALVES, &adapter_array));
    at_least(&j, what, own(&j, M_SCALING_HALVES), 1.8);
    against_others(&j);
    at_most(&j, "cost of a session at 10M against 1M: create, both touches, both sweeps [times]",
            cost_ns(r, results_size(r, MORE)) / cost_ns(r, j.size), 1.5);
    printf("\n%u of %u bars not reached\n", j.missed, j.judged);
    return j.missed;
}
