/* curfew.h: libcurfew, a table of sessions that guarantees that every one of them ends.
 *
 * A session here is a row: an id, a workspace, two clocks (since it was created, since it was last used) and a
 * pointer of yours.  The table ends it when it was idle or has lived for longer than it may, when it has closed or
 * failed, when room is needed, or when you say so; and tells you before and after.  There are no timers: a touch is a
 * store, a sweep is a scan.
 *
 *     struct curfew_table *table = NULL;
 *     struct curfew_new want = { .id = "alice", .workspace = "web" };
 *     curfew_session session;
 *     if (curfew_table_new(NULL, &table, NULL) == 0 && curfew_session_create(table, &want, &session, NULL) == 0)
 *         curfew_sweeper_start(table, NULL);
 *     ...
 *     curfew_session_touch(table, session, CURFEW_TOUCH_MESSAGE);
 *     ...
 *     curfew_table_free(&table);
 *
 * Times and durations are nanoseconds in int64_t.  Times are those of the table's clock, which has no known zero;
 * CURFEW_NEVER_NS is a duration or a time that does not come.  The standard clock is CLOCK_MONOTONIC_COARSE: no step of
 * the wall clock moves it, it stands still while the machine sleeps, and it lags by at most one tick of the kernel
 * (1 to 10 ms).
 *
 * Threads: every function may be called from any thread at any time, with the exceptions that are named where they
 * are: curfew_table_free and curfew_coordinator_free.  None may be called from a signal handler.  Touches and look-ups
 * by id take no lock: a touch by handle is wait-free (a bounded number of steps, whatever other threads do) and a
 * look-up waits only when the table moved under it several times.  A thread's first touch or look-up of all makes it
 * known to the library, once, under a lock; where there is no memory for that, it takes the table's lock each time.
 * Everything else takes the table's one lock for a short time; a sweep gives it back after every 256 blocks of 64 rows
 * or 256 ends, so that it holds up nobody for longer than that (tens of microseconds), and no touch and no look-up at
 * all.
 *
 * Callbacks are called with no lock held, may be called on several threads at once for different sessions, and may call
 * back into the library, also about the same session.  They must return: no pthread_exit, longjmp or exception out of
 * them, and no return into a child that they have forked.
 *
 * Errors: functions return 0 or a negative CURFEW_E_… and, where they take a struct curfew_error (which may be NULL),
 * say there what was wrong.  A call that fails changes nothing, but for the emergency cleanup that a refused creation
 * has tried, and leaves what its ret_… arguments point at untouched.
 *
 * Memory: a pointer that you pass in is copied from and never kept, unless it is said; a pointer that you get is
 * borrowed for as long as it is said.  C++ may include this header. */
#ifndef CURFEW_H
#define CURFEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CURFEW_API __attribute__((visibility("default")))
#define CURFEW_CHECKED __attribute__((warn_unused_result))
#else
#define CURFEW_API
#define CURFEW_CHECKED
#endif

#define CURFEW_VERSION_MAJOR 0
#define CURFEW_VERSION_MINOR 1
#define CURFEW_VERSION_PATCH 0

#define CURFEW_NEVER_NS INT64_MAX
#define CURFEW_S_NS INT64_C(1000000000)         /* one second */
#define CURFEW_ID_SIZE 96                       /* bytes of an id with its NUL */
#define CURFEW_WORKSPACE_SIZE 65                /* bytes of a workspace's name with its NUL */
#define CURFEW_FAILURE_SIZE 128                 /* bytes of why a session failed, with the NUL */
#define CURFEW_KINDS_MAX 14                     /* kinds that one table can have */
#define CURFEW_SESSIONS_MAX UINT32_C(1073741760)        /* rows that one table can have */

/* The version of the library that runs, as "0.1.0".  Static. */
CURFEW_API const char *curfew_version(void);

/* ── errors ── */

