/* Drawings of what nobody thought of: random bytes, random sequences, and programs' usual ones against another
 * terminal. */
#include "screen_judge.h"
#include "screen_once.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEED 20261120

static int below(unsigned *seed, int end)
{
    return rand_r(seed) % end;
}

static const char *one_of(unsigned *seed, const char *const *texts, size_t count)
{
    return texts[(size_t)rand_r(seed) % count];
}
#define ONE_OF(seed, texts) one_of(seed, texts, sizeof(texts) / sizeof(texts)[0])

/* Characters of whose width nobody doubts. */
static const char *const letters[] = {
    "a", "B", "7", " ", "~", "q", "\xc3\xa9", "\xe2\x94\x80", "\xe6\xbc\xa2", "\xed\x95\x9c", "\xe2\x96\x88"
};

/* ---- anything at all */

static void tell(const char *what, const struct cf_buf *text)
{
    print_message("# %s: ", what);
    for (size_t i = 0; i < text->len; i++)
        print_message(text->data[i] >= ' ' && text->data[i] < 0x7f ? "%c" : "\\x%02x", text->data[i] & 0xff);
    print_message("\n");
}

/* TELL=1 in the environment names each input before it is judged, so that the last one is the one that failed. */
static void tell_if_asked(const struct cf_buf *text)
{
    if (getenv("TELL"))
        tell("text", text);
}

static void random_bytes(unsigned *seed, struct cf_buf *out)
{
    for (int n = below(seed, 200); n > 0; n--)
        cf_buf_putc(out, (char)below(seed, 256));
}

static void random_sequences(unsigned *seed, struct cf_buf *out)
{
    static const char *const controls[] = {
        "\r",     "\n",     "\b",       "\t",     "\016",     "\017",  "\a",    "\v",           "\030",
        "\033",   "\0337",  "\0338",    "\033c",  "\033M",    "\033D", "\033E", "\033H",        "\033(0",
        "\033)0", "\033(B", "\033n",    "\033#8", "\033=",    "\033>", "\033P", "\033]0;title", "\033]2;\xc3\xbc",
        "\033\\", "\033_",  "\xe2\x94", "\xff",   "\xc2\x9b", "\033["
    };
    static const char finals[] = "ABCDEFGHIJKLMPSTXZ`abdefghijklmnrsuqp@~yzt";
    static const int modes[] = { 1, 4, 5, 6, 7, 9, 12, 20, 25, 47, 66, 1000, 1002, 1004, 1006, 1047, 1048, 1049, 2004 };
    for (int n = below(seed, 60); n > 0; n--) {
        int what = below(seed, 10);
        if (what < 3) {
            cf_buf_puts(out, ONE_OF(seed, letters));
        } else if (what < 5) {
            cf_buf_puts(out, ONE_OF(seed, controls));
        } else if (what < 6) {
            int mode = modes[below(seed, sizeof modes / sizeof modes[0])];
            cf_buf_printf(out, "\033[%s%d%c", mode == 4 || mode == 20 ? "" : "?", mode, "hl"[below(seed, 2)]);
        } else {
            cf_buf_puts(out, "\033[");
            if (below(seed, 12) == 0)
                cf_buf_putc(out, "<=>?"[below(seed, 4)]);
            for (int params = below(seed, 4); params > 0; params--)
                cf_buf_printf(out, "%d%c", below(seed, below(seed, 8) ? 12 : 300),
                              params == 1 ? ' ' : ";:"[below(seed, 8) == 0]);
            if (out->data[out->len - 1] == ' ')
                out->len--;
            if (below(seed, 20) == 0)
                cf_buf_putc(out, " !\"$'"[below(seed, 5)]);
            cf_buf_putc(out, finals[below(seed, sizeof finals - 1)]);
        }
    }
}

