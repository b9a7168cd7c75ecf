/* table.h: the table's insides, for src/core and its tests only.
 *
 * Rows are numbered by slot.  Slots come in blocks of 64, blocks in chunks, each chunk twice as large as the one
 * before, so that growing moves nothing: a reader's pointer stays good, and no call takes longer than one
 * allocation.
 *
 * A row is split by how often its parts are read, each an array of its own: a gate of 4 bytes and a time of 8 for
 * touches and sweeps (side by side in 16 they cost a touch half as much again, and a sweep five times as much),
 * struct cf_row for the rest, and its share of struct cf_block, which is all that a sweep reads where nobody can be
 * due.  What a touch may change beside the owner (the time, messages) and what SHARED functions read is accessed
 * atomically.
 *
 * A block belongs to one class: a kind, whose policy all of its rows follow, or CF_CLASS_OWN for rows with a limit
 * of their own.  So a row that follows its kind's policy needs no limits, and a change of policy changes no row. */
#ifndef CURFEW_CORE_TABLE_H
#define CURFEW_CORE_TABLE_H

#include "core/core.h"
#include "core/map.h"

#define CF_TABLE_BLOCK 64
#define CF_TABLE_CHUNKS 24              /* 64 slots in the first: 2^30 in all of them */
#define CF_TABLE_NO_SLOT UINT32_MAX
#define CF_CLASS_OWN CF_KINDS_MAX
#define CF_CLASSES (CF_KINDS_MAX + 1)
#define CF_TEXT_INLINE 20               /* bytes of an id, with its NUL, that lie in the row itself */
#define CF_GENERATION_MAX (UINT32_MAX >> 1)

/* A gate: the slot's generation, and whether its session may be touched. */
#define CF_GATE_OPEN 1u
#define CF_GATE_SHIFT 1

/* What a row is: cf_row.flags. */
#define CF_FLAG_STATE 0x7u
#define CF_FLAG_BUSY 0x8u
#define CF_FLAG_STARTED 0x10u           /* was ACTIVE at some time */
#define CF_FLAG_IDLE_OWN 0x20u
#define CF_FLAG_AGE_OWN 0x40u
#define CF_FLAG_LABEL 0x80u             /* the id lies in a struct cf_label */
#define CF_FLAG_ASKED 0x100u
#define CF_FLAG_FORGOTTEN 0x200u        /* in limbo, and the hash of ids knows it no more */
#define CF_FLAG_KIND_SHIFT 12
#define CF_FLAG_REASON_SHIFT 16

struct cf_label {
    struct cf_dead dead;
    int64_t idle_ns, age_ns;            /* where IDLE_OWN, AGE_OWN */
    char text[];
};

struct cf_row {
    int64_t created_ns;
    void *user;
    char text[CF_TEXT_INLINE];          /* the id, or a pointer to its struct cf_label */
    uint32_t messages;
    union {
        uint32_t workspace;             /* number */
        uint32_t next;                  /* free, or in limbo: the next one, or CF_TABLE_NO_SLOT */
    };
    uint32_t flags;
};

struct cf_note {                        /* why a row has failed; under the lock only */
    struct cf_note *next;
    uint32_t slot;
    size_t bytes;
    char text[];
};

struct cf_block {
    /* No row here that may end by that rule has been used, or created, before these times; in class OWN: has its
     * deadline before.  They may lie lower than the rows tell, never higher: a touch need not look at them. */
    int64_t stalest_ns, oldest_ns;
    uint64_t may_idle;                  /* a bit for each row that idleness may end: ACTIVE, not busy, not asked */
    struct cf_note *notes;
    uint16_t live;                      /* rows that are not FREE */
    uint16_t terminal;                  /* CLOSED and FAILED ones that nobody is being asked about */
    uint16_t class;
};

struct cf_chunk {
    int64_t *used_ns;                   /* when last used; CF_NEVER_NS in free slots */
    uint32_t *gates;
    struct cf_row *rows;
    struct cf_block *blocks;
    void *memory;                       /* what all of these lie in; NULL: not there yet */
    size_t bytes;
};

struct cf_workspace {
    char name[CF_WORKSPACE_MAX];
    uint32_t tag;
    uint32_t count;                     /* rows in it; 0: free */
    uint32_t next_free;
};

struct cf_batch {                       /* what has been freed */
    uint32_t slots;                     /* a list through cf_row.next */
    struct cf_dead *dead;
    size_t pieces;
};

