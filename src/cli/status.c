#include "cli/status.h"

#include "base/error.h"
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

/* What no row of errors.def has. */
static const char *own(int status)
{
    switch (status) {
    case 0:
        return "it was done";
    case CF_EXIT_USAGE:
        return "the command line is wrong";
    case CF_EXIT_OUTPUT:
        return "standard output could not be written";
    default:
        return NULL;
    }
}

static void add(struct cf_buf *text, const char *words)
{
    if (text->len > 0)
        cf_buf_puts(text, "; ");
    cf_buf_puts(text, words);
}

static void each(struct cf_buf *out, cf_status_fn *line)
{
    for (int status = 0; status < 126; status++) {
        struct cf_buf text;
        char number[16];

        cf_buf_init(&text, 4096);
        if (own(status))
            add(&text, own(status));
        if (status == cf_error_exit(CF_E_UNAVAILABLE))
            add(&text, "no server answers");
        for (int row = 1; row < CF_ERROR_ROWS; row++)
            if (cf_error_exit(-row) == status)
                add(&text, cf_error_text(-row));
        snprintf(number, sizeof number, "%d", status);
        if (text.len > 0)
            line(out, number, text.data);
        cf_buf_free(&text);
    }
}

void cf_status_list(struct cf_buf *out, enum cf_statuses which, cf_status_fn *line)
{
    if (which == CF_STATUSES_PLAIN) {
        each(out, line);
    } else if (which == CF_STATUSES_COMMAND) {
        line(out, "0-255", "the command's own (128 and the signal's number when a signal ended it)");
        line(out, "64", "the command line is wrong; nothing was run");
        line(out, "124", "the command did not end within its timeout and was interrupted");
        line(out, "125", "curfew itself failed: no server answers, the session is unknown, has ended or is busy, or "
                         "the output could not be written");
    } else {
        line(out, "0", "you have detached, or the session has ended");
        line(out, "64", "the command line is wrong, or standard input or output is no terminal");
        line(out, "125", "curfew itself failed: no server answers, the session is unknown or has no terminal, or the "
                         "connection was lost");
    }
}
