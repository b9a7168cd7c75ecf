/* test_core_model.c: random operations on the session table, each done on the model (core_model.h) as well.
 *
 *   test_core_model [STEPS [SEED]]     or CURFEW_MODEL_STEPS and CURFEW_MODEL_SEED in the environment
 *
 * Nothing is left to chance but the seed, which is printed first: the same steps and seed give the same run. */
#include "core_model.h"

#include <time.h>

#define DEFAULT_STEPS 300000

/* ── comparing ── */

static void check_row(struct world *w, const struct model_row *row)
{
    struct cf_session got, want = row->is;
    cf_handle found = 0;
    bool active = want.state == CF_STATE_ACTIVE;
    MUST(w, cf_core_find(w->core, row->id, &found) && found == want.handle);
    MUST(w, cf_core_get(w->core, want.handle, w->now_ns, &got));
    MUST(w, strcmp(got.id, row->id) == 0 && strcmp(got.workspace, row->workspace) == 0);
    MUST(w, got.handle == want.handle && got.kind == want.kind && got.state == want.state);
    MUST(w, got.reason == want.reason && got.busy == want.busy);
    MUST(w, got.idle_own == want.idle_own && got.age_own == want.age_own);
    MUST(w, got.created_ns == want.created_ns && got.last_used_ns == want.last_used_ns);
    MUST(w, got.idle_ns == want.idle_ns && got.age_ns == want.age_ns);
    MUST(w, got.message_count == want.message_count);
    int64_t idle_left = terminal(&want) ? 0 : active && !want.busy
        ? model_left(w->now_ns, want.last_used_ns, want.idle_ns) : CF_NEVER_NS;
    int64_t age_left = terminal(&want) ? 0 : active
        ? model_left(w->now_ns, want.created_ns, want.age_ns) : CF_NEVER_NS;
    MUST(w, got.idle_left_ns == idle_left && got.age_left_ns == age_left);
}

static void check_counts(struct world *w)
{
    const struct cf_counts *counts = cf_core_counts(w->core);
    char name[CF_WORKSPACE_MAX];
    uint32_t workspaces = 0;
    for (int i = 0; i < WORKSPACES; i++) {
        snprintf(name, sizeof name, "w%d", i);
        uint32_t n = inside(w, name);
        MUST(w, cf_core_in_workspace(w->core, name) == n);
        workspaces += n > 0;
    }
    MUST(w, cf_core_workspaces(w->core) == workspaces);
    MUST(w, cf_core_count(w->core) == all(w) && counts->sessions_active == all(w));
    MUST(w, counts->sessions_created == w->created);
    MUST(w, counts->sessions_cleaned == w->cleaned);
}

static void check_all(struct world *w)
{
    size_t cursor = 0;
    uint32_t walked = 0;
    cf_handle handle;
    struct cf_session session;
    for (int i = 0; i < ROWS; i++)
        if (w->rows[i].used)
            check_row(w, &w->rows[i]);
    while (cf_core_next(w->core, &cursor, &handle)) {
        MUST(w, by_handle(w, handle) != NULL);
        walked++;
    }
    MUST(w, walked == all(w));
    for (size_t i = 0; i < w->stale_count; i++)
        MUST(w, !cf_core_get(w->core, w->stale[i], w->now_ns, &session));
    check_counts(w);
}

/* Both kinds of due, at one time: as many as in the model, each with its reason, nobody twice. */
static size_t check_due(struct world *w, bool emergency, int64_t now_ns, struct cf_due *due, size_t max)
{
    bool seen[ROWS] = { false };
    size_t n = emergency ? cf_core_due_emergency(w->core, now_ns, due, max) : cf_core_due(w->core, now_ns, due, max);
    size_t expected = 0;
    for (int i = 0; i < ROWS; i++)
        expected += (emergency ? model_due_emergency(w, &w->rows[i], now_ns) : model_due(&w->rows[i], now_ns)) != 0;
    MUST(w, n == (expected < max ? expected : max));
    for (size_t i = 0; i < n; i++) {
        struct model_row *row = by_handle(w, due[i].handle);
        MUST(w, row != NULL && !seen[row - w->rows]);
        seen[row - w->rows] = true;
        MUST(w, due[i].reason == (emergency ? model_due_emergency(w, row, now_ns) : model_due(row, now_ns)));
        int64_t idle_for = now_ns > row->is.last_used_ns ? now_ns - row->is.last_used_ns : 0;
        MUST(w, due[i].idle_for_ns == idle_for);
    }
    return n;
}

