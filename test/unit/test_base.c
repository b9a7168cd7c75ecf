/* test_base.c: errors, buffers, JSON, log lines, durations, descriptors. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/complaints.h"
#include "base/environment.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/jsonw.h"
#include "base/log.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* errors */

static void test_error_rows(void **state)
{
    assert_string_equal(cf_error_name(CF_E_GONE), "gone");
    assert_int_equal(cf_error_http(CF_E_GONE), 410);
    assert_int_equal(cf_error_exit(CF_E_INVALID), 64);
    assert_true(strlen(cf_error_text(CF_E_NOT_FOUND)) > 0);
    assert_int_equal(cf_error_exit(CF_OK), 0);
    for (int code = CF_OK - 1; code > -CF_ERROR_ROWS; code--) {
        assert_int_equal(cf_error_from_name(cf_error_name(code)), code);
        assert_in_range(cf_error_http(code), 400, 599);
        assert_in_range(cf_error_exit(code), 1, 125);
    }
}

static void test_error_unknown(void **state)
{
    static const int codes[] = { 1, INT_MAX, INT_MIN, -CF_ERROR_ROWS, -CF_ERROR_ROWS - 1 };

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_string_equal(cf_error_name(codes[i]), "internal");
        assert_int_equal(cf_error_http(codes[i]), 500);
    }
    assert_int_equal(cf_error_from_name("no such"), CF_E_INTERNAL);
    assert_int_equal(cf_error_from_name("ok"), CF_E_INTERNAL);
}

static void test_error_set(void **state)
{
    struct cf_error e;
    char wide[1000];

    assert_int_equal(cf_error_set(NULL, CF_E_BUSY, "x", "y"), CF_E_BUSY);
    assert_int_equal(cf_error_set(&e, CF_E_INVALID, "timeout", "%d is not allowed", 7), CF_E_INVALID);
    assert_int_equal(e.code, CF_E_INVALID);
    assert_string_equal(e.field, "timeout");
    assert_string_equal(e.text, "7 is not allowed");

    memset(wide, 'x', sizeof wide - 1);
    wide[sizeof wide - 1] = '\0';
    cf_error_set(&e, CF_E_INVALID, wide, "%s", wide);
    assert_int_equal(strlen(e.field), sizeof e.field - 1);
    assert_int_equal(strlen(e.text), sizeof e.text - 1);

    cf_error_set(&e, CF_E_INVALID, NULL, "first");
    assert_string_equal(e.field, "");
    cf_error_set(&e, CF_E_SYSTEM, NULL, "second after %s", e.text);
    assert_string_equal(e.text, "second after first");
}

/* buffers */

static void test_buf_grows(void **state)
{
    struct cf_buf b;
    size_t len;

    cf_buf_init(&b, 100000);
    for (int i = 0; i < 10000; i++)
        cf_buf_printf(&b, "%04d,", i);
    assert_false(b.failed);
    assert_int_equal(b.len, 50000);
    assert_int_equal(b.data[b.len], '\0');
    assert_memory_equal(b.data + 5 * 9999, "9999,", 5);
    char *taken = cf_buf_take(&b, &len);
    assert_int_equal(len, 50000);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    free(taken);
    cf_buf_puts(&b, "again");
    assert_string_equal(b.data, "again");
    cf_buf_free(&b);
    cf_buf_free(NULL);
}

static void test_buf_bound(void **state)
{
    struct cf_buf b;

    cf_buf_init(&b, 10);
    cf_buf_puts(&b, "0123456789");
    assert_false(b.failed);
    cf_buf_putc(&b, 'x');
    assert_true(b.failed);
    assert_string_equal(b.data, "0123456789");
    cf_buf_append(&b, "", 0);
    assert_true(b.failed);
    assert_null(cf_buf_take(&b, NULL));

    cf_buf_init(&b, 10);
    cf_buf_puts(&b, "abc");
    cf_buf_printf(&b, "%s", "12345678");
    assert_true(b.failed);
    assert_string_equal(b.data, "abc");
    cf_buf_reset(&b);
    assert_false(b.failed);
    cf_buf_printf(&b, "%s", "1234567890");
    assert_string_equal(b.data, "1234567890");
    cf_buf_free(&b);
}

static void test_buf_huge(void **state)
{
    struct cf_buf b;
    struct cf_buf zeroed = { 0 };

    cf_buf_init(&b, 1 << 20);
    cf_buf_puts(&b, "x");
    cf_buf_append(&b, "x", SIZE_MAX);       /* the sum of the lengths would wrap around */
    assert_true(b.failed);
    assert_string_equal(b.data, "x");
    cf_buf_free(&b);
    cf_buf_puts(&zeroed, "x");
    assert_true(zeroed.failed);
    cf_buf_free(&zeroed);
}

