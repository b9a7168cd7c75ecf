/* calls_input.c: what reaches a running command: input, signals, its end. */
#include "server/calls.h"
#include "server/exec_json.h"
#include "server/sessions.h"
#include "server/wait.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shell of the session that the path names; NULL and an answer when there is none. */
static struct cf_shell *find_shell(struct cf_call *call, cf_handle *ret_handle)
{
    struct cf_sessions *sessions = call->server->sessions;
    const struct cf_tomb *tomb = NULL;
    struct cf_error error;
    struct cf_shell *shell = NULL;
    int code = cf_sessions_find(sessions, call->id, call->now, ret_handle, &tomb, &error);
    if (code == 0)
        shell = cf_sessions_shell(sessions, *ret_handle, &error);
    if (shell == NULL)
        cf_calls_fail(call, &error, tomb);
    return shell;
}

/* ---- input ---- */

/* The bytes of a request; `decoded` is owned. */
static int read_input(struct cf_call *call, struct cf_input *input, char **decoded, struct cf_error *error)
{
    const char *text = cf_call_text(call, "text", NULL), *base64 = cf_call_text(call, "base64", NULL);
    *decoded = NULL;
    *input = (struct cf_input){ .eof = cf_call_bool(call, "eof", false), .seq = (uint64_t)cf_call_int(call, "seq", 0),
                                .of_command = cf_call_has(call, "exec") };
    if ((text != NULL) + (base64 != NULL) + (call->raw != NULL) > 1)
        return cf_error_set(error, CF_E_INVALID, text != NULL ? "text" : "base64", "\"text\", \"base64\" and a raw body exclude each other");
    if (text == NULL && base64 == NULL && call->raw == NULL && !input->eof)
        return cf_error_set(error, CF_E_INVALID, "text", "one of \"text\", \"base64\", \"eof\" or a raw body is needed");
    input->data = text != NULL ? text : call->raw;
    input->len = text != NULL ? strlen(text) : call->raw_len;
    if (base64 == NULL)
        return 0;
    input->data = *decoded = cf_base64_decode(base64, strlen(base64), &input->len);
    if (*decoded == NULL)
        return errno == ENOMEM ? cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the input")
                               : cf_error_set(error, CF_E_INVALID, "base64", "\"base64\" is not base64");
    return 0;
}

static int check_running(struct cf_call *call, const struct cf_shell *shell, struct cf_error *error)
{
    uint32_t wanted = (uint32_t)cf_call_int(call, "exec", 0);
    const struct cf_exec *e = cf_shell_running(shell);
    if (wanted == 0 || (e != NULL && e->number == wanted))
        return 0;
    return cf_error_set(error, CF_E_NOT_READING, "exec", "command %u is not running", wanted);
}

void cf_calls_input(struct cf_call *call)
{
    struct cf_error error;
    struct cf_input input;
    bool repeated = false, open = false;
    char *decoded;
    cf_handle handle;
    struct cf_shell *shell = find_shell(call, &handle);
    if (shell == NULL)
        return;
    int code = read_input(call, &input, &decoded, &error);
    if (code == 0)
        code = check_running(call, shell, &error);
    if (code == 0)
        code = cf_shell_input(shell, &input, &repeated, &open, &error);
    free(decoded);
    if (code != 0) {
        cf_call_fail(call, &error, NULL);
        return;
    }
    /* To an agent what is written is a message; to others it belongs to a command, which was counted. */
    bool message = cf_journal_of_program(cf_shell_journal(shell)) && !repeated;
    (void)cf_sessions_touch(call->server->sessions, handle, call->now.mono_ns, message ? CF_USE_MESSAGE : CF_USE_INPUT);
    const struct cf_exec *e = cf_shell_running(shell);
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "session_id", call->id);
    if (e != NULL)
        cf_jsonw_int(w, "exec", e->number);
    else
        cf_jsonw_null(w, "exec");
    cf_jsonw_int(w, "accepted", repeated ? 0 : (int64_t)input.len);
    cf_jsonw_bool(w, "duplicate", repeated);
    cf_jsonw_bool(w, "open", open);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}

