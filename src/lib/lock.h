/* lock.h: the table's one lock, fair enough that a long sweep cannot keep others out.
 *
 * A mutex alone is not: whoever gives it back and takes it again at once usually wins over a thread that sleeps on
 * it.  So whoever finds it taken goes through a gate, one at a time, and a sweep that goes on always does. */
#ifndef CURFEW_LIB_LOCK_H
#define CURFEW_LIB_LOCK_H

#include <pthread.h>

struct cf_lock {
    pthread_mutex_t gate;               /* held while waiting for `inner`, never for longer */
    pthread_mutex_t inner;
};

void cf_lock_init(struct cf_lock *lock);
void cf_lock_destroy(struct cf_lock *lock);
void cf_lock_take(struct cf_lock *lock);
/* For one who has just given it back: behind the one who waits. */
void cf_lock_retake(struct cf_lock *lock);
void cf_lock_give(struct cf_lock *lock);
/* With the gate: nobody is anywhere in it. */
void cf_lock_take_whole(struct cf_lock *lock);
void cf_lock_give_whole(struct cf_lock *lock);

#endif
