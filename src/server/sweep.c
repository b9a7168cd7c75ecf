/* sweep.c: one timer for all sessions and one for agents, which are looked at more often (S1.1), and only while there are any. */
#include "server/sweep.h"

#include "base/log.h"
#include "server/recover.h"
#include "server/sessions.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH 256

struct cf_sweep {
    struct cf_server *server;
    struct event *timer, *agent_timer;
    bool running;
};

/* One sentence for a tombstone: what the rule saw. */
static void explain(char *ret, size_t size, const struct cf_session *row, const struct cf_due *due)
{
    if (due->reason == CF_REASON_IDLE)
        snprintf(ret, size, "idle for %.6f s, limit %.3f s", (double)due->idle_for_ns / 1e9,
                 (double)row->idle_ns / 1e9);
    else if (due->reason == CF_REASON_AGE)
        snprintf(ret, size, "older than its limit of %.3f s, %s", (double)row->age_ns / 1e9,
                 row->busy ? "busy" : "not busy");
    else
        snprintf(ret, size, "its shell is gone");
}

/* Ends one that is due.  Whether it will be told to `gone`. */
static bool end_one(struct cf_server *server, const struct cf_due *due, const struct cf_session *row, int64_t grace_ns,
                    void (*gone)(void *arg, const struct cf_tomb *tomb), void *arg)
{
    struct cf_error error;
    char evidence[CF_EVIDENCE_MAX];
    bool told = true;
    explain(evidence, sizeof evidence, row, due);
    if (gone != NULL && cf_sessions_wait(server->sessions, due->handle, gone, arg, &error) != 0) {
        cf_core_counts(server->core)->cleanup_errors++;
        cf_log(CF_LOG_ERROR, "sweep: session %s: %s", row->id, error.text);
        told = false;
    }
    cf_sessions_end(server->sessions, due->handle, due->reason, evidence, grace_ns);
    return told;
}

size_t cf_sweep_now(struct cf_sweep *sweep, struct cf_now now, int64_t grace_ns,
                    void (*gone)(void *arg, const struct cf_tomb *tomb), void *arg)
{
    struct cf_server *server = sweep->server;
    struct cf_counts *counts = cf_core_counts(server->core);
    struct cf_due due[BATCH];
    size_t n, total = 0;
    int64_t began_ns = cf_clock_now().mono_ns;
    counts->cleanup_runs++;
    cf_sessions_touch_at_work(server->sessions, now);
    while ((n = cf_core_due(server->core, now.mono_ns, due, BATCH)) > 0) {
        for (size_t i = 0; i < n; i++) {
            struct cf_session row;
            if (cf_core_get(server->core, due[i].handle, now.mono_ns, &row))
                total += end_one(server, &due[i], &row, grace_ns, gone, arg);
        }
    }
    cf_metrics_observe(&server->metrics, CF_HISTOGRAM_sweep_duration, cf_clock_now().mono_ns - began_ns);
    if (total > 0)
        cf_log(CF_LOG_INFO, "sweep: ending %zu sessions, %u are left", total,
               cf_core_count(server->core) - (uint32_t)total);
    else
        cf_log(CF_LOG_DEBUG, "sweep: nothing to end, %u sessions", cf_core_count(server->core));
    return total;
}

static void arm_at(struct event *timer, int64_t interval_ns)
{
    struct timeval tv = { .tv_sec = interval_ns / CF_NS_PER_S, .tv_usec = interval_ns % CF_NS_PER_S / 1000 };
    evtimer_add(timer, &tv);
}

static void arm(struct cf_sweep *sweep)
{
    arm_at(sweep->timer, sweep->server->settings.cleanup_interval);
}

/* ---- agents ---- */

static bool any_agent(const struct cf_core *core)
{
    const uint32_t *here = cf_core_tally(core)->here[CF_KIND_AGENT];
    for (unsigned state = CF_STATE_FREE + 1; state < CF_STATES; state++)
        if (here[state] > 0)
            return true;
    return false;
}

static void arm_agents(struct cf_sweep *sweep)
{
    if (any_agent(sweep->server->core) && !evtimer_pending(sweep->agent_timer, NULL))
        arm_at(sweep->agent_timer, sweep->server->settings.agent_cleanup_interval);
}

/* Agents only: the others wait for their own sweep. */
static size_t sweep_agents(struct cf_server *server)
{
    struct cf_now now = cf_clock_now();
    const struct cf_judge judge = { .now_ns = now.mono_ns };
    struct cf_due due[BATCH];
    struct cf_session row;
    uint32_t cursor = 0;
    size_t total = 0;
    while (cursor != CF_SCAN_END) {
        size_t n = cf_core_scan(server->core, &judge, &cursor, UINT32_MAX, due, BATCH);
        for (size_t i = 0; i < n; i++)
            if (cf_core_get(server->core, due[i].handle, now.mono_ns, &row) && row.kind == CF_KIND_AGENT)
                total += end_one(server, &due[i], &row, server->settings.grace, NULL, NULL);
    }
    cf_core_counts(server->core)->cleanup_runs++;
    cf_metrics_observe(&server->metrics, CF_HISTOGRAM_sweep_duration, cf_clock_now().mono_ns - now.mono_ns);
    return total;
}

