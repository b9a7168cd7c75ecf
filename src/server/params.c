#include "server/params.h"

#include "server/route.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum where { IN_BODY = 1, IN_QUERY = 2, IN_EITHER = IN_BODY | IN_QUERY };
enum type { TYPE_TEXT, TYPE_INT, TYPE_DURATION, TYPE_BOOL, TYPE_MAP, TYPE_SCREEN };

#define WHERE_BODY IN_BODY
#define WHERE_QUERY IN_QUERY

static const struct param {
    enum cf_operation operation;
    const char *name;
    enum where where;
    enum type type;
    bool required;
    int64_t min, max;
} rows[] = {
#define PARAM(operation, name, where, type, required, min, max, help) \
    { CF_OP_##operation, #name, WHERE_##where, TYPE_##type, required, min, max },
#include "tables/operations.def"
#undef PARAM
};

static const bool raw_bodies[CF_OPERATIONS + 1] = {
#define RAW_BODY(operation) [CF_OP_##operation] = true,
#include "tables/operations.def"
#undef RAW_BODY
    [CF_OPERATIONS] = false
};

bool cf_params_raw(enum cf_operation operation)
{
    return raw_bodies[operation];
}

#define ROWS (sizeof rows / sizeof rows[0])
/* Longest name of a field that a message repeats. */
#define NAME_SHOWN 60

static const struct param *find(enum cf_operation operation, enum where where, const char *name)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].operation == operation && (rows[i].where & where) && strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

/* ---- messages ---- */

static int unknown(enum cf_operation operation, enum where where, const char *name, struct cf_error *error)
{
    char known[256] = "";
    size_t used = 0;
    for (size_t i = 0; i < ROWS; i++) {
        size_t len = strlen(rows[i].name);
        if (rows[i].operation != operation || !(rows[i].where & where) || used + len + 3 > sizeof known)
            continue;
        if (used) {
            memcpy(known + used, ", ", 2);
            used += 2;
        }
        memcpy(known + used, rows[i].name, len + 1);
        used += len;
    }
    return cf_error_set(error, CF_E_UNKNOWN_FIELD, name, "%s has no %s \"%.*s\"; it knows %s", cf_route_name(operation),
                        where == IN_BODY ? "field" : "query parameter", NAME_SHOWN, name, used ? known : "none");
}

static int out_of_form(const struct param *p, struct cf_error *error)
{
    long long min = p->min, max = p->max;
    switch (p->type) {
    case TYPE_TEXT:
        return cf_error_set(error, CF_E_INVALID, p->name, "\"%s\" must be text of %lld to %lld bytes", p->name, min,
                            max);
    case TYPE_INT:
        return cf_error_set(error, CF_E_INVALID, p->name, "\"%s\" must be a whole number from %lld to %lld", p->name,
                            min, max);
    case TYPE_DURATION:
        return cf_error_set(error, CF_E_INVALID, p->name,
                            "\"%s\" must be from %lld to %lld seconds, as a number or as text "
                            "such as \"10m\"",
                            p->name, min, max);
    case TYPE_BOOL:
        return cf_error_set(error, CF_E_INVALID, p->name, "\"%s\" must be true or false", p->name);
    case TYPE_MAP:
        return cf_error_set(error, CF_E_INVALID, p->name,
                            "\"%s\" must be an object of at most %lld names with text values", p->name, max);
    case TYPE_SCREEN:
        return cf_error_set(error, CF_E_INVALID, p->name,
                            "\"%s\" must be an object of \"cols\" and \"rows\", whole numbers from %lld to %lld", p->name,
                            min, max);
    }
    return cf_error_set(error, CF_E_INTERNAL, p->name, "\"%s\" has no type", p->name);
}

/* ---- one value ---- */

int cf_params_duration(const json_t *value, int64_t *ret_ns)
{
    if (json_is_integer(value)) {
        json_int_t seconds = json_integer_value(value);
        if (seconds < 0 || seconds > INT64_MAX / CF_NS_PER_S)
            return -1;
        *ret_ns = seconds * CF_NS_PER_S;
        return 0;
    }
    if (json_is_real(value)) {
        double ns = json_real_value(value) * 1e9;
        if (!(ns >= 0 && ns < 9.2e18))
            return -1;
        *ret_ns = llround(ns);
        return 0;
    }
    if (json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value))
        return cf_duration_parse(json_string_value(value), ret_ns);
    return -1;
}

static bool fits(const json_t *value, int64_t min, int64_t max, int64_t *ret_ns)
{
    return cf_params_duration(value, ret_ns) == 0 && *ret_ns >= min * CF_NS_PER_S && *ret_ns <= max * CF_NS_PER_S;
}

static int check_text(const struct param *p, const json_t *value, struct cf_error *error)
{
    if (!json_is_string(value))
        return out_of_form(p, error);
    size_t len = json_string_length(value);
    if (memchr(json_string_value(value), '\0', len))
        return cf_error_set(error, CF_E_INVALID, p->name, "\"%s\" must not hold a NUL", p->name);
    return (int64_t)len < p->min || (int64_t)len > p->max ? out_of_form(p, error) : 0;
}

static int check_map(const struct param *p, const json_t *value, struct cf_error *error)
{
    if (!json_is_object(value) || (int64_t)json_object_size(value) < p->min ||
        (int64_t)json_object_size(value) > p->max)
        return out_of_form(p, error);
    const char *name;
    json_t *item;
    json_object_foreach((json_t *)(uintptr_t)value, name, item) {
        if (!*name || strchr(name, '='))
            return cf_error_set(error, CF_E_INVALID, p->name,
                                "\"%s\" has the name \"%.*s\": a name is not empty and has no =", p->name, NAME_SHOWN,
                                name);
        if (!json_is_string(item))
            return cf_error_set(error, CF_E_INVALID, p->name, "\"%s\".\"%.*s\" must be text", p->name, NAME_SHOWN,
                                name);
        if (memchr(json_string_value(item), '\0', json_string_length(item)))
            return cf_error_set(error, CF_E_INVALID, p->name, "\"%s\".\"%.*s\" must not hold a NUL", p->name,
                                NAME_SHOWN, name);
    }
    return 0;
}

