/* ledger_writer.c: the ledger's thread: takes what is queued, writes it, and goes on trying when it cannot.
 *
 * It is the only one that writes, and it holds the lock only to take entries or to give them back. */
#include "server/ledger_private.h"

#include "base/log.h"

#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Rows are looked through for old ones no more often than this, and no later than the other after the oldest is due. */
#define PRUNE_FIRST_NS CF_NS_PER_S
#define PRUNE_LAST_NS (3600 * CF_NS_PER_S)

static int64_t mono_ns(void)
{
    return cf_clock_now().mono_ns;
}

static void wait_until(struct cf_ledger *l, int64_t until_ns)
{
    struct timespec at = { .tv_sec = until_ns / CF_NS_PER_S, .tv_nsec = until_ns % CF_NS_PER_S };
    if (until_ns == CF_NEVER_NS)
        pthread_cond_wait(&l->wake, &l->lock);
    else
        pthread_cond_timedwait(&l->wake, &l->lock, &at);
}

/* ---- the database ---- */

static const char *aside_word(int code)
{
    return code == CF_LEDGER_NEWER ? "newer" : "corrupt";
}

/* A file that cannot be used and will not get better is kept for a person to look at, and a fresh one begun. */
static bool put_aside(struct cf_ledger *l, int code)
{
    char to[1200];
    if (code != CF_LEDGER_NEWER && !cf_ledger_db_is_broken(code))
        return false;
    cf_ledger_db_close(&l->db);
    int why = cf_ledger_db_put_aside(l->path, aside_word(code), cf_clock_now().wall_ns, to, sizeof to);
    if (why != 0) {
        snprintf(l->db.error, sizeof l->db.error, "it is not usable, and cannot be put aside: %s", strerror(why));
        return false;
    }
    atomic_fetch_add(&l->errors, 1);
    cf_log(CF_LOG_ERROR, "the ledger %s cannot be used: %s; it was put aside as %s, and a fresh one is begun", l->path,
           l->db.error, to);
    return true;
}

static void tell_again(struct cf_ledger *l)
{
    uint64_t one = 1;
    if (write(l->again_fd, &one, sizeof one) < 0) {
        /* It is readable already. */
    }
}

static int reconcile(struct cf_ledger *l)
{
    size_t count;
    int code = cf_ledger_db_lose(&l->db, l->held, l->held_count, NULL, NULL, &count);
    if (code == SQLITE_OK && count > 0)
        cf_log(CF_LOG_WARNING, "%zu sessions were recorded as running, but no keeper holds them: lost", count);
    l->reconcile_due = code != SQLITE_OK;
    return code;
}

int cf_ledger_open_db(struct cf_ledger *l)
{
    bool fresh = false;
    if (l->db.handle != NULL)
        return SQLITE_OK;
    int code = cf_ledger_db_open(&l->db, l->path, &fresh);
    if (code != SQLITE_OK && put_aside(l, code))
        code = cf_ledger_db_open(&l->db, l->path, &fresh);
    if (code != SQLITE_OK)
        return code;
    if (fresh && l->was_open)
        tell_again(l);
    l->was_open = true;
    l->prune_ns = 0;
    return SQLITE_OK;
}

/* ---- the queue ---- */

static struct cf_ledger_entry *take(struct cf_ledger *l, ino_t *ret_suspect)
{
    pthread_mutex_lock(&l->lock);
    struct cf_ledger_entry *batch = l->first;
    l->in_hand = l->count;
    l->first = NULL;
    l->last = &l->first;
    l->count = 0;
    *ret_suspect = l->suspect;
    l->suspect = 0;
    pthread_mutex_unlock(&l->lock);
    return batch;
}

static void give_back(struct cf_ledger *l, struct cf_ledger_entry *batch)
{
    pthread_mutex_lock(&l->lock);
    if (batch != NULL) {
        struct cf_ledger_entry *end = batch;
        while (end->next != NULL)
            end = end->next;
        end->next = l->first;
        if (l->first == NULL)
            l->last = &end->next;
        l->first = batch;
        l->count += l->in_hand;
    }
    l->in_hand = 0;
    cf_ledger_bound(l);
    pthread_mutex_unlock(&l->lock);
}

/* ---- how it goes ---- */

void cf_ledger_failed(struct cf_ledger *l, const char *why)
{
    atomic_fetch_add(&l->errors, 1);
    pthread_mutex_lock(&l->lock);
    bool first = !l->failing;
    l->failing = true;
    snprintf(l->error, sizeof l->error, "%s", why);
    pthread_mutex_unlock(&l->lock);
    if (first)
        cf_log(CF_LOG_ERROR, "the ledger %s cannot be written: %s; up to %zu entries wait until it can", l->path, why,
               l->options.queue);
    l->retry_pause_ns = l->retry_pause_ns == 0 ? CF_LEDGER_RETRY_FIRST_NS : l->retry_pause_ns * 2;
    if (l->retry_pause_ns > CF_LEDGER_RETRY_LAST_NS)
        l->retry_pause_ns = CF_LEDGER_RETRY_LAST_NS;
    l->retry_ns = mono_ns() + l->retry_pause_ns;
}

