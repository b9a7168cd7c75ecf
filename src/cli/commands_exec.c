/* exec and run: curfew stands in for a command. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/text.h"
#include "cli/job.h"
#include "cli/opts.h"
#include "cli/quote.h"
#include "cli/request.h"
#include "cli/result.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CREATE_PATIENCE_MS 5000             /* a create takes some ms; longer, and the server hangs */
#define LAST_WORDS_NS CF_NS_PER_S           /* for output that is still on its way when the session has ended */
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

/* Hands the result on and returns the exit status. */
static int pass_on(struct cf_job *job)
{
    struct cf_follow *f = &job->follow;
    const char *raw;
    size_t len;

    if (f->output_status)
        return f->output_status;
    if (!f->result)
        return f->plain ? cf_cli_fail_exchange(job->cli, &f->x) : cf_cli_fail(job->cli, &f->error);
    if (f->plain && (raw = cf_exchange_raw(&f->x, "data", &len))) {
        cf_buf_append(&job->cli->out, raw, len);
        cf_buf_putc(&job->cli->out, '\n');
    } else if (!job->signo) {           /* who has interrupted it knows */
        cf_result_notes(f->result);
    }
    return cf_result_status(f->result);
}

/* A command whose output nobody reads ends, as one would that writes to a broken pipe. */
static void exec_abandon(struct cf_job *job)
{
    if (!job->stopping)
        cf_job_stop(job);
    while (job->stop.running && job->signals < 2)
        cf_job_turn(job);
}

static int exec_left(const struct cf_job *job)
{
    if (job->follow.exec && !job->cli->json)
        fprintf(stderr, "curfew: command %" PRIu32 " of %s may still run; see: curfew execs %s\n", job->follow.exec,
                job->id, job->id);
    return CF_EXIT_OWN;
}

/* Our caller sees us die of the signal only when the command ended by it: one that ends in its own way at SIGINT has
 * its exit status passed on. */
static int exec_in(struct cf_cli *cli, const char *id, const char *command, int signal_fd, int *ret_signo)
{
    struct cf_job job;
    int status;

    cf_job_init(&job, cli, id, signal_fd);
    cf_job_start(&job, command);
    while (!job.follow.over && job.signals < 2)
        cf_job_turn(&job);
    status = job.follow.over ? pass_on(&job) : exec_left(&job);
    if (job.follow.output_status)
        exec_abandon(&job);
    if (job.signo && (!job.follow.result || cf_result_cancelled(job.follow.result) || cli->json))
        *ret_signo = job.signo;
    cf_job_free(&job);
    return status;
}

static int exec_detached(struct cf_cli *cli, const char *command)
{
    const struct cf_extra extra[] = {{.name = "command", .text = command}, {0}};
    struct cf_exchange x;
    int status = cf_cli_call_with(cli, CF_OP_exec, cli->words[0], 0, extra, &x);

    if (status == 0 && !cli->json)
        cf_buf_printf(&cli->out, "%" JSON_INTEGER_FORMAT "\n", json_integer_value(json_object_get(x.data, "exec")));
    cf_exchange_free(&x);
    return status;
}

/* From here on signals wait in a descriptor, so that none can come between a create and its end.  `body` gets it. */
static int with_signals(struct cf_cli *cli, const char *command,
                        int (*body)(struct cf_cli *cli, const char *command, int signal_fd, int *ret_signo))
{
    sigset_t ending, old;
    int status, signo = 0;
    CF_FD_AUTO signal_fd = -1;

    cf_signals_ending(&ending);
    signal_fd = cf_signals_take(&ending, &old);
    status = body(cli, command, signal_fd, &signo);
    if (signo)                          /* what main would do, were it reached */
        cf_cli_write(cli, STDOUT_FILENO, cli->out.data, cli->out.len);
    cf_signals_release(&old, signo);
    return status;
}

static int exec_attended(struct cf_cli *cli, const char *command, int signal_fd, int *ret_signo)
{
    return exec_in(cli, cli->words[0], command, signal_fd, ret_signo);
}

static int stand_in(struct cf_cli *cli, int at,
                    int (*body)(struct cf_cli *cli, const char *command, int signal_fd, int *ret_signo))
{
    struct cf_buf command;
    struct cf_error error;
    int status;

    cli->own_failures = true;
    if (command_make(cli, at, &command, &error) < 0)
        status = cf_cli_fail(cli, &error);
    else if ((status = cf_cli_connect(cli)) == 0)
        status = body ? with_signals(cli, command.data, body) : exec_detached(cli, command.data);
    cf_buf_free(&command);
    return status;
}

/* The plain answer comes when the command has ended, and its number with it. */
static int no_input(const struct cf_cli *cli)
{
    return cf_cli_usage(cli, "--json goes with --stdin, not with --input");
}

int cf_verb_exec(struct cf_cli *cli)
{
    bool detach = cf_cli_says(cli, CF_OP_exec, "detach");

    if (cli->json && !detach && cf_cli_says(cli, CF_OP_exec, "input"))
        return no_input(cli);
    return stand_in(cli, 1, detach ? NULL : exec_attended);
}

/* Until the session has ended; the command's last words come meanwhile. */
static void run_end(struct cf_job *job)
{
    int64_t until_ns;

    if (!job->stopping)
        cf_job_stop(job);
    job->follow.last = true;
    while (job->stop.running)
        cf_job_turn(job);
    if (job->stop.error.code < 0 && job->stop.error.code != CF_E_GONE)
        fprintf(stderr, "curfew: the session %s could not be ended: %s\n", job->id, job->stop.error.text);
    until_ns = cf_clock_now().mono_ns + LAST_WORDS_NS;
    job->tell_ns = until_ns;
    while (!job->follow.over && cf_clock_now().mono_ns < until_ns)
        cf_job_turn(job);
}

static int run_in(struct cf_cli *cli, const char *id, const char *command, int signal_fd, int *ret_signo)
{
    struct cf_job job;
    int status;

    cf_job_init(&job, cli, id, signal_fd);
    job.owns_session = true;
    cf_job_start(&job, command);
    while (!job.follow.over && !job.stopping)
        cf_job_turn(&job);
    status = job.follow.over ? pass_on(&job) : CF_EXIT_OWN;
    run_end(&job);
    *ret_signo = job.signo;
    cf_job_free(&job);
    return status;
}

/* The create is not given up at once at a signal: a session that nobody knows of would stay behind. */
static int run_create(struct cf_cli *cli, const char *command, int signal_fd, int *ret_signo)
{
    struct cf_exchange x;
    const char *id;
    int status;

    cf_request_make(cli, CF_OP_create, NULL, 0, NULL, &x);
    cf_client_perform_patiently(cli->client, &x, signal_fd, CREATE_PATIENCE_MS);
    if (x.http == 0)
        *ret_signo = cf_signals_read(signal_fd);
    id = json_string_value(json_object_get(x.data, "session_id"));
    if (x.error.code == 0 && !id)
        cf_error_set(&x.error, CF_E_INTERNAL, NULL, "the server's answer names no session");
    if (x.error.code < 0)
        status = cf_cli_fail_exchange(cli, &x);
    else if (cf_opts_own(cli, "keep")) {
        status = exec_in(cli, id, command, signal_fd, ret_signo);
        fprintf(stderr, "%s\n", id);
    } else {
        status = run_in(cli, id, command, signal_fd, ret_signo);
    }
    cf_exchange_free(&x);
    return status;
}

int cf_verb_run(struct cf_cli *cli)
{
    if (cli->json && cf_cli_says(cli, CF_OP_exec, "input"))
        return no_input(cli);
    return stand_in(cli, 0, run_create);
}
