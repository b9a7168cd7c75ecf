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

static void requests_have_one_length(void **state)
{
    struct cf_buf b;
    cf_buf_init(&b, 1000);
    cf_driver_request(&b, "Tokn.123", CF_DRIVER_TEXT_ASCII, 42, 3, CF_DRIVER_INPUT_NONE);
    assert_int_equal(b.len, CF_DRIVER_HEADER);
    expect(&b, "Tokn.123 -a 0042 3             \n");
    cf_driver_request(&b, "Tokn.123", CF_DRIVER_TEXT_BYTES, 256, 4294967295u, CF_DRIVER_INPUT_FILE);
    expect(&b, "Tokn.123 sb 0256 4294967295    \n");
    cf_driver_request(&b, "Tokn.123", CF_DRIVER_TEXT_FILE, 2000000, 0, CF_DRIVER_INPUT_FIFO);
    expect(&b, "Tokn.123 if 0000 0             \n");
    cf_buf_free(&b);
}

static void probes_are_two_lengths(void **state)
{
    struct cf_buf b;
    cf_buf_init(&b, 1000);
    cf_driver_probe(&b, "Tokn.123", 9);
    assert_int_equal(b.len, 2 * CF_DRIVER_HEADER);
    assert_int_equal(strspn(b.data, "\n"), CF_DRIVER_HEADER);
    assert_string_equal(b.data + CF_DRIVER_HEADER, "Tokn.123 p- 9                  \n");
    cf_buf_free(&b);
}

static void kinds_follow_from_the_text(void **state)
{
    static char text[CF_DRIVER_INLINE_MAX + 2];
    memset(text, 'x', sizeof text - 1);
    assert_int_equal(cf_driver_kind("", 0), CF_DRIVER_TEXT_ASCII);
    assert_int_equal(cf_driver_kind(text, CF_DRIVER_INLINE_MAX), CF_DRIVER_TEXT_ASCII);
    assert_int_equal(cf_driver_kind(text, CF_DRIVER_INLINE_MAX + 1), CF_DRIVER_TEXT_FILE);
    text[CF_DRIVER_BYTES_MAX - 1] = '\xff';
    assert_int_equal(cf_driver_kind(text, CF_DRIVER_BYTES_MAX - 1), CF_DRIVER_TEXT_ASCII);
    assert_int_equal(cf_driver_kind(text, CF_DRIVER_BYTES_MAX), CF_DRIVER_TEXT_BYTES);
    assert_int_equal(cf_driver_kind(text, CF_DRIVER_BYTES_MAX + 1), CF_DRIVER_TEXT_FILE);
}

static void lines_fit_the_smallest_pipe(void **state)
{
    struct cf_buf b;
    char folder[61], late[4001];
    memset(folder, 'f', sizeof folder - 1);
    memset(late, 'l', sizeof late - 1);
    folder[60] = late[4000] = '\0';
    cf_buf_init(&b, 20000);
    cf_driver_boot(&b, folder, folder, "Tokn.123", late);
    assert_true(b.len <= 8192);
    assert_non_null(strstr(b.data, "; exec 10<&0 11<&0 12<&0 13<&0 14<&0 15<&0 16<&0 17<&0; "));
    cf_buf_reset(&b);
    cf_driver_spare(&b, folder);
    assert_true(b.len <= 4096 && strchr(b.data, '\n') == b.data + b.len - 1);
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
    const char *text = cf_driver_text(), *loop = cf_driver_loop_text();
    assert_non_null(strstr(loop, "\\builtin eval \"$__cf_c\" >\"$__cf_d/o$__cf_p\" 2>\"$__cf_d/e$__cf_p\""));
    assert_ptr_equal(strchr(loop, '\n'), loop + strlen(loop) - 1);     /* lines of commands are counted from it */
    assert_non_null(strstr(text, "'%s %s %d %.4094s\\0'"));
    assert_null(strstr(text, "\n#"));
    assert_int_equal(text[strlen(text) - 1], '\n');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "the driver's four words are read", .test_func = statuses_are_read },
        { .name = "anything else is no status and changes nothing", .test_func = anything_else_is_refused },
        { .name = "quoting leaves nothing for bash to expand", .test_func = quoting_survives_bash },
        { .name = "a request's header has one length", .test_func = requests_have_one_length },
        { .name = "a probe can be read as two headers, and as lines", .test_func = probes_are_two_lengths },
        { .name = "a short command goes inline, a long one by file, and not all of what is not ASCII inline", .test_func = kinds_follow_from_the_text },
        { .name = "the lines for standard input fit the smallest pipe", .test_func = lines_fit_the_smallest_pipe },
        { .name = "no two shells share a token", .test_func = tokens_differ },
        { .name = "the embedded driver is the file's text, backslashes and all", .test_func = the_embedded_text_is_the_file },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
