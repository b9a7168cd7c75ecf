/* test_core_readers.c: SHARED functions on one thread while the owner works on another.
 *
 * ./check shows that nobody is missed and no memory is read that is gone.  What the memory model allows beyond what
 * this processor does, ThreadSanitizer sees; it cannot be built together with the other sanitizers, so run it by hand:
 *
 *   meson setup -Db_sanitize=thread -Db_lundef=false build-tsan
 *   ninja -C build-tsan test/test_core_readers && build-tsan/test/test_core_readers */
#include "core_fixture.h"
#include "core/table.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

#define STAYING 100
#define PASSING 400
#define ROUND 200                       /* changes that the owner makes before it lets the other thread go on */
#define PASSES 300                      /* of the reader, over all names, while the owner works */
#define CHANGES_MIN 60000
#define CHANGES_MAX 2000000

enum phase { CHANGING, QUIET, OVER };

struct scene {
    struct cf_core *core;
    cf_handle staying[STAYING];         /* 0 while the owner renews it; between the threads */
    cf_handle passing[PASSING];         /* the owner's alone; 0: not there */
    unsigned numbers[STAYING + PASSING];        /* of their ids */
    uint64_t random;
    /* Between the threads. */
    enum phase phase;
    unsigned section;                   /* odd: the reader is in one */
    unsigned passes[OVER];
    unsigned missed, wrong, unsure[OVER], seen_passing;
};

static const struct cf_limits many = { UINT32_MAX, UINT32_MAX, UINT32_MAX, { 300 * S, 3600 * S } };

static enum phase phase_of(struct scene *scene)
{
    return __atomic_load_n(&scene->phase, __ATOMIC_ACQUIRE);
}

static unsigned passes_of(struct scene *scene, enum phase phase)
{
    return __atomic_load_n(&scene->passes[phase], __ATOMIC_ACQUIRE);
}

static const char *id_of(unsigned number, char ret[CF_ID_MAX])
{
    snprintf(ret, CF_ID_MAX, number % 2 ? "s-%u" : "a-session-that-has-a-long-name-%u", number);
    return ret;
}

/* In a crowd all have their homes in a few cells of their pages: one long run, in which each that goes moves many. */
static void draw_ids(struct scene *scene, bool crowd)
{
    char id[CF_ID_MAX];
    unsigned number = 0;
    for (int i = 0; i < STAYING + PASSING; number++) {
        uint32_t tag = cf_map_tag(&scene->core->key, id_of(number, id), strlen(id_of(number, id)));
        if (!crowd || tag % CF_MAP_CELLS < 8)
            scene->numbers[i++] = number;
    }
}

static const char *staying_id(const struct scene *scene, int i, char ret[CF_ID_MAX])
{
    return id_of(scene->numbers[i], ret);
}

static const char *passing_id(const struct scene *scene, int i, char ret[CF_ID_MAX])
{
    return id_of(scene->numbers[STAYING + i], ret);
}

/* ── sections ── */

/* The same word changed in one total order by both sides: either the owner sees that the reader is inside, or the
 * reader sees all that the owner had done before it looked. */
static void enter(struct scene *scene)
{
    __atomic_add_fetch(&scene->section, 1, __ATOMIC_SEQ_CST);
}

static void leave(struct scene *scene)
{
    __atomic_add_fetch(&scene->section, 1, __ATOMIC_SEQ_CST);
}

/* In small portions, so that rows are moved at all times. */
static void reclaim(struct scene *scene)
{
    cf_core_limbo_close(scene->core);
    unsigned before = __atomic_add_fetch(&scene->section, 0, __ATOMIC_SEQ_CST);
    while (before % 2 != 0 && __atomic_load_n(&scene->section, __ATOMIC_SEQ_CST) == before)
        sched_yield();
    while (!cf_core_limbo_free(scene->core, 10))
        continue;
}

/* ── the reader ── */

static cf_handle staying(struct scene *scene, int i)
{
    return __atomic_load_n(&scene->staying[i], __ATOMIC_ACQUIRE);
}

