/* test_lib_memory.c: what happens when there is no memory, and what becomes of memory that nobody needs any more. */
#include "lib_fixture.h"

#include "lib/lib.h"
#include "lib/readers.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSIONS 1000                   /* enough that every part of the table grows: pages of ids split at 400 */
#define COMINGS 40                      /* of one id */

/* ── the n-th allocation fails ── */

/* Every function once at least; what fails for want of memory is counted, and anything else fails the test. */
struct story {
    struct world *w;
    curfew_session sessions[SESSIONS];
    size_t made, refused;
};

static bool tell(struct story *story, int rc)
{
    if (rc != 0)
        assert_int_equal(rc, CURFEW_E_NO_MEMORY);
    story->refused += rc != 0;
    return rc == 0;
}

static bool try_to_create(struct story *story, const struct curfew_new *want, const char *id,
                          curfew_session *ret_session)
{
    struct curfew_error error = { 0 };
    curfew_session session = 77;
    struct curfew_counts before = counts(story->w);
    if (tell(story, curfew_session_create(story->w->table, want, &session, &error))) {
        *ret_session = session;
        return true;
    }
    assert_true(session == 77 && error.code == CURFEW_E_NO_MEMORY);
    struct curfew_counts after = counts(story->w);
    before.memory_bytes = after.memory_bytes;   /* what it got before it was refused may stay for the next */
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(curfew_session_find(story->w->table, id, &session), CURFEW_E_NOT_FOUND);
    return false;
}

static void begin_sessions(struct story *story)
{
    char id[80], workspace[32];
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(id, sizeof id, i % 8 != 1 ? "s%d" : "a-longer-id-that-has-to-lie-elsewhere-%d", i);
        snprintf(workspace, sizeof workspace, "workspace-%d", i % 100);
        const struct curfew_new want = { .id = i % 5 == 0 ? NULL : id, .workspace = workspace, .starting = i % 7 == 0,
                                         .idle_ns = i % 8 == 3 ? 50 * S : 0 };
        story->made += try_to_create(story, &want, id, &story->sessions[story->made]);
    }
}

/* Its place in the hash must be found for it again and again, and what it leaves there must not pile up. */
static void let_one_come_and_go(struct story *story)
{
    const struct curfew_new want = { .id = "one that comes and goes", .workspace = "its own" };
    curfew_session session;
    for (int i = 0; i < COMINGS; i++)
        if (try_to_create(story, &want, want.id, &session))
            assert_int_equal(curfew_session_end(story->w->table, session), 0);
}

static void use_sessions(struct story *story)
{
    struct curfew_table *table = story->w->table;
    struct curfew_coordinator *coordinator = NULL;
    struct curfew_planned planned[10];
    curfew_session at;
    size_t count;
    uint64_t cursor = 0;
    if (tell(story, curfew_coordinator_new(table, &coordinator)) && story->made > 1) {
        assert_int_equal(curfew_switch(coordinator, story->sessions[1]), 0);
        assert_int_equal(curfew_current(coordinator, &at), 0);
    }
    for (size_t i = 0; i < story->made; i++) {
        struct curfew_info info = get(story->w, story->sessions[i]);
        assert_int_equal(curfew_session_find(table, info.id, &at), 0);
        assert_true(at == story->sessions[i]);
        assert_int_equal(curfew_session_touch_id(table, info.id, CURFEW_TOUCH_TOOL), 0);
        if (info.state == CURFEW_STARTING)
            assert_int_equal(curfew_session_started(table, at), 0);
        assert_int_equal(curfew_session_busy(table, at, i % 4 == 0), 0);
        if (i % 10 == 9)
            assert_int_equal(curfew_session_fail(table, at, "a text that is kept if there is memory"), 0);
        if (i % 10 == 8)
            assert_int_equal(curfew_session_close(table, at), 0);
    }
    while (curfew_session_next(table, &cursor, &at) == 0)
        assert_true(is_here(story->w, at));
    (void)tell(story, curfew_plan(table, NULL, planned, 10, &count, NULL, NULL));
    assert_true(curfew_next_due(table) > 0 || story->made >= 9);
    curfew_coordinator_free(&coordinator);
}