static void check_next_due(struct world *w)
{
    struct cf_due due[ROWS];
    int64_t next = cf_core_next_due(w->core);
    if (next != CF_NEVER_NS)
        MUST(w, check_due(w, false, next, due, ROWS) > 0);
    if (next > 0)
        MUST(w, check_due(w, false, next - 1, due, ROWS) == 0);
}

/* ── operations ── */

static int model_refusal(struct world *w, const struct cf_admission *want)
{
    if (want->idle_ns < 0 || want->age_ns < 0 || by_id(w, want->id))
        return CF_E_INVALID;
    if (inside(w, want->workspace) >= w->limits.max_per_workspace)
        return CF_E_WORKSPACE_FULL;
    return all(w) >= w->limits.max_sessions ? CF_E_TOO_MANY_SESSIONS : 0;
}

static void model_admit(struct world *w, const struct cf_admission *want, cf_handle handle)
{
    struct model_row *row = w->rows;
    while (row->used)
        row++;
    *row = (struct model_row){ .used = true };
    strcpy(row->id, want->id);
    strcpy(row->workspace, want->workspace);
    row->is = (struct cf_session){
        .handle = handle, .kind = want->kind, .state = CF_STATE_STARTING,
        .idle_own = want->idle_ns != 0, .age_own = want->age_ns != 0,
        .created_ns = w->now_ns, .last_used_ns = w->now_ns,
        .idle_ns = want->idle_ns ? want->idle_ns : w->policies[want->kind].idle_ns,
        .age_ns = want->age_ns ? want->age_ns : w->policies[want->kind].age_ns,
    };
}

static void do_admit(struct world *w)
{
    char id[CF_ID_MAX], workspace[CF_WORKSPACE_MAX];
    snprintf(id, sizeof id, "bash_%d", (int)draw(w, IDS));
    snprintf(workspace, sizeof workspace, "w%d", (int)draw(w, WORKSPACES));
    struct cf_admission want = { id, workspace, (enum cf_kind)draw(w, CF_KINDS), 0, 0 };
    if (draw(w, 4) == 0)
        want.idle_ns = draw_span(w);
    if (draw(w, 4) == 0)
        want.age_ns = draw_span(w);
    if (draw(w, 50) == 0)
        want.idle_ns = -1 - want.idle_ns / 2;
    bool scarce = draw(w, 3) == 0;
    w->memory_left = scarce ? (int)draw(w, 6) : -1;
    cf_handle handle = 77;
    int rc = cf_core_admit(w->core, &want, w->now_ns, &handle, NULL);
    w->memory_left = -1;
    if (rc == CF_E_NO_MEMORY) {
        MUST(w, scarce && handle == 77 && model_refusal(w, &want) == 0);
        return;
    }
    MUST(w, rc == model_refusal(w, &want));
    if (rc != 0) {
        MUST(w, handle == 77);
        return;
    }
    MUST(w, handle != 0 && by_handle(w, handle) == NULL);
    for (size_t i = 0; i < w->stale_count; i++)
        MUST(w, w->stale[i] != handle);
    model_admit(w, &want, handle);
    if (draw(w, 4) != 0) {
        cf_core_started(w->core, handle, w->now_ns);
        by_handle(w, handle)->is.state = CF_STATE_ACTIVE;
        by_handle(w, handle)->started = true;
        w->created++;
    }
}

static void model_touch(struct world *w, struct model_row *row)
{
    bool open = row->is.state == CF_STATE_ACTIVE || row->is.state == CF_STATE_STARTING;
    if (open && w->now_ns > row->is.last_used_ns)
        row->is.last_used_ns = w->now_ns;
}

static void do_started(struct world *w, struct model_row *row)
{
    cf_core_started(w->core, row->is.handle, w->now_ns);
    if (row->is.state != CF_STATE_STARTING)
        return;
    row->is.state = CF_STATE_ACTIVE;
    row->started = true;
    w->created++;
    model_touch(w, row);
}

