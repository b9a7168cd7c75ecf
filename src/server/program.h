/* program.h: a process with pipes in the place of a shell: fed by its stdin, read from its stdout and stderr, and nothing else.
 *
 * It has the life, the reports and the end of a shell (shell.h), and so whoever carries shells carries it: it is READY as soon as
 * it has been started, takes input (cf_shell_input) and signals, and no commands. */
#ifndef CURFEW_SERVER_PROGRAM_H
#define CURFEW_SERVER_PROGRAM_H

#include "server/shell.h"

/* What to start; all of it is borrowed for the call, both lists end in NULL. */
struct cf_program {
    const char *const *argv;            /* the first is the program's path */
    const char *const *env;
    struct cf_journal *journal;         /* of the one before it, which it goes on in; NULL: one of its own */
    uint64_t last_seq;                  /* likewise */
};

/* The path of `name` as execvp would find it in the PATH of `env`, in `ret` (PATH_MAX bytes).  One with a slash in it is taken as it is.
 * 0, or CF_E_SPAWN. */
int cf_program_find(const char *name, const char *const *env, char *ret, struct cf_error *error);

#endif
