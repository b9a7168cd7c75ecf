/* readers.c: see readers.h. */
#include "lib/readers.h"

#include "base/clock.h"

#include <linux/membarrier.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CACHE_LINE_BYTES 64             /* two threads' records share none, or each touch would wait for the other */
/* When membarrier is taken away while readers rely on it, they pay from then on; and a store that one of them made
 * before it knew is certainly seen by everybody after so long: any interrupt brings it out. */
#define SETTLE_NS (2 * CF_NS_PER_S)

static struct {
    pthread_once_t once;
    pthread_mutex_t mutex;              /* of the list's making, not of its walking */
    pthread_key_t key;                  /* gives a thread's record back when it ends */
    bool keyed;
    struct cf_reader *_Atomic first;
    _Atomic uint64_t epoch;
    _Atomic bool fenced;
    _Atomic bool starved;               /* a test's */
    _Atomic int64_t settled_ns;
    _Atomic unsigned forks;
} readers = { .once = PTHREAD_ONCE_INIT, .mutex = PTHREAD_MUTEX_INITIALIZER, .epoch = 1 };

static int membarrier(int command)
{
    return (int)syscall(SYS_membarrier, command, 0, 0);
}

static void give_back(void *value)
{
    struct cf_reader *record = value;
    (void)pthread_mutex_lock(&readers.mutex);
    *record->home = NULL;
    record->home = NULL;
    record->used = false;
    (void)pthread_mutex_unlock(&readers.mutex);
}

static void before_fork(void)
{
    (void)pthread_mutex_lock(&readers.mutex);
}

static void after_fork(void)
{
    (void)pthread_mutex_unlock(&readers.mutex);
}

/* Only the thread that forked is here: nobody else reads, and nobody else will give a record back. */
static void after_fork_in_child(void)
{
    struct cf_reader *mine = pthread_getspecific(readers.key);
    for (struct cf_reader *at = atomic_load(&readers.first); at != NULL; at = at->next)
        if (at != mine) {
            atomic_store(&at->epoch, 0);
            at->used = false;
            at->home = NULL;
        }
    atomic_fetch_add(&readers.forks, 1);
    (void)pthread_mutex_unlock(&readers.mutex);
}

static void set_up(void)
{
    if (membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0)
        atomic_store(&readers.fenced, true);
    readers.keyed = pthread_key_create(&readers.key, give_back) == 0
                    && pthread_atfork(before_fork, after_fork, after_fork_in_child) == 0;
}

void cf_readers_setup(void)
{
    (void)pthread_once(&readers.once, set_up);
}

/* Whoever unloads the library ends its threads' use of it first; the key would call into nothing. */
__attribute__((destructor)) static void unload(void)
{
    if (readers.keyed)
        (void)pthread_key_delete(readers.key);
}

static struct cf_reader *find_unused(void)
{
    for (struct cf_reader *at = atomic_load(&readers.first); at != NULL; at = at->next)
        if (!at->used)
            return at;
    return NULL;
}

static struct cf_reader *make(void)
{
    size_t size = (sizeof(struct cf_reader) + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    struct cf_reader *record = aligned_alloc(CACHE_LINE_BYTES, size);
    if (record == NULL)
        return NULL;
    memset(record, 0, size);
    record->now = &readers.epoch;
    atomic_store(&record->fenced, atomic_load(&readers.fenced));
    record->next = atomic_load(&readers.first);
    atomic_store_explicit(&readers.first, record, memory_order_release);
    return record;
}

struct cf_reader *cf_readers_register(struct cf_reader **home)
{
    if (!readers.keyed || atomic_load(&readers.starved))
        return NULL;
    (void)pthread_mutex_lock(&readers.mutex);
    struct cf_reader *record = find_unused();
    if (record == NULL)
        record = make();
    if (record != NULL && pthread_setspecific(readers.key, record) != 0)
        record = NULL;                  /* it stays in the list for somebody else */
    if (record != NULL) {
        record->used = true;
        record->home = home;
        *home = record;
    }
    (void)pthread_mutex_unlock(&readers.mutex);
    return record;
}

static void set_fenced(bool on)
{
    (void)pthread_mutex_lock(&readers.mutex);
    atomic_store(&readers.fenced, on);
    for (struct cf_reader *at = atomic_load(&readers.first); at != NULL; at = at->next)
        atomic_store(&at->fenced, on);
    (void)pthread_mutex_unlock(&readers.mutex);
}

uint64_t cf_readers_retire(void)
{
    uint64_t label = atomic_fetch_add(&readers.epoch, 1);       /* the owner's own fence, too */
#ifndef CF_READERS_TSAN
    atomic_thread_fence(memory_order_seq_cst);
#endif
    if (!atomic_load(&readers.fenced) && membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) != 0) {
        /* In this order: another owner who sees the fences must see how long to wait, too. */
        atomic_store(&readers.settled_ns, cf_clock_now().mono_ns + SETTLE_NS);
        set_fenced(true);
    }
    return label;
}

bool cf_readers_passed(uint64_t label)
{
    int64_t settled_ns = atomic_load_explicit(&readers.settled_ns, memory_order_relaxed);
    if (__builtin_expect(settled_ns != 0, 0) && cf_clock_now().mono_ns < settled_ns)
        return false;
    for (struct cf_reader *at = atomic_load_explicit(&readers.first, memory_order_acquire); at != NULL; at = at->next) {
        uint64_t epoch = atomic_load_explicit(&at->epoch, memory_order_acquire);
        if (epoch != 0 && epoch <= label)
            return false;
    }
    return true;
}

unsigned cf_readers_forks(void)
{
    return atomic_load(&readers.forks);
}

void cf_readers_force_fences(bool on)
{
    set_fenced(on || membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) != 0);
}

void cf_readers_force_none(bool on)
{
    atomic_store(&readers.starved, on);
}
