#include "cli/cli.h"

#include <string.h>

/* What the tables cannot say: the words a verb takes and the function that shows its answer.  A row of operations.def
 * with a verb and no row here is sent and shown by cf_verb_any. */
static const struct cf_verb special[] = {
    {.name = "serve", .args = "", .help = "Run the server in the foreground",
     .notes = "Its options are the settings; curfew serve --help lists them.", .ops = {-1, -1, -1}},
    {.name = "run", .args = "[--] COMMAND...", .command = true, .keep = true,
     .help = "Run a command in a session of its own, which ends with it",
     .notes = "The session ends, with everything that the command started, before curfew run does; also when it gets "
              "SIGINT, SIGTERM or SIGHUP. A second such signal kills at once. Words and output are as in curfew exec.",
     .ops = {CF_OP_create, CF_OP_exec, CF_OP_end}, .run = cf_verb_run},
    {.name = "create", .args = "", .run = cf_verb_create,
     .notes = "Prints the id and nothing else, so that ID=$(curfew create) works."},
    {.name = "ls", .args = "", .run = cf_verb_ls},
    {.name = "show", .args = "ID", .ids_min = 1, .ids_max = 1, .run = cf_verb_show,
     .notes = "For a session that has ended the exit status is 69."},
    {.name = "end", .args = "ID...", .ids_min = 1, .ids_max = -1, .run = cf_verb_end,
     .notes = "Several sessions end side by side; the exit status is the first failure's."},
    {.name = "exec", .args = "ID [--] COMMAND...", .ids_min = 1, .ids_max = 1, .command = true, .run = cf_verb_exec,
     .notes = "One word is bash text and runs as it is; several are a command and its arguments, and reach it as they "
              "are. Standard output, standard error and the exit status are the command's; a byte that is not UTF-8 "
              "comes as U+FFFD. Standard input is not passed on."},
    {.name = "stats", .args = "", .run = cf_verb_stats},
    {.name = "plan", .args = "", .run = cf_verb_plan,
     .notes = "A session with limits of its own keeps them, whatever is tried. One that is used meanwhile ends later "
              "than planned, or not at all."},
    {.name = "cleanup", .args = "", .run = cf_verb_cleanup},
    {.name = "configure", .args = "", .run = cf_verb_configure, .notes = "Prints what changed: old -> new."},
    {.name = "metrics", .args = "", .run = cf_verb_metrics,
     .notes = "Prints text for Prometheus, with --json as well. docs/metrics.md lists the numbers."},
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
