/* buf.c: a byte buffer that grows by doubling up to its bound. */
#include "base/buf.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAP 64

void cf_buf_init(struct cf_buf *b, size_t max_bytes)
{
    *b = (struct cf_buf){ .max = max_bytes < SIZE_MAX ? max_bytes : SIZE_MAX - 1 };
}

void cf_buf_free(struct cf_buf *b)
{
    if (b == NULL)
        return;
    free(b->data);
    *b = (struct cf_buf){ .max = b->max };
}

void cf_buf_reset(struct cf_buf *b)
{
    b->len = 0;
    b->failed = false;
    if (b->data != NULL)
        b->data[0] = '\0';
}

/* Makes room for `more` bytes and the NUL behind them; else sets `failed` and leaves the bytes alone. */
static bool reserve(struct cf_buf *b, size_t more)
{
    if (b->failed)
        return false;
    if (more > b->max - b->len) {
        b->failed = true;
        return false;
    }
    size_t need = b->len + more + 1;
    if (need <= b->cap)
        return true;

    size_t cap = b->cap < FIRST_CAP ? FIRST_CAP : b->cap;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->max + 1)
        cap = b->max + 1;
    char *data = realloc(b->data, cap);
    if (data == NULL) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void cf_buf_append(struct cf_buf *b, const void *data, size_t len)
{
    if (!reserve(b, len))
        return;
    if (len > 0)
        memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void cf_buf_puts(struct cf_buf *b, const char *text)
{
    cf_buf_append(b, text, strlen(text));
}

void cf_buf_putc(struct cf_buf *b, char c)
{
    cf_buf_append(b, &c, 1);
}

void cf_buf_printf(struct cf_buf *b, const char *fmt, ...)
{
    va_list args;

    if (!reserve(b, 0))
        return;
    size_t room = b->cap - b->len;
    va_start(args, fmt);
    int wrote = vsnprintf(b->data + b->len, room, fmt, args);
    va_end(args);
    if (wrote >= 0 && (size_t)wrote < room) {
        b->len += (size_t)wrote;
        return;
    }

    b->data[b->len] = '\0';     /* what was cut is not part of the buffer */
    if (wrote < 0) {
        b->failed = true;
        return;
    }
    if (!reserve(b, (size_t)wrote))
        return;
    va_start(args, fmt);
    (void)vsnprintf(b->data + b->len, (size_t)wrote + 1, fmt, args);
    va_end(args);
    b->len += (size_t)wrote;
}

char *cf_buf_take(struct cf_buf *b, size_t *ret_len)
{
    if (b->failed || b->len == 0) {
        cf_buf_free(b);
        return NULL;
    }
    char *data = b->data;
    if (ret_len != NULL)
        *ret_len = b->len;
    *b = (struct cf_buf){ .max = b->max };
    return data;
}
