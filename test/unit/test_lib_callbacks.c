/* test_lib_callbacks.c: what the owner's callbacks are asked and told, and what they may do. */
#include "lib_fixture.h"

#include <pthread.h>
#include <semaphore.h>

#define MANY 4000

static size_t told(const struct world *w, bool after)
{
    size_t n = 0;
    for (size_t i = 0; i < w->note_count; i++)
        n += w->notes[i].after == after;
    return n;
}

static void a_session_is_exported_then_deleted(void **state)
{
    int mine;
    struct world *w = *state;
    const struct curfew_new want = { .id = "one", .workspace = "web", .user = &mine };
    curfew_session session = create_with(w, &want);
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 1);
    assert_int_equal(w->note_count, 2);
    const struct curfew_info *before = &w->notes[0].info, *after = &w->notes[1].info;
    assert_true(!w->notes[0].after && w->notes[1].after);
    assert_true(before->session == session && before->user == &mine && before->now_ns == T0 + IDLE + 1);
    assert_true(before->state == CURFEW_ACTIVE && before->reason == CURFEW_REASON_IDLE);
    assert_string_equal(before->id, "one");
    assert_string_equal(before->workspace, "web");
    assert_true(after->session == session && after->user == &mine);
    assert_true(after->state == CURFEW_ENDING && after->reason == CURFEW_REASON_IDLE);
    assert_string_equal(after->id, "one");
}

static void each_reason_is_told(void **state)
{
    struct world *w = *state;
    static const struct curfew_policy at_once = { 0, 0 };
    static const struct curfew_limits two = { 2, UINT32_MAX, UINT32_MAX };
    const struct curfew_new old = { .idle_ns = CURFEW_NEVER_NS, .age_ns = 1 };
    create_with(w, &old);
    advance(w, 2);
    assert_int_equal(sweep(w), 1);
    assert_int_equal(curfew_session_close(w->table, create(w, NULL)), 0);
    assert_int_equal(sweep(w), 1);
    assert_int_equal(curfew_session_fail(w->table, create(w, NULL), "it broke"), 0);
    assert_int_equal(sweep(w), 1);
    assert_int_equal(curfew_session_end(w->table, create(w, NULL)), 0);
    assert_int_equal(curfew_emergency_set(w->table, &at_once, NULL), 0);
    assert_int_equal(curfew_limits_set(w->table, &two, NULL), 0);
    create(w, NULL);
    create(w, NULL);
    advance(w, 1);
    create(w, NULL);
    assert_int_equal(curfew_shutdown(w->table, NULL), 0);
    static const enum curfew_reason reasons[] = {
        CURFEW_REASON_AGE, CURFEW_REASON_CLOSED, CURFEW_REASON_FAILED, CURFEW_REASON_REQUESTED, CURFEW_REASON_LIMIT,
        CURFEW_REASON_LIMIT, CURFEW_REASON_SHUTDOWN };
    assert_int_equal(w->note_count, 14);
    for (size_t i = 0; i < 14; i++)
        assert_int_equal(w->notes[i].info.reason, reasons[i / 2]);
    assert_string_equal(w->notes[4].info.failure, "it broke");
    assert_string_equal(w->notes[5].info.failure, "it broke");
    assert_int_equal(w->notes[4].info.state, CURFEW_FAILED);
    assert_true(counts(w).cleanup_errors == 0 && counts(w).ended[CURFEW_REASON_LIMIT] == 2);
}

static void one_that_is_kept_is_asked_again(void **state)
{
    struct world *w = *state;
    curfew_session one = create(w, "one"), two = create(w, "two");
    w->before_answer = CURFEW_KEEP;
    advance(w, IDLE + 1);
    for (size_t i = 1; i <= 3; i++) {
        assert_int_equal(sweep(w), 0);
        assert_true(told(w, false) == 2 * i && told(w, true) == 0);
        assert_true(get(w, one).state == CURFEW_ACTIVE && get(w, one).reason == CURFEW_REASON_NONE);
    }
    assert_true(counts(w).ends_kept == 6 && counts(w).ends_spared == 0);
    assert_true(curfew_next_due(w->table) == T0 + IDLE + 1);
    assert_int_equal(curfew_session_touch(w->table, two, CURFEW_TOUCH_INPUT), 0);
    w->before_answer = CURFEW_GO_ON;
    assert_int_equal(sweep(w), 1);
    assert_true(!is_here(w, one) && is_here(w, two));
}

