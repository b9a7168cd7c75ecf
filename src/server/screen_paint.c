/* screen_paint.c: a screen written as what makes another terminal show it. */
#include "server/screen_private.h"

#include <stdio.h>
#include <string.h>

#define ROW_AT 16                       /* bytes that a cell may take on average, see CF_SCREEN_DRAW_MAX */
#define SCREEN_AT ((size_t)48 * 1024)
#define GROUP_MAX 12                    /* parameters of one sequence; some terminals keep 16, and one breaks at more */

struct painter {
    struct cf_buf *out;
    const struct cf_screen *screen;
    struct cf_pen pen;                  /* what the other terminal's are now */
    int row, col;
    bool sure;                          /* of the column: terminals differ in how wide they think some characters are */
    bool plain;                         /* no colours, no combining characters */
};

/* ---- colours and attributes */

struct sgr {
    char text[160];
    size_t len;
    int count;                          /* parameters of the last sequence */
};

static void group(struct sgr *sgr, int count, const char *text)
{
    const char *between = sgr->count == 0 ? "" : sgr->count + count > GROUP_MAX ? "m\033[" : ";";
    if (sgr->count + count > GROUP_MAX)
        sgr->count = 0;
    sgr->count += count;
    sgr->len += (size_t)snprintf(sgr->text + sgr->len, sizeof sgr->text - sgr->len, "%s%s", between, text);
}

static void colour(struct sgr *sgr, uint32_t colour, int base)
{
    char text[24];
    int number = (int)(colour & 0xff);
    if (colour & CF_RGB) {
        snprintf(text, sizeof text, "%d;2;%d;%d;%d", base + 8, (int)(colour >> 16 & 0xff), (int)(colour >> 8 & 0xff),
                 number);
        group(sgr, 5, text);
    } else if (colour & CF_INDEXED && number >= 16) {
        snprintf(text, sizeof text, "%d;5;%d", base + 8, number);
        group(sgr, 3, text);
    } else {
        snprintf(text, sizeof text, "%d", colour == 0 ? base + 9 : number < 8 ? base + number : base + 60 + number - 8);
        group(sgr, 1, text);
    }
}

static void underline(struct sgr *sgr, uint16_t flags)
{
    char text[8];
    int style = (flags & CF_PEN_UNDERLINES) / CF_PEN_UNDERLINE;
    if (style >= 3) {
        snprintf(text, sizeof text, "4:%d", style);
        group(sgr, 2, text);
    } else {
        group(sgr, 1, style == 2 ? "21" : style == 1 ? "4" : "24");
    }
}

/* What turns one pen into another. */
static void change(struct sgr *sgr, const struct cf_pen *from, const struct cf_pen *to)
{
    static const struct {
        uint16_t flag;
        const char *on, *off;
    } flags[] = {
        { CF_PEN_ITALIC, "3", "23" }, { CF_PEN_BLINK, "5", "25" },  { CF_PEN_REVERSE, "7", "27" },
        { CF_PEN_CONCEAL, "8", "28" }, { CF_PEN_STRIKE, "9", "29" }, { CF_PEN_OVERLINE, "53", "55" },
    };
    const uint16_t weight = CF_PEN_BOLD | CF_PEN_DIM;
    uint16_t had = from->flags & weight, has = to->flags & weight;
    if (had & ~has) {                    /* both go by one number */
        group(sgr, 1, "22");
        had = 0;
    }
    if (has & ~had & CF_PEN_BOLD)
        group(sgr, 1, "1");
    if (has & ~had & CF_PEN_DIM)
        group(sgr, 1, "2");
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if ((from->flags ^ to->flags) & flags[i].flag)
            group(sgr, 1, to->flags & flags[i].flag ? flags[i].on : flags[i].off);
    if ((from->flags ^ to->flags) & CF_PEN_UNDERLINES)
        underline(sgr, to->flags);
    if (from->fg != to->fg)
        colour(sgr, to->fg, 30);
    if (from->bg != to->bg)
        colour(sgr, to->bg, 40);
}

