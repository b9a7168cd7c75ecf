/* calls_agent.c: the paths of seed 001's clients, which name the session in the query: the same calls under other names (S1.7, S1.8). */
#include "server/archive.h"
#include "server/calls.h"
#include "server/sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Puts the session where the path would have had it.  One that has ended is not there any more, as the document has it: 404, with the tombstone,
 * but for output that is still kept.  False: answered. */
static bool take_id(struct cf_call *call)
{
    struct cf_server *server = call->server;
    const struct cf_tomb *tomb = NULL;
    struct cf_error error;
    cf_handle handle;
    snprintf(call->id, sizeof call->id, "%s", cf_call_text(call, "session_id", ""));
    int code = cf_sessions_find(server->sessions, call->id, call->now, &handle, &tomb, &error);
    if (code == 0 || (call->operation == CF_OP_api_output && cf_archive_find(server->archive, call->id) != NULL))
        return true;
    error.code = CF_E_NOT_FOUND;
    cf_calls_fail(call, &error, tomb);
    return false;
}

void cf_calls_api_start(struct cf_call *call)
{
    cf_calls_create(call);
}

void cf_calls_api_end(struct cf_call *call)
{
    if (take_id(call))
        cf_calls_end(call);
}

void cf_calls_api_heartbeat(struct cf_call *call)
{
    if (take_id(call))
        cf_calls_heartbeat(call);
}

void cf_calls_api_output(struct cf_call *call)
{
    if (take_id(call))
        cf_calls_output(call);
}

/* A message is a line; a raw body is taken as it is. */
void cf_calls_api_message(struct cf_call *call)
{
    const char *message = cf_call_text(call, "message", NULL);
    char *line = NULL;
    if (message != NULL && call->raw != NULL) {
        cf_call_fail_code(call, CF_E_INVALID, "message", "\"message\" and a raw body exclude each other");
        return;
    }
    if (message == NULL && call->raw == NULL && !cf_call_bool(call, "eof", false)) {
        cf_call_fail_code(call, CF_E_INVALID, "message", "\"message\" is required, or \"eof\", or a raw body");
        return;
    }
    if (!take_id(call))
        return;
    if (message != NULL && asprintf(&line, "%s\n", message) < 0) {
        cf_call_fail_code(call, CF_E_NO_MEMORY, NULL, "out of memory for the message");
        return;
    }
    if (line != NULL) {
        call->raw = line;
        call->raw_len = strlen(line);
    }
    cf_calls_input(call);
    free(line);                         /* it was copied, and the call may be gone */
}