/* text */

static void test_utf8(void **state)
{
    static const struct { const char *text; int step; } cases[] = {
        { "a", 1 }, { "\xc3\xa9", 2 }, { "\xe2\x82\xac", 3 }, { "\xf0\x9f\x98\x80", 4 }, { "\xf4\x8f\xbf\xbf", 4 },
        { "\x80", -1 }, { "\xc0\x80", -1 }, { "\xc1\xbf", -1 }, { "\xc3", -1 }, { "\xc3(", -1 }, { "\xe0\x80\x80", -1 },
        { "\xed\xa0\x80", -1 }, { "\xe2\x82", -2 }, { "\xe2\x82(", -2 }, { "\xf0\x9f\x98", -3 },
        { "\xf0\x80\x80\x80", -1 },
        { "\xf4\x90\x80\x80", -1 }, { "\xf5\x80\x80\x80", -1 }, { "\xff", -1 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(cf_text_utf8_step(cases[i].text, strlen(cases[i].text)), cases[i].step);
    assert_true(cf_text_is_utf8("gr\xc3\xbc\xc3\x9f", 6));
    assert_false(cf_text_is_utf8("gr\xc3", 3));
}

static void test_escape(void **state)
{
    char out[32], small[6];

    cf_text_escape(out, sizeof out, "a\n\x1b\xff\xc2\x9b\x7f\xc3\xa9", 9);
    assert_string_equal(out, "a\\x0a\\x1b\\xff\\xc2\\x9b\\x7f\xc3\xa9");
    assert_int_equal(cf_text_escape(small, sizeof small, "abc\n", 4), 3);
    assert_string_equal(small, "abc");
    assert_int_equal(cf_text_escape(small, sizeof small, "abcd\xc3\xa9", 6), 4);
}

/* JSON */

static struct cf_buf json_buf;

static struct cf_jsonw json_start(void)
{
    struct cf_jsonw w;
    cf_buf_free(&json_buf);
    cf_buf_init(&json_buf, 1 << 24);
    cf_jsonw_init(&w, &json_buf);
    return w;
}

static const char *json_bytes(const char *data, size_t len)
{
    struct cf_jsonw w = json_start();
    cf_jsonw_bytes(&w, NULL, data, len);
    return json_buf.data;
}

static void test_json_shape(void **state)
{
    struct cf_jsonw w = json_start();

    cf_jsonw_object(&w, NULL);
    cf_jsonw_object(&w, "empty");
    cf_jsonw_object_end(&w);
    cf_jsonw_array(&w, "list");
    cf_jsonw_int(&w, NULL, INT64_MIN);
    cf_jsonw_bool(&w, NULL, true);
    cf_jsonw_array(&w, NULL);
    cf_jsonw_array_end(&w);
    cf_jsonw_object(&w, NULL);
    cf_jsonw_str(&w, "a\"b", "c");
    cf_jsonw_object_end(&w);
    cf_jsonw_array_end(&w);
    cf_jsonw_str(&w, "none", NULL);
    cf_jsonw_raw(&w, "raw", "[1]", 3);
    cf_jsonw_object_end(&w);
    assert_string_equal(json_buf.data, "{\"empty\":{},\"list\":[-9223372036854775808,true,[],{\"a\\\"b\":\"c\"}],"
                                       "\"none\":null,\"raw\":[1]}");
    cf_buf_free(&json_buf);
}

static void test_json_escapes(void **state)
{
    assert_string_equal(json_bytes("\"\\\b\f\n\r\t/\x7f", 9), "\"\\\"\\\\\\b\\f\\n\\r\\t/\x7f\"");
    assert_string_equal(json_bytes("a\0b\x1b[0m", 7), "\"a\\u0000b\\u001b[0m\"");
    assert_string_equal(json_bytes("", 0), "\"\"");
    assert_string_equal(json_bytes("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80 and more text", 25),
                        "\"gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80 and more text\"");
    cf_buf_free(&json_buf);
}

static void test_json_invalid_utf8(void **state)
{
    assert_string_equal(json_bytes("a\xff" "b", 3), "\"a\xef\xbf\xbd" "b\"");
    assert_string_equal(json_bytes("\xe2\x82(", 3), "\"\xef\xbf\xbd(\"");
    assert_string_equal(json_bytes("\xed\xa0\x80", 3), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
    assert_string_equal(json_bytes("cut\xf0\x9f\x98", 6), "\"cut\xef\xbf\xbd\"");
    cf_buf_free(&json_buf);
}

/* The fast path looks at eight bytes at a time: every byte value has to be seen at every offset. */
static void test_json_every_byte_everywhere(void **state)
{
    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < 24; at++) {
            char text[24];
            memset(text, ' ', sizeof text);
            text[at] = (char)c;
            const char *json = json_bytes(text, sizeof text);
            bool plain = c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
            assert_true(cf_text_is_utf8(json, strlen(json)));
            assert_int_equal(strlen(json) == sizeof text + 2, plain);
            for (const char *p = json; *p != '\0'; p++)
                assert_true((unsigned char)*p >= 0x20);
        }
    }
    cf_buf_free(&json_buf);
}

static const char *json_seconds(int64_t ns)
{
    struct cf_jsonw w = json_start();
    cf_jsonw_seconds(&w, NULL, ns);
    return json_buf.data;
}

static const char *json_duration(int64_t ns)
{
    struct cf_jsonw w = json_start();
    cf_jsonw_duration(&w, NULL, ns);
    return json_buf.data;
}

static const char *json_double(double value)
{
    struct cf_jsonw w = json_start();
    cf_jsonw_double(&w, NULL, value);
    return json_buf.data;
}

static void test_json_numbers(void **state)
{
    assert_string_equal(json_seconds(1500000000), "1.5");
    assert_string_equal(json_seconds(0), "0.0");
    assert_string_equal(json_seconds(3600 * CF_NS_PER_S), "3600.0");
    assert_string_equal(json_seconds(1), "0.000000001");
    assert_string_equal(json_seconds(-500000000), "-0.5");
    assert_string_equal(json_seconds(INT64_MIN), "-9223372036.854775808");
    assert_string_equal(json_duration(3600 * CF_NS_PER_S), "3600");
    assert_string_equal(json_duration(250 * CF_NS_PER_MS), "0.25");
    assert_string_equal(json_double(0.1), "0.1");
    assert_string_equal(json_double(1.0 / 3), "0.33333333333333331");
    assert_string_equal(json_double(NAN), "null");
    assert_string_equal(json_double(-INFINITY), "null");
    cf_buf_free(&json_buf);
}

/* log */

/* Runs one line through a pipe in place of standard error. */
static size_t capture(char *line, size_t size, enum cf_log_level level, const char *text)
{
    int ends[2], saved = dup(STDERR_FILENO);

    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    errno = EXDEV;
    cf_log(level, "%s", text);
    int after = errno;
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    ssize_t len = read(ends[0], line, size - 1);
    close(ends[0]);
    close(ends[1]);
    close(saved);
    assert_int_equal(after, EXDEV);
    line[len > 0 ? len : 0] = '\0';
    return len > 0 ? (size_t)len : 0;
}

static void test_log_line(void **state)
{
    char line[4096];

    cf_log_init("server", CF_LOG_INFO);
    capture(line, sizeof line, CF_LOG_INFO, "hello");
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[23], 'Z');
    assert_string_equal(line + 24, " info server: hello\n");
    assert_int_equal(capture(line, sizeof line, CF_LOG_DEBUG, "quiet"), 0);
    cf_log_level_set(CF_LOG_DEBUG);
    assert_true(capture(line, sizeof line, CF_LOG_DEBUG, "loud") > 0);
}

