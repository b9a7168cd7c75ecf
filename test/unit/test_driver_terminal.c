/* test_driver_terminal.c: the words between the server and terminal.bash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/driver.h"
#include "server/driver_terminal.h"

#include <string.h>

static void expect(struct cf_buf *b, const char *want, size_t len)
{
    assert_false(b->failed);
    assert_int_equal(b->len, len);
    assert_memory_equal(b->data, want, len);
    cf_buf_reset(b);
}
#define EXPECT(b, literal) expect(b, literal, sizeof literal - 1)

static void a_request_is_six_records(void **state)
{
    struct cf_buf b;
    cf_buf_init(&b, 1000);
    cf_driver_terminal_request(&b, "tok", CF_DRIVER_TERMINAL_EXEC, 7, 3, "-", "echo hi\n", 8);
    EXPECT(&b, "tok\0x\0" "7\0" "3\0-\0echo hi\n\0");
    cf_driver_terminal_request(&b, "tok", CF_DRIVER_TERMINAL_LEAVE, 4294967295u, 0, "-", NULL, 0);
    EXPECT(&b, "tok\0k\0" "4294967295\0" "0\0-\0\0");
    cf_driver_terminal_request(&b, "tok", CF_DRIVER_TERMINAL_PROBE, 8, 0, "i12", "", 0);
    EXPECT(&b, "tok\0p\0" "8\0" "0\0i12\0\0");
    cf_buf_free(&b);
}

static void no_text_reaches_beyond_its_record(void **state)
{
    struct cf_buf b;
    cf_buf_init(&b, 1000);
    cf_driver_terminal_request(&b, "t", CF_DRIVER_TERMINAL_EXEC, 1, 0, "-", "a\0b\0\0c\0", 7);
    EXPECT(&b, "t\0x\0" "1\0" "0\0-\0abc\0");
    cf_driver_terminal_request(&b, "t", CF_DRIVER_TERMINAL_EXEC, 1, 0, "-", "\0\0", 2);
    EXPECT(&b, "t\0x\0" "1\0" "0\0-\0\0");
    cf_buf_free(&b);
}

static void a_header_fits_its_bound(void **state)
{
    struct cf_buf b;
    char token[CF_DRIVER_TOKEN];
    assert_int_equal(cf_driver_token(token), 0);
    cf_buf_init(&b, CF_DRIVER_TERMINAL_HEADER_MAX);
    cf_driver_terminal_request(&b, token, CF_DRIVER_TERMINAL_EXEC, ~0u, ~0u, "i4294967295", "", 0);
    assert_false(b.failed);
    cf_buf_free(&b);
}

static void boot_variable_and_answers(void **state)
{
    struct cf_buf b;
    cf_buf_init(&b, 1000);
    cf_driver_terminal_boot(&b, "/run/s/a b", "tok", "/run/terminal_run.bash", "");
    EXPECT(&b, "/run/s/a b\0tok\0/run/terminal_run.bash\0\0");
    cf_driver_terminal_variable(&b, "/run/it's $HOME `x` \"y\" \\/terminal.bash");
    EXPECT(&b, "ENV=/run/it's \\$HOME \\`x\\` \\\"y\\\" \\\\/terminal.bash");
    cf_driver_terminal_answer(&b, 12, true);
    cf_driver_terminal_answer(&b, 13, false);
    EXPECT(&b, "g 12\nn 13\n");
    cf_buf_free(&b);
}

static void the_embedded_texts_are_the_files(void **state)
{
    assert_non_null(strstr(cf_driver_terminal_text(), "\\builtin mapfile -d '' -t -u 19 __cf_v\n"));
    assert_non_null(strstr(cf_driver_terminal_text(), "'%s %s %d %.4094s\\0'"));
    assert_non_null(strstr(cf_driver_terminal_run_text(), "\\builtin eval \"${__cf_v[__cf_a]-}\" <\"$__cf_i\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "a request is six records, each with a NUL behind it", .test_func = a_request_is_six_records },
        { .name = "no text reaches beyond its record: NULs are left out", .test_func = no_text_reaches_beyond_its_record },
        { .name = "a request without its text fits the bound that the header names", .test_func = a_header_fits_its_bound },
        { .name = "what a shell boots with, and what it is answered", .test_func = boot_variable_and_answers },
        { .name = "the embedded drivers are the files' texts, backslashes and all", .test_func = the_embedded_texts_are_the_files },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
