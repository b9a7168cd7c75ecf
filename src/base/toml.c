/* toml.c: the pieces of one line. */
#include "base/toml.h"

#include <stdint.h>
#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_bare(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_' || c == '-';
}

static void skip_blanks(struct cf_toml_cursor *at)
{
    while (at->p < at->end && is_blank(*at->p))
        at->p++;
}

static bool take(struct cf_toml_cursor *at, char c)
{
    if (at->p == at->end || *at->p != c)
        return false;
    at->p++;
    return true;
}

bool cf_toml_at_end(struct cf_toml_cursor *at)
{
    skip_blanks(at);
    return at->p == at->end || *at->p == '#';
}

const char *cf_toml_key(struct cf_toml_cursor *at, size_t *ret_len)
{
    skip_blanks(at);
    const char *start = at->p;
    while (at->p < at->end && is_bare(*at->p))
        at->p++;
    if (at->p == start)
        return NULL;
    *ret_len = (size_t)(at->p - start);
    return start;
}

const char *cf_toml_section(struct cf_toml_cursor *at, size_t *ret_len)
{
    size_t len;

    skip_blanks(at);
    if (!take(at, '['))
        return NULL;
    const char *name = cf_toml_key(at, &len);
    skip_blanks(at);
    if (name == NULL || !take(at, ']') || !cf_toml_at_end(at))
        return NULL;
    *ret_len = len;
    return name;
}

bool cf_toml_equals(struct cf_toml_cursor *at)
{
    skip_blanks(at);
    return take(at, '=');
}

/* A value never has more bytes than its line, which bounds every append. */
static void put(struct cf_toml_value *v, char c)
{
    v->text[v->len++] = c;
}

static void put_utf8(struct cf_toml_value *v, uint32_t c)
{
    if (c < 0x80) {
        put(v, (char)c);
        return;
    }
    int tail = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };
    put(v, (char)(lead[tail] | c >> (6 * tail)));
    while (tail-- > 0)
        put(v, (char)(0x80 | (c >> (6 * tail) & 0x3f)));
}

