/* test_lib_memory.c: what happens when there is no memory, and what becomes of memory that nobody needs any more. */
#include "lib_fixture.h"

#include "lib/readers.h"

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#define SESSIONS 150                    /* enough that every part of the table grows */

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

static void begin_sessions(struct story *story)
{
    char id[80], workspace[32];
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(id, sizeof id, i % 2 == 0 ? "s%d" : "a-longer-id-that-has-to-lie-elsewhere-%d", i);
        snprintf(workspace, sizeof workspace, "workspace-%d", i % 40);
        const struct curfew_new want = { .id = i % 5 == 0 ? NULL : id, .workspace = workspace, .starting = i % 7 == 0,
                                         .idle_ns = i % 3 == 0 ? 50 * S : 0 };
        struct curfew_error error = { 0 };
        curfew_session session = 77;
        struct curfew_counts before = counts(story->w);
        if (tell(story, curfew_session_create(story->w->table, &want, &session, &error))) {
            story->sessions[story->made++] = session;
        } else {
            assert_true(session == 77 && error.code == CURFEW_E_NO_MEMORY);
            struct curfew_counts after = counts(story->w);
            before.memory_bytes = after.memory_bytes;   /* what it got before it was refused may stay for the next */
            assert_memory_equal(&before, &after, sizeof before);
            assert_int_equal(curfew_session_find(story->w->table, id, &session), CURFEW_E_NOT_FOUND);
        }
    }
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
    struct story story = { .w = world_new() };
    struct curfew_options options = world_options(story.w);
    options.allocator = (struct curfew_allocator){ meter_take, meter_give, meter };
    if (told)
        options.callbacks = (struct curfew_callbacks){ world_before, world_after, NULL, story.w };
    struct curfew_table *untouched = story.w->table;
    if (!tell(&story, curfew_table_new(&options, &story.w->table, NULL))) {
        assert_ptr_equal(story.w->table, untouched);
    } else {
        begin_sessions(&story);
        assert_true(counts(story.w).memory_bytes == meter->bytes);
        use_sessions(&story);
        assert_true(counts(story.w).memory_bytes == meter->bytes);
        end_sessions(&story);
        assert_true(counts(story.w).memory_bytes == meter->bytes);
        curfew_table_free(&story.w->table);
    }
    assert_int_equal(meter->outstanding, 0);
    assert_int_equal(meter->bytes, 0);
    size_t refused = story.refused;
    free(story.w);
    return refused;
}

static void each_allocation_may_fail(void **state)
{
    struct meter whole = { 0 };
    (void)state;
    assert_int_equal(run_story(&whole, false), 0);
    assert_true(whole.taken > 80);
    size_t refusals = 0;
    for (long at = 1; at <= whole.taken; at++)
        for (int more = 0; more < 2; more++) {
            struct meter meter = { .fail_at = at, .fail_on = more };
            refusals += run_story(&meter, at % 2 == 0) > 0;
            assert_true(meter.taken >= at);
        }
    assert_true(refusals > (size_t)whole.taken);        /* all but those for texts that may be dropped */
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

#define TEST(title, function) { title, function, begin, finish, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("S3.9: whichever allocation fails, nothing changes, nothing leaks, and the rest goes on",
             each_allocation_may_fail),
        TEST("S3.9: memory is used again where there is no membarrier, too", memory_is_used_again_without_membarrier),
        TEST("what a reader may be looking at is not given back", a_reader_holds_up_what_it_may_look_at),
        TEST("a thread's record goes to the next thread", a_record_is_used_again_by_the_next_thread),
        TEST("a thread without a record takes the lock", without_a_record_the_lock_does),
        TEST("after a fork the child has a table of its own", a_child_has_a_table_of_its_own),
    };
    return cmocka_run_group_tests_name("lib_memory", tests, NULL, NULL);
}
