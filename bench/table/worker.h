/* worker.h: one competitor at one size, in a process of its own: what it does to its memory touches nobody else's.
 * Workers do nothing until they are told to, so that rounds of all competitors can take turns. */
#ifndef CURFEW_BENCH_TABLE_WORKER_H
#define CURFEW_BENCH_TABLE_WORKER_H

#include "bench/table/names.h"

#include <sys/types.h>

/* What one task fills in is NAN in the others' answers, and where the competitor has no such thing. */
enum measure {
    M_CREATE,                           /* ns each */
    M_BYTES, M_BYTES_BARE, M_RESIDENT,  /* each session: by its own count, the same without names, resident */
    M_GROW_P99, M_GROW_LONGEST, M_GROW_WALL,    /* us, one create */
    M_TOUCH, M_MESSAGE, M_TOUCH_ID, M_LOOKUP, M_END,       /* ns each */
    M_SWEEP_FRESH, M_SWEEP_STEADY,      /* us, one sweep */
    M_ENDED_FRESH, M_ENDED_STEADY,      /* ns for each session that it ended */
    M_ONE_THREAD, M_TWO_THREADS, M_SCALING,     /* million touches a second, all by both; two against one */
    M_TWO_HALVES, M_SCALING_HALVES,     /* likewise, each thread its own half of the sessions */
    M_DURING_TOUCH_P50, M_DURING_TOUCH_P99, M_DURING_TOUCH_LONGEST,     /* us, while another thread sweeps */
    M_DURING_LOOKUP_P50, M_DURING_LOOKUP_P99, M_DURING_LOOKUP_LONGEST,
    M_DURING_CREATE_P50, M_DURING_CREATE_P99, M_DURING_CREATE_LONGEST,
    M_DURING_SWEEPS,                    /* sweeps a second meanwhile */
    MEASURES
};

enum task {
    TASK_CREATE,                        /* first: make all sessions */
    TASK_GROW,                          /* instead of it: the same, each call by itself */
    TASK_ROUND,                         /* touches, look-ups, sweeps */
    TASK_THREADS,
    TASK_DURING,
    TASKS
};

struct answer {
    bool ok;
    char why[120];                      /* when not */
    double values[MEASURES];
};

struct worker {
    pid_t pid;                          /* 0: not running */
    int order_fd, answer_fd;
};

/* What the tasks work on, inside the worker. */
struct bench {
    const struct adapter *adapter;
    const struct names *names;
    const char *folder;
    bool quick;
    struct store *store;
    uint64_t *refs;                     /* of names->shuffled */
    size_t sample, from;                /* how many touches a round times, and the first of them */
    int64_t now_ns;
    unsigned round;
};

typedef bool task_function(struct bench *b, struct answer *ret_answer);
task_function worker_create, worker_grow, worker_round, worker_threads, worker_during;

/* Says why in the answer; false, for a task to return. */
bool worker_fail(struct answer *ret_answer, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* CPU time of this thread; wall time for who works elsewhere. */
int64_t worker_clock_ns(const struct adapter *adapter);
/* Anonymous memory of a process that is resident, in bytes; 0: this one. */
size_t worker_resident_bytes(pid_t pid);

/* Ascending. */
void worker_sort(uint32_t *values, size_t count);

bool worker_start(struct worker *worker, const struct adapter *adapter, const struct names *names, const char *folder,
                  bool quick);
/* Has it do one task; false after telling why on standard error. */
bool worker_do(struct worker *worker, enum task task, unsigned round, struct answer *ret_answer);
void worker_stop(struct worker *worker);

#endif