static void use_pen(struct painter *p, const struct cf_pen *pen)
{
    static const struct cf_pen none = { 0 };
    if (p->plain || (p->pen.fg == pen->fg && p->pen.bg == pen->bg && p->pen.flags == pen->flags))
        return;
    struct sgr step = { .len = 0 }, anew = { .len = 0 };
    change(&step, &p->pen, pen);
    change(&anew, &none, pen);
    if (anew.len == 0)
        cf_buf_puts(p->out, "\033[m");
    else if (anew.len + 2 < step.len)
        cf_buf_printf(p->out, "\033[;%sm", anew.text);
    else
        cf_buf_printf(p->out, "\033[%sm", step.text);
    p->pen = *pen;
}

/* ---- cells */

static bool shows(const struct painter *p, const struct cf_cell *cell)
{
    const uint16_t on_blanks = CF_PEN_UNDERLINES | CF_PEN_REVERSE | CF_PEN_STRIKE | CF_PEN_OVERLINE;
    if ((cell->character != 0 && cell->character != ' ') || (cell->marks && !p->plain))
        return true;
    return !p->plain && (cell->pen.bg != 0 || cell->pen.flags & on_blanks);
}

/* Whether all terminals can be expected to agree on the width. */
static bool agreed(const struct painter *p, const struct cf_cell *cell)
{
    static const struct {
        uint32_t first, last;
    } doubtful[] = {
        { 0x2300, 0x23ff },             /* technical signs, some of them emoji */
        { 0x2600, 0x27bf },             /* signs and dingbats */
        { 0x2b00, 0x2bff },
        { 0xe000, 0xf8ff },             /* private use: icons of patched fonts */
        { 0x10000, 0x10ffff },          /* emoji and what is new */
    };
    if (cell->marks && !p->plain)
        return false;
    for (size_t i = 0; i < sizeof doubtful / sizeof doubtful[0]; i++)
        if (cell->character >= doubtful[i].first && cell->character <= doubtful[i].last)
            return false;
    return true;
}

static void utf8(struct cf_buf *out, uint32_t c)
{
    char text[4];
    size_t len = 0;
    if (c < 0x80) {
        text[len++] = (char)c;
    } else if (c < 0x800) {
        text[len++] = (char)(0xc0 | c >> 6);
    } else if (c < 0x10000) {
        text[len++] = (char)(0xe0 | c >> 12);
        text[len++] = (char)(0x80 | (c >> 6 & 0x3f));
    } else {
        text[len++] = (char)(0xf0 | c >> 18);
        text[len++] = (char)(0x80 | (c >> 12 & 0x3f));
        text[len++] = (char)(0x80 | (c >> 6 & 0x3f));
    }
    if (c >= 0x80)
        text[len++] = (char)(0x80 | (c & 0x3f));
    cf_buf_append(out, text, len);
}

static void put_cell(struct painter *p, const struct cf_cell *cell)
{
    use_pen(p, &cell->pen);
    utf8(p->out, cell->character ? cell->character : ' ');
    for (uint64_t marks = p->plain ? 0 : cell->marks; marks; marks >>= CF_GRID_MARK_BITS)
        utf8(p->out, (uint32_t)marks & CF_GRID_MARK);
    p->col += cell->width;
    p->sure = agreed(p, cell) && p->col < p->screen->cols;
}

static void go(struct painter *p, int row, int col)
{
    if (row == p->row && p->sure && col == p->col)
        return;
    if (row == p->row && p->sure && col == p->col + 1)
        cf_buf_puts(p->out, "\033[C");
    else if (row == p->row && p->sure && col > p->col)
        cf_buf_printf(p->out, "\033[%dC", col - p->col);
    else if (row == p->row)
        cf_buf_printf(p->out, "\033[%dG", col + 1);
    else if (row == p->row + 1 && col == 0)
        cf_buf_puts(p->out, "\r\n");
    else if (col == 0)
        cf_buf_printf(p->out, "\033[%dH", row + 1);
    else
        cf_buf_printf(p->out, "\033[%d;%dH", row + 1, col + 1);
    p->row = row;
    p->col = col;
    p->sure = true;
}

