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
    (void)cf_sessions_json(call->server->sessions, handle, cf_clock_now(), cf_call_data(call), NULL);
    cf_call_reply(call, 201);
}

void cf_calls_create(struct cf_call *call)
{
    const char *kind = cf_call_text(call, "kind", cf_kind_name(CF_KIND_BASH));
    struct cf_create what = {
        .kind = CF_KIND_BASH,
        .workspace = cf_call_text(call, "workspace", "default"),
        .cwd = cf_call_text(call, "cwd", NULL),
        .env = json_object_get(call->params, "env"),
        .idle_ns = cf_call_duration_ns(call, "idle_timeout", 0),
        .age_ns = cf_call_duration_ns(call, "max_age", 0),
    };
    (void)cf_call_screen(call, "terminal", &what.cols, &what.rows);
    if (strcmp(kind, cf_kind_name(CF_KIND_BASH)) != 0) {
        cf_call_fail_code(call, CF_E_INVALID, "kind", "\"kind\" must be bash");
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
    (void)cf_sessions_touch(call->server->sessions, handle, call->now.mono_ns, CF_TOUCH_HEARTBEAT);
    (void)cf_core_get(call->server->core, handle, call->now.mono_ns, &row);
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "session_id", row.id);
    cf_jsonw_str(w, "state", cf_state_name(row.state));
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}
