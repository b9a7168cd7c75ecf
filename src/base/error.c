/* error.c: the table of errors and the filling of a struct cf_error. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct row {
    const char *name;
    int http;
    int exit;
    const char *text;
};

static const struct row rows[CF_ERROR_ROWS] = {
    [CF_ERROR_ROW_OK] = { "ok", 200, 0, "" },
#define ERROR(name, code, http, exit, text) [CF_ERROR_ROW_##name] = { code, http, exit, text },
#include "tables/errors.def"
#undef ERROR
};

static const struct row *find(int code)
{
    /* Compared before it is negated: -INT_MIN does not exist. */
    if (code > 0 || code <= -CF_ERROR_ROWS)
        code = CF_E_INTERNAL;
    return &rows[-code];
}

int cf_error_set(struct cf_error *e, int code, const char *field, const char *fmt, ...)
{
    if (e == NULL)
        return code;

    /* Built aside: an argument may point into *e. */
    struct cf_error made = { .code = code };
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(made.text, sizeof made.text, fmt, args);
    va_end(args);
    if (field != NULL) {
        size_t len = strnlen(field, sizeof made.field - 1);
        memcpy(made.field, field, len);
    }
    *e = made;
    return code;
}

const char *cf_error_name(int code)
{
    return find(code)->name;
}

int cf_error_http(int code)
{
    return find(code)->http;
}

int cf_error_exit(int code)
{
    return find(code)->exit;
}

const char *cf_error_text(int code)
{
    return find(code)->text;
}

int cf_error_from_name(const char *name)
{
    for (int row = CF_ERROR_ROW_OK + 1; row < CF_ERROR_ROWS; row++)
        if (strcmp(rows[row].name, name) == 0)
            return -row;
    return CF_E_INTERNAL;
}
