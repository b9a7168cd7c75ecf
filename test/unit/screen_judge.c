/* screen_judge.c: another terminal's opinion. */
#include "screen_judge.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static int on_prop(VTermProp prop, VTermValue *value, void *user)
{
    struct judge *judge = user;
    switch (prop) {
    case VTERM_PROP_CURSORVISIBLE: judge->visible = value->boolean; break;
    case VTERM_PROP_CURSORBLINK: judge->blink = value->boolean; break;
    case VTERM_PROP_ALTSCREEN: judge->alternate = value->boolean; break;
    case VTERM_PROP_REVERSE: judge->reverse = value->boolean; break;
    case VTERM_PROP_CURSORSHAPE: judge->shape = value->number; break;
    case VTERM_PROP_MOUSE: judge->mouse = value->number; break;
    case VTERM_PROP_TITLE: snprintf(judge->title, sizeof judge->title, "%s", value->string); break;
    default: break;
    }
    return 1;
}

static int on_bell(void *user)
{
    ((struct judge *)user)->bells++;
    return 1;
}

static void on_answer(const char *bytes, size_t len, void *user)
{
    cf_buf_append(&((struct judge *)user)->answers, bytes, len);
}

void judge_open(struct judge *judge, int cols, int rows)
{
    static const VTermScreenCallbacks callbacks = { .settermprop = on_prop, .bell = on_bell };
    *judge = (struct judge){ .vt = vterm_new(rows, cols), .cols = cols, .rows = rows };
    vterm_set_utf8(judge->vt, 1);
    cf_buf_init(&judge->answers, 4096);
    vterm_output_set_callback(judge->vt, on_answer, judge);
    judge->state = vterm_obtain_state(judge->vt);
    judge->screen = vterm_obtain_screen(judge->vt);
    vterm_screen_set_callbacks(judge->screen, &callbacks, judge);
    vterm_screen_enable_altscreen(judge->screen, 1);
    vterm_screen_reset(judge->screen, 1);
}

void judge_close(struct judge *judge)
{
    vterm_free(judge->vt);
    cf_buf_free(&judge->answers);
}

void judge_feed(struct judge *judge, const char *bytes, size_t len)
{
    vterm_input_write(judge->vt, bytes, len);
}

void judge_puts(struct judge *judge, const char *text)
{
    judge_feed(judge, text, strlen(text));
}

static const char *ask(struct judge *judge, const char *question)
{
    cf_buf_reset(&judge->answers);
    judge_puts(judge, question);
    return judge->answers.len ? judge->answers.data : "";
}

bool judge_mode(struct judge *judge, int number)
{
    char question[32], yes[32];
    snprintf(question, sizeof question, "\033[?%d$p", number);
    snprintf(yes, sizeof yes, "\033[?%d;1$y", number);
    return strcmp(ask(judge, question), yes) == 0;
}

bool judge_keypad(struct judge *judge)
{
    cf_buf_reset(&judge->answers);
    vterm_keyboard_key(judge->vt, VTERM_KEY_KP_0, VTERM_MOD_NONE);
    return strcmp(judge->answers.data, "\033Op") == 0;
}

void judge_region(struct judge *judge, int *ret_top, int *ret_end)
{
    assert_int_equal(sscanf(ask(judge, "\033P$qr\033\\"), "\033P1$r%d;%dr", ret_top, ret_end), 2);
}

const char *judge_row(const struct judge *judge, int row, char text[static 8192])
{
    VTermRect rect = { .start_row = row, .end_row = row + 1, .start_col = 0, .end_col = judge->cols };
    size_t len = vterm_screen_get_text(judge->screen, text, 8191, rect);
    while (len > 0 && text[len - 1] == ' ')
        len--;
    text[len] = '\0';
    return text;
}

/* ---- one cell in one form, whoever it comes from */

struct shown {
    uint32_t chars[1 + CF_GRID_MARKS];
    uint32_t fg, bg;
    unsigned flags;
};

#define KNOWN (CF_PEN_BOLD | CF_PEN_ITALIC | CF_PEN_BLINK | CF_PEN_REVERSE | CF_PEN_STRIKE | CF_PEN_UNDERLINES)

