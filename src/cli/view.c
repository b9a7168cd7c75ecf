#include "cli/view.h"

#include "cli/table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TABLE_COLUMNS 16
#define VALUE_BYTES ((size_t)1 << 30)     /* no more than the answer that it is part of */

static bool ends_with(const char *name, const char *end)
{
    size_t a = strlen(name), b = strlen(end);

    return a >= b && strcmp(name + a - b, end) == 0;
}

static bool is_moment(const char *name)
{
    return ends_with(name, "_at") || strcmp(name, "last_used") == 0 || strcmp(name, "cleanup_time") == 0 || strcmp(name, "since") == 0 || strcmp(name, "at") == 0;
}

static bool is_seconds(const char *name)
{
    static const char *const ends[] = {"_timeout", "_interval", "_left", "_age"};

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (ends_with(name, ends[i]))
            return true;
    return strcmp(name, "grace") == 0 || strcmp(name, "inactive_time") == 0 || strcmp(name, "for") == 0 || strcmp(name, "in") == 0;
}

void cf_view_seconds(struct cf_buf *out, double seconds)
{
    long long s = seconds >= 0 && seconds < 1e15 ? (long long)seconds : 0;

    if (seconds > 0 && seconds < 1)
        cf_buf_printf(out, "%dms", (int)(seconds * 1000));
    else if (s < 60)
        cf_buf_printf(out, "%llds", s);
    else if (s < 3600)
        cf_buf_printf(out, s % 60 ? "%lldm%llds" : "%lldm", s / 60, s % 60);
    else if (s < 86400)
        cf_buf_printf(out, s % 3600 / 60 ? "%lldh%lldm" : "%lldh", s / 3600, s % 3600 / 60);
    else
        cf_buf_printf(out, s % 86400 / 3600 ? "%lldd%lldh" : "%lldd", s / 86400, s % 86400 / 3600);
}

static void moment(struct cf_buf *out, double unix_seconds)
{
    time_t at = unix_seconds > 0 && unix_seconds < 1e11 ? (time_t)unix_seconds : 0;
    struct tm parts;
    char text[40];

    if (localtime_r(&at, &parts) && strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts) > 0)
        cf_buf_puts(out, text);
}

void cf_view_value(struct cf_buf *out, const char *name, const json_t *value)
{
    char *text;

    if (json_is_string(value) && json_string_length(value) > 0) {
        cf_table_safe(out, json_string_value(value), json_string_length(value), true);
    } else if (json_is_boolean(value)) {
        cf_buf_puts(out, json_is_true(value) ? "yes" : "no");
    } else if (json_is_number(value) && ends_with(name, "_ms") && json_number_value(value) < 999.5) {
        cf_buf_printf(out, "%.3gms", json_number_value(value));
    } else if (!value || json_is_null(value) || json_is_string(value)) {
        cf_buf_puts(out, "-");
    } else if (json_is_number(value) && is_moment(name)) {
        moment(out, json_number_value(value));
    } else if (json_is_number(value) && is_seconds(name)) {
        cf_view_seconds(out, json_number_value(value));
    } else if (json_is_number(value) && ends_with(name, "_ms")) {
        cf_view_seconds(out, json_number_value(value) / 1000);
    } else if (json_is_real(value)) {
        cf_buf_printf(out, "%.6g", json_real_value(value));
    } else if ((text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY))) {
        cf_buf_puts(out, text);
        free(text);
    }
}

const char *cf_view_cell(char *text, size_t size, const char *name, const json_t *value)
{
    struct cf_buf cell;

    cf_buf_init(&cell, VALUE_BYTES);
    cf_view_value(&cell, name, value);
    snprintf(text, size, "%s", cell.data ? cell.data : "");
    cf_buf_free(&cell);
    return text;
}

/* "idle_left" is read as "idle left", "took_ms" as "took". */
static void label(struct cf_buf *out, const char *name)
{
    size_t len = strlen(name);

    if (ends_with(name, "_ms"))
        len -= 3;
    for (size_t i = 0; i < len; i++)
        cf_buf_putc(out, name[i] == '_' ? ' ' : name[i]);
}

static size_t label_width(const char *name)
{
    return strlen(name) - (ends_with(name, "_ms") ? 3 : 0);
}

static void spaces(struct cf_buf *out, size_t count)
{
    while (count-- > 0)
        cf_buf_putc(out, ' ');
}

static void text_block(struct cf_buf *out, const char *text, size_t len, size_t indent)
{
    const char *end = text + len;

    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text)), *stop = newline ? newline : end;

        cf_buf_putc(out, '\n');
        spaces(out, indent);
        cf_table_safe(out, text, (size_t)(stop - text), true);
        text = newline ? newline + 1 : end;
    }
}

static bool is_section(const json_t *value)
{
    return json_is_object(value) || json_is_array(value);
}

void cf_view_object(struct cf_buf *out, json_t *object, int indent)
{
    json_t *value;
    size_t widest = 0;
    const char *name;

    json_object_foreach(object, name, value)
        if (!is_section(value) && label_width(name) > widest)
            widest = label_width(name);
    json_object_foreach(object, name, value) {
        if (is_section(value))
            continue;
        spaces(out, (size_t)indent);
        label(out, name);
        cf_buf_putc(out, ':');
        if (json_is_string(value) && memchr(json_string_value(value), '\n', json_string_length(value))) {
            text_block(out, json_string_value(value), json_string_length(value), (size_t)indent + 4);
        } else {
            spaces(out, widest - label_width(name) + 2);
            cf_view_value(out, name, value);
        }
        cf_buf_putc(out, '\n');
    }
}

/* Texts, one a line. */
static void texts(struct cf_buf *out, const json_t *rows)
{
    json_t *row;
    size_t i;

    json_array_foreach(rows, i, row) {
        spaces(out, 2);
        cf_view_value(out, "", row);
        cf_buf_putc(out, '\n');
    }
}

static void list(struct cf_buf *out, const json_t *rows, bool colours)
{
    const char *heads[TABLE_COLUMNS];
    json_t *first = json_array_get(rows, 0), *row, *value;
    struct cf_table table;
    size_t columns = 0, i;
    char cell[256];
    const char *name;

    json_object_foreach(first, name, value)
        if (columns < TABLE_COLUMNS)
            heads[columns++] = name;
    if (columns == 0) {
        cf_buf_puts(out, "  none\n");
        return;
    }
    cf_table_init(&table, heads, columns);
    json_array_foreach(rows, i, row)
        for (size_t c = 0; c < columns; c++)
            cf_table_cell(&table, cf_view_cell(cell, sizeof cell, heads[c], json_object_get(row, heads[c])),
                          CF_COLOUR_NONE);
    cf_table_render(&table, out, colours);
    cf_table_free(&table);
}

void cf_view_sections(struct cf_buf *out, json_t *object, bool colours)
{
    json_t *value;
    const char *name;

    cf_view_object(out, object, 0);
    json_object_foreach(object, name, value) {
        struct cf_buf head;

        if (!is_section(value))
            continue;
        if (out->len > 0)
            cf_buf_putc(out, '\n');
        cf_buf_init(&head, 1024);
        label(&head, name);
        if (head.data)
            cf_table_paint(out, head.data, CF_COLOUR_HEAD, colours);
        cf_buf_free(&head);
        cf_buf_putc(out, '\n');
        if (json_is_string(json_array_get(value, 0)))
            texts(out, value);
        else if (json_is_array(value))
            list(out, value, colours);
        else
            cf_view_object(out, value, 2);
    }
}
