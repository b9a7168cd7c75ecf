/* ledger.c: the loop's side of the ledger: the queue, and what is put into it. */
#include "server/ledger_private.h"

#include "base/log.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static bool make_parts(struct cf_ledger *l, const struct cf_ledger_options *options)
{
    pthread_condattr_t attributes;
    struct cf_now now = cf_clock_now();
    l->options = *options;
    l->options.path = l->path = strdup(options->path);
    l->last = &l->first;
    l->started_mono_ns = now.mono_ns;
    l->started_wall_ns = now.wall_ns;
    l->again_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&l->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&l->wake, &attributes);
    pthread_cond_init(&l->done, &attributes);
    pthread_condattr_destroy(&attributes);
    return l->path != NULL && l->again_fd >= 0;
}

static void discard(struct cf_ledger *l)
{
    for (size_t i = 0; i < l->held_count; i++)
        free(l->held[i]);
    free(l->held);
    cf_ledger_reader_close(l);
    cf_ledger_db_close(&l->db);
    (void)cf_ledger_entries_free(l->first);
    pthread_cond_destroy(&l->wake);
    pthread_cond_destroy(&l->done);
    pthread_mutex_destroy(&l->lock);
    if (l->again_fd >= 0)
        close(l->again_fd);
    free(l->path);
    free(l);
}

struct cf_ledger *cf_ledger_new(const struct cf_ledger_options *options)
{
    struct cf_ledger *l = calloc(1, sizeof *l);
    if (l == NULL)
        return NULL;
    if (!make_parts(l, options)) {
        discard(l);
        return NULL;
    }
    if (cf_ledger_open_db(l) != SQLITE_OK)
        cf_ledger_failed(l, l->db.error);
    return l;
}

/* A copy, for when it cannot be done now. */
static void keep_held(struct cf_ledger *l, const char *const *held, size_t count)
{
    l->held = calloc(count > 0 ? count : 1, sizeof *l->held);
    l->reconcile_due = l->held != NULL;
    for (; l->reconcile_due && l->held_count < count; l->held_count++)
        if ((l->held[l->held_count] = strdup(held[l->held_count])) == NULL)
            l->reconcile_due = false;   /* rather none is lost than one that lives */
}

size_t cf_ledger_reconcile(struct cf_ledger *l, const char *const *held, size_t count, cf_ledger_lost *lost, void *arg)
{
    size_t ended = 0;
    if (l == NULL)
        return 0;
    keep_held(l, held, count);
    if (!l->reconcile_due || l->db.handle == NULL)
        return 0;
    int code = cf_ledger_db_lose(&l->db, l->held, l->held_count, lost, arg, &ended);
    l->reconcile_due = code != SQLITE_OK;
    if (code != SQLITE_OK) {
        cf_ledger_failed(l, l->db.error);
        cf_ledger_db_close(&l->db);
    }
    return ended;
}