static void on_agent_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_sweep *sweep = arg;
    if (!any_agent(sweep->server->core))
        return;                         /* cf_sweep_wake starts it again */
    size_t total = sweep_agents(sweep->server);
    cf_log(total > 0 ? CF_LOG_INFO : CF_LOG_DEBUG, "sweep of agents: ending %zu sessions", total);
    arm_agents(sweep);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_sweep *sweep = arg;
    if (cf_core_count(sweep->server->core) == 0)
        return;                         /* cf_sweep_wake starts it again */
    (void)cf_sweep_now(sweep, cf_clock_now(), sweep->server->settings.grace, NULL, NULL);
    arm(sweep);
}

struct cf_sweep *cf_sweep_new(struct cf_server *server)
{
    struct cf_sweep *sweep = calloc(1, sizeof *sweep);
    if (sweep == NULL)
        return NULL;
    sweep->server = server;
    sweep->timer = evtimer_new(server->loop, on_timer, sweep);
    sweep->agent_timer = evtimer_new(server->loop, on_agent_timer, sweep);
    if (sweep->timer == NULL || sweep->agent_timer == NULL) {
        cf_sweep_free(&sweep);
        return NULL;
    }
    return sweep;
}

void cf_sweep_free(struct cf_sweep **sweep)
{
    if (*sweep == NULL)
        return;
    if ((*sweep)->timer != NULL)
        event_free((*sweep)->timer);
    if ((*sweep)->agent_timer != NULL)
        event_free((*sweep)->agent_timer);
    free(*sweep);
    *sweep = NULL;
}

void cf_sweep_wake(struct cf_sweep *sweep)
{
    if (sweep->running && !evtimer_pending(sweep->timer, NULL))
        arm(sweep);
    if (sweep->running)
        arm_agents(sweep);
}

void cf_sweep_start(struct cf_sweep *sweep)
{
    if (sweep->running)
        return;
    sweep->running = true;
    cf_log(CF_LOG_INFO, "automatic cleanup started");
    if (cf_core_count(sweep->server->core) > 0)
        arm(sweep);
    arm_agents(sweep);
    cf_recover_keep_settings(sweep->server);
}

void cf_sweep_stop(struct cf_sweep *sweep)
{
    if (!sweep->running)
        return;
    sweep->running = false;
    evtimer_del(sweep->timer);
    evtimer_del(sweep->agent_timer);
    cf_log(CF_LOG_INFO, "automatic cleanup stopped");
    cf_recover_keep_settings(sweep->server);
}

bool cf_sweep_running(const struct cf_sweep *sweep)
{
    return sweep->running;
}

/* A new interval counts from now, but never puts off a sweep that is due before: else one could be put off for ever. */
static void hasten(struct cf_sweep *sweep, struct event *timer, int64_t interval_ns)
{
    struct timeval due, now, left;
    if (!evtimer_pending(timer, &due))
        return;
    event_base_gettimeofday_cached(sweep->server->loop, &now);
    evutil_timersub(&due, &now, &left);
    if ((int64_t)left.tv_sec * CF_NS_PER_S + left.tv_usec * 1000 > interval_ns)
        arm_at(timer, interval_ns);
}

static void set_idle(struct cf_core *core, enum cf_kind kind, int64_t idle_ns)
{
    struct cf_policy policy = *cf_core_policy(core, kind);
    policy.idle_ns = idle_ns;
    cf_core_policy_set(core, kind, &policy);
}

static void configure_agents(struct cf_sweep *sweep, const struct cf_sweep_change *change)
{
    struct cf_settings *settings = &sweep->server->settings;
    if (change->agent_timeout_ns != NULL) {
        settings->agent_timeout = *change->agent_timeout_ns;
        set_idle(sweep->server->core, CF_KIND_AGENT, settings->agent_timeout);
    }
    if (change->agent_cleanup_interval_ns != NULL) {
        settings->agent_cleanup_interval = *change->agent_cleanup_interval_ns;
        hasten(sweep, sweep->agent_timer, settings->agent_cleanup_interval);
    }
}

void cf_sweep_configure(struct cf_sweep *sweep, const struct cf_sweep_change *change)
{
    struct cf_settings *settings = &sweep->server->settings;
    if (change->session_timeout_ns != NULL) {
        settings->session_timeout = *change->session_timeout_ns;
        set_idle(sweep->server->core, CF_KIND_BASH, settings->session_timeout);
    }
    if (change->cleanup_interval_ns != NULL) {
        settings->cleanup_interval = *change->cleanup_interval_ns;
        hasten(sweep, sweep->timer, settings->cleanup_interval);
    }
    configure_agents(sweep, change);
    if (change->auto_cleanup_enabled != NULL) {
        settings->auto_cleanup_enabled = *change->auto_cleanup_enabled;
        if (settings->auto_cleanup_enabled)
            cf_sweep_start(sweep);
        else
            cf_sweep_stop(sweep);
    }
    cf_recover_keep_settings(sweep->server);
}
