/* load.h: many requests over a few connections, by wrk when it is installed, else by a loop of our own. */
#ifndef CURFEW_BENCH_LOAD_H
#define CURFEW_BENCH_LOAD_H

#include "bench/http.h"

#include <stdbool.h>
#include <stdint.h>

#define LOAD_CONNECTIONS 16
#define LOAD_REPLY_MAX 4096

struct load {
    uint64_t requests;
    double seconds;
};

/* POSTs to `path` without a body for `ms` milliseconds.  0, or -1 when any answer was not a 2xx. */
int load_run(bool wrk, const char *folder, int port, const char *path, int ms, struct load *ret_load);

/* A connection, opened by http_open, and the request that it sends again as soon as it is answered. */
struct load_lane {
    struct http http;
    const char *request;            /* borrowed */
    size_t len;
    uint64_t done;                  /* answers within the time */
    char data[LOAD_REPLY_MAX];      /* of the reply in hand: the first `got` bytes */
    size_t got;
};
/* Keeps one request of each lane in flight for `ms` milliseconds, and then awaits the last answers, which do not count.
 * 0, or -1 when any answer was not a 2xx with `expected` in it (NULL: whatever it holds). */
int load_lanes(struct load_lane *lanes, size_t count, const char *expected, int ms, struct load *ret_load);

#endif
