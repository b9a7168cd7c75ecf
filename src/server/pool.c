/* pool.c: the warm pool. */
#include "server/pool.h"

#include "base/log.h"

#include <stdlib.h>

/* After a shell could not be started the pool waits before it tries again. */
#define RETRY_MS 5000
/* From a shell's taking until another is started: the session that took it gets the processors for its first command. */
#define REFILL_MS 5
#define POOL_MAX 64                     /* the setting's maximum */

struct cf_pool {
    size_t want;
    size_t held;                        /* with the keeper: those below, and those that are ending */
    size_t count, ready_count;
    struct cf_shell *shells[POOL_MAX];  /* the ready ones first */
    struct event *refill;
    bool stopped;
    int (*new_shell)(void *, const struct cf_shell_events *, void *, struct cf_shell **, struct cf_error *);
    void (*drop_shell)(void *, struct cf_shell *);
    void *arg;
};

static void refill_later(struct cf_pool *p, int after_ms)
{
    struct timeval tv = { .tv_sec = after_ms / 1000, .tv_usec = after_ms % 1000 * 1000 };
    if (!p->stopped && !evtimer_pending(p->refill, NULL))
        evtimer_add(p->refill, &tv);
}

static void swap(struct cf_pool *p, size_t a, size_t b)
{
    struct cf_shell *shell = p->shells[a];
    p->shells[a] = p->shells[b];
    p->shells[b] = shell;
}

static size_t place_of(const struct cf_pool *p, const struct cf_shell *shell)
{
    size_t i = 0;
    while (i < p->count && p->shells[i] != shell)
        i++;
    return i;
}

/* Takes a shell off the list, wherever it stands. */
static void forget(struct cf_pool *p, size_t place)
{
    if (place < p->ready_count) {
        swap(p, place, --p->ready_count);
        place = p->ready_count;
    }
    swap(p, place, --p->count);
}

/* A shell that goes while it waits is ended like any other. */
static void retire(struct cf_pool *p, struct cf_shell *shell)
{
    size_t place = place_of(p, shell);
    if (place < p->count)
        forget(p, place);
    cf_shell_end(shell, 0);
    refill_later(p, RETRY_MS);
}

static void on_left(struct cf_shell *shell, void *arg, int wait_status)
{
    (void)wait_status;
    retire(arg, shell);
}

static void on_failed(struct cf_shell *shell, void *arg, const struct cf_error *why)
{
    cf_log(CF_LOG_WARNING, "warm pool: %s", why->text);
    retire(arg, shell);
}

static void on_ended(struct cf_shell *shell, void *arg, const struct cf_wire_ended *report)
{
    (void)report;
    struct cf_pool *p = arg;
    size_t place = place_of(p, shell);
    if (place < p->count)               /* the keeper ended it by itself */
        forget(p, place);
    p->held--;
    p->drop_shell(p->arg, shell);
}

/* What a session will ask for first, so that the shell has the memory for it in place: a first command costs some 0.1 ms more. */
#define REHEARSAL "{ : && \\builtin cd -- . && \\builtin unset OLDPWD; }"

static void on_ready(struct cf_shell *shell, void *arg)
{
    struct cf_error error;
    if (cf_shell_prepare(shell, REHEARSAL, &error) != 0)
        retire(arg, shell);
}

static void on_prepared(struct cf_shell *shell, void *arg, int exit_code)
{
    (void)exit_code;
    struct cf_pool *p = arg;
    size_t place = place_of(p, shell);
    if (place < p->count)
        swap(p, place, p->ready_count++);
}

static const struct cf_shell_events events = { .ready = on_ready, .prepared = on_prepared, .left = on_left, .ended = on_ended, .failed = on_failed };

/* One shell a turn of the loop, so that a refill never holds up a request for long. */
static void on_refill(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_pool *p = arg;
    struct cf_shell *shell;
    struct cf_error error;
    if (p->stopped || p->count >= p->want)
        return;
    if (p->new_shell(p->arg, &events, p, &shell, &error) != 0) {
        cf_log(CF_LOG_WARNING, "warm pool: %s", error.text);
        refill_later(p, RETRY_MS);
        return;
    }
    p->shells[p->count++] = shell;
    p->held++;
    refill_later(p, 0);                 /* does nothing when the pool is full by then */
}

struct cf_pool *cf_pool_new(struct event_base *loop, size_t want,
                            int (*new_shell)(void *arg, const struct cf_shell_events *events, void *shell_arg,
                                             struct cf_shell **ret, struct cf_error *error),
                            void (*drop_shell)(void *arg, struct cf_shell *shell), void *arg)
{
    struct cf_pool *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    *p = (struct cf_pool){ .want = want < POOL_MAX ? want : POOL_MAX, .new_shell = new_shell, .drop_shell = drop_shell, .arg = arg };
    p->refill = evtimer_new(loop, on_refill, p);
    if (p->refill == NULL) {
        free(p);
        return NULL;
    }
    return p;
}

void cf_pool_free(struct cf_pool **pool)
{
    if (*pool == NULL)
        return;
    event_free((*pool)->refill);
    free(*pool);
    *pool = NULL;
}

struct cf_shell *cf_pool_take(struct cf_pool *p)
{
    refill_later(p, REFILL_MS);
    if (p->ready_count == 0)
        return NULL;
    struct cf_shell *shell = p->shells[p->ready_count - 1];
    forget(p, p->ready_count - 1);
    p->held--;
    return shell;
}

void cf_pool_fill(struct cf_pool *p)
{
    refill_later(p, 0);
}

void cf_pool_stop(struct cf_pool *p)
{
    p->stopped = true;
    evtimer_del(p->refill);
    p->ready_count = 0;
    while (p->count > 0)
        cf_shell_end(p->shells[--p->count], 0);
}

size_t cf_pool_count(const struct cf_pool *p)
{
    return p->held;
}