static uint32_t colour_of(VTermColor colour)
{
    if (colour.type & VTERM_COLOR_DEFAULT_MASK)
        return 0;
    if (VTERM_COLOR_IS_INDEXED(&colour))
        return CF_INDEXED | colour.indexed.idx;
    return CF_RGB | (uint32_t)colour.rgb.red << 16 | (uint32_t)colour.rgb.green << 8 | colour.rgb.blue;
}

/* A blank shows its background, and lines and reversal if it has them. */
static struct shown settle(struct shown shown)
{
    const unsigned seen = CF_PEN_REVERSE | CF_PEN_STRIKE | CF_PEN_UNDERLINES;
    if (shown.chars[0] == 0)
        shown.chars[0] = ' ';
    if (shown.chars[0] == ' ' && shown.chars[1] == 0 && !(shown.flags & seen)) {
        shown.fg = 0;
        shown.flags = 0;
    }
    return shown;
}

static struct shown judged(const struct judge *judge, int row, int col)
{
    VTermScreenCell cell;
    struct shown shown = { 0 };
    vterm_screen_get_cell(judge->screen, (VTermPos){ .row = row, .col = col }, &cell);
    for (int i = 0; i <= CF_GRID_MARKS && cell.chars[i]; i++)
        shown.chars[i] = cell.chars[i];
    shown.fg = colour_of(cell.fg);
    shown.bg = colour_of(cell.bg);
    shown.flags = (cell.attrs.bold ? CF_PEN_BOLD : 0) | (cell.attrs.italic ? CF_PEN_ITALIC : 0) |
                  (cell.attrs.blink ? CF_PEN_BLINK : 0) | (cell.attrs.reverse ? CF_PEN_REVERSE : 0) |
                  (cell.attrs.strike ? CF_PEN_STRIKE : 0) | cell.attrs.underline * CF_PEN_UNDERLINE;
    if (judge->reverse)                 /* it counts the whole screen's reversal in */
        shown.flags ^= CF_PEN_REVERSE;
    if (cell.chars[0] == 0)             /* what is erased keeps the background, here as in xterm; libvterm keeps all */
        shown.flags = 0;
    return settle(shown);
}

static struct shown followed(struct cf_screen *screen, int row, int col)
{
    const struct cf_cell *cell = cf_grid_cell(cf_screen_grid(screen), row, col);
    struct shown shown = {
        .chars = { cell->character }, .fg = cell->pen.fg, .bg = cell->pen.bg, .flags = cell->pen.flags & KNOWN
    };
    for (int i = 0; i < CF_GRID_MARKS; i++)
        shown.chars[i + 1] = cell->marks >> i * CF_GRID_MARK_BITS & CF_GRID_MARK;
    if ((shown.flags & CF_PEN_UNDERLINES) > 3 * CF_PEN_UNDERLINE)
        shown.flags = (shown.flags & ~(unsigned)CF_PEN_UNDERLINES) | CF_PEN_UNDERLINE;
    return settle(shown);
}

static void same_shown(struct shown a, struct shown b, int row, int col)
{
    if (memcmp(&a, &b, sizeof a) == 0)
        return;
    fail_msg("row %d, column %d: U+%04X U+%04X fg %x bg %x flags %x, and U+%04X U+%04X fg %x bg %x flags %x", row, col,
             a.chars[0], a.chars[1], a.fg, a.bg, a.flags, b.chars[0], b.chars[1], b.fg, b.bg, b.flags);
}

/* The right half of a wide character is nobody's. */
static bool is_half(const struct judge *judge, int row, int col)
{
    VTermScreenCell cell;
    if (col == 0)
        return false;
    vterm_screen_get_cell(judge->screen, (VTermPos){ .row = row, .col = col - 1 }, &cell);
    return cell.width == 2;
}

