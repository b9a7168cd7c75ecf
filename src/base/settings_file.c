/* settings_file.c: the configuration file, a strict subset of TOML, line by line. */
#include "base/agents.h"
#include "base/fd.h"
#include "base/settings.h"
#include "base/settings_row.h"
#include "base/text.h"
#include "base/toml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES (1024 * 1024)
#define LABEL_BYTES 64

struct reader {
    struct cf_settings *s;
    struct cf_settings before;          /* to give a row back what it had */
    struct cf_complaints *c;
    const char *name;
    unsigned line;
    const char *section;                /* the table's own text; NULL: none yet, or not to be judged */
    bool skip;                          /* below a section that the table does not have */
    unsigned section_line[CF_SETTING_ROWS];     /* by the section's first row; 0: not seen */
    unsigned key_line[CF_SETTING_ROWS];
};

__attribute__((format(printf, 2, 3)))
static void complain(struct reader *r, const char *fmt, ...)
{
    char text[768];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cf_complaints_add(r->c, "%.200s:%u: %s", r->name, r->line, text);
}

/* The first row of a section, or NULL. */
static const struct cf_setting *find_section(const char *name, size_t len)
{
    const struct cf_setting *row;

    for (size_t i = 0; (row = cf_setting_row(i)) != NULL; i++)
        if (strlen(row->section) == len && memcmp(row->section, name, len) == 0)
            return row;
    return NULL;
}

/* The row that a key means; `section` NULL: in whichever section. */
static const struct cf_setting *find_key(const char *section, const char *key, size_t len)
{
    const struct cf_setting *row;

    for (size_t i = 0; (row = cf_setting_row(i)) != NULL; i++) {
        if (section != NULL && strcmp(row->section, section) != 0)
            continue;
        if (cf_words_have(row->name, key, len) || cf_words_have(row->aliases, key, len))
            return row;
    }
    return NULL;
}

static void read_section(struct reader *r, struct cf_toml_cursor *at)
{
    size_t len;

    r->section = NULL;
    r->skip = true;
    if (cf_agents_claim(at->p, (size_t)(at->end - at->p)))
        return;                         /* read below, with all others of its kind */
    const char *name = cf_toml_section(at, &len);
    if (name == NULL) {
        complain(r, "a section is written [name], alone on its line");
        return;
    }
    const struct cf_setting *first = find_section(name, len);
    if (first == NULL) {
        complain(r, "[%.*s]: there is no such section; its keys were not looked at", (int)len, name);
        return;
    }
    unsigned *seen = &r->section_line[cf_setting_index(first)];
    if (*seen != 0)
        complain(r, "[%s]: this section is in line %u already", first->section, *seen);
    else
        *seen = r->line;
    r->section = first->section;
    r->skip = false;
}

static void complain_unknown(struct reader *r, const char *key, size_t len)
{
    const struct cf_setting *other = find_key(NULL, key, len);
    int width = (int)len;

    if (other != NULL && r->section == NULL)
        complain(r, "%.*s: no section before it; it belongs below [%s]", width, key, other->section);
    else if (other != NULL)
        complain(r, "%.*s: not a key of [%s]; it belongs below [%s]", width, key, r->section, other->section);
    else if ((other = cf_setting_nearest(key, len)) != NULL)
        complain(r, "%.*s: there is no such key; did you mean %s in [%s]?", width, key, other->name, other->section);
    else
        complain(r, "%.*s: there is no such key", width, key);
}

/* The row that the key may set now; NULL after a complaint. */
static const struct cf_setting *claim_key(struct reader *r, const char *key, size_t len)
{
    const struct cf_setting *row = r->section == NULL ? NULL : find_key(r->section, key, len);

    if (row == NULL) {
        complain_unknown(r, key, len);
        return NULL;
    }
    unsigned *seen = &r->key_line[cf_setting_index(row)];
    if (*seen != 0) {
        bool alias = !cf_words_have(row->name, key, len);
        complain(r, "%.*s%s%s: set in line %u already", (int)len, key, alias ? ", another name of " : "",
                 alias ? row->name : "", *seen);
        cf_setting_copy(r->s, &r->before, row);
        return NULL;
    }
    *seen = r->line;
    return row;
}

static bool fits(enum cf_setting_type type, enum cf_toml_kind kind)
{
    switch (type) {
    case CF_SETTING_BOOL:
        return kind == CF_TOML_BOOL;
    case CF_SETTING_INT:
        return kind == CF_TOML_INT;
    case CF_SETTING_BYTES:
        return kind == CF_TOML_INT || kind == CF_TOML_TEXT;
    case CF_SETTING_DURATION:
        return kind == CF_TOML_INT || kind == CF_TOML_FLOAT || kind == CF_TOML_TEXT;
    case CF_SETTING_TEXT:
        return kind == CF_TOML_TEXT;
    case CF_SETTING_LIST:
        return kind == CF_TOML_LIST || kind == CF_TOML_TEXT;
    }
    return false;
}