struct cf_pool {                        /* pages of the maps, in slabs that double */
    struct cf_dead *free;
    struct cf_dead *slabs;
    char *next;                         /* the newest slab's next page that was never used, */
    uint32_t left;                      /* one of so many, */
    uint32_t slab_pages;                /* of so many in all */
};

struct cf_core {
    /* Read by every touch and look-up. */
    uint32_t fresh;                     /* slots at and above were never used */
    struct cf_chunk chunks[CF_TABLE_CHUNKS];
    struct cf_map ids;
    struct cf_map_key key;

    struct cf_core_allocator allocator;
    struct cf_limits limits;
    struct cf_policy policies[CF_KINDS_MAX];
    unsigned kinds;
    bool shared;
    size_t bytes;
    struct cf_counts counts;
    struct cf_tally tally;
    struct cf_batch collected, waiting;
    struct cf_pool pool;
    uint32_t count;
    uint32_t free_slots[CF_CLASSES];    /* lists through cf_row.next */

    struct cf_workspace *workspaces[CF_TABLE_CHUNKS];   /* 64 in the first, each twice as long as the one before */
    struct cf_map names;
    uint32_t workspace_capacity, workspace_fresh, workspace_count, free_workspace;
    uint32_t last_workspace;            /* that somebody came into, and that is not empty; or CF_MAP_NONE */
};

/* Times are never negative: every entry point passes the caller's `now` through here. */
static inline int64_t cf_table_now(int64_t now_ns)
{
    return now_ns < 0 ? 0 : now_ns;
}

/* ── slots (store.c) ── */

/* The chunk of a slot, and its place there. */
static inline uint32_t cf_table_chunk(uint32_t slot, uint32_t *ret_place)
{
    uint32_t from_64 = slot + CF_TABLE_BLOCK;
    uint32_t chunk = 25 - (uint32_t)__builtin_clz(from_64);
    *ret_place = from_64 - (CF_TABLE_BLOCK << chunk);
    return chunk;
}

static inline uint32_t *cf_table_gate(const struct cf_core *core, uint32_t slot)
{
    uint32_t place, chunk = cf_table_chunk(slot, &place);
    return &core->chunks[chunk].gates[place];
}

static inline int64_t *cf_table_used(const struct cf_core *core, uint32_t slot)
{
    uint32_t place, chunk = cf_table_chunk(slot, &place);
    return &core->chunks[chunk].used_ns[place];
}

static inline struct cf_row *cf_table_row(const struct cf_core *core, uint32_t slot)
{
    uint32_t place, chunk = cf_table_chunk(slot, &place);
    return &core->chunks[chunk].rows[place];
}

static inline struct cf_block *cf_table_block(const struct cf_core *core, uint32_t slot)
{
    uint32_t place, chunk = cf_table_chunk(slot, &place);
    return &core->chunks[chunk].blocks[place / CF_TABLE_BLOCK];
}

static inline int64_t cf_table_last_used(const struct cf_core *core, uint32_t slot)
{
    return __atomic_load_n(cf_table_used(core, slot), __ATOMIC_RELAXED);
}

static inline uint32_t cf_table_flags(const struct cf_row *row)
{
    return __atomic_load_n(&row->flags, __ATOMIC_ACQUIRE);
}

static inline enum cf_state cf_table_state(uint32_t flags)
{
    return (enum cf_state)(flags & CF_FLAG_STATE);
}

static inline unsigned cf_table_kind(uint32_t flags)
{
    return flags >> CF_FLAG_KIND_SHIFT & 0xf;
}

static inline enum cf_reason cf_table_reason(uint32_t flags)
{
    return (enum cf_reason)(flags >> CF_FLAG_REASON_SHIFT & 0xf);
}

static inline unsigned cf_table_class(uint32_t flags)
{
    return flags & (CF_FLAG_IDLE_OWN | CF_FLAG_AGE_OWN) ? CF_CLASS_OWN : cf_table_kind(flags);
}

static inline cf_handle cf_table_handle(const struct cf_core *core, uint32_t slot)
{
    uint32_t gate = __atomic_load_n(cf_table_gate(core, slot), __ATOMIC_ACQUIRE);
    return (cf_handle)(gate >> CF_GATE_SHIFT) << 32 | slot;
}

