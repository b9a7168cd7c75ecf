/* grid.c: the cells of one screen. */
#include "server/grid.h"

#include <stdlib.h>
#include <string.h>

static const struct cf_cell clear = { .width = 1 };

static struct cf_grid_line *line_of(const struct cf_grid *grid, int row)
{
    return &grid->lines[grid->order[row]];
}

static bool same(const struct cf_cell *a, const struct cf_cell *b)
{
    return a->character == b->character && a->marks == b->marks && a->width == b->width && a->pen.fg == b->pen.fg &&
           a->pen.bg == b->pen.bg && a->pen.flags == b->pen.flags;
}

static int min(int a, int b)
{
    return a < b ? a : b;
}

int cf_grid_init(struct cf_grid *grid, int cols, int rows)
{
    struct cf_grid_line *lines = calloc((size_t)rows, sizeof *lines);
    uint16_t *order = calloc((size_t)rows, sizeof *order);
    if (!lines || !order) {
        free(lines);
        free(order);
        return -1;
    }
    for (int row = 0; row < rows; row++) {
        lines[row].rest = clear;
        order[row] = (uint16_t)row;
    }
    *grid = (struct cf_grid){ .cols = cols, .rows = rows, .lines = lines, .order = order };
    return 0;
}

void cf_grid_free(struct cf_grid *grid)
{
    for (int row = 0; row < grid->rows; row++)
        free(grid->lines[row].cells);
    free(grid->lines);
    free(grid->order);
    *grid = (struct cf_grid){ 0 };
}

const struct cf_cell *cf_grid_cell(const struct cf_grid *grid, int row, int col)
{
    const struct cf_grid_line *line = line_of(grid, row);
    return col < line->used ? &line->cells[col] : &line->rest;
}

int cf_grid_used(const struct cf_grid *grid, int row)
{
    return line_of(grid, row)->used;
}

const struct cf_cell *cf_grid_rest(const struct cf_grid *grid, int row)
{
    return &line_of(grid, row)->rest;
}

/* Sees to it that the first `cols` cells are there. */
static int reach(const struct cf_grid *grid, struct cf_grid_line *line, int cols)
{
    if (cols <= line->used)
        return 0;
    if (!line->cells) {
        line->cells = malloc((size_t)grid->cols * sizeof *line->cells);
        if (!line->cells)
            return -1;
    }
    for (int col = line->used; col < cols; col++)
        line->cells[col] = line->rest;
    line->used = cols;
    return 0;
}

/* The line is going to be cut before `col`: a wide character there would lose a half, so it becomes two blanks. */
static void split(struct cf_grid_line *line, int col)
{
    if (col <= 0 || col >= line->used || line->cells[col].width != 0)
        return;
    for (int at = col - 1; at <= col; at++) {
        struct cf_pen pen = { .bg = line->cells[at].pen.bg };
        line->cells[at] = (struct cf_cell){ .width = 1, .pen = pen };
    }
}

int cf_grid_put(struct cf_grid *grid, int row, int col, const struct cf_cell *cell)
{
    struct cf_grid_line *line = line_of(grid, row);
    int width = cell->width;
    if (reach(grid, line, col + width) < 0)
        return -1;
    split(line, col);
    split(line, col + width);
    line->cells[col] = *cell;
    if (width == 2)
        line->cells[col + 1] = (struct cf_cell){ .width = 0, .pen = cell->pen };
    return 0;
}

int cf_grid_mark(struct cf_grid *grid, int row, int col, uint32_t mark)
{
    struct cf_grid_line *line = line_of(grid, row);
    if (reach(grid, line, col + 1) < 0)
        return -1;
    struct cf_cell *cell = &line->cells[col];
    if (cell->width == 0 && col > 0)
        cell--;
    for (int i = 0; i < CF_GRID_MARKS; i++)
        if ((cell->marks >> i * CF_GRID_MARK_BITS & CF_GRID_MARK) == 0) {
            cell->marks |= (uint64_t)mark << i * CF_GRID_MARK_BITS;
            break;
        }
    return 0;
}

