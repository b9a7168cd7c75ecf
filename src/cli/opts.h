/* opts.h: the words after `curfew`: global options, the verb, its flags from the PARAM rows, the rest. */
#ifndef CURFEW_CLI_OPTS_H
#define CURFEW_CLI_OPTS_H

#include "base/error.h"
#include "cli/cli.h"

#include <stdbool.h>

/* Fills `cli` (verb, flags, words, where, json, help) from argv[*at…] and moves *at; cf_opts_verb stops after the
 * verb's name, so that `serve` can hand on what follows.  0, or CF_E_INVALID with a message that suggests the nearest
 * word when there is one. *ret_version tells of --version. */
int cf_opts_verb(struct cf_cli *cli, struct cf_verb *verb, int argc, char **argv, int *at, bool *ret_version,
                 struct cf_error *error);
int cf_opts_rest(struct cf_cli *cli, int argc, char **argv, int *at, struct cf_error *error);
void cf_opts_free(struct cf_cli *cli);

/* A row's name as a flag has it: idle-timeout. */
struct cf_flag_name {
    char text[64];
};
struct cf_flag_name cf_opts_dashes(const char *name);

/* What a flag of the verb's own was given: NULL when it was not, "" when it takes no value. */
const char *cf_opts_own(const struct cf_cli *cli, const char *name);

/* Reads a flag's value as its row says (see struct cf_flag); `text` is NULL for a SCREEN without a value.  0, or
 * CF_E_INVALID with a message that names the flag and its range. */
int cf_opts_read(const struct cf_param_row *param, const char *text, int64_t *ret, struct cf_error *error);
/* Whether the text is of the form COLSxROWS. */
bool cf_opts_is_screen(const char *text, int *ret_cols, int *ret_rows);

/* Whether a parameter is a flag of the verb (and not hidden by it). */
bool cf_opts_is_flag(const struct cf_verb *verb, const struct cf_param_row *param);

#endif
