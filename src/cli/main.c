/* curfew: the command line.  Everything but `serve` is a client of the HTTP API. */
#include "cli/cli.h"
#include "cli/help.h"
#include "cli/opts.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define OUT_BYTES ((size_t)2 << 30)     /* the largest answer, as a table */

/* A descriptor 0, 1 or 2 that came closed would be taken by a socket; writing to this stand-in still fails. */
static void descriptors_fill(void)
{
    int fd;

    do
        fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

static bool wants_colour(void)
{
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

    return isatty(STDOUT_FILENO) && !(no && *no) && !(term && strcmp(term, "dumb") == 0);
}

/* `curfew help` is --help by another name; `curfew help --man` is what the manual page is made of. */
static bool help_word(struct cf_cli *cli, int argc, char **argv, int at)
{
    struct cf_verb verb;

    if (at >= argc || strcmp(argv[at], "help") != 0)
        return false;
    if (at + 1 < argc && strcmp(argv[at + 1], "--man") == 0)
        cf_help_man(&cli->out);
    else if (at + 1 < argc && cf_verbs_find(argv[at + 1], &verb))
        cf_help_verb(&cli->out, &verb);
    else
        cf_help_program(&cli->out);
    return true;
}

static int dispatch(struct cf_cli *cli, struct cf_verb *verb, int argc, char **argv)
{
    struct cf_error error;
    bool version = false;
    int at = 1;

    if (help_word(cli, argc, argv, at))
        return 0;
    if (cf_opts_verb(cli, verb, argc, argv, &at, &version, &error) < 0)
        return cf_cli_usage(cli, "%s", error.text);
    if (version)
        cf_buf_puts(&cli->out, "curfew " CURFEW_VERSION "\n");
    else if (!cli->verb)
        cf_help_program(&cli->out);
    else if (!verb->run && (cli->json || cli->where.socket || cli->where.url || cli->where.token_file))
        return cf_cli_usage(cli, "the options of serve stand after it");
    else if (!verb->run && !cli->help)
        return cf_verb_serve(argc - at + 1, argv + at - 1);
    else if (cf_opts_rest(cli, argc, argv, &at, &error) < 0)
        return cf_cli_usage(cli, "%s", error.text);
    else if (cli->help)
        cf_help_verb(&cli->out, verb);
    else
        return verb->run(cli);
    return 0;
}

int main(int argc, char **argv)
{
    struct cf_cli cli = {.colour = wants_colour()};
    struct cf_verb verb;
    int status, written;

    descriptors_fill();
    signal(SIGPIPE, SIG_IGN);
    cf_buf_init(&cli.out, OUT_BYTES);
    status = dispatch(&cli, &verb, argc, argv);
    written = cf_cli_write(&cli, STDOUT_FILENO, cli.out.data, cli.out.len);
    if (written != 0 && (status == 0 || cli.own_failures))
        status = written;
    cf_buf_free(&cli.out);
    cf_opts_free(&cli);
    cf_client_free(&cli.client);
    if (cli.gone_pipe) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    return status;
}
