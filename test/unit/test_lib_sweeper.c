/* test_lib_sweeper.c: the sweeper's thread: when it sweeps, when it sleeps, and how it stops. */
#include "lib_fixture.h"

#include "lib/readers.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static uint64_t runs(struct world *w)
{
    return counts(w).cleanup_runs;
}

static void set_interval(struct world *w, int64_t interval_ns)
{
    assert_int_equal(curfew_sweeper_interval_set(w->table, interval_ns, NULL), 0);
}

static void start(struct world *w)
{
    struct curfew_error error;
    if (curfew_sweeper_start(w->table, &error) != 0)
        fail_msg("%s", error.text);
    assert_true(curfew_sweeper_running(w->table));
}

static void stop(struct world *w)
{
    assert_int_equal(curfew_sweeper_stop(w->table), 0);
    assert_false(curfew_sweeper_running(w->table));
}

static void it_sweeps_by_itself(void **state)
{
    struct world *w = *state;
    set_interval(w, 5 * MS);
    assert_false(curfew_sweeper_running(w->table));
    start(w);
    start(w);
    curfew_session one = create(w, "one");
    AWAIT(runs(w) >= 3);
    assert_true(is_here(w, one));
    advance(w, IDLE + 1);
    AWAIT(!is_here(w, one));
    stop(w);
    stop(w);
    uint64_t before = runs(w);
    create(w, "two");
    advance(w, IDLE + 1);
    nanosleep(&(struct timespec){ .tv_nsec = 50 * MS }, NULL);
    assert_true(runs(w) == before);
    start(w);
    AWAIT(counts(w).sessions_active == 0);
}

static void it_sleeps_while_there_are_none(void **state)
{
    struct world *w = *state;
    set_interval(w, MS);
    start(w);
    curfew_session one = create(w, "one");
    AWAIT(runs(w) >= 2);
    assert_int_equal(curfew_session_end(w->table, one), 0);
    nanosleep(&(struct timespec){ .tv_nsec = 20 * MS }, NULL);  /* what was on its way */
    uint64_t before = runs(w);
    nanosleep(&(struct timespec){ .tv_nsec = 100 * MS }, NULL);
    assert_true(runs(w) == before);
    create(w, "two");
    AWAIT(runs(w) > before);
}

static void a_shorter_interval_holds_at_once(void **state)
{
    struct world *w = *state;
    struct curfew_error error;
    create(w, "one");
    start(w);
    assert_int_equal(curfew_sweeper_interval_set(w->table, 999999, &error), CURFEW_E_INVALID);
    assert_string_equal(error.field, "interval_ns");
    assert_int_equal(runs(w), 0);
    set_interval(w, 5 * MS);
    AWAIT(runs(w) >= 2);
    set_interval(w, CURFEW_NEVER_NS);
    uint64_t before = runs(w);          /* one is due before, and is not put off */
    AWAIT(runs(w) > before);
    set_interval(w, MS);
    AWAIT(runs(w) > before + 3);
}

static void setting_it_again_and_again_puts_nothing_off(void **state)
{
    struct world *w = *state;
    create(w, "one");
    set_interval(w, 200 * MS);
    start(w);
    int64_t begun_ns = real_now();
    while (runs(w) == 0 && real_now() - begun_ns < BOUND_NS) {
        set_interval(w, 200 * MS);
        nanosleep(&(struct timespec){ .tv_nsec = 10 * MS }, NULL);
    }
    assert_true(runs(w) > 0);
}

static void *start_and_stop(void *argument)
{
    struct world *w = argument;
    for (int i = 0; i < 200; i++) {
        if (curfew_sweeper_start(w->table, NULL) != 0 || curfew_sweeper_stop(w->table) != 0)
            return NULL;
        (void)curfew_sweeper_running(w->table);
        if (curfew_sweeper_interval_set(w->table, (1 + i % 3) * MS, NULL) != 0)
            return NULL;
    }
    return argument;
}

static void many_start_and_stop_it_at_once(void **state)
{
    struct world *w = *state;
    pthread_t threads[8];
    void *done;
    create(w, "one");
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, start_and_stop, w), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(threads[i], &done);
        assert_ptr_equal(done, w);
    }
    assert_false(curfew_sweeper_running(w->table));
    set_interval(w, MS);
    start(w);
    uint64_t before = runs(w);
    AWAIT(runs(w) > before);
}

/* ── from its own callback ── */

static void stop_from_within(struct world *w, const struct curfew_info *info)
{
    (void)info;
    assert_int_equal(curfew_sweeper_stop(w->table), 0);
}

