/* load.h: many requests over a few connections, by wrk when it is installed, else by a loop of our own. */
#ifndef CURFEW_BENCH_LOAD_H
#define CURFEW_BENCH_LOAD_H

#include <stdbool.h>
#include <stdint.h>

#define LOAD_CONNECTIONS 16

struct load {
    uint64_t requests;
    double seconds;
};

/* POSTs to `path` without a body for `ms` milliseconds.  0, or -1 when any answer was not a 2xx. */
int load_run(bool wrk, const char *folder, int port, const char *path, int ms, struct load *ret_load);

#endif
