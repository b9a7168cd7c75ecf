/* What a terminal is sent against the screen that follows it.  First two bytes: columns and rows; third: at how many
 * bytes the feeding is cut, and whether the size changes there; the rest is the output. */
#include "../unit/screen_once.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void paint(struct cf_screen *screen, int cols, int rows, struct cf_buf *out)
{
    cf_buf_init(out, 64 << 20);
    assert(cf_screen_paint(screen, out, NULL) == 0);
    assert(out->len > 0 && out->len <= CF_SCREEN_DRAW_MAX(cols, rows));
    for (size_t i = 0; i < out->len; i++)
        assert(out->data[i] != '\0' && out->data[i] != '\a');
}

static void same(struct cf_buf *a, struct cf_buf *b)
{
    assert(a->len == b->len && memcmp(a->data, b->data, a->len) == 0);
    cf_buf_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3)
        return 0;
    int cols = 1 + data[0] % 100, rows = 1 + data[1] % 50;
    const char *bytes = (const char *)data + 3;
    size_t len = size - 3, cut = data[2] / 2 < len ? data[2] / 2 : len;
    struct cf_screen *whole, *pieces, *again;
    struct cf_buf once, other;

    /* In one piece and in two it is the same. */
    assert(cf_screen_new(cols, rows, &whole, NULL) == 0 && cf_screen_new(cols, rows, &pieces, NULL) == 0);
    cf_screen_feed(whole, bytes, len);
    cf_screen_feed(pieces, bytes, cut);
    cf_screen_feed(pieces, bytes + cut, len - cut);
    paint(whole, cols, rows, &once);
    paint(pieces, cols, rows, &other);
    same(&once, &other);

    /* A drawing, drawn, is the drawing. */
    assert(cf_screen_new(cols, rows, &again, NULL) == 0);
    cf_screen_feed(again, once.data, once.len);
    paint(again, cols, rows, &other);
    same(&once, &other);
    cf_buf_free(&once);

    /* Another size, and more of the same. */
    if (data[2] & 1) {
        cols = 1 + data[1] % 70;
        rows = 1 + data[0] % 30;
        assert(cf_screen_resize(whole, cols, rows, NULL) == 0);
        cf_screen_feed(whole, bytes, len);
        paint(whole, cols, rows, &once);
        cf_buf_free(&once);
    }
    cf_buf_init(&once, 64 << 20);
    assert(draw_once(bytes, len, true, cols, rows, &once, NULL) == 0);
    cf_buf_free(&once);
    cf_screen_free(&whole);
    cf_screen_free(&pieces);
    cf_screen_free(&again);
    return 0;
}
