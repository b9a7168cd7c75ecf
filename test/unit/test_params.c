#include "server/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static struct cf_error error;

/* Reads a body, completes it, and gives the code; the parameters are dropped. */
static int body_n(enum cf_operation operation, const char *text, size_t len)
{
    json_t *params = NULL;
    memset(&error, 0, sizeof error);
    int code = cf_params_body(operation, text, len, &params, &error);
    if (code == 0)
        code = cf_params_complete(operation, params, &error);
    else
        assert_null(params);
    json_decref(params);
    return code;
}

static int body(enum cf_operation operation, const char *text)
{
    return body_n(operation, text, strlen(text));
}

static int query(enum cf_operation operation, const char *name, const char *value)
{
    json_t *params = json_object();
    char *n = strdup(name), *v = value ? strdup(value) : NULL;
    memset(&error, 0, sizeof error);
    int code = cf_params_query(operation, params, n, v, &error);
    free(n);
    free(v);
    json_decref(params);
    return code;
}

static void accepted(void **state)
{
    assert_int_equal(
        body(CF_OP_configure, "{\"session_timeout\":600,\"cleanup_interval\":60,\"auto_cleanup_enabled\":true}"), 0);
    assert_int_equal(body(CF_OP_configure, "{\"session_timeout\":\"10m\"}"), 0);
    assert_int_equal(body(CF_OP_configure, "{\"session_timeout\":1.5}"), 0);
    assert_int_equal(body(CF_OP_configure, ""), 0);
    assert_int_equal(body(CF_OP_create, "{\"env\":{\"A\":\"b\",\"C\":\"\"},\"workspace\":\"w\"}"), 0);
    assert_int_equal(body(CF_OP_exec, "{\"command\":\"true\",\"timeout\":0}"), 0);
}

static void bad_durations(void **state)
{
    const char *values[] = { "0",         "-1",      "0.5",          "0.999999999",
                             "315360001", "1e300",   "-0.0",         "true",
                             "null",      "[]",      "{}",           "\"\"",
                             "\"abc\"",   "\"-5m\"", "\"10m \"",     "\"9999999h\"",
                             "\"nan\"",   "\"inf\"", "\"1\\u0000\"", "9223372036854775807" };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"session_timeout\":%s}", values[i]);
        assert_int_equal(body(CF_OP_configure, text), CF_E_INVALID);
        assert_string_equal(error.field, "session_timeout");
        assert_non_null(strstr(error.text, "\"session_timeout\" must be from 1 to 315360000 seconds"));
    }
    assert_int_equal(body(CF_OP_configure, "{\"session_timeout\":1}"), 0);
    assert_int_equal(body(CF_OP_configure, "{\"session_timeout\":315360000}"), 0);
}

static void malformed(void **state)
{
    const char *texts[] = { "{",
                            "[]",
                            "[1]",
                            "1",
                            "null",
                            "\"a\"",
                            "{}x",
                            "{\"a\":1,}",
                            "{'a':1}",
                            "{\"session_timeout\":NaN}",
                            "{\"session_timeout\":1e999}",
                            "{\"session_timeout\":99999999999999999999}",
                            "{\"session_timeout\":01}",
                            "{\"session_timeout\":1,\"session_timeout\":2}",
                            "{\"session_timeout\":Infinity}",
                            "{\"\\u0000\":1}",
                            "{\"\\ud800\":1}",
                            "\xef\xbb\xbf{}",
                            "{\"a\":\"\xff\"}",
                            "{\"a\":\"\xc0\x80\"}" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        assert_int_equal(body(CF_OP_configure, texts[i]), CF_E_MALFORMED);
    assert_int_equal(body_n(CF_OP_configure, "{}\0", 3), CF_E_MALFORMED);
}

static void nested(void **state)
{
    enum { DEPTH = 1000000 };
    char *text = malloc(DEPTH);
    assert_non_null(text);
    memset(text, '[', DEPTH);
    assert_int_equal(body_n(CF_OP_create, text, DEPTH), CF_E_MALFORMED);
    for (size_t i = 0; i + 5 <= DEPTH; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    assert_int_equal(body_n(CF_OP_create, text, DEPTH), CF_E_MALFORMED);
    free(text);
}

static void unknown_fields(void **state)
{
    assert_int_equal(body(CF_OP_configure, "{\"session_timeout\":5,\"sesion_timeout\":5}"), CF_E_UNKNOWN_FIELD);
    assert_string_equal(error.field, "sesion_timeout");
    assert_non_null(strstr(error.text, "session_timeout, cleanup_interval, auto_cleanup_enabled"));
    assert_int_equal(body(CF_OP_end, "{\"grace\":5}"), CF_E_UNKNOWN_FIELD);
    assert_int_equal(body(CF_OP_start, "{\"a\":5}"), CF_E_UNKNOWN_FIELD);
    assert_int_equal(body(CF_OP_start, "{}"), 0);
    assert_int_equal(query(CF_OP_configure, "session_timeout", "5"), CF_E_UNKNOWN_FIELD);
}

static void texts(void **state)
{
    assert_int_equal(body(CF_OP_exec, "{\"command\":\"a\\u0000b\"}"), CF_E_INVALID);
    assert_string_equal(error.field, "command");
    assert_non_null(strstr(error.text, "NUL"));
    assert_int_equal(body(CF_OP_exec, "{\"command\":\"\"}"), CF_E_INVALID);
    assert_int_equal(body(CF_OP_exec, "{\"command\":5}"), CF_E_INVALID);
    assert_int_equal(body(CF_OP_exec, "{}"), CF_E_INVALID);
    assert_string_equal(error.text, "\"command\" is required");
    assert_int_equal(body(CF_OP_exec, ""), CF_E_INVALID);
    assert_int_equal(body(CF_OP_create, "{\"workspace\":\"\"}"), CF_E_INVALID);
    assert_int_equal(body(CF_OP_create, "{\"workspace\":"
                                        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}"),
                     CF_E_INVALID);
    assert_non_null(strstr(error.text, "1 to 64 bytes"));
}

static void booleans(void **state)
{
    const char *values[] = { "1", "0", "\"true\"", "null", "[]" };
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"auto_cleanup_enabled\":%s}", values[i]);
        assert_int_equal(body(CF_OP_configure, text), CF_E_INVALID);
        assert_string_equal(error.text, "\"auto_cleanup_enabled\" must be true or false");
    }
}

