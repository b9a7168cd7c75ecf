#include "keeper/link.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"
#include "keeper/handover.h"
#include "keeper/ladder.h"
#include "keeper/upgrade.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PACKETS_A_TURN 256              /* so that a flood of requests cannot keep deadlines waiting */
#define LAST_WORDS_MAX 65536            /* packets of a server that is gone; a socket has room for hundreds */

/* --- reports --- */

int cf_link_put(struct cf_keeper *k, const void *data, size_t len, const int *fds, size_t nfds)
{
    if (cf_packet_send(k->link.fd, data, len, fds, nfds) == 0)
        return 0;
    /* A machine that is short of memory for a moment, or a user with too many descriptors on their way, is no reason to
     * end every session. */
    if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == ETOOMANYREFS)
        k->link.blocked = true;
    else
        k->link.lost = true;
    return -1;
}

static int put(struct cf_keeper *k, const void *data, size_t len)
{
    return cf_link_put(k, data, len, NULL, 0);
}

/* An answer that is about no session that is held waits in its one place; until it is out nothing more is read. */
static void answer(struct cf_keeper *k, const void *data, size_t len)
{
    if (k->link.mute)
        return;
    cf_link_flush(k);
    if (!k->link.blocked && put(k, data, len) == 0)
        return;
    memcpy(&k->link.answer, data, len);
    k->link.answer_len = len;
    k->link.answer_kept = true;
}

/* How long after END a step was taken; -1: it was not. */
static int64_t step_ms(const struct cf_held *held, int64_t at_ns)
{
    return at_ns == 0 ? -1 : (at_ns - held->ended_ns) / CF_NS_PER_MS;
}

static int put_owed(struct cf_keeper *k, const struct cf_held *held, uint32_t what)
{
    struct cf_wire_spawned spawned = { .type = CF_WIRE_SPAWNED, .status = held->spawn_error, .key = held->key,
                                       .pid = held->leader_pid, .hold = held->hold };
    struct cf_wire_signaled signaled = { .type = CF_WIRE_SIGNALED, .answers = held->signals_answered,
                                         .key = held->key };
    struct cf_wire_left left = { .type = CF_WIRE_LEFT, .wait_status = held->wait_status, .key = held->key };
    struct cf_wire_ended ended = { .type = CF_WIRE_ENDED, .cause = held->cause, .key = held->key, .rung = held->rung,
                                   .wait_status = held->wait_status, .killed = held->killed,
                                   .took_ms = (held->proven_ns - held->ended_ns) / CF_NS_PER_MS,
                                   .closed_ms = step_ms(held, held->closed_ns),
                                   .interrupted_ms = step_ms(held, held->interrupted_ns),
                                   .killed_ms = step_ms(held, held->killed_ns) };

    switch (what) {
    case CF_OWED_SPAWNED: return put(k, &spawned, sizeof spawned);
    case CF_OWED_SIGNALED: return put(k, &signaled, sizeof signaled);
    case CF_OWED_LEFT: return put(k, &left, sizeof left);
    default: return put(k, &ended, sizeof ended);
    }
}

/* No FORGET will come: of a spawn that failed, or as the keeper ends. */
static void let_go(struct cf_keeper *k, struct cf_held *held)
{
    if (held->state == CF_HELD_GONE && (k->phase == CF_PHASE_ENDING || held->spawn_error != 0 || held->forgotten))
        cf_table_remove(&k->table, held);
}

void cf_link_release(struct cf_keeper *k, struct cf_held *held)
{
    if (k->link.fd < 0 || (held->told == k->link.serial && held->owed == 0))
        let_go(k, held);
}

void cf_link_owe(struct cf_keeper *k, struct cf_held *held, uint32_t what)
{
    struct cf_link *link = &k->link;

    if (link->fd < 0 && k->phase == CF_PHASE_ENDING)
        let_go(k, held);
    if (link->fd < 0 || held->told != link->serial)
        return;                         /* HELD will tell */
    if (held->owed == 0) {
        held->next_owed = 0;
        if (link->owed_last != 0)
            cf_table_slot(&k->table, link->owed_last - 1)->next_owed = held->slot + 1;
        else
            link->owed_first = held->slot + 1;
        link->owed_last = held->slot + 1;
    }
    held->owed |= what;
}

void cf_link_signaled(struct cf_keeper *k, struct cf_held *held)
{
    if (held->signals_stale != 0) {     /* they are carried out in the order in which they came */
        held->signals_stale--;
        return;
    }
    held->signals_open -= held->signals_open != 0;
    held->signals_answered++;
    cf_link_owe(k, held, CF_OWED_SIGNALED);
}