static void its_own_callback_may_stop_it(void **state)
{
    struct world *w = *state;
    set_interval(w, MS);
    for (int i = 0; i < 5; i++)
        create(w, NULL);
    w->in_before = stop_from_within;
    advance(w, IDLE + 1);
    start(w);
    AWAIT(counts(w).sessions_active == 0);      /* it stops after that sweep */
    AWAIT(!curfew_sweeper_running(w->table));
    uint64_t before = runs(w);
    create(w, "more");
    nanosleep(&(struct timespec){ .tv_nsec = 50 * MS }, NULL);
    assert_true(runs(w) == before);
    w->in_before = NULL;
    start(w);
    AWAIT(runs(w) > before);
}

static void restart_from_within(struct world *w, const struct curfew_info *info)
{
    (void)info;
    assert_int_equal(curfew_sweeper_stop(w->table), 0);
    assert_int_equal(curfew_sweeper_start(w->table, NULL), 0);
}

static void its_own_callback_may_stop_and_start_it(void **state)
{
    struct world *w = *state;
    set_interval(w, MS);
    create(w, "one");
    create(w, "stays");
    w->in_before = restart_from_within;
    advance(w, IDLE + 1);
    assert_int_equal(curfew_session_touch_id(w->table, "stays", CURFEW_TOUCH_INPUT), 0);
    start(w);
    AWAIT(counts(w).sessions_cleaned == 1);
    uint64_t before = runs(w);
    AWAIT(runs(w) > before + 2);
    stop(w);
}

static void shut_down_from_within(struct world *w, const struct curfew_info *info)
{
    (void)info;
    w->in_before = NULL;
    assert_int_equal(curfew_shutdown(w->table, NULL), 0);
}

static void its_own_callback_may_shut_down(void **state)
{
    struct world *w = *state;
    set_interval(w, MS);
    for (int i = 0; i < 5; i++)
        create(w, NULL);
    w->in_before = shut_down_from_within;
    advance(w, IDLE + 1);
    assert_int_equal(curfew_sweeper_start(w->table, NULL), 0);     /* which may have done it all before this comes back */
    AWAIT(counts(w).sessions_active == 0);
    AWAIT(!curfew_sweeper_running(w->table));
}

/* What a start says that comes after a shutdown in the sweeper's own callback. */
struct late {
    sem_t reached, go;
    bool within;                        /* it comes from that callback, else from another thread meanwhile */
    _Atomic int rc;
};

static void shut_down_and_start(struct world *w, const struct curfew_info *info)
{
    struct late *late = w->any;
    (void)info;
    w->in_before = NULL;
    assert_int_equal(curfew_shutdown(w->table, NULL), 0);
    if (late->within)
        late->rc = curfew_sweeper_start(w->table, NULL);
    sem_post(&late->reached);
    sem_wait(&late->go);
}

/* Sessions stay, so that a sweeper that goes on would have something to do. */
static void make_table_that_keeps(struct world *w)
{
    struct curfew_options options = world_options(w);
    options.callbacks = (struct curfew_callbacks){ world_before, world_after, NULL, w };
    options.cleanup_on_shutdown = false;
    options.sweep_interval_ns = MS;
    curfew_table_free(&w->table);
    world_make(w, &options);
}

static void no_start_after_its_own_shutdown(struct world *w, bool within)
{
    struct late late = { .within = within, .rc = 77 };
    const struct curfew_new lasting = { .idle_ns = CURFEW_NEVER_NS, .age_ns = CURFEW_NEVER_NS };
    struct timespec until = bound();
    sem_init(&late.reached, 0, 0);
    sem_init(&late.go, 0, 0);
    w->any = &late;
    make_table_that_keeps(w);
    create(w, "one");
    curfew_session stays = create_with(w, &lasting);
    w->in_before = shut_down_and_start;
    advance(w, IDLE + 1);
    start(w);
    assert_int_equal(sem_timedwait(&late.reached, &until), 0);
    if (!within)
        late.rc = curfew_sweeper_start(w->table, NULL);
    bool running = curfew_sweeper_running(w->table);
    sem_post(&late.go);
    AWAIT(counts(w).ended[CURFEW_REASON_IDLE] == 1);    /* that sweep is done to its end */
    assert_int_equal(late.rc, CURFEW_E_SHUTTING_DOWN);
    assert_false(running || curfew_sweeper_running(w->table));
    uint64_t before = runs(w);
    nanosleep(&(struct timespec){ .tv_nsec = 50 * MS }, NULL);
    assert_true(runs(w) == before && is_here(w, stays));
    assert_int_equal(curfew_sweeper_start(w->table, NULL), CURFEW_E_SHUTTING_DOWN);
    assert_false(curfew_sweeper_running(w->table));
    curfew_table_free(&w->table);
    make_table_that_keeps(w);
    sem_destroy(&late.reached);
    sem_destroy(&late.go);
}

static void no_start_from_within_after_its_own_shutdown(void **state)
{
    no_start_after_its_own_shutdown(*state, true);
}

static void no_start_from_outside_after_its_own_shutdown(void **state)
{
    no_start_after_its_own_shutdown(*state, false);
}

