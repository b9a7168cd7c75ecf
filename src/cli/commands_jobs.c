/* execs, wait, cancel, signal, input, resize: commands that run, or have run, in a session. */
#include "cli/cli.h"

#include "base/clock.h"
#include "base/fd.h"
#include "cli/feed.h"
#include "cli/opts.h"
#include "cli/request.h"
#include "cli/result.h"
#include "cli/table.h"
#include "cli/tty.h"
#include "cli/view.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define COMMAND_COLUMNS 60
#define WAIT_S 300                          /* the longest that one request may wait */
#define WAIT_TRIES 7
#define BEYOND INT64_C(9007199254740991)    /* no output is so long, so none ends a wait */

/* The word behind the id.  0 or an exit status, with the message given. */
static int number_read(const struct cf_cli *cli, uint32_t *ret)
{
    const char *word = cli->words[1];
    unsigned long long number;
    char *end;

    errno = 0;
    number = strtoull(word, &end, 10);
    if (*word < '0' || *word > '9' || *end || errno || number < 1 || number > UINT32_MAX)
        return cf_cli_usage(cli, "a command's number is from 1 to %u, not \"%s\"", UINT32_MAX, word);
    *ret = (uint32_t)number;
    return 0;
}

static void state_cell(struct cf_table *table, const json_t *exec)
{
    const char *state = json_string_value(json_object_get(exec, "state"));
    bool failed = json_integer_value(json_object_get(exec, "exit_code")) != 0;

    if (json_is_true(json_object_get(exec, "timed_out")))
        cf_table_cell(table, "timed out", CF_COLOUR_BAD);
    else if (json_is_true(json_object_get(exec, "cancelled")))
        cf_table_cell(table, "cancelled", CF_COLOUR_BAD);
    else
        cf_table_cell(table, state ? state : "-", !state || strcmp(state, "ended") != 0 ? CF_COLOUR_WARN :
                      failed ? CF_COLOUR_BAD : CF_COLOUR_GOOD);
}

/* The first line, as far as there is room for it; a multi-byte character is not cut. */
static void command_cell(struct cf_table *table, const json_t *exec)
{
    const char *command = json_string_value(json_object_get(exec, "command"));
    char text[COMMAND_COLUMNS * 4 + 8];
    size_t len = 0, columns = 0;

    if (!command)
        command = "-";
    for (; command[len] && command[len] != '\n' && len < sizeof text - 8; len++) {
        columns += ((unsigned char)command[len] & 0xc0) != 0x80;
        if (columns > COMMAND_COLUMNS)
            break;
    }
    snprintf(text, sizeof text, "%.*s%s", (int)len, command, command[len] ? "…" : "");
    cf_table_cell(table, text, CF_COLOUR_NONE);
}

static void execs_row(struct cf_table *table, const json_t *exec)
{
    static const char *const names[] = {"exec", NULL, "exit_code", "started_at", "duration_ms", "stdout_bytes",
                                        "stderr_bytes"};
    char cell[256];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i])
            cf_table_cell(table, cf_view_cell(cell, sizeof cell, names[i], json_object_get(exec, names[i])),
                          CF_COLOUR_NONE);
        else
            state_cell(table, exec);
    command_cell(table, exec);
}

static int execs_one(struct cf_cli *cli)
{
    struct cf_exchange x;
    uint32_t number = 0;
    int status = number_read(cli, &number);

    if (status != 0)
        return status;
    status = cf_cli_call_with(cli, CF_OP_exec_show, cli->words[0], number, NULL, &x);
    if (status == 0 && !cli->json) {
        /* What it has printed is not for here; see curfew output. */
        json_object_del(x.data, "output");
        json_object_del(x.data, "next");
        json_object_del(x.data, "more");
        cf_view_object(&cli->out, x.data, 0);
    }
    cf_exchange_free(&x);
    return status;
}

int cf_verb_execs(struct cf_cli *cli)
{
    static const char *const heads[] = {"N", "STATE", "EXIT", "STARTED", "TOOK", "STDOUT", "STDERR", "COMMAND"};
    struct cf_exchange x;
    struct cf_table table;
    const json_t *execs, *exec;
    size_t i;
    int status;

    if (cli->word_count > 1)
        return execs_one(cli);
    status = cf_cli_call(cli, CF_OP_execs, cli->words[0], &x);
    execs = json_object_get(x.data, "execs");
    if (status == 0 && !cli->json) {
        cf_table_init(&table, heads, sizeof heads / sizeof *heads);
        json_array_foreach(execs, i, exec)
            execs_row(&table, exec);
        if (cf_table_rows(&table) == 0)
            fputs("no commands\n", stderr);
        else
            cf_table_render(&table, &cli->out, cli->colour);
        cf_table_free(&table);
    }
    cf_exchange_free(&x);
    return status;
}

/* Asks once, for as long as one request may wait.  True: ask again. */
static bool wait_once(struct cf_cli *cli, uint32_t number, int *tries, struct cf_exchange *x)
{
    const char *state;

    cf_exchange_init(x, CF_OP_exec_show, cli->words[0], number);
    cf_exchange_query_int(x, "since", BEYOND);
    cf_exchange_query_int(x, "wait", WAIT_S);
    cf_exchange_query_int(x, "limit", 1);
    cf_client_perform(cli->client, x, 1, -1);
    state = json_string_value(json_object_get(x->data, "state"));
    if (x->error.code == CF_E_UNAVAILABLE && !x->answered_error && *tries > 0 && *tries <= WAIT_TRIES) {
        poll(NULL, 0, 100 << (*tries)++);
        return true;
    }
    if (x->error.code == 0)
        *tries = 1;
    return x->error.code == 0 && (!state || strcmp(state, "ended") != 0);
}