static void who_decided_is_not_contradicted(void **state)
{
    struct world *w = *state;
    w->before_answer = CURFEW_KEEP;
    assert_int_equal(curfew_session_end(w->table, create(w, "one")), 0);
    create(w, "two");
    size_t ended = 0;
    assert_int_equal(curfew_shutdown(w->table, &ended), 0);
    assert_true(ended == 1 && told(w, false) == 2 && told(w, true) == 2);
    assert_true(counts(w).ends_kept == 0 && counts(w).sessions_active == 0);
}

static void a_failing_callback_is_counted_and_keeps_nobody(void **state)
{
    struct world *w = *state;
    curfew_session one = create(w, "one"), two = create(w, "two");
    w->before_answer = -5;
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 2);
    assert_true(counts(w).cleanup_errors == 2 && !is_here(w, one) && !is_here(w, two));
    w->after_answer = -1;
    assert_int_equal(curfew_session_end(w->table, create(w, "three")), 0);
    assert_true(counts(w).cleanup_errors == 4 && counts(w).sessions_active == 0);
    w->before_answer = 2;               /* no verdict that there is */
    w->after_answer = 1;
    create(w, "four");
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 1);
    assert_true(counts(w).cleanup_errors == 5);
}

static void touch_it(struct world *w, const struct curfew_info *info)
{
    assert_int_equal(curfew_session_touch(w->table, info->session, CURFEW_TOUCH_MESSAGE), 0);
    assert_int_equal(curfew_session_touch_id(w->table, info->id, CURFEW_TOUCH_MESSAGE), 0);
}

static void a_touch_meanwhile_saves_it(void **state)
{
    struct world *w = *state;
    const struct curfew_new old = { .id = "old", .age_ns = 1 };
    curfew_session one = create(w, "one");
    create_with(w, &old);
    w->in_before = touch_it;
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 1);      /* age heeds no touch */
    assert_true(is_here(w, one) && get(w, one).message_count == 2);
    assert_true(counts(w).ends_spared == 1 && counts(w).ends_kept == 0 && told(w, true) == 1);
    w->before_answer = -1;
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 0);
    assert_true(counts(w).ends_spared == 2 && counts(w).cleanup_errors == 1);
}

static void end_it(struct world *w, const struct curfew_info *info)
{
    assert_int_equal(curfew_session_end(w->table, info->session), 0);
    assert_int_equal(curfew_session_end(w->table, info->session), CURFEW_E_GONE);
}

static void ending_what_is_asked_about_decides(void **state)
{
    struct world *w = *state;
    create(w, "one");
    w->in_before = end_it;
    w->before_answer = CURFEW_KEEP;
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 1);
    assert_true(w->note_count == 2 && w->notes[1].info.reason == CURFEW_REASON_REQUESTED);
    assert_true(counts(w).ended[CURFEW_REASON_REQUESTED] == 1 && counts(w).ends_kept == 0);
}

static void *end_in_a_thread(void *argument)
{
    struct world *w = argument;
    w->any = curfew_session_end(w->table, w->other) == 0 ? w : NULL;
    return NULL;
}

static void *shut_down_in_a_thread(void *argument)
{
    struct world *w = argument;
    size_t ended = 999;
    w->any = curfew_shutdown(w->table, &ended) == 0 && ended == 0 ? w : NULL;
    return NULL;
}

