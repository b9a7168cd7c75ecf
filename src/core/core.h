/* core.h: the table of sessions and the rules by which they end.
 *
 * No I/O, no clock, no threads, no memory beyond its own: the time is an argument (nanoseconds on a monotonic
 * clock, never negative; a negative one counts as 0), ids are made by the caller.  A touch stores one time; a sweep
 * looks at two numbers for each block of 64 rows and reads the rows of those blocks only where somebody may be due.
 * There are no timers, and nothing is ever moved when the table grows.
 *
 * One owner calls it, or several under one lock.  The functions marked SHARED may run beside the owner, on any
 * thread, if the owner said so (`shared` in the options) and each such call lies inside a section that the owner
 * can wait for: see cf_core_limbo_close.
 *
 * A function that takes a handle does nothing when the handle is stale or the row's state does not allow it: a late
 * event about a session that is gone is ordinary, not an error. */
#ifndef CURFEW_CORE_CORE_H
#define CURFEW_CORE_CORE_H

#include "base/clock.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CF_ID_MAX 96                   /* bytes of an id with its NUL */
#define CF_WORKSPACE_MAX 65            /* bytes of a workspace name with its NUL */
#define CF_FAILURE_MAX 128             /* bytes of a failure's text with its NUL */
#define CF_KINDS_MAX 14                /* kinds in one table */
#define CF_SESSIONS_MAX 1073741760u    /* rows in one table: 64 · (2^24 − 1) */

/* The kinds of the server's table.  Another owner's kinds are numbers below its cf_core_options.kinds. */
enum cf_kind { CF_KIND_BASH, CF_KIND_RECORD, CF_KIND_AGENT, CF_KINDS };
const char *cf_kind_name(enum cf_kind kind);

/* STARTING → ACTIVE ⇄ (busy) → CLOSED | FAILED → ENDING → gone.  CLOSED and FAILED are terminal:
 * the next sweep ends them. */
enum cf_state {
    CF_STATE_FREE, CF_STATE_STARTING, CF_STATE_ACTIVE, CF_STATE_CLOSED, CF_STATE_FAILED, CF_STATE_ENDING, CF_STATES
};
const char *cf_state_name(enum cf_state state);

enum cf_reason {
    CF_REASON_NONE, CF_REASON_IDLE, CF_REASON_AGE, CF_REASON_CLOSED, CF_REASON_FAILED, CF_REASON_LIMIT,
    CF_REASON_REQUESTED, CF_REASON_SHUTDOWN, CF_REASON_LOST, CF_REASONS
};
const char *cf_reason_name(enum cf_reason reason);

/* What moved a session's activity.  COMMAND and INPUT count a message. */
enum cf_touch {
    CF_TOUCH_COMMAND, CF_TOUCH_INPUT, CF_TOUCH_HEARTBEAT, CF_TOUCH_SWITCH, CF_TOUCH_STATE, CF_TOUCH_TOOL
};

/* A session's name inside one table; generation and slot, never reused, never 0. */
typedef uint64_t cf_handle;

struct cf_policy {
    int64_t idle_ns;                    /* CF_NEVER_NS: no idle end; below 0 counts as 0 */
    int64_t age_ns;                     /* CF_NEVER_NS: no age end; below 0 counts as 0 */
};

struct cf_limits {
    uint32_t max_sessions;              /* all that are not gone */
    uint32_t max_active;                /* all that are STARTING or ACTIVE */
    uint32_t max_per_workspace;
    struct cf_policy emergency;         /* S3.5: 300 s, 3600 s; CF_NEVER_NS: no such rule */
};

struct cf_admission {
    const char *id;                     /* copied */
    const char *workspace;              /* copied */
    unsigned kind;
    int64_t idle_ns;                    /* 0: the kind's policy, also when that changes later; CF_NEVER_NS: never */
    int64_t age_ns;                     /* 0: the kind's policy, likewise */
    void *user;                         /* given back in struct cf_session, never looked at */
};

struct cf_session {                     /* a copy of one row, filled by cf_core_get */
    cf_handle handle;
    char id[CF_ID_MAX];
    char workspace[CF_WORKSPACE_MAX];
    char failure[CF_FAILURE_MAX];
    unsigned kind;
    enum cf_state state;
    enum cf_reason reason;              /* why it is ENDING, or would be (asked) */
    bool busy;
    bool asked;
    bool idle_own, age_own;             /* idle_ns, age_ns were given at admission */
    int64_t created_ns, last_used_ns;
    int64_t idle_ns, age_ns;            /* in force */
    int64_t idle_left_ns, age_left_ns;  /* until that rule would end it, 0 when past (both for CLOSED and FAILED);
                                         * CF_NEVER_NS when it would not (busy: idle; STARTING and ENDING: both) */
    uint64_t message_count;             /* stops short of 2^32 */
    void *user;
};

struct cf_counts {                      /* S3.7, S0.8; one row each in tables/counters.def */
#define COUNTER(name, kind, unit, help) uint64_t name;
#include "tables/counters.def"
#undef COUNTER
};

