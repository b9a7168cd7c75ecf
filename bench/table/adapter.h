/* adapter.h: what a competitor of the session table offers to the benchmark.
 *
 * Functions take many sessions at a time, so that the loop is compiled beside what it calls: a call through a pointer
 * for each session would cost as much as what is measured.  Sessions are named by a reference, which is what the
 * competitor's user would keep (a pointer, a handle, a row number), or by their id.  Times are the benchmark's own:
 * nobody reads a clock here, except where it is said. */
#ifndef CURFEW_BENCH_TABLE_ADAPTER_H
#define CURFEW_BENCH_TABLE_ADAPTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SECOND_NS INT64_C(1000000000)
#define IDLE_NS (3600 * SECOND_NS)              /* the limits of every session */
#define AGE_NS (366 * 86400 * SECOND_NS)        /* judged by all, and never reached here */

struct name {
    char text[24];                              /* an id of 12 to 19 characters */
};

struct store;                                   /* each competitor's own */

struct adapter {
    const char *name;
    const char *what;                           /* for the legend, one line */
    bool by_reference;                  /* touches by reference differ from those by id */
    bool many_threads;                  /* its functions may be called by several threads; else a mutex is needed */
    bool slow;                          /* microseconds a touch: a share of the sessions will do */
    bool external;                      /* works in another process: wall time counts, not this thread's CPU time */
    bool reads_clock;                   /* does not heed `now_ns`: only creates, touches and look-ups mean anything */
    bool floor;                         /* not a table of sessions but what one cannot do without */

    /* NULL after telling why on standard error.  `folder` is for files, `max` how many sessions there will be. */
    struct store *(*open)(const char *folder, size_t max, int64_t now_ns);
    void (*close)(struct store *store);
    /* Each returns for how many sessions it worked. */
    size_t (*create)(struct store *store, const struct name *ids, size_t count, int64_t now_ns, uint64_t *ret_refs);
    size_t (*touch)(struct store *store, const uint64_t *refs, size_t count, int64_t now_ns);
    /* The same, and counts a message. */
    size_t (*touch_message)(struct store *store, const uint64_t *refs, size_t count, int64_t now_ns);
    size_t (*touch_id)(struct store *store, const struct name *ids, size_t count, int64_t now_ns);
    size_t (*lookup)(struct store *store, const struct name *ids, size_t count);
    size_t (*end)(struct store *store, const uint64_t *refs, size_t count);
    /* Ends who is due; how many those were. */
    size_t (*sweep)(struct store *store, int64_t now_ns);
    /* Of the floor: bytes that its sweep reads, after touches or without. */
    size_t (*sweep_bytes)(size_t sessions, bool touched);
    /* Memory by its own count; NULL: what malloc has given out. */
    size_t (*bytes)(struct store *store);
    pid_t (*process)(struct store *store);      /* whose resident memory counts; NULL: this one's */
    /* Another thread's access to the same store; NULL: the same one will do. */
    struct store *(*attach)(struct store *store);
    void (*detach)(struct store *store);
};

extern const struct adapter adapter_array, adapter_curfew, adapter_curfew_clock, adapter_glib, adapter_uthash,
    adapter_heap, adapter_wheel, adapter_wheel_lazy, adapter_redis, adapter_sqlite;

#endif
