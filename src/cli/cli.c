#include "cli/cli.h"

#include "base/jsonw.h"
#include "cli/request.h"
#include "cli/table.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int cf_cli_usage(const struct cf_cli *cli, const char *fmt, ...)
{
    va_list args;

    fputs("curfew: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    if (cli->verb)
        fprintf(stderr, "\nTry 'curfew %s --help'.\n", cli->verb->name);
    else
        fputs("\nTry 'curfew --help'.\n", stderr);
    return CF_EXIT_USAGE;
}

static int status_of(const struct cf_cli *cli, const struct cf_error *error)
{
    return cli->own_failures ? CF_EXIT_OWN : cf_error_exit(error->code);
}

/* What the server says may quote a command, so it is made safe for the terminal. */
static void tell(const struct cf_error *error)
{
    struct cf_buf text;

    cf_buf_init(&text, 4 * sizeof error->text);
    cf_table_safe(&text, error->text, strlen(error->text), false);
    fprintf(stderr, "curfew: %s\n", text.data ? text.data : "");
    cf_buf_free(&text);
    if (error->code == CF_E_UNAUTHORIZED && strcmp(error->field, "token_file") != 0)
        fputs("curfew: give the token by CURFEW_TOKEN or --token-file\n", stderr);
}

int cf_cli_fail(struct cf_cli *cli, const struct cf_error *error)
{
    struct cf_jsonw json;

    if (!cli->json) {
        tell(error);
        return status_of(cli, error);
    }
    cf_jsonw_init(&json, &cli->out);
    cf_jsonw_object(&json, NULL);
    cf_jsonw_str(&json, "code", cf_error_name(error->code));
    cf_jsonw_str(&json, "message", error->text);
    if (*error->field)
        cf_jsonw_str(&json, "field", error->field);
    cf_jsonw_object_end(&json);
    cf_buf_putc(&cli->out, '\n');
    return status_of(cli, error);
}

int cf_cli_fail_exchange(struct cf_cli *cli, const struct cf_exchange *exchange)
{
    const char *raw;
    size_t len;

    if (!cli->json || !exchange->answered_error || !(raw = cf_exchange_raw(exchange, "error", &len)))
        return cf_cli_fail(cli, &exchange->error);
    cf_buf_append(&cli->out, raw, len);
    cf_buf_putc(&cli->out, '\n');
    return status_of(cli, &exchange->error);
}

int cf_cli_connect(struct cf_cli *cli)
{
    struct cf_error error;

    if (!cli->client)
        cli->client = cf_client_new(&cli->where, &error);
    return cli->client ? 0 : cf_cli_fail(cli, &error);
}

const struct cf_flag *cf_cli_flag(const struct cf_cli *cli, enum cf_op op, const char *name)
{
    for (size_t i = 0; i < cli->flag_count; i++)
        if (cli->flags[i].param->op == op && strcmp(cli->flags[i].param->name, name) == 0)
            return &cli->flags[i];
    return NULL;
}

bool cf_cli_says(const struct cf_cli *cli, enum cf_op op, const char *name)
{
    const struct cf_flag *flag = cf_cli_flag(cli, op, name);

    return flag && flag->number != 0;
}

int cf_cli_call(struct cf_cli *cli, enum cf_op op, const char *id, struct cf_exchange *ret)
{
    return cf_cli_call_with(cli, op, id, 0, NULL, ret);
}

int cf_cli_call_with(struct cf_cli *cli, enum cf_op op, const char *id, uint32_t number, const struct cf_extra *extra,
                     struct cf_exchange *ret)
{
    const char *raw;
    size_t len;
    int status;

    cf_request_make(cli, op, id, number, extra, ret);
    if ((status = cf_cli_connect(cli)) != 0)
        return status;
    cf_client_perform(cli->client, ret, 1, -1);
    if (ret->error.code < 0)
        return cf_cli_fail_exchange(cli, ret);
    if (cli->json && (raw = cf_exchange_raw(ret, "data", &len))) {
        cf_buf_append(&cli->out, raw, len);
        cf_buf_putc(&cli->out, '\n');
    }
    return 0;
}

/* Whoever shares our stdout may have made it non-blocking. */
static int write_all(int fd, const char *data, size_t len)
{
    struct pollfd room = {.fd = fd, .events = POLLOUT};

    while (len > 0) {
        ssize_t wrote = write(fd, data, len);

        if (wrote >= 0) {
            data += wrote;
            len -= (size_t)wrote;
        } else if (errno == EAGAIN) {
            poll(&room, 1, -1);
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

int cf_cli_write(struct cf_cli *cli, int fd, const void *data, size_t len)
{
    return write_all(fd, data, len) == 0 ? 0 : cf_cli_cannot_write(cli, fd);
}

int cf_cli_cannot_write(struct cf_cli *cli, int fd)
{
    if (errno == EPIPE)
        cli->gone_pipe = true;
    else
        fprintf(stderr, "curfew: standard %s cannot be written: %s\n", fd == STDOUT_FILENO ? "output" : "error",
                strerror(errno));
    return cli->own_failures ? CF_EXIT_OWN : CF_EXIT_OUTPUT;
}
