/* screen_csi.c: control sequences: the cursor, erasing and moving, modes. */
#include "server/screen_private.h"

#include <string.h>

/* A parameter, or `fallback` when it was left out. */
static int param(const struct cf_vt_csi *csi, int i, int fallback)
{
    return i < csi->count && csi->param[i] >= 0 ? csi->param[i] : fallback;
}

/* A count: 1 when it was left out or is 0. */
static int count(const struct cf_vt_csi *csi)
{
    int n = param(csi, 0, 1);
    return n > 0 ? n : 1;
}

/* ---- the cursor */

/* Up and down stop at the scroll region's edge, unless the cursor is beyond it already. */
static void up(struct cf_screen *screen, int n)
{
    int first = screen->at.row >= screen->top ? screen->top : 0, row = screen->at.row - n;
    cf_screen_go(screen, row < first ? first : row, screen->at.col);
}

static void down(struct cf_screen *screen, int n)
{
    int last = (screen->at.row < screen->end ? screen->end : screen->rows) - 1, row = screen->at.row + n;
    cf_screen_go(screen, row > last ? last : row, screen->at.col);
}

static void cuu(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    up(screen, count(csi));
}

static void cud(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    down(screen, count(csi));
}

static void cuf(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    cf_screen_go(screen, screen->at.row, screen->at.col + count(csi));
}

static void cub(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    cf_screen_go(screen, screen->at.row, screen->at.col - count(csi));
}

static void cnl(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    down(screen, count(csi));
    screen->at.col = 0;
}

static void cpl(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    up(screen, count(csi));
    screen->at.col = 0;
}

static void cha(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    cf_screen_go(screen, screen->at.row, count(csi) - 1);
}

static int from_origin(const struct cf_screen *screen, int row)
{
    return row + (screen->origin ? screen->top : 0);
}

static void cup(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    cf_screen_go(screen, from_origin(screen, count(csi) - 1), param(csi, 1, 1) - 1);
}

static void vpa(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    cf_screen_go(screen, from_origin(screen, count(csi) - 1), screen->at.col);
}

static void vpr(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    cf_screen_go(screen, screen->at.row + count(csi), screen->at.col);
}

static void cht(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    int col = screen->at.col;
    for (int n = count(csi); n > 0 && col < screen->cols - 1; n--)
        do
            col++;
        while (col < screen->cols - 1 && !cf_screen_tab(screen, col));
    if (col != screen->at.col)
        cf_screen_go(screen, screen->at.row, col);
}

static void cbt(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    int col = screen->at.col;
    for (int n = count(csi); n > 0 && col > 0; n--)
        do
            col--;
        while (col > 0 && !cf_screen_tab(screen, col));
    cf_screen_go(screen, screen->at.row, col);
}

static void tbc(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    if (param(csi, 0, 0) == 0)
        cf_screen_set_tab(screen, screen->at.col, false);
    if (param(csi, 0, 0) == 3)
        memset(screen->tabs, 0, sizeof screen->tabs);
}

static void save(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    cf_screen_save(screen);
}

static void restore(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    cf_screen_restore(screen);
}

/* ---- erasing and moving */

static void erase(struct cf_screen *screen, int from, int to)
{
    const struct cf_cell blank = cf_screen_blank(screen);
    cf_screen_missed(screen, cf_grid_erase(cf_screen_grid(screen), screen->at.row, from, to, &blank));
}

static void el(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    switch (param(csi, 0, 0)) {
    case 0: erase(screen, screen->at.col, screen->cols); break;
    case 1: erase(screen, 0, screen->at.col + 1); break;
    case 2: erase(screen, 0, screen->cols); break;
    default: break;
    }
}

static void ed(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    const struct cf_cell blank = cf_screen_blank(screen);
    int what = param(csi, 0, 0);
    if (what < 2)
        el(screen, csi);
    if (what == 0)
        cf_grid_fill(cf_screen_grid(screen), screen->at.row + 1, screen->rows, &blank);
    else if (what == 1 || what == 2)
        cf_grid_fill(cf_screen_grid(screen), 0, what == 1 ? screen->at.row : screen->rows, &blank);
}