static void read_value(struct reader *r, const struct cf_setting *row, const char *label, struct cf_toml_cursor *at)
{
    static const char *const kinds[] = {
        [CF_TOML_TEXT] = "text in quotes", [CF_TOML_INT] = "a whole number", [CF_TOML_FLOAT] = "a number with a point",
        [CF_TOML_BOOL] = "true or false", [CF_TOML_LIST] = "a list in brackets",
    };
    char range[CF_SETTING_RANGE_BYTES];
    struct cf_toml_value value;
    struct cf_error error;

    const char *problem = cf_toml_value(at, &value);
    if (problem == NULL && !cf_toml_at_end(at))
        problem = "there is text after the value";
    (void)cf_setting_range(row, range, sizeof range);
    if (problem != NULL)
        complain(r, "%s must be %s: %s", label, range, problem);
    else if (!fits(row->type, value.kind))
        complain(r, "%s must be %s, not %s", label, range, kinds[value.kind]);
    else if (cf_setting_parse(r->s, row, label, value.text, value.len, &error) < 0)
        complain(r, "%s", error.text);
}

static void read_key(struct reader *r, struct cf_toml_cursor *at)
{
    char label[LABEL_BYTES];
    size_t len;
    const char *key = cf_toml_key(at, &len);

    if (r->skip && key != NULL)
        return;
    if (key == NULL || len >= sizeof label) {
        complain(r, "expected [section] or key = value");
        return;
    }
    memcpy(label, key, len);
    label[len] = '\0';
    const struct cf_setting *row = claim_key(r, key, len);
    if (row == NULL)
        return;
    if (!cf_toml_equals(at)) {
        char range[CF_SETTING_RANGE_BYTES];
        complain(r, "%s must be %s: there is no = after it", label, cf_setting_range(row, range, sizeof range));
        return;
    }
    read_value(r, row, label, at);
}

/* Control bytes and bytes that are not UTF-8 are nowhere allowed, comments included, as TOML has it. */
static bool is_clean(struct reader *r, const char *line, size_t len)
{
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)line[i];
        int step = cf_text_utf8_step(line + i, len - i);
        if (step < 0 || (c < 0x20 && c != '\t') || c == 0x7f) {
            struct cf_toml_cursor at = { line, line + i };
            size_t key_len;
            const char *key = cf_toml_key(&at, &key_len);
            complain(r, "%.*s%sbyte 0x%02x in column %zu is %s", key != NULL ? (int)key_len : 0,
                     key != NULL ? key : "", key != NULL ? ": " : "", c, i + 1,
                     step < 0 ? "not UTF-8" : "a control character");
            return false;
        }
        i += (size_t)step;
    }
    return true;
}

static void read_line(struct reader *r, const char *line, size_t len)
{
    if (len > 0 && line[len - 1] == '\r')
        len--;
    struct cf_toml_cursor at = { line, line + len };
    if (len > CF_TOML_LINE_BYTES) {
        size_t key_len;
        const char *key = cf_toml_key(&at, &key_len);
        complain(r, "%.*s%sthe line has %zu bytes, %d are allowed", key != NULL ? (int)key_len : 0,
                 key != NULL ? key : "", key != NULL ? ": " : "", len, CF_TOML_LINE_BYTES);
        return;
    }
    if (!is_clean(r, line, len) || cf_toml_at_end(&at))
        return;
    if (*at.p == '[')
        read_section(r, &at);
    else
        read_key(r, &at);
}

void cf_settings_read_text(struct cf_settings *s, const char *name, const char *text, size_t len,
                           struct cf_complaints *c)
{
    struct reader r = { .s = s, .before = *s, .c = c, .name = name };
    const char *end = text + len;

    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;      /* a byte order mark, as some editors write */
    const char *start = text;
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *stop = newline != NULL ? newline : end;
        r.line++;
        read_line(&r, text, (size_t)(stop - text));
        text = newline != NULL ? newline + 1 : end;
    }
    /* Kept by who starts them; here all that counts is whether they are right. */
    struct cf_agents *agents = cf_agents_read_text(name, start, (size_t)(end - start), c);
    cf_agents_free(&agents);
}

void cf_settings_read_file(struct cf_settings *s, const char *path, struct cf_complaints *c)
{
    char *text = NULL;
    size_t len = 0;

    if (cf_fd_read_file(AT_FDCWD, path, FILE_BYTES, &text, &len) < 0) {
        if (errno == EFBIG)
            cf_complaints_add(c, "%s: larger than %d bytes", path, FILE_BYTES);
        else
            cf_complaints_add(c, "%s: cannot be read: %s", path, strerror(errno));
        return;
    }
    cf_settings_read_text(s, path, text, len, c);
    free(text);
}