/* Signals are the loop's business. */
int cf_ledger_start(struct cf_ledger *l, struct cf_error *error)
{
    sigset_t all, before;
    if (l == NULL)
        return 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int why = pthread_create(&l->thread, NULL, cf_ledger_work, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    l->running = why == 0;
    return why == 0 ? 0 : cf_error_set(error, CF_E_SYSTEM, NULL, "no thread for the ledger: %s", strerror(why));
}

/* False: the writer did not come to an end in time, and may still be using the ledger. */
static bool finish(struct cf_ledger *l)
{
    struct timespec until;
    int why = 0;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += CF_LEDGER_FLUSH_NS / CF_NS_PER_S;
    pthread_mutex_lock(&l->lock);
    l->stop = true;
    pthread_cond_signal(&l->wake);
    while (!l->finished && why == 0)
        why = pthread_cond_timedwait(&l->done, &l->lock, &until);
    bool finished = l->finished;
    pthread_mutex_unlock(&l->lock);
    return finished && pthread_join(l->thread, NULL) == 0;
}

void cf_ledger_free(struct cf_ledger **ledger)
{
    struct cf_ledger *l = *ledger;
    if (l == NULL)
        return;
    *ledger = NULL;
    cf_ledger_reader_close(l);          /* so that the writer is the last, who tidies up */
    if (l->running && !finish(l)) {
        cf_log(CF_LOG_ERROR, "the ledger %s did not finish writing within %lld s; what it has not written is lost",
               l->path, (long long)(CF_LEDGER_FLUSH_NS / CF_NS_PER_S));
        pthread_detach(l->thread);      /* it goes on using what is therefore not freed */
        return;
    }
    if (l->count > 0)
        cf_log(CF_LOG_ERROR, "%zu entries could not be written to the ledger %s: %s", l->count, l->path, l->error);
    discard(l);
}

int cf_ledger_again_fd(const struct cf_ledger *l)
{
    return l != NULL ? l->again_fd : -1;
}

bool cf_ledger_again(struct cf_ledger *l)
{
    uint64_t count;
    return l != NULL && read(l->again_fd, &count, sizeof count) == sizeof count;
}

/* ---- the queue ---- */

static void entry_free(struct cf_ledger_entry *e)
{
    if (e->what == CF_ENTRY_ENDED)
        free(e->ended.last_output);
    free(e);
}

size_t cf_ledger_entries_free(struct cf_ledger_entry *entries)
{
    size_t count = 0;
    for (; entries != NULL; count++) {
        struct cf_ledger_entry *next = entries->next;
        entry_free(entries);
        entries = next;
    }
    return count;
}

void cf_ledger_bound(struct cf_ledger *l)
{
    while (l->count > l->options.queue) {
        struct cf_ledger_entry *oldest = l->first;
        l->first = oldest->next;
        if (l->first == NULL)
            l->last = &l->first;
        l->count--;
        entry_free(oldest);
        atomic_fetch_add(&l->dropped, 1);
        if (!l->overflowed)
            cf_log(CF_LOG_ERROR, "more than %zu entries wait for the ledger: the oldest are dropped", l->options.queue);
        l->overflowed = true;
    }
}

static void push(struct cf_ledger *l, struct cf_ledger_entry *e)
{
    e->next = NULL;
    pthread_mutex_lock(&l->lock);
    *l->last = e;
    l->last = &e->next;
    l->count++;
    cf_ledger_bound(l);
    bool many = l->count == l->options.queue / 2, wanted = l->waiting && !l->failing;
    pthread_mutex_unlock(&l->lock);
    if (many || (wanted && l->options.queued == NULL))
        cf_ledger_wake(l);
    else if (wanted && !l->asked) {
        l->asked = true;
        l->options.queued(l->options.arg);
    }
}

void cf_ledger_wake(struct cf_ledger *l)
{
    if (l == NULL)
        return;
    l->asked = false;
    pthread_mutex_lock(&l->lock);
    l->waiting = false;
    pthread_mutex_unlock(&l->lock);
    pthread_cond_signal(&l->wake);
}

/* Without memory an entry is lost, as when the queue is full. */
static struct cf_ledger_entry *new_entry(struct cf_ledger *l, int what)
{
    struct cf_ledger_entry *e = l != NULL ? calloc(1, sizeof *e) : NULL;
    if (e != NULL)
        e->what = what;
    else if (l != NULL)
        atomic_fetch_add(&l->dropped, 1);
    return e;
}

void cf_ledger_opened(struct cf_ledger *l, const char *id, const char *kind, const char *workspace,
                      int64_t created_wall_ns, uint32_t hold)
{
    struct cf_ledger_entry *e = new_entry(l, CF_ENTRY_OPENED);
    if (e == NULL)
        return;
    snprintf(e->opened.id, sizeof e->opened.id, "%s", id);
    snprintf(e->opened.kind, sizeof e->opened.kind, "%s", kind);
    snprintf(e->opened.workspace, sizeof e->opened.workspace, "%s", workspace);
    e->opened.created_wall_ns = created_wall_ns;
    e->opened.hold = hold;
    push(l, e);
}

void cf_ledger_ended(struct cf_ledger *l, const struct cf_tomb *tomb)
{
    struct cf_ledger_entry *e = new_entry(l, CF_ENTRY_ENDED);
    if (e == NULL)
        return;
    e->ended = *tomb;
    e->ended.last_output = tomb->last_output_len > 0 ? malloc(tomb->last_output_len) : NULL;
    if (e->ended.last_output != NULL)
        memcpy(e->ended.last_output, tomb->last_output, tomb->last_output_len);
    else
        e->ended.last_output_len = 0;
    push(l, e);
}

void cf_ledger_audit(struct cf_ledger *l, const struct cf_audit *audit)
{
    struct cf_ledger_entry *e = new_entry(l, CF_ENTRY_AUDIT);
    if (e == NULL)
        return;
    e->audit = *audit;
    if (e->audit.at_wall_ns == 0)
        e->audit.at_wall_ns = cf_clock_now().wall_ns;
    if (e->audit.by[0] == '\0')
        snprintf(e->audit.by, sizeof e->audit.by, "%s", l->by[0] != '\0' ? l->by : "unknown");
    push(l, e);
}

void cf_ledger_by(struct cf_ledger *l, const char *by)
{
    if (l != NULL)
        snprintf(l->by, sizeof l->by, "%s", by != NULL ? by : "");
}

bool cf_ledger_has_by(const struct cf_ledger *l)
{
    return l != NULL && l->by[0] != '\0';
}

/* ---- how it does ---- */

void cf_ledger_status(struct cf_ledger *l, struct cf_ledger_status *ret)
{
    *ret = (struct cf_ledger_status){ .state = "off" };
    if (l == NULL)
        return;
    pthread_mutex_lock(&l->lock);
    ret->state = l->failing ? "failing" : "ok";
    ret->queued = l->count + l->in_hand;
    memcpy(ret->error, l->error, sizeof ret->error);
    pthread_mutex_unlock(&l->lock);
}

void cf_ledger_count(struct cf_ledger *l, struct cf_counts *counts)
{
    struct cf_ledger_status status;
    if (l == NULL)
        return;
    cf_ledger_status(l, &status);
    counts->ledger_writes = atomic_load(&l->written);
    counts->ledger_errors = atomic_load(&l->errors);
    counts->ledger_dropped = atomic_load(&l->dropped);
    counts->ledger_pruned = atomic_load(&l->pruned);
    counts->ledger_queued = status.queued;
    counts->ledger_failing = strcmp(status.state, "failing") == 0;
}
