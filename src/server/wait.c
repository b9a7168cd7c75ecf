/* wait.c: a watch on a journal, and a timer. */
#include "server/wait.h"

#include <stdlib.h>

struct wait {
    struct cf_journal *journal;
    struct cf_watch watch;
    struct event *news;                 /* made active by the watch */
    struct event *end;                  /* a timer of its own, since news would put off the other's */
    cf_wait_look *look;
    void *arg;
};

static void wake(void *arg)
{
    struct wait *w = arg;
    event_active(w->news, EV_READ, 0);
}

static void free_wait(struct wait *w)
{
    if (w->news != NULL)
        event_free(w->news);
    if (w->end != NULL)
        event_free(w->end);
    free(w);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    struct wait *w = arg;
    if (!w->look(w->arg, (what & EV_TIMEOUT) != 0 || cf_journal_closed(w->journal)))
        return;
    cf_journal_unwatch(w->journal, &w->watch);
    cf_journal_unref(&w->journal);
    free_wait(w);
}

int cf_wait(struct event_base *loop, struct cf_journal *journal, int64_t most_ns, cf_wait_look *look, void *arg)
{
    if (look(arg, most_ns <= 0 || cf_journal_closed(journal)))
        return 0;
    struct timeval most = { .tv_sec = most_ns / CF_NS_PER_S, .tv_usec = most_ns % CF_NS_PER_S / 1000 };
    struct wait *w = calloc(1, sizeof *w);
    if (w == NULL)
        return -1;
    *w = (struct wait){ .watch = { .wake = wake, .arg = w }, .look = look, .arg = arg };
    w->news = event_new(loop, -1, EV_PERSIST, on_event, w);
    w->end = evtimer_new(loop, on_event, w);
    if (w->news == NULL || w->end == NULL || evtimer_add(w->end, &most) < 0) {
        free_wait(w);
        return -1;
    }
    w->journal = cf_journal_ref(journal);
    cf_journal_watch(journal, &w->watch);
    return 0;
}
