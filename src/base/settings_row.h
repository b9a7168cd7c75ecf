/* settings_row.h: what the files of the settings share among themselves. */
#ifndef CURFEW_BASE_SETTINGS_ROW_H
#define CURFEW_BASE_SETTINGS_ROW_H

#include "base/settings.h"

/* How many rows the table has. */
enum {
#define SETTING(name, type, section, min, max, def, when, aliases, env, help) CF_SETTING_INDEX_##name,
#include "tables/settings.def"
#undef SETTING
    CF_SETTING_ROWS
};

/* Reads one value as cf_settings_set does.  `label` is what the person wrote for the name (a key's alias,
 * a variable, a flag) and stands in the message.  0 or CF_E_INVALID; *s is unchanged then. */
int cf_setting_parse(struct cf_settings *s, const struct cf_setting *row, const char *label,
                     const char *text, size_t len, struct cf_error *error);
/* Says "LABEL must be RANGE, not VALUE" and returns CF_E_INVALID. */
int cf_setting_complain(const struct cf_setting *row, const char *label, const char *text, size_t len,
                        struct cf_error *error);
/* The row's member. */
void *cf_setting_at(struct cf_settings *s, const struct cf_setting *row);
const void *cf_setting_peek(const struct cf_settings *s, const struct cf_setting *row);
size_t cf_setting_index(const struct cf_setting *row);
/* Gives a row the value that it has in `from`. */
void cf_setting_copy(struct cf_settings *to, const struct cf_settings *from, const struct cf_setting *row);

/* Whether the `len` bytes of `word` are one of the space-separated `words`. */
bool cf_words_have(const char *words, const char *word, size_t len);
/* The words that a TEXT row may be, space-separated; NULL: any text. */
const char *cf_setting_words(const struct cf_setting *row);
/* The row whose name is nearest to what was written, "_" and "-" alike; NULL: none is near. */
const struct cf_setting *cf_setting_nearest(const char *name, size_t len);

/* The value of a variable; NULL when it is unset or empty. */
const char *cf_settings_env_get(char *const *env, const char *name);

#endif