enum curfew_error_code {
    CURFEW_OK = 0,
    CURFEW_E_INVALID = -2,              /* an argument is not of its form or out of its range; `field` names it */
    CURFEW_E_NOT_FOUND = -7,            /* no session has this id */
    CURFEW_E_NOT_READY = -10,           /* the session's state does not allow this */
    CURFEW_E_GONE = -11,                /* the handle's session has ended; handles are never used again */
    CURFEW_E_WORKSPACE_FULL = -15,      /* limit max_per_workspace */
    CURFEW_E_TOO_MANY_SESSIONS = -16,   /* limit max_sessions */
    CURFEW_E_SHUTTING_DOWN = -21,       /* after curfew_shutdown */
    CURFEW_E_NO_MEMORY = -23,
    CURFEW_E_SYSTEM = -24,              /* the system refused, e.g. to start a thread */
    CURFEW_E_EXISTS = -25,              /* a session that is here has this id */
    CURFEW_E_TOO_MANY_ACTIVE = -26      /* limit max_active */
};

struct curfew_error {
    int code;
    char field[64];                     /* the argument or option at fault; empty when none is */
    char text[384];                     /* one sentence, with the allowed range where there is one */
};

/* The name of a code ("not_found") and its standing text.  Static; an unknown code answers as "internal". */
CURFEW_API const char *curfew_error_name(int code);
CURFEW_API const char *curfew_error_text(int code);

/* ── what a session is ── */

/* A session's handle in its table: no two sessions of a table ever have the same.  A plain number: copy it as you
 * like, there is nothing to free.  0 is no session.  A handle means nothing to another table. */
typedef uint64_t curfew_session;

/* STARTING → ACTIVE → CLOSED or FAILED → ENDING → gone; each may go to ENDING.  The next sweep ends what is CLOSED or
 * FAILED.  STARTING and ENDING are never due. */
enum curfew_state {
    CURFEW_STARTING = 1,
    CURFEW_ACTIVE,
    CURFEW_CLOSED,
    CURFEW_FAILED,
    CURFEW_ENDING                       /* decided; its callbacks run, its id is still taken */
};

/* Why a session ends; the first reason that was decided stays. */
enum curfew_reason {
    CURFEW_REASON_NONE,
    CURFEW_REASON_IDLE,                 /* now - last_used > its idle limit, strictly; or cleanup_inactive */
    CURFEW_REASON_AGE,                  /* now - created > its age limit, strictly */
    CURFEW_REASON_CLOSED,
    CURFEW_REASON_FAILED,
    CURFEW_REASON_LIMIT,                /* an emergency cleanup made room */
    CURFEW_REASON_REQUESTED,            /* curfew_session_end */
    CURFEW_REASON_SHUTDOWN,             /* curfew_shutdown, curfew_table_free */
    CURFEW_REASON_LOST,                 /* not given by the library */
    CURFEW_REASONS
};

/* What moved a session's activity.  MESSAGE and INPUT also count a message. */
enum curfew_touch {
    CURFEW_TOUCH_MESSAGE,
    CURFEW_TOUCH_INPUT,
    CURFEW_TOUCH_HEARTBEAT,
    CURFEW_TOUCH_SWITCH,
    CURFEW_TOUCH_STATE,
    CURFEW_TOUCH_TOOL
};

CURFEW_API const char *curfew_state_name(enum curfew_state state);     /* "active"; static, "unknown" for others */
CURFEW_API const char *curfew_reason_name(enum curfew_reason reason);  /* "idle"; static, likewise */

/* A copy of what the table knows of a session. */
struct curfew_info {
    curfew_session session;
    char id[CURFEW_ID_SIZE];
    char workspace[CURFEW_WORKSPACE_SIZE];
    char failure[CURFEW_FAILURE_SIZE];  /* what curfew_session_fail was told; empty when it was not called */
    unsigned kind;                      /* index into the options' kinds */
    enum curfew_state state;
    enum curfew_reason reason;          /* why it is ENDING or is being asked about; else NONE */
    bool busy;
    int64_t now_ns;                     /* when this was read, by the table's clock */
    int64_t created_ns, last_used_ns;
    int64_t idle_ns, age_ns;            /* the limits in force: its own, or its kind's */
    int64_t idle_left_ns, age_left_ns;  /* until that rule ends it: 0 when past, CURFEW_NEVER_NS when it will not */
    uint64_t message_count;             /* stops counting just below 2^32 */
    void *user;                         /* yours, as given to curfew_session_create */
};

