/* test_lib_threads.c: many threads in one table, doing everything at once.  Also to be run under ThreadSanitizer.
 *
 *   test_lib_threads [STEPS [SEED]]     steps of each thread
 *
 * budget: 120 */
#include "lib_fixture.h"

#include "lib/lock.h"
#include "lib/readers.h"

#include <pthread.h>
#include <time.h>

#define THREADS 6
#define IDS 3000                        /* few enough that they meet, and enough that the hash of ids grows */
#define RECENT 64
#define ANCHORS 8                       /* sessions that nobody ends: they are found and touched every time */

static long steps = 60000;
static uint64_t seed = 1;

struct mark {                           /* a session's own, from its creation to its after_end */
    _Atomic int asked;
    _Atomic int ended;
    int id;                             /* -1: one that the table made */
};

struct crowd {
    struct world *w;
    curfew_session anchors[ANCHORS];
    _Atomic uint64_t recent[RECENT];    /* handles, many of them stale */
    _Atomic long made, ended, wrong;
    _Atomic int finished;
    bool told;
};

struct worker {
    struct crowd *crowd;
    uint64_t random;
    pthread_t thread;
    struct curfew_coordinator *coordinator;
};

static uint64_t roll(struct worker *worker, uint64_t sides)
{
    worker->random = worker->random * 6364136223846793005u + 1442695040888963407u;
    return (worker->random >> 33) % sides;
}

/* cmocka's assertions are for its own thread. */
#define MUST(crowd, condition) do { \
        if (!(condition)) { \
            (crowd)->wrong++; \
            fprintf(stderr, "# line %d: %s\n", __LINE__, #condition); \
        } \
    } while (0)

/* ── callbacks ── */

static int on_before(void *context, const struct curfew_info *info)
{
    struct crowd *crowd = context;
    struct mark *mark = info->user;
    MUST(crowd, mark != NULL && atomic_fetch_add(&mark->asked, 1) == 0);
    MUST(crowd, info->reason != CURFEW_REASON_NONE);
    uint64_t what = (info->session ^ (uint64_t)info->now_ns) % 8;
    if (what == 0)
        (void)curfew_session_touch(crowd->w->table, info->session, CURFEW_TOUCH_TOOL);
    if (what == 1)
        (void)curfew_session_end(crowd->w->table, info->session);
    MUST(crowd, atomic_fetch_sub(&mark->asked, 1) == 1);
    return what == 2 ? CURFEW_KEEP : what == 3 ? -1 : CURFEW_GO_ON;
}

static int on_after(void *context, const struct curfew_info *info)
{
    struct crowd *crowd = context;
    struct mark *mark = info->user;
    curfew_session found;
    MUST(crowd, info->state == CURFEW_ENDING && atomic_fetch_add(&mark->ended, 1) == 0 && mark->asked == 0);
    if (curfew_session_find(crowd->w->table, info->id, &found) == 0)
        MUST(crowd, found != info->session);
    crowd->ended++;
    free(mark);
    return 0;
}

/* ── what a thread does ── */

static curfew_session some_session(struct worker *worker)
{
    return worker->crowd->recent[roll(worker, RECENT)];
}

static void do_create(struct worker *worker)
{
    struct crowd *crowd = worker->crowd;
    char id[64], workspace[16];
    int number = (int)roll(worker, IDS);
    struct mark *mark = crowd->told ? calloc(1, sizeof *mark) : NULL;
    snprintf(id, sizeof id, number % 2 == 0 ? "s%d" : "an-id-that-lies-outside-of-its-row-%d", number);
    snprintf(workspace, sizeof workspace, "w%d", (int)roll(worker, 20));
    bool named = roll(worker, 4) > 0, starting = roll(worker, 10) == 0;
    const struct curfew_new want = {
        .id = named ? id : NULL, .workspace = workspace, .starting = starting, .user = mark,
        .idle_ns = roll(worker, 5) == 0 ? (int64_t)roll(worker, 20000) + 1 : 0,
    };
    curfew_session session;
    if (mark != NULL)
        mark->id = named ? number : -1;
    int rc = curfew_session_create(crowd->w->table, &want, &session, NULL);
    if (rc != 0) {
        MUST(crowd, (rc == CURFEW_E_EXISTS && named) || rc == CURFEW_E_TOO_MANY_SESSIONS);
        free(mark);
        return;
    }
    crowd->made++;
    crowd->recent[roll(worker, RECENT)] = session;
    if (starting && roll(worker, 2) == 0) {
        rc = curfew_session_started(crowd->w->table, session);
        MUST(crowd, rc == 0 || rc == CURFEW_E_GONE || rc == CURFEW_E_NOT_READY);
    }
}

