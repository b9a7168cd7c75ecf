/* toml.h: the pieces of one line of the TOML subset that configuration files are written in.
 *
 * A cursor walks over one line without its line ending.  Nothing is allocated; what is returned
 * as a pointer lies in the line. */
#ifndef CURFEW_BASE_TOML_H
#define CURFEW_BASE_TOML_H

#include <stdbool.h>
#include <stddef.h>

#define CF_TOML_LINE_BYTES 8192     /* longest line: the longest list with every byte escaped fits */

struct cf_toml_cursor {
    const char *p, *end;
};

enum cf_toml_kind { CF_TOML_TEXT, CF_TOML_INT, CF_TOML_FLOAT, CF_TOML_BOOL, CF_TOML_LIST };

/* Text without quotes and escapes; numbers without underscores; a list's items joined by commas. */
struct cf_toml_value {
    enum cf_toml_kind kind;
    size_t len;
    char text[CF_TOML_LINE_BYTES + 1];
};

/* Skips blanks; whether only a comment or nothing is left. */
bool cf_toml_at_end(struct cf_toml_cursor *at);
/* "[name]" and nothing after it: the name; NULL when it is anything else. */
const char *cf_toml_section(struct cf_toml_cursor *at, size_t *ret_len);
/* A bare key after blanks; NULL when there is none. */
const char *cf_toml_key(struct cf_toml_cursor *at, size_t *ret_len);
/* Moves past blanks and one "="; false when there is none. */
bool cf_toml_equals(struct cf_toml_cursor *at);
/* Moves past blanks and one `c`; false, and nothing but the blanks, when it is not there. */
bool cf_toml_take(struct cf_toml_cursor *at, char c);
/* Reads text in quotes behind blanks, and nothing else.  NULL, or what is wrong in words. */
const char *cf_toml_text(struct cf_toml_cursor *at, struct cf_toml_value *ret_value);
/* Reads a value.  NULL, or what is wrong in words; *ret_value is undefined then. */
const char *cf_toml_value(struct cf_toml_cursor *at, struct cf_toml_value *ret_value);

#endif
