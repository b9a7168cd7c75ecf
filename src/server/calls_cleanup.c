/* calls_cleanup.c: the cleanup family, with the names and shapes of its document (S0.4 to S0.11). */
#include "base/log.h"
#include "server/calls.h"
#include "server/ledger.h"
#include "server/sessions.h"
#include "server/sweep.h"

#include <stdlib.h>
#include <string.h>

static void write_settings(struct cf_jsonw *w, const char *key, const struct cf_settings *s, bool all, bool agents)
{
    cf_jsonw_object(w, key);
    cf_jsonw_duration(w, "session_timeout", s->session_timeout);
    cf_jsonw_duration(w, "cleanup_interval", s->cleanup_interval);
    cf_jsonw_bool(w, "auto_cleanup_enabled", s->auto_cleanup_enabled);
    if (all)
        cf_jsonw_int(w, "max_sessions_per_workspace", s->max_sessions_per_workspace);
    if (agents) {
        cf_jsonw_duration(w, "agent_timeout", s->agent_timeout);
        cf_jsonw_duration(w, "agent_cleanup_interval", s->agent_cleanup_interval);
    }
    cf_jsonw_object_end(w);
}

void cf_calls_configure(struct cf_call *call)
{
    struct cf_settings *settings = &call->server->settings;
    int64_t timeout_ns = cf_call_duration_ns(call, "session_timeout", 0);
    int64_t interval_ns = cf_call_duration_ns(call, "cleanup_interval", 0);
    int64_t agent_timeout_ns = cf_call_duration_ns(call, "agent_timeout", 0);
    int64_t agent_interval_ns = cf_call_duration_ns(call, "agent_cleanup_interval", 0);
    bool enabled = cf_call_bool(call, "auto_cleanup_enabled", false);
    /* The document has the other three; who asks for more is shown more. */
    bool agents = cf_call_has(call, "agent_timeout") || cf_call_has(call, "agent_cleanup_interval");
    struct cf_sweep_change change = {
        .session_timeout_ns = cf_call_has(call, "session_timeout") ? &timeout_ns : NULL,
        .cleanup_interval_ns = cf_call_has(call, "cleanup_interval") ? &interval_ns : NULL,
        .agent_timeout_ns = cf_call_has(call, "agent_timeout") ? &agent_timeout_ns : NULL,
        .agent_cleanup_interval_ns = cf_call_has(call, "agent_cleanup_interval") ? &agent_interval_ns : NULL,
        .auto_cleanup_enabled = cf_call_has(call, "auto_cleanup_enabled") ? &enabled : NULL,
    };
    struct cf_settings old = *settings;
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "status", "updated");
    write_settings(w, "old_settings", settings, false, agents);
    cf_sweep_configure(call->server->sweep, &change);
    write_settings(w, "new_settings", settings, false, agents);
    cf_jsonw_str(w, "message", "Cleanup configuration updated successfully");
    cf_jsonw_object_end(w);
    cf_log(CF_LOG_INFO, "cleanup settings changed: session_timeout %.3f s, cleanup_interval %.3f s, auto_cleanup_enabled %s, "
           "agent_timeout %.3f s, agent_cleanup_interval %.3f s",
           (double)settings->session_timeout / 1e9, (double)settings->cleanup_interval / 1e9,
           settings->auto_cleanup_enabled ? "true" : "false", (double)settings->agent_timeout / 1e9,
           (double)settings->agent_cleanup_interval / 1e9);
    cf_calls_by(call);
    cf_ledger_audit_settings(call->server->ledger, &old, settings);
    cf_ledger_by(call->server->ledger, NULL);
    cf_call_reply(call, 200);
}

void cf_calls_start(struct cf_call *call)
{
    const struct cf_settings *settings = &call->server->settings;
    bool was_running = cf_sweep_running(call->server->sweep);
    cf_sweep_start(call->server->sweep);
    cf_calls_note(call, "cleanup_start", was_running ? "it was running already" : "");
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "status", "started");
    cf_jsonw_duration(w, "cleanup_interval", settings->cleanup_interval);
    cf_jsonw_duration(w, "session_timeout", settings->session_timeout);
    cf_jsonw_str(w, "message", was_running ? "Auto-cleanup task is running already" : "Auto-cleanup task started successfully");
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}

void cf_calls_stop(struct cf_call *call)
{
    bool was_running = cf_sweep_running(call->server->sweep);
    cf_sweep_stop(call->server->sweep);
    cf_calls_note(call, "cleanup_stop", was_running ? "" : "it was not running");
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "status", "stopped");
    cf_jsonw_str(w, "message", was_running ? "Auto-cleanup task stopped successfully" : "Auto-cleanup task was not running");
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}

struct tally {
    int64_t total, inactive, due;
    json_t *workspaces;                 /* a set: names as keys; NULL when there was no memory for it */
};

/* Sessions that start or end are in none of the counts. */
static bool counts(const struct cf_session *row)
{
    return row->state == CF_STATE_ACTIVE || row->state == CF_STATE_CLOSED || row->state == CF_STATE_FAILED;
}

static bool is_inactive(const struct cf_session *row, int64_t now_ns)
{
    return !row->busy && now_ns - row->last_used_ns > row->idle_ns;
}

