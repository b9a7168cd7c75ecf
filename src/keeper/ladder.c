#include "keeper/ladder.h"
#include "base/log.h"
#include "keeper/link.h"
#include "keeper/revive.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define CLOSE_WINDOW_NS (50 * CF_NS_PER_MS)     /* for a shell to see its closed input, before SIGINT */
#define START_LIMIT_NS (30 * CF_NS_PER_S)       /* for an init to say whether the leader was exec'd */
#define KILL_PAUSE_NS (250 * CF_NS_PER_MS)      /* from one SIGKILL to the next; doubles up to the maximum */
#define SWEEP_PAUSE_NS (25 * CF_NS_PER_MS)      /* the same where a SIGKILL may miss what forks */
#define KILL_PAUSE_MAX_NS (5 * CF_NS_PER_S)
#define RELEASE_PAUSE_NS CF_NS_PER_MS           /* an empty cgroup may be busy for a moment longer */
#define COMPLAIN_AFTER_NS (10 * CF_NS_PER_S)
#define DOUBT_NS (5 * CF_NS_PER_S)              /* the most that a lease is stretched before it counts as run out */
#define LATE_NS CF_NS_PER_S                     /* a deadline seen later than this means that the keeper was stopped */
#define SPAN_MAX_MS (400LL * 86400 * 1000)      /* graces and leases beyond it are cut, so that sums cannot overflow */

static int64_t span_ns(int64_t ms)
{
    return (ms < 0 ? 0 : ms > SPAN_MAX_MS ? SPAN_MAX_MS : ms) * CF_NS_PER_MS;
}

static void wake_in(struct cf_keeper *k, struct cf_held *held, int64_t ns)
{
    cf_table_deadline_set(&k->table, held, k->now_ns + ns);
}

/* --- after the end --- */

static void finish(struct cf_keeper *k, struct cf_held *held)
{
    held->state = CF_HELD_GONE;
    cf_kept_close(k, held);
    cf_table_deadline_set(&k->table, held, CF_NEVER_NS);
    cf_link_owe(k, held, held->spawn_error != 0 ? CF_OWED_SPAWNED : CF_OWED_ENDED);
}

static void prove(struct cf_keeper *k, struct cf_held *held, int64_t value)
{
    if (held->proven_ns == 0) {
        if (!k->ops->empty(k, held))
            return;
        held->proven_ns = k->now_ns;
        held->pause_ns = RELEASE_PAUSE_NS;
    }
    if (k->ops->release(k, held) != 0 && k->now_ns - held->proven_ns < COMPLAIN_AFTER_NS) {
        held->state = CF_HELD_KILLED;
        wake_in(k, held, held->pause_ns);
        held->pause_ns *= 2;
        return;
    }
    finish(k, held);
}

/* --- the ladder --- */

static void kill_now(struct cf_keeper *k, struct cf_held *held, int64_t value)
{
    held->state = CF_HELD_KILLED;
    held->rung = CF_RUNG_KILLED;
    held->killed_ns = k->now_ns;
    held->pause_ns = held->hold == CF_HOLD_SUBREAPER ? SWEEP_PAUSE_NS : KILL_PAUSE_NS;
    k->ops->kill(k, held);
    wake_in(k, held, held->pause_ns);
    prove(k, held, 0);
}

static void kill_again(struct cf_keeper *k, struct cf_held *held, int64_t value)
{
    if (held->proven_ns == 0) {
        if (!held->complained && k->now_ns - held->killed_ns > COMPLAIN_AFTER_NS) {
            held->complained = true;
            cf_log(CF_LOG_WARNING, "session %llu is not empty %lld s after SIGKILL; trying on",
                   (unsigned long long)held->key, (long long)((k->now_ns - held->killed_ns) / CF_NS_PER_S));
        }
        k->ops->kill(k, held);
        held->pause_ns = held->pause_ns * 2 < KILL_PAUSE_MAX_NS ? held->pause_ns * 2 : KILL_PAUSE_MAX_NS;
        wake_in(k, held, held->pause_ns);
    }
    prove(k, held, 0);
}