static void end_sessions(struct story *story)
{
    static const struct curfew_limits tight = { 1, 1, 1000 };
    static const struct curfew_policy other = { 40 * S, AGE };
    struct world *w = story->w;
    assert_int_equal(curfew_policy_set(w->table, 0, &other, NULL), 0);
    advance(w, 45 * S);
    assert_int_equal(curfew_sweep(w->table, NULL), 0);
    if (story->made > 0)
        (void)curfew_session_end(w->table, story->sessions[0]);
    advance(w, 10 * S);
    assert_int_equal(curfew_cleanup_inactive(w->table, 0, NULL), 0);
    assert_int_equal(curfew_limits_set(w->table, &tight, NULL), 0);
    for (int i = 0; i < 3; i++) {
        curfew_session session;
        const struct curfew_new want = { .workspace = "late" };
        int rc = curfew_session_create(w->table, &want, &session, NULL);
        if (rc != CURFEW_E_TOO_MANY_SESSIONS && rc != CURFEW_E_TOO_MANY_ACTIVE)
            assert_true(rc == 0 || rc == CURFEW_E_NO_MEMORY);
        story->refused += rc == CURFEW_E_NO_MEMORY;
        advance(w, 3601 * S);
    }
    assert_int_equal(curfew_shutdown(w->table, NULL), 0);
    assert_true(counts(w).sessions_active == 0);
}

/* How many allocations were refused in the whole story. */
static size_t run_story(struct meter *meter, bool told)
{
    struct story *story = calloc(1, sizeof *story);
    assert_non_null(story);
    struct world *w = story->w = world_new();
    struct curfew_options options = world_options(w);
    options.allocator = (struct curfew_allocator){ meter_take, meter_give, meter };
    if (told)
        options.callbacks = (struct curfew_callbacks){ world_before, world_after, NULL, w };
    if (!tell(story, curfew_table_new(&options, &w->table, NULL))) {
        assert_null(w->table);
    } else {
        void (*const parts[])(struct story *) = { begin_sessions, let_one_come_and_go, use_sessions, end_sessions };
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            parts[i](story);
            assert_true(counts(w).memory_bytes == meter->bytes);
        }
        curfew_table_free(&w->table);
    }
    assert_int_equal(meter->outstanding, 0);
    assert_int_equal(meter->bytes, 0);
    size_t refused = story->refused;
    free(w);
    free(story);
    return refused;
}

static void try_each_allocation(bool told)
{
    struct meter whole = { 0 };
    size_t refusals = 0;
    assert_int_equal(run_story(&whole, told), 0);
    for (long at = 1; at <= whole.taken; at++)
        for (int more = 0; more < 2; more++) {
            struct meter meter = { .fail_at = at, .fail_on = more };
            refusals += run_story(&meter, told) > 0;
            assert_true(meter.taken >= at);
        }
    printf("# %s callbacks: %ld allocations, each refused alone and with all that follow\n", told ? "with" : "without",
           (long)whole.taken);
    assert_true(whole.taken > 300);
    assert_true(refusals > (size_t)whole.taken);        /* all but those for texts that may be dropped */
}

static void each_allocation_may_fail(void **state)
{
    (void)state;
    try_each_allocation(false);
    try_each_allocation(true);
}

/* ── what is given back, and when ── */

static uint64_t churn(struct world *w, int times)
{
    char id[64];
    for (int i = 0; i < times; i++) {
        snprintf(id, sizeof id, "an-id-that-does-not-fit-into-a-row-%d", i);
        assert_int_equal(curfew_session_end(w->table, create(w, id)), 0);
    }
    return counts(w).memory_bytes;
}

static void memory_is_used_again_without_membarrier(void **state)
{
    struct world *w = *state;
    uint64_t with = churn(w, 5000);
    cf_readers_force_fences(true);
    assert_true(churn(w, 50000) <= with + with / 10);
    cf_readers_force_fences(false);
    assert_true(churn(w, 50000) <= with + with / 10);
}

/* ── after a crowd has gone ── */

enum { CROWD = 200000 };

static void create_crowd(struct world *w)
{
    char id[64];
    for (int i = 0; i < CROWD; i++) {
        snprintf(id, sizeof id, i % 2 ? "s%d" : "an-id-that-does-not-fit-into-a-row-%d", i);
        create(w, id);
    }
}

static bool limbo_is_empty(struct world *w)
{
    cf_lock_take(&w->table->lock);
    bool empty = cf_core_limbo_collected(w->table->core) == 0 && !cf_core_limbo_waiting(w->table->core);
    cf_lock_give(&w->table->lock);
    return empty;
}

