/* core_model.h: the session table as a model that is too simple to be wrong: arrays that are walked in full, and rules
 * written as the requirements word them, in numbers that cannot overflow. */
#ifndef CURFEW_TEST_CORE_MODEL_H
#define CURFEW_TEST_CORE_MODEL_H

#include "core/core.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S CF_NS_PER_S
#define ROWS 1000                       /* the model's room; the limits stay below it.  Enough for pages to split */
#define IDS 1500                        /* ids to draw from */
#define WORKSPACES 500
#define STALE 256                       /* handles of gone sessions that are tried again */
#define SLOTS 65536                     /* numbers of rows that the table may use: far more than it should need */
#define NOBODY (-1)

__extension__ typedef __int128 wide;

struct model_row {
    struct cf_session is;               /* what cf_core_get must say, but for the names and times left */
    bool started;
    bool meddled;                       /* something happened to it since do_walk cleared this */
};

#define TITLE "S0.14, S2.1, S2.2, S3.2, S3.3, S3.5: whatever happens, the table says what a simple model says"

enum limbo { TAKEABLE, COLLECTED, WAITING, PERHAPS };      /* PERHAPS: of a batch that is freed in part */

struct world {
    struct cf_core *core;
    cf_handle handles[ROWS];            /* 0: this place is free */
    int ids[ROWS], workspaces[ROWS];    /* numbers of names, see name_id and name_workspace */
    struct model_row rows[ROWS];
    struct cf_limits limits;
    struct cf_policy policies[CF_KINDS_MAX];
    unsigned kinds;
    bool shared;
    uint64_t created, cleaned, ended[CF_REASONS];
    cf_handle stale[STALE];
    size_t stale_count;
    uint32_t generations[SLOTS];        /* the last one of each slot that was given out */
    enum limbo limbo[SLOTS];
    size_t perhaps;                     /* how many slots of that batch may be taken */
    uint32_t cursor;                    /* of a scan that goes on for ever */
    int64_t now_ns;
    uint64_t random, seed;
    unsigned long step;
    int memory_left;                    /* allocations that still succeed; negative: all */
    size_t pieces, bytes;               /* that the table has taken */
};

static inline void fail(const struct world *w, const char *what, int line)
{
    printf("not ok 1 - " TITLE "\n# step %lu, seed %" PRIu64 ", line %d: %s\n", w->step, w->seed, line, what);
    exit(1);
}
#define MUST(w, condition) do { if (!(condition)) fail(w, #condition, __LINE__); } while (0)

static inline uint64_t draw(struct world *w, uint64_t below)  /* xorshift64* */
{
    w->random ^= w->random >> 12;
    w->random ^= w->random << 25;
    w->random ^= w->random >> 27;
    return (w->random * 0x2545f4914f6cdd1du >> 16) % below;
}

static inline int64_t draw_span(struct world *w)
{
    switch (draw(w, 12)) {
    case 0: return 0;
    case 1: return CF_NEVER_NS;
    case 2: return CF_NEVER_NS - 1;
    case 3: return 1;
    case 4: return INT64_MAX / 2;
    default: return (int64_t)draw(w, (uint64_t)(400 * S));
    }
}

/* ── memory ── */

#define SIZE_BYTES 16                   /* before each piece: how large it is */

static inline void *take(void *context, size_t bytes)
{
    struct world *w = context;
    if (w->memory_left == 0)
        return NULL;
    if (w->memory_left > 0)
        w->memory_left--;
    char *memory = malloc(SIZE_BYTES + bytes);
    if (!memory)
        return NULL;
    memcpy(memory, &bytes, sizeof bytes);
    memset(memory + SIZE_BYTES, 0xa5, bytes);       /* nobody may count on zeros */
    w->pieces++;
    w->bytes += bytes;
    return memory + SIZE_BYTES;
}

static inline void give(void *context, void *memory)
{
    struct world *w = context;
    size_t bytes;
    if (!memory)
        return;
    memcpy(&bytes, (char *)memory - SIZE_BYTES, sizeof bytes);
    w->pieces--;
    w->bytes -= bytes;
    free((char *)memory - SIZE_BYTES);
}

/* ── names: of every length that is allowed, the same for the same number ── */

static inline const char *name_of(int number, size_t size, char *ret)
{
    size_t least = (size_t)snprintf(ret, size, "%d", number), len = 1 + (size_t)number * 7 % (size - 1);
    if (len < least)
        len = least;
    memset(ret + least, 'x', len - least);
    ret[len] = '\0';
    return ret;
}

static inline const char *name_id(int number, char ret[CF_ID_MAX])
{
    /* Every second one short: there the border lies between ids that are kept in the row and those that are not. */
    return name_of(number, number % 2 ? 32 : CF_ID_MAX, ret);
}

static inline const char *name_workspace(int number, char ret[CF_WORKSPACE_MAX])
{
    return name_of(number, CF_WORKSPACE_MAX, ret);
}

