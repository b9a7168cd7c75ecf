/* capture.c: head and ring. */
#include "server/capture.h"

#include <stdlib.h>
#include <string.h>

void cf_capture_init(struct cf_capture *c, size_t max_bytes)
{
    *c = (struct cf_capture){ .max_bytes = max_bytes };
}

void cf_capture_free(struct cf_capture *c)
{
    free(c->head);
    free(c->tail);
    cf_capture_init(c, c->max_bytes);
}

static size_t tail_max(const struct cf_capture *c)
{
    return c->max_bytes / 2;
}

static size_t head_max(const struct cf_capture *c)
{
    return c->max_bytes - tail_max(c);
}

/* Takes what the head still has room for; returns how many bytes that was. */
static size_t add_head(struct cf_capture *c, const char *data, size_t len)
{
    size_t take = head_max(c) - c->head_len;
    if (take > len)
        take = len;
    if (c->head_len + take > c->head_cap) {
        size_t cap = c->head_cap ? c->head_cap * 2 : 512;
        while (cap < c->head_len + take)
            cap *= 2;
        if (cap > head_max(c))
            cap = head_max(c);
        char *grown = realloc(c->head, cap);
        if (grown == NULL) {
            c->lost = true;
            return len;
        }
        c->head = grown;
        c->head_cap = cap;
    }
    memcpy(c->head + c->head_len, data, take);
    c->head_len += take;
    return take;
}

static void add_tail(struct cf_capture *c, const char *data, size_t len)
{
    size_t max = tail_max(c);
    if (c->tail == NULL && (c->tail = malloc(max)) == NULL) {
        c->lost = true;
        return;
    }
    if (len > max) {
        data += len - max;
        len = max;
    }
    size_t first = max - c->tail_at < len ? max - c->tail_at : len;
    memcpy(c->tail + c->tail_at, data, first);
    memcpy(c->tail, data + first, len - first);
    c->tail_at = (c->tail_at + len) % max;
    c->tail_len = c->tail_len + len > max ? max : c->tail_len + len;
}

void cf_capture_add(struct cf_capture *c, const char *data, size_t len)
{
    c->total_bytes += len;
    if (c->head_len < head_max(c) && !c->lost) {
        size_t took = add_head(c, data, len);
        data += took;
        len -= took;
    }
    if (len > 0)
        add_tail(c, data, len);
}

bool cf_capture_cut(const struct cf_capture *c)
{
    return c->total_bytes > c->head_len + c->tail_len;
}

/* The last `max` bytes of the ring, oldest first. */
static void ring_text(const struct cf_capture *c, size_t max, struct cf_buf *out)
{
    size_t len = c->tail_len < max ? c->tail_len : max;
    if (len == 0)
        return;
    size_t size = tail_max(c), from = (c->tail_at + size - len) % size;
    size_t first = size - from < len ? size - from : len;
    cf_buf_append(out, c->tail + from, first);
    cf_buf_append(out, c->tail, len - first);
}

void cf_capture_text(const struct cf_capture *c, struct cf_buf *out)
{
    if (c->head_len > 0)
        cf_buf_append(out, c->head, c->head_len);
    if (cf_capture_cut(c))
        cf_buf_printf(out, "\n[curfew: %llu bytes left out]\n",
                      (unsigned long long)(c->total_bytes - c->head_len - c->tail_len));
    ring_text(c, c->tail_len, out);
}

void cf_capture_last(const struct cf_capture *c, size_t max, struct cf_buf *out)
{
    size_t from_tail = c->tail_len < max ? c->tail_len : max;
    if (!cf_capture_cut(c) && from_tail < max) {
        size_t from_head = max - from_tail < c->head_len ? max - from_tail : c->head_len;
        if (from_head > 0)
            cf_buf_append(out, c->head + c->head_len - from_head, from_head);
    }
    ring_text(c, from_tail, out);
}
