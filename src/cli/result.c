#include "cli/result.h"

#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

static bool is(const json_t *result, const char *name)
{
    return json_is_true(json_object_get(result, name));
}

int cf_result_status(const json_t *result)
{
    const json_t *code = json_object_get(result, "exit_code");

    if (is(result, "timed_out"))
        return CF_EXIT_TIMED_OUT;
    return json_is_integer(code) ? (int)(json_integer_value(code) & 0xff) : CF_EXIT_OWN;
}

bool cf_result_cancelled(const json_t *result)
{
    return is(result, "cancelled");
}

void cf_result_notes(const json_t *result)
{
    const json_t *duration = json_object_get(result, "duration_ms");
    const char *state = json_string_value(json_object_get(result, "session_state"));

    if (is(result, "timed_out"))
        fprintf(stderr, "curfew: the command was interrupted at its timeout, after %.1f s\n",
                json_number_value(duration) / 1000);
    else if (is(result, "cancelled"))
        fprintf(stderr, "curfew: the command was cancelled after %.1f s\n", json_number_value(duration) / 1000);
    if (state && strcmp(state, "closed") != 0 && strcmp(state, "active") != 0)
        fprintf(stderr, "curfew: the session is %s now\n", state);
}
