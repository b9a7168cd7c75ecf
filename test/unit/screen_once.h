/* screen_once.h: a screen of its own for some bytes: the drawing of what they leave behind. */
#ifndef CURFEW_TEST_SCREEN_ONCE_H
#define CURFEW_TEST_SCREEN_ONCE_H

#include "server/screen.h"

#include <stdbool.h>

static int draw_once(const char *bytes, size_t len, bool cut, int cols, int rows, struct cf_buf *out, struct cf_error *error)
{
    struct cf_screen *screen;
    int code = cf_screen_new(cols, rows, &screen, error);
    if (code < 0)
        return code;
    if (cut)
        cf_screen_cut(screen);
    cf_screen_feed(screen, bytes, len);
    code = cf_screen_paint(screen, out, error);
    cf_screen_free(&screen);
    return code;
}

#endif