/* A handle is never given twice: who has the same one before and after was there all the time. */
static void look_for_staying(struct scene *scene, enum phase phase, int i)
{
    char id[CF_ID_MAX];
    cf_handle before = staying(scene, i), found = 0;
    enum cf_found how = cf_core_find_shared(scene->core, staying_id(scene, i, id), &found);
    int rc = cf_core_touch(scene->core, before, T0 + i, CF_TOUCH_INPUT);
    enum cf_state state = cf_core_state(scene->core, before);
    if (before == 0 || staying(scene, i) != before)
        return;
    scene->missed += how == CF_ABSENT;
    scene->unsure[phase] += how == CF_UNSURE;
    scene->wrong += (how == CF_FOUND && found != before) || rc != 0 || state != CF_STATE_ACTIVE;
}

/* It may be there or not, or another of its name by now; but what is found was once told by an admission. */
static void look_for_passing(struct scene *scene, enum phase phase, int i)
{
    char id[CF_ID_MAX];
    cf_handle found = 0;
    enum cf_found how = cf_core_find_shared(scene->core, passing_id(scene, i, id), &found);
    scene->unsure[phase] += how == CF_UNSURE;
    if (how != CF_FOUND)
        return;
    scene->seen_passing++;
    int rc = cf_core_touch(scene->core, found, T0, CF_TOUCH_COMMAND);
    enum cf_state state = cf_core_state(scene->core, found);
    scene->wrong += rc != 0 && rc != CF_E_GONE && rc != CF_E_NOT_READY;
    scene->wrong += rc == CF_E_GONE && state != CF_STATE_FREE && state != CF_STATE_ENDING;
    scene->wrong += found >> 32 == 0;
}

static void look_for_nobody(struct scene *scene, enum phase phase)
{
    cf_handle found = 0;
    enum cf_found how = cf_core_find_shared(scene->core, "never-there", &found);
    scene->unsure[phase] += how == CF_UNSURE;
    scene->wrong += how == CF_FOUND;
}

