/* settings.h: the settings table read from file, environment and flags. */
#ifndef CURFEW_BASE_SETTINGS_H
#define CURFEW_BASE_SETTINGS_H

#include "base/buf.h"
#include "base/complaints.h"
#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One member a row: bool, int64_t (INT, BYTES; DURATION in nanoseconds), or char[max + 1]. */
#define CF_MEMBER_BOOL(name, max) bool name;
#define CF_MEMBER_INT(name, max) int64_t name;
#define CF_MEMBER_BYTES(name, max) int64_t name;
#define CF_MEMBER_DURATION(name, max) int64_t name;
#define CF_MEMBER_TEXT(name, max) char name[(max) + 1];
#define CF_MEMBER_LIST(name, max) char name[(max) + 1];
struct cf_settings {
#define SETTING(name, type, section, min, max, def, when, aliases, env, help) CF_MEMBER_##type(name, max)
#include "tables/settings.def"
#undef SETTING
};

enum cf_setting_type {
    CF_SETTING_BOOL, CF_SETTING_INT, CF_SETTING_BYTES, CF_SETTING_DURATION, CF_SETTING_TEXT, CF_SETTING_LIST
};
enum cf_setting_when { CF_SETTING_START, CF_SETTING_NOW };

struct cf_setting {
    const char *name, *section;
    enum cf_setting_type type;
    int64_t min, max;                   /* DURATION: seconds */
    const char *text_default;
    enum cf_setting_when when;
    const char *aliases, *environment, *help;
    size_t offset;                      /* in struct cf_settings */
};
/* The i-th row in the table's order, which groups them by section; NULL past the end. */
const struct cf_setting *cf_setting_row(size_t i);
/* The row of that name (not of an alias), or NULL. */
const struct cf_setting *cf_setting_find(const char *name);
/* What the row takes, in words that fit after "must be": "a whole number from 0 to 65535". */
#define CF_SETTING_RANGE_BYTES 128
const char *cf_setting_range(const struct cf_setting *row, char *buf, size_t size);

void cf_settings_default(struct cf_settings *s);
/* Reads a file's text: `[section]`, `key = value`, # comments; a strict subset of TOML: bare keys, basic
 * and literal strings, decimal integers and floats, booleans, and arrays of strings on one line for LIST.
 * DURATION takes a number of seconds or text ("10m"), BYTES an integer or text ("4M"), LIST an array or
 * comma-separated text.  Sections and keys that the table does not have, second ones, wrong types, values
 * out of range and text after a value are complaints with file and line; all of them are found.  A row
 * that had a complaint keeps its value.  `name` is the file's name for messages. */
void cf_settings_read_text(struct cf_settings *s, const char *name, const char *text, size_t len,
                           struct cf_complaints *c);
/* Reads the file; a missing or unreadable one, or one over 1 MiB, is a complaint. */
void cf_settings_read_file(struct cf_settings *s, const char *path, struct cf_complaints *c);
/* Reads CURFEW_NAME and the rows' further variables (which rank below CURFEW_NAME) from `environ`-like `env`.
 * An empty variable counts as unset.  A CURFEW_… that is neither a row nor the command line's
 * (CURFEW_CONFIG, CURFEW_URL, CURFEW_TOKEN) is a complaint. */
void cf_settings_read_env(struct cf_settings *s, char *const *env, struct cf_complaints *c);
/* Sets one row from text as a flag gives it (no quotes; BOOL true/false/1/0/yes/no/on/off; DURATION "90" or
 * "10m"; BYTES "4M", "64K" or plain).  0, or CF_E_INVALID with the field, the value and the allowed range;
 * unchanged then.  CF_E_UNKNOWN_FIELD for no such row. */
int cf_settings_set(struct cf_settings *s, const char *name, const char *text, struct cf_error *error);
/* Settles what depends on the machine (state_dir, runtime_dir, workspace_dir, token_file, socket: defaults,
 * absolute paths) and checks what spans rows (a host that is not loopback needs token_required). */
void cf_settings_settle(struct cf_settings *s, char *const *env, struct cf_complaints *c);

struct cf_settings_args {
    bool check_only;                    /* --check-config */
    bool help;                          /* --help */
    const char *config;                 /* --config FILE, borrowed; NULL: none given */
    const char *file;                   /* the file that was read, borrowed; NULL: none was */
};
/* The whole reading in order of rank, from `argv` after the subcommand's name: defaults, --config FILE (or
 * CURFEW_CONFIG, or /etc/curfew.conf when it exists and neither is given), environment, flags (--name value,
 * --name=value, --flag for BOOL true, --no-flag for false), settle. */
void cf_settings_load(struct cf_settings *s, int argc, char *const *argv, char *const *env,
                      struct cf_settings_args *ret_args, struct cf_complaints *c);
/* Appends the table as flags with range, default and help, aligned, in sections. */
void cf_settings_help(struct cf_buf *out);
/* Appends one row's value as it would stand in a file; reading that gives the same value. */
void cf_settings_value(const struct cf_settings *s, const struct cf_setting *row, struct cf_buf *out);

#endif