static void interrupt(struct cf_keeper *k, struct cf_held *held, int64_t value)
{
    struct cf_scope all = { .scope = CF_SCOPE_ALL };

    held->state = CF_HELD_INTERRUPTED;
    held->rung = CF_RUNG_INTERRUPTED;
    held->interrupted_ns = k->now_ns;
    wake_in(k, held, held->grace_ns);
    /* S1.2: what cannot be interrupted is killed at once. */
    if (k->ops->signal(k, held, &all, SIGINT, true) != 0)
        kill_now(k, held, 0);
}

static void end(struct cf_keeper *k, struct cf_held *held, int64_t grace_ms)
{
    int64_t window_ns;

    cf_kept_close(k, held);             /* its shell sees its input closed */
    held->ended_ns = k->now_ns;
    held->grace_ns = span_ns(grace_ms);
    held->state = CF_HELD_CLOSING;
    held->rung = CF_RUNG_EMPTY;
    if (held->leader_gone) {
        prove(k, held, 0);
        if (held->proven_ns != 0)
            return;
    }
    if (held->grace_ns == 0) {
        kill_now(k, held, 0);
        return;
    }
    held->rung = CF_RUNG_CLOSED;
    if (held->cause != CF_CAUSE_LEASE)          /* then no server has closed anything */
        held->closed_ns = k->now_ns;
    window_ns = held->grace_ns / 10 < CLOSE_WINDOW_NS ? held->grace_ns / 10 : CLOSE_WINDOW_NS;
    wake_in(k, held, window_ns);
}

/* A second END: only ever sooner. */
static void shorten(struct cf_keeper *k, struct cf_held *held, int64_t grace_ms)
{
    int64_t grace_ns = span_ns(grace_ms);

    if (grace_ns >= held->grace_ns || held->proven_ns != 0)
        return;
    held->grace_ns = grace_ns;
    if (grace_ns == 0)
        kill_now(k, held, 0);
    else if (held->state == CF_HELD_INTERRUPTED && k->now_ns + grace_ns < k->table.deadlines_ns[held->slot])
        wake_in(k, held, grace_ns);
}

/* --- life --- */

static void fail(struct cf_keeper *k, struct cf_held *held, int64_t error)
{
    cf_kept_close(k, held);
    held->spawn_error = (int32_t)error;
    held->ended_ns = k->now_ns;
    kill_now(k, held, 0);
}

static void vanished(struct cf_keeper *k, struct cf_held *held, int64_t value)
{
    if (held->init_pid == 0)
        fail(k, held, EIO);
}

static void cancel(struct cf_keeper *k, struct cf_held *held, int64_t value)
{
    fail(k, held, ECANCELED);
}

static void late(struct cf_keeper *k, struct cf_held *held, int64_t value)
{
    fail(k, held, ETIMEDOUT);
}

static void started(struct cf_keeper *k, struct cf_held *held, int64_t pid)
{
    held->state = CF_HELD_LIVE;
    held->leader_pid = (pid_t)pid;
    wake_in(k, held, held->lease_ns);
    cf_link_owe(k, held, CF_OWED_SPAWNED);
}

static void note(struct cf_keeper *k, struct cf_held *held, int64_t wait_status)
{
    held->leader_gone = true;
    held->wait_status = (int32_t)wait_status;
}

static void left(struct cf_keeper *k, struct cf_held *held, int64_t wait_status)
{
    note(k, held, wait_status);
    held->state = CF_HELD_LEFT;
    cf_link_owe(k, held, CF_OWED_LEFT);
}

/* An init that was killed took the leader with it and could not say so. */
static void look(struct cf_keeper *k, struct cf_held *held, int64_t value)
{
    if (held->leader_gone)
        left(k, held, held->wait_status);
}

static void extend(struct cf_keeper *k, struct cf_held *held)
{
    if (held->state != CF_HELD_LIVE && held->state != CF_HELD_LEFT)
        return;
    held->lease_doubted = false;
    held->lease_extended = true;
    wake_in(k, held, held->lease_ns);
}

