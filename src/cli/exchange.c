#include "cli/client.h"

#include <string.h>

#define PATH_BYTES 8000u
#define BODY_BYTES ((size_t)1 << 31)    /* the longest command there may be, each byte escaped */

static void escape(struct cf_buf *out, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if ((c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || strchr("-._~", c))
            cf_buf_putc(out, (char)c);
        else
            cf_buf_printf(out, "%%%02X", c);
    }
}

void cf_exchange_init(struct cf_exchange *x, enum cf_op op, const char *id)
{
    const char *path = cf_ops_row(op)->path, *hole = strstr(path, "{id}");

    memset(x, 0, sizeof *x);
    x->op = op;
    cf_buf_init(&x->path, PATH_BYTES);
    cf_buf_init(&x->body, BODY_BYTES);
    cf_buf_init(&x->reply, CF_REPLY_MAX);
    if (!hole) {
        cf_buf_puts(&x->path, path);
        return;
    }
    cf_buf_append(&x->path, path, (size_t)(hole - path));
    escape(&x->path, id);
    cf_buf_puts(&x->path, hole + strlen("{id}"));
}

void cf_exchange_query(struct cf_exchange *x, const char *name, const char *value)
{
    cf_buf_putc(&x->path, x->path.data && strchr(x->path.data, '?') ? '&' : '?');
    escape(&x->path, name);
    cf_buf_putc(&x->path, '=');
    escape(&x->path, value);
}

void cf_exchange_free(struct cf_exchange *x)
{
    cf_buf_free(&x->path);
    cf_buf_free(&x->body);
    cf_buf_free(&x->reply);
    json_decref(x->root);
    x->root = x->data = NULL;
}

/* Past one JSON string, from its opening quote. */
static const char *skip_string(const char *p, const char *end)
{
    for (p++; p < end && *p != '"'; p++)
        if (*p == '\\')
            p++;
    return p < end ? p + 1 : end;
}

/* Past one JSON value in text that jansson has accepted, so only strings and nesting need care. */
static const char *skip_value(const char *p, const char *end)
{
    int depth = 0;

    while (p < end) {
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        if (depth == 0 && strchr(",}] \t\r\n", *p))
            return p;
        if (*p == '{' || *p == '[')
            depth++;
        if (*p == '}' || *p == ']')
            depth--;
        p++;
        if (depth == 0 && (p[-1] == '}' || p[-1] == ']'))
            return p;
    }
    return end;
}

static const char *skip_space(const char *p, const char *end, const char *also)
{
    while (p < end && (strchr(" \t\r\n", *p) || strchr(also, *p)))
        p++;
    return p;
}

/* A string value ends where skip_string ends; any other where skip_value does. */
static const char *value_end(const char *p, const char *end)
{
    return p < end && *p == '"' ? skip_string(p, end) : skip_value(p, end);
}

const char *cf_exchange_raw(const struct cf_exchange *x, const char *name, size_t *ret_len)
{
    const char *p = x->reply.data, *end = p + x->reply.len;
    size_t len = strlen(name);

    if (!x->root || !json_is_object(x->root))
        return NULL;
    p = skip_space(p, end, "{");
    while (p < end && *p == '"') {
        const char *key = p, *value;

        p = skip_string(p, end);
        value = skip_space(p, end, ":");
        if ((size_t)(p - key) == len + 2 && memcmp(key + 1, name, len) == 0) {
            *ret_len = (size_t)(value_end(value, end) - value);
            return value;
        }
        p = skip_space(value_end(value, end), end, ",");
    }
    return NULL;
}
