/* exec and run: curfew stands in for a command. */
#include "cli/cli.h"

#include "base/fd.h"
#include "base/text.h"
#include "cli/quote.h"
#include "cli/request.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define CREATE_PATIENCE_MS 5000             /* a create takes some ms; longer, and the server hangs */
#define COMMAND_BYTES ((size_t)268435456)   /* the most that max_command_bytes may be */

/* The words from `at` on as one bash text.  Text that JSON cannot carry unaltered is refused, not run altered. */
static int command_make(const struct cf_cli *cli, int at, struct cf_buf *ret, struct cf_error *error)
{
    const char *only = cli->words[at];

    cf_buf_init(ret, COMMAND_BYTES);
    if (cli->word_count - at > 1)
        cf_quote_words(ret, cli->words + at, cli->word_count - at);
    else if (!cf_text_is_utf8(only, strlen(only)))
        return cf_error_set(error, CF_E_INVALID, "command",
                            "the command is not UTF-8 text; give it as several words, or write the bytes as \\xNN");
    else
        cf_buf_puts(ret, only);
    if (ret->len == 0 || ret->failed)
        return cf_error_set(error, CF_E_INVALID, "command",
                            ret->failed ? "the command is too long" : "the command is empty");
    return 0;
}

static int exit_status(const struct cf_exchange *x)
{
    const json_t *code = json_object_get(x->data, "exit_code");

    if (json_is_true(json_object_get(x->data, "timed_out")))
        return CF_EXIT_TIMED_OUT;
    return json_is_integer(code) ? (int)(json_integer_value(code) & 0xff) : CF_EXIT_OWN;
}

static int stream_write(struct cf_cli *cli, const struct cf_exchange *x, const char *name, int fd)
{
    const json_t *text = json_object_get(x->data, name);

    return json_is_string(text) ? cf_cli_write(cli, fd, json_string_value(text), json_string_length(text)) : 0;
}

static void notes(const struct cf_exchange *x)
{
    const json_t *duration = json_object_get(x->data, "duration_ms");
    const char *words = json_string_value(json_object_get(x->data, "session_state"));

    if (json_is_true(json_object_get(x->data, "truncated")))
        fprintf(stderr, "curfew: the middle of the output was dropped: it had %" JSON_INTEGER_FORMAT
                " bytes on standard output and %" JSON_INTEGER_FORMAT " on standard error\n",
                json_integer_value(json_object_get(x->data, "stdout_bytes")),
                json_integer_value(json_object_get(x->data, "stderr_bytes")));
    if (json_is_true(json_object_get(x->data, "timed_out")))
        fprintf(stderr, "curfew: the command was interrupted at its timeout, after %.1f s\n",
                json_number_value(duration) / 1000);
    if (words && strcmp(words, "closed") != 0 && strcmp(words, "active") != 0)
        fprintf(stderr, "curfew: the session is %s now\n", words);
}

/* Hands the answer on and returns the exit status. */
static int pass_through(struct cf_cli *cli, const struct cf_exchange *x)
{
    size_t len;
    const char *raw;
    int failed;

    if (x->error.code < 0)
        return cf_cli_fail_exchange(cli, x);
    if (cli->json && (raw = cf_exchange_raw(x, "data", &len))) {
        cf_buf_append(&cli->out, raw, len);
        cf_buf_putc(&cli->out, '\n');
        return exit_status(x);
    }
    failed = stream_write(cli, x, "stdout", STDOUT_FILENO);
    if (!failed)
        failed = stream_write(cli, x, "stderr", STDERR_FILENO);
    notes(x);
    return failed ? failed : exit_status(x);
}

