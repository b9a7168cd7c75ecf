/* screen.c: following what a terminal is sent: characters, controls, and the sequences of two bytes. */
#include "server/screen_private.h"

#include "base/text.h"

#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define REPLACEMENT 0xfffd
#define CUT_LOOK 4096                   /* how far a cut beginning may reach; a sequence is shorter, but for pictures */

void cf_screen_missed(struct cf_screen *screen, int result)
{
    if (result < 0)
        screen->missed = true;
}

struct cf_cell cf_screen_blank(const struct cf_screen *screen)
{
    return (struct cf_cell){ .width = 1, .pen = { .bg = screen->pen.bg } };
}

/* ---- the cursor */

static int clamp(int value, int end)
{
    return value < 0 ? 0 : value >= end ? end - 1 : value;
}

void cf_screen_go(struct cf_screen *screen, int row, int col)
{
    int first = screen->origin ? screen->top : 0, end = screen->origin ? screen->end : screen->rows;
    row = row < first ? first : clamp(row, end);
    screen->at = (struct cf_place){ .row = row, .col = clamp(col, screen->cols) };
}

void cf_screen_index(struct cf_screen *screen)
{
    const struct cf_cell blank = cf_screen_blank(screen);
    screen->at.wrap = false;
    if (screen->at.row == screen->end - 1)
        cf_grid_scroll(cf_screen_grid(screen), screen->top, screen->end, 1, &blank);
    else if (screen->at.row < screen->rows - 1)
        screen->at.row++;
}

static void reverse_index(struct cf_screen *screen)
{
    const struct cf_cell blank = cf_screen_blank(screen);
    screen->at.wrap = false;
    if (screen->at.row == screen->top)
        cf_grid_scroll(cf_screen_grid(screen), screen->top, screen->end, -1, &blank);
    else if (screen->at.row > 0)
        screen->at.row--;
}

void cf_screen_save(struct cf_screen *screen)
{
    screen->saved[screen->shown] = (struct cf_saved){ .set = true,
                                                      .place = screen->at,
                                                      .pen = screen->pen,
                                                      .charsets = screen->charsets,
                                                      .origin = screen->origin };
}

static struct cf_charsets ascii(void)
{
    return (struct cf_charsets){ .set = { 'B', 'B', 'B', 'B' } };
}

void cf_screen_restore(struct cf_screen *screen)
{
    const struct cf_saved none = { .charsets = ascii() };
    const struct cf_saved *saved = screen->saved[screen->shown].set ? &screen->saved[screen->shown] : &none;
    screen->pen = saved->pen;
    screen->charsets = saved->charsets;
    screen->origin = saved->origin;
    cf_screen_go(screen, saved->place.row, saved->place.col);
    screen->at.wrap = saved->place.wrap && screen->on[CF_MODE_WRAP] && screen->at.col == screen->cols - 1;
}

/* ---- tab stops */

bool cf_screen_tab(const struct cf_screen *screen, int col)
{
    return screen->tabs[col / 8] & 1 << col % 8;
}

void cf_screen_set_tab(struct cf_screen *screen, int col, bool on)
{
    if (on)
        screen->tabs[col / 8] |= (uint8_t)(1 << col % 8);
    else
        screen->tabs[col / 8] &= (uint8_t) ~(1 << col % 8);
}

static void tab(struct cf_screen *screen)
{
    int col = screen->at.col + 1;
    while (col < screen->cols - 1 && !cf_screen_tab(screen, col))
        col++;
    if (screen->at.col < screen->cols - 1)
        cf_screen_go(screen, screen->at.row, col);
}

/* ---- characters */

/* The C library's opinion, which is that of bash and most of what runs in it.  0, 1 or 2 columns. */
static int width_of(struct cf_screen *screen, uint32_t character)
{
    if (character < 0x300)
        return 1;
    if (!screen->asked_locale) {
        screen->locale = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
        screen->asked_locale = true;
    }
    if (!screen->locale)
        return 1;
    locale_t before = uselocale(screen->locale);
    int width = wcwidth((wchar_t)character);
    uselocale(before);
    return width < 0 ? 1 : width > 2 ? 2 : width;
}

static uint32_t line_drawing(uint32_t c)
{
    static const uint16_t drawn[] = {
        0x00a0, 0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0x00b0, 0x00b1, 0x2424, 0x240b,       /* _ ` a-i */
        0x2518, 0x2510, 0x250c, 0x2514, 0x253c, 0x23ba, 0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c,       /* j-t */
        0x2524, 0x2534, 0x252c, 0x2502, 0x2264, 0x2265, 0x03c0, 0x2260, 0x00a3, 0x00b7,               /* u-z { | } ~ */
    };
    return c >= '_' && c <= '~' ? drawn[c - '_'] : c;
}

static uint32_t by_charset(struct cf_screen *screen, uint32_t character)
{
    int set = screen->single_shift ? screen->single_shift : screen->charsets.in_use;
    screen->single_shift = 0;
    switch (screen->charsets.set[set]) {
    case '0': return line_drawing(character);
    case 'A': return character == '#' ? 0xa3 : character;
    default: return character;
    }
}

