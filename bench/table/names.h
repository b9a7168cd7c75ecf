/* names.h: the sessions that every competitor gets: the same ids in the same orders. */
#ifndef CURFEW_BENCH_TABLE_NAMES_H
#define CURFEW_BENCH_TABLE_NAMES_H

#include "bench/table/adapter.h"

#define NAMES_EXTRA 20000               /* ids beyond `count`, for sessions that come and go while others stay */

struct names {
    size_t count;
    struct name *ids;                   /* in the order of creation, then the extra ones */
    struct name *shuffled;              /* the first `count`, in a random order */
    uint32_t *order;                    /* that order: shuffled[i] is ids[order[i]] */
    double mean_bytes;                  /* of an id with its NUL */
};

/* splitmix64: the next number of a sequence that its seed fixes. */
uint64_t names_random(uint64_t *seed);

/* false: no memory. */
bool names_make(struct names *names, size_t count);
void names_free(struct names *names);

#endif
