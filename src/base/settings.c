/* settings.c: the table, and one value at a time. */
#include "base/settings.h"
#include "base/clock.h"
#include "base/settings_row.h"
#include "base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LIST_BYTES 2048         /* of the longest LIST row and its NUL */
#define SHOWN_BYTES 48          /* of a refused value in its message */

#define SETTING(name, type, section, min, max, def, when, aliases, env, help)                                   \
    _Static_assert(CF_SETTING_##type != CF_SETTING_LIST || (max) < LIST_BYTES, #name ": LIST_BYTES is too small"); \
    _Static_assert(CF_SETTING_##type != CF_SETTING_DURATION || (max) < INT64_MAX / CF_NS_PER_S, #name ": too long");
#include "tables/settings.def"
#undef SETTING

static const struct cf_setting rows[CF_SETTING_ROWS] = {
#define SETTING(name, type, section, min, max, def, when, aliases, env, help)                                   \
    { #name, section, CF_SETTING_##type, min, max, def, CF_SETTING_##when, aliases, env, help,                  \
      offsetof(struct cf_settings, name) },
#include "tables/settings.def"
#undef SETTING
};

/* TEXT rows that are one of a few words. */
static const struct {
    size_t index;
    const char *words;
} word_rows[] = {
    { CF_SETTING_INDEX_log_level, "error warning info debug" },
    { CF_SETTING_INDEX_containment, "auto cgroup+pidns cgroup pidns subreaper" },
    { CF_SETTING_INDEX_terminal_input, "shared single" },
};

const struct cf_setting *cf_setting_row(size_t i)
{
    return i < CF_SETTING_ROWS ? &rows[i] : NULL;
}

const struct cf_setting *cf_setting_find(const char *name)
{
    for (size_t i = 0; i < CF_SETTING_ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

size_t cf_setting_index(const struct cf_setting *row)
{
    return (size_t)(row - rows);
}

void *cf_setting_at(struct cf_settings *s, const struct cf_setting *row)
{
    return (char *)s + row->offset;
}

const void *cf_setting_peek(const struct cf_settings *s, const struct cf_setting *row)
{
    return (const char *)s + row->offset;
}

static size_t member_size(const struct cf_setting *row)
{
    switch (row->type) {
    case CF_SETTING_BOOL:
        return sizeof(bool);
    case CF_SETTING_TEXT:
    case CF_SETTING_LIST:
        return (size_t)row->max + 1;
    default:
        return sizeof(int64_t);
    }
}

void cf_setting_copy(struct cf_settings *to, const struct cf_settings *from, const struct cf_setting *row)
{
    memcpy(cf_setting_at(to, row), cf_setting_peek(from, row), member_size(row));
}

const char *cf_setting_words(const struct cf_setting *row)
{
    for (size_t i = 0; i < sizeof word_rows / sizeof *word_rows; i++)
        if (word_rows[i].index == cf_setting_index(row))
            return word_rows[i].words;
    return NULL;
}

bool cf_words_have(const char *words, const char *word, size_t len)
{
    while (len > 0 && *words != '\0') {
        size_t next = strcspn(words, " ");
        if (next == len && memcmp(words, word, len) == 0)
            return true;
        words += next;
        words += strspn(words, " ");
    }
    return false;
}

static const char *words_range(const char *words, char *buf, size_t size)
{
    size_t len = (size_t)snprintf(buf, size, "one of ");

    for (; *words != '\0' && len + 3 < size; words++) {
        if (*words == ' ')
            buf[len++] = ',';
        buf[len++] = *words;
    }
    buf[len] = '\0';
    return buf;
}

const char *cf_setting_range(const struct cf_setting *row, char *buf, size_t size)
{
    const char *words = cf_setting_words(row);
    const char *fmt = "";

    if (words != NULL)
        return words_range(words, buf, size);
    switch (row->type) {
    case CF_SETTING_BOOL:
        (void)snprintf(buf, size, "true or false");
        return buf;
    case CF_SETTING_TEXT:
        (void)snprintf(buf, size, "text of %" PRId64 " to %" PRId64 " bytes in UTF-8 without control characters",
                       row->min, row->max);
        return buf;
    case CF_SETTING_LIST:
        (void)snprintf(buf, size, "a list without empty items or control characters, %" PRId64 " to %" PRId64
                       " bytes in UTF-8", row->min, row->max);
        return buf;
    case CF_SETTING_INT:
        fmt = "a whole number";
        break;
    case CF_SETTING_BYTES:
        fmt = "a number of bytes";
        break;
    case CF_SETTING_DURATION:
        fmt = "a duration";
        break;
    }
    (void)snprintf(buf, size, "%s from %" PRId64 " to %" PRId64 "%s", fmt, row->min, row->max,
                   row->type == CF_SETTING_DURATION ? " seconds" : "");
    return buf;
}

int cf_setting_complain(const struct cf_setting *row, const char *label, const char *text, size_t len,
                        struct cf_error *error)
{
    char range[CF_SETTING_RANGE_BYTES], shown[SHOWN_BYTES];
    bool number = row->type != CF_SETTING_TEXT && row->type != CF_SETTING_LIST && len > 0 && len < SHOWN_BYTES
                  && text[0] >= '+' && text[0] <= '9' && memchr(text, '\0', len) == NULL
                  && memchr(text, ' ', len) == NULL;
    const char *quote = number ? "" : "\"";

    (void)cf_text_escape(shown, sizeof shown, text, len);
    return cf_error_set(error, CF_E_INVALID, row->name, "%s must be %s, not %s%s%s%s", label,
                        cf_setting_range(row, range, sizeof range), quote, shown,
                        len >= SHOWN_BYTES ? "…" : "", quote);
}

/* Digits with an optional sign, and nothing else. */
static bool read_int(const char *text, size_t len, int64_t *ret_value)
{
    bool negative = len > 0 && text[0] == '-';
    size_t at = len > 0 && (text[0] == '-' || text[0] == '+') ? 1 : 0;
    int64_t value = 0;

    if (at == len)
        return false;
    for (; at < len; at++) {
        int digit = text[at] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(value, 10, &value)
            || __builtin_sub_overflow(value, digit, &value))
            return false;
    }
    /* Gathered below zero, where there is room for one more. */
    if (!negative && value == INT64_MIN)
        return false;
    *ret_value = negative ? value : -value;
    return true;
}

static bool read_bytes(const char *text, size_t len, int64_t *ret_value)
{
    int64_t unit = 1, value;

    switch (len > 0 ? text[len - 1] : '\0') {
    case 'k': case 'K': unit = INT64_C(1) << 10; break;
    case 'm': case 'M': unit = INT64_C(1) << 20; break;
    case 'g': case 'G': unit = INT64_C(1) << 30; break;
    default: break;
    }
    if (unit > 1)
        len--;
    if (!read_int(text, len, &value) || __builtin_mul_overflow(value, unit, &value))
        return false;
    *ret_value = value;
    return true;
}

static bool read_duration(const char *text, size_t len, int64_t *ret_ns)
{
    char copy[64];

    if (len >= sizeof copy || memchr(text, '\0', len) != NULL)
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    return cf_duration_parse(copy, ret_ns) == 0;
}

static bool read_bool(const char *text, size_t len, bool *ret_value)
{
    bool yes = cf_words_have("true 1 yes on", text, len);

    if (!yes && !cf_words_have("false 0 no off", text, len))
        return false;
    *ret_value = yes;
    return true;
}

static bool is_clean(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return cf_text_is_utf8(text, len);
}

static bool store_text(const struct cf_setting *row, const char *text, size_t len, char *member)
{
    const char *words = cf_setting_words(row);

    if (len < (size_t)row->min || len > (size_t)row->max || !is_clean(text, len)
        || (words != NULL && !cf_words_have(words, text, len)))
        return false;
    memmove(member, text, len);
    memset(member + len, 0, (size_t)row->max + 1 - len);
    return true;
}

/* Stores "a, b" as "a,b". */
static bool store_list(const struct cf_setting *row, const char *text, size_t len, char *member)
{
    char made[LIST_BYTES];
    size_t wrote = 0;

    for (size_t at = 0; len > 0 && at <= len;) {
        const char *comma = memchr(text + at, ',', len - at);
        size_t next = comma != NULL ? (size_t)(comma - text) : len, end = next;
        while (at < end && (text[at] == ' ' || text[at] == '\t'))
            at++;
        while (end > at && (text[end - 1] == ' ' || text[end - 1] == '\t'))
            end--;
        if (end == at || wrote + (end - at) + 1 > sizeof made)
            return false;
        if (wrote > 0)
            made[wrote++] = ',';
        memcpy(made + wrote, text + at, end - at);
        wrote += end - at;
        at = next + 1;
    }
    return store_text(row, made, wrote, member);
}

static bool store(struct cf_settings *s, const struct cf_setting *row, const char *text, size_t len)
{
    void *member = cf_setting_at(s, row);
    int64_t unit = row->type == CF_SETTING_DURATION ? CF_NS_PER_S : 1, value = 0;
    bool ok = false;

    switch (row->type) {
    case CF_SETTING_BOOL:
        return read_bool(text, len, member);
    case CF_SETTING_TEXT:
        return store_text(row, text, len, member);
    case CF_SETTING_LIST:
        return store_list(row, text, len, member);
    case CF_SETTING_INT:
        ok = read_int(text, len, &value);
        break;
    case CF_SETTING_BYTES:
        ok = read_bytes(text, len, &value);
        break;
    case CF_SETTING_DURATION:
        ok = read_duration(text, len, &value);
        break;
    }
    if (!ok || value < row->min * unit || value > row->max * unit)
        return false;
    memcpy(member, &value, sizeof value);
    return true;
}

int cf_setting_parse(struct cf_settings *s, const struct cf_setting *row, const char *label,
                     const char *text, size_t len, struct cf_error *error)
{
    if (store(s, row, text, len))
        return 0;
    return cf_setting_complain(row, label, text, len, error);
}

int cf_settings_set(struct cf_settings *s, const char *name, const char *text, struct cf_error *error)
{
    const struct cf_setting *row = cf_setting_find(name);

    if (row == NULL)
        return cf_error_set(error, CF_E_UNKNOWN_FIELD, name, "there is no setting of this name");
    return cf_setting_parse(s, row, row->name, text, strlen(text), error);
}

void cf_settings_default(struct cf_settings *s)
{
    memset(s, 0, sizeof *s);
    for (size_t i = 0; i < CF_SETTING_ROWS; i++) {
        bool ok = store(s, &rows[i], rows[i].text_default, strlen(rows[i].text_default));
        assert(ok && "a row's default is outside its own range");
        (void)ok;
    }
}