void cf_link_flush(struct cf_keeper *k)
{
    struct cf_wire_leave leave = { .type = CF_WIRE_LEAVE, .drain_ms = k->config.drain_ms };
    struct cf_link *link = &k->link;

    if (link->fd < 0 || link->lost || link->mute)
        return;
    link->blocked = false;
    if (link->handover.running)
        cf_handover_flush(k);
    if (link->handover.running || link->lost)
        return;
    if (link->answer_kept) {
        if (put(k, &link->answer, link->answer_len) != 0)
            return;
        link->answer_kept = false;
    }
    if (k->upgrade.leave_due) {
        if (put(k, &leave, sizeof leave) != 0)
            return;
        k->upgrade.leave_due = false;
    }
    while (link->owed_first != 0) {
        struct cf_held *held = cf_table_slot(&k->table, link->owed_first - 1);

        while (held->owed != 0) {
            if (put_owed(k, held, held->owed & -held->owed) != 0)
                return;
            if ((held->owed & -held->owed) == CF_OWED_SIGNALED)
                held->signals_answered = 0;
            held->owed &= held->owed - 1;
        }
        link->owed_first = held->next_owed;
        if (link->owed_first == 0)
            link->owed_last = 0;
        let_go(k, held);
    }
}

void cf_link_drop(struct cf_keeper *k)
{
    struct cf_link *link = &k->link;

    if (link->fd >= 0)                  /* a child that was just forked may have a copy yet */
        (void)epoll_ctl(k->epoll_fd, EPOLL_CTL_DEL, link->fd, NULL);
    cf_fd_close(&link->fd);
    cf_handover_stop(k);
    for (uint32_t slot = 0; slot < k->table.chunk_count * CF_TABLE_CHUNK; slot++) {
        struct cf_held *held = cf_table_slot(&k->table, slot);

        held->owed = 0;
        held->signals_answered = 0;
        held->signals_stale += held->signals_open;
        held->signals_open = 0;
        if (held->forgotten || k->phase == CF_PHASE_ENDING)
            let_go(k, held);
    }
    *link = (struct cf_link){ .fd = -1, .said_bye = link->said_bye };
}

/* --- requests --- */

static int hello(struct cf_keeper *k, const struct cf_wire_hello *request)
{
    struct cf_wire_welcome welcome = {
        .type = CF_WIRE_WELCOME, .version = CF_WIRE_VERSION, .hold_default = k->hold_default,
        .hold_offered = k->hold_offered, .swept = k->swept, .keeper_pid = getpid(), .servers = k->revival.served,
        .held = k->table.live, .kept = k->kept.total,
        .upgrade = k->upgrade.state == CF_UPGRADE_TRYING ? CF_UPGRADE_DONE : k->upgrade.outcome,
    };

    if (request->version != CF_WIRE_VERSION) {
        cf_log(CF_LOG_ERROR, "the server speaks version %u of the wire, this keeper %u", request->version,
               CF_WIRE_VERSION);
        return -1;
    }
    k->link.state = CF_WIRE_C_READY;
    k->spare_due_ns = k->now_ns;
    if (put(k, &welcome, sizeof welcome) != 0)
        return -1;
    cf_handover_begin(k);
    return 0;
}

/* 0, or the errno with which this SPAWN is refused. */
static int judge(const struct cf_keeper *k, const struct cf_wire_spawn *request, size_t nfds,
                 struct cf_spawn_plan *ret_plan)
{
    struct cf_spawn_plan plan = { .argc = request->argc, .envc = request->envc, .args_bytes = request->args_bytes,
                                  .fd_count = request->fd_count, .flags = request->flags };
    int error;

    if (request->key == 0 || request->lease_ms <= 0 || request->fd_count != nfds - 2)
        return EINVAL;
    if (cf_table_by_key(&k->table, request->key) != NULL)
        return EEXIST;
    if (k->phase == CF_PHASE_ENDING)
        return ESHUTDOWN;
    if ((request->hold & ~k->hold_offered) != 0)
        return EOPNOTSUPP;
    for (uint32_t i = 0; i < plan.fd_count && i < CF_SPAWN_TARGETS_MAX; i++)
        plan.targets[i] = request->fd_targets[i];
    error = cf_spawn_plan_check(&plan);
    if (error == 0)
        *ret_plan = plan;
    return error;
}

static int spawn(struct cf_keeper *k, const struct cf_wire_spawn *request, const int *fds, size_t nfds)
{
    struct cf_wire_spawned refused = { .type = CF_WIRE_SPAWNED, .key = request->key };
    struct cf_spawn_plan plan;
    struct cf_held *held = NULL;
    int error;

    refused.status = judge(k, request, nfds, &plan);
    if (refused.status == 0) {
        held = cf_table_add(&k->table, request->key);
        refused.status = held == NULL ? ENOMEM : 0;
    }
    if (refused.status != 0) {
        answer(k, &refused, sizeof refused);
        return 0;
    }
    held->hold = request->hold != 0 ? request->hold : k->hold_default;
    held->told = k->link.serial;
    cf_ladder_renew(k, held, request->lease_ms);
    error = k->ops->start(k, held, &plan, fds);
    if (error != 0)
        cf_ladder_event(k, held, CF_EVENT_FAILED, error);
    return 0;
}

