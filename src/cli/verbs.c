#include "cli/cli.h"

#include <string.h>

/* The command is a word; the output comes as a stream unless --json says otherwise; -i passes bytes on. */
#define EXEC_HIDES "command stream stdin_base64"
#define NUMBER "a command's number (see curfew execs)"

/* What the tables cannot say: the words a verb takes and the function that shows its answer.  A row of operations.def
 * with a verb and no row here is sent and shown by cf_verb_any. */
static const struct cf_own_flag run_flags[] = {
    {"keep", NULL, "leave the session and print its id on standard error"}, {0}};

static const struct cf_own_flag attach_flags[] = {
    {"read-only", NULL, "only look: what is typed goes nowhere, and ctrl-c detaches as well"},
    {"detach-keys", "KEYS", "what detaches: keys with commas between, each a character or ctrl- and one; ctrl-\\,d is "
                            "the default; none: nothing does"}, {0}};

static const struct cf_verb special[] = {
    {.name = "serve", .args = "", .help = "Run the server in the foreground",
     .notes = "Its options are the settings; curfew serve --help lists them.", .ops = {-1, -1, -1}},
    {.name = "run", .args = "[--] COMMAND...", .command = true, .statuses = CF_STATUSES_COMMAND, .own = run_flags,
     .hides = EXEC_HIDES " detach terminal kind agent",
     .help = "Run a command in a session of its own, which ends with it",
     .notes = "The session ends, with everything that the command started, before curfew run does; also when it "
              "gets SIGINT, SIGTERM or SIGHUP. A second such signal kills at once. Words, input and output are as "
              "in curfew exec.",
     .ops = {CF_OP_create, CF_OP_exec, CF_OP_end}, .run = cf_verb_run},
    {.name = "create", .args = "", .run = cf_verb_create,
     .notes = "Prints the id and nothing else, so that ID=$(curfew create) works."},
    {.name = "ls", .args = "", .run = cf_verb_ls},
    {.name = "show", .args = "ID", .ids_min = 1, .ids_max = 1, .run = cf_verb_show,
     .notes = "For a session that has ended the exit status is 69."},
    {.name = "end", .args = "ID...", .ids_min = 1, .ids_max = -1, .run = cf_verb_end,
     .notes = "Several sessions end side by side; the exit status is the first failure's."},
    {.name = "exec", .args = "ID [--] COMMAND...", .ids_min = 1, .ids_max = 1, .command = true, .hides = EXEC_HIDES,
     .statuses = CF_STATUSES_COMMAND, .run = cf_verb_exec,
     .notes = "One word is bash text and runs as it is; several are a command and its arguments, and reach it as "
              "they are. Standard output and standard error appear as they come, byte for byte, and the exit "
              "status is the command's. Standard input is passed on with -i only. SIGINT, SIGTERM and SIGHUP "
              "cancel the command; a second one leaves it alone and leaves. With --detach the command's number is "
              "printed, and curfew output, wait, input and cancel take it."},
    {.name = "execs", .args = "ID [N]", .ids_min = 1, .ids_max = 1, .words_max = 1, .run = cf_verb_execs,
     .notes = "With a number only that command, and all that is known of it."},
    {.name = "wait", .args = "ID N", .ids_min = 1, .ids_max = 1, .words_min = 1, .words_max = 1, .word = NUMBER,
     .hides = "since wait limit encoding", .run = cf_verb_wait, .statuses = CF_STATUSES_COMMAND,
     .notes = "The exit status is the command's, as in curfew exec. Its output is had from curfew output."},
    {.name = "cancel", .args = "ID N", .ids_min = 1, .ids_max = 1, .words_min = 1, .words_max = 1, .word = NUMBER,
     .run = cf_verb_cancel,
     .notes = "SIGINT first, then SIGKILL to what the command has started. Prints how it ended, also when it had "
              "ended before."},
    {.name = "output", .args = "ID", .ids_min = 1, .ids_max = 1, .run = cf_verb_output,
     .notes = "Writes to standard output what is kept, byte for byte, standard output and standard error together "
              "in the order in which they came; --stream chooses one. What is no longer kept is told on standard "
              "error. --since counts bytes of what is asked for, from 0."},
    {.name = "input", .args = "ID [TEXT]", .ids_min = 1, .ids_max = 1, .words_max = 1, .hides = "text base64",
     .run = cf_verb_input,
     .notes = "TEXT is written as a line, with a newline behind it. Without it, or for -, standard input is "
              "passed on, byte for byte and as it comes. When no command reads, the exit status is 75."},
    {.name = "signal", .args = "ID SIGNAL", .ids_min = 1, .ids_max = 1, .words_min = 1, .words_max = 1,
     .word = "a signal, such as INT,", .hides = "signal", .run = cf_verb_signal,
     .notes = "INT goes to the foreground job, as ctrl-c would; others to every process that the command has started."},
    {.name = "resize", .args = "ID [COLSxROWS]", .ids_min = 1, .ids_max = 1, .words_max = 1, .hides = "cols rows",
     .run = cf_verb_resize, .notes = "Without a size that of this terminal is taken."},
    {.name = "attach", .args = "ID", .ids_min = 1, .ids_max = 1, .hides = "cols rows", .own = attach_flags,
     .run = cf_verb_attach, .statuses = CF_STATUSES_ATTACH,
     .notes = "The session was created with --terminal. It gets the size of this terminal, shows its recent screen, "
              "and goes on when you leave by ctrl-\\ and then d. ctrl-\\ alone reaches the session after a second. "
              "However it ends, the terminal is set back. Standard input and output must be a terminal; without one "
              "curfew input and curfew output --follow do it."},
    {.name = "stats", .args = "", .run = cf_verb_stats},
    {.name = "plan", .args = "", .run = cf_verb_plan,
     .notes = "A session with limits of its own keeps them, whatever is tried. One that is used meanwhile ends later "
              "than planned, or not at all."},
    {.name = "cleanup", .args = "", .run = cf_verb_cleanup},
    {.name = "configure", .args = "", .run = cf_verb_configure, .notes = "Prints what changed: old -> new."},
    {.name = "history", .args = "", .run = cf_verb_history,
     .notes = "A session that has just ended is there some milliseconds later. All that is known of one, its last output as "
              "well, is had from curfew show."},
    {.name = "audit", .args = "", .run = cf_verb_audit,
     .notes = "Who asked is told as the kernel knows it: the user's number, or that a token was shown."},
    {.name = "metrics", .args = "", .run = cf_verb_metrics,
     .notes = "Prints text for Prometheus, with --json as well. docs/metrics.md lists the numbers."},
    {.name = "upgrade", .args = "", .run = cf_verb_upgrade,
     .notes = "Waits until the fresh server serves; exits with 69 when it did not and the old one goes on. SIGHUP to the keeper does the same. "
              "The settings stay as they are."},
    {.name = "version", .args = "", .run = cf_verb_version},
};
#define SPECIAL (sizeof special / sizeof *special)
#define FREE_STANDING 2                 /* serve and run, which are no row of operations.def */

