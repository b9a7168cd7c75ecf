/* pace.c: windows of two milliseconds. */
#include "server/pace.h"

#include "base/clock.h"

#include <stdlib.h>

#define WINDOW_NS (2 * CF_NS_PER_MS)
/* 512 MB/s: a third of what one processor moves from pipes to memory. */
#define WINDOW_BYTES (1u << 20)

struct cf_pace {
    struct event *timer;
    int64_t since_ns;
    uint64_t window;                    /* its number */
    uint64_t bytes;                     /* in it */
    unsigned flooding, flooded;         /* streams: in this window, in the one before */
    TAILQ_HEAD(, cf_paced) waiting;
};

static void turn_window(struct cf_pace *p, int64_t now_ns)
{
    bool next = now_ns - p->since_ns < 2 * WINDOW_NS;
    p->flooded = next ? p->flooding : 0;
    p->flooding = 0;
    p->bytes = 0;
    p->since_ns = now_ns;
    p->window++;
}

void cf_pace_leave(struct cf_pace *p, struct cf_paced *s)
{
    if (s->waits)
        TAILQ_REMOVE(&p->waiting, s, link);
    s->waits = false;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_pace *p = arg;
    turn_window(p, cf_clock_now().mono_ns);
    for (struct cf_paced *s; (s = TAILQ_FIRST(&p->waiting)) != NULL;) {
        cf_pace_leave(p, s);
        s->resume(s->arg);              /* only says that there is work: nobody comes to wait again here */
    }
}

struct cf_pace *cf_pace_new(struct event_base *loop)
{
    struct cf_pace *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    TAILQ_INIT(&p->waiting);
    p->window = 1;
    p->timer = evtimer_new(loop, on_timer, p);
    if (p->timer == NULL) {
        free(p);
        return NULL;
    }
    return p;
}

void cf_pace_free(struct cf_pace **pace)
{
    if (*pace == NULL)
        return;
    event_free((*pace)->timer);
    free(*pace);
    *pace = NULL;
}

bool cf_pace_flooded(struct cf_pace *p, struct cf_paced *s, uint64_t bytes)
{
    int64_t now_ns = cf_clock_now().mono_ns;
    if (now_ns - p->since_ns >= WINDOW_NS)
        turn_window(p, now_ns);
    p->flooding += s->window != p->window;
    s->window = p->window;
    p->bytes += bytes;
    if (p->bytes < WINDOW_BYTES || (p->flooding < 2 && p->flooded < 2))
        return true;
    struct timeval rest = { .tv_usec = (p->since_ns + WINDOW_NS - now_ns) / 1000 + 1 };
    if (!evtimer_pending(p->timer, NULL))
        evtimer_add(p->timer, &rest);
    TAILQ_INSERT_TAIL(&p->waiting, s, link);
    s->waits = true;
    return false;
}
