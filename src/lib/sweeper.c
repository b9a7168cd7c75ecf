/* sweeper.c: the thread that sweeps, and the table's shutdown.
 *
 * Its waiting is real time, on CLOCK_MONOTONIC; who is due is judged by the table's clock.  While there are no
 * sessions it sleeps without an end and is woken by the first one: nothing wakes without cause. */
#include "lib/lib.h"
#include "lib/readers.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#define INTERVAL_MIN_NS CF_NS_PER_MS

static void make_condition(pthread_cond_t *condition)
{
    pthread_condattr_t how;
    (void)pthread_condattr_init(&how);
    (void)pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
    (void)pthread_cond_init(condition, &how);
    (void)pthread_condattr_destroy(&how);
}

void cf_sweeper_init(struct cf_sweeper *sweeper, int64_t interval_ns)
{
    make_condition(&sweeper->changed);
    sweeper->interval_ns = interval_ns;
}

void cf_sweeper_destroy(struct cf_sweeper *sweeper)
{
    (void)pthread_cond_destroy(&sweeper->changed);
}

static int64_t after(int64_t span_ns)
{
    int64_t sum;
    return __builtin_add_overflow(cf_clock_now().mono_ns, span_ns, &sum) ? CF_NEVER_NS : sum;
}

/* ── the thread, with the lock held but while it waits or sweeps ── */

static void rest(struct curfew_table *table)
{
    struct cf_sweeper *sweeper = &table->sweeper;
    sweeper->resting = true;
    (void)pthread_cond_wait(&sweeper->changed, &table->lock.inner);
    sweeper->resting = false;
    sweeper->next_ns = after(sweeper->interval_ns);
}

static void doze(struct curfew_table *table)
{
    int64_t until_ns = table->sweeper.next_ns;
    struct timespec until = { .tv_sec = until_ns / CF_NS_PER_S, .tv_nsec = until_ns % CF_NS_PER_S };
    (void)pthread_cond_timedwait(&table->sweeper.changed, &table->lock.inner, &until);
}

/* What sweeps have left to others: this thread has the time. */
static void tidy(struct curfew_table *table)
{
    bool more = true;
    while (more) {
        cf_lock_retake(&table->lock);
        more = cf_table_reclaim(table, CF_LIB_HOLD_ROWS, true);
        cf_lock_give(&table->lock);
    }
}

/* A sweep that took longer than the interval puts the next one off: it must not be all that the process does. */
static void turn(struct curfew_table *table)
{
    struct cf_sweeper *sweeper = &table->sweeper;
    int64_t begun_ns = cf_clock_now().mono_ns;
    sweeper->next_ns = CF_NEVER_NS;
    cf_lock_give(&table->lock);
    (void)curfew_sweep(table, NULL);
    tidy(table);
    cf_lock_take(&table->lock);
    int64_t next_ns = after(sweeper->interval_ns), took_ns = cf_clock_now().mono_ns - begun_ns;
    if (next_ns != CF_NEVER_NS && took_ns < sweeper->interval_ns)
        next_ns -= took_ns;
    if (next_ns < sweeper->next_ns)     /* unless a new interval has said so meanwhile */
        sweeper->next_ns = next_ns;
}

static void *run(void *argument)
{
    struct curfew_table *table = argument;
    struct cf_sweeper *sweeper = &table->sweeper;
    bool tidied = false;                /* what others have ended, since somebody was here */
    cf_lock_take(&table->lock);
    while (sweeper->state == CF_SWEEPER_RUNNING) {
        bool empty = cf_core_count(table->core) == 0;
        if (empty && !tidied) {
            cf_lock_give(&table->lock);
            tidy(table);
            cf_lock_take(&table->lock);
            tidied = true;
            continue;
        }
        tidied = false;
        if (empty)
            rest(table);
        else if (cf_clock_now().mono_ns < sweeper->next_ns)
            doze(table);
        else
            turn(table);
    }
    sweeper->exited = true;
    cf_lock_give(&table->lock);
    return NULL;
}

/* ── the others, with the lock held ── */

/* After a fork the child has the struct, but neither the thread nor whoever waited on the condition. */
static struct cf_sweeper *mine(struct curfew_table *table)
{
    struct cf_sweeper *sweeper = &table->sweeper;
    if (sweeper->joinable && sweeper->forks != cf_readers_forks()) {
        sweeper->joinable = sweeper->joining = sweeper->resting = false;
        sweeper->state = CF_SWEEPER_OFF;
        make_condition(&sweeper->changed);
    }
    return sweeper;
}

void cf_sweeper_wake(struct curfew_table *table)
{
    if (table->sweeper.resting && mine(table)->resting)
        (void)pthread_cond_broadcast(&table->sweeper.changed);
}

static bool is_own(const struct cf_sweeper *sweeper)
{
    return sweeper->joinable && pthread_equal(pthread_self(), sweeper->thread);
}

