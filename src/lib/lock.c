/* lock.c: see lock.h. */
#include "lib/lock.h"

/* A mutex of the standard kind that is used rightly cannot fail, so what these functions return says nothing. */

void cf_lock_init(struct cf_lock *lock)
{
    (void)pthread_mutex_init(&lock->gate, NULL);
    (void)pthread_mutex_init(&lock->inner, NULL);
}

void cf_lock_destroy(struct cf_lock *lock)
{
    (void)pthread_mutex_destroy(&lock->inner);
    (void)pthread_mutex_destroy(&lock->gate);
}

void cf_lock_take(struct cf_lock *lock)
{
    if (pthread_mutex_trylock(&lock->inner) != 0)
        cf_lock_retake(lock);
}

void cf_lock_retake(struct cf_lock *lock)
{
    (void)pthread_mutex_lock(&lock->gate);
    (void)pthread_mutex_lock(&lock->inner);
    (void)pthread_mutex_unlock(&lock->gate);
}

void cf_lock_give(struct cf_lock *lock)
{
    (void)pthread_mutex_unlock(&lock->inner);
}

void cf_lock_take_whole(struct cf_lock *lock)
{
    (void)pthread_mutex_lock(&lock->gate);
    (void)pthread_mutex_lock(&lock->inner);
}

void cf_lock_give_whole(struct cf_lock *lock)
{
    (void)pthread_mutex_unlock(&lock->inner);
    (void)pthread_mutex_unlock(&lock->gate);
}