static void *sweep_in_a_thread(void *argument)
{
    struct world *w = argument;
    size_t ended = 999;
    w->any = curfew_sweep(w->table, &ended) == 0 && ended == 0 ? w : NULL;
    return NULL;
}

static void *(*the_thread)(void *argument);

/* The other thread does not wait for this one: it is done while the question is still open. */
static void let_another_thread(struct world *w, const struct curfew_info *info)
{
    pthread_t thread;
    struct curfew_info now;
    w->other = info->session;
    assert_int_equal(pthread_create(&thread, NULL, the_thread, w), 0);
    pthread_join(thread, NULL);
    assert_ptr_equal(w->any, w);
    now = get(w, info->session);
    assert_int_equal(now.state, the_thread == sweep_in_a_thread ? CURFEW_ACTIVE : CURFEW_ENDING);
}

static void another_thread_may_decide_meanwhile(void **state)
{
    struct world *w = *state;
    static void *(*const threads[])(void *) = { sweep_in_a_thread, end_in_a_thread, shut_down_in_a_thread };
    static const enum curfew_reason reasons[] = { CURFEW_REASON_IDLE, CURFEW_REASON_REQUESTED, CURFEW_REASON_SHUTDOWN };
    w->in_before = let_another_thread;
    for (int i = 0; i < 3; i++) {
        create(w, "one");
        advance(w, IDLE + 1);
        the_thread = threads[i];
        w->before_answer = i == 0 ? CURFEW_GO_ON : CURFEW_KEEP;
        w->note_count = 0;
        assert_int_equal(sweep(w), 1);
        assert_int_equal(w->note_count, 2);
        assert_int_equal(w->notes[1].info.reason, reasons[i]);
    }
    assert_true(counts(w).ends_kept == 0 && counts(w).sessions_active == 0);
}

static void close_it(struct world *w, const struct curfew_info *info)
{
    assert_int_equal(curfew_session_touch(w->table, info->session, CURFEW_TOUCH_MESSAGE), 0);
    assert_int_equal(curfew_session_close(w->table, info->session), 0);
}

static void closing_what_is_asked_about_ends_it_for_that(void **state)
{
    struct world *w = *state;
    create(w, "one");
    w->in_before = close_it;
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 1);
    assert_int_equal(w->notes[1].info.reason, CURFEW_REASON_CLOSED);
}

static void try_all_about_an_ending_one(struct world *w, const struct curfew_info *info)
{
    curfew_session found;
    struct curfew_info seen;
    assert_int_equal(curfew_session_find(w->table, info->id, &found), CURFEW_E_NOT_FOUND);
    assert_int_equal(curfew_session_touch(w->table, info->session, CURFEW_TOUCH_INPUT), CURFEW_E_GONE);
    assert_int_equal(curfew_session_touch_id(w->table, info->id, CURFEW_TOUCH_INPUT), CURFEW_E_NOT_FOUND);
    assert_int_equal(curfew_session_busy(w->table, info->session, true), CURFEW_E_GONE);
    assert_int_equal(curfew_session_close(w->table, info->session), CURFEW_E_GONE);
    assert_int_equal(curfew_session_end(w->table, info->session), CURFEW_E_GONE);
    assert_int_equal(curfew_session_get(w->table, info->session, &seen, sizeof seen), 0);
    assert_true(seen.state == CURFEW_ENDING && seen.reason == info->reason);
    assert_int_equal(create_fails(w, info->id, NULL), CURFEW_E_EXISTS);
    assert_int_equal(sweep(w), 0);
}

static void an_ending_one_is_out_of_reach(void **state)
{
    struct world *w = *state;
    create(w, "one");
    w->in_after = try_all_about_an_ending_one;
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 1);
    create(w, "one");
    assert_int_equal(curfew_session_end(w->table, create(w, "two")), 0);
    assert_int_equal(told(w, true), 2);
}

static void create_another(struct world *w, const struct curfew_info *info)
{
    (void)info;
    w->other = create(w, NULL);
    assert_int_equal(curfew_session_touch(w->table, w->other, CURFEW_TOUCH_INPUT), 0);
}

