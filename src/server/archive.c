/* archive.c: a queue by age, with a timer for its oldest. */
#include "server/archive.h"

#include "core/core.h"
#include "server/keep.h"

#include <stdlib.h>
#include <string.h>

struct kept {
    TAILQ_ENTRY(kept) link;
    struct cf_journal *journal;
    int64_t since_mono_ns;
    char id[CF_ID_MAX];
    cf_vault_ref kept;
};

/* The same for the next server. */
struct kept_entry {
    int64_t since_mono_ns;
    char id[CF_ID_MAX];
};

struct cf_archive {
    struct event *timer;
    int64_t retention_ns;
    const struct cf_spool_budget *budget;
    TAILQ_HEAD(queue, kept) queue;        /* the oldest first */
    unsigned count;
};

static void drop_oldest(struct cf_archive *a)
{
    struct kept *k = TAILQ_FIRST(&a->queue);
    TAILQ_REMOVE(&a->queue, k, link);
    a->count--;
    cf_vault_drop(cf_keep_vault(a->budget->keep), &k->kept);
    cf_journal_unref(&k->journal);
    free(k);
}

static void expire(struct cf_archive *a, int64_t now_ns)
{
    struct kept *k;
    while ((k = TAILQ_FIRST(&a->queue)) != NULL && now_ns - k->since_mono_ns >= a->retention_ns)
        drop_oldest(a);
    if (k == NULL || evtimer_pending(a->timer, NULL))
        return;
    int64_t left = k->since_mono_ns + a->retention_ns - now_ns;
    struct timeval tv = { .tv_sec = left / CF_NS_PER_S, .tv_usec = left % CF_NS_PER_S / 1000 + 1 };
    evtimer_add(a->timer, &tv);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    expire(arg, cf_clock_now().mono_ns);
}

struct cf_archive *cf_archive_new(struct event_base *loop, int64_t retention_ns, const struct cf_spool_budget *budget)
{
    struct cf_archive *a = calloc(1, sizeof *a);
    if (a == NULL)
        return NULL;
    a->retention_ns = retention_ns;
    a->budget = budget;
    TAILQ_INIT(&a->queue);
    a->timer = evtimer_new(loop, on_timer, a);
    if (a->timer == NULL) {
        free(a);
        return NULL;
    }
    return a;
}

void cf_archive_free(struct cf_archive **archive)
{
    struct cf_archive *a = *archive;
    if (a == NULL)
        return;
    while (!TAILQ_EMPTY(&a->queue))
        drop_oldest(a);
    event_free(a->timer);
    free(a);
    *archive = NULL;
}

bool cf_archive_kept(const struct cf_vault_record *record, uint64_t *ret_journal, const char **ret_id, int64_t *ret_since_ns)
{
    const struct kept_entry *entry = record->data;
    if (record->len != sizeof *entry || memchr(entry->id, '\0', sizeof entry->id) == NULL)
        return false;
    *ret_journal = record->key;
    *ret_id = entry->id;
    *ret_since_ns = entry->since_mono_ns;
    return true;
}

static void keep(const struct cf_archive *a, struct kept *k)
{
    struct kept_entry entry = { .since_mono_ns = k->since_mono_ns };
    memcpy(entry.id, k->id, sizeof entry.id);
    (void)cf_vault_put(cf_keep_vault(a->budget->keep), &k->kept, CF_VAULT_ARCHIVE, cf_journal_number(k->journal), 0, &entry, sizeof entry);
}

void cf_archive_add(struct cf_archive *a, const char *id, struct cf_journal *journal, int64_t now_mono_ns)
{
    bool empty = cf_journal_next(journal, NULL) == NULL && cf_spool_end(cf_journal_spool(journal)) == 0;
    struct kept *k = empty ? NULL : calloc(1, sizeof *k);
    if (k == NULL)
        return;
    k->journal = cf_journal_ref(journal);
    k->since_mono_ns = now_mono_ns;
    memcpy(k->id, id, strnlen(id, sizeof k->id - 1));
    TAILQ_INSERT_TAIL(&a->queue, k, link);
    a->count++;
    keep(a, k);
    while (a->count > CF_ARCHIVE_MAX || (a->count > 0 && a->budget->used_bytes > a->budget->max_bytes / 4 * 3))
        drop_oldest(a);
    expire(a, now_mono_ns);
}

struct cf_journal *cf_archive_find(const struct cf_archive *a, const char *id)
{
    struct kept *k;
    TAILQ_FOREACH_REVERSE(k, &a->queue, queue, link)
        if (strcmp(k->id, id) == 0)
            return k->journal;
    return NULL;
}
