/* core_model_check.h: whether the table says of everything what the model (core_model.h) says of it. */
#ifndef CURFEW_TEST_CORE_MODEL_CHECK_H
#define CURFEW_TEST_CORE_MODEL_CHECK_H

#include "core_model.h"

static inline void check_times_left(struct world *w, const struct cf_session *got, const struct cf_session *want)
{
    int64_t idle_left = CF_NEVER_NS, age_left = CF_NEVER_NS;
    if (terminal(want))
        idle_left = age_left = 0;
    if (want->state == CF_STATE_ACTIVE && !want->busy)
        idle_left = model_left(w->now_ns, want->last_used_ns, want->idle_ns);
    if (want->state == CF_STATE_ACTIVE)
        age_left = model_left(w->now_ns, want->created_ns, want->age_ns);
    MUST(w, got->idle_left_ns == idle_left && got->age_left_ns == age_left);
}

static inline void check_names(struct world *w, int at, const struct cf_session *got)
{
    char id[CF_ID_MAX], workspace[CF_WORKSPACE_MAX];
    cf_handle found = 0, shared = 0;
    name_id(w->ids[at], id);
    MUST(w, strcmp(got->id, id) == 0);
    MUST(w, strcmp(got->workspace, name_workspace(w->workspaces[at], workspace)) == 0);
    MUST(w, cf_core_find(w->core, id, &found) && found == w->handles[at]);
    if (got->state == CF_STATE_ENDING)
        MUST(w, cf_core_find_shared(w->core, id, &shared) == CF_ABSENT && shared == 0);
    else
        MUST(w, cf_core_find_shared(w->core, id, &shared) == CF_FOUND && shared == w->handles[at]);
}

static inline void check_row(struct world *w, int at)
{
    struct cf_session got;
    const struct cf_session *want = &w->rows[at].is;
    MUST(w, cf_core_get(w->core, w->handles[at], w->now_ns, &got));
    MUST(w, cf_core_state(w->core, w->handles[at]) == want->state);
    MUST(w, got.handle == w->handles[at] && got.kind == want->kind && got.state == want->state);
    MUST(w, got.reason == want->reason && got.busy == want->busy && got.asked == want->asked);
    MUST(w, got.idle_own == want->idle_own && got.age_own == want->age_own);
    MUST(w, got.created_ns == want->created_ns && got.last_used_ns == want->last_used_ns);
    MUST(w, got.idle_ns == want->idle_ns && got.age_ns == want->age_ns);
    MUST(w, got.message_count == want->message_count && got.user == want->user);
    MUST(w, strcmp(got.failure, want->failure) == 0);
    check_names(w, at, &got);
    check_times_left(w, &got, want);
}

static inline void check_workspaces(struct world *w)
{
    uint32_t counts[WORKSPACES] = { 0 }, some = 0;
    char name[CF_WORKSPACE_MAX];
    for (int i = 0; i < ROWS; i++)
        if (w->handles[i])
            counts[w->workspaces[i]]++;
    for (int i = 0; i < WORKSPACES; i++) {
        MUST(w, cf_core_in_workspace(w->core, name_workspace(i, name)) == counts[i]);
        some += counts[i] > 0;
    }
    MUST(w, cf_core_workspaces(w->core) == some);
}

static inline void check_counts(struct world *w)
{
    const struct cf_counts *counts = cf_core_counts(w->core);
    const struct cf_tally *tally = cf_core_tally(w->core);
    uint32_t here[CF_KINDS_MAX][CF_STATES] = { { 0 } }, unstarted = 0;
    for (int i = 0; i < ROWS; i++)
        if (w->handles[i]) {
            here[w->rows[i].is.kind][w->rows[i].is.state]++;
            unstarted += !w->rows[i].started;
        }
    MUST(w, memcmp(tally->here, here, sizeof here) == 0);
    MUST(w, memcmp(tally->ended, w->ended, sizeof w->ended) == 0);
    MUST(w, tally->unstarted == unstarted);
    MUST(w, cf_core_count(w->core) == all(w) && counts->sessions_active == all(w));
    MUST(w, counts->sessions_created == w->created && counts->sessions_cleaned == w->cleaned);
    MUST(w, w->created == w->cleaned + all(w) - unstarted);
    MUST(w, cf_core_bytes(w->core) == w->bytes);
}

/* What is in limbo is in nobody's hands, and without readers there is no limbo. */
static inline void check_limbo(struct world *w)
{
    size_t collected = 0, waiting = 0;
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        collected += w->limbo[slot] == COLLECTED;
        waiting += w->limbo[slot] == WAITING;
    }
    MUST(w, cf_core_limbo_collected(w->core) >= collected);
    MUST(w, waiting == 0 || cf_core_limbo_waiting(w->core));
    if (!w->shared)
        MUST(w, cf_core_limbo_collected(w->core) == 0 && !cf_core_limbo_waiting(w->core));
}