static void do_touch(struct world *w, struct model_row *row)
{
    enum cf_touch cause = (enum cf_touch)draw(w, CF_TOUCH_STATE + 1);
    bool open = row->is.state == CF_STATE_ACTIVE || row->is.state == CF_STATE_STARTING;
    cf_core_touch(w->core, row->is.handle, w->now_ns, cause);
    if (open && (cause == CF_TOUCH_COMMAND || cause == CF_TOUCH_INPUT))
        row->is.message_count++;
    model_touch(w, row);
}

static void do_busy(struct world *w, struct model_row *row)
{
    bool busy = draw(w, 2);
    cf_core_busy(w->core, row->is.handle, busy, w->now_ns);
    if (busy == row->is.busy || (row->is.state != CF_STATE_ACTIVE && row->is.state != CF_STATE_ENDING))
        return;
    row->is.busy = busy;
    model_touch(w, row);
}

static void do_left(struct world *w, struct model_row *row)
{
    enum cf_state to = draw(w, 2) ? CF_STATE_CLOSED : CF_STATE_FAILED;
    cf_core_left(w->core, row->is.handle, to);
    if (row->is.state != CF_STATE_ACTIVE)
        return;
    row->is.state = to;
    row->is.busy = false;
}

static void do_ending(struct world *w, struct model_row *row, enum cf_reason reason)
{
    bool can = row->is.state != CF_STATE_ENDING;
    MUST(w, cf_core_ending(w->core, row->is.handle, reason) == can);
    if (!can)
        return;
    row->is.state = CF_STATE_ENDING;
    row->is.reason = reason;
}

static void do_gone(struct world *w, struct model_row *row)
{
    cf_core_gone(w->core, row->is.handle);
    w->cleaned += row->started;
    row->used = false;
    size_t at = w->stale_count < STALE ? w->stale_count++ : draw(w, STALE);
    w->stale[at] = row->is.handle;
}

static void do_stale(struct world *w)
{
    if (w->stale_count == 0)
        return;
    cf_handle handle = w->stale[draw(w, w->stale_count)];
    cf_core_started(w->core, handle, w->now_ns);
    cf_core_touch(w->core, handle, w->now_ns, CF_TOUCH_COMMAND);
    cf_core_busy(w->core, handle, true, w->now_ns);
    cf_core_left(w->core, handle, CF_STATE_CLOSED);
    MUST(w, !cf_core_ending(w->core, handle, CF_REASON_LOST));
    cf_core_gone(w->core, handle);
}

static void do_policy(struct world *w)
{
    enum cf_kind kind = (enum cf_kind)draw(w, CF_KINDS);
    struct cf_policy *policy = &w->policies[kind];
    *policy = (struct cf_policy){ draw_span(w), draw_span(w) };
    cf_core_policy_set(w->core, kind, policy);
    for (int i = 0; i < ROWS; i++) {
        struct cf_session *is = &w->rows[i].is;
        if (!w->rows[i].used || is->kind != kind)
            continue;
        is->idle_ns = is->idle_own ? is->idle_ns : policy->idle_ns;
        is->age_ns = is->age_own ? is->age_ns : policy->age_ns;
    }
}

static void do_limits(struct world *w)
{
    w->limits = (struct cf_limits){
        draw(w, 4) ? 100 + (uint32_t)draw(w, ROWS - 100) : (uint32_t)draw(w, 20),
        (uint32_t)draw(w, 40), draw_span(w), draw_span(w),
    };
    cf_core_limits_set(w->core, &w->limits);
}

/* A sweep as the server does it: batches, everybody who is listed begins to end. */
static void do_sweep(struct world *w, bool emergency)
{
    struct cf_due due[ROWS];
    size_t max = 1 + draw(w, draw(w, 2) ? 10 : ROWS), n;
    do {
        n = check_due(w, emergency, w->now_ns, due, max);
        for (size_t i = 0; i < n; i++)
            do_ending(w, by_handle(w, due[i].handle), due[i].reason);
    } while (n == max);
    MUST(w, check_due(w, emergency, w->now_ns, due, ROWS) == 0);
}

