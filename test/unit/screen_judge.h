/* screen_judge.h: another terminal's opinion: what libvterm shows after it was fed something.
 *
 * libvterm is not to be fed what may be anything (see docs/screen.md); what cf_screen_paint writes it takes well. */
#ifndef CURFEW_TEST_SCREEN_JUDGE_H
#define CURFEW_TEST_SCREEN_JUDGE_H

#include "base/buf.h"
#include "server/screen_private.h"

#include <vterm.h>

struct judge {
    VTerm *vt;
    VTermState *state;
    VTermScreen *screen;
    int cols, rows;
    bool visible, blink, alternate, reverse;
    int shape, mouse;                   /* as VTERM_PROP_… count them */
    char title[300];
    struct cf_buf answers;              /* what it would have typed */
    int bells;
};

void judge_open(struct judge *judge, int cols, int rows);
void judge_close(struct judge *judge);
void judge_feed(struct judge *judge, const char *bytes, size_t len);
void judge_puts(struct judge *judge, const char *text);

/* Whether private mode `number` is set, as it answers itself. */
bool judge_mode(struct judge *judge, int number);
bool judge_keypad(struct judge *judge);
/* "TOP;END" of the scroll region. */
void judge_region(struct judge *judge, int *ret_top, int *ret_end);

/* Row as text, trailing blanks left out. */
const char *judge_row(const struct judge *judge, int row, char text[static 8192]);

/* Fails the test unless both show the same characters with the same attributes (libvterm knows neither dim nor
 * concealed nor overlined), the cursor at the same place, and the same pen. */
void judge_agrees(const struct judge *judge, struct cf_screen *screen);
void judges_agree(const struct judge *a, const struct judge *b);

/* Fails the test when the text holds anything but characters and sequences of those that cf_screen_paint may write. */
void judge_harmless(const char *text, size_t len);

#endif