static inline void check_stale(struct world *w, cf_handle handle)
{
    struct cf_session session = { .handle = 77 };
    struct cf_due due = { .handle = 77 };
    const struct cf_judge judge = { .now_ns = INT64_MAX };
    MUST(w, !cf_core_get(w->core, handle, w->now_ns, &session) && session.handle == 77);
    MUST(w, cf_core_state(w->core, handle) == CF_STATE_FREE);
    MUST(w, !cf_core_judge_one(w->core, handle, &judge, &due) && due.handle == 77);
}

static inline void check_all(struct world *w)
{
    size_t cursor = 0;
    uint32_t walked = 0;
    cf_handle handle, last = 0;
    for (int i = 0; i < ROWS; i++)
        if (w->handles[i])
            check_row(w, i);
    while (cf_core_next(w->core, &cursor, &handle)) {
        MUST(w, by_handle(w, handle) != NOBODY);
        MUST(w, walked == 0 || (uint32_t)handle > (uint32_t)last);     /* each once: none is passed twice */
        last = handle;
        walked++;
    }
    MUST(w, walked == all(w));
    for (size_t i = 0; i < w->stale_count; i++)
        check_stale(w, w->stale[i]);
    check_workspaces(w);
    check_counts(w);
    check_limbo(w);
}

/* ── who is due ── */

static inline bool same_due(const struct cf_due *a, const struct cf_due *b)
{
    return a->handle == b->handle && a->reason == b->reason && a->when_ns == b->when_ns &&
           a->idle_for_ns == b->idle_for_ns;
}

/* Each of the list is due by the judge and named once; returns how many. */
static inline void check_list(struct world *w, const struct cf_judge *judge, const struct cf_due *due, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int at = by_handle(w, due[i].handle);
        MUST(w, at != NOBODY);
        struct cf_due want = model_judge(judge, &w->rows[at].is);
        MUST(w, want.reason != CF_REASON_NONE && same_due(&due[i], &want));
        MUST(w, i == 0 || (uint32_t)due[i].handle > (uint32_t)due[i - 1].handle);
    }
}

static inline size_t count_due(const struct world *w, const struct cf_judge *judge)
{
    size_t n = 0;
    for (int i = 0; i < ROWS; i++)
        n += w->handles[i] && model_judge(judge, &w->rows[i].is).reason != CF_REASON_NONE;
    return n;
}

static inline struct cf_judge judge_of(const struct world *w, bool emergency, int64_t now_ns)
{
    struct cf_judge judge = { .now_ns = now_ns };
    if (emergency) {
        judge.all = &w->limits.emergency;
        judge.reason = CF_REASON_LIMIT;
    }
    return judge;
}

/* Both kinds of due, at one time: as many as in the model, each with its reason, nobody twice. */
static inline size_t check_due(struct world *w, bool emergency, int64_t now_ns, struct cf_due *due, size_t max)
{
    struct cf_judge judge = judge_of(w, emergency, now_ns);
    size_t n = emergency ? cf_core_due_emergency(w->core, now_ns, due, max) : cf_core_due(w->core, now_ns, due, max);
    size_t expected = count_due(w, &judge);
    MUST(w, n == (expected < max ? expected : max));
    check_list(w, &judge, due, n);
    return n;
}

static inline void check_judge_one(struct world *w, const struct cf_judge *judge, int at)
{
    struct cf_due want = model_judge(judge, &w->rows[at].is), got = { .handle = 77 };
    bool is_due = cf_core_judge_one(w->core, w->handles[at], judge, &got);
    MUST(w, is_due == (want.reason != CF_REASON_NONE));
    MUST(w, is_due ? same_due(&got, &want) : got.handle == 77);
}

/* A moment of its own for each row that is asked about: whether it counts meanwhile is open. */
static inline void check_next_due(struct world *w)
{
    int64_t least_ns = CF_NEVER_NS, by_parts_ns = CF_NEVER_NS;
    for (int i = 0; i < ROWS; i++) {
        int64_t one_ns = w->handles[i] && !w->rows[i].is.asked ? model_next(&w->rows[i].is) : CF_NEVER_NS;
        if (one_ns < least_ns)
            least_ns = one_ns;
    }
    uint32_t cursor = 0;
    if (draw(w, 2))
        while (cursor != CF_SCAN_END)
            cf_core_next_due_part(w->core, &cursor, 1 + (uint32_t)draw(w, 4), &by_parts_ns);
    int64_t next_ns = cf_core_next_due(w->core);
    MUST(w, next_ns == least_ns);
    MUST(w, cursor == 0 || by_parts_ns == next_ns);
}

#endif
