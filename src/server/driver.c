/* driver.c: composing requests and reading statuses. */
#include "server/driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int cf_driver_token(char *token)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.";
    unsigned char random[CF_DRIVER_TOKEN - 1];
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return -1;
    for (size_t i = 0; i < sizeof random; i++)
        token[i] = letters[random[i] % 64];
    token[sizeof random] = '\0';
    return 0;
}

void cf_driver_quote(struct cf_buf *out, const char *text)
{
    cf_buf_putc(out, '\'');
    for (const char *end; (end = strchr(text, '\'')) != NULL; text = end + 1) {
        cf_buf_append(out, text, (size_t)(end - text));
        cf_buf_puts(out, "'\\''");
    }
    cf_buf_puts(out, text);
    cf_buf_putc(out, '\'');
}

void cf_driver_spare(struct cf_buf *out, const char *driver_path)
{
    cf_buf_puts(out, "\\builtin . ");
    cf_driver_quote(out, driver_path);
    cf_buf_putc(out, '\n');
}

void cf_driver_boot(struct cf_buf *out, const char *driver_path, const char *folder, const char *token, const char *late)
{
    /* History off and empty (this line was in it already), since a "!" in a command means itself; aliases stay on, as an
     * interactive bash has them, and an exec that fails does not end it, which it would in a sourced file. */
    cf_buf_puts(out, "shopt -s execfail; set +o history +H; history -c; unset HISTFILE; __cf_status() { return \"$1\"; }; __cf_d=");
    cf_driver_quote(out, folder);
    cf_buf_printf(out, "; __cf_t=%s; readonly __cf_d __cf_t; __cf_b=go; __cf_l=", token);
    cf_driver_quote(out, late);
    cf_buf_putc(out, '\n');
    cf_driver_spare(out, driver_path);
    cf_driver_spare(out, driver_path);
}

void cf_driver_request(struct cf_buf *out, const char *token, size_t len, unsigned pair, char input)
{
    if (len > CF_DRIVER_INLINE_MAX)
        cf_buf_printf(out, "%s f %u %c\n", token, pair, input);
    else
        cf_buf_printf(out, "%s %zu %u %c\n", token, len, pair, input);
}

void cf_driver_probe(struct cf_buf *out, const char *token, unsigned number)
{
    cf_buf_printf(out, "\n\n\n\n%s p %u\n", token, number);
}

int cf_driver_parse(const char *text, struct cf_driver_status *ret)
{
    char *end;
    if (text[0] == '\0' || strchr("SRPB", text[0]) == NULL || text[1] != ' ')
        return -1;
    errno = 0;
    long number = strtol(text + 2, &end, 10);
    if (errno != 0 || end == text + 2 || number < 0 || *end != (text[0] == 'P' ? '\0' : ' '))
        return -1;
    *ret = (struct cf_driver_status){ .word = text[0], .number = number, .cwd = *end ? end + 1 : end };
    return 0;
}