/* ── the table ── */

struct curfew_table;

struct curfew_policy {
    int64_t idle_ns;                    /* ends after so long without a touch; CURFEW_NEVER_NS: not for that */
    int64_t age_ns;                     /* ends so long after its creation; CURFEW_NEVER_NS: not for that */
};

struct curfew_kind {
    const char *name;                   /* for logs and plans; 1 to 31 bytes; copied */
    struct curfew_policy policy;
};

/* How many there may be.  0 allows none; UINT32_MAX is no limit but CURFEW_SESSIONS_MAX.  Lowering a limit below what
 * is here ends nobody: it holds for the next creation. */
struct curfew_limits {
    uint32_t max_sessions;              /* rows that are not gone */
    uint32_t max_active;                /* rows that are STARTING or ACTIVE */
    uint32_t max_per_workspace;
};

/* What before_end may answer.  Anything negative is an error of the callback: it is counted in cleanup_errors and the
 * session ends all the same, since an export that fails must not keep a session alive for ever.  A callback that would
 * rather keep it answers CURFEW_KEEP. */
enum curfew_verdict { CURFEW_GO_ON = 0, CURFEW_KEEP = 1 };

struct curfew_callbacks {
    /* Asked before a session ends, to export it or to keep it.  It still has its state and may be touched; when a
     * touch meanwhile means that it is no longer due, it stays.  CURFEW_KEEP keeps it until the next sweep asks again
     * (it stays due, see curfew_next_due); with REQUESTED and SHUTDOWN the answer is not heeded: somebody decided.  A
     * session is asked about by one thread at a time.  `info` is borrowed for the call; info->reason is why it would
     * end.  May be NULL. */
    int (*before_end)(void *context, const struct curfew_info *info);
    /* Told once for each session that ends, in state ENDING: it can no longer be found, touched or kept, and its id
     * is free as soon as this returns.  Delete here what you saved, and free info->user.  A negative answer is
     * counted in cleanup_errors; the session is gone all the same.  May be NULL. */
    int (*after_end)(void *context, const struct curfew_info *info);
    /* One line of text for a person, without a newline: 0 error, 1 warning, 2 information, 3 debugging.  Borrowed
     * for the call.  NULL: the library is silent. */
    void (*log)(void *context, int level, const char *text);
    void *context;
    void *reserved[4];                  /* NULL; later versions may give them a meaning */
};

/* Memory of your own: as malloc (aligned for any type, NULL when there is none) and free.  Called with the table's lock
 * held: must not call the library. */
struct curfew_allocator {
    void *(*take)(void *context, size_t bytes);
    void (*give)(void *context, void *memory);
    void *context;
};

struct curfew_options {
    size_t size;                        /* sizeof(struct curfew_options): later versions add members at the end */
    const struct curfew_kind *kinds;    /* at most CURFEW_KINDS_MAX; standard: one, "session", idle 3600 s, age
                                         * 86400 s */
    size_t kind_count;
    struct curfew_limits limits;        /* standard: 1000, 1000, UINT32_MAX */
    struct curfew_policy emergency;     /* who goes when max_sessions or max_active is reached; standard: 300 s,
                                         * 3600 s */
    int64_t sweep_interval_ns;          /* of the sweeper; standard: 60 s; at least 1 ms */
    bool cleanup_on_shutdown;           /* curfew_shutdown ends every session; standard: true */
    int64_t (*clock)(void *context);    /* nanoseconds, NULL: the standard clock.  Must be callable from any thread.
                                         * May stand still; when it goes backwards nobody ends for it */
    void *clock_context;
    struct curfew_callbacks callbacks;
    struct curfew_allocator allocator;  /* take NULL: the standard one */
    uint64_t seed;                      /* of the hash of ids and workspaces; 0: random */
};

