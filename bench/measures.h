/* measures.h: the measures.  Each prints its own table; 0, or -1 when it could not be taken. */
#ifndef CURFEW_BENCH_MEASURES_H
#define CURFEW_BENCH_MEASURES_H

#include <stdbool.h>

struct bench {
    bool quick;
    char folder[200];           /* for everything that this run writes */
    bool nginx, wrk, tmux;      /* installed */
};

int measure_create(const struct bench *b);      /* (a) */
int measure_exec(const struct bench *b);        /* (b) */
int measure_heartbeat(const struct bench *b);   /* (c) */
int measure_end(const struct bench *b);         /* (d) */
int measure_memory(const struct bench *b);      /* (e) */
int measure_output(const struct bench *b);      /* (f) */
int measure_stream(const struct bench *b);      /* (g) */
int measure_crowd(const struct bench *b);       /* (h) */
int measure_attach(const struct bench *b);      /* (i) */
int measure_flood(const struct bench *b);       /* (j) */
int measure_ledger(const struct bench *b);      /* (l) */

#endif
