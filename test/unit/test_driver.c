/* The words between the server and driver.bash. */
#include "server/driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void statuses_are_read(void **state)
{
    struct cf_driver_status s;
    assert_int_equal(cf_driver_parse("S 0 /tmp", &s), 0);
    assert_int_equal(s.word, 'S');
    assert_int_equal(s.number, 0);
    assert_string_equal(s.cwd, "/tmp");
    assert_int_equal(cf_driver_parse("R 130 /a folder\nwith a line", &s), 0);
    assert_int_equal(s.number, 130);
    assert_string_equal(s.cwd, "/a folder\nwith a line");
    assert_int_equal(cf_driver_parse("P 7", &s), 0);
    assert_int_equal(s.word, 'P');
    assert_int_equal(s.number, 7);
    assert_int_equal(cf_driver_parse("B 0 /srv", &s), 0);
    assert_int_equal(s.word, 'B');
    assert_string_equal(s.cwd, "/srv");
    assert_int_equal(cf_driver_parse("S 1 ", &s), 0);       /* PWD may be empty: a user can unset it */
    assert_string_equal(s.cwd, "");
}

static void anything_else_is_refused(void **state)
{
    static const char *const bad[] = { "", "S", "S ", "S x /", "S -1 /", "X 0 /", "P 7 x", "S 99999999999999999999 /", "S0 /", "S 0",
                                       "B 0" };
    struct cf_driver_status s = { .word = '!' };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(cf_driver_parse(bad[i], &s), -1);
        assert_int_equal(s.word, '!');
    }
}

static void expect(struct cf_buf *b, const char *want)
{
    assert_string_equal(b->data, want);
    cf_buf_reset(b);
}

static void quoting_survives_bash(void **state)
{
    struct cf_buf b;
    cf_buf_init(&b, 1000);
    cf_driver_quote(&b, "plain");
    expect(&b, "'plain'");
    cf_driver_quote(&b, "it's $HOME `x` \\");
    expect(&b, "'it'\\''s $HOME `x` \\'");
    cf_driver_quote(&b, "");
    expect(&b, "''");
    cf_buf_free(&b);
}

static void requests_name_length_or_file(void **state)
{
    struct cf_buf b;
    cf_buf_init(&b, 1000);
    cf_driver_request(&b, "0123456789abcdef", 42, 3, CF_DRIVER_INPUT_NONE);
    expect(&b, "0123456789abcdef 42 3 -\n");
    cf_driver_request(&b, "0123456789abcdef", CF_DRIVER_INLINE_MAX, 0, CF_DRIVER_INPUT_FILE);
    expect(&b, "0123456789abcdef 4000 0 s\n");
    cf_driver_request(&b, "0123456789abcdef", CF_DRIVER_INLINE_MAX + 1, 0, CF_DRIVER_INPUT_FIFO);
    expect(&b, "0123456789abcdef f 0 i\n");
    cf_driver_probe(&b, "t", 9);
    expect(&b, "\n\n\n\nt p 9\n");
    cf_buf_free(&b);
}

static void tokens_differ(void **state)
{
    char a[CF_DRIVER_TOKEN], b[CF_DRIVER_TOKEN];
    assert_int_equal(cf_driver_token(a), 0);
    assert_int_equal(cf_driver_token(b), 0);
    assert_int_equal(strlen(a), CF_DRIVER_TOKEN - 1);
    assert_string_not_equal(a, b);
}

static void the_embedded_text_is_the_file(void **state)
{
    const char *text = cf_driver_text();
    assert_non_null(strstr(text, "\\builtin eval \"$__cf_c\" </dev/null >\"$__cf_d/o$__cf_p\""));
    assert_non_null(strstr(text, "'%s %s %d %.4094s\\0'"));
    assert_int_equal(text[strlen(text) - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "the driver's four words are read", .test_func = statuses_are_read },
        { .name = "anything else is no status and changes nothing", .test_func = anything_else_is_refused },
        { .name = "quoting leaves nothing for bash to expand", .test_func = quoting_survives_bash },
        { .name = "a short command goes inline, a long one by file", .test_func = requests_name_length_or_file },
        { .name = "no two shells share a token", .test_func = tokens_differ },
        { .name = "the embedded driver is the file's text, backslashes and all", .test_func = the_embedded_text_is_the_file },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
