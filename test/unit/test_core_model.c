/* test_core_model.c: random operations on the session table, each done on the model (core_model.h) as well.
 *
 *   test_core_model [STEPS [SEED]]     or CURFEW_MODEL_STEPS and CURFEW_MODEL_SEED in the environment
 *
 * Nothing is left to chance but the seed, which is printed first: the same steps and seed give the same run.  The seed
 * also draws how many kinds there are and whether the table has readers, and so a limbo. */
#include "core_model_steps.h"

#include <time.h>

#define DEFAULT_STEPS 300000

/* ── what holds for all ── */

static void do_policy(struct world *w)
{
    unsigned kind = (unsigned)draw(w, w->kinds);
    struct cf_policy *policy = &w->policies[kind];
    *policy = (struct cf_policy){ draw_span(w), draw_span(w) };
    cf_core_policy_set(w->core, kind, policy);
    cf_core_policy_set(w->core, w->kinds, policy);          /* no such kind */
    for (int i = 0; i < ROWS; i++) {
        struct cf_session *is = &w->rows[i].is;
        if (!w->handles[i] || is->kind != kind)
            continue;
        is->idle_ns = is->idle_own ? is->idle_ns : policy->idle_ns;
        is->age_ns = is->age_own ? is->age_ns : policy->age_ns;
    }
}

static void do_limits(struct world *w)
{
    w->limits = (struct cf_limits){
        .max_sessions = draw(w, 4) ? ROWS - (uint32_t)draw(w, ROWS / 2) : (uint32_t)draw(w, 20),
        .max_active = draw(w, 4) ? ROWS - (uint32_t)draw(w, ROWS / 2) : (uint32_t)draw(w, 20),
        .max_per_workspace = (uint32_t)draw(w, 40), .emergency = { draw_span(w), draw_span(w) },
    };
    cf_core_limits_set(w->core, &w->limits);
}

static void move_limbo(struct world *w, enum limbo from, enum limbo to)
{
    for (uint32_t slot = 0; slot < SLOTS; slot++)
        if (w->limbo[slot] == from)
            w->limbo[slot] = to;
}

static void do_limbo_close(struct world *w)
{
    bool waiting = cf_core_limbo_waiting(w->core);
    cf_core_limbo_close(w->core);
    if (waiting)
        return;
    MUST(w, cf_core_limbo_collected(w->core) == 0);
    move_limbo(w, COLLECTED, WAITING);
}

/* Which of the batch come first is the table's affair; not how many. */
static void do_limbo_free(struct world *w)
{
    size_t pieces = draw(w, 2) ? SIZE_MAX : draw(w, 50);
    bool over = cf_core_limbo_free(w->core, pieces);
    MUST(w, over == !cf_core_limbo_waiting(w->core) && (over || pieces < SIZE_MAX));
    w->perhaps = over ? 0 : w->perhaps + pieces;
    move_limbo(w, WAITING, over ? TAKEABLE : PERHAPS);
    if (over)
        move_limbo(w, PERHAPS, TAKEABLE);
}

/* ── sweeps ── */

/* A sweep as the server does it: batches, everybody who is listed begins to end, and some are gone at once. */
static void do_sweep(struct world *w, bool emergency)
{
    struct cf_due due[ROWS];
    size_t max = 1 + draw(w, draw(w, 2) ? 10 : ROWS), n;
    do {
        n = check_due(w, emergency, w->now_ns, due, max);
        for (size_t i = 0; i < n; i++)
            do_ending(w, by_handle(w, due[i].handle), due[i].reason);
        for (size_t i = 0; i < n; i++)
            if (draw(w, 2))
                do_gone(w, by_handle(w, due[i].handle));
    } while (n == max);
    MUST(w, check_due(w, emergency, w->now_ns, due, ROWS) == 0);
}

static struct cf_judge draw_judge(struct world *w, struct cf_policy policies[CF_KINDS_MAX], struct cf_policy *all)
{
    struct cf_judge judge = { .now_ns = draw(w, 20) ? w->now_ns : -w->now_ns };
    if (draw(w, 3) == 0)
        judge.now_ns += (int64_t)draw(w, (uint64_t)(100 * S));
    for (unsigned kind = 0; kind < w->kinds; kind++)
        policies[kind] = (struct cf_policy){ draw_span(w), draw_span(w) };
    *all = (struct cf_policy){ draw_span(w), draw_span(w) };
    judge.policies = draw(w, 2) ? policies : NULL;
    judge.all = draw(w, 3) ? NULL : all;
    judge.reason = draw(w, 2) ? CF_REASON_NONE : (enum cf_reason)draw(w, CF_REASONS);
    return judge;
}