/* ── the model's rules ── */

static inline bool over(int64_t now_ns, int64_t since_ns, int64_t limit_ns)
{
    return limit_ns != CF_NEVER_NS && (wide)now_ns - since_ns > limit_ns;
}

static inline bool terminal(const struct cf_session *is)
{
    return is->state == CF_STATE_CLOSED || is->state == CF_STATE_FAILED;
}

static inline bool open_to_touches(const struct cf_session *is)
{
    return is->state == CF_STATE_ACTIVE || is->state == CF_STATE_STARTING;
}

static inline struct cf_policy model_limits(const struct cf_judge *judge, const struct cf_session *is)
{
    struct cf_policy limits = { is->idle_ns, is->age_ns };
    if (judge->policies && !is->idle_own)
        limits.idle_ns = judge->policies[is->kind].idle_ns;
    if (judge->policies && !is->age_own)
        limits.age_ns = judge->policies[is->kind].age_ns;
    return judge->all ? *judge->all : limits;
}

/* What cf_core_judge_one must say; reason NONE when the row is not due. */
static inline struct cf_due model_judge(const struct cf_judge *judge, const struct cf_session *is)
{
    int64_t now_ns = judge->now_ns < 0 ? 0 : judge->now_ns;
    struct cf_due due = { .handle = is->handle, .reason = CF_REASON_NONE };
    due.idle_for_ns = now_ns > is->last_used_ns ? now_ns - is->last_used_ns : 0;
    if (is->asked)
        return due;
    if (terminal(is))
        due.reason = is->state == CF_STATE_CLOSED ? CF_REASON_CLOSED : CF_REASON_FAILED;
    if (is->state != CF_STATE_ACTIVE || (is->busy && judge->all))
        return due;
    struct cf_policy limits = model_limits(judge, is);
    bool idle = !is->busy && over(now_ns, is->last_used_ns, limits.idle_ns);
    bool age = over(now_ns, is->created_ns, limits.age_ns);
    if (!idle && !age)
        return due;
    wide idle_at = (wide)is->last_used_ns + limits.idle_ns, age_at = (wide)is->created_ns + limits.age_ns;
    bool by_idle = idle && (!age || idle_at <= age_at);
    due.reason = judge->reason != CF_REASON_NONE ? judge->reason : by_idle ? CF_REASON_IDLE : CF_REASON_AGE;
    due.when_ns = (int64_t)(by_idle ? idle_at : age_at);
    return due;
}

static inline int64_t model_left(int64_t now_ns, int64_t since_ns, int64_t limit_ns)
{
    wide deadline = (wide)since_ns + limit_ns;
    if (limit_ns == CF_NEVER_NS || deadline >= CF_NEVER_NS)
        return CF_NEVER_NS;
    return deadline > now_ns ? (int64_t)(deadline - now_ns) : 0;
}

/* The first moment at which this one would be due, by the rules in force. */
static inline int64_t model_next(const struct cf_session *is)
{
    if (terminal(is))
        return 0;
    if (is->state != CF_STATE_ACTIVE)
        return CF_NEVER_NS;
    int64_t idle_ns = is->busy ? CF_NEVER_NS : model_left(0, is->last_used_ns, is->idle_ns);
    int64_t age_ns = model_left(0, is->created_ns, is->age_ns);
    int64_t first_ns = idle_ns < age_ns ? idle_ns : age_ns;
    return first_ns == CF_NEVER_NS ? CF_NEVER_NS : first_ns + 1;
}

/* ── who is here ── */

static inline int by_id(const struct world *w, int id)
{
    for (int i = 0; i < ROWS; i++)
        if (w->handles[i] && w->ids[i] == id)
            return i;
    return NOBODY;
}

static inline int by_handle(const struct world *w, cf_handle handle)
{
    for (int i = 0; i < ROWS; i++)
        if (w->handles[i] == handle)
            return i;
    return NOBODY;
}

static inline uint32_t inside(const struct world *w, int workspace)
{
    uint32_t n = 0;
    for (int i = 0; i < ROWS; i++)
        n += w->handles[i] && w->workspaces[i] == workspace;
    return n;
}

static inline uint32_t all(const struct world *w)
{
    uint32_t n = 0;
    for (int i = 0; i < ROWS; i++)
        n += w->handles[i] != 0;
    return n;
}

static inline uint32_t active(const struct world *w)
{
    uint32_t n = 0;
    for (int i = 0; i < ROWS; i++)
        n += w->handles[i] && open_to_touches(&w->rows[i].is);
    return n;
}

static inline int any(struct world *w)
{
    int first = (int)draw(w, ROWS);
    for (int i = 0; i < ROWS; i++)
        if (w->handles[(first + i) % ROWS])
            return (first + i) % ROWS;
    return NOBODY;
}

#endif
