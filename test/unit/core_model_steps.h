/* core_model_steps.h: what can happen to one session, to the table and to the model (core_model.h) alike. */
#ifndef CURFEW_TEST_CORE_MODEL_STEPS_H
#define CURFEW_TEST_CORE_MODEL_STEPS_H

#include "core_model_check.h"

#define PHASE 8192                      /* steps; in every second phase the table grows until pages split */

static inline bool growing(const struct world *w)
{
    return w->step / PHASE % 2 == 0;
}

/* ── coming and going ── */

static inline int model_refusal(struct world *w, const struct cf_admission *want, int id, int workspace)
{
    if (want->kind >= w->kinds || want->idle_ns < 0 || want->age_ns < 0)
        return CF_E_INVALID;
    if (by_id(w, id) != NOBODY)
        return CF_E_EXISTS;
    if (inside(w, workspace) >= w->limits.max_per_workspace)
        return CF_E_WORKSPACE_FULL;
    if (active(w) >= w->limits.max_active)
        return CF_E_TOO_MANY_ACTIVE;
    return all(w) >= w->limits.max_sessions ? CF_E_TOO_MANY_SESSIONS : 0;
}

/* A handle is never given twice, and a slot not while a reader may still look at who was there. */
static inline void check_new_handle(struct world *w, cf_handle handle)
{
    uint32_t slot = (uint32_t)handle;
    MUST(w, handle != 0 && slot < SLOTS);
    MUST(w, w->limbo[slot] == TAKEABLE || (w->limbo[slot] == PERHAPS && w->perhaps-- > 0));
    w->limbo[slot] = TAKEABLE;
    MUST(w, handle >> 32 > w->generations[slot]);
    w->generations[slot] = (uint32_t)(handle >> 32);
}

static inline void model_admit(struct world *w, const struct cf_admission *want, int id, int workspace,
                               cf_handle handle)
{
    int at = 0;
    while (w->handles[at])
        at++;
    w->handles[at] = handle;
    w->ids[at] = id;
    w->workspaces[at] = workspace;
    w->rows[at] = (struct model_row){ .meddled = true, .is = {
        .handle = handle, .kind = want->kind, .state = CF_STATE_STARTING,
        .idle_own = want->idle_ns != 0, .age_own = want->age_ns != 0,
        .created_ns = w->now_ns, .last_used_ns = w->now_ns,
        .idle_ns = want->idle_ns ? want->idle_ns : w->policies[want->kind].idle_ns,
        .age_ns = want->age_ns ? want->age_ns : w->policies[want->kind].age_ns,
        .user = want->user,
    } };
}

static inline void draw_admission(struct world *w, struct cf_admission *ret)
{
    ret->kind = (unsigned)draw(w, w->kinds);
    ret->user = (void *)(uintptr_t)draw(w, UINT32_MAX);
    if (draw(w, 4) == 0)
        ret->idle_ns = draw_span(w);
    if (draw(w, 4) == 0)
        ret->age_ns = draw_span(w);
    switch (draw(w, 150)) {
    case 0: ret->idle_ns = -1 - ret->idle_ns / 2; break;
    case 1: ret->age_ns = INT64_MIN; break;
    case 2: ret->kind = w->kinds; break;
    }
}

static inline void do_started(struct world *w, int at);

static inline void do_admit(struct world *w)
{
    char name[CF_ID_MAX], place[CF_WORKSPACE_MAX];
    int id = (int)draw(w, IDS), workspace = (int)draw(w, 1 + draw(w, WORKSPACES));
    struct cf_admission want = { .id = name_id(id, name), .workspace = name_workspace(workspace, place) };
    draw_admission(w, &want);
    int refusal = model_refusal(w, &want, id, workspace);
    bool scarce = draw(w, 3) == 0;
    w->memory_left = scarce ? (int)draw(w, 6) : -1;
    cf_handle handle = 77;
    int rc = cf_core_admit(w->core, &want, w->now_ns, &handle, NULL);
    w->memory_left = -1;
    MUST(w, rc == refusal || (rc == CF_E_NO_MEMORY && scarce && refusal == 0));
    if (rc != 0) {
        MUST(w, handle == 77);
        return;
    }
    check_new_handle(w, handle);
    model_admit(w, &want, id, workspace, handle);
    if (draw(w, 4) != 0)
        do_started(w, by_handle(w, handle));
}

static inline void model_gone(struct world *w, int at)
{
    const struct model_row *row = &w->rows[at];
    size_t stale = w->stale_count < STALE ? w->stale_count++ : draw(w, STALE);
    w->cleaned += row->started;
    w->ended[row->is.reason] += row->started;
    w->stale[stale] = row->is.handle;
    w->handles[at] = 0;
    if (w->shared)
        w->limbo[(uint32_t)row->is.handle] = COLLECTED;
}

static inline void do_gone(struct world *w, int at)
{
    cf_core_gone(w->core, w->handles[at]);
    model_gone(w, at);
}

/* ── what happens to a session ── */

static inline void model_touch(struct cf_session *is, int64_t now_ns)
{
    if (open_to_touches(is) && now_ns > is->last_used_ns)
        is->last_used_ns = now_ns;
}