int cf_verb_exec(struct cf_cli *cli)
{
    struct cf_exchange x;
    struct cf_buf command;
    struct cf_error error;
    int status;

    cli->own_failures = true;
    if (command_make(cli, 1, &command, &error) < 0) {
        status = cf_cli_fail(cli, &error);
    } else if ((status = cf_cli_connect(cli)) == 0) {
        cf_request_make(cli, CF_OP_exec, cli->words[0], command.data, &x);
        cf_client_perform(cli->client, &x, 1, -1);
        status = pass_through(cli, &x);
        cf_exchange_free(&x);
    }
    cf_buf_free(&command);
    return status;
}

/* From here on these signals wait in a descriptor, so that none can come between a create and its end.  One that is
 * ignored (nohup, a shell's background job) stays ignored; blocked, it would be queued. */
static int signals_take(sigset_t *ret_old)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction now;
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (sigaction(ending[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(&set, ending[i]);
    if (sigprocmask(SIG_BLOCK, &set, ret_old) < 0)
        return -1;
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int signal_read(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

/* Ends the session.  A signal while it is on its grace shortens that to nothing. */
static void run_end(struct cf_cli *cli, const char *id, int signal_fd, int *signo)
{
    struct cf_exchange x;
    int again;

    cf_request_make(cli, CF_OP_end, id, NULL, &x);
    if (cf_client_perform(cli->client, &x, 1, signal_fd)) {
        again = signal_read(signal_fd);
        *signo = *signo ? *signo : again;
        cf_exchange_free(&x);
        cf_exchange_init(&x, CF_OP_end, id);
        cf_exchange_query(&x, "grace", "0");
        cf_client_perform(cli->client, &x, 1, -1);
    }
    if (x.error.code < 0 && x.error.code != CF_E_GONE)
        fprintf(stderr, "curfew: the session %s could not be ended: %s\n", id, x.error.text);
    cf_exchange_free(&x);
}

static int run_in(struct cf_cli *cli, const char *id, const char *command, int signal_fd, int *ret_signo)
{
    struct cf_exchange x;
    int status = CF_EXIT_OWN;

    cf_request_make(cli, CF_OP_exec, id, command, &x);
    if (cf_client_perform(cli->client, &x, 1, signal_fd))
        *ret_signo = signal_read(signal_fd);
    else
        status = pass_through(cli, &x);
    cf_exchange_free(&x);
    if (cli->keep)
        fprintf(stderr, "%s\n", id);
    else
        run_end(cli, id, signal_fd, ret_signo);
    return status;
}

/* The create is not given up at once at a signal: a session that nobody knows of would stay behind. */
static int run_create(struct cf_cli *cli, const char *command, int signal_fd, int *ret_signo)
{
    struct cf_exchange x;
    const char *id;
    int status;

    cf_request_make(cli, CF_OP_create, NULL, NULL, &x);
    cf_client_perform_patiently(cli->client, &x, signal_fd, CREATE_PATIENCE_MS);
    if (x.http == 0)
        *ret_signo = signal_read(signal_fd);
    id = json_string_value(json_object_get(x.data, "session_id"));
    if (x.error.code == 0 && !id)
        cf_error_set(&x.error, CF_E_INTERNAL, NULL, "the server's answer names no session");
    status = x.error.code < 0 ? cf_cli_fail_exchange(cli, &x) : run_in(cli, id, command, signal_fd, ret_signo);
    cf_exchange_free(&x);
    return status;
}

int cf_verb_run(struct cf_cli *cli)
{
    struct cf_buf command;
    struct cf_error error;
    sigset_t old;
    int status, signo = 0;
    CF_FD_AUTO signal_fd = -1;

    cli->own_failures = true;
    if (command_make(cli, 0, &command, &error) < 0) {
        status = cf_cli_fail(cli, &error);
    } else if ((status = cf_cli_connect(cli)) == 0) {
        signal_fd = signals_take(&old);
        status = run_create(cli, command.data, signal_fd, &signo);
        if (signo) {
            signal(signo, SIG_DFL);
            raise(signo);               /* comes when it is unblocked: the caller sees what ended us */
        }
        sigprocmask(SIG_SETMASK, &old, NULL);
    }
    cf_buf_free(&command);
    return status;
}
