/* history, audit. */
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/view.h"

#include <stdio.h>
#include <string.h>

struct column {
    const char *head, *name;
};

static void show(struct cf_cli *cli, const json_t *rows, const struct column *columns, size_t count)
{
    const char *heads[16];
    struct cf_table table;
    const json_t *row;
    char cell[256];
    size_t i;

    for (size_t c = 0; c < count; c++)
        heads[c] = columns[c].head;
    cf_table_init(&table, heads, count);
    json_array_foreach(rows, i, row)
        for (size_t c = 0; c < count; c++)
            cf_table_cell(&table, cf_view_cell(cell, sizeof cell, columns[c].name, json_object_get(row, columns[c].name)),
                          CF_COLOUR_NONE);
    cf_table_render(&table, &cli->out, cli->colour);
    cf_table_free(&table);
}

/* An answer looks at so many records only; what is older is another question. */
static int list(struct cf_cli *cli, enum cf_op op, const char *name, const struct column *columns, size_t count)
{
    struct cf_exchange x;
    int status = cf_cli_call(cli, op, NULL, &x);
    const json_t *rows = json_object_get(x.data, name), *next = json_object_get(x.data, "next");

    if (status == 0 && !cli->json) {
        if (json_array_size(rows) > 0)
            show(cli, rows, columns, count);
        else if (!json_is_integer(next))
            fputs("nothing of that is on record\n", stderr);
        if (json_is_integer(next))
            fprintf(stderr, "there may be older ones; see them with --before %lld\n", (long long)json_integer_value(next));
    }
    cf_exchange_free(&x);
    return status;
}

int cf_verb_history(struct cf_cli *cli)
{
    static const struct column columns[] = {
        {"ENDED", "ended_at"}, {"ID", "session_id"}, {"WORKSPACE", "workspace_name"}, {"REASON", "reason"}, {"RUNG", "rung"},
        {"EXIT", "exit_code"}, {"SIGNAL", "signal"}, {"KILLED", "killed"}, {"EVIDENCE", "evidence"},
    };

    return list(cli, CF_OP_history, "sessions", columns, sizeof columns / sizeof *columns);
}

int cf_verb_audit(struct cf_cli *cli)
{
    static const struct column columns[] = {
        {"WHEN", "recorded_at"}, {"BY", "by"}, {"ACTION", "action"}, {"ID", "session_id"}, {"SETTING", "setting"},
        {"OLD", "old"}, {"NEW", "new"}, {"DETAIL", "detail"},
    };

    return list(cli, CF_OP_audit, "entries", columns, sizeof columns / sizeof *columns);
}
