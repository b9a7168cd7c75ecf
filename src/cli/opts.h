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

/* Whether a parameter is a flag of the verb (and not given by a word, as the command of exec is). */
bool cf_opts_is_flag(const struct cf_verb *verb, const struct cf_param_row *param);

#endif
