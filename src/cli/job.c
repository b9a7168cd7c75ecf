#include "cli/job.h"

#include "base/clock.h"
#include "cli/request.h"
#include "cli/signals.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TELL_NS (1 * CF_NS_PER_S)

void cf_job_init(struct cf_job *job, struct cf_cli *cli, const char *id, int signal_fd)
{
    memset(job, 0, sizeof *job);
    job->cli = cli;
    job->id = id;
    job->signal_fd = signal_fd;
    cf_follow_init(&job->follow, cli, id);
    job->follow.split = true;
    job->follow.plain = cli->json;
    job->feeds = cf_cli_says(cli, CF_OP_exec, "input");
}

void cf_job_free(struct cf_job *job)
{
    cf_follow_free(&job->follow);
    cf_feed_free(&job->feed);
    if (job->cli->client)
        cf_client_stop(job->cli->client, &job->stop);
    cf_exchange_free(&job->stop);
}

void cf_job_start(struct cf_job *job, const char *command)
{
    const struct cf_extra streamed[] = {{.name = "command", .text = command}, {.name = "stream", .yes = true}, {0}};
    const struct cf_extra plain[] = {{.name = "command", .text = command}, {0}};

    cf_request_make(job->cli, CF_OP_exec, job->id, 0, job->follow.plain ? plain : streamed, &job->follow.x);
    cf_follow_start(&job->follow);
}

static void stop_send(struct cf_job *job)
{
    job->stopping = true;
    cf_client_start(job->cli->client, &job->stop);
}

/* A plain answer tells the command's number only at its end; but no session runs two at a time, so it is ours that gets
 * the signal. */
void cf_job_stop(struct cf_job *job)
{
    static const struct cf_extra interrupt[] = {{.name = "signal", .text = "INT"}, {0}};

    if (job->owns_session)
        cf_request_make(job->cli, CF_OP_end, job->id, 0, NULL, &job->stop);
    else if (job->follow.exec)
        cf_request_make(job->cli, CF_OP_exec_cancel, job->id, job->follow.exec, NULL, &job->stop);
    else if (job->follow.plain)
        cf_request_make(job->cli, CF_OP_signal, job->id, 0, interrupt, &job->stop);
    else
        return;
    stop_send(job);
}

/* A signal while the session is on its grace shortens that to nothing. */
static void stop_at_once(struct cf_job *job)
{
    cf_client_stop(job->cli->client, &job->stop);
    cf_exchange_free(&job->stop);
    cf_exchange_init(&job->stop, CF_OP_end, job->id, 0);
    cf_exchange_query(&job->stop, "grace", "0");
    job->at_once = true;
    stop_send(job);
}

static void on_signal(struct cf_job *job, int signo, int64_t now_ns)
{
    if (signo == 0)
        return;
    if (job->signals++ == 0) {
        job->signo = signo;
        job->tell_ns = now_ns + TELL_NS;
    }
    if (job->owns_session && job->stopping && !job->at_once)
        stop_at_once(job);
}

static void tell(struct cf_job *job)
{
    job->tell_ns = 0;
    if (!job->owns_session && !job->cli->json)
        fputs("curfew: waiting for the command to end; interrupt once more to leave it\n", stderr);
}

static void feed_turn(struct cf_job *job, const struct cf_loop *loop)
{
    const struct cf_error *error = &job->feed.error;

    if (job->feeds && !job->feed.cli && job->follow.exec)
        cf_feed_begin(&job->feed, job->cli, job->id, job->follow.exec, STDIN_FILENO, 1, true);
    cf_feed_turn(&job->feed, loop);
    if (job->feed_told || error->code == 0)
        return;
    job->feed_told = true;
    /* A command that has ended or does not read on is nothing to speak of. */
    if (error->code != CF_E_NOT_READING && error->code != CF_E_NOT_FOUND && error->code != CF_E_GONE)
        fprintf(stderr, "curfew: standard input was passed on up to byte %" PRId64 " only: %s\n", job->feed.taken,
                error->text);
}

void cf_job_turn(struct cf_job *job)
{
    struct cf_loop loop;

    cf_loop_begin(&loop);
    cf_loop_fd(&loop, job->signal_fd, POLLIN);
    cf_follow_want(&job->follow, &loop);
    cf_feed_want(&job->feed, &loop);
    if (job->tell_ns)
        cf_loop_until(&loop, job->tell_ns);
    cf_loop_turn(&loop, job->cli->client);
    on_signal(job, cf_signals_read(job->signal_fd), loop.now_ns);
    cf_follow_turn(&job->follow, &loop);
    feed_turn(job, &loop);
    if (job->signals > 0 && !job->stopping)
        cf_job_stop(job);
    if (job->tell_ns && loop.now_ns >= job->tell_ns)
        tell(job);
}