int cf_grid_erase(struct cf_grid *grid, int row, int from, int to, const struct cf_cell *blank)
{
    struct cf_grid_line *line = line_of(grid, row);
    bool to_the_end = to >= grid->cols;
    if (reach(grid, line, to_the_end && !same(&line->rest, blank) ? from : min(to, grid->cols)) < 0)
        return -1;
    split(line, from);
    split(line, to);
    for (int col = from; col < min(to, line->used); col++)
        line->cells[col] = *blank;
    if (to_the_end) {
        line->used = min(line->used, from);
        line->rest = *blank;
    }
    return 0;
}

int cf_grid_insert(struct cf_grid *grid, int row, int col, int count, const struct cf_cell *blank)
{
    struct cf_grid_line *line = line_of(grid, row);
    count = min(count, grid->cols - col);
    if (reach(grid, line, grid->cols) < 0)
        return -1;
    split(line, col);
    split(line, grid->cols - count);
    memmove(&line->cells[col + count], &line->cells[col], (size_t)(grid->cols - col - count) * sizeof *line->cells);
    for (int at = col; at < col + count; at++)
        line->cells[at] = *blank;
    return 0;
}

int cf_grid_remove(struct cf_grid *grid, int row, int col, int count, const struct cf_cell *blank)
{
    struct cf_grid_line *line = line_of(grid, row);
    count = min(count, grid->cols - col);
    if (reach(grid, line, grid->cols) < 0)
        return -1;
    split(line, col);
    split(line, col + count);
    memmove(&line->cells[col], &line->cells[col + count], (size_t)(grid->cols - col - count) * sizeof *line->cells);
    for (int at = grid->cols - count; at < grid->cols; at++)
        line->cells[at] = *blank;
    return 0;
}

void cf_grid_fill(struct cf_grid *grid, int top, int end, const struct cf_cell *cell)
{
    for (int row = top; row < end; row++) {
        struct cf_grid_line *line = line_of(grid, row);
        line->used = 0;
        line->rest = *cell;
    }
}

static void reverse(uint16_t *from, uint16_t *to)
{
    while (from < --to) {
        uint16_t held = *from;
        *from++ = *to;
        *to = held;
    }
}

void cf_grid_scroll(struct cf_grid *grid, int top, int end, int count, const struct cf_cell *blank)
{
    int height = end - top, up = count > 0 ? min(count, height) : height - min(-count, height);
    uint16_t *first = &grid->order[top];
    if (up == 1) {
        /* By far the most common: a line feed in the last row. */
        uint16_t line = *first;
        memmove(first, first + 1, (size_t)(height - 1) * sizeof *first);
        first[height - 1] = line;
    } else {
        /* Turns by `up` rows: turning both parts around, and then the whole. */
        reverse(first, first + up);
        reverse(first + up, first + height);
        reverse(first, first + height);
    }
    if (count > 0)
        cf_grid_fill(grid, end - up, end, blank);
    else
        cf_grid_fill(grid, top, top + height - up, blank);
}

int cf_grid_resized(const struct cf_grid *grid, int cols, int rows, int gone, struct cf_grid *ret_grid)
{
    struct cf_grid next;
    if (cf_grid_init(&next, cols, rows) < 0)
        return -1;
    for (int row = 0; row < min(rows, grid->rows - gone); row++) {
        const struct cf_grid_line *from = line_of(grid, row + gone);
        struct cf_grid_line *to = line_of(&next, row);
        to->rest = from->rest;
        if (from->used == 0)
            continue;
        to->cells = malloc((size_t)cols * sizeof *to->cells);
        if (!to->cells) {
            cf_grid_free(&next);
            return -1;
        }
        to->used = min(from->used, cols);
        memcpy(to->cells, from->cells, (size_t)to->used * sizeof *to->cells);
        if (to->cells[to->used - 1].width == 2)         /* its right half is over the edge */
            to->cells[to->used - 1] = (struct cf_cell){ .width = 1, .pen = { .bg = to->cells[to->used - 1].pen.bg } };
    }
    *ret_grid = next;
    return 0;
}