struct cf_tally {
    uint32_t here[CF_KINDS_MAX][CF_STATES];     /* rows by kind and state */
    uint64_t ended[CF_REASONS];         /* rows that are gone and had been ACTIVE, by reason */
    uint32_t unstarted;                 /* rows that have not been ACTIVE */
};

struct cf_due {
    cf_handle handle;
    enum cf_reason reason;              /* CF_REASON_IDLE, AGE, CLOSED, FAILED, or LIMIT in an emergency; when both
                                         * idle and age are past, the one that was past first */
    int64_t when_ns;                    /* that rule's moment: due from the nanosecond after it on; 0 for CLOSED,
                                         * FAILED */
    int64_t idle_for_ns;                /* since last_used; 0 when the clock is behind it */
};

struct cf_core;

/* Where the table gets its memory: as malloc and free, NULL when there is none. */
struct cf_core_allocator {
    void *(*take)(void *context, size_t bytes);
    void (*give)(void *context, void *memory);
    void *context;
};

/* malloc and free. */
struct cf_core_allocator cf_core_allocator_standard(void);

struct cf_core_options {
    struct cf_limits limits;
    const struct cf_policy *policies;   /* one for each kind; copied */
    unsigned kinds;                     /* 1 to CF_KINDS_MAX */
    uint64_t seed;                      /* keys the hashes of ids and workspace names.  Whoever lets strangers
                                         * choose names gives a random number, so that nobody can choose names that
                                         * collide */
    bool shared;                        /* SHARED functions run beside the owner: what is freed goes to limbo first */
    const struct cf_core_allocator *allocator;  /* copied; NULL: malloc and free */
};

/* NULL when out of memory. */
struct cf_core *cf_core_new(const struct cf_core_options *options);
void cf_core_free(struct cf_core **core);

/* Replace the limits, or one kind's policy; sessions without a value of their own follow at once.  Limits below what
 * is here end nobody: they hold for the next admission. */
void cf_core_limits_set(struct cf_core *core, const struct cf_limits *limits);
const struct cf_limits *cf_core_limits(const struct cf_core *core);
void cf_core_policy_set(struct cf_core *core, unsigned kind, const struct cf_policy *policy);
const struct cf_policy *cf_core_policy(const struct cf_core *core, unsigned kind);      /* NULL: no such kind */

/* Reserves a row in state STARTING.  0, or in this order CF_E_INVALID (id or workspace too long or empty, unknown kind,
 * negative time), CF_E_EXISTS, CF_E_WORKSPACE_FULL, CF_E_TOO_MANY_ACTIVE, CF_E_TOO_MANY_SESSIONS, CF_E_NO_MEMORY;
 * nothing changed then. */
int cf_core_admit(struct cf_core *core, const struct cf_admission *want, int64_t now_ns,
                  cf_handle *ret_handle, struct cf_error *error) __attribute__((warn_unused_result));
/* STARTING → ACTIVE; activity starts now. */
void cf_core_started(struct cf_core *core, cf_handle handle, int64_t now_ns);
/* A row that another table had, for whoever takes sessions over: after cf_core_admit (`now_ns` being when it was created) and cf_core_started it was last
 * used then, and has so many messages.  It does not count as created once more. */
void cf_core_resume(struct cf_core *core, cf_handle handle, int64_t last_used_ns, uint64_t message_count);
/* The row is free, its handle stale for ever.  Counts it as cleaned if it had ever been ACTIVE. */
void cf_core_gone(struct cf_core *core, cf_handle handle);

/* False when the handle or id names nothing that is here. */
bool cf_core_get(const struct cf_core *core, cf_handle handle, int64_t now_ns, struct cf_session *ret);
bool cf_core_find(const struct cf_core *core, const char *id, cf_handle *ret_handle);

/* SHARED.  A session that is ENDING is not found.  UNSURE: the table moved meanwhile, ask the owner (cf_core_find). */
enum cf_found { CF_FOUND, CF_ABSENT, CF_UNSURE };
enum cf_found cf_core_find_shared(const struct cf_core *core, const char *id, cf_handle *ret_handle);
/* SHARED.  CF_STATE_FREE when the handle is stale. */
enum cf_state cf_core_state(const struct cf_core *core, cf_handle handle);

/* SHARED, wait-free.  Moves last_used of a STARTING or ACTIVE row.  Never backwards: an older `now_ns` moves
 * nothing; of touches at the same time one stays.  COMMAND and INPUT count a message, also then.  0, CF_E_GONE
 * (stale, ENDING) or CF_E_NOT_READY (CLOSED, FAILED). */
int cf_core_touch(struct cf_core *core, cf_handle handle, int64_t now_ns, enum cf_touch cause);

/* A busy session has no idle deadline; both edges touch (cause STATE, no message).  ACTIVE rows only; in ENDING the
 * flag follows and nothing else. */
void cf_core_busy(struct cf_core *core, cf_handle handle, bool busy, int64_t now_ns);
/* ACTIVE → CLOSED or FAILED: the shell went by itself.  It is no longer busy.  `why` (NULL, or text that is cut to
 * CF_FAILURE_MAX) is kept if there is memory for it. */
