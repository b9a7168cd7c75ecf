/* driver.c: composing requests and reading statuses. */
#include "server/driver.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FILLERS 8

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

/* The line's redirections save the descriptors that bash gets back when something unwinds the loop, from 10 upwards where
 * commands may have theirs: eight fillers before them, which the loop closes, move them to 18 and the next ones. */
static void put_entry(struct cf_buf *out, const char *word, const char *driver_path, bool fill)
{
    cf_buf_printf(out, "\\%s. ", word);
    cf_driver_quote(out, driver_path);
    for (int i = 0; fill && i < FILLERS; i++)
        cf_buf_printf(out, " {__cf_x[%d]}<&0", i);
    cf_buf_puts(out, " </dev/null >/dev/null 2>/dev/null");
}

void cf_driver_spare(struct cf_buf *out, const char *driver_path)
{
    /* By another word in case a function has the first one's name, and without fillers in case `ulimit -n` forbids them.  Twice
     * stdout: only an open descriptor is saved, and a command may have closed it. */
    put_entry(out, "builtin ", driver_path, true);
    cf_buf_puts(out, " >/dev/null; ");
    put_entry(out, "", driver_path, true);
    cf_buf_puts(out, " >/dev/null; ");
    put_entry(out, "", driver_path, false);
    cf_buf_puts(out, " >/dev/null\n");
}

void cf_driver_boot(struct cf_buf *out, const char *driver_path, const char *folder, const char *token, const char *late)
{
    /* History off and empty (this line was in it already), since a "!" in a command means itself; aliases stay on, as an
     * interactive bash has them. */
    cf_buf_puts(out, "set +o history +H; history -c; unset HISTFILE; __cf_enter() { return 1; }; __cf_d=");
    cf_driver_quote(out, folder);
    cf_buf_puts(out, "; __cf_f=");
    cf_driver_quote(out, driver_path);
    cf_buf_printf(out, "; __cf_t=%s; readonly __cf_d __cf_f __cf_t; __cf_k= __cf_o= __cf_q= __cf_l=", token);
    cf_driver_quote(out, late);
    cf_buf_puts(out, "; exec");
    for (int i = 0; i < FILLERS; i++)
        cf_buf_printf(out, " %d<&0", 10 + i);
    cf_buf_puts(out, "; __cf_x=(");
    for (int i = 0; i < FILLERS; i++)
        cf_buf_printf(out, "%d ", 10 + i);
    cf_buf_puts(out, ")\n");
    put_entry(out, "builtin ", driver_path, false);
    cf_buf_putc(out, '\n');
    cf_driver_spare(out, driver_path);
}

char cf_driver_kind(const char *text, size_t len)
{
    size_t i = 0;
    if (len > CF_DRIVER_INLINE_MAX)
        return CF_DRIVER_TEXT_FILE;
    while (i < len && (unsigned char)text[i] < 0x80)
        i++;
    /* Of what is not ASCII, `read -N` counts characters where the user's locale has such: it goes by `read -d`, a byte a system call. */
    return i == len ? CF_DRIVER_TEXT_ASCII : len > CF_DRIVER_BYTES_MAX ? CF_DRIVER_TEXT_FILE : CF_DRIVER_TEXT_BYTES;
}

/* A line of CF_DRIVER_HEADER bytes, blank behind `text`. */
static void put_header(struct cf_buf *out, const char *text)
{
    cf_buf_puts(out, text);
    for (size_t len = strlen(text); len < CF_DRIVER_HEADER - 1; len++)
        cf_buf_putc(out, ' ');
    cf_buf_putc(out, '\n');
}

void cf_driver_request(struct cf_buf *out, const char *token, char kind, size_t len, unsigned pair, char input)
{
    char text[64];
    snprintf(text, sizeof text, "%s %c%c %04zu %u", token, input, kind, kind == CF_DRIVER_TEXT_FILE ? 0 : len, pair);
    put_header(out, text);
}

void cf_driver_probe(struct cf_buf *out, const char *token, unsigned number)
{
    char text[64];
    for (int i = 0; i < CF_DRIVER_HEADER; i++)
        cf_buf_putc(out, '\n');
    snprintf(text, sizeof text, "%s p- %u", token, number);
    put_header(out, text);
}

int cf_driver_parse(const char *text, struct cf_driver_status *ret)
{
    char *end;
    if (text[0] == '\0' || strchr("SRPBI", text[0]) == NULL || text[1] != ' ')
        return -1;
    errno = 0;
    long number = strtol(text + 2, &end, 10);
    if (errno != 0 || end == text + 2 || number < 0 || *end != (text[0] == 'P' ? '\0' : ' '))
        return -1;
    *ret = (struct cf_driver_status){ .word = text[0], .number = number, .cwd = *end ? end + 1 : end };
    return 0;
}
