/* error.h: what can go wrong, as a value.
 *
 * Every code is a row of tables/errors.def with its HTTP status, its exit status and its standing
 * text.  A function that can fail returns 0 or one of these negative codes and, when the caller
 * gave it a struct cf_error, says there what was wrong in words for the person who caused it. */
#ifndef CURFEW_BASE_ERROR_H
#define CURFEW_BASE_ERROR_H

#include <stddef.h>

enum cf_error_row {
    CF_ERROR_ROW_OK,
#define ERROR(name, code, http, exit, text) CF_ERROR_ROW_##name,
#include "tables/errors.def"
#undef ERROR
    CF_ERROR_ROWS
};

enum cf_error_code {
    CF_OK = 0,
#define ERROR(name, code, http, exit, text) CF_E_##name = -CF_ERROR_ROW_##name,
#include "tables/errors.def"
#undef ERROR
};

/* What went wrong.  `field` is the request field, setting or argument at fault, empty when none is;
 * `text` is one sentence that names the field and the allowed range where there is one. */
struct cf_error {
    int code;
    char field[64];
    char text[384];
};

/* Fills `e` (which may be NULL) and returns `code`, so that a caller can `return cf_error_set(…)`.
 * `field` may be NULL.  Text that does not fit is cut. */
int cf_error_set(struct cf_error *e, int code, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The API's name of a code ("not_found"), its HTTP status, the CLI's exit status, the standing text.
 * An unknown code answers as CF_E_INTERNAL does. */
const char *cf_error_name(int code);
int cf_error_http(int code);
int cf_error_exit(int code);
const char *cf_error_text(int code);

/* The code whose API name is `name`, or CF_E_INTERNAL. */
int cf_error_from_name(const char *name);

#endif