void cf_core_left(struct cf_core *core, cf_handle handle, enum cf_state terminal, const char *why);
/* Any state but ENDING → ENDING with the reason.  False when it is ending already or unknown. */
bool cf_core_ending(struct cf_core *core, cf_handle handle, enum cf_reason reason);

/* Somebody is being asked whether this session may end for this reason: it is not due meanwhile, and nobody else asks.
 * Otherwise it goes on as before, and cf_core_ending overrides it.  False: stale, ENDING, or asked already. */
bool cf_core_ask(struct cf_core *core, cf_handle handle, enum cf_reason reason);
void cf_core_asked(struct cf_core *core, cf_handle handle);

/* How sessions are judged. */
struct cf_judge {
    int64_t now_ns;
    const struct cf_policy *policies;   /* one for each kind, instead of those in force; NULL: those in force */
    const struct cf_policy *all;        /* one for all, also for sessions with limits of their own, but for busy
                                         * ones; NULL */
    enum cf_reason reason;              /* given instead of IDLE and AGE; CF_REASON_NONE: not */
};

#define CF_SCAN_END UINT32_MAX
/* Lists who is due by this judge: CLOSED and FAILED rows always, STARTING and ENDING rows never, a busy row only by
 * age.  idle: strictly now - last_used > idle (S0.14); age: strictly now - created > age.
 * Begins at *cursor (0 at first), looks at no more than `blocks` blocks of 64 rows, and writes at most `max`.
 * *cursor is where to go on, CF_SCAN_END when all was seen.  One that is due all the time is listed once in a
 * walk. */
size_t cf_core_scan(struct cf_core *core, const struct cf_judge *judge, uint32_t *cursor, uint32_t blocks,
                    struct cf_due *ret, size_t max);
/* The whole table by the rules in force, or by the emergency's (reason LIMIT; never a busy row).  Returns how many were
 * written; call again after acting while it returns `max`. */
size_t cf_core_due(struct cf_core *core, int64_t now_ns, struct cf_due *ret, size_t max);
size_t cf_core_due_emergency(struct cf_core *core, int64_t now_ns, struct cf_due *ret, size_t max);
/* The question about one row.  False, and *ret untouched, when the handle is stale or the row is not due. */
bool cf_core_judge_one(const struct cf_core *core, cf_handle handle, const struct cf_judge *judge, struct cf_due *ret);
bool cf_core_due_one(const struct cf_core *core, cf_handle handle, int64_t now_ns, struct cf_due *ret);
/* Ends all of them at once, ENDING and gone, for an owner who has nothing else to do for it.  `now_ns` is the judge's.
 * Left out are those that are stale or ENDING, and those that IDLE or LIMIT would have ended and that were touched
 * since they were judged (who is due by age as well goes the next time); only a touch within the nanoseconds in which
 * its row ends may still come too late.  Returns how many went. */
size_t cf_core_drop(struct cf_core *core, const struct cf_due *due, size_t count, int64_t now_ns);

/* The first moment at which cf_core_due would list somebody: 0 when a CLOSED or FAILED row waits, CF_NEVER_NS when no
 * rule will end anybody. */
int64_t cf_core_next_due(struct cf_core *core);
/* The same by parts, as cf_core_scan: *least is CF_NEVER_NS at first and the answer at the end. */
void cf_core_next_due_part(struct cf_core *core, uint32_t *cursor, uint32_t blocks, int64_t *least);

/* Walks the rows that are not free: start with *cursor 0; false at the end.  Rows may be freed on the way; whether one
 * that is admitted on the way is seen is open. */
bool cf_core_next(const struct cf_core *core, size_t *cursor, cf_handle *ret_handle);
uint32_t cf_core_count(const struct cf_core *core);            /* rows that are not free */
uint32_t cf_core_workspaces(const struct cf_core *core);       /* workspaces with at least one row */
uint32_t cf_core_in_workspace(const struct cf_core *core, const char *workspace);
size_t cf_core_bytes(const struct cf_core *core);              /* taken from the allocator and not given back */

/* All counters.  The table itself keeps sessions_created, sessions_cleaned and sessions_active; the caller adds to the
 * others: only it knows why a start failed. */
struct cf_counts *cf_core_counts(struct cf_core *core);
const struct cf_tally *cf_core_tally(const struct cf_core *core);

/* ── limbo: what was freed while SHARED functions may still look at it ──
 *
 * What is freed collects.  cf_core_limbo_close puts what has collected aside as the batch that waits, if none waits
 * yet.  The owner then sees to it that every section that had begun before has ended, and calls cf_core_limbo_free,
 * which makes up to `pieces` slots and blocks of memory of the batch free: slots can be taken again, memory is
 * given back.  True when nothing waits any more.  A slot in limbo still has its place in the hash of ids, so that a
 * sweep need not wait for that memory; its end costs some 100 ns here instead.  Without `shared` there is no
 * limbo. */
size_t cf_core_limbo_collected(const struct cf_core *core);    /* pieces: rows, or 64 bytes of other memory */
bool cf_core_limbo_waiting(const struct cf_core *core);
void cf_core_limbo_close(struct cf_core *core);
bool cf_core_limbo_free(struct cf_core *core, size_t pieces);

#endif