/* A server that never answered is not asked again; one that did may come back. */
int cf_verb_wait(struct cf_cli *cli)
{
    struct cf_exchange x = {0};
    uint32_t number = 0;
    const char *raw;
    size_t len;
    int tries = 0, status = number_read(cli, &number);

    if (status != 0)
        return status;
    cli->own_failures = true;
    if ((status = cf_cli_connect(cli)) != 0)
        return status;
    while (wait_once(cli, number, &tries, &x))
        cf_exchange_free(&x);
    if (x.error.code < 0) {
        status = cf_cli_fail_exchange(cli, &x);
    } else {
        status = cf_result_status(x.data);
        if (cli->json && (raw = cf_exchange_raw(&x, "data", &len))) {
            cf_buf_append(&cli->out, raw, len);
            cf_buf_putc(&cli->out, '\n');
        } else {
            cf_result_notes(x.data);
        }
    }
    cf_exchange_free(&x);
    return status;
}

int cf_verb_cancel(struct cf_cli *cli)
{
    struct cf_exchange x;
    uint32_t number = 0;
    int status = number_read(cli, &number);

    if (status != 0)
        return status;
    status = cf_cli_call_with(cli, CF_OP_exec_cancel, cli->words[0], number, NULL, &x);
    if (status == 0 && !cli->json) {
        bool cancelled = cf_result_cancelled(x.data);

        cf_buf_printf(&cli->out, "%" PRIu32 " %s after ", number, cancelled ? "cancelled" : "ended");
        cf_view_value(&cli->out, "duration_ms", json_object_get(x.data, "duration_ms"));
        cf_buf_puts(&cli->out, ", exit status ");
        cf_view_value(&cli->out, "exit_code", json_object_get(x.data, "exit_code"));
        cf_buf_putc(&cli->out, '\n');
    }
    cf_exchange_free(&x);
    return status;
}

int cf_verb_signal(struct cf_cli *cli)
{
    const struct cf_extra extra[] = {{.name = "signal", .text = cli->words[1]}, {0}};
    struct cf_exchange x;
    int status = cf_cli_call_with(cli, CF_OP_signal, cli->words[0], 0, extra, &x);

    cf_exchange_free(&x);
    return status;
}

int cf_verb_resize(struct cf_cli *cli)
{
    struct cf_exchange x;
    int cols, rows, status;

    if (cli->word_count < 2)
        cf_tty_size(&cols, &rows);
    else if (!cf_opts_is_screen(cli->words[1], &cols, &rows))
        return cf_cli_usage(cli, "a size is COLSxROWS, such as 80x24, not \"%s\"", cli->words[1]);
    const struct cf_extra extra[] = {{.name = "cols", .number = cols}, {.name = "rows", .number = rows}, {0}};

    status = cf_cli_call_with(cli, CF_OP_resize, cli->words[0], 0, extra, &x);
    cf_exchange_free(&x);
    return status;
}

/* The text as a file of one line. */
static int line_fd(const char *text)
{
    int fd = memfd_create("input", MFD_CLOEXEC);

    if (fd >= 0 && cf_fd_write_all(fd, text, strlen(text)) == 0 && cf_fd_write_all(fd, "\n", 1) == 0 &&
        lseek(fd, 0, SEEK_SET) == 0)
        return fd;
    cf_fd_close(&fd);
    return -1;
}

static int input_result(struct cf_cli *cli, struct cf_feed *feed)
{
    const char *raw;
    size_t len;

    if (feed->error.code < 0 && feed->taken > 0 && !cli->json)
        fprintf(stderr, "curfew: %" PRId64 " bytes were taken before this:\n", feed->taken);
    if (feed->error.code < 0 && feed->x.error.code < 0)
        return cf_cli_fail_exchange(cli, &feed->x);
    if (feed->error.code < 0)
        return cf_cli_fail(cli, &feed->error);
    if (cli->json && feed->x.root && (raw = cf_exchange_raw(&feed->x, "data", &len))) {
        cf_buf_append(&cli->out, raw, len);
        cf_buf_putc(&cli->out, '\n');
    }
    return 0;
}

int cf_verb_input(struct cf_cli *cli)
{
    const struct cf_flag *exec = cf_cli_flag(cli, CF_OP_input, "exec"), *seq = cf_cli_flag(cli, CF_OP_input, "seq");
    bool typed = cli->word_count > 1 && strcmp(cli->words[1], "-") != 0;
    CF_FD_AUTO line = typed ? line_fd(cli->words[1]) : -1;
    struct cf_feed *feed;
    struct cf_error error;
    int status = cf_cli_connect(cli);

    if (status != 0)
        return status;
    if ((typed && line < 0) || !(feed = calloc(1, sizeof *feed))) {
        cf_error_set(&error, CF_E_NO_MEMORY, NULL, "out of memory");
        return cf_cli_fail(cli, &error);
    }
    cf_feed_begin(feed, cli, cli->words[0], exec ? (uint32_t)exec->number : 0, typed ? line : STDIN_FILENO,
                  seq ? seq->number : 0, cf_cli_says(cli, CF_OP_input, "eof"));
    while (feed->state != CF_FEED_OVER) {
        struct cf_loop loop;

        cf_loop_begin(&loop);
        cf_feed_want(feed, &loop);
        cf_loop_turn(&loop, cli->client);
        cf_feed_turn(feed, &loop);
    }
    status = input_result(cli, feed);
    cf_feed_free(feed);
    free(feed);
    return status;
}
