#include "cli/help.h"

#include "cli/opts.h"
#include "cli/status.h"

#include <stdio.h>
#include <string.h>

#define LINE_WIDTH 96
#define FLAG_INDENT 32
#define STATUS_INDENT 9

struct line {
    const char *flag, *help;
};

static const struct line globals[] = {
    {"--json", "print the server's data, or its error object, as it came"},
    {"--socket PATH", "Unix socket of the server (CURFEW_SOCKET; by default that of the settings)"},
    {"--url URL", "server over TCP, such as http://127.0.0.1:8000 (CURFEW_URL)"},
    {"--token-file FILE", "file with the bearer token (CURFEW_TOKEN_FILE; CURFEW_TOKEN holds the token itself)"},
    {"--help", "say how it is used"},
};

/* Breaks at spaces; continued lines begin at `indent`. */
static void wrap(struct cf_buf *out, const char *text, size_t indent, size_t column)
{
    while (*text) {
        size_t len = strcspn(text, " ");

        if (column > indent && column + 1 + len > LINE_WIDTH) {
            cf_buf_printf(out, "\n%*s", (int)indent, "");
            column = indent;
        } else if (column > indent) {
            cf_buf_putc(out, ' ');
            column++;
        }
        cf_buf_append(out, text, len);
        column += len;
        text += len + (text[len] == ' ');
    }
    cf_buf_putc(out, '\n');
}

static void item(struct cf_buf *out, const char *left, const char *text, size_t indent)
{
    size_t len = strlen(left) + 2;

    cf_buf_printf(out, "  %s", left);
    if (len + 2 > indent) {
        cf_buf_putc(out, '\n');
        len = 0;
    }
    cf_buf_printf(out, "%*s", (int)(indent - len), "");
    wrap(out, text, indent, indent);
}

static void status_line(struct cf_buf *out, const char *number, const char *text)
{
    item(out, number, text, STATUS_INDENT);
}

static void flag_left(const struct cf_param_row *param, char *text, size_t size)
{
    static const char *const values[] = {
        [CF_PARAM_TEXT] = " TEXT", [CF_PARAM_INT] = " N", [CF_PARAM_DURATION] = " DURATION", [CF_PARAM_BOOL] = "",
        [CF_PARAM_MAP] = " NAME=VALUE", [CF_PARAM_SCREEN] = "[=COLSxROWS]",
    };
    struct cf_flag_name name = cf_opts_dashes(param->name);
    const char *letter = strcmp(param->name, "input") == 0 ? "-i, " : "";

    snprintf(text, size, "%s--%s%s%s", letter, param->type == CF_PARAM_BOOL ? "[no-]" : "", name.text,
             values[param->type]);
}

static void own_left(const struct cf_own_flag *own, char *text, size_t size)
{
    snprintf(text, size, "--%s%s%s", own->name, own->value ? " " : "", own->value ? own->value : "");
}

static void flag_help(const struct cf_param_row *param, char *text, size_t size)
{
    long long min = (long long)param->min, max = (long long)param->max;

    switch (param->type) {
    case CF_PARAM_TEXT:
        snprintf(text, size, "%s (%lld to %lld bytes)", param->help, min, max);
        return;
    case CF_PARAM_INT:
        snprintf(text, size, "%s (%lld to %lld)", param->help, min, max);
        return;
    case CF_PARAM_DURATION:
        snprintf(text, size, "%s (%lld to %lld seconds; 90, 10m, 1h30m)", param->help, min, max);
        return;
    case CF_PARAM_MAP:
        snprintf(text, size, "%s (may be given %lld times)", param->help, max);
        return;
    case CF_PARAM_SCREEN:
        snprintf(text, size, "%s (each %lld to %lld; those of this terminal, else 80x24, when no size is given)",
                 param->help, min, max);
        return;
    case CF_PARAM_BOOL:
        break;
    }
    snprintf(text, size, "%s", param->help);
}

void cf_help_program(struct cf_buf *out)
{
    struct cf_verb verb;

    cf_buf_puts(out, "Usage: curfew [OPTION]... SUBCOMMAND ...\n"
                     "Sessions that run commands and always end.\n\nSubcommands:\n");
    for (size_t i = 0; i < cf_verbs_count(); i++) {
        cf_verbs_get(i, &verb);
        item(out, verb.name, verb.help, 14);
    }
    cf_buf_puts(out, "\nOptions, before or after the subcommand:\n");
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        item(out, globals[i].flag, globals[i].help, FLAG_INDENT);
    item(out, "--version", "print the version of the command line", FLAG_INDENT);
    cf_buf_puts(out, "\nExit statuses:\n");
    cf_status_list(out, CF_STATUSES_PLAIN, status_line);
    cf_buf_puts(out, "\ncurfew SUBCOMMAND --help tells more about one; curfew(1) is the manual page.\n");
}

