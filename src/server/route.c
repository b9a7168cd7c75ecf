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
    *r = (struct cf_route){ .operation = operation, .path = path, .len = len, .before = len };
    memcpy(r->method, method, method_len);
    const char *id = memmem(path, len, "{id}", 4);
    if (id) {
        r->before = (size_t)(id - path);
        r->after = len - r->before - 4;
    }
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

static bool is_id(const char *text, size_t len)
{
    if (len == 0 || len > CF_ROUTE_ID_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
              c == '-'))
            return false;
    }
    return true;
}

static bool match_path(const struct cf_route *r, const char *path, size_t len, size_t *ret_id_len)
{
    *ret_id_len = 0;
    if (r->before == r->len)
        return len == r->len && memcmp(path, r->path, len) == 0;
    if (len <= r->before + r->after || memcmp(path, r->path, r->before) != 0 ||
        memcmp(path + len - r->after, r->path + r->before + 4, r->after) != 0)
        return false;
    *ret_id_len = len - r->before - r->after;
    return is_id(path + r->before, *ret_id_len);
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
    size_t len = strlen(path), id_len;
    char other[64] = "";
    for (unsigned i = 0; i < routes->count; i++) {
        const struct cf_route *r = &routes->rows[i];
        if (!match_path(r, path, len, &id_len))
            continue;
        if (strcmp(r->method, method) != 0) {
            allow(other, r->method);
            continue;
        }
        ret->operation = r->operation;
        memcpy(ret->id, path + r->before, id_len);
        ret->id[id_len] = '\0';
        ret->allow[0] = '\0';
        return 0;
    }
    if (!*other)
        return CF_E_NOT_FOUND;
    memcpy(ret->allow, other, sizeof other);
    return CF_E_METHOD;
}
