/* Two threads touching, each in its own random order over all sessions; and one thread that touches, looks up or
 * creates while another sweeps all the time.  Who cannot be called by several threads gets a mutex around each call,
 * as its user would do it. */
#include "bench/process.h"
#include "bench/sample.h"
#include "bench/table/worker.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define BLOCK 1024                      /* touches between two steps of the clock */
#define SWEEP_PAUSE_NS 50000
#define CALLS_MAX (4u << 20)
#define LATE_NS 20000                   /* from here on it is asked whether the thread was put off its processor, */
#define ASK_NS 5000                     /* and so often how many times it was by now */
#define PASSES_OF 8000000               /* touches that make a time long enough to be measured, */
#define PASSES_LOCKED_OF 1000000        /* and with a mutex around each */

struct toucher {
    struct bench *b;
    pthread_mutex_t *lock;              /* NULL: not needed */
    pthread_barrier_t *barrier;
    const uint64_t *refs;
    size_t count, passes;
    int cpu;
    size_t done;
    int64_t from_ns, until_ns;
};

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    if (process_cpus() > 1)
        pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

static size_t touch_locked(struct toucher *t, struct store *store, const uint64_t *refs, size_t count, int64_t now_ns)
{
    size_t done = 0;
    if (t->lock == NULL)
        return t->b->adapter->touch(store, refs, count, now_ns);
    for (size_t i = 0; i < count; i++) {
        pthread_mutex_lock(t->lock);
        done += t->b->adapter->touch(store, refs + i, 1, now_ns);
        pthread_mutex_unlock(t->lock);
    }
    return done;
}

static void *touch_all(void *data)
{
    struct toucher *t = data;
    const struct adapter *a = t->b->adapter;
    struct store *store = a->attach != NULL ? a->attach(t->b->store) : t->b->store;
    int64_t now_ns = t->b->now_ns;
    pin(t->cpu);
    pthread_barrier_wait(t->barrier);
    t->from_ns = sample_now_ns();
    for (size_t pass = 0; pass < t->passes; pass++)
        for (size_t at = 0; at < t->count; at += BLOCK, now_ns += 1000)
            t->done += touch_locked(t, store, t->refs + at, t->count - at < BLOCK ? t->count - at : BLOCK, now_ns);
    t->until_ns = sample_now_ns();
    if (a->detach != NULL)
        a->detach(store);
    return NULL;
}

/* Touches a second by this many threads together, each `count` sessions; below 0: not all worked. */
static double rate(struct bench *b, const uint64_t *const *refs, size_t count, unsigned threads)
{
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_barrier_t barrier;
    pthread_t ids[2];
    struct toucher all[2];
    bool whole = true;
    size_t touches = b->adapter->slow ? 1 : b->adapter->many_threads ? PASSES_OF : PASSES_LOCKED_OF;
    size_t passes = touches / (b->quick ? 4 : 1) / count + 1;
    pthread_barrier_init(&barrier, NULL, threads);
    for (unsigned i = 0; i < threads; i++) {
        all[i] = (struct toucher){.b = b, .lock = b->adapter->many_threads ? NULL : &lock, .barrier = &barrier,
                                  .refs = refs[i], .count = count, .passes = passes, .cpu = (int)i};
        if (pthread_create(&ids[i], NULL, touch_all, &all[i]) != 0)
            abort();
    }
    for (unsigned i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        whole = whole && all[i].done == count * passes;
    }
    pthread_barrier_destroy(&barrier);
    b->now_ns += SECOND_NS;
    int64_t from = all[0].from_ns, until = all[0].until_ns;
    if (threads > 1) {
        from = from < all[1].from_ns ? from : all[1].from_ns;
        until = until > all[1].until_ns ? until : all[1].until_ns;
    }
    return whole ? (double)(count * passes * threads) * 1e9 / (double)(until - from) : -1;
}

/* The references in two further orders: all of them backwards, and first those to the older half of the sessions. */
static bool other_orders(const struct bench *b, uint64_t **ret_backwards, uint64_t **ret_halves)
{
    size_t count = b->names->count, older = 0, newer = count / 2;
    uint64_t *backwards = malloc(count * sizeof backwards[0]), *halves = malloc(count * sizeof halves[0]);
    if (backwards == NULL || halves == NULL)
        return false;
    for (size_t i = 0; i < count; i++) {
        backwards[i] = b->refs[count - 1 - i];
        halves[b->names->order[i] < count / 2 ? older++ : newer++] = b->refs[i];
    }
    *ret_backwards = backwards;
    *ret_halves = halves;
    return true;
}

bool worker_threads(struct bench *b, struct answer *ret_answer)
{
    size_t half = b->names->count / 2 < b->sample ? b->names->count / 2 : b->sample;
    uint64_t *backwards, *halves;
    if (!other_orders(b, &backwards, &halves))
        return worker_fail(ret_answer, "no memory");
    const uint64_t *all[2] = {b->refs, backwards}, *own[2] = {halves, halves + b->names->count / 2};
    double warm = b->adapter->slow ? 0 : rate(b, all, b->sample, 1);    /* the caches hold what another one left */
    double one = rate(b, all, b->sample, 1), two = rate(b, all, b->sample, 2);
    double one_half = rate(b, own, half, 1), two_halves = rate(b, own, half, 2);
    free(backwards);
    free(halves);
    if (warm < 0 || one < 0 || two < 0 || one_half < 0 || two_halves < 0)
        return worker_fail(ret_answer, "a touch failed");
    ret_answer->values[M_ONE_THREAD] = one / 1e6;
    ret_answer->values[M_TWO_THREADS] = two / 1e6;
    ret_answer->values[M_SCALING] = two / one;
    ret_answer->values[M_TWO_HALVES] = two_halves / 1e6;
    ret_answer->values[M_SCALING_HALVES] = two_halves / one_half;
    return true;
}