static void do_find(struct worker *worker)
{
    struct crowd *crowd = worker->crowd;
    char id[64];
    int number = (int)roll(worker, IDS);
    curfew_session session;
    struct curfew_info info;
    snprintf(id, sizeof id, number % 2 == 0 ? "s%d" : "an-id-that-lies-outside-of-its-row-%d", number);
    int rc = curfew_session_find(crowd->w->table, id, &session);
    MUST(crowd, rc == 0 || rc == CURFEW_E_NOT_FOUND);
    if (rc == 0 && curfew_session_get(crowd->w->table, session, &info, sizeof info) == 0)
        MUST(crowd, info.session == session && strcmp(info.id, id) == 0);
    rc = curfew_session_touch_id(crowd->w->table, id, CURFEW_TOUCH_INPUT);
    MUST(crowd, rc == 0 || rc == CURFEW_E_NOT_FOUND || rc == CURFEW_E_NOT_READY);
}

static void do_anchor(struct worker *worker)
{
    struct crowd *crowd = worker->crowd;
    char id[64];
    unsigned number = (unsigned)roll(worker, ANCHORS);
    curfew_session found = 0;
    snprintf(id, sizeof id, "anchor-%u", number);
    MUST(crowd, curfew_session_find(crowd->w->table, id, &found) == 0 && found == crowd->anchors[number]);
    MUST(crowd, curfew_session_touch_id(crowd->w->table, id, CURFEW_TOUCH_MESSAGE) == 0);
    MUST(crowd, curfew_session_touch(crowd->w->table, found, CURFEW_TOUCH_HEARTBEAT) == 0);
    MUST(crowd, curfew_switch(worker->coordinator, found) == 0);
    curfew_session current = 0;
    MUST(crowd, curfew_current(worker->coordinator, &current) == 0 && current == found);
}

static void do_change(struct worker *worker)
{
    struct curfew_table *table = worker->crowd->w->table;
    curfew_session session = some_session(worker);
    int rc = 0;
    switch (roll(worker, 6)) {
    case 0: rc = curfew_session_end(table, session); break;
    case 1: rc = curfew_session_close(table, session); break;
    case 2: rc = curfew_session_fail(table, session, "for a reason"); break;
    case 3: rc = curfew_session_busy(table, session, true); break;
    case 4: rc = curfew_session_busy(table, session, false); break;
    default: rc = curfew_switch(worker->coordinator, session); break;
    }
    MUST(worker->crowd, rc == 0 || rc == CURFEW_E_GONE || rc == CURFEW_E_NOT_READY);
}

static void do_touch(struct worker *worker)
{
    int rc = curfew_session_touch(worker->crowd->w->table, some_session(worker), CURFEW_TOUCH_MESSAGE);
    MUST(worker->crowd, rc == 0 || rc == CURFEW_E_GONE || rc == CURFEW_E_NOT_READY);
}

static void do_whole_table(struct worker *worker)
{
    struct crowd *crowd = worker->crowd;
    struct curfew_table *table = crowd->w->table;
    struct curfew_plan_query query = { .within_ns = 0 };
    struct curfew_policy policy = { .age_ns = AGE };
    struct curfew_planned planned[16];
    struct curfew_counts now;
    curfew_session at;
    uint64_t cursor = 0, walked = 0;
    size_t count = 0, total = 0;
    switch (roll(worker, 7)) {
    case 0:
        MUST(crowd, curfew_cleanup_inactive(table, (int64_t)roll(worker, 60000), NULL) == 0);
        break;
    case 1:
        query.within_ns = (int64_t)roll(worker, 5000);
        MUST(crowd, curfew_plan(table, &query, planned, 16, &count, &total, NULL) == 0);
        MUST(crowd, count <= 16 && count <= total);
        for (size_t i = 1; i < count; i++)
            MUST(crowd, planned[i - 1].when_ns <= planned[i].when_ns);
        break;
    case 2:
        curfew_counts_get(table, &now, sizeof now);
        MUST(crowd, now.sessions_created == now.sessions_cleaned + now.sessions_active - now.sessions_starting);
        break;
    case 3:
        while (curfew_session_next(table, &cursor, &at) == 0)
            walked++;
        MUST(crowd, walked >= ANCHORS);
        break;
    case 4:
        (void)curfew_next_due(table);
        break;
    case 5:
        policy.idle_ns = 5000 + (int64_t)roll(worker, 30000);
        MUST(crowd, curfew_policy_set(table, 0, &policy, NULL) == 0);
        break;
    default:
        MUST(crowd, curfew_sweep(table, NULL) == 0);
        break;
    }
    crowd->w->now_ns += (int64_t)roll(worker, 50);
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    MUST(worker->crowd, curfew_coordinator_new(worker->crowd->w->table, &worker->coordinator) == 0);
    for (long i = 0; i < steps; i++) {
        uint64_t what = roll(worker, 100);
        if (what < 20)
            do_create(worker);
        else if (what < 40)
            do_find(worker);
        else if (what < 60)
            do_touch(worker);
        else if (what < 80)
            do_change(worker);
        else if (what < 97)
            do_anchor(worker);
        else
            do_whole_table(worker);
    }
    curfew_coordinator_free(&worker->coordinator);
    worker->crowd->finished++;
    return NULL;
}

