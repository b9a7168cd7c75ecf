/* calls.c: shared by the handlers. */
#include "server/calls.h"

#include "server/sessions.h"

/* A tombstone's parts are bounded: the rest of it, and six bytes for each of its last output at worst. */
#define TOMB_JSON_MAX (4096 + 6 * CF_LAST_OUTPUT_MAX)

void cf_calls_fail(struct cf_call *call, const struct cf_error *error, const struct cf_tomb *tomb)
{
    struct cf_buf text;
    struct cf_jsonw w;
    cf_buf_init(&text, TOMB_JSON_MAX);
    cf_jsonw_init(&w, &text);
    if (tomb != NULL)
        cf_tomb_json(tomb, &w, NULL);
    cf_call_fail(call, error, tomb != NULL && !text.failed ? &text : NULL);
    cf_buf_free(&text);
}

bool cf_calls_find(struct cf_call *call, cf_handle *ret_handle)
{
    const struct cf_tomb *tomb = NULL;
    struct cf_error error;
    int code = cf_sessions_find(call->server->sessions, call->id, call->now, ret_handle, &tomb, &error);
    if (code != 0)
        cf_calls_fail(call, &error, tomb);
    return code == 0;
}
