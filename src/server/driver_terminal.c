/* driver_terminal.c: composing requests for a shell that has a terminal. */
#include "server/driver_terminal.h"

#include <string.h>

/* Everything is read by `mapfile -d ''`, which cares neither for IFS nor for the locale nor for what a variable is. */
static void add(struct cf_buf *out, const char *record)
{
    cf_buf_append(out, record, strlen(record) + 1);
}

void cf_driver_terminal_variable(struct cf_buf *out, const char *terminal_path)
{
    /* bash expands it as it would within double quotes. */
    cf_buf_puts(out, "ENV=");
    for (; *terminal_path != '\0'; terminal_path++) {
        if (strchr("\\\"$`", *terminal_path) != NULL)
            cf_buf_putc(out, '\\');
        cf_buf_putc(out, *terminal_path);
    }
}

void cf_driver_terminal_boot(struct cf_buf *out, const char *folder, const char *token, const char *run_path, const char *late)
{
    add(out, folder);
    add(out, token);
    add(out, run_path);
    add(out, late);
}

static void add_text(struct cf_buf *out, const char *text, size_t len)
{
    for (const char *end = text + len, *nul; text < end; text = nul + 1) {
        nul = memchr(text, '\0', (size_t)(end - text));
        if (nul == NULL)
            nul = end;
        cf_buf_append(out, text, (size_t)(nul - text));
    }
    cf_buf_putc(out, '\0');
}

void cf_driver_terminal_request(struct cf_buf *out, const char *token, enum cf_driver_terminal_kind kind, unsigned number,
                                unsigned pair, const char *input, const char *text, size_t len)
{
    cf_buf_printf(out, "%s%c%c%c%u%c%u%c", token, 0, (char)kind, 0, number, 0, pair, 0);
    add(out, input);
    add_text(out, text, len);
}

void cf_driver_terminal_answer(struct cf_buf *out, unsigned number, bool go)
{
    cf_buf_printf(out, "%c %u\n", go ? 'g' : 'n', number);
}
