/* buf.h: a byte buffer that grows up to a bound and then says so. */
#ifndef CURFEW_BASE_BUF_H
#define CURFEW_BASE_BUF_H

#include <stdbool.h>
#include <stdarg.h>
#include <stddef.h>

/* `data` is always NUL-terminated past `len` once anything was appended; it may hold NULs itself.
 * `failed` is set, and stays set, when an append would have passed `max` bytes or memory ran out;
 * further appends do nothing then, so that a writer can check once at the end. */
struct cf_buf {
    char *data;
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
};

void cf_buf_init(struct cf_buf *b, size_t max_bytes);
void cf_buf_free(struct cf_buf *b);            /* accepts an initialised or zeroed buffer; leaves it empty */
void cf_buf_reset(struct cf_buf *b);           /* empties, keeps the memory, clears `failed` */
void cf_buf_append(struct cf_buf *b, const void *data, size_t len);
void cf_buf_puts(struct cf_buf *b, const char *text);
void cf_buf_putc(struct cf_buf *b, char c);
void cf_buf_printf(struct cf_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Gives the bytes to the caller, who frees them; NULL when `failed` or empty.  The buffer is empty after. */
char *cf_buf_take(struct cf_buf *b, size_t *ret_len);

#endif