/* Fills in the standard values.  `size` is sizeof *options. */
CURFEW_API void curfew_options_init(struct curfew_options *options, size_t size);

/* Makes a table; NULL options are the standard ones.  The caller owns it and frees it by curfew_table_free.
 * CURFEW_E_INVALID, CURFEW_E_NO_MEMORY. */
CURFEW_API int curfew_table_new(const struct curfew_options *options, struct curfew_table **ret_table,
                                struct curfew_error *error) CURFEW_CHECKED;
/* Shuts down as curfew_shutdown does, if that was not done, and frees the table; sessions that are left because
 * cleanup_on_shutdown is off are dropped without a callback.  Sets *table to NULL; NULL is ignored.  No other call on
 * this table may run or follow, so not from a callback. */
CURFEW_API void curfew_table_free(struct curfew_table **table);

/* Replaces the limits, the emergency rules, or one kind's policy.  Sessions without a limit of their own follow at
 * once.  CURFEW_E_INVALID: a negative duration, or no such kind. */
CURFEW_API int curfew_limits_set(struct curfew_table *table, const struct curfew_limits *limits,
                                 struct curfew_error *error);
CURFEW_API int curfew_emergency_set(struct curfew_table *table, const struct curfew_policy *emergency,
                                    struct curfew_error *error);
CURFEW_API int curfew_policy_set(struct curfew_table *table, unsigned kind, const struct curfew_policy *policy,
                                 struct curfew_error *error);
CURFEW_API int curfew_policy_get(struct curfew_table *table, unsigned kind, struct curfew_policy *ret_policy);

/* ── sessions ── */

struct curfew_new {
    const char *id;                     /* 1 to 95 bytes; NULL: one is made ("s-" and a number) that this table
                                         * never makes again */
    const char *workspace;              /* 1 to 64 bytes; NULL: "default" */
    unsigned kind;                      /* index into the options' kinds */
    bool starting;                      /* it begins as STARTING, never due until curfew_session_started; else as
                                         * ACTIVE */
    int64_t idle_ns, age_ns;            /* its own limits; 0: its kind's, also when those change later */
    void *user;                         /* given back in struct curfew_info; the library never looks at it */
    uint64_t reserved[4];               /* 0; later versions may give them a meaning */
};

/* Makes a session.  At max_sessions or max_active an emergency cleanup runs first, on this thread and with its
 * callbacks (not from within a callback, of whatever table: then the limit answers at once).
 * CURFEW_E_INVALID, CURFEW_E_EXISTS, CURFEW_E_WORKSPACE_FULL, CURFEW_E_TOO_MANY_ACTIVE, CURFEW_E_TOO_MANY_SESSIONS,
 * CURFEW_E_SHUTTING_DOWN, CURFEW_E_NO_MEMORY. */
CURFEW_API int curfew_session_create(struct curfew_table *table, const struct curfew_new *want,
                                     curfew_session *ret_session, struct curfew_error *error) CURFEW_CHECKED;
/* STARTING → ACTIVE; a touch as well.  CURFEW_E_GONE, CURFEW_E_NOT_READY. */
CURFEW_API int curfew_session_started(struct curfew_table *table, curfew_session session);

/* The handle of an id.  No session that is ENDING is found.  Takes no lock.  CURFEW_E_NOT_FOUND, also for an id of the
 * wrong form. */
CURFEW_API int curfew_session_find(struct curfew_table *table, const char *id,
                                   curfew_session *ret_session) CURFEW_CHECKED;
/* A copy of what is known; `size` is sizeof *ret_info.  CURFEW_E_GONE. */
CURFEW_API int curfew_session_get(struct curfew_table *table, curfew_session session, struct curfew_info *ret_info,
                                  size_t size) CURFEW_CHECKED;
/* Walks the sessions, in no order: start with *cursor 0; CURFEW_E_NOT_FOUND at the end.  Sessions may come and go
 * on the way; one that is here all the time is seen once. */
