/* calls_terminal.c: a session's terminal: its viewers and its size. */
#include "server/attach.h"
#include "server/calls.h"
#include "server/sessions.h"

void cf_calls_attach(struct cf_call *call)
{
    cf_handle handle;
    if (!cf_calls_find(call, &handle))
        return;
    struct cf_viewers *viewers = cf_sessions_viewers(call->server->sessions, handle);
    if (cf_call_has(call, "cols") != cf_call_has(call, "rows"))
        cf_call_fail_code(call, CF_E_INVALID, "cols", "\"cols\" and \"rows\" go together");
    else if (viewers == NULL)
        cf_call_fail_code(call, CF_E_NOT_READY, NULL, "the session has no terminal; create one with \"terminal\"");
    else
        cf_viewers_add(viewers, call);
}

void cf_calls_resize(struct cf_call *call)
{
    struct cf_error error;
    cf_handle handle;
    unsigned cols = (unsigned)cf_call_int(call, "cols", 0), rows = (unsigned)cf_call_int(call, "rows", 0);
    if (!cf_calls_find(call, &handle))
        return;
    if (cf_sessions_resize(call->server->sessions, handle, cols, rows, &error) != 0) {
        cf_call_fail(call, &error, NULL);
        return;
    }
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "session_id", call->id);
    cf_jsonw_int(w, "cols", cols);
    cf_jsonw_int(w, "rows", rows);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}