static void callbacks_may_create(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 100; i++)
        create(w, NULL);
    w->in_before = w->in_after = create_another;
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 100);
    assert_true(counts(w).sessions_active == 200);
}

static void end_the_other(struct world *w, const struct curfew_info *info)
{
    if (info->session != w->other && is_here(w, w->other))
        assert_int_equal(curfew_session_end(w->table, w->other), 0);
}

static void callbacks_may_end_others(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 10; i++)
        create(w, NULL);
    w->other = create(w, "other");
    w->in_before = end_the_other;
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 10);     /* and the other, by request */
    assert_true(told(w, true) == 11 && counts(w).sessions_active == 0);
    assert_true(counts(w).ended[CURFEW_REASON_REQUESTED] == 1 && counts(w).ended[CURFEW_REASON_IDLE] == 10);
}

static void sweep_within(struct world *w, const struct curfew_info *info)
{
    (void)info;
    assert_int_equal(curfew_sweep(w->table, NULL), 0);
    assert_int_equal(curfew_cleanup_inactive(w->table, 0, NULL), 0);
}

static void callbacks_may_sweep(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < MANY; i++)
        create(w, NULL);
    w->in_before = w->in_after = sweep_within;
    advance(w, IDLE + 1);
    assert_int_equal(curfew_sweep(w->table, NULL), 0);
    assert_true(told(w, false) == MANY && told(w, true) == MANY && counts(w).sessions_active == 0);
}

static void create_at_the_limit(struct world *w, const struct curfew_info *info)
{
    (void)info;
    assert_int_equal(create_fails(w, "more", NULL), CURFEW_E_TOO_MANY_SESSIONS);
}

static void no_emergency_within_a_callback(void **state)
{
    struct world *w = *state;
    static const struct curfew_limits three = { 3, UINT32_MAX, UINT32_MAX };
    assert_int_equal(curfew_limits_set(w->table, &three, NULL), 0);
    curfew_session one = create(w, "one");
    create(w, "two");
    create(w, "three");
    advance(w, 400 * S);
    w->in_before = w->in_after = create_at_the_limit;
    assert_int_equal(curfew_session_end(w->table, one), 0);
    assert_true(counts(w).emergency_runs == 0 && counts(w).sessions_refused == 2);
    w->in_before = w->in_after = NULL;
    create(w, "three more");
    create(w, "four");
    assert_true(counts(w).emergency_runs == 1);
}

static void an_emergency_asks_as_well(void **state)
{
    struct world *w = *state;
    static const struct curfew_limits one = { 1, UINT32_MAX, UINT32_MAX };
    assert_int_equal(curfew_limits_set(w->table, &one, NULL), 0);
    create(w, "one");
    advance(w, 301 * S);
    w->before_answer = CURFEW_KEEP;
    assert_int_equal(create_fails(w, "two", NULL), CURFEW_E_TOO_MANY_SESSIONS);
    assert_true(counts(w).ends_kept == 1 && w->notes[0].info.reason == CURFEW_REASON_LIMIT);
    w->before_answer = 0;
    create(w, "two");
}

static void shut_down(struct world *w, const struct curfew_info *info)
{
    size_t ended = 999;
    (void)info;
    w->in_before = NULL;
    assert_int_equal(curfew_shutdown(w->table, &ended), 0);
    assert_int_equal(ended, 9);         /* all but the one that is asked about */
}

static void a_callback_may_shut_down(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 10; i++)
        create(w, NULL);
    w->in_before = shut_down;
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 1);
    assert_true(counts(w).sessions_active == 0 && told(w, true) == 10);
    assert_int_equal(counts(w).ended[CURFEW_REASON_SHUTDOWN], 10);
}

/* ── shutting down from within each callback ── */

#define SMALL_STACK_BYTES (512 * 1024)  /* a call within a call for each of MANY would need several times that */

static unsigned char ends[MANY];        /* how often each was told */

