#include "server/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

static struct cf_routes routes;

static int setup(void **state)
{
    cf_routes_init(&routes);
    return 0;
}

static void expect(const char *method, const char *path, int code, enum cf_operation operation, const char *id)
{
    struct cf_route_match found;
    assert_int_equal(cf_routes_match(&routes, method, path, &found), code);
    if (code != 0)
        return;
    assert_int_equal(found.operation, operation);
    assert_string_equal(found.id, id);
}

static void canonical(void **state)
{
    expect("POST", "/v1/sessions", 0, CF_OP_create, "");
    expect("GET", "/v1/sessions", 0, CF_OP_list, "");
    expect("GET", "/v1/sessions/bash_default_1", 0, CF_OP_show, "bash_default_1");
    expect("DELETE", "/v1/sessions/a", 0, CF_OP_end, "a");
    expect("POST", "/v1/sessions/a.b-c_D9/heartbeat", 0, CF_OP_heartbeat, "a.b-c_D9");
    expect("POST", "/v1/sessions/a/exec", 0, CF_OP_exec, "a");
    expect("GET", "/healthz", 0, CF_OP_healthz, "");
}

static void documented(void **state)
{
    expect("PUT", "/bash/auto-cleanup/configure", 0, CF_OP_configure, "");
    expect("POST", "/bash/auto-cleanup/start", 0, CF_OP_start, "");
    expect("POST", "/bash/auto-cleanup/stop", 0, CF_OP_stop, "");
    expect("GET", "/bash/auto-cleanup/stats", 0, CF_OP_stats, "");
    expect("POST", "/bash/cleanup", 0, CF_OP_cleanup, "");
}

static void head_is_get(void **state)
{
    expect("HEAD", "/healthz", 0, CF_OP_healthz, "");
    expect("HEAD", "/v1/sessions/x", 0, CF_OP_show, "x");
}

static void unknown_paths(void **state)
{
    const char *paths[] = { "/",
                            "",
                            "/v1",
                            "/v1/sessions/",
                            "/v1/sessions//exec",
                            "/v1/sessions/a/",
                            "/v1/sessions/a/b",
                            "/healthz/",
                            "/HEALTHZ",
                            "//healthz",
                            "/v1/sessions/a/exec/",
                            "/v1/sessions/../healthz",
                            "http://localhost/healthz",
                            "*" };
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        expect("GET", paths[i], CF_E_NOT_FOUND, 0, "");
}

static void method_not_allowed(void **state)
{
    struct cf_route_match found;
    assert_int_equal(cf_routes_match(&routes, "PATCH", "/v1/sessions/a", &found), CF_E_METHOD);
    assert_string_equal(found.allow, "GET, HEAD, DELETE");
    assert_int_equal(cf_routes_match(&routes, "OPTIONS", "/v1/sessions", &found), CF_E_METHOD);
    assert_string_equal(found.allow, "POST, GET, HEAD");
    assert_int_equal(cf_routes_match(&routes, "GET", "/bash/cleanup", &found), CF_E_METHOD);
    assert_string_equal(found.allow, "POST");
    assert_int_equal(cf_routes_match(&routes, "get", "/healthz", &found), CF_E_METHOD);
}

static void escapes(void **state)
{
    expect("GET", "/v1/sessions/a%62c", 0, CF_OP_show, "abc");
    expect("GET", "/%76%31/sessions", 0, CF_OP_list, "");
    expect("GET", "/v1/sessions/a%2Fb", CF_E_NOT_FOUND, 0, "");
    expect("GET", "/v1%2fsessions", CF_E_NOT_FOUND, 0, "");
    expect("GET", "/v1/sessions/a%00", CF_E_NOT_FOUND, 0, "");
    expect("GET", "/v1/sessions/a%", CF_E_NOT_FOUND, 0, "");
    expect("GET", "/v1/sessions/a%4", CF_E_NOT_FOUND, 0, "");
    expect("GET", "/v1/sessions/a%zz", CF_E_NOT_FOUND, 0, "");
    expect("GET", "/v1/sessions/a%252Fb", CF_E_NOT_FOUND, 0, "");
}

