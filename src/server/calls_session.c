/* calls_session.c: create, list, show, end, heartbeat. */
#include "server/calls.h"
#include "server/ledger.h"
#include "server/sessions.h"
#include "server/sweep.h"

#include <string.h>

static void on_created(void *arg, cf_handle handle, const struct cf_error *error)
{
    struct cf_call *call = arg;
    if (error != NULL) {
        cf_call_fail(call, error, NULL);
        return;
    }
    cf_sweep_wake(call->server->sweep);
    if (call->abandoned) {
        cf_sessions_end(call->server->sessions, handle, CF_REASON_REQUESTED,
                        "the client left before it learned the session's id", 0);
        cf_call_fail_code(call, CF_E_UNAVAILABLE, NULL, "the client left");
        return;
    }
    struct cf_jsonw *w;
    struct cf_session row;
    if (call->operation == CF_OP_api_start && cf_core_get(call->server->core, handle, call->now.mono_ns, &row))
        w = cf_call_data_of(call, row.id);
    else
        w = cf_call_data(call);
    (void)cf_sessions_json(call->server->sessions, handle, cf_clock_now(), w, NULL);
    cf_call_reply(call, 201);
}

/* What the agent's table says where the request says nothing. */
static int take_agent(struct cf_call *call, struct cf_create *what, struct cf_error *error)
{
    const struct cf_server *server = call->server;
    const char *name = cf_call_text(call, "agent", server->settings.agent);
    char names[256];
    what->agent = cf_agents_find(server->agents, name);
    if (what->agent == NULL)
        return cf_error_set(error, CF_E_NOT_FOUND, "agent", "there is no agent \"%.64s\"; there are %s", name,
                            cf_agents_names(server->agents, names, sizeof names));
    if (what->cols > 0)
        return cf_error_set(error, CF_E_INVALID, "terminal", "\"terminal\" is not for kind agent, which has pipes");
    what->kind = CF_KIND_AGENT;
    if (what->agent->workspace != NULL)
        what->workspace = cf_call_text(call, "workspace", what->agent->workspace);
    if (what->cwd == NULL)
        what->cwd = what->agent->cwd;
    if (what->idle_ns == 0)
        what->idle_ns = what->agent->idle_ns;
    if (what->age_ns == 0)
        what->age_ns = what->agent->age_ns;
    return 0;
}

static int take_kind(struct cf_call *call, struct cf_create *what, struct cf_error *error)
{
    const char *kind = cf_call_text(call, "kind", cf_kind_name(call->operation == CF_OP_api_start ? CF_KIND_AGENT : CF_KIND_BASH));
    if (strcmp(kind, cf_kind_name(CF_KIND_AGENT)) == 0)
        return take_agent(call, what, error);
    if (strcmp(kind, cf_kind_name(CF_KIND_BASH)) != 0)
        return cf_error_set(error, CF_E_INVALID, "kind", "\"kind\" must be bash or agent");
    if (cf_call_has(call, "agent"))
        return cf_error_set(error, CF_E_INVALID, "agent", "\"agent\" is for kind agent only");
    return 0;
}

void cf_calls_create(struct cf_call *call)
{
    struct cf_error error;
    struct cf_create what = {
        .kind = CF_KIND_BASH,
        .workspace = cf_call_text(call, "workspace", "default"),
        .cwd = cf_call_text(call, "cwd", NULL),
        .env = json_object_get(call->params, "env"),
        .idle_ns = cf_call_duration_ns(call, "idle_timeout", 0),
        .age_ns = cf_call_duration_ns(call, "max_age", 0),
    };
    (void)cf_call_screen(call, "terminal", &what.cols, &what.rows);
    if (take_kind(call, &what, &error) != 0) {
        cf_call_fail(call, &error, NULL);
        return;
    }
    cf_sessions_create(call->server->sessions, &what, call->now, on_created, call);
}

void cf_calls_list(struct cf_call *call)
{
    struct cf_jsonw *w = cf_call_data(call);
    size_t cursor = 0;
    cf_handle handle;
    cf_jsonw_object(w, NULL);
    cf_jsonw_array(w, "sessions");
    while (cf_core_next(call->server->core, &cursor, &handle))
        (void)cf_sessions_json(call->server->sessions, handle, call->now, w, NULL);
    cf_jsonw_array_end(w);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}

void cf_calls_show(struct cf_call *call)
{
    cf_handle handle;
    if (!cf_calls_find(call, &handle))
        return;
    (void)cf_sessions_json(call->server->sessions, handle, call->now, cf_call_data(call), NULL);
    cf_call_reply(call, 200);
}

static void on_gone(void *arg, const struct cf_tomb *tomb)
{
    struct cf_call *call = arg;
    struct cf_jsonw *w = cf_call_data(call);
    if (tomb != NULL)
        cf_tomb_json(tomb, w, NULL);
    else
        cf_jsonw_null(w, NULL);         /* ended, but there was no memory to remember it */
    cf_call_reply(call, 200);
}

void cf_calls_end(struct cf_call *call)
{
    cf_handle handle;
    struct cf_error error;
    int64_t grace_ns = cf_call_duration_ns(call, "grace", call->server->settings.grace);
    if (!cf_calls_find(call, &handle))
        return;
    if (cf_sessions_wait(call->server->sessions, handle, on_gone, call, &error) != 0) {
        cf_call_fail(call, &error, NULL);
        return;
    }
    cf_calls_by(call);
    cf_sessions_end(call->server->sessions, handle, CF_REASON_REQUESTED, "a caller asked for it", grace_ns);
    cf_ledger_by(call->server->ledger, NULL);
}

void cf_calls_heartbeat(struct cf_call *call)
{
    cf_handle handle;
    struct cf_session row;
    if (!cf_calls_find(call, &handle))
        return;
    (void)cf_sessions_touch(call->server->sessions, handle, call->now.mono_ns, CF_USE_HEARTBEAT);
    (void)cf_core_get(call->server->core, handle, call->now.mono_ns, &row);
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "session_id", row.id);
    cf_jsonw_str(w, "state", cf_state_name(row.state));
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}