CURFEW_API int curfew_session_next(struct curfew_table *table, uint64_t *cursor,
                                   curfew_session *ret_session) CURFEW_CHECKED;

/* Moves last_used to now; an earlier time than what is there moves nothing.  Wait-free, a few nanoseconds beside the
 * clock's own; a cause that counts a message costs some ten times as much.  When several threads touch one session at
 * the same time it keeps the time of one of them, which lies back by no more than that call took.
 * Within the nanoseconds in which a sweep without callbacks ends a session, a touch may answer 0 and come too late.
 * CURFEW_E_GONE, also in ENDING;
 * CURFEW_E_NOT_READY in CLOSED and FAILED. */
CURFEW_API int curfew_session_touch(struct curfew_table *table, curfew_session session, enum curfew_touch cause);
/* The same at a time that the caller has read already from the table's clock. */
CURFEW_API int curfew_session_touch_at(struct curfew_table *table, curfew_session session, enum curfew_touch cause,
                                       int64_t now_ns);
/* Find and touch in one.  CURFEW_E_NOT_FOUND, and as above. */
CURFEW_API int curfew_session_touch_id(struct curfew_table *table, const char *id, enum curfew_touch cause);

/* A busy session has no idle end; its age end stays.  Both edges touch.  CURFEW_E_GONE, CURFEW_E_NOT_READY. */
CURFEW_API int curfew_session_busy(struct curfew_table *table, curfew_session session, bool busy);
/* ACTIVE → CLOSED, or FAILED with a reason (NULL or text, cut to fit; dropped when there is no memory for it): the next
 * sweep ends it.  CURFEW_E_GONE, CURFEW_E_NOT_READY. */
CURFEW_API int curfew_session_close(struct curfew_table *table, curfew_session session);
CURFEW_API int curfew_session_fail(struct curfew_table *table, curfew_session session, const char *reason);

/* Ends it now, reason REQUESTED, with its callbacks on this thread.  When another thread is in a callback about it,
 * the end is decided on return and that thread completes it.  CURFEW_E_GONE, also when it is ENDING already. */
CURFEW_API int curfew_session_end(struct curfew_table *table, curfew_session session);

/* ── ending what is due ── */

/* Ends everybody who is due now, with their callbacks on this thread; *ret_ended (may be NULL) is how many went.  A
 * sweep that is called from within callbacks eight deep leaves the work to the outer ones and ends nobody. */
CURFEW_API int curfew_sweep(struct curfew_table *table, size_t *ret_ended);
/* Ends every session, of whatever kind, that is not busy and was last used strictly longer ago than max_age_ns,
 * reason IDLE, and those that are CLOSED or FAILED.  CURFEW_E_INVALID: negative. */
CURFEW_API int curfew_cleanup_inactive(struct curfew_table *table, int64_t max_age_ns, size_t *ret_ended);
/* The earliest time of the table's clock at which a sweep would end somebody: 0 when a CLOSED or FAILED one waits,
 * CURFEW_NEVER_NS when none will.  For an event loop that sweeps by itself.  Who is due and was kept by before_end
 * stays due: a loop waits for some time of its own before it sweeps again. */
CURFEW_API int64_t curfew_next_due(struct curfew_table *table);
/* Now, by the table's clock. */
CURFEW_API int64_t curfew_now(struct curfew_table *table);

struct curfew_planned {
    curfew_session session;
    enum curfew_reason reason;
    int64_t when_ns;                    /* the rule's moment by the table's clock; in the past when it is due */
    int64_t idle_for_ns;                /* since it was last used */
};

struct curfew_plan_query {
    int64_t within_ns;                  /* who would end until now + within_ns, if nothing touches it; 0: now */
    const struct curfew_policy *policies;       /* a policy for each kind instead of those in force, or NULL.  Own
                                                 * limits of sessions stay */
};

/* Who would end, when and why, without ending anybody: the first `max` of them in the order of their moments.
 * *ret_count is how many were written, *ret_total (may be NULL) how many there are.  NULL query: those due now.
 * CURFEW_E_INVALID. */
