#include "bench/table/results.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct shown {
    enum measure measure;
    const char *title, *unit;
} shown[] = {
    {M_CREATE, "create, amortised", "ns each"},
    {M_GROW_P99, "create, 99th percentile of the single calls (by the wall clock)", "us"},
    {M_GROW_LONGEST, "create, longest single call (CPU time)", "us"},
    {M_GROW_WALL, "create, longest single call (by the wall clock)", "us"},
    {M_TOUCH, "touch by handle or pointer, random order", "ns each"},
    {M_MESSAGE, "touch by handle or pointer that counts a message, random order", "ns each"},
    {M_TOUCH_ID, "touch by id, random order", "ns each"},
    {M_LOOKUP, "look-up by id, random order", "ns each"},
    {M_END, "end by handle or pointer, 1 % at random", "ns each"},
    {M_SWEEP_FRESH, "sweep that finds nobody, all were touched before it", "us"},
    {M_SWEEP_STEADY, "sweep that finds nobody, nobody was touched before it", "us"},
    {M_ENDED_FRESH, "sweep that ends 1 % at random, all others were touched before it", "ns for each ended"},
    {M_ENDED_STEADY, "sweep that ends 1 % at random, another one went before it", "ns for each ended"},
    {M_BYTES, "memory by the allocator's count", "bytes a session"},
    {M_BYTES_BARE, "memory by the allocator's count, less the ids' own bytes", "bytes a session"},
    {M_RESIDENT, "memory that is resident", "bytes a session"},
    {M_ONE_THREAD, "touches by one thread", "million/s"},
    {M_TWO_THREADS, "touches by two threads, both touch all sessions", "million/s"},
    {M_SCALING, "two threads against one, both touch all sessions", "times"},
    {M_TWO_HALVES, "touches by two threads, each touches its own half of the sessions", "million/s"},
    {M_SCALING_HALVES, "two threads against one, each touches its own half of the sessions", "times"},
    {M_DURING_TOUCH_P50, "while another thread sweeps all the time: touch, median", "us"},
    {M_DURING_TOUCH_P99, "while another thread sweeps all the time: touch, 99th percentile", "us"},
    {M_DURING_TOUCH_LONGEST, "while another thread sweeps all the time: touch, longest", "us"},
    {M_DURING_LOOKUP_P50, "while another thread sweeps all the time: look-up, median", "us"},
    {M_DURING_LOOKUP_P99, "while another thread sweeps all the time: look-up, 99th percentile", "us"},
    {M_DURING_LOOKUP_LONGEST, "while another thread sweeps all the time: look-up, longest", "us"},
    {M_DURING_CREATE_P50, "while another thread sweeps all the time: create, median", "us"},
    {M_DURING_CREATE_P99, "while another thread sweeps all the time: create, 99th percentile", "us"},
    {M_DURING_CREATE_LONGEST, "while another thread sweeps all the time: create, longest", "us"},
    {M_DURING_SWEEPS, "sweeps in a second meanwhile", "sweeps/s"},
};

void results_add(struct results *r, size_t competitor, size_t size, const struct answer *answer)
{
    for (unsigned i = 0; i < MEASURES; i++) {
        struct series *series = &r->series[i][competitor][size];
        if (!isnan(answer->values[i]) && series->count < ROUNDS_MAX)
            series->values[series->count++] = answer->values[i];
    }
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double results_median(const struct results *r, enum measure measure, size_t competitor, size_t size)
{
    if (competitor == SIZE_MAX || size == SIZE_MAX || r->series[measure][competitor][size].count == 0)
        return NAN;
    struct series sorted = r->series[measure][competitor][size];
    qsort(sorted.values, sorted.count, sizeof sorted.values[0], compare);
    return (sorted.values[(sorted.count - 1) / 2] + sorted.values[sorted.count / 2]) / 2;
}

size_t results_competitor(const struct results *r, const struct adapter *adapter)
{
    for (size_t i = 0; i < r->competitor_count; i++)
        if (r->competitors[i] == adapter)
            return i;
    return SIZE_MAX;
}

size_t results_size(const struct results *r, size_t sessions)
{
    for (size_t i = 0; i < r->size_count; i++)
        if (r->sizes[i] == sessions)
            return i;
    return SIZE_MAX;
}

const char *results_sessions(size_t sessions, char *buf, size_t size)
{
    if (sessions % 1000000 == 0)
        snprintf(buf, size, "%zuM", sessions / 1000000);
    else if (sessions % 1000 == 0)
        snprintf(buf, size, "%zuk", sessions / 1000);
    else
        snprintf(buf, size, "%zu", sessions);
    return buf;
}

/* Three digits that matter. */
static const char *figure(double value, char *buf, size_t size)
{
    if (isnan(value))
        snprintf(buf, size, "-");
    else
        snprintf(buf, size, "%.*f", value < 0.1 ? 4 : value < 1 ? 3 : value < 10 ? 2 : value < 100 ? 1 : 0, value);
    return buf;
}

static bool has_row(const struct results *r, enum measure measure, size_t competitor)
{
    for (size_t size = 0; size < r->size_count; size++)
        if (r->series[measure][competitor][size].count > 0)
            return true;
    return false;
}

static void print_row(const struct results *r, enum measure measure, size_t competitor)
{
    char value[32], ratio[32];
    size_t curfew = results_competitor(r, &adapter_curfew);
    printf("    %-16s", r->competitors[competitor]->name);
    for (size_t size = 0; size < r->size_count; size++) {
        double own = results_median(r, measure, competitor, size);
        figure(own, value, sizeof value);
        figure(own / results_median(r, measure, curfew, size), ratio, sizeof ratio);
        printf("  %5u %10s %8s", r->series[measure][competitor][size].count, value, ratio);
    }
    printf("\n");
}

static void print_measure(const struct results *r, const struct shown *what)
{
    char sessions[32];
    bool any = false;
    for (size_t i = 0; i < r->competitor_count; i++)
        any = any || has_row(r, what->measure, i);
    if (!any)
        return;
    printf("\n%s   [%s]\n    %-16s", what->title, what->unit, "");
    for (size_t size = 0; size < r->size_count; size++)
        printf("  %5s %10s %8s", "runs", results_sessions(r->sizes[size], sessions, sizeof sessions), "ratio");
    printf("\n");
    for (size_t i = 0; i < r->competitor_count; i++)
        if (has_row(r, what->measure, i))
            print_row(r, what->measure, i);
}

void results_print(const struct results *r)
{
    for (size_t i = 0; i < sizeof shown / sizeof shown[0]; i++)
        print_measure(r, &shown[i]);
    fflush(stdout);
}
