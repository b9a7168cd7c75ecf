#include "cli/table.h"

#include <string.h>

#define COLUMNS_MAX 16
#define CELLS_BYTES ((size_t)1 << 30)   /* no more than the answer that it is made of */

void cf_table_init(struct cf_table *t, const char *const *heads, size_t columns)
{
    memset(t, 0, sizeof *t);
    t->heads = heads;
    t->columns = columns < COLUMNS_MAX ? columns : COLUMNS_MAX;
    cf_buf_init(&t->cells, CELLS_BYTES);
}

void cf_table_free(struct cf_table *t)
{
    cf_buf_free(&t->cells);
}

/* Besides the C0 controls and DEL, the C1 controls U+0080 to U+009F, which are two bytes in UTF-8. */
void cf_table_safe(struct cf_buf *out, const char *text, size_t len, bool lines)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i], next = i + 1 < len ? (unsigned char)text[i + 1] : 0;

        if (c == 0xc2 && next >= 0x80 && next <= 0x9f) {
            cf_buf_printf(out, "\\x%02x\\x%02x", c, next);
            i++;
        } else if ((c < ' ' || c == 0x7f) && !(lines && (c == '\n' || c == '\t'))) {
            cf_buf_printf(out, "\\x%02x", c);
        } else {
            cf_buf_putc(out, (char)c);
        }
    }
}

void cf_table_cell(struct cf_table *t, const char *text, enum cf_colour colour)
{
    cf_buf_putc(&t->cells, (char)('0' + colour));
    cf_table_safe(&t->cells, text, strlen(text), false);
    cf_buf_putc(&t->cells, '\0');
    t->count++;
}

size_t cf_table_rows(const struct cf_table *t)
{
    return t->count / t->columns;
}

void cf_table_paint(struct cf_buf *out, const char *text, enum cf_colour colour, bool colours)
{
    static const char *const codes[] = {"", "\033[1m", "\033[32m", "\033[33m", "\033[31m"};

    if (colours && colour != CF_COLOUR_NONE) {
        cf_buf_puts(out, codes[colour]);
        cf_buf_puts(out, text);
        cf_buf_puts(out, "\033[0m");
    } else {
        cf_buf_puts(out, text);
    }
}

/* Where UTF-8 comes, each sequence counts as one column. */
static size_t width(const char *text)
{
    size_t columns = 0;

    for (; *text; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80;
    return columns;
}

static void cell_render(struct cf_buf *out, const char *text, enum cf_colour colour, size_t wide, bool last,
                        bool colours)
{
    cf_table_paint(out, text, colour, colours);
    if (last) {
        cf_buf_putc(out, '\n');
        return;
    }
    for (size_t i = width(text); i < wide + 2; i++)
        cf_buf_putc(out, ' ');
}

void cf_table_render(const struct cf_table *t, struct cf_buf *out, bool colours)
{
    size_t wide[COLUMNS_MAX], rows = cf_table_rows(t);
    const char *cell = t->cells.data;

    if (t->cells.failed)
        return;
    for (size_t i = 0; i < t->columns; i++)
        wide[i] = width(t->heads[i]);
    for (size_t i = 0; i < rows * t->columns; i++, cell += strlen(cell) + 1)
        if (width(cell + 1) > wide[i % t->columns])
            wide[i % t->columns] = width(cell + 1);
    for (size_t i = 0; i < t->columns; i++)
        cell_render(out, t->heads[i], CF_COLOUR_HEAD, wide[i], i + 1 == t->columns, colours);
    cell = t->cells.data;
    for (size_t i = 0; i < rows * t->columns; i++, cell += strlen(cell) + 1)
        cell_render(out, cell + 1, (enum cf_colour)(*cell - '0'), wide[i % t->columns],
                    i % t->columns + 1 == t->columns, colours);
}