/* ── the crowd ── */

static void make_table(struct crowd *crowd, struct meter *meter)
{
    static const struct curfew_kind kinds[] = {
        { "short", { 20000, AGE } }, { "anchor", { CURFEW_NEVER_NS, CURFEW_NEVER_NS } } };
    struct curfew_options options = world_options(crowd->w);
    options.kinds = kinds;
    options.kind_count = 2;
    options.limits.max_sessions = 2000;
    options.emergency = (struct curfew_policy){ 3000, CURFEW_NEVER_NS };
    options.sweep_interval_ns = 1000000;
    options.allocator = (struct curfew_allocator){ meter_take, meter_give, meter };
    if (crowd->told)
        options.callbacks = (struct curfew_callbacks){ on_before, on_after, NULL, crowd };
    world_make(crowd->w, &options);
    for (int i = 0; i < ANCHORS; i++) {
        char id[64];
        snprintf(id, sizeof id, "anchor-%d", i);
        struct mark *mark = crowd->told ? calloc(1, sizeof *mark) : NULL;
        const struct curfew_new want = { .id = id, .kind = 1, .user = mark };
        crowd->anchors[i] = create_with(crowd->w, &want);
        /* Busy: neither an emergency nor a cleanup takes it. */
        assert_int_equal(curfew_session_busy(crowd->w->table, crowd->anchors[i], true), 0);
    }
    crowd->made = ANCHORS;
}

static void run_crowd(bool told)
{
    static struct crowd crowd;
    struct meter meter = { 0 };
    struct worker workers[THREADS];
    memset(&crowd, 0, sizeof crowd);
    crowd.w = world_new();
    crowd.told = told;
    make_table(&crowd, &meter);
    assert_int_equal(curfew_sweeper_start(crowd.w->table, NULL), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){ .crowd = &crowd, .random = seed * 1000 + i };
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
    assert_int_equal(crowd.wrong, 0);
    assert_int_equal(crowd.finished, THREADS);

    struct curfew_counts before = counts(crowd.w);
    size_t ended = 0;
    assert_int_equal(curfew_shutdown(crowd.w->table, &ended), 0);
    assert_true(ended <= before.sessions_active && !curfew_sweeper_running(crowd.w->table));
    struct curfew_counts after = counts(crowd.w);
    assert_true(after.sessions_active == 0 && after.sessions_starting == 0);
    assert_true(after.sessions_created == after.sessions_cleaned && after.sessions_cleaned <= (uint64_t)crowd.made);
    assert_true(after.memory_bytes == meter.bytes);
    if (told)
        assert_int_equal(crowd.ended, crowd.made);
    printf("# %ld sessions; %llu sweeps, %llu emergencies, %llu refused, %llu kept, %llu spared\n", (long)crowd.made,
           (unsigned long long)after.cleanup_runs, (unsigned long long)after.emergency_runs,
           (unsigned long long)after.sessions_refused, (unsigned long long)after.ends_kept,
           (unsigned long long)after.ends_spared);
    assert_true(after.cleanup_runs > 10 && crowd.made > steps / 100);
    if (told)
        assert_true(after.ends_kept > 0 && after.cleanup_errors > 0);
    curfew_table_free(&crowd.w->table);
    assert_true(meter.outstanding == 0 && meter.bytes == 0);
    free(crowd.w);
}

static void a_crowd_without_callbacks(void **state)
{
    (void)state;
    run_crowd(false);
}

