/* core.h: the table of sessions and the rules by which they end.
 *
 * No I/O, no clock, no memory beyond its own: the time is an argument (nanoseconds on a monotonic
 * clock, never negative; a negative one counts as 0), ids are made by the caller.  Hot data lies in packed arrays
 * with one deadline for each rule, so that a touch is a store and a sweep is a scan; there are no timers.  Not
 * thread-safe: one owner calls it.
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

enum cf_kind { CF_KIND_BASH, CF_KIND_RECORD, CF_KINDS };
const char *cf_kind_name(enum cf_kind kind);

/* STARTING → ACTIVE ⇄ (busy) → CLOSED | FAILED → ENDING → gone.  CLOSED and FAILED are terminal:
 * the next sweep ends them. */
enum cf_state { CF_STATE_FREE, CF_STATE_STARTING, CF_STATE_ACTIVE, CF_STATE_CLOSED, CF_STATE_FAILED, CF_STATE_ENDING };
const char *cf_state_name(enum cf_state state);

enum cf_reason {
    CF_REASON_NONE, CF_REASON_IDLE, CF_REASON_AGE, CF_REASON_CLOSED, CF_REASON_FAILED, CF_REASON_LIMIT,
    CF_REASON_REQUESTED, CF_REASON_SHUTDOWN, CF_REASON_LOST, CF_REASONS
};
const char *cf_reason_name(enum cf_reason reason);

/* What moved a session's activity. */
enum cf_touch { CF_TOUCH_COMMAND, CF_TOUCH_INPUT, CF_TOUCH_HEARTBEAT, CF_TOUCH_SWITCH, CF_TOUCH_STATE };

/* A session's name inside one table; generation and slot, never reused, never 0. */
typedef uint64_t cf_handle;

struct cf_policy {
    int64_t idle_ns;                    /* CF_NEVER_NS: no idle end; below 0 counts as 0 */
    int64_t age_ns;                     /* CF_NEVER_NS: no age end; below 0 counts as 0 */
};

struct cf_limits {
    uint32_t max_sessions;              /* all that are not gone */
    uint32_t max_per_workspace;
    int64_t emergency_idle_ns;          /* S3.5: 300 s; CF_NEVER_NS: no such rule */
    int64_t emergency_age_ns;           /* S3.5: 3600 s; CF_NEVER_NS: no such rule */
};

struct cf_admission {
    const char *id;                     /* copied */
    const char *workspace;              /* copied */
    enum cf_kind kind;
    int64_t idle_ns;                    /* 0: the kind's policy, also when that changes later; CF_NEVER_NS: never */
    int64_t age_ns;                     /* 0: the kind's policy, likewise */
};

struct cf_session {                     /* a copy of one row, filled by cf_core_get */
    cf_handle handle;
    char id[CF_ID_MAX];
    char workspace[CF_WORKSPACE_MAX];
    enum cf_kind kind;
    enum cf_state state;
    enum cf_reason reason;              /* why it is ENDING */
    bool busy;
    bool idle_own, age_own;             /* idle_ns, age_ns were given at admission */
    int64_t created_ns, last_used_ns;
    int64_t idle_ns, age_ns;            /* in force */
    int64_t idle_left_ns, age_left_ns;  /* until that rule would end it, 0 when past (both for CLOSED and FAILED);
                                         * CF_NEVER_NS when it would not (busy: idle; STARTING and ENDING: both) */
    uint64_t message_count;
};

struct cf_counts {                      /* S3.7, S0.8; one row each in tables/counters.def */
#define COUNTER(name, kind, unit, help) uint64_t name;
#include "tables/counters.def"
#undef COUNTER
};

struct cf_due {
    cf_handle handle;
    enum cf_reason reason;              /* CF_REASON_IDLE, AGE, CLOSED, FAILED, or LIMIT in an emergency; when both
                                         * idle and age are past, the one that was past first */
    int64_t idle_for_ns;                /* since last_used; 0 when the clock is behind it */
};

struct cf_core;

/* Where the table gets its memory: as malloc and free, NULL when there is none. */
struct cf_core_allocator {
    void *(*take)(void *context, size_t bytes);
    void (*give)(void *context, void *memory);
    void *context;
};

/* Returns NULL when out of memory. `limits` and each kind's policy (CF_KINDS entries) are copied. */
struct cf_core *cf_core_new(const struct cf_limits *limits, const struct cf_policy *policies);
/* The same on another allocator, which is copied. */
struct cf_core *cf_core_new_with_allocator(const struct cf_limits *limits, const struct cf_policy *policies,
                                           const struct cf_core_allocator *allocator);
