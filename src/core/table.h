/* table.h: the table's insides, for src/core and its tests only.
 *
 * Rows are numbered by slot.  What every sweep reads (the two deadlines) lies in packed arrays, everything else in
 * rows[].  Slots at and above `fresh` were never used: their deadlines are CF_NEVER_NS, their rows not initialised. */
#ifndef CURFEW_CORE_TABLE_H
#define CURFEW_CORE_TABLE_H

#include "core/core.h"
#include "core/map.h"

#define CF_TABLE_BLOCK 64               /* slots that a sweep judges at once; capacity is a multiple of it */
#define CF_TABLE_SLOTS_MAX (1u << 30)   /* the id map has twice as many cells, and its mask has 32 bits */
#define CF_TABLE_NO_SLOT UINT32_MAX
#define CF_TABLE_PAST_NS (-1)           /* a deadline before any time: CLOSED and FAILED rows */

struct cf_row {
    /* What a touch reads and writes, in the row's first 64 bytes. */
    uint32_t generation;                /* 1 at first; 0: the slot is retired, its generations are used up */
    uint32_t workspace;                 /* number in workspaces[] */
    uint8_t state, kind, reason;
    bool busy, idle_own, age_own;
    bool started;                       /* was ACTIVE at some time */
    int64_t last_used_ns;
    int64_t idle_ns;
    int64_t created_ns;
    int64_t age_ns;
    uint64_t message_count;
    uint32_t id_tag;
    uint32_t next_free;
    char id[CF_ID_MAX];
};

struct cf_workspace {
    char name[CF_WORKSPACE_MAX];
    uint32_t tag;
    uint32_t count;                     /* rows in it; 0: free */
    uint32_t next_free;
};

struct cf_core {
    struct cf_core_allocator allocator;
    struct cf_limits limits;
    struct cf_policy policies[CF_KINDS];
    struct cf_counts counts;
    struct cf_map_key key;

    int64_t *idle_deadline_ns;
    int64_t *age_deadline_ns;
    struct cf_row *rows;
    struct cf_map ids;
    uint32_t capacity, fresh, count, free_slot;

    struct cf_workspace *workspaces;
    struct cf_map names;
    uint32_t workspace_capacity, workspace_fresh, workspace_count, free_workspace;
};

/* Times are never negative: every entry point passes the caller's `now` through here. */
static inline int64_t cf_table_now(int64_t now_ns)
{
    return now_ns < 0 ? 0 : now_ns;
}

/* The row that a handle names, or NULL; its slot is (uint32_t)handle. */
struct cf_row *cf_table_row(const struct cf_core *core, cf_handle handle);
cf_handle cf_table_handle(const struct cf_core *core, uint32_t slot);
/* The slot of the id, or CF_TABLE_NO_SLOT. */
uint32_t cf_table_slot_of(const struct cf_core *core, const char *id, size_t len);

/* Make room for one more slot or workspace.  On failure nothing changed. */
int cf_table_reserve_slot(struct cf_core *core) __attribute__((warn_unused_result));
int cf_table_reserve_workspace(struct cf_core *core) __attribute__((warn_unused_result));
/* Take a slot for the id: a FREE row with its generation and its id, found by it from now on.  There is room. */
uint32_t cf_table_take_slot(struct cf_core *core, const char *id, size_t len);
void cf_table_give_slot(struct cf_core *core, uint32_t slot);

/* The number of the workspace, or CF_MAP_NONE; join makes it when it is missing (there is room) and counts one in. */
uint32_t cf_table_workspace_of(const struct cf_core *core, const char *name, size_t len);
uint32_t cf_table_workspace_join(struct cf_core *core, const char *name, size_t len);
void cf_table_workspace_leave(struct cf_core *core, uint32_t number);

/* Sets both deadlines from what the row says (policy.c). */
void cf_policy_refresh(struct cf_core *core, uint32_t slot);
/* since + span, CF_NEVER_NS when that is more than fits.  Neither is negative. */
int64_t cf_policy_later(int64_t since_ns, int64_t span_ns);

#endif