static void shut_down_again(struct world *w, const struct curfew_info *info)
{
    (void)info;
    if (curfew_shutdown(w->table, NULL) != 0)
        w->any = NULL;
}

static void count_end(struct world *w, const struct curfew_info *info)
{
    ends[(unsigned char *)info->user - ends]++;
    shut_down_again(w, info);
}

static void log_and_shut_down(void *context, int level, const char *text)
{
    (void)level;
    (void)text;
    shut_down_again(context, NULL);
}

static void make_many(struct world *w, const struct curfew_callbacks *callbacks)
{
    struct curfew_options options = world_options(w);
    options.callbacks = *callbacks;
    curfew_table_free(&w->table);
    world_make(w, &options);
    memset(ends, 0, sizeof ends);
    w->note_count = 0;
    for (int i = 0; i < MANY; i++) {
        const struct curfew_new want = { .user = &ends[i] };
        w->other = create_with(w, &want);
    }
}

static void *sweep_first(void *argument)
{
    struct world *w = argument;
    w->any = curfew_sweep(w->table, NULL) == 0 ? w->any : NULL;
    return NULL;
}

static void *end_one_first(void *argument)
{
    struct world *w = argument;
    w->any = curfew_session_end(w->table, w->other) == 0 ? w->any : NULL;
    return NULL;
}

static void *shut_down_first(void *argument)
{
    shut_down_again(argument, NULL);
    return NULL;
}

static void run_on_a_small_stack(struct world *w, void *(*function)(void *argument))
{
    pthread_attr_t small;
    pthread_t thread;
    w->any = w;
    assert_int_equal(pthread_attr_init(&small), 0);
    assert_int_equal(pthread_attr_setstacksize(&small, SMALL_STACK_BYTES), 0);
    assert_int_equal(pthread_create(&thread, &small, function, w), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&small);
    assert_ptr_equal(w->any, w);
}

static void each_way_ends_everybody_once(struct world *w, const struct curfew_callbacks *callbacks)
{
    static void *(*const ways[])(void *) = { sweep_first, end_one_first, shut_down_first };
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
        make_many(w, callbacks);
        advance(w, IDLE + 1);
        run_on_a_small_stack(w, ways[way]);
        /* With a log alone ending one calls nobody: the others are here. */
        bool one = callbacks->log != NULL && ways[way] == end_one_first;
        assert_int_equal(counts(w).sessions_cleaned, one ? 1 : MANY);
        assert_int_equal(counts(w).sessions_active, one ? MANY - 1 : 0);
        for (int i = 0; i < MANY && callbacks->after_end != NULL; i++)
            assert_int_equal(ends[i], 1);
        assert_int_equal(told(w, false), callbacks->before_end != NULL ? MANY : 0);
    }
}

static void each_end_may_shut_down(void **state)
{
    struct world *w = *state;
    w->in_after = count_end;
    each_way_ends_everybody_once(w, &(struct curfew_callbacks){ .after_end = world_after, .context = w });
}

static void each_question_may_shut_down(void **state)
{
    struct world *w = *state;
    w->in_before = shut_down_again;
    each_way_ends_everybody_once(w, &(struct curfew_callbacks){ .before_end = world_before, .context = w });
}

static void each_line_may_shut_down(void **state)
{
    struct world *w = *state;
    each_way_ends_everybody_once(w, &(struct curfew_callbacks){ .log = log_and_shut_down, .context = w });
}

/* ── nobody waits for a callback ── */

#define OTHERS 4

struct slow {
    struct curfew_table *table;
    bool before, after;                 /* which of its callbacks waits */
    sem_t reached, go;
    _Atomic bool over;                  /* its sweep */
    _Atomic int wrong;
    size_t ended;
};

static int wait_if_slow(struct slow *slow, bool waits, const struct curfew_info *info)
{
    if (waits && info->user == slow) {
        sem_post(&slow->reached);
        sem_wait(&slow->go);
    }
    return 0;
}