/* A server that is there and does not renew hangs: it is killed, once, and the next one gets as much time. */
static bool blame_server(struct cf_keeper *k, const struct cf_held *held)
{
    if (held->lease_extended || !cf_revive_may(k) || (k->link.fd < 0 && k->server_pid == 0))
        return false;
    k->revival.hung = true;
    k->revival.due_ns = k->now_ns;
    for (uint32_t slot = 0; slot < k->table.chunk_count * CF_TABLE_CHUNK; slot++)
        extend(k, cf_table_slot(&k->table, slot));
    return true;
}

/* A lease counts as run out only when it is seen to run out on time, twice: a keeper that was stopped, or on a
 * machine that was, finds all its leases old and the server's renewals not yet sent. */
static void lease(struct cf_keeper *k, struct cf_held *held, int64_t value)
{
    bool on_time = k->now_ns - k->table.deadlines_ns[held->slot] < LATE_NS;
    int64_t stretch_ns = held->lease_ns / 4 < DOUBT_NS ? held->lease_ns / 4 : DOUBT_NS;

    if (!held->lease_doubted || !on_time) {
        held->lease_doubted = true;
        wake_in(k, held, stretch_ns);
        return;
    }
    if (blame_server(k, held))
        return;
    cf_log(CF_LOG_WARNING, "session %llu: no server renewed its lease; ending it", (unsigned long long)held->key);
    cf_ladder_end(k, held, CF_CAUSE_LEASE, k->config.grace_ms);
}

static void nothing(struct cf_keeper *k, struct cf_held *held, int64_t value)
{
}

/* --- the table --- */

typedef void action(struct cf_keeper *k, struct cf_held *held, int64_t value);

/* NULL: cannot happen. */
static action *const actions[CF_HELD_STATES][CF_EVENTS] = {
    /*                         STARTED  FAILED   LEFT     CHANGED   END      TIMER */
    [CF_HELD_FREE]        = {  NULL,    NULL,    NULL,    NULL,     NULL,    NULL },
    [CF_HELD_STARTING]    = {  started, fail,    NULL,    vanished, cancel,  late },
    [CF_HELD_LIVE]        = {  NULL,    NULL,    left,    look,     end,     lease },
    [CF_HELD_LEFT]        = {  NULL,    NULL,    NULL,    nothing,  end,     lease },
    [CF_HELD_CLOSING]     = {  NULL,    NULL,    note,    prove,    shorten, interrupt },
    [CF_HELD_INTERRUPTED] = {  NULL,    NULL,    note,    prove,    shorten, kill_now },
    [CF_HELD_KILLED]      = {  nothing, nothing, note,    prove,    nothing, kill_again },
    [CF_HELD_GONE]        = {  nothing, nothing, nothing, nothing,  nothing, nothing },
};

void cf_ladder_event(struct cf_keeper *k, struct cf_held *held, enum cf_event event, int64_t value)
{
    action *act = actions[held->state][event];

    if (act == NULL) {
        /* An init that a session has tampered with can say anything; it says it about that session alone. */
        cf_log(CF_LOG_ERROR, "session %llu: event %d in state %d", (unsigned long long)held->key, (int)event,
               (int)held->state);
        return;
    }
    act(k, held, value);
}

void cf_ladder_end(struct cf_keeper *k, struct cf_held *held, enum cf_end_cause cause, int64_t grace_ms)
{
    if (held->cause == 0)
        held->cause = cause;
    cf_ladder_event(k, held, CF_EVENT_END, grace_ms);
}

void cf_ladder_renew(struct cf_keeper *k, struct cf_held *held, int64_t lease_ms)
{
    held->lease_ns = span_ns(lease_ms);
    held->lease_doubted = held->lease_extended = false;
    if (held->state == CF_HELD_STARTING)
        wake_in(k, held, START_LIMIT_NS);
    else if (held->state == CF_HELD_LIVE || held->state == CF_HELD_LEFT)
        wake_in(k, held, held->lease_ns);
}
