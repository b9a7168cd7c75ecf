/* settings_help.c: the table as a person reads it. */
#include "base/clock.h"
#include "base/jsonw.h"
#include "base/settings.h"
#include "base/settings_row.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HELP_INDENT 34          /* the longest flag with its value and two blanks */
#define HELP_WIDTH 110
#define NAME_BYTES 48           /* of the longest name that cf_setting_nearest compares */

void cf_settings_value(const struct cf_settings *s, const struct cf_setting *row, struct cf_buf *out)
{
    const void *member = cf_setting_peek(s, row);
    struct cf_jsonw w;
    int64_t number = 0;

    /* What JSON writes of these types is TOML as well. */
    cf_jsonw_init(&w, out);
    switch (row->type) {
    case CF_SETTING_BOOL:
        cf_jsonw_bool(&w, NULL, *(const bool *)member);
        return;
    case CF_SETTING_TEXT:
        cf_jsonw_str(&w, NULL, member);
        return;
    case CF_SETTING_LIST:
        cf_jsonw_array(&w, NULL);
        for (const char *p = member; *p != '\0'; p += *p == ',') {
            size_t len = strcspn(p, ",");
            cf_jsonw_bytes(&w, NULL, p, len);
            p += len;
        }
        cf_jsonw_array_end(&w);
        return;
    case CF_SETTING_INT:
    case CF_SETTING_BYTES:
    case CF_SETTING_DURATION:
        break;
    }
    memcpy(&number, member, sizeof number);
    if (row->type == CF_SETTING_DURATION)
        cf_jsonw_duration(&w, NULL, number);
    else
        cf_jsonw_int(&w, NULL, number);
}

/* Appends text in a column that begins at HELP_INDENT; the cursor stands at `at`. */
static void put_wrapped(struct cf_buf *out, size_t at, const char *text)
{
    bool first = true;

    while (*text != '\0') {
        size_t len = strcspn(text, " ");
        if (at > HELP_INDENT && (at + 1 + len > HELP_WIDTH || first)) {
            cf_buf_putc(out, '\n');
            at = 0;
        }
        if (at < HELP_INDENT) {
            cf_buf_printf(out, "%*s", (int)(HELP_INDENT - at), "");
            at = HELP_INDENT;
        } else if (!first) {
            cf_buf_putc(out, ' ');
            at++;
        }
        cf_buf_append(out, text, len);
        at += len;
        text += len;
        text += strspn(text, " ");
        first = false;
    }
    cf_buf_putc(out, '\n');
}

/* "1 to 86400 seconds, default 300 (5m); can be changed at run time". */
static void put_facts(struct cf_buf *out, const struct cf_setting *row)
{
    char range[CF_SETTING_RANGE_BYTES], text[512], readable[40] = "", duration[32];
    const char *shown = cf_setting_words(row) != NULL ? cf_setting_range(row, range, sizeof range) : "";
    int64_t ns;

    if (row->type == CF_SETTING_INT || row->type == CF_SETTING_BYTES || row->type == CF_SETTING_DURATION) {
        (void)snprintf(range, sizeof range, "%" PRId64 " to %" PRId64 "%s", row->min, row->max,
                       row->type == CF_SETTING_INT ? "" : row->type == CF_SETTING_BYTES ? " bytes" : " seconds");
        shown = range;
    }
    if (row->type == CF_SETTING_DURATION && cf_duration_parse(row->text_default, &ns) == 0 && ns >= 60 * CF_NS_PER_S)
        (void)snprintf(readable, sizeof readable, " (%s)", cf_duration_format(ns, duration, sizeof duration));
    bool has_default = row->text_default[0] != '\0';
    (void)snprintf(text, sizeof text, "%s%s%s%s%s%s%s%s", shown, *shown != '\0' && has_default ? ", " : "",
                   has_default ? "default " : "", row->text_default, readable,
                   row->when == CF_SETTING_NOW ? "; can be changed at run time" : "",
                   row->environment[0] != '\0' ? "; also " : "", row->environment);
    if (text[0] != '\0')
        put_wrapped(out, 0, text[0] == ';' ? text + 2 : text);
}

static void put_row(struct cf_buf *out, const struct cf_setting *row)
{
    static const char *const values[] = {
        [CF_SETTING_BOOL] = "", [CF_SETTING_INT] = " N", [CF_SETTING_BYTES] = " BYTES",
        [CF_SETTING_DURATION] = " TIME", [CF_SETTING_TEXT] = " TEXT", [CF_SETTING_LIST] = " A,B",
    };
    char flag[96];

    (void)snprintf(flag, sizeof flag, "  --%s%s", row->name, values[row->type]);
    for (char *p = flag; *p != '\0'; p++)
        if (*p == '_')
            *p = '-';
    cf_buf_puts(out, flag);
    put_wrapped(out, strlen(flag), row->help);
    put_facts(out, row);
}

void cf_settings_help(struct cf_buf *out)
{
    const struct cf_setting *row;
    const char *section = "";

    for (size_t i = 0; (row = cf_setting_row(i)) != NULL; i++) {
        if (strcmp(section, row->section) != 0) {
            section = row->section;
            cf_buf_printf(out, "%s[%s]\n", i > 0 ? "\n" : "", section);
        }
        put_row(out, row);
    }
}

/* The least number of letters to add, drop or change from one word to the other (Levenshtein). */
static size_t distance(const char *a, const char *b)
{
    size_t row[NAME_BYTES + 1], a_len = strlen(a), b_len = strlen(b);

    for (size_t j = 0; j <= b_len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t best = corner + (a[i - 1] != b[j - 1]);
            corner = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[b_len];
}

const struct cf_setting *cf_setting_nearest(const char *name, size_t len)
{
    const struct cf_setting *row, *nearest = NULL;
    char wanted[NAME_BYTES];
    size_t least = 3;               /* two slips at most, and no more than half of the word */

    if (len < 3 || len >= sizeof wanted)
        return NULL;
    for (size_t i = 0; i < len; i++)
        wanted[i] = name[i] == '-' ? '_' : (char)tolower((unsigned char)name[i]);
    wanted[len] = '\0';
    for (size_t i = 0; (row = cf_setting_row(i)) != NULL; i++) {
        size_t far = strlen(row->name) < sizeof wanted ? distance(wanted, row->name) : least;
        if (far < least && 2 * far <= len) {
            least = far;
            nearest = row;
        }
    }
    return nearest;
}
