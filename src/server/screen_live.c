/* screen_live.c: a reader of the journal that nobody waits for, whose reader is a screen. */
#include "server/screen_live.h"

#include "base/clock.h"
#include "server/priority.h"
#include "server/reader.h"
#include "server/screen.h"

#include <stdlib.h>

/* A full screen of 200 columns and 50 rows with many colours has some 100 KiB, but few programs send as much in so short a time. */
#define LOOK_BYTES (64u << 10)
#define PERIOD_MS 20
/* Of each period; 64 KiB of what programs usually print.  What costs most, by a hundred times, may take a slice more. */
#define LOOK_NS (400 * 1000)
#define SLICE_BYTES 1024
/* 400 columns, 160 rows: 4 MB when each cell of both its screens is written.  A larger one would cost 64 MB and is drawn from the last bytes. */
#define FOLLOWED_CELLS 65536u

static const enum cf_stream terminal = CF_STREAM_TERMINAL;

struct cf_screen_live {
    struct cf_screen *screen;           /* NULL: too large to be followed */
    unsigned cols, rows;
    bool resized;                       /* to that, and the screen does not know yet */
    struct cf_reader reader;
    struct cf_watch watch;
    struct event *timer;                /* pending: the period is not over */
    int64_t left_ns;                    /* of it */
};

static uint64_t behind(const struct cf_screen_live *l)
{
    return cf_reader_end(&l->reader) - cf_reader_offset(&l->reader);
}

static bool is_followed(const struct cf_screen_live *l)
{
    return l->cols * l->rows <= FOLLOWED_CELLS;
}

/* A blank screen, and the reader where the last bytes begin. */
static int begin(struct cf_screen_live *l, struct cf_error *error)
{
    struct cf_reader old = l->reader;
    uint64_t end = cf_reader_end(&old);
    int code = cf_screen_new((int)l->cols, (int)l->rows, &l->screen, error);
    if (code != 0)
        return code;
    cf_reader_open(&l->reader, old.journal, NULL, &terminal, end > LOOK_BYTES ? end - LOOK_BYTES : 0, false);
    cf_reader_close(&old);
    if (end > LOOK_BYTES)
        cf_screen_cut(l->screen);
    return 0;
}

/* As late as can be: a size that is followed by another before anything is printed costs nothing. */
static void apply_size(struct cf_screen_live *l)
{
    struct cf_error error;
    l->resized = false;
    if (!is_followed(l))
        cf_screen_free(&l->screen);
    else if (l->screen == NULL)
        (void)begin(l, &error);
    else
        (void)cf_screen_resize(l->screen, (int)l->cols, (int)l->rows, &error);
    /* Without memory it stays as it was, and the next drawing of a program mends it. */
}

/* Takes what has come, of much only the last, until the time for it is over. */
static void follow(struct cf_screen_live *l, bool all)
{
    static const struct timeval period = { .tv_usec = PERIOD_MS * 1000 };
    int64_t start_ns = cf_clock_now().mono_ns, used_ns = 0;
    struct cf_piece piece;
    const char *bytes;
    size_t len;
    uint64_t gap;
    if (l->resized)
        apply_size(l);
    if (l->screen == NULL) {
        cf_reader_skip(&l->reader, cf_reader_end(&l->reader));
        return;
    }
    if (behind(l) > LOOK_BYTES) {
        cf_reader_skip(&l->reader, cf_reader_end(&l->reader) - LOOK_BYTES);
        cf_screen_cut(l->screen);
    }
    for (enum cf_next next; (all || used_ns < l->left_ns) &&
                            (next = cf_reader_next(&l->reader, SLICE_BYTES, &piece, &bytes, &len, &gap)) != CF_NEXT_NONE;) {
        if (next == CF_NEXT_GAP) {
            cf_screen_cut(l->screen);
            continue;
        }
        cf_screen_feed(l->screen, bytes, len);
        cf_reader_take(&l->reader, &piece, len);
        used_ns = cf_clock_now().mono_ns - start_ns;
    }
    l->left_ns -= cf_clock_now().mono_ns - start_ns;
    if (!evtimer_pending(l->timer, NULL))
        (void)evtimer_add(l->timer, &period);   /* without memory for it: with the next who joins */
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_screen_live *l = arg;
    l->left_ns = LOOK_NS;
    if (behind(l) > 0)
        follow(l, false);
}

/* Everything that is printed in the session comes by here.  At once, as long as it is little: what commands print may drop it any time. */
static void on_wake(void *arg)
{
    struct cf_screen_live *l = arg;
    if (behind(l) > 0 && l->left_ns > 0)
        follow(l, false);
}

struct cf_screen_live *cf_screen_live_new(struct event_base *loop, struct cf_journal *journal, unsigned cols, unsigned rows)
{
    struct cf_screen_live *l = calloc(1, sizeof *l);
    struct cf_error error;
    if (l == NULL)
        return NULL;
    l->cols = cols;
    l->rows = rows;
    l->timer = evtimer_new(loop, on_timer, l);
    if (l->timer == NULL || (is_followed(l) && cf_screen_new((int)cols, (int)rows, &l->screen, &error) != 0)) {
        if (l->timer != NULL)
            event_free(l->timer);
        free(l);
        return NULL;
    }
    (void)event_priority_set(l->timer, CF_PRIORITY_OUTPUT);
    l->left_ns = LOOK_NS;
    l->watch = (struct cf_watch){ .wake = on_wake, .arg = l };
    cf_reader_open(&l->reader, journal, NULL, &terminal, 0, false);
    cf_journal_watch(journal, &l->watch);
    on_wake(l);
    return l;
}

void cf_screen_live_free(struct cf_screen_live **live)
{
    struct cf_screen_live *l = *live;
    if (l == NULL)
        return;
    cf_journal_unwatch(l->reader.journal, &l->watch);
    cf_reader_close(&l->reader);
    event_free(l->timer);
    cf_screen_free(&l->screen);
    free(l);
    *live = NULL;
}

void cf_screen_live_resize(struct cf_screen_live *l, unsigned cols, unsigned rows)
{
    if (l->cols == cols && l->rows == rows)
        return;
    if (behind(l) > 0)
        follow(l, false);
    l->cols = cols;
    l->rows = rows;
    l->resized = true;
}

int cf_screen_live_paint(struct cf_screen_live *l, struct cf_buf *out, uint64_t *ret_bytes, struct cf_error *error)
{
    if (l->resized)
        apply_size(l);
    int code = l->screen == NULL ? begin(l, error) : 0;
    if (code != 0)
        return code;
    follow(l, true);
    *ret_bytes = cf_reader_offset(&l->reader);
    code = cf_screen_paint(l->screen, out, error);
    if (!is_followed(l))
        cf_screen_free(&l->screen);
    return code;
}