static const struct cf_verb *special_find(const char *name)
{
    for (size_t i = 0; i < SPECIAL; i++)
        if (strcmp(special[i].name, name) == 0)
            return &special[i];
    return NULL;
}

static void from_row(enum cf_op op, struct cf_verb *ret)
{
    const struct cf_op_row *row = cf_ops_row(op);
    const struct cf_verb *known = special_find(row->verb);

    if (known)
        *ret = *known;
    else
        *ret = (struct cf_verb){.args = cf_ops_takes_id(op) ? "ID" : "", .ids_min = cf_ops_takes_id(op),
                                .ids_max = cf_ops_takes_id(op), .run = cf_verb_any};
    ret->name = row->verb;
    ret->help = row->help;
    ret->ops[0] = (int)op;
    ret->ops[1] = ret->ops[2] = -1;
}

size_t cf_verbs_count(void)
{
    size_t count = FREE_STANDING;

    for (int op = 0; op < CF_OPS; op++)
        count += *cf_ops_row((enum cf_op)op)->verb != '\0';
    return count;
}

void cf_verbs_get(size_t index, struct cf_verb *ret_verb)
{
    if (index < FREE_STANDING) {
        *ret_verb = special[index];
        return;
    }
    index -= FREE_STANDING;
    for (int op = 0; op < CF_OPS; op++) {
        if (*cf_ops_row((enum cf_op)op)->verb == '\0')
            continue;
        if (index-- == 0) {
            from_row((enum cf_op)op, ret_verb);
            return;
        }
    }
}

bool cf_verbs_find(const char *name, struct cf_verb *ret_verb)
{
    for (size_t i = 0; i < cf_verbs_count(); i++) {
        struct cf_verb verb;

        cf_verbs_get(i, &verb);
        if (strcmp(verb.name, name) == 0) {
            *ret_verb = verb;
            return true;
        }
    }
    return false;
}
