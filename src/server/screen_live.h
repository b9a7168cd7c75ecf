/* screen_live.h: the screen of a session's terminal, followed while it prints.
 *
 * It has to be followed, since the journal keeps what the terminal was sent beside all that commands print, and drops it when they print much.
 * It costs little, however much is printed, and whatever: of each 20 ms some 0.4, and of what is more only the last 64 KiB are looked at. */
#ifndef CURFEW_SERVER_SCREEN_LIVE_H
#define CURFEW_SERVER_SCREEN_LIVE_H

#include "base/buf.h"
#include "base/error.h"
#include "server/journal.h"

#include <event2/event.h>

struct cf_screen_live;

/* Of what the terminal of this journal has printed, and will.  NULL: out of memory. */
struct cf_screen_live *cf_screen_live_new(struct event_base *loop, struct cf_journal *journal, unsigned cols, unsigned rows);
void cf_screen_live_free(struct cf_screen_live **live);
/* The terminal has another size from the bytes on that come now. */
void cf_screen_live_resize(struct cf_screen_live *live, unsigned cols, unsigned rows);
/* Appends what draws it as it is, and says how many of the terminal's bytes that is.  0 or CF_E_NO_MEMORY. */
int cf_screen_live_paint(struct cf_screen_live *live, struct cf_buf *out, uint64_t *ret_bytes, struct cf_error *error);

#endif