static int slow_before(void *context, const struct curfew_info *info)
{
    struct slow *slow = context;
    return wait_if_slow(slow, slow->before, info);
}

static int slow_after(void *context, const struct curfew_info *info)
{
    struct slow *slow = context;
    return wait_if_slow(slow, slow->after, info);
}

static void *sweep_slowly(void *argument)
{
    struct slow *slow = argument;
    slow->wrong += curfew_sweep(slow->table, &slow->ended) != 0;
    slow->over = true;
    return NULL;
}

static void *live_on(void *argument)
{
    struct slow *slow = argument;
    struct curfew_table *table = slow->table;
    struct curfew_counts counts;
    struct curfew_info info;
    curfew_session mine, found;
    for (int i = 0; i < 1000; i++) {
        const struct curfew_new want = { .idle_ns = i % 2 ? 5 * S : 0 };
        slow->wrong += curfew_session_create(table, &want, &mine, NULL) != 0;
        slow->wrong += curfew_session_get(table, mine, &info, sizeof info) != 0;
        slow->wrong += curfew_session_find(table, info.id, &found) != 0 || found != mine;
        slow->wrong += curfew_session_touch(table, mine, CURFEW_TOUCH_MESSAGE) != 0;
        slow->wrong += curfew_session_touch_id(table, info.id, CURFEW_TOUCH_MESSAGE) != 0;
        slow->wrong += curfew_session_busy(table, mine, true) != 0;
        if (i % 10 == 0)
            slow->wrong += curfew_sweep(table, NULL) != 0 || curfew_next_due(table) <= 0;
        curfew_counts_get(table, &counts, sizeof counts);
        slow->wrong += counts.sessions_active < 1 || slow->over;
        slow->wrong += curfew_session_end(table, mine) != 0;
        slow->wrong += curfew_session_end(table, mine) != CURFEW_E_GONE;
    }
    return NULL;
}

static bool all_ended_in_time(const pthread_t *threads, bool joined[OTHERS])
{
    struct timespec until = bound();
    bool all = true;
    for (int i = 0; i < OTHERS; i++) {
        joined[i] = pthread_timedjoin_np(threads[i], NULL, &until) == 0;
        all = all && joined[i];
    }
    return all;
}

static void others_live_on_beside(struct slow *slow)
{
    pthread_t slow_thread, threads[OTHERS];
    bool joined[OTHERS];
    struct timespec until = bound();
    assert_int_equal(pthread_create(&slow_thread, NULL, sweep_slowly, slow), 0);
    assert_int_equal(sem_timedwait(&slow->reached, &until), 0);
    for (int i = 0; i < OTHERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, live_on, slow), 0);
    bool in_time = all_ended_in_time(threads, joined);
    bool over = slow->over;
    sem_post(&slow->go);
    for (int i = 0; i < OTHERS; i++)
        if (!joined[i])
            pthread_join(threads[i], NULL);
    pthread_join(slow_thread, NULL);
    assert_true(in_time && !over);
    assert_int_equal(slow->wrong, 0);
    assert_int_equal(slow->ended, 1);
}

static void nobody_waits_for_a_callback(void **state)
{
    struct world *w = *state;
    struct curfew_options options = world_options(w);
    for (int after = 0; after < 2; after++) {
        struct slow slow = { .before = !after, .after = after };
        const struct curfew_new want = { .id = "slow", .user = &slow };
        sem_init(&slow.reached, 0, 0);
        sem_init(&slow.go, 0, 0);
        options.callbacks = (struct curfew_callbacks){ slow_before, slow_after, NULL, &slow };
        curfew_table_free(&w->table);
        world_make(w, &options);
        slow.table = w->table;
        curfew_session session = create_with(w, &want);
        advance(w, IDLE + 1);
        others_live_on_beside(&slow);
        assert_false(is_here(w, session));
        curfew_table_free(&w->table);           /* before what its callbacks need */
        options.callbacks = (struct curfew_callbacks){ 0 };
        world_make(w, &options);
        sem_destroy(&slow.reached);
        sem_destroy(&slow.go);
    }
}

