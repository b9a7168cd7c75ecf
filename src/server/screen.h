/* screen.h: what a terminal shows, kept so that it can be shown to someone who comes later.
 *
 * A viewer who joins cannot be sent the bytes again: a question among them (ESC [ 6 n) would be answered into the
 * shell, a sequence whose beginning is gone would be printed, and everything since the last clearing would flicker by.
 * So the bytes are followed here as a terminal follows them, and what stands on the screen in the end is written anew:
 * its cells with their colours, the cursor, and the modes on which later output and the keys depend.  docs/screen.md
 * says what is followed and what is not.
 *
 * Whatever the bytes are, they cost at most about a microsecond each (usual ones 6 ns), a screen takes at most 32 bytes
 * a cell, twice, and a drawing at most CF_SCREEN_DRAW_MAX. */
#ifndef CURFEW_SERVER_SCREEN_H
#define CURFEW_SERVER_SCREEN_H

#include "base/buf.h"
#include "base/error.h"

#include <stddef.h>

#define CF_SCREEN_SIDE_MAX 1000         /* columns and rows: 1 to this */

/* The most that one drawing may have.  A screen that would take more is drawn in one colour. */
#define CF_SCREEN_DRAW_MAX(cols, rows) (2 * ((size_t)64 * 1024 + (size_t)(cols) * (size_t)(rows) * 16))

struct cf_screen;

/* A blank screen.  0, CF_E_INVALID (naming cols or rows) or CF_E_NO_MEMORY.  Freed by cf_screen_free. */
int cf_screen_new(int cols, int rows, struct cf_screen **ret_screen, struct cf_error *error);
void cf_screen_free(struct cf_screen **screen);

/* Follows what the terminal was sent. */
void cf_screen_feed(struct cf_screen *screen, const char *bytes, size_t len);
/* Something is missing before what is fed next, which so may begin in the middle of a sequence or a character: what may belong to one is passed
 * over, up to the first control or 4,096 bytes. */
void cf_screen_cut(struct cf_screen *screen);

/* The terminal has another size now.  Lines are cut, not wrapped anew; rows go at the top when the cursor would be
 * lost. 0, CF_E_INVALID or CF_E_NO_MEMORY, with the screen as it was. */
int cf_screen_resize(struct cf_screen *screen, int cols, int rows, struct cf_error *error);

/* Appends what makes a terminal of the same size show the same and behave the same, whatever it showed before.  When
 * what was fed ends within a character or a sequence, so does this, and the rest may follow.  It never holds a
 * question, a bell, or anything that acts beyond the screen, but for the title.  0, or CF_E_NO_MEMORY, also when the
 * screen has missed something for lack of memory; `out` is as it was then. */
int cf_screen_paint(struct cf_screen *screen, struct cf_buf *out, struct cf_error *error);

#endif