static void test_log_forgery(void **state)
{
    char line[4096], text[3000];

    cf_log_init("server", CF_LOG_INFO);
    capture(line, sizeof line, CF_LOG_WARNING, "a\n2026-01-01 forged \x1b[2J");
    assert_string_equal(line + 24, " warning server: a\\x0a2026-01-01 forged \\x1b[2J\n");
    memset(text, '\n', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    size_t len = capture(line, sizeof line, CF_LOG_INFO, text);
    assert_in_range(len, 1000, 1024);
    assert_ptr_equal(strchr(line, '\n'), line + len - 1);
}

/* durations */

static void test_duration_parse(void **state)
{
    static const struct { const char *text; int64_t ns; } cases[] = {
        { "90", 90 * CF_NS_PER_S }, { "0", 0 }, { "0.5", CF_NS_PER_S / 2 }, { ".5", CF_NS_PER_S / 2 },
        { "5.", 5 * CF_NS_PER_S },
        { "10m", 600 * CF_NS_PER_S }, { "1h30m", 5400 * CF_NS_PER_S }, { "1.5s", 1500 * CF_NS_PER_MS },
        { "300ms", 300 * CF_NS_PER_MS }, { "1us", 1000 }, { "1\xc2\xb5s", 1000 }, { "1\xce\xbcs", 1000 }, { "7ns", 7 },
        { "0.000000001", 1 }, { "1.5h", 5400 * CF_NS_PER_S }, { "1h1m1s1ms", 3661001 * CF_NS_PER_MS },
        { "+1m", 60 * CF_NS_PER_S }, { "1e3", 1000 * CF_NS_PER_S }, { "2.5E-1", 250 * CF_NS_PER_MS },
        { "0.123456789", 123456789 }, { "1.99999999999999999999", 2 * CF_NS_PER_S },
        { "9223372036", 9223372036 * CF_NS_PER_S },
    };
    int64_t ns;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(cf_duration_parse(cases[i].text, &ns), 0);
        assert_int_equal(ns, cases[i].ns);
    }
}