static void note_seen(struct world *w, bool seen[ROWS], const struct cf_due *due, size_t n, int64_t *last)
{
    for (size_t i = 0; i < n; i++) {
        MUST(w, (int64_t)(uint32_t)due[i].handle > *last);
        *last = (uint32_t)due[i].handle;
        seen[by_handle(w, due[i].handle)] = true;
    }
}

/* A scan by parts, while other things happen: who is due all the time is listed, and nobody twice. */
static void do_walk(struct world *w)
{
    struct cf_policy policies[CF_KINDS_MAX], all_of_them;
    struct cf_judge judge = draw_judge(w, policies, &all_of_them);
    struct cf_due due[ROWS];
    bool seen[ROWS] = { false };
    uint32_t cursor = 0;
    int64_t last = -1;
    for (int i = 0; i < ROWS; i++)
        w->rows[i].meddled = false;
    while (cursor != CF_SCAN_END) {
        uint32_t before = cursor, blocks = 1 + (uint32_t)draw(w, draw(w, 2) ? 3 : 100);
        size_t max = 1 + draw(w, draw(w, 2) ? 3 : ROWS);
        size_t n = cf_core_scan(w->core, &judge, &cursor, blocks, due, max);
        MUST(w, n <= max && n <= 64 * (size_t)blocks && cursor > before);
        check_list(w, &judge, due, n);
        note_seen(w, seen, due, n, &last);
        for (uint64_t steps = draw(w, 4) ? 0 : draw(w, 4); steps > 0; steps--)
            do_row_step(w);
    }
    for (int i = 0; i < ROWS; i++)
        if (w->handles[i] && !w->rows[i].meddled)
            MUST(w, seen[i] == (model_judge(&judge, &w->rows[i].is).reason != CF_REASON_NONE));
    for (int i = 0; i < 20 && any(w) != NOBODY; i++)
        check_judge_one(w, &judge, any(w));
}

static bool saved(const struct world *w, const struct cf_due *due, int64_t judged_used_ns)
{
    bool by_use = due->reason == CF_REASON_IDLE || due->reason == CF_REASON_LIMIT;
    if (!by_use || due->idle_for_ns == 0)       /* not idle at all: old, and that no touch changes */
        return false;
    return w->rows[by_handle(w, due->handle)].is.last_used_ns > judged_used_ns;
}

static size_t model_drop(struct world *w, const struct cf_due *due, const int64_t *used_ns, size_t n)
{
    size_t gone = 0;
    for (size_t i = 0; i < n; i++) {
        int at = by_handle(w, due[i].handle);
        if (at == NOBODY || w->rows[at].is.state == CF_STATE_ENDING || saved(w, &due[i], used_ns[i]))
            continue;
        w->rows[at].is.reason = due[i].reason;
        model_gone(w, at);
        gone++;
    }
    return gone;
}

/* A scan that is never at its end, by another judge each time; those whom it finds are dropped, with some who were
 * gone or ENDING already; and some were touched meanwhile. */
static void do_drop(struct world *w)
{
    enum { MOST = 50 };
    struct cf_policy policies[CF_KINDS_MAX], all_of_them;
    struct cf_judge judge = draw_judge(w, policies, &all_of_them);
    struct cf_due due[2 * MOST + 2];
    int64_t used_ns[2 * MOST + 2];
    if (w->cursor == CF_SCAN_END)
        w->cursor = 0;
    size_t n = cf_core_scan(w->core, &judge, &w->cursor, 4, due, 1 + draw(w, MOST));
    check_list(w, &judge, due, n);
    for (size_t i = 0; i < n; i++)
        used_ns[i] = w->rows[by_handle(w, due[i].handle)].is.last_used_ns;
    for (size_t i = 0; i < n; i++) {
        if (draw(w, 20) == 0)
            do_ending(w, by_handle(w, due[i].handle), CF_REASON_REQUESTED);
        if (draw(w, 10) == 0)
            do_touch(w, by_handle(w, due[i].handle));
    }
    for (size_t repeat = draw(w, 3); repeat > 0 && n > 0; repeat--, n++) {
        size_t again = draw(w, n);
        due[n] = due[again];
        used_ns[n] = used_ns[again];
    }
    size_t dropped = cf_core_drop(w->core, due, n, judge.now_ns);
    MUST(w, dropped == model_drop(w, due, used_ns, n));
}

/* A scan that may look at nothing, or list nobody, does not move. */
static void check_standstill(struct world *w)
{
    struct cf_judge judge = judge_of(w, false, w->now_ns);
    struct cf_due due;
    uint32_t cursor = 0;
    MUST(w, cf_core_scan(w->core, &judge, &cursor, 0, &due, 1) == 0 && cursor == 0);
    MUST(w, cf_core_scan(w->core, &judge, &cursor, 1, &due, 0) == 0 && cursor == 0);
}

