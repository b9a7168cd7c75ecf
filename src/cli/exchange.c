#include "cli/client.h"

#include <inttypes.h>
#include <stdio.h>
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

void cf_exchange_init(struct cf_exchange *x, enum cf_op op, const char *id, uint32_t number)
{
    const char *path = cf_ops_row(op)->path, *hole;

    memset(x, 0, sizeof *x);
    x->op = op;
    cf_buf_init(&x->path, PATH_BYTES);
    cf_buf_init(&x->body, BODY_BYTES);
    cf_buf_init(&x->reply, CF_REPLY_MAX);
    while ((hole = strchr(path, '{'))) {
        cf_buf_append(&x->path, path, (size_t)(hole - path));
        if (strncmp(hole, "{id}", 4) == 0)
            escape(&x->path, id);
        else
            cf_buf_printf(&x->path, "%" PRIu32, number);
        path = strchr(hole, '}') + 1;
    }
    cf_buf_puts(&x->path, path);
}

void cf_exchange_query(struct cf_exchange *x, const char *name, const char *value)
{
    cf_buf_putc(&x->path, x->path.data && strchr(x->path.data, '?') ? '&' : '?');
    escape(&x->path, name);
    cf_buf_putc(&x->path, '=');
    escape(&x->path, value);
}

void cf_exchange_query_int(struct cf_exchange *x, const char *name, int64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, value);
    cf_exchange_query(x, name, text);
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

/* One operation answers with text. */
static bool answers_text(enum cf_op op)
{
    return op == CF_OP_metrics;
}

/* Terminal output may hold NULs, which JSON has as \u0000. */
void cf_exchange_understand(struct cf_exchange *x, const char *name, const char *type)
{
    const json_t *error;
    const char *status, *code, *message, *field;

    if (answers_text(x->op) && x->http == 200 && type && strncmp(type, "text/plain", 10) == 0)
        return;
    if (x->reply.len > 0)
        x->root = json_loadb(x->reply.data, x->reply.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    status = json_string_value(json_object_get(x->root, "status"));
    x->data = json_object_get(x->root, "data");
    if (status && strcmp(status, "success") == 0 && x->data && x->http >= 200 && x->http < 300)
        return;
    x->data = NULL;
    error = json_object_get(x->root, "error");
    code = json_string_value(json_object_get(error, "code"));
    message = json_string_value(json_object_get(error, "message"));
    field = json_string_value(json_object_get(error, "field"));
    if (!status || !code) {
        cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "what answers at %s with HTTP status %ld is no curfew server",
                     name, x->http);
        return;
    }
    x->answered_error = true;
    cf_error_set(&x->error, cf_error_from_name(code), field, "%s",
                 message ? message : cf_error_text(cf_error_from_name(code)));
}