static void ids(void **state)
{
    char path[1024] = "/v1/sessions/";
    size_t base = strlen(path);
    memset(path + base, 'a', CF_ROUTE_ID_MAX);
    struct cf_route_match found;
    assert_int_equal(cf_routes_match(&routes, "GET", path, &found), 0);
    assert_int_equal(strlen(found.id), CF_ROUTE_ID_MAX);
    path[base + CF_ROUTE_ID_MAX] = 'a';
    expect("GET", path, CF_E_NOT_FOUND, 0, "");
    for (unsigned c = 1; c < 256; c++) {
        snprintf(path, sizeof path, "/v1/sessions/x%%%02xx", c);
        bool word = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' ||
                    c == '_' || c == '-';
        assert_int_equal(cf_routes_match(&routes, "GET", path, &found), word ? 0 : CF_E_NOT_FOUND);
    }
    memset(path, '%', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    expect("GET", path, CF_E_NOT_FOUND, 0, "");
}

/* Rows as they would stand in the table. */
static const struct cf_routes numbered = {
    .rows = { { CF_OP_show, "GET", "/v1/sessions/{id}/execs/{n}", 27 },
              { CF_OP_end, "DELETE", "/v1/sessions/{id}/execs/{n}", 27 },
              { CF_OP_list, "GET", "/v1/sessions/{id}/execs", 23 },
              { CF_OP_exec, "GET", "/v1/sessions/{id}", 17 } },
    .count = 4
};

static void numbers(void **state)
{
    struct cf_route_match found;
    const struct {
        const char *text;
        uint32_t number;
    } good[] = { { "1", 1 }, { "10", 10 }, { "4294967295", UINT32_MAX }, { "%31", 1 } };
    const char *bad[] = { "",  "0",   "01", "-1",   "+1",         "1 ",          "1/",
                          "a", "1.0", "1x", "0x10", "4294967296", "99999999999", "18446744073709551617" };
    char path[128];
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        snprintf(path, sizeof path, "/v1/sessions/a.b/execs/%s", good[i].text);
        assert_int_equal(cf_routes_match(&numbered, "GET", path, &found), 0);
        assert_int_equal(found.operation, CF_OP_show);
        assert_string_equal(found.id, "a.b");
        assert_int_equal(found.number, good[i].number);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(path, sizeof path, "/v1/sessions/a.b/execs/%s", bad[i]);
        assert_int_equal(cf_routes_match(&numbered, "GET", path, &found), CF_E_NOT_FOUND);
    }
}

static void numbers_and_ids(void **state)
{
    struct cf_route_match found;
    assert_int_equal(cf_routes_match(&numbered, "GET", "/v1/sessions/execs/execs", &found), 0);
    assert_int_equal(found.operation, CF_OP_list);
    assert_string_equal(found.id, "execs");
    assert_int_equal(found.number, 0);
    assert_int_equal(cf_routes_match(&numbered, "GET", "/v1/sessions/7", &found), 0);
    assert_int_equal(found.operation, CF_OP_exec);
    assert_int_equal(found.number, 0);
    assert_int_equal(cf_routes_match(&numbered, "GET", "/v1/sessions/a/b/execs/1", &found), CF_E_NOT_FOUND);
    assert_int_equal(cf_routes_match(&numbered, "GET", "/v1/sessions//execs/1", &found), CF_E_NOT_FOUND);
    assert_int_equal(cf_routes_match(&numbered, "GET", "/v1/sessions/a%2Fb/execs/1", &found), CF_E_NOT_FOUND);
    assert_int_equal(cf_routes_match(&numbered, "POST", "/v1/sessions/a/execs/1", &found), CF_E_METHOD);
    assert_string_equal(found.allow, "GET, HEAD, DELETE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "each canonical path leads to its operation", .test_func = canonical },
        { .name = "S0: the paths of the document work verbatim", .test_func = documented },
        { .name = "HEAD is served as GET", .test_func = head_is_get },
        { .name = "a path that is not in the table is not found", .test_func = unknown_paths },
        { .name = "a known path with another method says which it takes", .test_func = method_not_allowed },
        { .name = "percent escapes are decoded, a slash in one never splits a path", .test_func = escapes },
        { .name = "an id that no session can have is not found", .test_func = ids },
        { .name = "a command's number is plain digits from 1 to 4294967295", .test_func = numbers },
        { .name = "an id holds no slash, also where more follows it", .test_func = numbers_and_ids },
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
