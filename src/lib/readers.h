/* readers.h: who is reading a table without its lock, so that what was freed is given back only when nobody can still
 * be looking at it.
 *
 * Process-wide.  Each thread has a record of its own; while it reads, the record holds the epoch in which it began.
 * An owner who has freed something ends the epoch (cf_readers_retire) and waits until no record holds that epoch or
 * an older one (cf_readers_passed).
 *
 * A reader's store of its epoch must not be overtaken by its first read, and a fence for that would cost more than
 * all the rest.  So the owner pays: membarrier(2) makes every running thread of the process pass a full fence.  Where
 * there is none (an old kernel, a sandbox), readers pay. */
#ifndef CURFEW_LIB_READERS_H
#define CURFEW_LIB_READERS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#if defined(__SANITIZE_THREAD__)
#define CF_READERS_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CF_READERS_TSAN 1
#endif
#endif

struct cf_reader {
    _Atomic uint64_t epoch;             /* in which its thread began to read; 0: it does not read */
    const _Atomic uint64_t *now;        /* the epoch of the process */
    _Atomic bool fenced;                /* this thread pays for the fence */
    bool used;                          /* some thread's; from here on under the list's mutex */
    struct cf_reader **home;            /* that thread's pointer to this record */
    struct cf_reader *next;             /* never changes: records are used again and never freed */
};

/* ThreadSanitizer does not know fences: there an exchange stands for one, which is one on the processors that it runs
 * on. */
static inline void cf_readers_fence(struct cf_reader *me)
{
#ifdef CF_READERS_TSAN
    (void)atomic_exchange(&me->epoch, atomic_load_explicit(&me->epoch, memory_order_relaxed));
#else
    (void)me;
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

/* Sections do not nest. */
static inline void cf_readers_enter(struct cf_reader *me)
{
    uint64_t now = atomic_load_explicit(me->now, memory_order_acquire);
    atomic_store_explicit(&me->epoch, now, memory_order_release);
    if (__builtin_expect(atomic_load_explicit(&me->fenced, memory_order_relaxed), 0))
        cf_readers_fence(me);
    atomic_signal_fence(memory_order_seq_cst);
}

static inline void cf_readers_leave(struct cf_reader *me)
{
    atomic_store_explicit(&me->epoch, 0, memory_order_release);
}

/* Finds out once for the process how it is done.  Called by everyone who makes a table. */
void cf_readers_setup(void);
/* A record for this thread, stored in *home, which is set to NULL when the thread ends.  NULL: there is no memory for
 * one, and the thread must not read without the lock. */
struct cf_reader *cf_readers_register(struct cf_reader **home);

/* Ends the epoch and returns its label. */
uint64_t cf_readers_retire(void);
/* Has everybody left who was reading when that epoch ended? */
bool cf_readers_passed(uint64_t label);

/* How often this process came out of a fork as the child: threads of an earlier number are not here. */
unsigned cf_readers_forks(void);

/* For tests, while nobody reads: as if there were no membarrier; as if there were no memory for records. */
void cf_readers_force_fences(bool on);
void cf_readers_force_none(bool on);

#endif