static void test_duration_refused(void **state)
{
    static const char *const cases[] = {
        "", " ", "-1", "-0.5s", "nan", "inf", "NaN", "infinity", "1e400", "1e19", "10 m", " 10m", "10m ", "10x", "m",
        ".", "1h30", "1..5s", "1d", "0x10", "9223372037", "9223372036.854775807", "99999999999999999999", "2562048h",
        "++1", "1e", "1h\n", "e5", "1m-5s", "1,5", "\xd9\xa1",
    };
    int64_t ns = 42;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(cf_duration_parse(cases[i], &ns), -1);
        assert_int_equal(ns, 42);
    }
}

static void test_duration_format(void **state)
{
    static const struct { int64_t ns; const char *text; } cases[] = {
        { 0, "0s" }, { 5400 * CF_NS_PER_S, "1h30m" }, { 600 * CF_NS_PER_S, "10m" }, { 1500 * CF_NS_PER_MS, "1.5s" },
        { 300 * CF_NS_PER_MS, "300ms" }, { 1500, "1.5us" }, { 7, "7ns" }, { 86400 * CF_NS_PER_S, "24h" },
        { 3601 * CF_NS_PER_S, "1h1s" }, { 60001 * CF_NS_PER_MS, "1m0.001s" }, { -1500 * CF_NS_PER_MS, "-1.5s" },
        { INT64_MAX, "2562047h47m16.854775807s" }, { INT64_MIN, "-2562047h47m16.854775808s" },
    };
    char text[32];
    int64_t ns;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_string_equal(cf_duration_format(cases[i].ns, text, sizeof text), cases[i].text);
        if (cases[i].ns >= 0 && cases[i].ns < CF_NEVER_NS) {
            assert_int_equal(cf_duration_parse(text, &ns), 0);
            assert_int_equal(ns, cases[i].ns);
        }
    }
}

static void test_clock(void **state)
{
    struct cf_now a = cf_clock_now(), b = cf_clock_now();

    assert_true(a.mono_ns > 0 && b.mono_ns >= a.mono_ns);
    assert_true(a.wall_ns > 1700000000 * CF_NS_PER_S);
}

/* descriptors */

static void test_fd_read(void **state)
{
    char *data = NULL;
    size_t len = 0;
    char path[] = "/tmp/curfew-test-XXXXXX";
    CF_FD_AUTO fd = mkostemp(path, O_CLOEXEC);
    char block[5000];

    assert_true(fd >= 0);
    memset(block, 'x', sizeof block);
    assert_int_equal(cf_fd_write_all(fd, block, sizeof block), 0);
    assert_int_equal(cf_fd_read_file(AT_FDCWD, path, 5000, &data, &len), 0);
    assert_int_equal(len, 5000);
    assert_int_equal(data[len], '\0');
    free(data);
    data = NULL;
    assert_int_equal(cf_fd_read_file(AT_FDCWD, path, 4999, &data, &len), -1);
    assert_int_equal(errno, EFBIG);
    assert_null(data);
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(cf_fd_read_file(AT_FDCWD, path, 0, &data, &len), 0);
    assert_int_equal(len, 0);
    free(data);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(cf_fd_read_file(AT_FDCWD, path, 10, &data, &len), -1);
    assert_int_equal(errno, ENOENT);
    assert_int_equal(cf_fd_read_file(AT_FDCWD, "/tmp", 10, &data, &len), -1);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(cf_fd_read_file(AT_FDCWD, "/proc/self/status", 1 << 20, &data, &len), 0);
    assert_true(len > 0);
    free(data);
}