static void the_sweeper_gives_everything_back(void **state)
{
    struct world *w = *state;
    struct meter meter = { 0 };
    struct curfew_options options = world_options(w);
    options.allocator = (struct curfew_allocator){ meter_take, meter_give, &meter };
    options.sweep_interval_ns = 5000000;
    curfew_table_free(&w->table);
    world_make(w, &options);
    uint64_t left[2];
    for (int round = 0; round < 2; round++) {
        create_crowd(w);
        assert_true(meter.outstanding > CROWD / 2);
        assert_int_equal(curfew_sweeper_start(w->table, NULL), 0);
        advance(w, IDLE + 1);
        AWAIT(counts(w).sessions_active == 0);
        AWAIT(limbo_is_empty(w));
        left[round] = counts(w).memory_bytes;
        assert_int_equal(curfew_sweeper_stop(w->table), 0);
        assert_true(left[round] == meter.bytes);
        assert_in_range(meter.outstanding, 1, 64);      /* chunks of rows, slabs of pages, a directory; no texts */
    }
    assert_true(left[0] == left[1]);
    curfew_table_free(&w->table);
    assert_int_equal(meter.outstanding, 0);
    options = world_options(w);
    world_make(w, &options);
}

/* The sweeper finds nobody when it wakes, or from its start on. */
static void the_sweeper_tidies_up_after_others(void **state)
{
    struct world *w = *state;
    struct curfew_options options = world_options(w);
    size_t ended = 0;
    options.sweep_interval_ns = 200000000;
    curfew_table_free(&w->table);
    world_make(w, &options);
    for (int round = 0; round < 2; round++) {
        if (round == 0)
            assert_int_equal(curfew_sweeper_start(w->table, NULL), 0);
        create_crowd(w);
        advance(w, IDLE + 1);
        assert_int_equal(curfew_sweep(w->table, &ended), 0);
        if (round == 1)
            assert_int_equal(curfew_sweeper_start(w->table, NULL), 0);
        AWAIT(limbo_is_empty(w));
        assert_int_equal(curfew_sweeper_stop(w->table), 0);
    }
}

struct holder {
    pthread_barrier_t entered, go;
};

static _Thread_local struct cf_reader *record;     /* where shared.c would have its own */

static void *hold_a_section(void *argument)
{
    struct holder *holder = argument;
    assert_non_null(cf_readers_register(&record));
    cf_readers_enter(record);
    pthread_barrier_wait(&holder->entered);
    pthread_barrier_wait(&holder->go);
    cf_readers_leave(record);
    pthread_barrier_wait(&holder->entered);
    pthread_barrier_wait(&holder->go);
    return NULL;
}

static void a_reader_holds_up_what_it_may_look_at(void **state)
{
    pthread_t thread;
    struct holder holder;
    (void)state;
    cf_readers_setup();
    for (int fences = 0; fences < 2; fences++) {
        cf_readers_force_fences(fences);
        pthread_barrier_init(&holder.entered, NULL, 2);
        pthread_barrier_init(&holder.go, NULL, 2);
        uint64_t before = cf_readers_retire();
        assert_true(cf_readers_passed(before));
        assert_int_equal(pthread_create(&thread, NULL, hold_a_section, &holder), 0);
        pthread_barrier_wait(&holder.entered);
        uint64_t label = cf_readers_retire();
        assert_true(label > before && cf_readers_passed(before) && !cf_readers_passed(label));
        pthread_barrier_wait(&holder.go);
        pthread_barrier_wait(&holder.entered);
        assert_true(cf_readers_passed(label));
        pthread_barrier_wait(&holder.go);
        pthread_join(thread, NULL);
        pthread_barrier_destroy(&holder.entered);
        pthread_barrier_destroy(&holder.go);
    }
    cf_readers_force_fences(false);
}

static void *register_and_tell(void *argument)
{
    *(struct cf_reader **)argument = cf_readers_register(&record);
    return NULL;
}

static void a_record_is_used_again_by_the_next_thread(void **state)
{
    struct cf_reader *first = NULL, *next = NULL;
    pthread_t thread;
    (void)state;
    cf_readers_setup();
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(pthread_create(&thread, NULL, register_and_tell, i == 0 ? &first : &next), 0);
        pthread_join(thread, NULL);
        if (i > 0)
            assert_ptr_equal(first, next);
    }
    assert_non_null(first);
}

