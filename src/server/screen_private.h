/* screen_private.h: a screen from inside, shared by the files that follow, set modes and paint. */
#ifndef CURFEW_SERVER_SCREEN_PRIVATE_H
#define CURFEW_SERVER_SCREEN_PRIVATE_H

#include "server/grid.h"
#include "server/screen.h"
#include "server/vt.h"

#include <locale.h>

#define CF_SCREEN_TITLE 256
#define CF_SCREEN_CHARSETS 4            /* G0 to G3 */
#define CF_SCREEN_FRESH_TABS 1          /* of eight columns the first */

/* DEC private modes that are one switch.  Of each: its number, whether it is on in a fresh terminal, and whether it is
 * written only when the program has set it (since terminals differ in what they begin with). */
#define CF_SCREEN_MODES(ROW)                 \
    ROW(CURSOR_KEYS, 1, false, false)        \
    ROW(REVERSE, 5, false, false)            \
    ROW(WRAP, 7, true, false)                \
    ROW(BLINK, 12, false, true)              \
    ROW(VISIBLE, 25, true, false)            \
    ROW(FOCUS, 1004, false, false)           \
    ROW(ALTERNATE_SCROLL, 1007, false, true) \
    ROW(PASTE, 2004, false, false)

enum cf_screen_mode {
#define ROW(name, number, fresh, when_set) CF_MODE_##name,
    CF_SCREEN_MODES(ROW)
#undef ROW
    CF_SCREEN_MODE_COUNT
};

struct cf_place {
    int row, col;
    bool wrap;                          /* the last column was just written: the next character goes to the next line */
};

struct cf_charsets {
    char set[CF_SCREEN_CHARSETS];       /* 'B' ASCII, '0' line drawing, 'A' British */
    int in_use;
};

struct cf_saved {                       /* by DECSC */
    bool set;
    struct cf_place place;
    struct cf_pen pen;
    struct cf_charsets charsets;
    bool origin;
};

struct cf_screen {
    struct cf_vt vt;
    unsigned cut_left;                  /* bytes that may still be of what was cut; 0: none */
    struct cf_grid grids[2];            /* primary, alternate; the second one is there only while it is shown */
    struct cf_saved saved[2];
    int shown;
    int cols, rows;
    struct cf_place at;
    struct cf_pen pen;
    struct cf_charsets charsets;
    int single_shift;                   /* charset of the next character, 0 when none */
    int top, end;                       /* the scroll region's first row and the one behind its last */
    bool origin, insert, newline, keypad;
    bool on[CF_SCREEN_MODE_COUNT], touched[CF_SCREEN_MODE_COUNT];
    int mouse, mouse_encoding;          /* numbers of their modes, 0 when off */
    int cursor_style;                   /* of DECSCUSR, -1: never asked for */
    int other_keys;                     /* of XTMODKEYS 4 */
    uint8_t tabs[CF_SCREEN_SIDE_MAX / 8 + 1];           /* a bit a column */
    uint32_t last;                      /* the last character, for REP */
    char title[CF_SCREEN_TITLE];
    size_t title_len;
    bool titled;
    bool missed;                        /* no memory for something */
    locale_t locale;                    /* for the width of characters; 0 until it is needed, or when there is none */
    bool asked_locale;
};

static inline struct cf_grid *cf_screen_grid(struct cf_screen *screen)
{
    return &screen->grids[screen->shown];
}

/* screen.c */
void cf_screen_missed(struct cf_screen *screen, int result);
void cf_screen_go(struct cf_screen *screen, int row, int col);         /* anywhere; ends up inside */
void cf_screen_index(struct cf_screen *screen);
void cf_screen_save(struct cf_screen *screen);
void cf_screen_restore(struct cf_screen *screen);
void cf_screen_reset(struct cf_screen *screen, bool hard);
void cf_screen_print(struct cf_screen *screen, uint32_t character);
struct cf_cell cf_screen_blank(const struct cf_screen *screen);
bool cf_screen_tab(const struct cf_screen *screen, int col);
void cf_screen_set_tab(struct cf_screen *screen, int col, bool on);

/* screen_csi.c */
void cf_screen_csi(struct cf_screen *screen, const struct cf_vt_csi *csi);

/* screen_sgr.c */
void cf_screen_sgr(struct cf_pen *pen, const struct cf_vt_csi *csi);

#endif