static bool is_int(const struct param *p, const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= p->min && json_integer_value(value) <= p->max;
}

static bool is_screen(const struct param *p, const json_t *value)
{
    return json_is_object(value) && json_object_size(value) == 2 && is_int(p, json_object_get(value, "cols")) &&
           is_int(p, json_object_get(value, "rows"));
}

static int check(const struct param *p, const json_t *value, struct cf_error *error)
{
    int64_t ns;
    switch (p->type) {
    case TYPE_TEXT:
        return check_text(p, value, error);
    case TYPE_INT:
        return is_int(p, value) ? 0 : out_of_form(p, error);
    case TYPE_DURATION:
        return fits(value, p->min, p->max, &ns) ? 0 : out_of_form(p, error);
    case TYPE_BOOL:
        return json_is_boolean(value) ? 0 : out_of_form(p, error);
    case TYPE_MAP:
        return check_map(p, value, error);
    case TYPE_SCREEN:
        return is_screen(p, value) ? 0 : out_of_form(p, error);
    }
    return out_of_form(p, error);
}

/* ---- the body ---- */

static int no_memory(struct cf_error *error)
{
    return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
}

static int parse(const char *data, size_t len, json_t **ret, struct cf_error *error)
{
    json_error_t fault;
    /* A NUL is let through here and refused below, so that the answer can name the field. */
    json_t *value = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &fault);
    if (!value && json_error_code(&fault) == json_error_out_of_memory)
        return no_memory(error);
    if (!value && json_error_code(&fault) == json_error_invalid_utf8)
        return cf_error_set(error, CF_E_MALFORMED, NULL, "the body is not valid UTF-8 at byte %d", fault.position);
    if (!value)
        return cf_error_set(error, CF_E_MALFORMED, NULL,
                            "the body is not the JSON that is expected: line %d, column %d: %.120s", fault.line,
                            fault.column, fault.text);
    if (!json_is_object(value)) {
        json_decref(value);
        return cf_error_set(error, CF_E_MALFORMED, NULL, "the body must be one JSON object");
    }
    *ret = value;
    return 0;
}

int cf_params_body(enum cf_operation operation, const char *data, size_t len, json_t **ret_params,
                   struct cf_error *error)
{
    json_t *params = NULL, *value;
    const char *name;
    if (len == 0) {
        params = json_object();
        if (!params)
            return no_memory(error);
        *ret_params = params;
        return 0;
    }
    int code = parse(data, len, &params, error);
    if (code < 0)
        return code;
    json_object_foreach(params, name, value) {
        const struct param *p = find(operation, IN_BODY, name);
        code = p ? check(p, value, error) : unknown(operation, IN_BODY, name, error);
        if (code < 0) {
            json_decref(params);
            return code;
        }
    }
    *ret_params = params;
    return 0;
}

/* ---- the query ---- */

/* NULL when the text is of no use to the row; `check` looks at the range afterwards. */
static json_t *from_text(const struct param *p, const char *text)
{
    char *end;
    switch (p->type) {
    case TYPE_INT: {
        errno = 0;
        long long number = strtoll(text, &end, 10);
        return errno || end == text || *end || text[strspn(text, "-0123456789")] ? NULL : json_integer(number);
    }
    case TYPE_BOOL:
        if (strcmp(text, "true") == 0 || strcmp(text, "1") == 0)
            return json_true();
        return strcmp(text, "false") == 0 || strcmp(text, "0") == 0 ? json_false() : NULL;
    case TYPE_TEXT:
    case TYPE_DURATION:
        return json_string(text);       /* NULL also for bad UTF-8 */
    case TYPE_MAP:
    case TYPE_SCREEN:
        break;
    }
    return NULL;
}

static int add(enum cf_operation operation, enum where where, json_t *params, char *name, char *value,
               struct cf_error *error)
{
    if (!cf_route_unescape(name) || (value && !cf_route_unescape(value)))
        return cf_error_set(error, CF_E_MALFORMED, NULL, "the query has a broken percent escape or a NUL");
    const struct param *p = find(operation, where, name);
    if (!p)
        return unknown(operation, where, name, error);
    if (json_object_get(params, name))
        return cf_error_set(error, CF_E_INVALID, p->name, "\"%s\" is given more than once", p->name);
    json_t *made = value ? from_text(p, value) : NULL;
    if (!made)
        return out_of_form(p, error);
    int code = check(p, made, error);
    if (code < 0) {
        json_decref(made);
        return code;
    }
    return json_object_set_new(params, p->name, made) < 0 ? no_memory(error) : 0;
}

int cf_params_query(enum cf_operation operation, json_t *params, char *name, char *value, struct cf_error *error)
{
    return add(operation, IN_QUERY, params, name, value, error);
}

int cf_params_query_all(enum cf_operation operation, json_t *params, char *name, char *value, struct cf_error *error)
{
    return add(operation, IN_EITHER, params, name, value, error);
}

int cf_params_complete(enum cf_operation operation, const json_t *params, struct cf_error *error)
{
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].operation == operation && rows[i].required && !json_object_get(params, rows[i].name))
            return cf_error_set(error, CF_E_INVALID, rows[i].name, "\"%s\" is required", rows[i].name);
    return 0;
}