static void add_mark(struct cf_screen *screen, uint32_t mark)
{
    int col = screen->at.wrap ? screen->at.col : screen->at.col - 1;
    if (col >= 0)
        cf_screen_missed(screen, cf_grid_mark(cf_screen_grid(screen), screen->at.row, col, mark));
}

void cf_screen_print(struct cf_screen *screen, uint32_t character)
{
    struct cf_grid *grid = cf_screen_grid(screen);
    int width = width_of(screen, character);
    if (width == 0) {
        add_mark(screen, character);
        return;
    }
    if (width > screen->cols) {
        character = REPLACEMENT;
        width = 1;
    }
    struct cf_place *at = &screen->at;
    bool wraps = screen->on[CF_MODE_WRAP];
    if (at->wrap || (at->col + width > screen->cols && wraps)) {
        cf_screen_index(screen);
        at->col = 0;
    } else if (at->col + width > screen->cols) {
        at->col = screen->cols - width;
    }
    if (screen->insert) {
        const struct cf_cell blank = cf_screen_blank(screen);
        cf_screen_missed(screen, cf_grid_insert(grid, at->row, at->col, width, &blank));
    }
    const struct cf_cell cell = { .character = character, .width = (uint16_t)width, .pen = screen->pen };
    cf_screen_missed(screen, cf_grid_put(grid, at->row, at->col, &cell));
    screen->last = character;
    at->col += width;
    if (at->col >= screen->cols) {
        at->col = screen->cols - 1;
        at->wrap = wraps;
    }
}

static void on_print(void *arg, uint32_t character)
{
    struct cf_screen *screen = arg;
    cf_screen_print(screen, by_charset(screen, character));
}

/* ---- controls and escapes */

static void on_control(void *arg, char control)
{
    struct cf_screen *screen = arg;
    switch (control) {
    case '\b': cf_screen_go(screen, screen->at.row, screen->at.col - 1); break;
    case '\t': tab(screen); break;
    case '\n':
    case '\v':
    case '\f':
        cf_screen_index(screen);
        if (screen->newline)
            screen->at.col = 0;
        break;
    case '\r': cf_screen_go(screen, screen->at.row, 0); break;
    case '\016': screen->charsets.in_use = 1; break;
    case '\017': screen->charsets.in_use = 0; break;
    default: break;
    }
}

static void alignment_test(struct cf_screen *screen)
{
    const struct cf_cell cell = { .character = 'E', .width = 1 };
    screen->top = 0;
    screen->end = screen->rows;
    screen->origin = false;
    cf_screen_go(screen, 0, 0);
    cf_grid_fill(cf_screen_grid(screen), 0, screen->rows, &cell);
}

static void designate(struct cf_screen *screen, int set, char final)
{
    screen->charsets.set[set] = final == '0' || final == 'A' ? final : 'B';
}

static void plain_escape(struct cf_screen *screen, char final)
{
    switch (final) {
    case '7': cf_screen_save(screen); break;
    case '8': cf_screen_restore(screen); break;
    case '=': screen->keypad = true; break;
    case '>': screen->keypad = false; break;
    case 'D': cf_screen_index(screen); break;
    case 'E':
        cf_screen_index(screen);
        screen->at.col = 0;
        break;
    case 'H': cf_screen_set_tab(screen, screen->at.col, true); break;
    case 'M': reverse_index(screen); break;
    case 'N': screen->single_shift = 2; break;
    case 'O': screen->single_shift = 3; break;
    case 'c': cf_screen_reset(screen, true); break;
    case 'n': screen->charsets.in_use = 2; break;
    case 'o': screen->charsets.in_use = 3; break;
    default: break;
    }
}

static void on_escape(void *arg, char intermediate, char final)
{
    struct cf_screen *screen = arg;
    switch (intermediate) {
    case 0: plain_escape(screen, final); break;
    case '(': designate(screen, 0, final); break;
    case ')':
    case '-': designate(screen, 1, final); break;
    case '*':
    case '.': designate(screen, 2, final); break;
    case '+':
    case '/': designate(screen, 3, final); break;
    case '#':
        if (final == '8')
            alignment_test(screen);
        break;
    default: break;
    }
}

static void on_csi(void *arg, const struct cf_vt_csi *csi)
{
    cf_screen_csi(arg, csi);
}

/* The title, without what a terminal would take for something else. */
static void on_osc(void *arg, const char *text, size_t len, bool cut)
{
    struct cf_screen *screen = arg;
    if (len < 2 || (text[0] != '0' && text[0] != '2') || text[1] != ';')
        return;
    screen->titled = true;
    screen->title_len = 0;
    for (size_t i = 2; i < len;) {
        int step = cf_text_utf8_step(text + i, len - i);
        bool control = step == 2 && (unsigned char)text[i] == 0xc2 && (unsigned char)text[i + 1] < 0xa0;
        if (step > 0 && !control && text[i] != 0x7f) {
            if (screen->title_len + (size_t)step > sizeof screen->title)
                break;
            memcpy(screen->title + screen->title_len, text + i, (size_t)step);
            screen->title_len += (size_t)step;
        }
        i += (size_t)abs(step);
    }
}

