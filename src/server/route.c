#include "server/route.h"

#include <assert.h>
#include <string.h>

#define PATH_MAX_BYTES 512              /* longer than every path of the table with the longest id, percent-encoded */

static const struct {
    const char *name, *method, *path, *aliases;
} operations[] = {
#define OPERATION(name, method, path, aliases, cli, help) { #name, #method, path, aliases },
#include "tables/operations.def"
#undef OPERATION
};

const char *cf_route_name(enum cf_operation operation)
{
    return operation < CF_OPERATIONS ? operations[operation].name : "";
}

static void add(struct cf_routes *routes, enum cf_operation operation, const char *method, size_t method_len,
                const char *path, size_t len)
{
    assert(routes->count < CF_ROUTES_MAX && method_len < sizeof routes->rows[0].method);
    struct cf_route *r = &routes->rows[routes->count++];
    *r = (struct cf_route){ .operation = operation, .path = path, .len = len };
    memcpy(r->method, method, method_len);
}

void cf_routes_init(struct cf_routes *routes)
{
    memset(routes, 0, sizeof *routes);
    for (unsigned op = 0; op < CF_OPERATIONS; op++) {
        add(routes, op, operations[op].method, strlen(operations[op].method), operations[op].path,
            strlen(operations[op].path));
        for (const char *at = operations[op].aliases; *at;) {
            size_t method_len = strcspn(at, " ");
            const char *path = at + method_len + strspn(at + method_len, " ");
            size_t len = strcspn(path, " ");
            add(routes, op, at, method_len, path, len);
            at = path + len;
            at += strspn(at, " ");
        }
    }
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool cf_route_unescape(char *text)
{
    char *to = strchr(text, '%');
    if (!to)
        return true;
    for (const char *from = to; *from; to++) {
        if (*from != '%') {
            *to = *from++;
            continue;
        }
        int high = hex(from[1]), low = high < 0 ? -1 : hex(from[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *to = (char)(high << 4 | low);
        from += 3;
    }
    *to = '\0';
    return true;
}

/* Both variables are one segment of the path each: what lies before the next slash. */

static bool take_id(const char *text, size_t len, struct cf_route_match *ret)
{
    if (len == 0 || len > CF_ROUTE_ID_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '-'))
            return false;
    }
    memcpy(ret->id, text, len);
    ret->id[len] = '\0';
    return true;
}

/* Plain digits without a leading zero, so that a command has one address only. */
static bool take_number(const char *text, size_t len, struct cf_route_match *ret)
{
    uint64_t number = 0;
    if (len == 0 || len > 10 || text[0] == '0')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    ret->number = (uint32_t)number;
    return number <= UINT32_MAX;
}

static const struct variable {
    const char *name;
    size_t len;
    bool (*take)(const char *text, size_t len, struct cf_route_match *ret);
} variables[] = { { "{id}", 4, take_id }, { "{n}", 3, take_number } };

static const struct variable *variable_at(const char *path, size_t len)
{
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
        if (len >= variables[i].len && memcmp(path, variables[i].name, variables[i].len) == 0)
            return &variables[i];
    return NULL;
}

static bool match_path(const struct cf_route *r, const char *path, struct cf_route_match *ret)
{
    ret->id[0] = '\0';
    ret->number = 0;
    for (const char *want = r->path, *end = r->path + r->len; want < end;) {
        const struct variable *v = *want == '{' ? variable_at(want, (size_t)(end - want)) : NULL;
        size_t len = v ? strcspn(path, "/") : 1;
        if (v ? !v->take(path, len, ret) : *path != *want)
            return false;
        want += v ? v->len : 1;
        path += len;
    }
    return *path == '\0';
}

static void allow(char list[64], const char *method)
{
    const char *also = strcmp(method, "GET") == 0 ? "GET, HEAD" : method;
    if (strstr(list, method) || strlen(list) + strlen(also) + 3 > 64)
        return;
    if (*list)
        strcat(list, ", ");
    strcat(list, also);
}

/* A slash that was written as %2F is part of a segment, and no segment of the table or id holds one. */
static bool decode(const char *path, char *ret_path)
{
    size_t len = strlen(path);
    if (len >= PATH_MAX_BYTES || strstr(path, "%2F") || strstr(path, "%2f"))
        return false;
    memcpy(ret_path, path, len + 1);
    return cf_route_unescape(ret_path);
}

int cf_routes_match(const struct cf_routes *routes, const char *method, const char *path, struct cf_route_match *ret)
{
    char decoded[PATH_MAX_BYTES];
    if (strchr(path, '%')) {
        if (!decode(path, decoded))
            return CF_E_NOT_FOUND;
        path = decoded;
    }
    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    struct cf_route_match found;
    char other[64] = "";
    for (unsigned i = 0; i < routes->count; i++) {
        const struct cf_route *r = &routes->rows[i];
        if (!match_path(r, path, &found))
            continue;
        if (strcmp(r->method, method) != 0) {
            allow(other, r->method);
            continue;
        }
        found.operation = r->operation;
        found.allow[0] = '\0';
        *ret = found;
        return 0;
    }
    if (!*other)
        return CF_E_NOT_FOUND;
    memcpy(ret->allow, other, sizeof other);
    return CF_E_METHOD;
}