/* ── the run ── */

/* Mostly a little on, at times backwards, and often onto a deadline or just after it, where the mistakes live. */
static void move_clock(struct world *w)
{
    int at = any(w);
    int64_t deadline_ns = CF_NEVER_NS;
    if (at != NOBODY) {
        const struct cf_session *is = &w->rows[at].is;
        deadline_ns = draw(w, 2) ? model_left(0, is->last_used_ns, is->idle_ns)
                                 : model_left(0, is->created_ns, is->age_ns);
    }
    switch (draw(w, 16)) {
    case 0: w->now_ns -= (int64_t)draw(w, (uint64_t)(20 * S)); break;
    case 1: case 2:
        if (deadline_ns < w->now_ns + 1000 * S)
            w->now_ns = deadline_ns + (int64_t)draw(w, 2);
        break;
    case 3: w->now_ns += (int64_t)draw(w, (uint64_t)(100 * S)); break;
    case 4: w->now_ns -= 1; break;
    case 5: break;
    default: w->now_ns += (int64_t)draw(w, (uint64_t)S);
    }
    if (w->now_ns < 0)
        w->now_ns = 0;
}

static void do_step(struct world *w)
{
    uint64_t choice = draw(w, 1000);
    struct cf_due due[ROWS];
    bool spare = growing(w) && draw(w, 16);
    if (choice < 300)
        do_admit(w);
    else if (choice < 340)
        do_stale(w);
    else if (choice < 345)
        do_policy(w);
    else if (choice < 347)
        do_limits(w);
    else if (choice < 354)
        do_limbo_close(w);
    else if (choice < 360)
        do_limbo_free(w);
    else if (choice < 375)
        check_next_due(w);
    else if (choice < 380 && !spare)
        do_sweep(w, draw(w, 4) == 0);
    else if (choice < 390)
        check_due(w, draw(w, 2), w->now_ns, due, draw(w, ROWS));
    else if (choice < 400)
        do_walk(w);
    else if (choice < 415 && !spare)
        do_drop(w);
    else if (choice < 416)
        check_standstill(w);
    else
        do_row_step(w);
}

static uint64_t number(int argc, char **argv, int at, const char *variable, uint64_t fallback)
{
    const char *text = argc > at ? argv[at] : getenv(variable);
    return text && *text ? strtoull(text, NULL, 10) : fallback;
}

static void begin_world(struct world *w)
{
    static const int64_t beginnings[] = { 0, 1000 * S, 1000 * S, INT64_MAX / 4 };
    const struct cf_core_allocator allocator = { take, give, w };
    w->random = w->seed * 2 + 1;
    w->kinds = 3 + (unsigned)draw(w, CF_KINDS_MAX - 2);
    w->shared = draw(w, 3) > 0;
    w->now_ns = beginnings[draw(w, sizeof beginnings / sizeof *beginnings)];
    w->memory_left = -1;
    w->limits = (struct cf_limits){ 900, 900, 40, { 100 * S, 300 * S } };
    for (unsigned kind = 0; kind < w->kinds; kind++)
        w->policies[kind] = (struct cf_policy){ 60 * S, 500 * S };
    const struct cf_core_options options = {
        .limits = w->limits, .policies = w->policies, .kinds = w->kinds, .seed = w->seed, .shared = w->shared,
        .allocator = &allocator,
    };
    w->core = cf_core_new(&options);
    MUST(w, w->core != NULL);
}

int main(int argc, char **argv)
{
    static struct world w;
    unsigned long steps = (unsigned long)number(argc, argv, 1, "CURFEW_MODEL_STEPS", DEFAULT_STEPS);
    uint32_t most = 0;
    w.seed = number(argc, argv, 2, "CURFEW_MODEL_SEED", (uint64_t)time(NULL));
    printf("1..1\n# %lu steps, seed %" PRIu64 "\n", steps, w.seed);
    (void)fflush(stdout);               /* the seed is known also when it crashes */
    begin_world(&w);
    for (w.step = 0; w.step < steps; w.step++) {
        move_clock(&w);
        do_step(&w);
        if (w.step % 256 == 0)
            check_all(&w);
        if (w.step % 16 == 0 && all(&w) > most)
            most = all(&w);
    }
    check_all(&w);
    MUST(&w, w.created >= steps / 50);  /* else the run was stuck and showed nothing */
    cf_core_free(&w.core);
    MUST(&w, w.core == NULL && w.pieces == 0 && w.bytes == 0);
    printf("ok 1 - " TITLE "\n# %u kinds, %s readers, at most %" PRIu32 " sessions, %" PRIu64 " created, %" PRIu64
           " cleaned\n", w.kinds, w.shared ? "with" : "without", most, w.created, w.cleaned);
    return 0;
}