static void ech(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    int to = screen->at.col + count(csi);
    erase(screen, screen->at.col, to < screen->cols ? to : screen->cols);
}

static void ich(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    const struct cf_cell blank = cf_screen_blank(screen);
    screen->at.wrap = false;
    cf_screen_missed(screen,
                     cf_grid_insert(cf_screen_grid(screen), screen->at.row, screen->at.col, count(csi), &blank));
}

static void dch(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    const struct cf_cell blank = cf_screen_blank(screen);
    screen->at.wrap = false;
    cf_screen_missed(screen,
                     cf_grid_remove(cf_screen_grid(screen), screen->at.row, screen->at.col, count(csi), &blank));
}

/* Rows from `top` to the scroll region's end. */
static void scroll(struct cf_screen *screen, int top, int n)
{
    const struct cf_cell blank = cf_screen_blank(screen);
    cf_grid_scroll(cf_screen_grid(screen), top, screen->end, n, &blank);
}

static void lines(struct cf_screen *screen, int n)
{
    if (screen->at.row < screen->top || screen->at.row >= screen->end)
        return;
    scroll(screen, screen->at.row, n);
    cf_screen_go(screen, screen->at.row, 0);
}

static void il(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    lines(screen, -count(csi));
}

static void dl(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    lines(screen, count(csi));
}

static void su(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    scroll(screen, screen->top, count(csi));
}

static void sd(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    if (csi->count == 1)                /* of five it is something about the mouse */
        scroll(screen, screen->top, -count(csi));
}

static void decstbm(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    int top = count(csi), end = param(csi, 1, 0);
    if (end == 0 || end > screen->rows)
        end = screen->rows;
    if (top >= end && screen->rows > 1)
        return;
    screen->top = screen->rows > 1 ? top - 1 : 0;
    screen->end = end;
    cf_screen_go(screen, from_origin(screen, 0), 0);
}

/* Again what was printed last, in this line. */
static void rep(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    const struct cf_cell blank = cf_screen_blank(screen);
    uint32_t character = screen->last;
    int n = count(csi), left = screen->cols - screen->at.col, row = screen->at.row;
    bool insert = screen->insert;
    if (insert && character)            /* once for all, since moving the line for each would take a square of time */
        cf_screen_missed(screen,
                         cf_grid_insert(cf_screen_grid(screen), row, screen->at.col, n < left ? n : left, &blank));
    screen->insert = false;
    for (; character && n > 0 && left > 0 && !screen->at.wrap && screen->at.row == row; n--, left--)
        cf_screen_print(screen, character);
    screen->insert = insert;
}

static void sgr(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    cf_screen_sgr(&screen->pen, csi);
}

/* ---- modes */

static void alternate(struct cf_screen *screen, bool on)
{
    const struct cf_cell blank = cf_screen_blank(screen);
    if (!on && screen->shown) {
        cf_grid_free(&screen->grids[1]);
        screen->saved[1].set = false;
        screen->shown = 0;
    } else if (on) {
        if (!screen->shown && cf_grid_init(&screen->grids[1], screen->cols, screen->rows) < 0) {
            screen->missed = true;
            return;
        }
        screen->shown = 1;
        cf_grid_fill(&screen->grids[1], 0, screen->rows, &blank);
    }
}

static void with_cursor(struct cf_screen *screen, bool on)
{
    if (on)
        cf_screen_save(screen);
    alternate(screen, on);
    if (!on)
        cf_screen_restore(screen);
}

static void special_mode(struct cf_screen *screen, int number, bool on)
{
    switch (number) {
    case 6:
        screen->origin = on;
        cf_screen_go(screen, from_origin(screen, 0), 0);
        break;
    case 47:
    case 1047: alternate(screen, on); break;
    case 1048:
        if (on)
            cf_screen_save(screen);
        else
            cf_screen_restore(screen);
        break;
    case 1049: with_cursor(screen, on); break;
    case 66: screen->keypad = on; break;
    case 9:
    case 1000:
    case 1002:
    case 1003: screen->mouse = on ? number : 0; break;
    case 1005:
    case 1006:
    case 1015:
    case 1016: screen->mouse_encoding = on ? number : 0; break;
    default: break;
    }
}

