/* grid.h: the cells of one screen.
 *
 * A line holds cells only as far as something was written to it; behind them it is all of one cell.  So a line is
 * erased in one step, and a scroll moves line numbers: what a program prints costs by the byte, not by the size of the
 * screen. */
#ifndef CURFEW_SERVER_GRID_H
#define CURFEW_SERVER_GRID_H

#include <stdbool.h>
#include <stdint.h>

#define CF_GRID_MARKS 3                 /* combining characters that a cell keeps, in one word */
#define CF_GRID_MARK_BITS 21
#define CF_GRID_MARK 0x1fffffu

/* Colours: 0 the terminal's own, CF_INDEXED | number, CF_RGB | red, green, blue. */
#define CF_INDEXED 0x1000000u
#define CF_RGB 0x2000000u

enum cf_pen_flag {
    CF_PEN_BOLD = 1,
    CF_PEN_DIM = 2,
    CF_PEN_ITALIC = 4,
    CF_PEN_BLINK = 8,
    CF_PEN_REVERSE = 16,
    CF_PEN_CONCEAL = 32,
    CF_PEN_STRIKE = 64,
    CF_PEN_OVERLINE = 128,
    CF_PEN_UNDERLINE = 256,             /* times 1 to 5: single, double, curly, dotted, dashed */
};
#define CF_PEN_UNDERLINES (7 * CF_PEN_UNDERLINE)

struct cf_pen {
    uint32_t fg, bg;
    uint16_t flags;
};

/* A wide character is a cell of width 2 and one of width 0 to its right.  `character` 0 is a blank that nobody wrote.
 */
struct cf_cell {
    uint64_t marks;                     /* the first in the lowest bits; 0 ends them */
    uint32_t character;
    uint16_t width;
    struct cf_pen pen;
};

struct cf_grid_line {
    struct cf_cell *cells;              /* room for all columns, or NULL as long as nothing was written */
    int used;                           /* how many of them count */
    struct cf_cell rest;                /* what is behind them */
};

struct cf_grid {
    int cols, rows;
    struct cf_grid_line *lines;
    uint16_t *order;                    /* which line is shown in which row */
};

/* All rows and columns count from 0 and have to be inside; `to` is the first one behind.  Functions that return int
 * give 0, or -1 when there is no memory, with the grid as it was. */
int cf_grid_init(struct cf_grid *grid, int cols, int rows);
void cf_grid_free(struct cf_grid *grid);               /* also one that is zeroed */
/* The same in another size: without the first `gone` rows and what does not fit; what is new is blank. */
int cf_grid_resized(const struct cf_grid *grid, int cols, int rows, int gone, struct cf_grid *ret_grid);

const struct cf_cell *cf_grid_cell(const struct cf_grid *grid, int row, int col);
/* How many columns of the row may differ from what is behind the last one. */
int cf_grid_used(const struct cf_grid *grid, int row);
const struct cf_cell *cf_grid_rest(const struct cf_grid *grid, int row);

/* Writes a cell, of a width that fits in.  What it half covers becomes blank. */
int cf_grid_put(struct cf_grid *grid, int row, int col, const struct cf_cell *cell);
/* Adds a combining character to the cell, or to the wide one whose right half it is; one too many is dropped. */
int cf_grid_mark(struct cf_grid *grid, int row, int col, uint32_t mark);
int cf_grid_erase(struct cf_grid *grid, int row, int from, int to, const struct cf_cell *blank);
/* Moves what is from `col` on by `count` > 0 columns to the right or to the left; what goes over the edge is lost. */
int cf_grid_insert(struct cf_grid *grid, int row, int col, int count, const struct cf_cell *blank);
int cf_grid_remove(struct cf_grid *grid, int row, int col, int count, const struct cf_cell *blank);
/* Moves rows `top` up to, not including, `end` up by `count` (down when it is negative). */
void cf_grid_scroll(struct cf_grid *grid, int top, int end, int count, const struct cf_cell *blank);
void cf_grid_fill(struct cf_grid *grid, int top, int end, const struct cf_cell *cell);

#endif