static inline void do_started(struct world *w, int at)
{
    struct cf_session *is = &w->rows[at].is;
    cf_core_started(w->core, is->handle, w->now_ns);
    if (is->state != CF_STATE_STARTING)
        return;
    is->state = CF_STATE_ACTIVE;
    w->rows[at].started = true;
    w->created++;
    model_touch(is, w->now_ns);
}

static inline void do_touch(struct world *w, int at)
{
    struct cf_session *is = &w->rows[at].is;
    enum cf_touch cause = (enum cf_touch)draw(w, CF_TOUCH_TOOL + 1);
    int64_t now_ns = draw(w, 20) ? w->now_ns : w->now_ns - (int64_t)draw(w, (uint64_t)(2000 * S));
    int rc = cf_core_touch(w->core, is->handle, now_ns, cause);
    MUST(w, rc == (open_to_touches(is) ? 0 : is->state == CF_STATE_ENDING ? CF_E_GONE : CF_E_NOT_READY));
    if (open_to_touches(is) && (cause == CF_TOUCH_COMMAND || cause == CF_TOUCH_INPUT))
        is->message_count++;
    model_touch(is, now_ns);
}

static inline void do_busy(struct world *w, int at)
{
    struct cf_session *is = &w->rows[at].is;
    bool busy = draw(w, 2);
    cf_core_busy(w->core, is->handle, busy, w->now_ns);
    if (busy == is->busy || (is->state != CF_STATE_ACTIVE && is->state != CF_STATE_ENDING))
        return;
    is->busy = busy;
    model_touch(is, w->now_ns);
}

static inline void do_left(struct world *w, int at)
{
    struct cf_session *is = &w->rows[at].is;
    char text[2 * CF_FAILURE_MAX];
    size_t len = draw(w, sizeof text);
    memset(text, 'a' + (int)draw(w, 26), len);
    text[len] = '\0';
    const char *why = draw(w, 4) ? text : NULL;
    enum cf_state to = draw(w, 2) ? CF_STATE_CLOSED : CF_STATE_FAILED;
    w->memory_left = draw(w, 4) ? -1 : 0;
    cf_core_left(w->core, is->handle, to, why);
    bool kept = why && w->memory_left < 0;
    w->memory_left = -1;
    if (is->state != CF_STATE_ACTIVE)
        return;
    is->state = to;
    is->busy = false;
    if (kept)
        snprintf(is->failure, sizeof is->failure, "%.*s", CF_FAILURE_MAX - 1, why);
}

static inline void do_ending(struct world *w, int at, enum cf_reason reason)
{
    struct cf_session *is = &w->rows[at].is;
    bool can = is->state != CF_STATE_ENDING;
    MUST(w, cf_core_ending(w->core, is->handle, reason) == can);
    if (!can)
        return;
    is->state = CF_STATE_ENDING;
    is->reason = reason;
}

static inline void do_ask(struct world *w, int at)
{
    struct cf_session *is = &w->rows[at].is;
    enum cf_reason reason = (enum cf_reason)(1 + draw(w, CF_REASONS - 1));
    bool can = is->state != CF_STATE_ENDING && !is->asked;
    MUST(w, cf_core_ask(w->core, is->handle, reason) == can);
    if (!can)
        return;
    is->asked = true;
    is->reason = reason;
}

static inline void do_asked(struct world *w, int at)
{
    struct cf_session *is = &w->rows[at].is;
    cf_core_asked(w->core, is->handle);
    if (!is->asked)
        return;
    is->asked = false;
    if (is->state != CF_STATE_ENDING)
        is->reason = CF_REASON_NONE;
}

static inline void do_stale(struct world *w)
{
    if (w->stale_count == 0)
        return;
    cf_handle handle = w->stale[draw(w, w->stale_count)];
    struct cf_due due = { .handle = handle, .reason = CF_REASON_IDLE };
    cf_core_started(w->core, handle, w->now_ns);
    MUST(w, cf_core_touch(w->core, handle, w->now_ns, CF_TOUCH_COMMAND) == CF_E_GONE);
    cf_core_busy(w->core, handle, true, w->now_ns);
    cf_core_left(w->core, handle, CF_STATE_CLOSED, "late");
    MUST(w, !cf_core_ending(w->core, handle, CF_REASON_LOST));
    MUST(w, !cf_core_ask(w->core, handle, CF_REASON_LOST));
    cf_core_asked(w->core, handle);
    MUST(w, cf_core_drop(w->core, &due, 1, w->now_ns) == 0);
    cf_core_gone(w->core, handle);
}

static inline void do_row_step(struct world *w)
{
    int at = any(w);
    uint64_t choice = draw(w, 100);
    if (at == NOBODY)
        return;
    w->rows[at].meddled = true;
    if (choice < 10)
        do_started(w, at);
    else if (choice < 50)
        do_touch(w, at);
    else if (choice < 64)
        do_busy(w, at);
    else if (choice < 69)
        do_left(w, at);
    else if (choice < 74)
        do_ending(w, at, (enum cf_reason)(1 + draw(w, CF_REASONS - 1)));
    else if (choice < 79)
        do_ask(w, at);
    else if (choice < 86)
        do_asked(w, at);
    else if (!growing(w) || choice == 99)
        do_gone(w, at);
    if (w->handles[at])
        check_row(w, at);
}

#endif