static void each_is_asked_and_told_once(void **state)
{
    struct world *w = *state;
    static unsigned char asked[512], gone[512];
    for (int i = 0; i < 500; i++) {
        const struct curfew_new want = { .user = &asked[i], .idle_ns = i % 2 == 0 ? 5 * S : 0 };
        create_with(w, &want);
    }
    advance(w, IDLE + 1);
    assert_int_equal(sweep(w), 500);
    for (size_t i = 0; i < w->note_count; i++) {
        unsigned char *mark = w->notes[i].info.user;
        if (w->notes[i].after)
            gone[mark - asked]++;
        else
            (*mark)++;
    }
    for (int i = 0; i < 500; i++)
        assert_true(asked[i] == 1 && gone[i] == 1);
}

static void only_after_end(void **state)
{
    struct world *w = *state;
    struct curfew_options options = world_options(w);
    options.callbacks = (struct curfew_callbacks){ .after_end = world_after, .log = world_log, .context = w };
    curfew_table_free(&w->table);
    world_make(w, &options);
    create(w, "one");
    curfew_session two = create(w, "two");
    w->after_answer = -3;
    advance(w, IDLE + 1);
    assert_int_equal(curfew_session_touch(w->table, two, CURFEW_TOUCH_INPUT), 0);
    assert_int_equal(sweep(w), 1);
    assert_true(told(w, false) == 0 && told(w, true) == 1 && counts(w).cleanup_errors == 1);
    assert_string_equal(w->log, "0 session one: after_end answered with an error, -3\n"
                                "2 sweep: ended 1 session (1 idle): one\n3 sweep: 1 session left\n");
}

#define TEST(title, function) { title, function, begin_told, finish, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("S3.11, S2.3: a session is exported before it ends and deleted after", a_session_is_exported_then_deleted),
        TEST("each reason is told to both callbacks", each_reason_is_told),
        TEST("one that a callback keeps stays, and the next sweep asks again", one_that_is_kept_is_asked_again),
        TEST("an end that somebody decided is not kept", who_decided_is_not_contradicted),
        TEST("S2.3, S3.7: a callback's error is counted and keeps nobody",
             a_failing_callback_is_counted_and_keeps_nobody),
        TEST("a touch while it is asked about saves a session", a_touch_meanwhile_saves_it),
        TEST("ending a session that is asked about decides it", ending_what_is_asked_about_decides),
        TEST("another thread may decide while a callback is asked, and does not wait",
             another_thread_may_decide_meanwhile),
        TEST("closing a session that is asked about ends it for that", closing_what_is_asked_about_ends_it_for_that),
        TEST("a session that is ENDING is out of reach, and its id is taken", an_ending_one_is_out_of_reach),
        TEST("a callback may create sessions", callbacks_may_create),
        TEST("a callback may end other sessions", callbacks_may_end_others),
        TEST("a callback may sweep, however many there are", callbacks_may_sweep),
        TEST("S3.5: no emergency cleanup runs within a callback", no_emergency_within_a_callback),
        TEST("S3.5: an emergency asks before it ends", an_emergency_asks_as_well),
        TEST("S3.6: a callback may shut the table down", a_callback_may_shut_down),
        TEST("S3.6: each call of after_end may shut the table down, however many there are", each_end_may_shut_down),
        TEST("S3.6: each call of before_end may shut the table down, however many there are",
             each_question_may_shut_down),
        TEST("S3.6: each line of the log may shut the table down", each_line_may_shut_down),
        TEST("S3.9: nobody waits for a callback", nobody_waits_for_a_callback),
        TEST("each session is asked about and told once", each_is_asked_and_told_once),
        TEST("S3.10: after_end alone is told, and its error logged", only_after_end),
    };
    return cmocka_run_group_tests_name("lib_callbacks", tests, NULL, NULL);
}