static void test_fd_close(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), closed = fd;

    errno = EXDEV;
    cf_fd_close(&fd);
    assert_int_equal(fd, -1);
    assert_int_equal(errno, EXDEV);
    assert_int_equal(fcntl(closed, F_GETFD), -1);
    cf_fd_close(&fd);
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(cf_fd_nonblock(ends[0]), 0);
    char c;
    assert_int_equal(read(ends[0], &c, 1), -1);
    assert_int_equal(errno, EAGAIN);
    cf_fd_close(&ends[0]);
    cf_fd_close(&ends[1]);
    assert_int_equal(cf_fd_nonblock(-1), -1);
}

/* complaints */

static void test_complaints(void **state)
{
    struct cf_complaints c;
    size_t lines = 0;

    cf_complaints_init(&c);
    assert_string_equal(cf_complaints_text(&c), "");
    cf_complaints_add(&c, "a\nb %d", 1);
    assert_string_equal(cf_complaints_text(&c), "a\\x0ab 1\n");
    for (int i = 0; i < 100000; i++)
        cf_complaints_add(&c, "%0900d", i);
    assert_int_equal(c.count, 100001);
    assert_false(c.lines.failed);
    for (const char *p = cf_complaints_text(&c); *p != '\0'; p++)
        lines += *p == '\n';
    assert_int_equal(lines, CF_COMPLAINTS_SHOWN + 1);
    cf_complaints_free(&c);
    cf_complaints_free(NULL);
}

/* In a child, since it is done once.  A grandchild sees nothing, unless it is to. */
static void environment_is_hidden(void **state)
{
    pid_t pid = fork();
    if (pid == 0) {
        setenv("CURFEW_TEST_SECRET", "secret", 1);
        const char *was = getenv("CURFEW_TEST_SECRET");
        if (was == NULL || cf_environment_hide() != 0)
            _exit(1);
        const char *is = getenv("CURFEW_TEST_SECRET");
        if (was[0] != '\0' || is == NULL || strcmp(is, "secret") != 0)
            _exit(2);
        for (int shared = 0; shared < 2; shared++) {
            int status;
            cf_environment_share(shared != 0);
            pid_t child = fork();
            if (child == 0)
                _exit((environ[0] != NULL && strcmp(is, "secret") == 0) == (shared != 0) ? 0 : 1);
            if (waitpid(child, &status, 0) != child || status != 0)
                _exit(3 + shared);
        }
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        { .name = "every error has its name, HTTP status and exit status", .test_func = test_error_rows },
        { .name = "an unknown error code answers as an internal one", .test_func = test_error_unknown },
        { .name = "an error's text is cut, never overrun, and may quote itself", .test_func = test_error_set },
        { .name = "a buffer grows and can be given away", .test_func = test_buf_grows },
        { .name = "a buffer stops at its bound, keeps what it had and stays failed", .test_func = test_buf_bound },
        { .name = "an append of an absurd length fails and copies nothing", .test_func = test_buf_huge },
        { .name = "UTF-8: overlong forms, surrogates and cut characters are told apart", .test_func = test_utf8 },
        { .name = "escaping leaves no control byte and cuts between characters", .test_func = test_escape },
        { .name = "JSON: commas, nesting and keys", .test_func = test_json_shape },
        { .name = "JSON: quotes, backslashes and control bytes are escaped", .test_func = test_json_escapes },
        { .name = "JSON: bytes that are not UTF-8 become U+FFFD", .test_func = test_json_invalid_utf8 },
        { .name = "JSON: every byte value at every offset is written right",
          .test_func = test_json_every_byte_everywhere },
        { .name = "JSON: seconds keep nanoseconds; NaN is null", .test_func = test_json_numbers },
        { .name = "a log line has time, level and process; errno survives it", .test_func = test_log_line },
        { .name = "no text can forge a second log line or pass 1024 bytes", .test_func = test_log_forgery },
        { .name = "S1.6: durations are read as seconds and as Go's text", .test_func = test_duration_parse },
        { .name = "S1.6: what is no duration is refused and changes nothing", .test_func = test_duration_refused },
        { .name = "durations are written as people write them", .test_func = test_duration_format },
        { .name = "the clocks run", .test_func = test_clock },
        { .name = "a file is read whole up to its bound", .test_func = test_fd_read },
        { .name = "closing forgets the descriptor and keeps errno", .test_func = test_fd_close },
        { .name = "the environment, once hidden, is there for us and for whoever is to have it", .test_func = environment_is_hidden },
        { .name = "complaints are bounded and one a line", .test_func = test_complaints },
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