/* \uXXXX or \UXXXXXXXX, from behind the u. */
static bool read_unicode(struct cf_toml_cursor *at, int digits, struct cf_toml_value *v)
{
    uint32_t c = 0;

    for (; digits > 0; digits--, at->p++) {
        static const char hex[] = "0123456789abcdef0123456789ABCDEF";
        const char *digit = at->p < at->end ? memchr(hex, *at->p, sizeof hex - 1) : NULL;
        if (digit == NULL)
            return false;
        c = c << 4 | (uint32_t)((digit - hex) & 15);
    }
    if (c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return false;
    put_utf8(v, c);
    return true;
}

static bool read_escape(struct cf_toml_cursor *at, struct cf_toml_value *v)
{
    static const char names[] = "btnfr\"\\", values[] = "\b\t\n\f\r\"\\";

    if (at->p == at->end)
        return false;
    char c = *at->p++;
    if (c == 'u' || c == 'U')
        return read_unicode(at, c == 'u' ? 4 : 8, v);
    const char *name = memchr(names, c, sizeof names - 1);
    if (name == NULL)
        return false;
    put(v, values[name - names]);
    return true;
}

/* "basic" or 'literal' text. */
static const char *read_text(struct cf_toml_cursor *at, struct cf_toml_value *v)
{
    char quote = *at->p++;

    while (at->p < at->end) {
        char c = *at->p++;
        if (c == quote)
            return NULL;
        if (quote == '"' && c == '\\') {
            if (!read_escape(at, v))
                return "the text has an escape that does not exist; write \\\\ for a backslash";
        } else {
            put(v, c);
        }
    }
    return "the text does not end on its line";
}

static const char *read_list(struct cf_toml_cursor *at, struct cf_toml_value *v)
{
    static const char endless[] = "the list does not end on its line";
    bool more = true;

    at->p++;
    for (;;) {
        skip_blanks(at);
        if (at->p == at->end)
            return endless;
        if (take(at, ']'))
            return NULL;
        if (!more)
            return "a comma is missing in the list";
        if (*at->p != '"' && *at->p != '\'')
            return "a list holds only text in quotes";
        if (v->len > 0)
            put(v, ',');
        size_t start = v->len;
        const char *problem = read_text(at, v);
        if (problem != NULL)
            return problem;
        if (v->len == start || memchr(v->text + start, ',', v->len - start) != NULL)
            return "an item of the list is empty or has a comma in it";
        skip_blanks(at);
        more = take(at, ',');
    }
}

/* Digits with single underscores between them; how many bytes they take, 0 for none. */
static size_t read_digits(const char *p, const char *end, struct cf_toml_value *v)
{
    const char *start = p;

    while (p < end && (is_digit(*p) || (*p == '_' && p > start && is_digit(p[-1]) && p + 1 < end && is_digit(p[1])))) {
        if (*p != '_')
            put(v, *p);
        p++;
    }
    return (size_t)(p - start);
}

/* A number as TOML writes it: no leading zeros, digits on both sides of a point. */
static bool read_number(const char *p, const char *end, struct cf_toml_value *v)
{
    v->kind = CF_TOML_INT;
    if (p < end && (*p == '+' || *p == '-'))
        put(v, *p++);
    if (end - p == 3 && (memcmp(p, "inf", 3) == 0 || memcmp(p, "nan", 3) == 0)) {
        v->kind = CF_TOML_FLOAT;
        for (; p < end; p++)
            put(v, *p);
        return true;
    }
    size_t len = read_digits(p, end, v);
    if (len == 0 || (len > 1 && *p == '0'))
        return false;
    p += len;
    if (p < end && *p == '.') {
        v->kind = CF_TOML_FLOAT;
        put(v, *p++);
        len = read_digits(p, end, v);
        if (len == 0)
            return false;
        p += len;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        v->kind = CF_TOML_FLOAT;
        put(v, *p++);
        if (p < end && (*p == '+' || *p == '-'))
            put(v, *p++);
        len = read_digits(p, end, v);
        if (len == 0)
            return false;
        p += len;
    }
    return p == end;
}

static const char *read_word(struct cf_toml_cursor *at, struct cf_toml_value *v)
{
    const char *start = at->p;

    while (at->p < at->end && !is_blank(*at->p) && *at->p != '#')
        at->p++;
    size_t len = (size_t)(at->p - start);
    if ((len == 4 && memcmp(start, "true", 4) == 0) || (len == 5 && memcmp(start, "false", 5) == 0)) {
        v->kind = CF_TOML_BOOL;
        memcpy(v->text, start, len);
        v->len = len;
        return NULL;
    }
    if (read_number(start, at->p, v))
        return NULL;
    bool numeric = is_digit(*start) || *start == '-' || *start == '+' || *start == '.';
    return numeric ? "this is not a number; text needs quotes" : "text needs quotes";
}

bool cf_toml_take(struct cf_toml_cursor *at, char c)
{
    skip_blanks(at);
    return take(at, c);
}

const char *cf_toml_text(struct cf_toml_cursor *at, struct cf_toml_value *ret_value)
{
    ret_value->kind = CF_TOML_TEXT;
    ret_value->len = 0;
    skip_blanks(at);
    if (at->p == at->end || (*at->p != '"' && *at->p != '\''))
        return "text needs quotes";
    const char *problem = read_text(at, ret_value);
    ret_value->text[ret_value->len] = '\0';
    return problem;
}

const char *cf_toml_value(struct cf_toml_cursor *at, struct cf_toml_value *ret_value)
{
    const char *problem;

    ret_value->len = 0;
    if (cf_toml_at_end(at))
        return "the value is missing";
    if (*at->p == '"' || *at->p == '\'') {
        ret_value->kind = CF_TOML_TEXT;
        problem = read_text(at, ret_value);
    } else if (*at->p == '[') {
        ret_value->kind = CF_TOML_LIST;
        problem = read_list(at, ret_value);
    } else {
        problem = read_word(at, ret_value);
    }
    ret_value->text[ret_value->len] = '\0';
    return problem;
}