static int renew(struct cf_keeper *k, const struct cf_wire_renew *request)
{
    struct cf_held *held = cf_table_by_key(&k->table, request->key);

    if (request->lease_ms <= 0)
        return -1;
    if (held != NULL)
        cf_ladder_renew(k, held, request->lease_ms);
    if (request->key == 0)
        for (uint32_t slot = 0; slot < k->table.chunk_count * CF_TABLE_CHUNK; slot++) {
            held = cf_table_slot(&k->table, slot);
            if (held->state == CF_HELD_LIVE || held->state == CF_HELD_LEFT)
                cf_ladder_renew(k, held, request->lease_ms);
        }
    return 0;
}

/* An answer may come at once, later from the init, or not at all where that could not be told. */
static void signal_held(struct cf_keeper *k, struct cf_held *held, const struct cf_scope *scope, int signo)
{
    uint32_t open = ++held->signals_open;

    if (k->ops->signal(k, held, scope, signo, false) != 0 && held->signals_open == open)
        held->signals_open--;
}

static int send_signal(struct cf_keeper *k, const struct cf_wire_signal *request)
{
    struct cf_held *held = cf_table_by_key(&k->table, request->key);
    struct cf_scope scope = { .scope = request->scope, .since_ticks = request->since_ticks };
    struct cf_wire_signaled none = { .type = CF_WIRE_SIGNALED, .answers = 1, .key = request->key };

    if (request->signo < 1 || request->signo > SIGRTMAX || request->scope < CF_SCOPE_GROUP ||
        request->scope > CF_SCOPE_SETTLED)
        return -1;
    if (held != NULL && (held->state == CF_HELD_LIVE || held->state == CF_HELD_LEFT))
        signal_held(k, held, &scope, request->signo);
    else if (held != NULL)
        cf_link_signaled(k, held);
    else
        answer(k, &none, sizeof none);
    return 0;
}

static int end(struct cf_keeper *k, const struct cf_wire_end *request)
{
    struct cf_held *held = cf_table_by_key(&k->table, request->key);
    struct cf_wire_ended unknown = { .type = CF_WIRE_ENDED, .cause = CF_CAUSE_ASKED, .key = request->key,
                                     .rung = CF_RUNG_UNKNOWN, .closed_ms = -1, .interrupted_ms = -1, .killed_ms = -1 };

    if (request->grace_ms < 0)
        return -1;
    if (held != NULL)
        cf_ladder_end(k, held, CF_CAUSE_ASKED, request->grace_ms);
    else
        answer(k, &unknown, sizeof unknown);
    return 0;
}

static int bye(struct cf_keeper *k, const struct cf_wire_bye *request)
{
    if (request->grace_ms < 0)
        return -1;
    k->link.said_bye = true;
    cf_keeper_end_all(k, CF_CAUSE_SHUTDOWN, request->grace_ms);
    return 0;
}

static int hold(struct cf_keeper *k, const struct cf_wire_hold *request, int *fds, size_t nfds)
{
    struct cf_held *held = cf_table_by_key(&k->table, request->key);

    if (request->count != nfds)
        return -1;
    for (uint32_t i = 0; i < CF_WIRE_FDS_MAX; i++)
        if ((request->tags[i] != 0) != (i < request->count))
            return -1;
    if (request->key != 0 && (held == NULL || held->state > CF_HELD_LEFT))
        return 0;
    for (uint32_t i = 0; i < request->count; i++)
        if (cf_kept_put(k, held, request->tags[i], fds[i]) == 0)
            fds[i] = -1;
    return 0;
}

static int drop(struct cf_keeper *k, const struct cf_wire_drop *request)
{
    struct cf_held *held = cf_table_by_key(&k->table, request->key);

    if (request->key == 0 || held != NULL)
        cf_kept_drop(k, held, request->tag);
    return 0;
}

static int forget(struct cf_keeper *k, const struct cf_wire_forget *request)
{
    struct cf_held *held = cf_table_by_key(&k->table, request->key);

    if (held == NULL || held->state != CF_HELD_GONE || (held->owed & CF_OWED_ENDED) != 0)
        return 0;
    held->forgotten = true;
    cf_link_release(k, held);           /* else when all that it owes is out */
    return 0;
}