/* The row that the handle names, or NULL; *ret_flags then tells what it is. */
static inline struct cf_row *cf_table_named(const struct cf_core *core, cf_handle handle, uint32_t *ret_flags)
{
    uint32_t slot = (uint32_t)handle;
    if (slot >= __atomic_load_n(&core->fresh, __ATOMIC_ACQUIRE) ||
        __atomic_load_n(cf_table_gate(core, slot), __ATOMIC_ACQUIRE) >> CF_GATE_SHIFT != handle >> 32)
        return NULL;
    struct cf_row *row = cf_table_row(core, slot);
    uint32_t flags = cf_table_flags(row);
    if (cf_table_state(flags) == CF_STATE_FREE)
        return NULL;
    *ret_flags = flags;
    return row;
}

static inline struct cf_label *cf_table_label(const struct cf_row *row)
{
    struct cf_label *label;
    __builtin_memcpy(&label, row->text, sizeof label);
    return label;
}

/* The id of a row. */
static inline const char *cf_table_id(const struct cf_row *row, uint32_t flags)
{
    return flags & CF_FLAG_LABEL ? cf_table_label(row)->text : row->text;
}

/* Sets what the row is; its gate, the tally and what the block counts follow. */
void cf_table_become(struct cf_core *core, uint32_t slot, uint32_t flags);

/* See to it that a slot of the class is free.  False: no memory, or as many slots as there can be. */
bool cf_table_reserve(struct cf_core *core, unsigned class) __attribute__((warn_unused_result));
/* Takes one that is. */
uint32_t cf_table_take(struct cf_core *core, unsigned class);
void cf_table_put_free(struct cf_core *core, uint32_t slot);
/* Gives a row's slot back, its label and note as well. */
void cf_table_give(struct cf_core *core, uint32_t slot);
/* What a look-up has met. */
struct cf_seen {
    enum cf_state state;                /* of what was found */
    bool sure;                          /* what was not found is not there; beside the owner it may have been moved
                                         * meanwhile */
    bool dead;                          /* there are rows of this tag in limbo */
};
/* The handle of the id, or 0; SHARED. */
cf_handle cf_table_find(const struct cf_core *core, const char *id, uint32_t tag, struct cf_seen *ret_seen);
/* Takes rows of this tag that are in limbo out of the hash.  Else an id that comes and goes would fill a page with
 * them. */
void cf_table_forget(struct cf_core *core, uint32_t tag);

/* Memory of the table's own. */
void *cf_table_alloc(struct cf_core *core, size_t bytes);
void cf_table_dealloc(struct cf_core *core, void *memory, size_t bytes);

/* ── what was freed (limbo.c) ── */

/* Where the maps' memory comes from, and goes to by way of limbo. */
struct cf_store cf_limbo_store(struct cf_core *core);
void cf_limbo_bury(struct cf_core *core, struct cf_dead *dead);
/* The slot is FREE: it can be taken again as soon as nobody looks at it. */
void cf_limbo_slot(struct cf_core *core, uint32_t slot);
/* Gives everything back, the pages of the maps included; nobody reads any more. */
void cf_limbo_clear(struct cf_core *core);

/* ── workspaces (workspaces.c) ── */

/* The number of the workspace, or CF_MAP_NONE. */
uint32_t cf_workspaces_find(const struct cf_core *core, const char *name, uint32_t tag);
bool cf_workspaces_reserve(struct cf_core *core, uint32_t tag) __attribute__((warn_unused_result));
/* Makes one that is missing, with nobody in it; there is room. */
uint32_t cf_workspaces_make(struct cf_core *core, const char *name, size_t len, uint32_t tag);
/* Counts one out; the last one ends it. */
void cf_workspaces_leave(struct cf_core *core, uint32_t number);
struct cf_workspace *cf_workspaces_at(const struct cf_core *core, uint32_t number);

/* ── deadlines (policy.c) ── */

/* since + span, CF_NEVER_NS when that is more than fits.  Neither is negative. */
int64_t cf_policy_later(int64_t since_ns, int64_t span_ns);
/* Below 0 counts as 0. */
struct cf_policy cf_policy_at_least_0(const struct cf_policy *policy);
/* The limits in force for a row. */
struct cf_policy cf_policy_of(const struct cf_policy *policies, const struct cf_row *row, uint32_t flags);
/* A row may end by a rule from now on: its block must know. */
void cf_policy_note(struct cf_core *core, uint32_t slot);

#endif