static void *read_all_the_time(void *context)
{
    struct scene *scene = context;
    enum phase phase;
    while ((phase = phase_of(scene)) != OVER) {
        for (int i = 0; i < STAYING + PASSING && phase_of(scene) == phase; i++) {
            enter(scene);
            if (i < STAYING)
                look_for_staying(scene, phase, i);
            else
                look_for_passing(scene, phase, i - STAYING);
            leave(scene);
        }
        enter(scene);
        look_for_nobody(scene, phase);
        leave(scene);
        __atomic_add_fetch(&scene->passes[phase], 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

/* ── the owner ── */

/* Who has not been renewed for long stands in front of all others, where nobody moves it. */
static void renew(struct scene *scene, int i)
{
    char id[CF_ID_MAX];
    cf_handle old = scene->staying[i];
    __atomic_store_n(&scene->staying[i], 0, __ATOMIC_RELEASE);
    cf_core_gone(scene->core, old);
    cf_handle fresh = admit_with(scene->core, staying_id(scene, i, id), "w", 0, 0, T0);
    cf_core_started(scene->core, fresh, T0);
    __atomic_store_n(&scene->staying[i], fresh, __ATOMIC_RELEASE);
}

static void change_one(struct scene *scene)
{
    char id[CF_ID_MAX];
    scene->random = scene->random * 6364136223846793005u + 1442695040888963407u;
    int i = (int)(scene->random >> 33) % (STAYING + PASSING) - STAYING;
    if (i < 0) {
        renew(scene, STAYING + i);
        return;
    }
    cf_handle *handle = &scene->passing[i];
    if (*handle == 0) {
        *handle = admit_with(scene->core, passing_id(scene, i, id), "w", i % 3 ? 0 : S, 0, T0);
        cf_core_started(scene->core, *handle, T0);
        return;
    }
    if (scene->random >> 25 & 1)
        cf_core_left(scene->core, *handle, CF_STATE_FAILED, "it went");
    if (scene->random >> 26 & 1)
        (void)cf_core_ending(scene->core, *handle, CF_REASON_REQUESTED);
    cf_core_gone(scene->core, *handle);
    *handle = 0;
}

/* Sweeps beside touches: it must list nobody of those who stay, they are touched all the time or not yet idle. */
static void sweep_once(struct scene *scene)
{
    struct cf_due due[8];
    assert_int_equal(cf_core_due(scene->core, T0 + S, due, 8), 0);
    assert_true(cf_core_next_due(scene->core) > T0 + S);
}

static void wait_for_passes(struct scene *scene, enum phase phase, unsigned passes)
{
    const struct timespec pause = { 0, 1000000 };
    for (int ms = 0; passes_of(scene, phase) < passes; ms++) {
        assert_in_range(ms, 0, 60000);
        nanosleep(&pause, NULL);
    }
}

static void run(struct cf_core *core, bool crowd)
{
    static struct scene scene;
    char id[CF_ID_MAX];
    pthread_t reader;
    unsigned changes = 0;
    scene = (struct scene){ .core = core, .random = 1 };
    cf_core_limits_set(scene.core, &many);
    draw_ids(&scene, crowd);
    for (int i = 0; i < STAYING; i++) {
        scene.staying[i] = admit_with(scene.core, staying_id(&scene, i, id), "w", 0, 0, T0);
        cf_core_started(scene.core, scene.staying[i], T0);
    }
    assert_int_equal(pthread_create(&reader, NULL, read_all_the_time, &scene), 0);
    while (changes < CHANGES_MAX && (passes_of(&scene, CHANGING) < PASSES || changes < CHANGES_MIN)) {
        for (int i = 0; i < ROUND; i++)
            change_one(&scene);
        changes += ROUND;
        sweep_once(&scene);
        reclaim(&scene);
    }
    wait_for_passes(&scene, CHANGING, 2);
    __atomic_store_n(&scene.phase, QUIET, __ATOMIC_RELEASE);
    wait_for_passes(&scene, QUIET, 2);
    __atomic_store_n(&scene.phase, OVER, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(reader, NULL), 0);
    print_message("# %u changes, %u passes, %u unsure\n", changes, scene.passes[CHANGING], scene.unsure[CHANGING]);
    assert_int_equal(scene.missed, 0);
    assert_int_equal(scene.wrong, 0);
    assert_int_equal(scene.unsure[QUIET], 0);
    assert_true(scene.seen_passing > 0);
    for (int i = 0; i < STAYING; i++)
        assert_true(get(scene.core, scene.staying[i], T0).last_used_ns == T0 + i);
}

static void nobody_who_stays_is_missed(void **state)
{
    run(*state, false);
}

static void nobody_in_a_crowd_is_missed(void **state)
{
    run(*state, true);
}

/* ── many who touch ── */

#define TOUCHERS 3
#define TOUCHES 300000

struct toucher { struct cf_core *core; cf_handle handle; int number; pthread_barrier_t *start; };

static void *touch_all_the_time(void *context)
{
    struct toucher *me = context;
    pthread_barrier_wait(me->start);
    for (int i = 0; i < TOUCHES; i++)
        (void)cf_core_touch(me->core, me->handle, T0 + i * TOUCHERS + me->number, CF_TOUCH_COMMAND);
    return NULL;
}

/* Of touches at the same time one stays; all of them are counted, and the last one, which is alone, is kept. */
static void touches_side_by_side(void **state)
{
    pthread_t threads[TOUCHERS];
    struct toucher touchers[TOUCHERS];
    pthread_barrier_t all;
    cf_handle one = start(*state, "one", T0);
    assert_int_equal(pthread_barrier_init(&all, NULL, TOUCHERS), 0);
    for (int i = 0; i < TOUCHERS; i++) {
        touchers[i] = (struct toucher){ *state, one, i, &all };
        assert_int_equal(pthread_create(&threads[i], NULL, touch_all_the_time, &touchers[i]), 0);
    }
    for (int i = 0; i < TOUCHERS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    pthread_barrier_destroy(&all);
    struct cf_session session = get(*state, one, T0);
    assert_int_equal(session.message_count, TOUCHERS * TOUCHES);
    assert_true(session.last_used_ns >= T0 && session.last_used_ns < T0 + TOUCHERS * TOUCHES);
    (void)cf_core_touch(*state, one, T0 + S, CF_TOUCH_COMMAND);
    assert_true(get(*state, one, T0).last_used_ns == T0 + S);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST_SHARED("S2.5: a look-up without the lock misses nobody who is there all the time, whatever comes and goes",
                    nobody_who_stays_is_missed),
        TEST_SHARED("S2.5: nor when rows are moved in the hash all the time", nobody_in_a_crowd_is_missed),
        TEST_SHARED("S2.1, S3.1: touches side by side are all counted", touches_side_by_side),
    };
    return cmocka_run_group_tests_name("core_readers", tests, NULL, NULL);
}
