/* calls_server.c: what is asked of the server itself. */
#include "server/call.h"
#include "server/server.h"

#include <unistd.h>

void cf_calls_healthz(struct cf_call *call)
{
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_bool(w, "healthy", !call->server->shutting_down);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}

/* What the CLI waits for after an upgrade: another pid, and whether that was what it wanted. */
void cf_calls_server(struct cf_call *call)
{
    static const char *const outcomes[] = { [CF_UPGRADE_NONE] = NULL, [CF_UPGRADE_DONE] = "done", [CF_UPGRADE_UNDONE] = "undone" };
    const struct cf_wire_welcome *welcome = cf_link_welcome(call->server->link);
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "version", CURFEW_VERSION);
    cf_jsonw_int(w, "pid", getpid());
    cf_jsonw_int(w, "keeper_pid", welcome->keeper_pid);
    cf_jsonw_int(w, "servers", (int64_t)welcome->servers + 1);
    cf_jsonw_seconds(w, "started_at", call->server->metrics.started_wall_ns);
    cf_jsonw_bool(w, "leaving", call->server->leave_until_ns > 0);
    cf_jsonw_str(w, "upgrade", welcome->upgrade <= CF_UPGRADE_UNDONE ? outcomes[welcome->upgrade] : NULL);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}

void cf_calls_upgrade(struct cf_call *call)
{
    if (call->server->shutting_down) {
        cf_call_fail_code(call, CF_E_SHUTTING_DOWN, NULL, "the server is shutting down");
        return;
    }
    cf_link_upgrade(call->server->link);
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "state", "upgrading");
    cf_jsonw_int(w, "pid", getpid());
    cf_jsonw_object_end(w);
    cf_call_reply(call, 202);
}

void cf_calls_version(struct cf_call *call)
{
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "version", CURFEW_VERSION);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}