static void write_pending(struct cf_call *call, struct cf_jsonw *w, struct tally *ret)
{
    size_t cursor = 0;
    cf_handle handle;
    struct cf_session row;
    struct cf_due due;
    cf_jsonw_array(w, "sessions_pending_cleanup");
    while (cf_core_next(call->server->core, &cursor, &handle)) {
        if (!cf_core_get(call->server->core, handle, call->now.mono_ns, &row) || !counts(&row))
            continue;
        ret->total++;
        if (json_object_get(ret->workspaces, row.workspace) == NULL)
            json_object_set_new(ret->workspaces, row.workspace, json_true());
        ret->inactive += is_inactive(&row, call->now.mono_ns);
        if (!cf_core_due_one(call->server->core, handle, call->now.mono_ns, &due))
            continue;
        ret->due++;
        cf_jsonw_object(w, NULL);
        cf_jsonw_str(w, "session_id", row.id);
        cf_jsonw_str(w, "workspace_name", row.workspace);
        cf_jsonw_seconds(w, "inactive_time", due.idle_for_ns);
        cf_jsonw_bool(w, "will_cleanup", true);
        cf_jsonw_object_end(w);
    }
    cf_jsonw_array_end(w);
}

static void write_counters(struct cf_jsonw *w, const struct cf_counts *c)
{
    cf_jsonw_object(w, "counters");
#define COUNTER(name, kind, unit, help) cf_jsonw_int(w, #name, (int64_t)c->name);
#include "tables/counters.def"
#undef COUNTER
    cf_jsonw_object_end(w);
}

void cf_calls_stats(struct cf_call *call)
{
    struct cf_server *server = call->server;
    struct tally tally = { .workspaces = json_object() };
    bool running = cf_sweep_running(server->sweep);
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    write_settings(w, "configuration", &server->settings, true, false);
    write_pending(call, w, &tally);
    cf_jsonw_object(w, "statistics");
    cf_jsonw_int(w, "total_sessions", tally.total);
    cf_jsonw_int(w, "active_sessions", tally.total - tally.inactive);
    cf_jsonw_int(w, "inactive_sessions", tally.inactive);
    cf_jsonw_int(w, "sessions_to_cleanup", tally.due);
    cf_jsonw_int(w, "workspaces_with_sessions", (int64_t)json_object_size(tally.workspaces));
    cf_jsonw_object_end(w);
    cf_jsonw_object(w, "auto_cleanup_task");
    cf_jsonw_bool(w, "running", running);
    cf_jsonw_str(w, "task_status", running ? "running" : "stopped");
    cf_jsonw_object_end(w);
    cf_ledger_count(server->ledger, cf_core_counts(server->core));
    write_counters(w, cf_core_counts(server->core));
    cf_calls_ledger(w, server->ledger);
    json_decref(tally.workspaces);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}

/* A cleanup that was asked for answers when everything it ended is gone. */
struct cleanup {
    struct cf_call *call;
    size_t waiting;
    size_t cleaned;
    struct cf_buf list;
    struct cf_jsonw json;
    int64_t session_timeout_ns;
};

static void finish_cleanup(struct cleanup *c)
{
    struct cf_call *call = c->call;
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_array_end(&c->json);
    cf_jsonw_object(w, NULL);
    cf_jsonw_int(w, "cleaned_sessions", (int64_t)c->cleaned);
    cf_jsonw_raw(w, "sessions", c->list.data, c->list.len);
    cf_jsonw_seconds(w, "cleanup_time", cf_clock_now().wall_ns);
    cf_jsonw_duration(w, "session_timeout", c->session_timeout_ns);
    cf_jsonw_object_end(w);
    cf_buf_free(&c->list);
    free(c);
    cf_call_reply(call, 200);
}

static void on_cleaned(void *arg, const struct cf_tomb *tomb)
{
    struct cleanup *c = arg;
    if (tomb != NULL) {
        c->cleaned++;
        cf_jsonw_object(&c->json, NULL);
        cf_jsonw_str(&c->json, "session_id", tomb->id);
        cf_jsonw_str(&c->json, "workspace_name", tomb->workspace);
        cf_jsonw_seconds(&c->json, "inactive_time", tomb->idle_for_ns);
        cf_jsonw_str(&c->json, "reason", tomb->reason == CF_REASON_IDLE ? "inactive" : cf_reason_name(tomb->reason));
        cf_jsonw_object_end(&c->json);
    }
    if (--c->waiting == 0)
        finish_cleanup(c);
}

void cf_calls_cleanup(struct cf_call *call)
{
    struct cf_server *server = call->server;
    struct cleanup *c = calloc(1, sizeof *c);
    if (c == NULL) {
        cf_call_fail_code(call, CF_E_NO_MEMORY, NULL, "out of memory");
        return;
    }
    c->call = call;
    c->session_timeout_ns = server->settings.session_timeout;
    cf_buf_init(&c->list, 64u << 20);
    cf_jsonw_init(&c->json, &c->list);
    cf_jsonw_array(&c->json, NULL);
    c->waiting = 1;                     /* ourselves, until all have been asked */
    cf_calls_note(call, "cleanup", "");
    cf_calls_by(call);
    c->waiting += cf_sweep_now(server->sweep, call->now, cf_call_duration_ns(call, "grace", server->settings.grace), on_cleaned, c);
    cf_ledger_by(server->ledger, NULL);
    if (--c->waiting == 0)
        finish_cleanup(c);
}