/* The judge takes no part here: in the last column libvterm has a combining character stand for itself. */
static void random_marks(unsigned *seed, struct cf_buf *out)
{
    for (int n = below(seed, 12); n > 0; n--) {
        random_sequences(seed, out);
        cf_buf_puts(out, (const char *[]){ "e\xcc\x81", "\xe0\xb8\xb1", "\033*0\033N" }[below(seed, 3)]);
    }
}

/* A drawing, drawn: the same; and what another terminal shows of it is what was followed. */
static void drawn_twice(int cols, int rows, const char *bytes, size_t len, bool judged)
{
    struct cf_screen *first, *second;
    struct cf_buf once, twice;
    cf_buf_init(&once, 64 << 20);
    cf_buf_init(&twice, 64 << 20);
    assert_int_equal(cf_screen_new(cols, rows, &first, NULL), 0);
    assert_int_equal(cf_screen_new(cols, rows, &second, NULL), 0);
    cf_screen_feed(first, bytes, len);
    assert_int_equal(cf_screen_paint(first, &once, NULL), 0);
    assert_true(once.len <= CF_SCREEN_DRAW_MAX(cols, rows));
    judge_harmless(once.data, once.len);
    cf_screen_feed(second, once.data, once.len);
    assert_int_equal(cf_screen_paint(second, &twice, NULL), 0);
    if (once.len != twice.len || memcmp(once.data, twice.data, once.len) != 0) {
        tell("once", &once);
        tell("twice", &twice);
        fail_msg("two drawings differ, %d by %d", cols, rows);
    }
    if (judged) {
        struct judge judge;
        judge_open(&judge, cols, rows);
        judge_feed(&judge, once.data, once.len);
        assert_int_equal(judge.answers.len, 0);
        judge_agrees(&judge, first);
        judge_close(&judge);
    }
    cf_screen_free(&first);
    cf_screen_free(&second);
    cf_buf_free(&once);
    cf_buf_free(&twice);
}

static void many(void (*make)(unsigned *seed, struct cf_buf *out), int rounds, bool judged)
{
    static const int sizes[][2] = { { 1, 1 }, { 2, 2 }, { 3, 2 }, { 10, 4 }, { 20, 5 }, { 80, 24 } };
    unsigned seed = SEED;
    struct cf_buf text;
    cf_buf_init(&text, 1 << 20);
    for (int round = 0; round < rounds; round++) {
        const int *size = sizes[below(&seed, sizeof sizes / sizeof sizes[0])];
        cf_buf_reset(&text);
        make(&seed, &text);
        if (text.len == 0)
            continue;
        tell_if_asked(&text);
        drawn_twice(size[0], size[1], text.data, text.len, judged);
    }
    cf_buf_free(&text);
}

static void bytes_are_drawn_twice_the_same(void **state)
{
    many(random_bytes, 10000, false);
}

static void sequences_are_drawn_twice_the_same(void **state)
{
    many(random_sequences, 10000, true);
}

static void combining_characters_are_drawn_twice_the_same(void **state)
{
    many(random_marks, 3000, false);
}

/* ---- what programs send, shown by another terminal as it came and as it was drawn */

/* Terminals agree on these.  Left out: erasing with attributes, which blanks some keep; moving over a region's edge;
 * lines inserted away from the first column. */
