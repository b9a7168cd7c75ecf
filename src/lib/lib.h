/* lib.h: the insides of libcurfew, for src/lib and its tests only.
 *
 * A table is a core and one lock.  Under the lock: everything that makes, ends or changes rows, and all that is below
 * `lock` in the struct.  Without it: shared.c, by the functions that core.h calls SHARED, inside a reader section; and
 * every callback. */
#ifndef CURFEW_LIB_LIB_H
#define CURFEW_LIB_LIB_H

#include "core/core.h"
#include "curfew.h"
#include "lib/lock.h"

#include <pthread.h>

#define CF_LIB_KIND_NAME_SIZE 32        /* bytes of a kind's name with its NUL */
#define CF_LIB_HOLD_BLOCKS 256          /* a sweep gives the lock back after so many blocks of 64 rows, */
#define CF_LIB_HOLD_ROWS 256            /* and after so many rows that ended */
#define CF_LIB_RECLAIM_ENDED 4          /* pieces that are made usable again by who ends one (it leaves up to two), */
#define CF_LIB_RECLAIM_CREATED 16       /* and by who creates one, since sweeps leave it to him */

enum cf_sweeper_state { CF_SWEEPER_OFF, CF_SWEEPER_RUNNING, CF_SWEEPER_STOPPING };

struct cf_sweeper {                     /* all under the table's lock */
    pthread_cond_t changed;             /* whatever of it: waited for with the table's inner mutex */
    pthread_t thread;                   /* while `joinable` */
    enum cf_sweeper_state state;
    bool joinable;                      /* there is a thread that nobody has joined */
    bool joining;                       /* somebody is at it */
    bool exited;                        /* it will not look at `state` again */
    bool resting;                       /* no sessions: it sleeps until it is woken */
    uint64_t joins;                     /* threads that were joined */
    unsigned forks;                     /* cf_readers_forks when the thread began */
    int64_t interval_ns;
    int64_t next_ns;                    /* when it sweeps next, on CLOCK_MONOTONIC */
};

struct cf_lib_counts {                  /* what core does not count; see struct curfew_counts */
    uint64_t sessions_refused, cleanup_runs, cleanup_errors, emergency_runs, ends_kept, ends_spared;
};

struct curfew_table {
    struct cf_core *core;               /* down to `lock`: written by curfew_table_new only */
    int64_t (*clock)(void *context);
    void *clock_context;
    struct curfew_callbacks callbacks;
    struct cf_core_allocator allocator;
    unsigned kinds;
    char kind_names[CURFEW_KINDS_MAX][CF_LIB_KIND_NAME_SIZE];
    bool cleanup_on_shutdown;
    struct curfew_table *next, *previous;       /* forks.c */

    char apart[64];                     /* what touches read shares no cache line with what the lock's holder writes */
    struct cf_lock lock;
    bool closing;                       /* curfew_shutdown was called */
    uint64_t made_ids;                  /* ids that were made here */
    uint64_t limbo_label;               /* of the batch that waits in core's limbo; */
    bool limbo_passed;                  /* nobody reads it any more */
    size_t own_bytes;                   /* taken from the allocator beside core's */
    struct cf_lib_counts counts;
    struct cf_sweeper sweeper;
};

struct curfew_coordinator {
    struct curfew_table *table;
    _Atomic curfew_session current;
};

/* The two structs are one (names.c asserts it). */
static inline struct cf_error *cf_lib_error(struct curfew_error *error)
{
    return (struct cf_error *)(void *)error;
}

static inline int64_t cf_lib_now(const struct curfew_table *table)
{
    return table->clock(table->clock_context);
}

/* ── options.c ── */

/* Checks what a caller gave (NULL: nothing) and copies it, with standard values for what is not there. */
int cf_options_read(const struct curfew_options *given, struct curfew_options *ret_options, struct curfew_error *error);
int cf_options_check_policy(const struct curfew_policy *policy, const char *name, struct curfew_error *error);

/* ── table.c ── */

struct cf_policy cf_table_policy(const struct curfew_policy *policy);
/* With the lock held: makes up to so many pieces of what has ended usable again, when nobody can be looking at them any
 * more; `all`: also when they are too few to be worth it.  A piece costs some 100 ns; a sweep leaves that to others.
 * True: more can be had at once. */
bool cf_table_reclaim(struct curfew_table *table, size_t pieces, bool all);

/* ── callback.c: no lock is held ── */

/* How many callbacks this thread is in, of whatever table. */
unsigned cf_callback_depth(void);
int cf_callback_before(const struct curfew_table *table, const struct curfew_info *info);
int cf_callback_after(const struct curfew_table *table, const struct curfew_info *info);

enum cf_log_level { CF_LOG_LEVEL_ERROR, CF_LOG_LEVEL_WARNING, CF_LOG_LEVEL_INFO, CF_LOG_LEVEL_DEBUG };
void cf_callback_log(const struct curfew_table *table, enum cf_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What a walk over the table has ended, for its line in the log. */
struct cf_went {
    size_t count;
    size_t by[CF_REASONS];
    char ids[256];                      /* of the first of them, fit for a terminal */
    size_t ids_bytes;
    bool more;                          /* not all are in `ids` */
};
void cf_went_add(struct cf_went *went, const char *id, enum cf_reason reason);
/* The lines about a walk: what went, what is left. */
void cf_went_log(struct curfew_table *table, const struct cf_went *went, const char *what);

/* ── session.c ── */

struct curfew_info cf_session_info(const struct cf_session *session, int64_t now_ns);

/* ── shared.c ── */

enum cf_state cf_shared_state(struct curfew_table *table, curfew_session session);

/* ── ending.c: no lock is held ── */

/* Ends whom the judge finds due, unless a callback or a touch meanwhile keeps it.  True when it is gone. */
bool cf_ending_due(struct curfew_table *table, cf_handle handle, const struct cf_judge *by, struct cf_went *went);
/* Ends one who somebody decided shall end; true when it is gone.  False: it was not here or ENDING already; or it is
 * being asked about, which sets *ret_decided: whoever asks completes it.  `went` may be NULL. */
bool cf_ending_decided(struct curfew_table *table, cf_handle handle, enum cf_reason reason, struct cf_went *went,
                       bool *ret_decided);

/* ── sweep.c ── */

/* Makes room at a limit, which answered `why`. */
void cf_sweep_emergency(struct curfew_table *table, int why);
/* Ends every session, for SHUTDOWN.  Returns how many went. */
size_t cf_sweep_everybody(struct curfew_table *table);

/* ── sweeper.c ── */

void cf_sweeper_init(struct cf_sweeper *sweeper, int64_t interval_ns);
/* The thread has been stopped. */
void cf_sweeper_destroy(struct cf_sweeper *sweeper);
/* With the lock held: there is a session. */
void cf_sweeper_wake(struct curfew_table *table);

#endif
