/* table.h: aligned columns for people. */
#ifndef CURFEW_CLI_TABLE_H
#define CURFEW_CLI_TABLE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

enum cf_colour { CF_COLOUR_NONE, CF_COLOUR_HEAD, CF_COLOUR_GOOD, CF_COLOUR_WARN, CF_COLOUR_BAD };

struct cf_table {
    const char *const *heads;
    size_t columns;
    struct cf_buf cells;                /* texts, NUL after each, the colour in the byte before */
    size_t count;
};

/* `heads` holds `columns` (at most 16) borrowed texts. */
void cf_table_init(struct cf_table *t, const char *const *heads, size_t columns);
void cf_table_free(struct cf_table *t);
/* The next cell, from left to right, row by row.  Control bytes are shown as \xNN, so that no session can drive the
 * terminal. */
void cf_table_cell(struct cf_table *t, const char *text, enum cf_colour colour);
size_t cf_table_rows(const struct cf_table *t);
/* Appends head and rows, columns as wide as their widest cell and two spaces apart, no space at a line's end. */
void cf_table_render(const struct cf_table *t, struct cf_buf *out, bool colours);

/* Appends `text` with what could drive a terminal shown as \xNN; newlines and tabs stay when `lines`. */
void cf_table_safe(struct cf_buf *out, const char *text, size_t len, bool lines);
void cf_table_paint(struct cf_buf *out, const char *text, enum cf_colour colour, bool colours);

#endif