void cf_core_free(struct cf_core **core);

/* Keys the hashes of ids and workspace names.  Whoever lets strangers choose names calls it once with a random number,
 * so that nobody can choose names that collide; without it the key comes from the table's address. */
void cf_core_seed_set(struct cf_core *core, uint64_t seed);

/* Replace the limits, or one kind's policy; sessions without a value of their own follow at once.  Limits below what
 * is here end nobody: they hold for the next admission. */
void cf_core_limits_set(struct cf_core *core, const struct cf_limits *limits);
void cf_core_policy_set(struct cf_core *core, enum cf_kind kind, const struct cf_policy *policy);
const struct cf_policy *cf_core_policy(const struct cf_core *core, enum cf_kind kind);

/* Reserves a row in state STARTING.  0, or in this order CF_E_INVALID (id or workspace too long or empty, id taken,
 * unknown kind, negative time), CF_E_WORKSPACE_FULL, CF_E_TOO_MANY_SESSIONS, CF_E_NO_MEMORY; nothing changed then. */
int cf_core_admit(struct cf_core *core, const struct cf_admission *want, int64_t now_ns,
                  cf_handle *ret_handle, struct cf_error *error) __attribute__((warn_unused_result));
/* STARTING → ACTIVE; activity starts now. */
void cf_core_started(struct cf_core *core, cf_handle handle, int64_t now_ns);
/* The row is free, its handle stale for ever.  Counts it as cleaned if it had ever been ACTIVE. */
void cf_core_gone(struct cf_core *core, cf_handle handle);

/* False when the handle or id names nothing that is here. */
bool cf_core_get(const struct cf_core *core, cf_handle handle, int64_t now_ns, struct cf_session *ret);
bool cf_core_find(const struct cf_core *core, const char *id, cf_handle *ret_handle);

/* Moves last_used of a STARTING or ACTIVE row.  Never backwards: an older `now_ns` moves nothing.  COMMAND and INPUT
 * count a message, also then. */
void cf_core_touch(struct cf_core *core, cf_handle handle, int64_t now_ns, enum cf_touch cause);
/* A busy session has no idle deadline; both edges touch (cause STATE, no message).  ACTIVE rows only; in ENDING the
 * flag follows and nothing else. */
void cf_core_busy(struct cf_core *core, cf_handle handle, bool busy, int64_t now_ns);
/* ACTIVE → CLOSED or FAILED: the shell went by itself.  It is no longer busy. */
void cf_core_left(struct cf_core *core, cf_handle handle, enum cf_state terminal);
/* Any state but ENDING → ENDING with the reason.  False when it is ending already or unknown. */
bool cf_core_ending(struct cf_core *core, cf_handle handle, enum cf_reason reason);

/* Lists who is due now, oldest deadline not needed; STARTING and ENDING rows are never due; a busy row only by age.
 * idle: strictly now - last_used > idle (S0.14); age: strictly now - created > age.
 * Returns how many were written; call again after acting while it returns `max`. */
size_t cf_core_due(const struct cf_core *core, int64_t now_ns, struct cf_due *ret, size_t max);
/* The same question about one row.  False, and *ret untouched, when the handle is stale or the row is not due. */
bool cf_core_due_one(const struct cf_core *core, cf_handle handle, int64_t now_ns, struct cf_due *ret);
/* S3.5: the same under the emergency limits; never a busy row, reason LIMIT (CLOSED and FAILED rows keep theirs). */
size_t cf_core_due_emergency(const struct cf_core *core, int64_t now_ns, struct cf_due *ret, size_t max);
/* The first moment at which cf_core_due would list somebody: 0 when a CLOSED or FAILED row waits, CF_NEVER_NS when no
 * rule will end anybody. */
int64_t cf_core_next_due(const struct cf_core *core);

/* Walks the rows that are not free: start with *cursor 0; false at the end.  Rows may be freed on the way; whether one
 * that is admitted on the way is seen is open. */
bool cf_core_next(const struct cf_core *core, size_t *cursor, cf_handle *ret_handle);
uint32_t cf_core_count(const struct cf_core *core);            /* rows that are not free */
uint32_t cf_core_workspaces(const struct cf_core *core);       /* workspaces with at least one row */
uint32_t cf_core_in_workspace(const struct cf_core *core, const char *workspace);

/* All counters.  The table itself keeps sessions_created, sessions_cleaned and sessions_active; the caller adds to the
 * others: only it knows why a start failed. */
struct cf_counts *cf_core_counts(struct cf_core *core);

#endif
