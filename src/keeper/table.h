/* table.h: the sessions that the keeper holds. */
#ifndef CURFEW_KEEPER_TABLE_H
#define CURFEW_KEEPER_TABLE_H

#include "keeper/map.h"
#include "keeper/wire.h"

#include <sys/types.h>

/* STARTING → LIVE → LEFT → CLOSING → INTERRUPTED → KILLED → GONE → (free); see the table in ladder.c. */
enum cf_held_state {
    CF_HELD_FREE, CF_HELD_STARTING, CF_HELD_LIVE, CF_HELD_LEFT, CF_HELD_CLOSING, CF_HELD_INTERRUPTED,
    CF_HELD_KILLED, CF_HELD_GONE, CF_HELD_STATES
};

/* Reports that the server has not been sent yet, in the order in which they go out. */
#define CF_OWED_SPAWNED 1u
#define CF_OWED_SIGNALED 2u
#define CF_OWED_LEFT 4u
#define CF_OWED_ENDED 8u

struct cf_held {
    uint64_t key;
    uint32_t slot;
    uint32_t generation;                /* changes when the slot is freed: tells stale events from fresh ones */
    enum cf_held_state state;
    uint32_t hold;                      /* CF_HOLD_* */
    uint32_t owed;                      /* CF_OWED_* */
    uint32_t next_owed;                 /* slot + 1; list of those that owe something */

    pid_t init_pid;                     /* our child; 0: none, or reaped */
    pid_t leader_pid;                   /* as seen from here; our child where there is no init */
    int control_fd;                     /* to the init */
    int events_fd;                      /* cgroup.events, once its emptiness matters */
    uint32_t cgroup;                    /* number of its cgroup; 0: none, or removed */
    bool leader_gone;
    bool init_failed;                   /* it went without having seen the last process go */

    int32_t wait_status;                /* the leader's */
    int32_t spawn_error;                /* errno for SPAWNED */
    uint32_t cause, rung, killed;       /* for ENDED */
    uint32_t signals_answered;          /* for SIGNALED */
    uint32_t signals_open;              /* asked for by this server, and not carried out yet */
    uint32_t signals_stale;             /* the same of servers that are gone: nobody is told */
    uint32_t told;                      /* serial number of the connection that knows of the session; others get no report */
    uint32_t kept_first, kept_count;    /* descriptors that are held for it; first: place in the store, 0: none */
    int64_t lease_ns, grace_ns;
    int64_t ended_ns;                   /* when END came */
    int64_t proven_ns;                  /* when it was found empty; 0: not yet */
    int64_t closed_ns;                  /* when its input and output were given up; 0: they were not */
    int64_t interrupted_ns;             /* when SIGINT went out; 0: it did not */
    int64_t killed_ns;                  /* when SIGKILL first went out; 0: it did not */
    int64_t pause_ns;                   /* of the back-off */
    int swept_signo;                    /* SIGINT or SIGKILL that the next sweep brings it; 0: none */
    bool lease_doubted;                 /* ran out once; the next time counts */
    bool lease_extended;                /* it ran out, and the server was killed for it; the next time counts */
    bool forgotten;                     /* by FORGET, while something else was owed */
    bool complained;
};

#define CF_TABLE_CHUNK 128u             /* sessions in one mapping */

struct cf_table {
    struct cf_held **chunks;            /* sessions never move */
    int64_t *deadlines_ns;              /* by slot, packed for scanning; CF_NEVER_NS: none */
    uint32_t *free_slots;
    uint32_t capacity, chunk_count, free_count, live, max;
    int64_t soonest_ns;                 /* no deadline is before it */
    struct cf_map by_key, by_pid, by_cgroup;
};

void cf_table_init(struct cf_table *t, uint32_t max_sessions);
void cf_table_free(struct cf_table *t);

struct cf_held *cf_table_add(struct cf_table *t, uint64_t key);             /* NULL: full or out of memory */
void cf_table_remove(struct cf_table *t, struct cf_held *held);
/* Records whose process or cgroup this is: one of each a session at a time, for which cf_table_add has made room. */
void cf_table_pid_set(struct cf_table *t, struct cf_held *held, pid_t pid);
void cf_table_pid_clear(struct cf_table *t, pid_t pid);                     /* at the reaping */
void cf_table_cgroup_set(struct cf_table *t, struct cf_held *held, uint32_t cgroup);
void cf_table_cgroup_clear(struct cf_table *t, struct cf_held *held);

struct cf_held *cf_table_slot(const struct cf_table *t, uint32_t slot);     /* any slot below capacity, free ones too */
struct cf_held *cf_table_by_key(const struct cf_table *t, uint64_t key);    /* NULL: none; so with the others */
struct cf_held *cf_table_by_pid(const struct cf_table *t, pid_t pid);
struct cf_held *cf_table_by_cgroup(const struct cf_table *t, uint32_t cgroup);

uint32_t cf_table_count_alive(const struct cf_table *t);                     /* all but those that are GONE */

void cf_table_deadline_set(struct cf_table *t, const struct cf_held *held, int64_t deadline_ns);
/* The first slot from `from` on whose deadline has passed, or capacity; a pass that ends there has refreshed
 * soonest_ns, so that waking costs one scan of packed numbers and sleeping costs nothing. */
uint32_t cf_table_due(struct cf_table *t, uint32_t from, int64_t now_ns);

#endif