static void dec_mode(struct cf_screen *screen, int number, bool on)
{
#define ROW(name, number, fresh, when_set) [CF_MODE_##name] = number,
    static const int numbers[] = { CF_SCREEN_MODES(ROW) };
#undef ROW
    for (int mode = 0; mode < CF_SCREEN_MODE_COUNT; mode++) {
        if (numbers[mode] != number)
            continue;
        screen->on[mode] = on;
        screen->touched[mode] = true;
        if (mode == CF_MODE_WRAP && !on)
            screen->at.wrap = false;
        return;
    }
    special_mode(screen, number, on);
}

static void dec_modes(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    for (int i = 0; i < csi->count; i++)
        dec_mode(screen, csi->param[i], csi->final == 'h');
}

static void ansi_modes(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    for (int i = 0; i < csi->count; i++) {
        if (csi->param[i] == 4)
            screen->insert = csi->final == 'h';
        if (csi->param[i] == 20)
            screen->newline = csi->final == 'h';
    }
}

static void soft_reset(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    cf_screen_reset(screen, false);
}

static void cursor_style(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    int style = param(csi, 0, 0);
    if (style <= 6)
        screen->cursor_style = style;
}

static void modify_keys(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    if (csi->count == 1 && csi->param[0] < 0)
        screen->other_keys = 0;
    else if (param(csi, 0, 0) == 4)
        screen->other_keys = param(csi, 1, 0) <= 2 ? param(csi, 1, 0) : 0;
}

/* ---- which is which */

#define KEY(leader, intermediate, final) ((uint32_t)(leader) << 16 | (uint32_t)(intermediate) << 8 | (uint32_t)(final))

static const struct {
    uint32_t key;
    void (*run)(struct cf_screen *screen, const struct cf_vt_csi *csi);
} sequences[] = {
    { KEY(0, 0, 'm'), sgr },
    { KEY(0, 0, 'H'), cup },
    { KEY(0, 0, 'K'), el },
    { KEY('?', 0, 'h'), dec_modes },
    { KEY('?', 0, 'l'), dec_modes },
    { KEY(0, 0, 'A'), cuu },
    { KEY(0, 0, 'B'), cud },
    { KEY(0, 0, 'C'), cuf },
    { KEY(0, 0, 'D'), cub },
    { KEY(0, 0, 'G'), cha },
    { KEY(0, 0, 'd'), vpa },
    { KEY(0, 0, 'J'), ed },
    { KEY('?', 0, 'J'), ed },
    { KEY('?', 0, 'K'), el },
    { KEY(0, 0, 'X'), ech },
    { KEY(0, 0, 'P'), dch },
    { KEY(0, 0, '@'), ich },
    { KEY(0, 0, 'L'), il },
    { KEY(0, 0, 'M'), dl },
    { KEY(0, 0, 'S'), su },
    { KEY(0, 0, 'T'), sd },
    { KEY(0, 0, 'r'), decstbm },
    { KEY(0, 0, 'b'), rep },
    { KEY(0, 0, 'E'), cnl },
    { KEY(0, 0, 'F'), cpl },
    { KEY(0, 0, '`'), cha },
    { KEY(0, 0, 'a'), cuf },
    { KEY(0, 0, 'e'), vpr },
    { KEY(0, 0, 'f'), cup },
    { KEY(0, 0, 'j'), cub },
    { KEY(0, 0, 'k'), cuu },
    { KEY(0, 0, 'I'), cht },
    { KEY(0, 0, 'Z'), cbt },
    { KEY(0, 0, 'g'), tbc },
    { KEY(0, 0, 's'), save },
    { KEY(0, 0, 'u'), restore },
    { KEY(0, 0, 'h'), ansi_modes },
    { KEY(0, 0, 'l'), ansi_modes },
    { KEY(0, '!', 'p'), soft_reset },
    { KEY(0, ' ', 'q'), cursor_style },
    { KEY('>', 0, 'm'), modify_keys },
};

void cf_screen_csi(struct cf_screen *screen, const struct cf_vt_csi *csi)
{
    uint32_t key = KEY(csi->leader, csi->intermediate, csi->final);
    for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++)
        if (sequences[i].key == key) {
            sequences[i].run(screen, csi);
            return;
        }
}