static void recovered(struct cf_ledger *l)
{
    l->retry_ns = l->retry_pause_ns = 0;
    pthread_mutex_lock(&l->lock);
    bool before = l->failing, overflowed = l->overflowed;
    l->failing = l->overflowed = false;
    l->error[0] = '\0';
    pthread_mutex_unlock(&l->lock);
    if (before)
        cf_log(CF_LOG_INFO, "the ledger %s is written again%s", l->path,
               overflowed ? "; some entries were dropped meanwhile" : "");
    if (overflowed)
        tell_again(l);
}

/* ---- one turn ---- */

static int prepare(struct cf_ledger *l, ino_t suspect)
{
    struct stat st;
    if (suspect != 0 && l->db.handle != NULL && stat(l->path, &st) == 0 && st.st_ino == suspect) {
        snprintf(l->db.error, sizeof l->db.error, "a look-up found it to be corrupt");
        (void)put_aside(l, SQLITE_CORRUPT);
    } else if (l->db.handle != NULL && cf_ledger_db_moved(l->db.handle)) {
        cf_log(CF_LOG_WARNING, "the ledger %s was removed or replaced", l->path);
        cf_ledger_db_close(&l->db);
    }
    int code = cf_ledger_open_db(l);
    if (code == SQLITE_OK && l->reconcile_due)
        code = reconcile(l);
    return code;
}

static int prune(struct cf_ledger *l)
{
    int64_t now_ns = mono_ns(), oldest_ns = CF_NEVER_NS, wall_ns = l->started_wall_ns + (now_ns - l->started_mono_ns);
    int64_t cutoff_ns = wall_ns - l->options.retention_ns;
    size_t rows = 0;
    bool more = false;
    int code = cf_ledger_db_prune(&l->db, cutoff_ns, l->options.max_bytes, &rows, &more);
    atomic_fetch_add(&l->pruned, rows);
    if (code == SQLITE_OK && !more)
        code = cf_ledger_db_oldest(&l->db, &oldest_ns);
    int64_t in_ns = oldest_ns == CF_NEVER_NS ? CF_NEVER_NS : oldest_ns - cutoff_ns;
    if (in_ns < PRUNE_FIRST_NS)
        in_ns = PRUNE_FIRST_NS;
    if (in_ns > PRUNE_LAST_NS && in_ns != CF_NEVER_NS)
        in_ns = PRUNE_LAST_NS;
    l->prune_ns = more ? now_ns : in_ns == CF_NEVER_NS ? CF_NEVER_NS : now_ns + in_ns;
    return code;
}

/* What goes wrong closes the database, so that the next try finds it as it is then. */
static void turn(struct cf_ledger *l)
{
    ino_t suspect;
    struct cf_ledger_entry *batch = take(l, &suspect);
    int code = prepare(l, suspect);
    if (code == SQLITE_OK && batch != NULL) {
        code = cf_ledger_db_write(&l->db, batch);
        if (cf_ledger_db_is_broken(code) && put_aside(l, code) && (code = cf_ledger_open_db(l)) == SQLITE_OK)
            code = cf_ledger_db_write(&l->db, batch);
        if (code == SQLITE_OK) {
            atomic_fetch_add(&l->written, cf_ledger_entries_free(batch));
            batch = NULL;
            l->prune_ns = 0;            /* it has grown */
        }
    }
    give_back(l, batch);
    if (code == SQLITE_OK && mono_ns() >= l->prune_ns)
        code = prune(l);
    if (code == SQLITE_OK) {
        recovered(l);
        return;
    }
    cf_ledger_failed(l, l->db.error);
    if (cf_ledger_db_is_broken(code))
        (void)put_aside(l, code);
    cf_ledger_db_close(&l->db);
}

/* False: there is nothing more to do. */
static bool wait_for_work(struct cf_ledger *l)
{
    bool called = false;                /* by the loop, which has let some time pass */
    pthread_mutex_lock(&l->lock);
    while (!l->stop) {
        int64_t until_ns = l->retry_ns > 0 ? l->retry_ns : l->db.handle == NULL ? 0 : l->prune_ns;
        if (mono_ns() >= until_ns || (l->retry_ns == 0 && (l->count > 0 || l->suspect != 0)))
            break;
        l->waiting = true;
        wait_until(l, until_ns);
        called = l->options.queued != NULL && !l->waiting;
    }
    l->waiting = false;
    for (int64_t until_ns = mono_ns() + (called ? 0 : CF_LEDGER_GATHER_NS);
         !l->stop && l->count < l->options.queue / 2 && mono_ns() < until_ns;)
        wait_until(l, until_ns);
    bool go = !l->stop || (l->count > 0 && l->stop_tries++ < CF_LEDGER_STOP_TRIES);
    bool pause = l->stop && l->stop_tries > 1;
    pthread_mutex_unlock(&l->lock);
    if (go && pause)
        usleep(CF_LEDGER_STOP_PAUSE_NS / 1000);
    return go;
}

void *cf_ledger_work(void *ledger)
{
    struct cf_ledger *l = ledger;
    while (wait_for_work(l))
        turn(l);
    cf_ledger_db_close(&l->db);
    pthread_mutex_lock(&l->lock);
    l->finished = true;
    pthread_cond_signal(&l->done);
    pthread_mutex_unlock(&l->lock);
    return NULL;
}
