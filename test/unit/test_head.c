#include "server/head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

static struct cf_error error;

static void accepts(void **state)
{
    const struct {
        const char *list;
        enum cf_accept want;
    } cases[] = {
        { "application/json", CF_ACCEPT_JSON },
        { "application/x-ndjson", CF_ACCEPT_NDJSON },
        { "text/event-stream", CF_ACCEPT_SSE },
        { "application/vnd.curfew.frames", CF_ACCEPT_FRAMES },
        { "application/octet-stream", CF_ACCEPT_RAW },
        { "*/*", CF_ACCEPT_JSON },
        { "TEXT/Event-Stream", CF_ACCEPT_SSE },
        { "  text/event-stream ; charset=utf-8", CF_ACCEPT_SSE },
        { "text/html, text/event-stream", CF_ACCEPT_SSE },
        { "text/event-stream, application/x-ndjson", CF_ACCEPT_SSE },
        { "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", CF_ACCEPT_JSON },
        { "application/x-ndjson;q=0.1, text/event-stream;q=1", CF_ACCEPT_NDJSON },
        { "text/event-stream;q=0, application/x-ndjson", CF_ACCEPT_NDJSON },
        { "text/event-stream ;\tQ=0.000 ,application/octet-stream", CF_ACCEPT_RAW },
        { "text/event-stream;level=0;q=0.,application/octet-stream", CF_ACCEPT_RAW },
        { "text/event-stream;q=0.001,application/octet-stream", CF_ACCEPT_SSE },
        { "", CF_ACCEPT_NONE },
        { ",, ,", CF_ACCEPT_NONE },
        { ";", CF_ACCEPT_NONE },
        { "text/event-stream;q=0", CF_ACCEPT_NONE },
        { "text/event-streams, text/event-strea, xtext/event-stream", CF_ACCEPT_NONE },
        { "text/plain", CF_ACCEPT_NONE },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(cf_head_accept(cases[i].list), cases[i].want);
}

static void numbers(void **state)
{
    uint64_t number = 7;
    const char *bad[] = { "", "-1", "+1", " 1", "1 ", "0x1", "1e3", "18446744073709551616", "one" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(cf_head_number(bad[i], &number));
    assert_int_equal(number, 7);
    assert_true(cf_head_number("0", &number));
    assert_int_equal(number, 0);
    assert_true(cf_head_number("18446744073709551615", &number));
    assert_true(number == UINT64_MAX);
}

static int body(const char *type, bool raw, uint64_t length)
{
    static const struct cf_settings settings = { .max_body_bytes = 100 };
    const struct cf_head head = { .value[CF_HEAD_CONTENT_TYPE] = type };
    return cf_head_body(&head, &settings, "POST", raw, length, &error);
}

static void types_of_bodies(void **state)
{
    assert_int_equal(body(NULL, false, 0), 0);
    assert_int_equal(body("text/plain", true, 0), 0);
    assert_int_equal(body("application/json", false, 100), 0);
    assert_int_equal(body("Application/JSON; charset=utf-8", true, 100), 0);
    assert_int_equal(body("application/json", false, 101), CF_E_TOO_LARGE);
    assert_int_equal(body("application/octet-stream", true, 100), 0);
    assert_int_equal(body("application/octet-stream", false, 1), CF_E_MEDIA_TYPE);
    assert_string_equal(error.text, "a body must have Content-Type: application/json");
    assert_int_equal(body("application/octet-streams", true, 1), CF_E_MEDIA_TYPE);
    assert_string_equal(error.text, "a body must have Content-Type: application/json or application/octet-stream");
    assert_int_equal(body(NULL, true, 1), CF_E_MEDIA_TYPE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "the first known type of Accept counts, unless it has q=0", .test_func = accepts },
        { .name = "a number in a header is plain digits that fit", .test_func = numbers },
        { .name = "only an operation that takes raw bodies takes application/octet-stream",
          .test_func = types_of_bodies },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
