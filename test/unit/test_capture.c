/* What one stream printed, kept up to a bound. */
#include "server/capture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void expect_text(const struct cf_capture *c, const char *want)
{
    struct cf_buf out;
    cf_buf_init(&out, 1 << 20);
    cf_capture_text(c, &out);
    assert_string_equal(out.len ? out.data : "", want);
    cf_buf_free(&out);
}

static void short_output_is_whole(void **state)
{
    struct cf_capture c;
    cf_capture_init(&c, 64);
    expect_text(&c, "");
    cf_capture_add(&c, "hello ", 6);
    cf_capture_add(&c, "world", 5);
    assert_false(cf_capture_cut(&c));
    assert_int_equal(c.total_bytes, 11);
    expect_text(&c, "hello world");
    cf_capture_free(&c);
}

static void exactly_the_bound_is_whole(void **state)
{
    struct cf_capture c;
    cf_capture_init(&c, 10);
    cf_capture_add(&c, "0123456789", 10);
    assert_false(cf_capture_cut(&c));
    expect_text(&c, "0123456789");
    cf_capture_free(&c);
}

static void one_byte_more_is_cut_in_the_middle(void **state)
{
    struct cf_capture c;
    cf_capture_init(&c, 10);
    cf_capture_add(&c, "0123456789A", 11);
    assert_true(cf_capture_cut(&c));
    expect_text(&c, "01234\n[curfew: 1 bytes left out]\n6789A");
    cf_capture_free(&c);
}

static void an_odd_bound_keeps_that_many_bytes(void **state)
{
    struct cf_capture c;
    cf_capture_init(&c, 7);
    cf_capture_add(&c, "abcdefghij", 10);
    expect_text(&c, "abcd\n[curfew: 3 bytes left out]\nhij");
    cf_capture_free(&c);
}

/* Against the plain definition: the first half and the last half of the whole, whatever the pieces. */
static void any_pieces_give_head_and_tail(void **state)
{
    unsigned seed = 20261120;
    for (int round = 0; round < 400; round++) {
        char whole[4096], want[4200];
        size_t max = 2 + (size_t)rand_r(&seed) % 300, len = (size_t)rand_r(&seed) % sizeof whole, at = 0;
        struct cf_capture c;
        for (size_t i = 0; i < len; i++)
            whole[i] = (char)('a' + rand_r(&seed) % 26);
        cf_capture_init(&c, max);
        while (at < len) {
            size_t piece = 1 + (size_t)rand_r(&seed) % (round % 2 ? 7 : 900);
            piece = piece < len - at ? piece : len - at;
            cf_capture_add(&c, whole + at, piece);
            at += piece;
        }
        size_t tail = max / 2, head = max - tail;
        if (len <= max)
            snprintf(want, sizeof want, "%.*s", (int)len, whole);
        else
            snprintf(want, sizeof want, "%.*s\n[curfew: %zu bytes left out]\n%.*s", (int)head, whole, len - max, (int)tail, whole + len - tail);
        assert_int_equal(c.total_bytes, len);
        expect_text(&c, want);
        cf_capture_free(&c);
    }
}

static void the_last_bytes_span_head_and_tail(void **state)
{
    struct cf_capture c;
    struct cf_buf out;
    cf_capture_init(&c, 10);
    cf_capture_add(&c, "0123456", 7);
    cf_buf_init(&out, 100);
    cf_capture_last(&c, 4, &out);
    assert_string_equal(out.data, "3456");
    cf_buf_reset(&out);
    cf_capture_add(&c, "789abc", 6);
    cf_capture_last(&c, 8, &out);
    assert_string_equal(out.data, "89abc");      /* a gap lies before these */
    cf_buf_free(&out);
    cf_capture_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "output shorter than the bound is kept whole", .test_func = short_output_is_whole },
        { .name = "output of exactly the bound is kept whole", .test_func = exactly_the_bound_is_whole },
        { .name = "one byte more, and the middle goes, with a line that says how much", .test_func = one_byte_more_is_cut_in_the_middle },
        { .name = "an odd bound keeps exactly that many bytes", .test_func = an_odd_bound_keeps_that_many_bytes },
        { .name = "whatever pieces it comes in, first and last half are kept", .test_func = any_pieces_give_head_and_tail },
        { .name = "the last output spans head and tail, but never a gap", .test_func = the_last_bytes_span_head_and_tail },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
