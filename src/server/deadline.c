#include "server/deadline.h"

#include "base/clock.h"

/* Lateness that saves a wake-up: deadlines that fall due this close together are met by one. */
#define SLACK_NS (20 * CF_NS_PER_MS)

static void arm(struct cf_deadlines *d, int64_t at_ns, int64_t now_ns)
{
    int64_t wait_ns = at_ns - now_ns + SLACK_NS;
    if (wait_ns < 0)
        wait_ns = 0;
    struct timeval wait = { .tv_sec = wait_ns / CF_NS_PER_S, .tv_usec = wait_ns % CF_NS_PER_S / 1000 };
    d->armed_ns = at_ns;
    event_add(d->timer, &wait);
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
    struct cf_deadlines *d = arg;
    int64_t now_ns = cf_clock_now().mono_ns, next_ns = CF_NEVER_NS;
    d->armed_ns = CF_NEVER_NS;
    for (int phase = 0; phase < CF_PHASES; phase++) {
        struct cf_deadline *one;
        while ((one = TAILQ_FIRST(&d->lists[phase])) && one->at_ns <= now_ns) {
            cf_deadline_set(d, one, CF_PHASE_WORK, now_ns);
            d->expire(d->arg, one, phase);
        }
        if (one && one->at_ns < next_ns)
            next_ns = one->at_ns;
    }
    if (next_ns < d->armed_ns)
        arm(d, next_ns, now_ns);
}

int cf_deadlines_init(struct cf_deadlines *d, struct event_base *loop, const int64_t length_ns[CF_PHASES],
                      void (*expire)(void *arg, struct cf_deadline *late, enum cf_phase phase), void *arg)
{
    d->expire = expire;
    d->arg = arg;
    d->armed_ns = CF_NEVER_NS;
    for (int phase = 0; phase < CF_PHASES; phase++) {
        d->length_ns[phase] = length_ns[phase];
        TAILQ_INIT(&d->lists[phase]);
    }
    d->timer = evtimer_new(loop, tick, d);
    return d->timer ? 0 : -1;
}

void cf_deadlines_free(struct cf_deadlines *d)
{
    if (d->timer)
        event_free(d->timer);
    d->timer = NULL;
}

void cf_deadline_set(struct cf_deadlines *d, struct cf_deadline *one, enum cf_phase phase, int64_t now_ns)
{
    if (one->phase != CF_PHASE_WORK)
        TAILQ_REMOVE(&d->lists[one->phase], one, link);
    one->phase = phase;
    if (phase == CF_PHASE_WORK)
        return;
    one->at_ns = now_ns + d->length_ns[phase];
    TAILQ_INSERT_TAIL(&d->lists[phase], one, link);
    if (one->at_ns < d->armed_ns)
        arm(d, one->at_ns, now_ns);
}