CURFEW_API int curfew_plan(struct curfew_table *table, const struct curfew_plan_query *query,
                           struct curfew_planned *ret_planned, size_t max, size_t *ret_count, size_t *ret_total,
                           struct curfew_error *error) CURFEW_CHECKED;

/* The sweeper: a thread that sweeps every interval while there are sessions, and sleeps while there are none.
 * Starting one that runs does nothing.  Stopping waits until it has stopped, unless it is called from the sweeper's
 * own callback: then it stops after that.  The interval counts from the setting on and never puts off a sweep that
 * is due before.  CURFEW_E_INVALID (interval below 1 ms), CURFEW_E_SYSTEM, CURFEW_E_SHUTTING_DOWN. */
CURFEW_API int curfew_sweeper_start(struct curfew_table *table, struct curfew_error *error);
CURFEW_API int curfew_sweeper_stop(struct curfew_table *table);
CURFEW_API int curfew_sweeper_interval_set(struct curfew_table *table, int64_t interval_ns, struct curfew_error *error);
CURFEW_API bool curfew_sweeper_running(struct curfew_table *table);

/* Stops the sweeper, refuses new sessions from now on, and, if cleanup_on_shutdown, ends every session with its
 * callbacks; *ret_ended (may be NULL) is how many went.  Ends that other threads are completing may outlast it; a
 * second call ends what callbacks have left.  From within a callback as curfew_sweep. */
CURFEW_API int curfew_shutdown(struct curfew_table *table, size_t *ret_ended);

/* ── numbers ── */

/* All of one moment: sessions_created = sessions_cleaned + sessions_active - sessions_starting. */
struct curfew_counts {
    uint64_t sessions_created;          /* became ACTIVE */
    uint64_t sessions_cleaned;          /* were ACTIVE once and are gone */
    uint64_t sessions_active;           /* rows that are here, in whatever state, CLOSED, FAILED and ENDING included */
    uint64_t sessions_starting;         /* of these, rows that have not been ACTIVE yet */
    uint64_t sessions_refused;          /* creations that a limit refused */
    uint64_t cleanup_runs;              /* sweeps, by the sweeper or asked for, those of cleanup_inactive included */
    uint64_t cleanup_errors;            /* errors that callbacks answered with */
    uint64_t emergency_runs;
    uint64_t ends_kept;                 /* times that before_end kept a session */
    uint64_t ends_spared;               /* times that a touch saved one that was about to end */
    uint64_t memory_bytes;              /* that the table has taken from its allocator and not given back */
    uint64_t ended[CURFEW_REASONS];     /* of sessions_cleaned, by reason */
};

/* `size` is sizeof *ret_counts. */
CURFEW_API void curfew_counts_get(struct curfew_table *table, struct curfew_counts *ret_counts, size_t size);

/* ── coordinators ── */

/* Somebody who works in one session at a time, such as a window or a client.  Any number may share a table. */
struct curfew_coordinator;

/* The table must outlive it.  Freed by curfew_coordinator_free, which ends no session, sets *coordinator to NULL and
 * ignores NULL; no other call on this coordinator may run or follow.  CURFEW_E_NO_MEMORY. */
CURFEW_API int curfew_coordinator_new(struct curfew_table *table,
                                      struct curfew_coordinator **ret_coordinator) CURFEW_CHECKED;
CURFEW_API void curfew_coordinator_free(struct curfew_coordinator **coordinator);
/* Makes a session the current one, and touches it.  Session 0: none is current.  As curfew_session_touch; the
 * current one stays then. */
CURFEW_API int curfew_switch(struct curfew_coordinator *coordinator, curfew_session session);
/* The current session.  CURFEW_E_NOT_FOUND: there is none; CURFEW_E_GONE: it has ended or is ENDING. */
CURFEW_API int curfew_current(struct curfew_coordinator *coordinator, curfew_session *ret_session) CURFEW_CHECKED;

#ifdef __cplusplus
}
#endif

#endif