static void *use_without_a_record(void *argument)
{
    struct world *w = argument;
    curfew_session session = create(w, "one"), found = 0, current = 0;
    struct curfew_coordinator *coordinator = NULL;
    assert_int_equal(curfew_session_touch(w->table, session, CURFEW_TOUCH_MESSAGE), 0);
    assert_int_equal(curfew_session_touch_id(w->table, "one", CURFEW_TOUCH_MESSAGE), 0);
    assert_int_equal(curfew_session_touch_id(w->table, "two", CURFEW_TOUCH_MESSAGE), CURFEW_E_NOT_FOUND);
    assert_int_equal(curfew_session_find(w->table, "one", &found), 0);
    assert_int_equal(curfew_session_find(w->table, "two", &found), CURFEW_E_NOT_FOUND);
    assert_true(found == session && get(w, session).message_count == 2);
    assert_int_equal(curfew_coordinator_new(w->table, &coordinator), 0);
    assert_int_equal(curfew_switch(coordinator, session), 0);
    assert_int_equal(curfew_current(coordinator, &current), 0);
    curfew_coordinator_free(&coordinator);
    assert_int_equal(curfew_session_end(w->table, session), 0);
    return argument;
}

static void without_a_record_the_lock_does(void **state)
{
    pthread_t thread;
    void *done = NULL;
    cf_readers_force_none(true);
    assert_int_equal(pthread_create(&thread, NULL, use_without_a_record, *state), 0);
    pthread_join(thread, &done);
    cf_readers_force_none(false);
    assert_ptr_equal(done, *state);
}

/* ── fork ── */

static int in_the_child(struct world *w, curfew_session session)
{
    curfew_session found, made;
    const struct curfew_new want = { .id = "childs" };
    if (curfew_session_touch(w->table, session, CURFEW_TOUCH_MESSAGE) != 0)
        return 1;
    if (curfew_session_find(w->table, "one", &found) != 0 || found != session)
        return 2;
    if (curfew_session_create(w->table, &want, &made, NULL) != 0)
        return 3;
    for (int i = 0; i < 1000; i++)      /* what the parent's threads read when it forked is nobody's here */
        if (curfew_session_create(w->table, &(struct curfew_new){ 0 }, &made, NULL) != 0 ||
            curfew_session_end(w->table, made) != 0)
            return 4;
    if (!cf_readers_passed(cf_readers_retire()))
        return 5;
    curfew_table_free(&w->table);
    return 0;
}

static void a_child_has_a_table_of_its_own(void **state)
{
    struct world *w = *state;
    struct holder holder;
    pthread_t thread;
    int status = -1;
    curfew_session session = create(w, "one"), found;
    assert_int_equal(curfew_session_touch(w->table, session, CURFEW_TOUCH_MESSAGE), 0);
    pthread_barrier_init(&holder.entered, NULL, 2);
    pthread_barrier_init(&holder.go, NULL, 2);
    assert_int_equal(pthread_create(&thread, NULL, hold_a_section, &holder), 0);
    pthread_barrier_wait(&holder.entered);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(in_the_child(w, session));
    pthread_barrier_wait(&holder.go);
    pthread_barrier_wait(&holder.entered);
    pthread_barrier_wait(&holder.go);
    pthread_join(thread, NULL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(curfew_session_find(w->table, "childs", &found), CURFEW_E_NOT_FOUND);
    assert_true(get(w, session).message_count == 1);
}

/* Memory that needs no lock but the table's: what malloc's own locks are like in the child is not in question here. */
struct arena {
    char *at, *end;
};

static void *take_from_arena(void *context, size_t bytes)
{
    struct arena *arena = context;
    bytes = (bytes + 63) / 64 * 64;
    if ((size_t)(arena->end - arena->at) < bytes)
        return NULL;
    arena->at += bytes;
    return arena->at - bytes;
}

static void leave_in_arena(void *context, void *memory)
{
    (void)context;
    (void)memory;
}

struct busy {
    struct curfew_table *table;
    unsigned number;
    _Atomic unsigned long *turns;
    _Atomic bool *stop;
    pthread_t thread;
};

static void *be_busy(void *argument)
{
    struct busy *busy = argument;
    struct curfew_counts now;
    char id[32];
    curfew_session session;
    snprintf(id, sizeof id, "busy-%u", busy->number);
    const struct curfew_new want = { .id = id };
    while (!*busy->stop) {
        int rc = curfew_session_create(busy->table, &want, &session, NULL);
        if (rc == 0)
            rc = curfew_session_touch_id(busy->table, id, CURFEW_TOUCH_MESSAGE);
        if (rc == 0)
            rc = curfew_session_end(busy->table, session);
        curfew_counts_get(busy->table, &now, sizeof now);
        (void)curfew_next_due(busy->table);
        if (rc != 0 || curfew_sweep(busy->table, NULL) != 0)
            return busy;
        ++*busy->turns;
    }
    return NULL;
}

/* The child of a process whose other threads are anywhere: it must not wait for them. */
static int in_the_child_of_a_crowd(struct world *w, curfew_session session, unsigned threads)
{
    struct curfew_info info;
    struct curfew_counts now;
    (void)alarm(BOUND_NS / S);
    if (curfew_session_get(w->table, session, &info, sizeof info) != 0 || strcmp(info.id, "one") != 0)
        return 6;
    curfew_counts_get(w->table, &now, sizeof now);
    if (now.sessions_active < 1 || now.sessions_active > 1 + threads)   /* each has one, or none */
        return 7;
    if (now.sessions_created != now.sessions_cleaned + now.sessions_active - now.sessions_starting)
        return 8;
    return in_the_child(w, session);
}

static void fork_amid_a_crowd(struct world *w, curfew_session session, unsigned threads)
{
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(in_the_child_of_a_crowd(w, session, threads));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);        /* SIGALRM: it waited for what never comes */
}

