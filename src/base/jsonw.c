/* jsonw.c: JSON, one append after another. */
#include "base/jsonw.h"
#include "base/text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S 1000000000u

void cf_jsonw_init(struct cf_jsonw *w, struct cf_buf *out)
{
    *w = (struct cf_jsonw){ .out = out };
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Whether any of eight bytes is a control, a quote, a backslash or not ASCII.  The borrow of a
 * subtraction may report a neighbour too, which costs a slow step and nothing else. */
static bool has_special(uint64_t eight)
{
    uint64_t quote = eight ^ EACH('"');
    uint64_t slash = eight ^ EACH('\\');
    uint64_t found = (eight - EACH(0x20)) | (quote - EACH(1)) | (slash - EACH(1)) | eight;
    return (found & EACH(0x80)) != 0;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* How many of the first bytes go into a JSON string as they are. */
static size_t plain_run(const char *data, size_t len)
{
    size_t at = 0;

    while (at < len) {
        uint64_t eight;
        while (len - at >= sizeof eight) {
            memcpy(&eight, data + at, sizeof eight);
            if (has_special(eight))
                break;
            at += sizeof eight;
        }
        size_t stop = len - at < sizeof eight ? len : at + sizeof eight;
        while (at < stop && is_plain((unsigned char)data[at]))
            at++;
        if (at >= len || is_plain((unsigned char)data[at]))
            continue;
        int step = (unsigned char)data[at] < 0x80 ? -1 : cf_text_utf8_step(data + at, len - at);
        if (step < 0)
            return at;
        at += (size_t)step;
    }
    return at;
}

/* Writes what stands for the one character that plain_run stopped at; returns its length. */
static size_t escape_one(struct cf_buf *out, const char *data, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    unsigned char c = (unsigned char)data[0];
    const char *shorter = NULL;

    switch (c) {
    case '"': shorter = "\\\""; break;
    case '\\': shorter = "\\\\"; break;
    case '\b': shorter = "\\b"; break;
    case '\f': shorter = "\\f"; break;
    case '\n': shorter = "\\n"; break;
    case '\r': shorter = "\\r"; break;
    case '\t': shorter = "\\t"; break;
    default: break;
    }
    if (shorter != NULL) {
        cf_buf_append(out, shorter, 2);
        return 1;
    }
    if (c < 0x20) {
        char text[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
        cf_buf_append(out, text, sizeof text);
        return 1;
    }
    cf_buf_append(out, "\xef\xbf\xbd", 3);
    return (size_t)-cf_text_utf8_step(data, len);
}

static void quote(struct cf_buf *out, const char *data, size_t len)
{
    cf_buf_putc(out, '"');
    for (size_t at = 0; at < len && !out->failed;) {
        size_t run = plain_run(data + at, len - at);
        if (run > 0)
            cf_buf_append(out, data + at, run);
        at += run;
        if (at < len)
            at += escape_one(out, data + at, len - at);
    }
    cf_buf_putc(out, '"');
}

/* What stands before every value: the comma and the key. */
static void lead(struct cf_jsonw *w, const char *key)
{
    if (w->comma)
        cf_buf_putc(w->out, ',');
    w->comma = true;
    if (key != NULL) {
        quote(w->out, key, strlen(key));
        cf_buf_putc(w->out, ':');
    }
}

static void open_with(struct cf_jsonw *w, const char *key, char bracket)
{
    lead(w, key);
    cf_buf_putc(w->out, bracket);
    w->comma = false;
}

static void close_with(struct cf_jsonw *w, char bracket)
{
    cf_buf_putc(w->out, bracket);
    w->comma = true;
}

void cf_jsonw_object(struct cf_jsonw *w, const char *key)
{
    open_with(w, key, '{');
}

void cf_jsonw_object_end(struct cf_jsonw *w)
{
    close_with(w, '}');
}

void cf_jsonw_array(struct cf_jsonw *w, const char *key)
{
    open_with(w, key, '[');
}

void cf_jsonw_array_end(struct cf_jsonw *w)
{
    close_with(w, ']');
}

void cf_jsonw_bytes(struct cf_jsonw *w, const char *key, const char *data, size_t len)
{
    lead(w, key);
    quote(w->out, data, len);
}

void cf_jsonw_str(struct cf_jsonw *w, const char *key, const char *value)
{
    if (value == NULL)
        cf_jsonw_null(w, key);
    else
        cf_jsonw_bytes(w, key, value, strlen(value));
}

void cf_jsonw_int(struct cf_jsonw *w, const char *key, int64_t value)
{
    lead(w, key);
    cf_buf_printf(w->out, "%" PRId64, value);
}

void cf_jsonw_bool(struct cf_jsonw *w, const char *key, bool value)
{
    lead(w, key);
    cf_buf_puts(w->out, value ? "true" : "false");
}

void cf_jsonw_null(struct cf_jsonw *w, const char *key)
{
    lead(w, key);
    cf_buf_puts(w->out, "null");
}

/* Writes seconds with at least `decimals` (0 or 1) and at most nine decimals. */
static void write_seconds(struct cf_buf *out, int64_t ns, int decimals)
{
    uint64_t abs = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    char fraction[16];
    int len = snprintf(fraction, sizeof fraction, "%09" PRIu64, abs % NS_PER_S);

    while (len > decimals && fraction[len - 1] == '0')
        len--;
    fraction[len] = '\0';
    cf_buf_printf(out, "%s%" PRIu64 "%s%s", ns < 0 ? "-" : "", abs / NS_PER_S, len > 0 ? "." : "", fraction);
}

void cf_jsonw_seconds(struct cf_jsonw *w, const char *key, int64_t ns)
{
    lead(w, key);
    write_seconds(w->out, ns, 1);
}

void cf_jsonw_duration(struct cf_jsonw *w, const char *key, int64_t ns)
{
    lead(w, key);
    write_seconds(w->out, ns, 0);
}

void cf_jsonw_double(struct cf_jsonw *w, const char *key, double value)
{
    char text[40];

    if (!isfinite(value)) {
        cf_jsonw_null(w, key);
        return;
    }
    /* 15 digits survive any decimal, 17 any double: take the shorter one that reads back the same. */
    (void)snprintf(text, sizeof text, "%.15g", value);
    if (strtod(text, NULL) != value)
        (void)snprintf(text, sizeof text, "%.17g", value);
    lead(w, key);
    cf_buf_puts(w->out, text);
}

void cf_jsonw_raw(struct cf_jsonw *w, const char *key, const char *json, size_t len)
{
    lead(w, key);
    cf_buf_append(w->out, json, len);
}