static void a_crowd_with_callbacks(void **state)
{
    (void)state;
    run_crowd(true);
}

static void a_crowd_that_pays_for_its_fences(void **state)
{
    (void)state;
    cf_readers_force_fences(true);
    run_crowd(true);
    run_crowd(false);
    cf_readers_force_fences(false);
}

/* ── a sweep keeps nobody out for long ── */

struct sweeper {
    struct curfew_table *table;
    _Atomic bool stop;
    _Atomic long sweeps;
};

static void *sweep_all_the_time(void *argument)
{
    struct sweeper *sweeper = argument;
    while (!sweeper->stop) {
        if (curfew_cleanup_inactive(sweeper->table, AGE, NULL) != 0)
            return NULL;
        sweeper->sweeps++;
    }
    return NULL;
}

static void nobody_starves_behind_a_sweep(void **state)
{
    struct world *w = *state;
    struct sweeper sweeper = { .table = w->table };
    pthread_t threads[2];
    curfew_session session;
    for (int i = 0; i < 200000; i++) {
        const struct curfew_new want = { .idle_ns = 1000 * S + i };     /* own limits: each row is looked at */
        create_with(w, &want);
    }
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, sweep_all_the_time, &sweeper), 0);
    while (sweeper.sweeps == 0)
        nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
    long before = sweeper.sweeps, created = 0;
    int64_t longest_ns = 0;
    for (; created < 1000 || sweeper.sweeps - before < 20; created++) {
        int64_t begun_ns = real_now();
        session = create(w, NULL);
        assert_int_equal(curfew_session_end(w->table, session), 0);
        int64_t took_ns = real_now() - begun_ns;
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
    }
    long swept = sweeper.sweeps - before;
    sweeper.stop = true;
    printf("# %ld created and ended during %ld sweeps; the longest took %.3f ms\n", created, swept,
           (double)longest_ns / 1e6);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_true(counts(w).sessions_active == 200000);
    assert_true(created > swept);       /* whoever waits comes in between two holds of a sweep, not after it */
}

struct waiter {
    struct cf_lock lock;
    _Atomic bool had_it;
};

static void *wait_for_it(void *argument)
{
    struct waiter *waiter = argument;
    cf_lock_take(&waiter->lock);
    waiter->had_it = true;
    cf_lock_give(&waiter->lock);
    return NULL;
}

static bool somebody_waits(struct cf_lock *lock)
{
    if (pthread_mutex_trylock(&lock->gate) != 0)
        return true;
    pthread_mutex_unlock(&lock->gate);
    return false;
}

/* A mutex alone goes to who takes it again at once, and the one who waits for it is not even awake by then. */
static void the_lock_goes_to_who_waits(void **state)
{
    struct waiter waiter;
    pthread_t thread;
    (void)state;
    cf_lock_init(&waiter.lock);
    for (int i = 0; i < 200; i++) {
        waiter.had_it = false;
        cf_lock_take(&waiter.lock);
        assert_int_equal(pthread_create(&thread, NULL, wait_for_it, &waiter), 0);
        for (int64_t begun_ns = real_now(); !somebody_waits(&waiter.lock);)
            assert_true(real_now() - begun_ns < 30 * S);
        cf_lock_give(&waiter.lock);
        cf_lock_retake(&waiter.lock);
        assert_true(waiter.had_it);
        cf_lock_give(&waiter.lock);
        pthread_join(thread, NULL);
    }
    cf_lock_destroy(&waiter.lock);
}

#define TEST(title, function) { title, function, NULL, NULL, NULL }

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST("S3.9: many threads do everything at once, and the numbers agree", a_crowd_without_callbacks),
        TEST("S3.9: each session is asked about by one thread at a time and told once", a_crowd_with_callbacks),
        TEST("S3.9: the same where readers pay for their fences", a_crowd_that_pays_for_its_fences),
        { "S3.9: nobody starves behind sweeps that never stop", nobody_starves_behind_a_sweep, begin, finish, NULL },
        TEST("S3.9: who waits for the lock gets it before who has just had it", the_lock_goes_to_who_waits),
    };
    if (argc > 1)
        steps = strtol(argv[1], NULL, 10);
    if (argc > 2)
        seed = strtoull(argv[2], NULL, 10);
    printf("# %ld steps, seed %llu\n", steps, (unsigned long long)seed);
    return cmocka_run_group_tests_name("lib_threads", tests, NULL, NULL);
}
