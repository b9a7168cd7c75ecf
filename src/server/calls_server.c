/* calls_server.c: what is asked of the server itself. */
#include "server/call.h"
#include "server/server.h"

void cf_calls_healthz(struct cf_call *call)
{
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_bool(w, "healthy", !call->server->shutting_down);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}

void cf_calls_version(struct cf_call *call)
{
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "version", CURFEW_VERSION);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}
