/* calls_exec.c: run a command, and answer with what it printed, as it prints it, or at once. */
#include "server/calls.h"
#include "server/exec_json.h"
#include "server/sessions.h"
#include "server/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool write_stream(struct cf_jsonw *w, const char *key, const struct cf_call *call, const struct cf_exec *e, struct cf_buf *scratch)
{
    const struct cf_server *server = call->server;
    cf_handle handle;
    struct cf_journal *journal = cf_core_find(server->core, call->id, &handle) ? cf_sessions_journal(server->sessions, handle) : NULL;
    enum cf_stream stream;
    bool cut = false;
    cf_buf_reset(scratch);
    if (journal != NULL && cf_stream_named(key, &stream))
        cut = cf_journal_text(journal, e, stream, (size_t)server->settings.max_output_bytes, scratch);
    cf_jsonw_bytes(w, key, scratch->data != NULL ? scratch->data : "", scratch->len);
    return cut;
}

static void on_done(void *arg, const struct cf_exec_result *r)
{
    struct cf_call *call = arg;
    if (r->refused != NULL) {
        cf_call_fail(call, r->refused, NULL);
        return;
    }
    struct cf_jsonw *w = cf_call_data(call);
    struct cf_buf scratch;
    cf_buf_init(&scratch, (size_t)call->server->settings.max_output_bytes + 128);
    cf_jsonw_object(w, NULL);
    bool cut = write_stream(w, "stdout", call, r->exec, &scratch);
    cut = write_stream(w, "stderr", call, r->exec, &scratch) || cut;
    cf_jsonw_bool(w, "truncated", cut);
    cf_exec_result_json(r->exec, w);
    cf_jsonw_object_end(w);
    cf_buf_free(&scratch);
    cf_call_reply(call, 200);
}

static void on_lost(void *arg, const struct cf_tomb *tomb)
{
    struct cf_call *call = arg;
    struct cf_error error;
    cf_error_set(&error, CF_E_GONE, "session_id", "session %s ended while the command ran: %s", call->id,
                 tomb != NULL ? tomb->evidence : "no memory to remember why");
    cf_calls_fail(call, &error, tomb);
}

/* 409 says what is running and for how long; the field's size bounds what it quotes. */
static void explain_busy(struct cf_server *server, cf_handle handle, struct cf_now now, struct cf_error *error)
{
    const struct cf_exec *e = cf_sessions_running(server->sessions, handle);
    if (e != NULL)
        cf_error_set(error, CF_E_BUSY, NULL, "a command has been running in this session for %.3f s (exec %u): %.*s%s",
                     (double)(now.mono_ns - e->started_mono_ns) / 1e9, e->number, (int)(e->command_len < 120 ? e->command_len : 120), e->command,
                     e->command_len > 120 ? "…" : "");
}

/* The texts of a request; `decoded` is owned. */
static int read_spec(const struct cf_call *call, struct cf_exec_spec *spec, char **decoded, struct cf_error *error)
{
    const struct cf_settings *settings = &call->server->settings;
    const char *base64 = cf_call_text(call, "stdin_base64", NULL);
    bool detach = cf_call_bool(call, "detach", false);
    *decoded = NULL;
    *spec = (struct cf_exec_spec){ .text = cf_call_text(call, "command", ""), .input = cf_call_text(call, "stdin", NULL),
                                   .timeout_ns = cf_call_duration_ns(call, "timeout", 0), .input_open = cf_call_bool(call, "input", false) };
    spec->len = strlen(spec->text);
    spec->input_len = spec->input != NULL ? strlen(spec->input) : 0;
    if (spec->timeout_ns == 0 && !detach)
        spec->timeout_ns = settings->exec_timeout;
    if ((int64_t)spec->len > settings->max_command_bytes)
        return cf_error_set(error, CF_E_TOO_LARGE, "command", "\"command\" must be 1 to %lld bytes, which is max_command_bytes; this is %zu",
                            (long long)settings->max_command_bytes, spec->len);
    if (detach && cf_call_bool(call, "stream", false))
        return cf_error_set(error, CF_E_INVALID, "detach", "\"detach\" and \"stream\" exclude each other");
    if (base64 == NULL)
        return 0;
    if (spec->input != NULL)
        return cf_error_set(error, CF_E_INVALID, "stdin_base64", "\"stdin\" and \"stdin_base64\" exclude each other");
    spec->input = *decoded = cf_base64_decode(base64, strlen(base64), &spec->input_len);
    if (*decoded == NULL)
        return errno == ENOMEM ? cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the command's input")
                               : cf_error_set(error, CF_E_INVALID, "stdin_base64", "\"stdin_base64\" is not base64");
    return 0;
}

static void answer_detached(struct cf_call *call, const struct cf_exec *e)
{
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "session_id", call->id);
    cf_jsonw_int(w, "exec", e->number);
    cf_jsonw_str(w, "state", e->ended ? "ended" : "running");
    cf_jsonw_object_end(w);
    cf_call_reply(call, 202);
}

static int run(struct cf_call *call, const struct cf_exec_spec *spec, const struct cf_tomb **ret_tomb, struct cf_error *error)
{
    static const struct cf_exec_events events = { .done = on_done, .lost = on_lost };
    struct cf_server *server = call->server;
    struct cf_exec *e;
    cf_handle handle = 0;
    bool detach = cf_call_bool(call, "detach", false), stream = cf_call_bool(call, "stream", false);
    int code = cf_sessions_find(server->sessions, call->id, call->now, &handle, ret_tomb, error);
    if (code == 0)
        code = cf_sessions_exec(server->sessions, handle, spec, call->now, detach || stream ? NULL : &events, call, &e, error);
    if (code == CF_E_BUSY)
        explain_busy(server, handle, call->now, error);
    if (code != 0)
        return code;
    if (detach) {
        answer_detached(call, e);
    } else if (stream) {
        const struct cf_stream_spec how = { .exec = e, .limit = UINT64_MAX, .follow = true, .holds = true };
        cf_stream_answer(call, cf_sessions_journal(server->sessions, handle), &how);
    }
    return 0;
}

void cf_calls_exec(struct cf_call *call)
{
    const struct cf_tomb *tomb = NULL;
    struct cf_error error = { 0 };
    struct cf_exec_spec spec;
    char *decoded;
    int code = read_spec(call, &spec, &decoded, &error);
    if (code == 0)
        code = run(call, &spec, &tomb, &error);
    free(decoded);
    if (code != 0)
        cf_calls_fail(call, &error, tomb);
}