/* Behind a wide character in the last column, libvterm's cursor stands on its left half. */
static void same_cursor(const struct judge *judge, int row, int col)
{
    VTermPos at;
    vterm_state_get_cursorpos(judge->state, &at);
    if (at.row != row || (at.col != col && !(at.col == col - 1 && col == judge->cols - 1 && is_half(judge, row, col))))
        fail_msg("the cursor is at row %d, column %d, not at %d, %d", at.row, at.col, row, col);
}

static unsigned pen_flags(const struct judge *judge)
{
    static const struct {
        VTermAttr attr;
        unsigned flag;
    } rows[] = { { VTERM_ATTR_BOLD, CF_PEN_BOLD },
                 { VTERM_ATTR_ITALIC, CF_PEN_ITALIC },
                 { VTERM_ATTR_BLINK, CF_PEN_BLINK },
                 { VTERM_ATTR_REVERSE, CF_PEN_REVERSE },
                 { VTERM_ATTR_STRIKE, CF_PEN_STRIKE } };
    unsigned flags = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        VTermValue value;
        vterm_state_get_penattr(judge->state, rows[i].attr, &value);
        flags |= value.boolean ? rows[i].flag : 0;
    }
    return flags;
}

void judge_agrees(const struct judge *judge, struct cf_screen *screen)
{
    for (int row = 0; row < judge->rows; row++)
        for (int col = 0; col < judge->cols; col++)
            if (!is_half(judge, row, col))
                same_shown(judged(judge, row, col), followed(screen, row, col), row, col);
    same_cursor(judge, screen->at.row, screen->at.col);
    assert_int_equal(pen_flags(judge), screen->pen.flags & KNOWN & ~CF_PEN_UNDERLINES);
    VTermValue fg, bg;
    vterm_state_get_penattr(judge->state, VTERM_ATTR_FOREGROUND, &fg);
    vterm_state_get_penattr(judge->state, VTERM_ATTR_BACKGROUND, &bg);
    assert_int_equal(colour_of(fg.color), screen->pen.fg);
    assert_int_equal(colour_of(bg.color), screen->pen.bg);
}

void judges_agree(const struct judge *a, const struct judge *b)
{
    VTermPos at;
    for (int row = 0; row < a->rows; row++)
        for (int col = 0; col < a->cols; col++)
            if (!is_half(a, row, col))
                same_shown(judged(a, row, col), judged(b, row, col), row, col);
    vterm_state_get_cursorpos(b->state, &at);
    same_cursor(a, at.row, at.col);
    assert_int_equal(pen_flags(a), pen_flags(b));
}

/* ---- nothing that acts */

static void harmless_csi(void *arg, const struct cf_vt_csi *csi)
{
    static const char *const allowed[] = { "m", "H", "J", "C", "G", "r", "h", "l", "g", "?h", "?l", " q", ">m" };
    char name[4] = { 0 };
    size_t len = 0;
    for (const char *c = (const char[]){ csi->leader, csi->intermediate, csi->final, 0 }, *end = c + 3; c < end; c++)
        if (*c)
            name[len++] = *c;
    assert_true(csi->count <= 13);
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++)
        if (strcmp(allowed[i], name) == 0)
            return;
    fail_msg("CSI %s", name);
}

static void harmless_escape(void *arg, char intermediate, char final)
{
    if (intermediate ? !strchr("()*+", intermediate) || !strchr("B0A", final) : !strchr("7H=>noNO\\", final))
        fail_msg("ESC %c %c", intermediate ? intermediate : ' ', final);
}

static void harmless_control(void *arg, char control)
{
    if (!strchr("\r\n\016\017", control))
        fail_msg("control %#x", control);
}

static void harmless_osc(void *arg, const char *text, size_t len, bool cut)
{
    assert_true(len >= 2 && len <= 2 + CF_SCREEN_TITLE && !cut);
    assert_memory_equal(text, "2;", 2);
}

static void harmless_print(void *arg, uint32_t character)
{
}

void judge_harmless(const char *text, size_t len)
{
    static const struct cf_vt_events events = { harmless_print, harmless_control, harmless_escape, harmless_csi,
                                                harmless_osc };
    struct cf_vt vt = { .events = &events };
    cf_vt_feed(&vt, text, len);
}