static void usual(unsigned *seed, int cols, int rows, struct cf_buf *out)
{
    int row = 1 + below(seed, rows), col = 1 + below(seed, cols), n = 1 + below(seed, 4);
    switch (below(seed, 16)) {
    case 0: cf_buf_printf(out, "\033[%d;%dH", row, col); break;
    case 1: cf_buf_puts(out, "\r\n"); break;
    case 2:
        cf_buf_printf(out, "\033[%dm", (int[]){ 1, 3, 4, 5, 7, 9, 22, 23, 24, 25, 27, 29, 39, 49 }[below(seed, 14)]);
        break;
    case 3: cf_buf_printf(out, "\033[%d;%dm", 30 + below(seed, 8), 100 + below(seed, 8)); break;
    case 4: cf_buf_printf(out, "\033[38;5;%d;48;2;%d;0;9m", below(seed, 256), below(seed, 256)); break;
    case 5: cf_buf_printf(out, "\033[m\033[%d%c", below(seed, 3), "JK"[below(seed, 2)]); break;
    case 6: cf_buf_printf(out, "\033[;4%dm\033[%d;%dH\033[%dX", below(seed, 8), row, col, n); break;
    case 7: cf_buf_printf(out, "\r\033[m\033[%d%c", n, "LMST"[below(seed, 4)]); break;
    case 8:
        cf_buf_printf(out, "\033[r\033[%d;%dH\033[m\033[%d%c", row, 1 + (col - 1) / 2 * 2, 2 * n, "P@"[below(seed, 2)]);
        break;
    case 9: cf_buf_printf(out, "\033[%d;%dr", 1 + below(seed, 2), rows - below(seed, 2)); break;
    case 10: cf_buf_puts(out, below(seed, 2) ? "\t" : "\r\033M"); break;
    case 11:
        cf_buf_printf(out, "\033[?%d%c", (int[]){ 1, 5, 25, 2004, 1000, 1006 }[below(seed, 6)], "hl"[below(seed, 2)]);
        break;
    default:
        for (int i = below(seed, 12); i > 0; i--)
            cf_buf_putc(out, (char)('!' + below(seed, 90)));
    }
}

static void usual_sequences_show_as_elsewhere(void **state)
{
    unsigned seed = SEED;
    const int cols = 30, rows = 6;
    struct cf_buf text, drawing;
    cf_buf_init(&text, 1 << 20);
    cf_buf_init(&drawing, 1 << 20);
    for (int round = 0; round < 5000; round++) {
        struct judge live, late;
        cf_buf_reset(&text);
        cf_buf_reset(&drawing);
        cf_buf_puts(&text, "$ ");
        for (int n = below(&seed, 40); n > 0; n--)
            usual(&seed, cols, rows, &text);
        cf_buf_puts(&text, "\r");
        judge_open(&live, cols, rows);
        judge_open(&late, cols, rows);
        judge_feed(&live, text.data, text.len);
        assert_int_equal(draw_once(text.data, text.len, false, cols, rows, &drawing, NULL), 0);
        judge_feed(&late, drawing.data, drawing.len);
        tell_if_asked(&text);
        judges_agree(&live, &late);
        assert_true(live.visible == late.visible && live.mouse == late.mouse && live.reverse == late.reverse);
        assert_true(judge_mode(&live, 1) == judge_mode(&late, 1) && judge_mode(&live, 2004) == judge_mode(&late, 2004));
        judge_close(&live);
        judge_close(&late);
    }
    cf_buf_free(&text);
    cf_buf_free(&drawing);
}

/* ---- what it may cost */

/* What costs a program three bytes must not cost the server a screen of cells. */
static void clearing_writes_no_cell(void **state)
{
    struct cf_screen *screen;
    assert_int_equal(cf_screen_new(1000, 1000, &screen, NULL), 0);
    for (int i = 0; i < 100000; i++)
        cf_screen_feed(screen, "\033[44m\033[2J\033[m\r\n", 15);
    for (int row = 0; row < 1000; row++)
        assert_int_equal(cf_grid_used(&screen->grids[0], row), 0);
    cf_screen_free(&screen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "10,000 runs of random bytes: the drawing of a drawing is the drawing",
          .test_func = bytes_are_drawn_twice_the_same },
        { .name = "10,000 runs of random sequences: the same, and another terminal shows what was followed",
          .test_func = sequences_are_drawn_twice_the_same },
        { .name = "3,000 runs with combining characters and single shifts",
          .test_func = combining_characters_are_drawn_twice_the_same },
        { .name = "5,000 runs of usual sequences: another terminal shows the same live and late",
          .test_func = usual_sequences_show_as_elsewhere },
        { .name = "clearing and scrolling the largest screen writes no cell", .test_func = clearing_writes_no_cell },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
