/* results.h: what the workers measured, and how it is shown. */
#ifndef CURFEW_BENCH_TABLE_RESULTS_H
#define CURFEW_BENCH_TABLE_RESULTS_H

#include "bench/table/worker.h"

#define COMPETITORS_MAX 16
#define SIZES_MAX 4
#define ROUNDS_MAX 32

struct results {
    const struct adapter *competitors[COMPETITORS_MAX];
    size_t competitor_count;
    size_t sizes[SIZES_MAX];
    size_t size_count;
    struct series {
        unsigned count;
        double values[ROUNDS_MAX];
    } series[MEASURES][COMPETITORS_MAX][SIZES_MAX];
};

/* What is NAN is left out. */
void results_add(struct results *r, size_t competitor, size_t size, const struct answer *answer);
/* NAN when there is none. */
double results_median(const struct results *r, enum measure measure, size_t competitor, size_t size);
/* The number of a competitor, or of a size; SIZE_MAX when it does not take part. */
size_t results_competitor(const struct results *r, const struct adapter *adapter);
size_t results_size(const struct results *r, size_t sessions);
/* "10k", "1M". */
const char *results_sessions(size_t sessions, char *buf, size_t size);

/* A table for each measure: a row for each competitor, and for each size the median with the ratio to curfew. */
void results_print(const struct results *r);
/* The bars: what was to be reached at a million sessions, and what was.  How many were not. */
unsigned results_judge(const struct results *r);

#endif
