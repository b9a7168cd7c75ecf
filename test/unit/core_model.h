/* core_model.h: the session table as a model that is too simple to be wrong: an array that is walked in full, and rules
 * written as the requirements word them, in numbers that cannot overflow. */
#ifndef CURFEW_TEST_CORE_MODEL_H
#define CURFEW_TEST_CORE_MODEL_H

#include "core/core.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define S CF_NS_PER_S
#define ROWS 400                        /* the model's room; the limits stay below it */
#define IDS 600                         /* ids to draw from */
#define WORKSPACES 40
#define STALE 256                       /* handles of gone sessions that are tried again */

__extension__ typedef __int128 wide;

struct model_row {
    bool used;
    char id[CF_ID_MAX], workspace[CF_WORKSPACE_MAX];
    struct cf_session is;               /* what cf_core_get must say, but for names and times left */
    bool started;
};

#define TITLE "S0.14, S3.2, S3.3, S3.5: whatever happens, the table says what a simple model says"

struct world {
    struct cf_core *core;
    struct model_row rows[ROWS];
    struct cf_limits limits;
    struct cf_policy policies[CF_KINDS];
    uint64_t created, cleaned;
    cf_handle stale[STALE];
    size_t stale_count;
    int64_t now_ns;
    uint64_t random, seed;
    unsigned long step;
    int memory_left;                    /* allocations that still succeed; negative: all */
    size_t taken;
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

static inline void *take(void *context, size_t bytes)
{
    struct world *w = context;
    if (w->memory_left == 0)
        return NULL;
    if (w->memory_left > 0)
        w->memory_left--;
    w->taken++;
    return malloc(bytes);
}

static inline void give(void *context, void *memory)
{
    struct world *w = context;
    w->taken--;
    free(memory);
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

static inline enum cf_reason model_due(const struct model_row *row, int64_t now_ns)
{
    const struct cf_session *is = &row->is;
    if (!row->used)
        return CF_REASON_NONE;
    if (terminal(is))
        return is->state == CF_STATE_CLOSED ? CF_REASON_CLOSED : CF_REASON_FAILED;
    if (is->state != CF_STATE_ACTIVE)
        return CF_REASON_NONE;
    bool idle = !is->busy && over(now_ns, is->last_used_ns, is->idle_ns);
    bool age = over(now_ns, is->created_ns, is->age_ns);
    if (idle && age)
        return (wide)is->last_used_ns + is->idle_ns <= (wide)is->created_ns + is->age_ns ? CF_REASON_IDLE
                                                                                                 : CF_REASON_AGE;
    return idle ? CF_REASON_IDLE : age ? CF_REASON_AGE : CF_REASON_NONE;
}

static inline enum cf_reason model_due_emergency(const struct world *w, const struct model_row *row, int64_t now_ns)
{
    const struct cf_session *is = &row->is;
    if (row->used && terminal(is))
        return model_due(row, now_ns);
    if (!row->used || is->state != CF_STATE_ACTIVE || is->busy)
        return CF_REASON_NONE;
    return over(now_ns, is->last_used_ns, w->limits.emergency_idle_ns) ||
           over(now_ns, is->created_ns, w->limits.emergency_age_ns) ? CF_REASON_LIMIT : CF_REASON_NONE;
}

static inline int64_t model_left(int64_t now_ns, int64_t since_ns, int64_t limit_ns)
{
    wide deadline = (wide)since_ns + limit_ns;
    if (limit_ns == CF_NEVER_NS || deadline >= CF_NEVER_NS)
        return CF_NEVER_NS;
    return deadline > now_ns ? (int64_t)(deadline - now_ns) : 0;
}

static inline struct model_row *by_id(struct world *w, const char *id)
{
    for (int i = 0; i < ROWS; i++)
        if (w->rows[i].used && strcmp(w->rows[i].id, id) == 0)
            return &w->rows[i];
    return NULL;
}

static inline struct model_row *by_handle(struct world *w, cf_handle handle)
{
    for (int i = 0; i < ROWS; i++)
        if (w->rows[i].used && w->rows[i].is.handle == handle)
            return &w->rows[i];
    return NULL;
}

static inline uint32_t inside(const struct world *w, const char *workspace)
{
    uint32_t n = 0;
    for (int i = 0; i < ROWS; i++)
        n += w->rows[i].used && strcmp(w->rows[i].workspace, workspace) == 0;
    return n;
}

static inline uint32_t all(const struct world *w)
{
    uint32_t n = 0;
    for (int i = 0; i < ROWS; i++)
        n += w->rows[i].used;
    return n;
}

static inline struct model_row *any(struct world *w)
{
    int first = (int)draw(w, ROWS);
    for (int i = 0; i < ROWS; i++)
        if (w->rows[(first + i) % ROWS].used)
            return &w->rows[(first + i) % ROWS];
    return NULL;
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

#endif