static void a_fork_while_others_hold_the_lock(void **state)
{
    enum { THREADS = 3, FORKS = 40, ARENA_BYTES = 64 * 1024 * 1024 };
    struct world *w = *state;
    char *memory = mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    struct arena arena = { memory, memory + ARENA_BYTES };
    struct curfew_options options = world_options(w);
    options.allocator = (struct curfew_allocator){ take_from_arena, leave_in_arena, &arena };
    curfew_table_free(&w->table);
    world_make(w, &options);
    curfew_session session = create(w, "one");
    assert_int_equal(curfew_session_touch(w->table, session, CURFEW_TOUCH_MESSAGE), 0);

    _Atomic unsigned long turns[THREADS] = { 0 };
    _Atomic bool stop = false;
    struct busy busy[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        busy[i] = (struct busy){ .table = w->table, .number = i, .turns = &turns[i], .stop = &stop };
        assert_int_equal(pthread_create(&busy[i].thread, NULL, be_busy, &busy[i]), 0);
    }
    for (int i = 0; i < FORKS; i++) {
        unsigned long before = turns[i % THREADS];
        AWAIT(turns[i % THREADS] > before);     /* they go on after each fork, too */
        fork_amid_a_crowd(w, session, THREADS);
    }
    stop = true;
    for (int i = 0; i < THREADS; i++) {
        void *failed = w;
        pthread_join(busy[i].thread, &failed);
        assert_null(failed);
    }
    assert_true(get(w, session).message_count == 1 && counts(w).sessions_active == 1);
    curfew_table_free(&w->table);
    assert_int_equal(munmap(memory, ARENA_BYTES), 0);
    options = world_options(w);
    world_make(w, &options);
}

#define TEST(title, function) { title, function, begin, finish, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("S3.9: whichever allocation fails, nothing changes, nothing leaks, and the rest goes on",
             each_allocation_may_fail),
        TEST("S3.9: memory is used again where there is no membarrier, too", memory_is_used_again_without_membarrier),
        TEST("S3.9: after many have ended the sweeper gives back all that they needed",
             the_sweeper_gives_everything_back),
        TEST("S3.9: the sweeper tidies up after others", the_sweeper_tidies_up_after_others),
        TEST("what a reader may be looking at is not given back", a_reader_holds_up_what_it_may_look_at),
        TEST("a thread's record goes to the next thread", a_record_is_used_again_by_the_next_thread),
        TEST("a thread without a record takes the lock", without_a_record_the_lock_does),
        TEST("after a fork the child has a table of its own", a_child_has_a_table_of_its_own),
        TEST("S3.9: a fork while other threads hold the lock leaves the child a table that it can use",
             a_fork_while_others_hold_the_lock),
    };
    return cmocka_run_group_tests_name("lib_memory", tests, NULL, NULL);
}