void cf_help_verb(struct cf_buf *out, const struct cf_verb *verb)
{
    const struct cf_param_row *param;
    char left[96], text[512];

    cf_buf_printf(out, "Usage: curfew %s [OPTION]...%s%s\n", verb->name, *verb->args ? " " : "", verb->args);
    cf_buf_printf(out, "%s.\n", verb->help);
    if (verb->notes) {
        cf_buf_putc(out, '\n');
        wrap(out, verb->notes, 0, 0);
    }
    if (!verb->run)
        return;
    cf_buf_puts(out, "\nOptions:\n");
    for (size_t i = 0; (param = cf_ops_param(i)); i++) {
        if (!cf_opts_is_flag(verb, param))
            continue;
        flag_left(param, left, sizeof left);
        flag_help(param, text, sizeof text);
        item(out, left, text, FLAG_INDENT);
    }
    for (const struct cf_own_flag *own = verb->own; own && own->name; own++) {
        own_left(own, left, sizeof left);
        item(out, left, own->help, FLAG_INDENT);
    }
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        item(out, globals[i].flag, globals[i].help, FLAG_INDENT);
    cf_buf_puts(out, "\nExit statuses:\n");
    cf_status_list(out, verb->statuses, status_line);
}

/* man(7): a backslash and a hyphen are escaped, and so is what would begin a request. */
static void roff(struct cf_buf *out, const char *text)
{
    if (*text == '.' || *text == '\'')
        cf_buf_puts(out, "\\&");
    for (; *text; text++) {
        if (*text == '\\')
            cf_buf_puts(out, "\\e");
        else if (*text == '-')
            cf_buf_puts(out, "\\-");
        else
            cf_buf_putc(out, *text);
    }
}

static void roff_item(struct cf_buf *out, const char *head, const char *text)
{
    cf_buf_puts(out, ".TP\n.B ");
    roff(out, head);
    cf_buf_putc(out, '\n');
    roff(out, text);
    cf_buf_putc(out, '\n');
}

static void roff_verb(struct cf_buf *out, const struct cf_verb *verb)
{
    const struct cf_param_row *param;
    char left[96], text[512];

    cf_buf_puts(out, ".SS curfew ");
    roff(out, verb->name);
    cf_buf_puts(out, " [\\fIoption\\fR]... ");
    roff(out, verb->args);
    cf_buf_putc(out, '\n');
    roff(out, verb->help);
    cf_buf_puts(out, ".\n");
    if (verb->notes) {
        roff(out, verb->notes);
        cf_buf_putc(out, '\n');
    }
    for (size_t i = 0; (param = cf_ops_param(i)); i++) {
        if (!cf_opts_is_flag(verb, param))
            continue;
        flag_left(param, left, sizeof left);
        flag_help(param, text, sizeof text);
        roff_item(out, left, text);
    }
    for (const struct cf_own_flag *own = verb->own; own && own->name; own++) {
        own_left(own, left, sizeof left);
        roff_item(out, left, own->help);
    }
}

static void roff_status(struct cf_buf *out, const char *number, const char *text)
{
    roff_item(out, number, text);
}

void cf_help_man(struct cf_buf *out)
{
    struct cf_verb verb;

    cf_buf_puts(out, ".SH OPERATIONS\n");
    for (size_t i = 0; i < cf_verbs_count(); i++) {
        cf_verbs_get(i, &verb);
        roff_verb(out, &verb);
    }
    cf_buf_puts(out, ".SH OPTIONS\n"
                     "These stand before or after the subcommand, and before a command that is to be run.\n");
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        roff_item(out, globals[i].flag, globals[i].help);
    cf_buf_puts(out, ".SH EXIT STATUS\nOf\n.BR \"curfew exec\" , \" curfew run\" \" and \" \"curfew wait\" :\n");
    cf_status_list(out, CF_STATUSES_COMMAND, roff_status);
    cf_buf_puts(out, ".PP\nOf\n.BR \"curfew attach\" :\n");
    cf_status_list(out, CF_STATUSES_ATTACH, roff_status);
    cf_buf_puts(out, ".PP\nOf the other subcommands:\n");
    cf_status_list(out, CF_STATUSES_PLAIN, roff_status);
}