/* ---- a screen's life */

void cf_screen_reset(struct cf_screen *screen, bool hard)
{
#define ROW(name, number, fresh, when_set) [CF_MODE_##name] = fresh,
    static const bool fresh_modes[] = { CF_SCREEN_MODES(ROW) };
#undef ROW
    const struct cf_cell blank = { .width = 1 };
    screen->pen = (struct cf_pen){ 0 };
    screen->charsets = ascii();
    screen->single_shift = 0;
    screen->top = 0;
    screen->end = screen->rows;
    screen->origin = screen->insert = screen->keypad = false;
    screen->saved[screen->shown].set = false;
    screen->on[CF_MODE_CURSOR_KEYS] = false;
    screen->on[CF_MODE_WRAP] = screen->on[CF_MODE_VISIBLE] = true;
    if (!hard)
        return;
    cf_grid_free(&screen->grids[1]);
    screen->shown = 0;
    screen->saved[0].set = screen->saved[1].set = false;
    cf_grid_fill(&screen->grids[0], 0, screen->rows, &blank);
    memcpy(screen->on, fresh_modes, sizeof screen->on);
    memset(screen->touched, 0, sizeof screen->touched);
    screen->newline = false;
    screen->mouse = screen->mouse_encoding = screen->other_keys = 0;
    screen->cursor_style = -1;
    screen->last = 0;
    memset(screen->tabs, CF_SCREEN_FRESH_TABS, sizeof screen->tabs);
    cf_screen_go(screen, 0, 0);
}

static int check_size(int cols, int rows, struct cf_error *error)
{
    bool wide = cols < 1 || cols > CF_SCREEN_SIDE_MAX, high = rows < 1 || rows > CF_SCREEN_SIDE_MAX;
    if (!wide && !high)
        return 0;
    return cf_error_set(error, CF_E_INVALID, wide ? "cols" : "rows", "%s must be 1 to %d", wide ? "cols" : "rows",
                        CF_SCREEN_SIDE_MAX);
}

int cf_screen_new(int cols, int rows, struct cf_screen **ret_screen, struct cf_error *error)
{
    static const struct cf_vt_events events = {
        .print = on_print, .control = on_control, .escape = on_escape, .csi = on_csi, .osc = on_osc,
    };
    int code = check_size(cols, rows, error);
    if (code < 0)
        return code;
    struct cf_screen *screen = calloc(1, sizeof *screen);
    if (!screen || cf_grid_init(&screen->grids[0], cols, rows) < 0) {
        free(screen);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "no memory for a screen of %d columns and %d rows", cols,
                            rows);
    }
    screen->vt.events = &events;
    screen->vt.arg = screen;
    screen->cols = cols;
    screen->rows = rows;
    cf_screen_reset(screen, true);
    *ret_screen = screen;
    return 0;
}

void cf_screen_free(struct cf_screen **screen)
{
    if (!*screen)
        return;
    cf_grid_free(&(*screen)->grids[0]);
    cf_grid_free(&(*screen)->grids[1]);
    if ((*screen)->locale)
        freelocale((*screen)->locale);
    free(*screen);
    *screen = NULL;
}

void cf_screen_cut(struct cf_screen *screen)
{
    cf_vt_drop(&screen->vt);
    screen->cut_left = CUT_LOOK;
}

void cf_screen_feed(struct cf_screen *screen, const char *bytes, size_t len)
{
    /* Behind the first control nothing belongs to a sequence that began before. */
    while (screen->cut_left > 0 && len > 0) {
        if ((unsigned char)*bytes < 0x20) {
            screen->cut_left = 0;
        } else {
            screen->cut_left--;
            bytes++;
            len--;
        }
    }
    cf_vt_feed(&screen->vt, bytes, len);
}

int cf_screen_resize(struct cf_screen *screen, int cols, int rows, struct cf_error *error)
{
    int code = check_size(cols, rows, error);
    if (code < 0)
        return code;
    struct cf_grid resized[2] = { 0 };
    int gone[2] = { 0 };
    for (int i = 0; i <= screen->shown; i++) {
        /* What the alternate screen hides has its cursor saved. */
        int row = i == screen->shown ? screen->at.row : screen->saved[i].place.row;
        gone[i] = row >= rows ? row - rows + 1 : 0;
        if (cf_grid_resized(&screen->grids[i], cols, rows, gone[i], &resized[i]) < 0) {
            cf_grid_free(&resized[0]);
            return cf_error_set(error, CF_E_NO_MEMORY, NULL, "no memory for a screen of %d columns and %d rows", cols,
                                rows);
        }
    }
    for (int i = 0; i <= screen->shown; i++) {
        struct cf_place *saved = &screen->saved[i].place;
        cf_grid_free(&screen->grids[i]);
        screen->grids[i] = resized[i];
        *saved = (struct cf_place){ .row = clamp(saved->row - gone[i], rows), .col = clamp(saved->col, cols) };
    }
    screen->cols = cols;
    screen->rows = rows;
    screen->top = 0;
    screen->end = rows;
    cf_screen_go(screen, screen->at.row - gone[screen->shown], screen->at.col);
    return 0;
}
