/* cli.h: what one run of the command line knows, and the verbs that it can run. */
#ifndef CURFEW_CLI_CLI_H
#define CURFEW_CLI_CLI_H

#include "base/buf.h"
#include "base/error.h"
#include "cli/client.h"
#include "cli/ops.h"

#include <stdbool.h>
#include <stddef.h>

/* Exit statuses that no row of errors.def has. */
#define CF_EXIT_USAGE 64            /* EX_USAGE */
#define CF_EXIT_OUTPUT 74           /* EX_IOERR: standard output could not be written */
#define CF_EXIT_TIMED_OUT 124       /* as timeout(1) */
#define CF_EXIT_OWN 125             /* curfew's own failure while it stands in for a command, as env(1) */
#define CF_VERB_OPS 3
#define CF_VERB_OWN 4

struct cf_cli;
struct cf_extra;

/* A flag that is no row of operations.def. */
struct cf_own_flag {
    const char *name;
    const char *value;              /* what its value is called; NULL: it takes none */
    const char *help;
};

/* Exit statuses: those of most, those of what stands in for a command, those of attach. */
enum cf_statuses { CF_STATUSES_PLAIN, CF_STATUSES_COMMAND, CF_STATUSES_ATTACH };

struct cf_verb {
    const char *name;
    const char *args;               /* of the usage line, after the options */
    const char *help;
    const char *notes;              /* further text of its --help, or NULL */
    int ops[CF_VERB_OPS];           /* enum cf_op whose parameters are its flags; -1: none */
    int ids_min, ids_max;           /* session ids among its words; ids_max -1: any number */
    int words_min, words_max;       /* other words behind the ids */
    const char *word;               /* what the first of them is, for who has left it out */
    bool command;                   /* the words after the ids are a command, in which options are left alone */
    enum cf_statuses statuses;      /* which its --help lists */
    const char *hides;              /* parameters of `ops` that are no flags: words give them, or the verb itself */
    const struct cf_own_flag *own;  /* further flags, up to a row without a name; at most CF_VERB_OWN, or NULL */
    int (*run)(struct cf_cli *cli); /* returns the exit status */
};

/* One flag as it was given.  `text` is borrowed from argv (NULL: a SCREEN without a value); DURATION and INT are read
 * into `number` (nanoseconds, value), BOOL into 0 or 1, SCREEN into columns << 32 | rows. */
struct cf_flag {
    const struct cf_param_row *param;
    const char *text;
    int64_t number;
};

struct cf_cli {
    const struct cf_verb *verb;
    bool json, colour, help;
    bool own_failures;              /* every failure exits with CF_EXIT_OWN: stdout and status are a command's */
    bool gone_pipe;                 /* the reader of stdout went away; main ends as SIGPIPE would */
    struct cf_where_flags where;
    struct cf_flag *flags;
    size_t flag_count;
    const char *own[CF_VERB_OWN];   /* what the verb's own flags were given; see cf_opts_own */
    char **words;                   /* what is no option */
    int word_count;
    struct cf_client *client;       /* made by cf_cli_connect */
    struct cf_buf out;              /* what will stand on stdout */
};

/* The verbs: those of operations.def and the two that stand for none or several operations. */
size_t cf_verbs_count(void);
void cf_verbs_get(size_t index, struct cf_verb *ret_verb);
bool cf_verbs_find(const char *name, struct cf_verb *ret_verb);

/* Makes the client when there is none.  0 or an exit status, with the message given. */
int cf_cli_connect(struct cf_cli *cli);
/* Sends one request made of the flags that belong to `op`, and waits for the answer.  0 or an exit status, with
 * the message given; with --json the data of a success is put on `out`.  The caller frees `ret` in any case. */
int cf_cli_call(struct cf_cli *cli, enum cf_op op, const char *id, struct cf_exchange *ret);
/* The same for a command `number` of the session, and with members of the body that are no flags (see request.h). */
int cf_cli_call_with(struct cf_cli *cli, enum cf_op op, const char *id, uint32_t number, const struct cf_extra *extra,
                     struct cf_exchange *ret);
/* Tells a failure (on stderr, or with --json as an object on `out`) and returns its exit status. */
int cf_cli_fail(struct cf_cli *cli, const struct cf_error *error);
/* As cf_cli_fail, for what a server answered: with --json its error object as it came. */
int cf_cli_fail_exchange(struct cf_cli *cli, const struct cf_exchange *exchange);
int cf_cli_usage(const struct cf_cli *cli, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Writes `data` to stdout (1) or stderr (2) at once.  0 or an exit status, with the message given unless the reader
 * is gone. */
int cf_cli_write(struct cf_cli *cli, int fd, const void *data, size_t len);

/* What cf_cli_write does when it fails, for others who write; errno says why. */
int cf_cli_cannot_write(struct cf_cli *cli, int fd);
/* The flag of `op` that is called `name`, or NULL when it was not given. */
const struct cf_flag *cf_cli_flag(const struct cf_cli *cli, enum cf_op op, const char *name);
/* Whether a BOOL was given as true. */
bool cf_cli_says(const struct cf_cli *cli, enum cf_op op, const char *name);

int cf_verb_serve(int argc, char **argv);
int cf_verb_any(struct cf_cli *cli);
int cf_verb_create(struct cf_cli *cli);
int cf_verb_ls(struct cf_cli *cli);
int cf_verb_show(struct cf_cli *cli);
int cf_verb_end(struct cf_cli *cli);
int cf_verb_exec(struct cf_cli *cli);
int cf_verb_run(struct cf_cli *cli);
int cf_verb_execs(struct cf_cli *cli);
int cf_verb_wait(struct cf_cli *cli);
int cf_verb_cancel(struct cf_cli *cli);
int cf_verb_output(struct cf_cli *cli);
int cf_verb_input(struct cf_cli *cli);
int cf_verb_signal(struct cf_cli *cli);
int cf_verb_resize(struct cf_cli *cli);
int cf_verb_attach(struct cf_cli *cli);
int cf_verb_stats(struct cf_cli *cli);
int cf_verb_plan(struct cf_cli *cli);
int cf_verb_cleanup(struct cf_cli *cli);
int cf_verb_configure(struct cf_cli *cli);
int cf_verb_history(struct cf_cli *cli);
int cf_verb_audit(struct cf_cli *cli);
int cf_verb_metrics(struct cf_cli *cli);
int cf_verb_upgrade(struct cf_cli *cli);
int cf_verb_version(struct cf_cli *cli);

#endif
