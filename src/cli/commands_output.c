/* output: what a session or one of its commands has printed, and goes on to print. */
#include "cli/cli.h"

#include "cli/follow.h"
#include "cli/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* One answer that is written as it comes. */
struct reading {
    struct cf_cli *cli;
    struct cf_exchange x;
    int64_t since;              /* where it was to begin; -1: with the oldest that is kept */
    bool told, any;
    int status;                 /* exit status when it could not be written */
};

static void tell_gap(struct reading *r)
{
    int64_t lost = r->x.offset - (r->since < 0 ? 0 : r->since);

    if (!r->told && lost > 0 && !r->cli->json)
        fprintf(stderr, "curfew: %" PRId64 " bytes of the output are missing here: the server keeps the last part only "
                "(spool_bytes)\n", lost);
    r->told = true;
}

static bool sink(void *arg, const char *data, size_t len)
{
    struct reading *r = arg;

    tell_gap(r);
    r->any = r->any || len > 0;
    if (r->status == 0)
        r->status = cf_cli_write(r->cli, STDOUT_FILENO, data, len);
    return true;
}

/* Until it is read or cannot be written.  Returns an exit status, with the message given. */
static int read_all(struct reading *r, const char *type)
{
    r->x.accept = type;
    r->x.sink = sink;
    r->x.sink_arg = r;
    r->told = r->any = false;
    cf_client_start(r->cli->client, &r->x);
    while (r->x.running && r->status == 0)
        cf_client_turn(r->cli->client, NULL, 0, -1);
    cf_client_stop(r->cli->client, &r->x);
    if (r->status)
        return r->status;
    if (r->x.error.code < 0)
        return cf_cli_fail_exchange(r->cli, &r->x);
    tell_gap(r);
    return 0;
}

/* One answer holds a bounded part, so the next is asked for until there is nothing more; with --limit one is enough. */
static int read_kept(struct cf_cli *cli)
{
    const struct cf_flag *since = cf_cli_flag(cli, CF_OP_output, "since"), *exec, *stream;
    bool once = cf_cli_flag(cli, CF_OP_output, "limit") != NULL;
    struct reading r = {.cli = cli, .since = since ? since->number : -1};
    int status;

    exec = cf_cli_flag(cli, CF_OP_output, "exec");
    stream = cf_cli_flag(cli, CF_OP_output, "stream");
    cf_request_make(cli, CF_OP_output, cli->words[0], 0, NULL, &r.x);
    while ((status = read_all(&r, CF_TYPE_BYTES)) == 0 && r.any && !once && r.x.next > r.since) {
        r.since = r.x.next;
        cf_exchange_free(&r.x);
        cf_exchange_init(&r.x, CF_OP_output, cli->words[0], 0);
        cf_exchange_query_int(&r.x, "since", r.since);
        if (exec)
            cf_exchange_query_int(&r.x, "exec", exec->number);
        if (stream)
            cf_exchange_query(&r.x, "stream", stream->text);
    }
    cf_exchange_free(&r.x);
    return status;
}

static int follow_lines(struct cf_cli *cli)
{
    struct reading r = {.cli = cli, .since = -1};
    int status;

    cf_request_make(cli, CF_OP_output, cli->words[0], 0, NULL, &r.x);
    status = read_all(&r, CF_TYPE_LINES);
    cf_exchange_free(&r.x);
    return status;
}

/* That a session has ended is the natural end of its output. */
static int follow_result(struct cf_cli *cli, const struct cf_follow *f)
{
    if (f->output_status)
        return f->output_status;
    if (f->result || (f->started && f->answered_error && f->error.code == CF_E_GONE && !f->exec))
        return 0;
    return f->started ? cf_cli_fail(cli, &f->error) : cf_cli_fail_exchange(cli, &f->x);
}

static int follow_bytes(struct cf_cli *cli)
{
    const struct cf_flag *exec = cf_cli_flag(cli, CF_OP_output, "exec");
    const struct cf_flag *since = cf_cli_flag(cli, CF_OP_output, "since");
    const struct cf_flag *stream = cf_cli_flag(cli, CF_OP_output, "stream");
    struct cf_follow f;
    int status;

    cf_follow_init(&f, cli, cli->words[0]);
    f.exec = exec ? (uint32_t)exec->number : 0;
    f.next = since ? since->number : -1;
    f.stream = stream ? stream->text : NULL;
    cf_follow_resume(&f);
    while (!f.over) {
        struct cf_loop loop;

        cf_loop_begin(&loop);
        cf_follow_want(&f, &loop);
        cf_loop_turn(&loop, cli->client);
        cf_follow_turn(&f, &loop);
    }
    status = follow_result(cli, &f);
    cf_follow_free(&f);
    return status;
}

int cf_verb_output(struct cf_cli *cli)
{
    bool follow = cf_cli_says(cli, CF_OP_output, "follow");
    struct cf_exchange x;
    int status;

    if (follow && cf_cli_flag(cli, CF_OP_output, "limit"))
        return cf_cli_usage(cli, "--limit and --follow exclude each other");
    if ((status = cf_cli_connect(cli)) != 0)
        return status;
    if (follow)
        return cli->json ? follow_lines(cli) : follow_bytes(cli);
    if (!cli->json)
        return read_kept(cli);
    status = cf_cli_call(cli, CF_OP_output, cli->words[0], &x);
    cf_exchange_free(&x);
    return status;
}
