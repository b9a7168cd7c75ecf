/* forks.c: see forks.h. */
#include "lib/forks.h"

#include "lib/lib.h"
#include "lib/readers.h"

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;      /* taken before any table's lock */
static struct curfew_table *first;

static void before(void)
{
    (void)pthread_mutex_lock(&mutex);
    for (struct curfew_table *at = first; at != NULL; at = at->next)
        cf_lock_take_whole(&at->lock);
}

static void after(void)
{
    for (struct curfew_table *at = first; at != NULL; at = at->next)
        cf_lock_give_whole(&at->lock);
    (void)pthread_mutex_unlock(&mutex);
}

/* After the readers: what is registered last comes first, and a holder of a table's lock may need theirs. */
static void set_up(void)
{
    cf_readers_setup();
    (void)pthread_atfork(before, after, after);         /* no memory: then a fork is as dangerous as it is elsewhere */
}

void cf_forks_add(struct curfew_table *table)
{
    (void)pthread_once(&once, set_up);
    (void)pthread_mutex_lock(&mutex);
    table->next = first;
    table->previous = NULL;
    if (first != NULL)
        first->previous = table;
    first = table;
    (void)pthread_mutex_unlock(&mutex);
}

void cf_forks_remove(struct curfew_table *table)
{
    (void)pthread_mutex_lock(&mutex);
    if (table->next != NULL)
        table->next->previous = table->previous;
    if (table->previous != NULL)
        table->previous->next = table->next;
    else
        first = table->next;
    (void)pthread_mutex_unlock(&mutex);
}