/* Waits until the thread that was told to stop is no more; the first who comes joins it. */
static void join(struct curfew_table *table)
{
    struct cf_sweeper *sweeper = &table->sweeper;
    if (sweeper->joining) {
        uint64_t seen = sweeper->joins;
        while (sweeper->joins == seen)
            (void)pthread_cond_wait(&sweeper->changed, &table->lock.inner);
        return;
    }
    pthread_t thread = sweeper->thread;
    sweeper->joining = true;
    cf_lock_give(&table->lock);
    (void)pthread_join(thread, NULL);
    cf_lock_take(&table->lock);
    sweeper->joining = sweeper->joinable = false;
    sweeper->state = CF_SWEEPER_OFF;
    sweeper->joins++;
    (void)pthread_cond_broadcast(&sweeper->changed);
}

/* It takes no signal: those are for threads that know what they mean. */
static int begin(struct curfew_table *table, struct curfew_error *error)
{
    struct cf_sweeper *sweeper = &table->sweeper;
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    int failure = pthread_create(&sweeper->thread, NULL, run, table);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failure != 0) {
        char why[128];
        return cf_error_set(cf_lib_error(error), CF_E_SYSTEM, NULL, "cannot start the sweeper's thread: %s",
                            strerror_r(failure, why, sizeof why));
    }
    (void)pthread_setname_np(sweeper->thread, "curfew-sweeper");
    sweeper->joinable = true;
    sweeper->exited = false;
    sweeper->state = CF_SWEEPER_RUNNING;
    sweeper->forks = cf_readers_forks();
    sweeper->next_ns = after(sweeper->interval_ns);
    return 0;
}

/* *ret_begun: it did not run before. */
static int start(struct curfew_table *table, bool *ret_begun, struct curfew_error *error)
{
    struct cf_sweeper *sweeper = mine(table);
    while (!table->closing && sweeper->state == CF_SWEEPER_STOPPING) {
        if (sweeper->joining && is_own(sweeper))
            return 0;                   /* somebody waits for this thread to stop: that came after this start */
        if (!sweeper->joining && !sweeper->exited)
            sweeper->state = CF_SWEEPER_RUNNING;
        else
            join(table);
    }
    if (table->closing)
        return cf_error_set(cf_lib_error(error), CF_E_SHUTTING_DOWN, NULL, "the table was shut down");
    if (sweeper->state == CF_SWEEPER_RUNNING)
        return 0;
    *ret_begun = true;
    return begin(table, error);
}

int curfew_sweeper_start(struct curfew_table *table, struct curfew_error *error)
{
    char text[32];
    bool begun = false;
    cf_lock_take(&table->lock);
    int rc = start(table, &begun, error);
    int64_t interval_ns = table->sweeper.interval_ns;
    cf_lock_give(&table->lock);
    if (rc == 0 && begun)
        cf_callback_log(table, CF_LOG_LEVEL_INFO, "sweeper: started, every %s",
                        cf_duration_format(interval_ns, text, sizeof text));
    return rc;
}

int curfew_sweeper_stop(struct curfew_table *table)
{
    cf_lock_take(&table->lock);
    struct cf_sweeper *sweeper = mine(table);
    bool ran = sweeper->state == CF_SWEEPER_RUNNING;
    if (sweeper->joinable) {
        sweeper->state = CF_SWEEPER_STOPPING;
        (void)pthread_cond_broadcast(&sweeper->changed);
        if (!is_own(sweeper))
            join(table);
    }
    cf_lock_give(&table->lock);
    if (ran)
        cf_callback_log(table, CF_LOG_LEVEL_INFO, "sweeper: stopped");
    return 0;
}

int curfew_sweeper_interval_set(struct curfew_table *table, int64_t interval_ns, struct curfew_error *error)
{
    if (interval_ns < INTERVAL_MIN_NS)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "interval_ns",
                            "interval_ns must be at least %lld (1 ms)", INTERVAL_MIN_NS);
    cf_lock_take(&table->lock);
    struct cf_sweeper *sweeper = mine(table);
    int64_t next_ns = after(interval_ns);
    sweeper->interval_ns = interval_ns;
    if (next_ns < sweeper->next_ns) {
        sweeper->next_ns = next_ns;
        if (sweeper->joinable)
            (void)pthread_cond_broadcast(&sweeper->changed);
    }
    cf_lock_give(&table->lock);
    return 0;
}

bool curfew_sweeper_running(struct curfew_table *table)
{
    cf_lock_take(&table->lock);
    bool running = mine(table)->state == CF_SWEEPER_RUNNING;
    cf_lock_give(&table->lock);
    return running;
}

int curfew_shutdown(struct curfew_table *table, size_t *ret_ended)
{
    cf_lock_take(&table->lock);
    table->closing = true;
    cf_lock_give(&table->lock);
    (void)curfew_sweeper_stop(table);
    size_t ended = table->cleanup_on_shutdown ? cf_sweep_everybody(table) : 0;
    if (ret_ended != NULL)
        *ret_ended = ended;
    return 0;
}