struct sweeper {
    struct bench *b;
    pthread_mutex_t *lock;
    int64_t now_ns;
    size_t sweeps, ended;
    bool stop;                          /* atomic */
};

static void *sweep_all_the_time(void *data)
{
    struct sweeper *s = data;
    const struct adapter *a = s->b->adapter;
    struct store *store = a->attach != NULL ? a->attach(s->b->store) : s->b->store;
    struct timespec pause = {0, SWEEP_PAUSE_NS};
    pin(1);
    while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
        if (s->lock != NULL)
            pthread_mutex_lock(s->lock);
        size_t ended = a->sweep(store, s->now_ns);
        if (s->lock != NULL)
            pthread_mutex_unlock(s->lock);
        s->ended += a->external ? 0 : ended;    /* Redis counts who is there, and others create meanwhile */
        s->sweeps++;
        nanosleep(&pause, NULL);
    }
    if (a->detach != NULL)
        a->detach(store);
    return NULL;
}

static size_t touch_one(struct bench *b, size_t number, uint64_t *refs)
{
    return b->adapter->touch(b->store, b->refs + number % b->names->count, 1, b->now_ns);
}

static size_t touch_id_one(struct bench *b, size_t number, uint64_t *refs)
{
    return b->adapter->touch_id(b->store, b->names->shuffled + number % b->names->count, 1, b->now_ns);
}

static size_t lookup_one(struct bench *b, size_t number, uint64_t *refs)
{
    return b->adapter->lookup(b->store, b->names->shuffled + number % b->names->count, 1);
}

static size_t create_one(struct bench *b, size_t number, uint64_t *refs)
{
    return b->adapter->create(b->store, b->names->ids + b->names->count + number, 1, b->now_ns, &refs[number]);
}

typedef size_t one_call(struct bench *b, size_t number, uint64_t *refs);

static long put_off(void)
{
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

/* Calls until the time is over or `max` is reached; how long each took.  A call in which the kernel took the processor
 * away says nothing about the table and is left out.  How many were kept; 0: one failed. */
static size_t time_calls(struct bench *b, one_call *call, pthread_mutex_t *lock, int64_t until_ns, size_t max,
                         uint32_t *ret_took, uint64_t *refs, size_t *ret_calls)
{
    size_t kept = 0, calls = 0;
    int64_t start = sample_now_ns(), asked = start, end;
    long before = put_off();
    while (start < until_ns && calls < max) {
        if (lock != NULL)
            pthread_mutex_lock(lock);
        bool worked = call(b, calls++, refs) == 1;
        if (lock != NULL)
            pthread_mutex_unlock(lock);
        end = sample_now_ns();
        if (!worked)
            return 0;
        long now = end - start > LATE_NS ? put_off() : before;
        if (now == before)
            ret_took[kept++] = end - start > UINT32_MAX ? UINT32_MAX : (uint32_t)(end - start);
        if (end - asked > ASK_NS) {
            before = put_off();
            asked = end = sample_now_ns();
        }
        start = end;
        b->now_ns += 1000;
    }
    *ret_calls = calls;
    return kept;
}

static bool during(struct bench *b, one_call *call, size_t max, double *ret_three, double *ret_rate,
                   struct answer *ret_answer)
{
    static uint32_t took[CALLS_MAX];
    static uint64_t refs[NAMES_EXTRA];
    pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct sweeper sweeper = {.b = b, .lock = b->adapter->many_threads ? NULL : &lock, .now_ns = b->now_ns};
    pthread_t thread;
    size_t calls;
    if (pthread_create(&thread, NULL, sweep_all_the_time, &sweeper) != 0)
        return worker_fail(ret_answer, "no thread");
    int64_t start = sample_now_ns(), until = start + (b->quick ? SECOND_NS / 10 : SECOND_NS / 2);
    size_t kept = time_calls(b, call, sweeper.lock, until, max, took, refs, &calls);
    int64_t took_ns = sample_now_ns() - start;
    __atomic_store_n(&sweeper.stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    if (kept == 0 || sweeper.ended > 0)
        return worker_fail(ret_answer, kept == 0 ? "a call failed during sweeps" : "a sweep ended somebody");
    worker_sort(took, kept);
    ret_three[0] = took[kept / 2] / 1e3;
    ret_three[1] = took[(kept - 1) * 99 / 100] / 1e3;
    ret_three[2] = took[kept - 1] / 1e3;
    *ret_rate = (double)sweeper.sweeps * 1e9 / (double)took_ns;
    if (call == create_one && b->adapter->end(b->store, refs, calls) != calls)
        return worker_fail(ret_answer, "who was created could not be ended");
    return true;
}

bool worker_during(struct bench *b, struct answer *ret_answer)
{
    double *values = ret_answer->values, ignored;
    one_call *touch = b->adapter->by_reference ? touch_one : touch_id_one;
    pin(0);
    return during(b, touch, CALLS_MAX, &values[M_DURING_TOUCH_P50], &values[M_DURING_SWEEPS], ret_answer) &&
           during(b, lookup_one, CALLS_MAX, &values[M_DURING_LOOKUP_P50], &ignored, ret_answer) &&
           during(b, create_one, NAMES_EXTRA, &values[M_DURING_CREATE_P50], &ignored, ret_answer);
}
