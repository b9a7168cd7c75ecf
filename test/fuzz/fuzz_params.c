/* Request bodies and queries against the parameters of every operation, paths against the routes, Host and Origin
 * against their checks.  First byte: the operation; then one line for path and query, one for Host; the rest is the
 * body. */
#include "server/auth.h"
#include "server/params.h"
#include "server/route.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_query(enum cf_operation operation, json_t *params, char *text)
{
    struct cf_error error;
    char *save = NULL;
    for (char *part = strtok_r(text, "&", &save); part; part = strtok_r(NULL, "&", &save)) {
        char *value = strchr(part, '=');
        if (value)
            *value++ = '\0';
        if (cf_params_query(operation, params, part, value, &error) < 0)
            assert(error.code < 0 && error.text[0]);
    }
}

static void one_body(enum cf_operation operation, const char *body, size_t len, char *query)
{
    struct cf_error error = { 0 };
    json_t *params = NULL;
    if (cf_params_body(operation, body, len, &params, &error) < 0) {
        assert(!params && error.code < 0 && error.text[0]);
        return;
    }
    assert(json_is_object(params));
    one_query(operation, params, query);
    if (cf_params_complete(operation, params, &error) == 0) {
        const struct cf_call call = { .params = params };
        assert(cf_call_duration_ns(&call, "timeout", 0) >= 0);
        assert(cf_call_duration_ns(&call, "grace", 0) <= 3600 * CF_NS_PER_S);
        if (operation == CF_OP_exec)
            assert(strlen(cf_call_text(&call, "command", "")) > 0);
    }
    json_decref(params);
}

static void one_route(const char *path)
{
    struct cf_routes routes;
    struct cf_route_match found;
    cf_routes_init(&routes);
    int code = cf_routes_match(&routes, "GET", path, &found);
    assert(code == 0 || code == CF_E_NOT_FOUND || code == CF_E_METHOD);
    if (code == 0)
        assert(strlen(found.id) <= CF_ROUTE_ID_MAX && !strchr(found.id, '/'));
}

static void one_host(const char *host)
{
    const struct cf_auth auth = { .host = "127.0.0.1",
                                  .allowed_hosts = "a.example,b",
                                  .allowed_origins = "https://t.example",
                                  .token = "0123456789abcdef" };
    const struct cf_auth_request as_host = { .peer = CF_PEER_SAME_UID, .host = host },
                                 as_origin = { .peer = CF_PEER_SAME_UID, .host = "localhost", .origin = host };
    const struct cf_auth_request as_token = { .host = "localhost", .authorization = host };
    struct cf_error error;
    if (cf_auth_check(&auth, &as_host, &error) < 0)
        assert(error.code == CF_E_MALFORMED || error.code == CF_E_MISDIRECTED);
    if (cf_auth_check(&auth, &as_origin, &error) < 0)
        assert(error.code == CF_E_FORBIDDEN);
    if (cf_auth_check(&auth, &as_token, &error) == 0)
        assert(strstr(host, "0123456789abcdef"));
}

/* Takes one line off the front as a string of its own. */
static char *line(const char **data, size_t *size)
{
    const char *end = memchr(*data, '\n', *size);
    size_t len = end ? (size_t)(end - *data) : *size;
    char *copy = strndup(*data, len);
    *data += len + (end != NULL);
    *size -= len + (end != NULL);
    return copy;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *rest = (const char *)data + 1;
    size_t left = size - 1;
    char *path = line(&rest, &left), *host = line(&rest, &left);
    char *query = path ? strchr(path, '?') : NULL;
    if (query)
        *query++ = '\0';
    if (path && host) {
        one_route(path);
        one_host(host);
        one_body((enum cf_operation)(data[0] % CF_OPERATIONS), rest, left, query ? query : path + strlen(path));
    }
    free(path);
    free(host);
    return 0;
}