/* ---- signals ---- */

/* "INT", "SIGINT", "sigint" or "2"; 0 when it is none. */
static int signal_named(const char *text)
{
    if (isdigit((unsigned char)text[0])) {
        char *end;
        long number = strtol(text, &end, 10);
        return *end == '\0' && number >= 1 && number < NSIG && sigabbrev_np((int)number) != NULL ? (int)number : 0;
    }
    if (strncasecmp(text, "SIG", 3) == 0)
        text += 3;
    for (int i = 1; i < NSIG; i++)
        if (sigabbrev_np(i) != NULL && strcasecmp(text, sigabbrev_np(i)) == 0)
            return i;
    return 0;
}

void cf_calls_signal(struct cf_call *call)
{
    struct cf_error error;
    cf_handle handle;
    const char *name = cf_call_text(call, "signal", "");
    int signo = signal_named(name);
    struct cf_shell *shell = find_shell(call, &handle);
    if (shell == NULL)
        return;
    if (signo == 0) {
        cf_call_fail_code(call, CF_E_INVALID, "signal", "\"signal\" must be a name such as INT or SIGTERM, or a number from 1 to 31, not \"%.32s\"", name);
        return;
    }
    const struct cf_exec *e = cf_shell_running(shell);
    if (cf_shell_signal(shell, signo, &error) != 0) {
        cf_call_fail(call, &error, NULL);
        return;
    }
    (void)cf_sessions_touch(call->server->sessions, handle, call->now.mono_ns, CF_USE_SIGNAL);
    char full[24];
    snprintf(full, sizeof full, "SIG%s", sigabbrev_np(signo));
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    if (e != NULL)
        cf_jsonw_int(w, "exec", e->number);
    else
        cf_jsonw_null(w, "exec");
    cf_jsonw_str(w, "signal", full);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}

/* ---- cancelling ---- */

struct cancel {
    struct cf_call *call;
    struct cf_exec *exec;               /* pinned */
    struct cf_journal *journal;
};

/* The ladder is bounded, and so is the session's end, so no wait is too long. */
#define CANCEL_MOST_NS (INT64_C(86400) * CF_NS_PER_S)

static bool on_news(void *arg, bool last)
{
    struct cancel *c = arg;
    if (!c->exec->ended && !last)
        return false;
    struct cf_jsonw *w = cf_call_data(c->call);
    cf_jsonw_object(w, NULL);
    cf_exec_json(c->exec, cf_clock_now().mono_ns, w);
    cf_jsonw_object_end(w);
    cf_call_reply(c->call, 200);
    c->exec->pins--;
    cf_journal_unref(&c->journal);
    free(c);
    return true;
}

void cf_calls_exec_cancel(struct cf_call *call)
{
    struct cf_server *server = call->server;
    struct cancel *c = NULL;
    cf_handle handle;
    struct cf_shell *shell = find_shell(call, &handle);
    if (shell == NULL)
        return;
    struct cf_exec *e = cf_journal_find(cf_shell_journal(shell), call->number);
    if (e == NULL) {
        cf_call_fail_code(call, CF_E_NOT_FOUND, "exec", "there is no command %u in this session, or its record is not kept any more", call->number);
        return;
    }
    if ((c = malloc(sizeof *c)) == NULL) {
        cf_call_fail_code(call, CF_E_NO_MEMORY, NULL, "out of memory");
        return;
    }
    *c = (struct cancel){ .call = call, .exec = e, .journal = cf_journal_ref(cf_shell_journal(shell)) };
    e->pins++;
    if (e == cf_shell_running(shell))
        cf_shell_cancel(shell);
    (void)cf_sessions_touch(server->sessions, handle, call->now.mono_ns, CF_USE_SIGNAL);
    if (cf_wait(server->loop, c->journal, CANCEL_MOST_NS, on_news, c) == 0)
        return;
    e->pins--;
    cf_journal_unref(&c->journal);
    free(c);
    cf_call_fail_code(call, CF_E_NO_MEMORY, NULL, "out of memory; the command is being ended");
}
