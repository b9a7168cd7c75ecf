/* calls.c: shared by the handlers. */
#include "server/calls.h"

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