static void paint_row(struct painter *p, const struct cf_grid *grid, int row)
{
    int end = shows(p, cf_grid_rest(grid, row)) ? grid->cols : cf_grid_used(grid, row);
    for (int col = 0; col < end; col++) {
        const struct cf_cell *cell = cf_grid_cell(grid, row, col);
        if (cell->width == 0 || !shows(p, cell))
            continue;
        go(p, row, col);
        /* In the last column a combining character finds its cell only while the cursor waits behind it. */
        bool wait = cell->marks && !p->plain && col + cell->width == grid->cols;
        cf_buf_puts(p->out, wait ? "\033[?7h" : "");
        put_cell(p, cell);
        cf_buf_puts(p->out, wait ? "\033[?7l" : "");
    }
}

static bool paint_rows(struct painter *p, const struct cf_grid *grid, size_t most)
{
    size_t start = p->out->len;
    p->row = p->col = 0;
    p->sure = true;
    for (int row = 0; row < grid->rows; row++) {
        paint_row(p, grid, row);
        if (p->out->failed || p->out->len - start > most)
            return false;
    }
    return true;
}

static void cut_back(struct cf_buf *out, size_t len)
{
    out->len = len;
    out->failed = false;
    if (out->data)
        out->data[len] = '\0';
}

/* The whole screen, from its first column on, into a terminal that has just been cleared. */
static void paint_grid(struct painter *p, const struct cf_grid *grid)
{
    size_t start = p->out->len, cells = (size_t)grid->cols * (size_t)grid->rows;
    if (paint_rows(p, grid, SCREEN_AT + cells * ROW_AT))
        return;
    cut_back(p->out, start);
    p->pen = (struct cf_pen){ 0 };
    p->plain = true;
    paint_rows(p, grid, SIZE_MAX);
    p->plain = false;
}

/* ---- the cursor, and what belongs to it */

/* A cursor that waits behind the last column got there by writing it, so that is done again. */
static void place(struct painter *p, const struct cf_grid *grid, const struct cf_place *at, int first_row)
{
    int col = at->col;
    if (at->wrap && col > 0 && cf_grid_cell(grid, at->row, col)->width == 0)
        col--;
    cf_buf_printf(p->out, "\033[%d;%dH", at->row - first_row + 1, col + 1);
    if (!at->wrap)
        return;
    cf_buf_puts(p->out, "\033[?7h");
    put_cell(p, cf_grid_cell(grid, at->row, col));
}

static void charsets(struct cf_buf *out, const struct cf_charsets *charsets)
{
    static const char *const shifts[CF_SCREEN_CHARSETS] = { "", "\016", "\033n", "\033o" };
    for (int i = 0; i < CF_SCREEN_CHARSETS; i++)
        if (charsets->set[i] != 'B')
            cf_buf_printf(out, "\033%c%c", "()*+"[i], charsets->set[i]);
    cf_buf_puts(out, shifts[charsets->in_use]);
}

/* What a screen is painted under. */
static void begin(struct painter *p)
{
    cf_buf_puts(p->out, "\033[m\033(B\033)B\033*B\033+B\017\033[?6l\033[?7l\033[H\033[2J");
    p->pen = (struct cf_pen){ 0 };
}

static void at_saved(struct painter *p, const struct cf_grid *grid, const struct cf_saved *saved)
{
    if (saved->origin)
        cf_buf_puts(p->out, "\033[?6h");
    place(p, grid, &saved->place, 0);
    use_pen(p, &saved->pen);
    charsets(p->out, &saved->charsets);
}

static void paint_saved(struct painter *p, const struct cf_grid *grid, const struct cf_saved *saved)
{
    if (!saved->set)
        return;
    at_saved(p, grid, saved);
    cf_buf_puts(p->out, "\0337\033(B\033)B\033*B\033+B\017\033[?6l\033[?7l");
}