/* Mostly a little on, at times backwards, and often onto a deadline or just after it, where the mistakes live. */
static void move_clock(struct world *w)
{
    const struct model_row *row = any(w);
    int64_t deadline_ns = CF_NEVER_NS;
    if (row)
        deadline_ns = draw(w, 2) ? model_left(0, row->is.last_used_ns, row->is.idle_ns)
                                 : model_left(0, row->is.created_ns, row->is.age_ns);
    switch (draw(w, 16)) {
    case 0:
        w->now_ns -= (int64_t)draw(w, (uint64_t)(20 * S));
        break;
    case 1: case 2:
        if (deadline_ns < w->now_ns + 1000 * S)
            w->now_ns = deadline_ns + (int64_t)draw(w, 2);
        break;
    case 3:
        w->now_ns += (int64_t)draw(w, (uint64_t)(100 * S));
        break;
    case 4:
        w->now_ns -= 1;
        break;
    case 5:
        break;
    default:
        w->now_ns += (int64_t)draw(w, (uint64_t)S);
    }
    if (w->now_ns < 0)
        w->now_ns = 0;
}

static void do_row_step(struct world *w, struct model_row *row)
{
    uint64_t choice = draw(w, 100);
    if (choice < 8)
        do_started(w, row);
    else if (choice < 56)
        do_touch(w, row);
    else if (choice < 72)
        do_busy(w, row);
    else if (choice < 77)
        do_left(w, row);
    else if (choice < 82)
        do_ending(w, row, (enum cf_reason)draw(w, CF_REASONS));
    else
        do_gone(w, row);
    if (row->used)
        check_row(w, row);
}

static void do_step(struct world *w)
{
    uint64_t choice = draw(w, 1000);
    struct model_row *row = any(w);
    struct cf_due due[ROWS];
    if (choice < 250)
        do_admit(w);
    else if (choice < 290)
        do_stale(w);
    else if (choice < 295)
        do_policy(w);
    else if (choice < 300)
        do_limits(w);
    else if (choice < 301)
        cf_core_seed_set(w->core, draw(w, UINT32_MAX));
    else if (choice < 320)
        check_next_due(w);
    else if (choice < 330)
        do_sweep(w, draw(w, 4) == 0);
    else if (choice < 360)
        check_due(w, draw(w, 2), w->now_ns, due, draw(w, ROWS));
    else if (row)
        do_row_step(w, row);
}

static uint64_t number(int argc, char **argv, int at, const char *variable, uint64_t fallback)
{
    const char *text = argc > at ? argv[at] : getenv(variable);
    return text && *text ? strtoull(text, NULL, 10) : fallback;
}

int main(int argc, char **argv)
{
    static struct world w;
    unsigned long steps = (unsigned long)number(argc, argv, 1, "CURFEW_MODEL_STEPS", DEFAULT_STEPS);
    struct cf_core_allocator allocator = { take, give, &w };
    unsigned long most = 0;
    w.seed = number(argc, argv, 2, "CURFEW_MODEL_SEED", (uint64_t)time(NULL));
    w.random = w.seed * 2 + 1;
    w.now_ns = 1000 * S;
    w.memory_left = -1;
    w.limits = (struct cf_limits){ 300, 20, 100 * S, 300 * S };
    for (int kind = 0; kind < CF_KINDS; kind++)
        w.policies[kind] = (struct cf_policy){ 60 * S, 500 * S };
    printf("1..1\n# %lu steps, seed %" PRIu64 "\n", steps, w.seed);
    (void)fflush(stdout);               /* the seed is known also when it crashes */
    w.core = cf_core_new_with_allocator(&w.limits, w.policies, &allocator);
    MUST(&w, w.core != NULL);
    for (w.step = 0; w.step < steps; w.step++) {
        move_clock(&w);
        do_step(&w);
        if (w.step % 64 == 0)
            check_all(&w);
        if (all(&w) > most)
            most = all(&w);
    }
    check_all(&w);
    MUST(&w, w.created >= steps / 50);  /* else the run was stuck and showed nothing */
    cf_core_free(&w.core);
    MUST(&w, w.taken == 0);
    printf("ok 1 - " TITLE "\n# at most %lu sessions, %" PRIu64 " created, %" PRIu64 " cleaned\n", most, w.created,
           w.cleaned);
    return 0;
}
