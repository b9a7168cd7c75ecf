/* calls_exec.c: run a command and answer with what it printed. */
#include "server/calls.h"
#include "server/sessions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

/* A command that heeded the SIGINT of its session's end has a result of its own, but no session for another. */
static const char *session_state(const struct cf_call *call, const struct cf_exec_result *r)
{
    struct cf_core *core = call->server->core;
    struct cf_session row;
    cf_handle handle;
    if (r->wedged)
        return "failed";
    if (!r->shell_left && cf_core_find(core, call->id, &handle) && cf_core_get(core, handle, 0, &row))
        return cf_state_name(row.state);
    if (!r->shell_left)
        return "active";
    return WIFEXITED(r->wait_status) ? "closed" : "failed";
}

static void write_stream(struct cf_jsonw *w, const char *key, const struct cf_capture *c, struct cf_buf *scratch)
{
    cf_buf_reset(scratch);
    cf_capture_text(c, scratch);
    cf_jsonw_bytes(w, key, scratch->data ? scratch->data : "", scratch->len);
}

static void on_done(void *arg, const struct cf_exec_result *r)
{
    struct cf_call *call = arg;
    struct cf_jsonw *w = cf_call_data(call);
    struct cf_buf scratch;
    cf_buf_init(&scratch, r->out->max_bytes + 128);
    cf_jsonw_object(w, NULL);
    write_stream(w, "stdout", r->out, &scratch);
    write_stream(w, "stderr", r->err, &scratch);
    cf_jsonw_int(w, "exit_code", r->exit_code);
    cf_jsonw_double(w, "duration_ms", (double)(r->duration_ns / 1000) / 1000.0);
    cf_jsonw_str(w, "cwd", r->cwd);
    cf_jsonw_bool(w, "truncated", cf_capture_cut(r->out) || cf_capture_cut(r->err));
    cf_jsonw_bool(w, "timed_out", r->timed_out);
    cf_jsonw_int(w, "stdout_bytes", (int64_t)r->out->total_bytes);
    cf_jsonw_int(w, "stderr_bytes", (int64_t)r->err->total_bytes);
    cf_jsonw_str(w, "session_state", session_state(call, r));
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
    size_t len;
    int64_t since_ns;
    const char *command = cf_sessions_command(server->sessions, handle, &len, &since_ns);
    if (command != NULL)
        cf_error_set(error, CF_E_BUSY, NULL, "a command has been running in this session for %.3f s: %.*s%s",
                     (double)(now.mono_ns - since_ns) / 1e9, (int)(len < 120 ? len : 120), command, len > 120 ? "…" : "");
}

void cf_calls_exec(struct cf_call *call)
{
    static const struct cf_exec_events events = { .done = on_done, .lost = on_lost };
    struct cf_server *server = call->server;
    const struct cf_tomb *tomb = NULL;
    struct cf_error error = { 0 };
    cf_handle handle = 0;
    const char *command = cf_call_text(call, "command", "");
    int64_t timeout_ns = cf_call_duration_ns(call, "timeout", 0);
    size_t len = strlen(command);
    int code;
    if ((int64_t)len > server->settings.max_command_bytes)
        code = cf_error_set(&error, CF_E_TOO_LARGE, "command", "\"command\" must be 1 to %lld bytes",
                            (long long)server->settings.max_command_bytes);
    else if ((code = cf_sessions_find(server->sessions, call->id, call->now, &handle, &tomb, &error)) == 0)
        code = cf_sessions_exec(server->sessions, handle, command, len, timeout_ns > 0 ? timeout_ns : server->settings.exec_timeout,
                                call->now, &events, call, &error);
    if (code == 0)
        return;
    if (code == CF_E_BUSY)
        explain_busy(server, handle, call->now, &error);
    cf_calls_fail(call, &error, tomb);
}