static void paint_tabs(struct painter *p)
{
    const struct cf_screen *screen = p->screen;
    bool fresh = true;
    for (int col = 0; col < screen->cols; col++)
        fresh = fresh && cf_screen_tab(screen, col) == (col % 8 == 0);
    if (fresh)
        return;
    cf_buf_puts(p->out, "\033[3g");
    for (int col = 0; col < screen->cols; col++)
        if (cf_screen_tab(screen, col))
            cf_buf_printf(p->out, "\033[%dG\033H", col + 1);
}

static void paint_cursor(struct painter *p)
{
    const struct cf_screen *screen = p->screen;
    if (screen->top != 0 || screen->end != screen->rows)
        cf_buf_printf(p->out, "\033[%d;%dr", screen->top + 1, screen->end);
    if (screen->origin)
        cf_buf_puts(p->out, "\033[?6h");
    place(p, &screen->grids[screen->shown], &screen->at, screen->origin ? screen->top : 0);
    use_pen(p, &screen->pen);
    charsets(p->out, &screen->charsets);
}

/* ---- modes */

static void paint_mouse(struct painter *p)
{
    static const int modes[] = { 9, 1000, 1002, 1003, 1005, 1006, 1015, 1016 };
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++)
        cf_buf_printf(p->out, "\033[?%dl", modes[i]);
    if (p->screen->mouse)
        cf_buf_printf(p->out, "\033[?%dh", p->screen->mouse);
    if (p->screen->mouse_encoding)
        cf_buf_printf(p->out, "\033[?%dh", p->screen->mouse_encoding);
}

static void paint_modes(struct painter *p)
{
    static const struct {
        int number;
        bool when_set;
    } modes[] = {
#define ROW(name, number, fresh, when_set) { number, when_set },
        CF_SCREEN_MODES(ROW)
#undef ROW
    };
    const struct cf_screen *screen = p->screen;
    for (int i = 0; i < CF_SCREEN_MODE_COUNT; i++)
        if (screen->touched[i] || !modes[i].when_set)
            cf_buf_printf(p->out, "\033[?%d%c", modes[i].number, screen->on[i] ? 'h' : 'l');
    cf_buf_printf(p->out, "\033[4%c\033[20%c\033%c", screen->insert ? 'h' : 'l', screen->newline ? 'h' : 'l',
                  screen->keypad ? '=' : '>');
    paint_mouse(p);
    if (screen->cursor_style >= 0)
        cf_buf_printf(p->out, "\033[%d q", screen->cursor_style);
    if (screen->other_keys)
        cf_buf_printf(p->out, "\033[>4;%dm", screen->other_keys);
}

/* ---- */

static void paint(struct painter *p)
{
    const struct cf_screen *screen = p->screen;
    cf_buf_puts(p->out, "\033[?1049l\033[r\033[4l\033[20l\033[?25h");
    begin(p);
    if (screen->shown) {
        paint_grid(p, &screen->grids[0]);
        if (screen->saved[0].set)
            at_saved(p, &screen->grids[0], &screen->saved[0]);
        cf_buf_puts(p->out, screen->saved[0].set ? "\033[?1049h" : "\033[?1047h");
        begin(p);
    }
    paint_grid(p, &screen->grids[screen->shown]);
    paint_saved(p, &screen->grids[screen->shown], &screen->saved[screen->shown]);
    paint_tabs(p);
    paint_cursor(p);
    paint_modes(p);
    if (screen->titled) {
        cf_buf_puts(p->out, "\033]2;");
        cf_buf_append(p->out, screen->title, screen->title_len);
        cf_buf_puts(p->out, "\033\\");
    }
    if (screen->single_shift)
        cf_buf_puts(p->out, screen->single_shift == 2 ? "\033N" : "\033O");
    cf_vt_pending(&screen->vt, p->out);
}

int cf_screen_paint(struct cf_screen *screen, struct cf_buf *out, struct cf_error *error)
{
    struct painter painter = { .out = out, .screen = screen };
    size_t start = out->len;
    bool missed = screen->missed;
    screen->missed = false;
    if (!missed)
        paint(&painter);
    if (!missed && !out->failed)
        return 0;
    cut_back(out, start);
    return cf_error_set(error, CF_E_NO_MEMORY, NULL, "no memory for a drawing of the screen");
}