static void maps(void **state)
{
    assert_int_equal(body(CF_OP_create, "{\"env\":{\"A\":1}}"), CF_E_INVALID);
    assert_int_equal(body(CF_OP_create, "{\"env\":[\"A=1\"]}"), CF_E_INVALID);
    assert_int_equal(body(CF_OP_create, "{\"env\":{\"\":\"x\"}}"), CF_E_INVALID);
    assert_int_equal(body(CF_OP_create, "{\"env\":{\"A=B\":\"x\"}}"), CF_E_INVALID);
    assert_int_equal(body(CF_OP_create, "{\"env\":{\"A\":\"x\\u0000\"}}"), CF_E_INVALID);
    assert_string_equal(error.field, "env");
}

static void queries(void **state)
{
    assert_int_equal(query(CF_OP_end, "grace", "0"), 0);
    assert_int_equal(query(CF_OP_end, "grace", "1.5"), 0);
    assert_int_equal(query(CF_OP_end, "gra%63e", "5%6d"), 0);
    const char *bad[] = { NULL, "", "-1", "3601", "2h", "x", "%30%", "1%00" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_not_equal(query(CF_OP_end, "grace", bad[i]), 0);
    assert_int_equal(query(CF_OP_end, "grace", "3601"), CF_E_INVALID);
    assert_string_equal(error.field, "grace");
    assert_int_equal(query(CF_OP_end, "force", "1"), CF_E_UNKNOWN_FIELD);
    assert_int_equal(query(CF_OP_end, "\xff", "1"), CF_E_UNKNOWN_FIELD);
}

static void query_twice(void **state)
{
    json_t *params = json_object();
    char name[] = "grace", one[] = "1", two[] = "2";
    assert_int_equal(cf_params_query(CF_OP_end, params, name, one, &error), 0);
    assert_int_equal(cf_params_query(CF_OP_end, params, name, two, &error), CF_E_INVALID);
    assert_string_equal(cf_call_text(&(struct cf_call){ .params = params }, "grace", ""), "1");
    json_decref(params);
}

static void reading(void **state)
{
    json_t *params = json_pack("{s:i, s:f, s:s, s:b}", "whole", 90, "part", 0.5, "text", "1h30m", "yes", 1);
    const struct cf_call call = { .params = params };
    assert_int_equal(cf_call_duration_ns(&call, "whole", 0), 90 * CF_NS_PER_S);
    assert_int_equal(cf_call_duration_ns(&call, "part", 0), 500 * CF_NS_PER_MS);
    assert_int_equal(cf_call_duration_ns(&call, "text", 0), 5400 * CF_NS_PER_S);
    assert_int_equal(cf_call_duration_ns(&call, "none", 7), 7);
    assert_true(cf_call_bool(&call, "yes", false));
    assert_true(cf_call_bool(&call, "none", true));
    assert_string_equal(cf_call_text(&call, "text", ""), "1h30m");
    assert_null(cf_call_text(&call, "none", NULL));
    assert_true(cf_call_has(&call, "whole"));
    assert_false(cf_call_has(&call, "none"));
    json_decref(params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "S0.4: the fields of the document are accepted, numbers and texts", .test_func = accepted },
        { .name = "zero, negative, fractional and huge durations are refused with the range",
          .test_func = bad_durations },
        { .name = "malformed JSON, duplicate keys, NaN and overflow are refused", .test_func = malformed },
        { .name = "a million levels of nesting are refused", .test_func = nested },
        { .name = "a field that the operation does not know is refused by name", .test_func = unknown_fields },
        { .name = "text with a NUL, of the wrong length or of the wrong type is refused", .test_func = texts },
        { .name = "only true and false are true or false", .test_func = booleans },
        { .name = "a map holds names and texts only", .test_func = maps },
        { .name = "query parameters are checked as body fields are", .test_func = queries },
        { .name = "a query parameter given twice is refused and the first stays", .test_func = query_twice },
        { .name = "a handler reads durations in nanoseconds", .test_func = reading },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
