/* help.h: what --help says, rendered from the tables. */
#ifndef CURFEW_CLI_HELP_H
#define CURFEW_CLI_HELP_H

#include "base/buf.h"
#include "cli/cli.h"

/* The program's help, and one verb's. */
void cf_help_program(struct cf_buf *out);
void cf_help_verb(struct cf_buf *out, const struct cf_verb *verb);
/* The tables' part of man/curfew.1: verbs, flags and exit statuses in man(7). */
void cf_help_man(struct cf_buf *out);

#endif