/* ── signals, fork, the end ── */

static void no_signal_reaches_it(struct world *w, const struct curfew_info *info)
{
    sigset_t blocked;
    (void)info;
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    w->any = sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGUSR1) == 1 ? w : NULL;
}

static void it_takes_no_signals(void **state)
{
    struct world *w = *state;
    sigset_t mine;
    set_interval(w, MS);
    create(w, "one");
    w->in_after = no_signal_reaches_it;
    advance(w, IDLE + 1);
    start(w);
    AWAIT(counts(w).sessions_active == 0);
    stop(w);
    assert_ptr_equal(w->any, w);
    pthread_sigmask(SIG_SETMASK, NULL, &mine);
    assert_int_equal(sigismember(&mine, SIGTERM), 0);
}

#ifndef CF_READERS_TSAN                 /* ThreadSanitizer allows no threads in a child */
static int child_sweeps(struct world *w)
{
    curfew_session made;
    if (curfew_sweeper_running(w->table))
        return 1;
    if (curfew_session_create(w->table, &(struct curfew_new){ 0 }, &made, NULL) != 0)
        return 2;
    if (curfew_sweeper_start(w->table, NULL) != 0 || !curfew_sweeper_running(w->table))
        return 3;
    uint64_t before = runs(w);
    for (int64_t begun_ns = real_now(); runs(w) == before;)
        if (real_now() - begun_ns > BOUND_NS)
            return 4;
    curfew_table_free(&w->table);
    return 0;
}

static void a_child_has_no_sweeper_until_it_starts_one(void **state)
{
    struct world *w = *state;
    int status = -1;
    create(w, "one");
    set_interval(w, MS);
    start(w);
    AWAIT(runs(w) > 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(child_sweeps(w));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(curfew_sweeper_running(w->table));
}
#endif

static void freeing_the_table_stops_it(void **state)
{
    struct world *w = *state;
    for (int i = 0; i < 50; i++) {
        struct curfew_options options = world_options(w);
        options.sweep_interval_ns = MS;
        options.callbacks = (struct curfew_callbacks){ world_before, world_after, NULL, w };
        curfew_table_free(&w->table);
        w->note_count = 0;
        world_make(w, &options);
        start(w);
        create(w, "one");
        if (i % 2 == 0)
            AWAIT(runs(w) > 0);
    }
    curfew_table_free(&w->table);
    assert_int_equal(w->note_count, 2); /* the last one's */
    struct curfew_options options = world_options(w);
    world_make(w, &options);
}

static void it_cannot_be_started_after_a_shutdown(void **state)
{
    struct world *w = *state;
    set_interval(w, MS);
    create(w, "one");
    start(w);
    AWAIT(runs(w) >= 1);
    stop(w);
    assert_int_equal(curfew_shutdown(w->table, NULL), 0);
    struct curfew_error error;
    assert_int_equal(curfew_sweeper_start(w->table, &error), CURFEW_E_SHUTTING_DOWN);
    assert_int_equal(error.code, CURFEW_E_SHUTTING_DOWN);
}

#define TEST(title, function) { title, function, begin, finish, NULL }
#define TEST_TOLD(title, function) { title, function, begin_told, finish, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("S2.7, S3.4: the sweeper ends who is due, and stops and starts", it_sweeps_by_itself),
        TEST("S0.15: it sleeps while there are no sessions, and the first one wakes it",
             it_sleeps_while_there_are_none),
        TEST("a new interval holds at once and puts off no sweep that is due before", a_shorter_interval_holds_at_once),
        TEST("an interval that is set again and again puts nothing off", setting_it_again_and_again_puts_nothing_off),
        TEST("many threads start, stop and set it at once", many_start_and_stop_it_at_once),
        TEST_TOLD("its own callback may stop it: it stops after that sweep", its_own_callback_may_stop_it),
        TEST_TOLD("its own callback may stop and start it", its_own_callback_may_stop_and_start_it),
        TEST_TOLD("S3.6: its own callback may shut the table down", its_own_callback_may_shut_down),
        TEST_TOLD("S3.6: after a shutdown in its own callback it cannot be started from there, and stops",
                  no_start_from_within_after_its_own_shutdown),
        TEST_TOLD("S3.6: after a shutdown in its own callback nobody else can start it, and it stops",
                  no_start_from_outside_after_its_own_shutdown),
        TEST_TOLD("it takes no signals", it_takes_no_signals),
#ifndef CF_READERS_TSAN
        TEST("a forked child has no sweeper until it starts one", a_child_has_no_sweeper_until_it_starts_one),
#endif
        TEST("S3.6: freeing the table stops it and ends everybody", freeing_the_table_stops_it),
        TEST("S3.6: after a shutdown it cannot be started", it_cannot_be_started_after_a_shutdown),
    };
    return cmocka_run_group_tests_name("lib_sweeper", tests, NULL, NULL);
}