static int serving(struct cf_keeper *k)
{
    struct cf_revival *r = &k->revival;

    if (r->serving)
        return 0;
    r->serving = true;
    r->serving_ns = k->now_ns;
    r->served++;
    if (r->lost_ns != 0)
        cf_log(CF_LOG_INFO, "the server serves again, %lld ms after the last one was lost",
               (long long)((k->now_ns - r->lost_ns) / CF_NS_PER_MS));
    r->lost_ns = 0;
    cf_upgrade_served(k);
    return 0;
}

int cf_link_dispatch(struct cf_keeper *k, const void *data, size_t len, int *fds, size_t nfds)
{
    union cf_request request;
    const char *why;
    const struct cf_permit *permit = cf_permit_check(data, len, nfds, k->link.state, &why);

    if (permit == NULL) {
        cf_log(CF_LOG_ERROR, "illegal packet from the server (%zu bytes, %zu descriptors): %s", len, nfds, why);
        return -1;
    }
    memcpy(&request, data, len);
    switch (permit->type) {
    case CF_WIRE_HELLO: return hello(k, &request.HELLO);
    case CF_WIRE_SPAWN: return spawn(k, &request.SPAWN, fds, nfds);
    case CF_WIRE_RENEW: return renew(k, &request.RENEW);
    case CF_WIRE_SIGNAL: return send_signal(k, &request.SIGNAL);
    case CF_WIRE_END: return end(k, &request.END);
    case CF_WIRE_BYE: return bye(k, &request.BYE);
    case CF_WIRE_HOLD: return hold(k, &request.HOLD, fds, nfds);
    case CF_WIRE_DROP: return drop(k, &request.DROP);
    case CF_WIRE_FORGET: return forget(k, &request.FORGET);
    case CF_WIRE_SERVING: return serving(k);
    case CF_WIRE_UPGRADE: cf_upgrade_begin(k, "the server"); return 0;
    case CF_WIRE_HANDOVER: return 0;
    default: return -1;
    }
}

/* A SPAWN whose descriptors found no free number is refused, and what was to be held is not; nothing else can come to
 * that. */
static int refuse_full(struct cf_keeper *k, const union cf_request *request)
{
    struct cf_wire_spawned refused = { .type = CF_WIRE_SPAWNED, .status = EMFILE, .key = request->SPAWN.key };

    if (request->type == CF_WIRE_HOLD && k->link.state == CF_WIRE_C_READY) {
        cf_kept_miss(k, cf_table_by_key(&k->table, request->HOLD.key), &request->HOLD);
        return 0;
    }
    if (request->type != CF_WIRE_SPAWN || k->link.state != CF_WIRE_C_READY)
        return -1;
    answer(k, &refused, sizeof refused);
    return 0;
}

enum taken { TAKEN, NOTHING_THERE, PEER_RESET, PEER_GONE, PEER_UNRULY };

/* Reads and handles one packet. */
static enum taken take(struct cf_keeper *k)
{
    union cf_request request = { 0 };
    int fds[CF_WIRE_FDS_MAX];
    size_t nfds;
    ssize_t length = cf_packet_recv(k->link.fd, &request, sizeof request, fds, CF_WIRE_FDS_MAX, &nfds);
    int outcome;

    if (length < 0 && errno == EAGAIN)
        return NOTHING_THERE;
    if (length < 0 && errno == ECONNRESET)
        return PEER_RESET;              /* it did not read all that it was sent; what it said is there yet */
    if (length == 0)
        return PEER_GONE;
    if (length < 0)
        outcome = errno == EMFILE ? refuse_full(k, &request) : -1;
    else
        outcome = cf_link_dispatch(k, &request, (size_t)length, fds, nfds);
    for (size_t at = 0; at < nfds; at++)
        cf_fd_close(&fds[at]);
    return outcome == 0 ? TAKEN : PEER_UNRULY;
}

void cf_link_read(struct cf_keeper *k)
{
    struct cf_link *link = &k->link;
    enum taken taken = TAKEN;

    for (int i = 0; i < PACKETS_A_TURN && taken == TAKEN && link->fd >= 0 && !link->lost && !link->answer_kept &&
         !link->handover.running; i++)
        taken = take(k);
    if (taken == PEER_RESET || taken == PEER_GONE || taken == PEER_UNRULY)
        link->lost = true;
    if (taken == PEER_UNRULY)
        link->unruly = true;
}

void cf_link_drain(struct cf_keeper *k)
{
    enum taken taken = TAKEN;

    if (k->link.unruly)
        return;
    /* What it was told, and could tell others of, it had asked for before it went; so that counts. */
    k->link.mute = true;
    for (int i = 0; i < LAST_WORDS_MAX && (taken == TAKEN || taken == PEER_RESET) && k->link.fd >= 0; i++)
        taken = take(k);
}
