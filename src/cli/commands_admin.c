/* serve, stats, plan, cleanup, configure, metrics, version. */
#include "cli/cli.h"
#include "cli/table.h"
#include "cli/view.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool beside_self(const char *name, char *path, size_t size)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    if (len <= 0)
        return false;
    self[len] = '\0';
    slash = strrchr(self, '/');
    if (!slash || snprintf(path, size, "%.*s/%s", (int)(slash - self), self, name) >= (int)size)
        return false;
    return access(path, X_OK) == 0;
}

/* argv[0] is "serve"; what follows is the keeper's. */
int cf_verb_serve(int argc, char **argv)
{
    static char name[] = "curfew-keeper";
    char path[PATH_MAX];

    (void)argc;
    if (!beside_self(name, path, sizeof path))
        snprintf(path, sizeof path, "%s/%s", CURFEW_LIBEXECDIR, name);
    argv[0] = name;
    execv(path, argv);
    fprintf(stderr, "curfew: %s cannot be started: %s\n", path, strerror(errno));
    return cf_error_exit(CF_E_SYSTEM);
}

int cf_verb_stats(struct cf_cli *cli)
{
    struct cf_exchange x;
    int status = cf_cli_call(cli, CF_OP_stats, NULL, &x);

    if (status == 0 && !cli->json)
        cf_view_sections(&cli->out, x.data, cli->colour);
    cf_exchange_free(&x);
    return status;
}

static void due_in_cell(struct cf_table *table, const json_t *planned)
{
    double seconds = json_number_value(json_object_get(planned, "due_in"));
    struct cf_buf text;

    cf_buf_init(&text, 64);
    if (seconds > 0)
        cf_view_seconds(&text, seconds);
    else
        cf_buf_puts(&text, "now");
    cf_table_cell(table, text.data ? text.data : "", seconds < 60 ? CF_COLOUR_WARN : CF_COLOUR_NONE);
    cf_buf_free(&text);
}

static void plan_table(struct cf_cli *cli, const json_t *plan)
{
    static const char *const heads[] = {"ID", "WORKSPACE", "REASON", "IN", "IDLE"};
    static const char *const names[] = {"session_id", "workspace_name", "reason", NULL, "inactive_time"};
    struct cf_table table;
    const json_t *planned;
    char cell[256];
    size_t i;

    cf_table_init(&table, heads, sizeof heads / sizeof *heads);
    json_array_foreach(plan, i, planned)
        for (size_t c = 0; c < sizeof names / sizeof *names; c++)
            if (names[c])
                cf_table_cell(&table, cf_view_cell(cell, sizeof cell, names[c], json_object_get(planned, names[c])),
                              CF_COLOUR_NONE);
            else
                due_in_cell(&table, planned);
    cf_table_render(&table, &cli->out, cli->colour);
    cf_table_free(&table);
}

/* " within 1h", or " now". */
static void when(struct cf_buf *out, const json_t *within)
{
    if (json_number_value(within) > 0) {
        cf_buf_puts(out, " within ");
        cf_view_seconds(out, json_number_value(within));
    } else {
        cf_buf_puts(out, " now");
    }
}

int cf_verb_plan(struct cf_cli *cli)
{
    struct cf_exchange x;
    struct cf_buf text;
    int status = cf_cli_call(cli, CF_OP_plan, NULL, &x);
    const json_t *plan = json_object_get(x.data, "plan");
    long long total = json_integer_value(json_object_get(x.data, "total")), shown = (long long)json_array_size(plan);

    if (status == 0 && !cli->json) {
        cf_buf_init(&text, 256);
        when(&text, json_object_get(x.data, "within"));
        if (shown > 0)
            plan_table(cli, plan);
        else
            fprintf(stderr, "no session would end%s\n", text.data ? text.data : "");
        if (shown > 0 && shown < total)
            fprintf(stderr, "%lld more would end%s; see --limit\n", total - shown, text.data ? text.data : "");
        cf_buf_free(&text);
    }
    cf_exchange_free(&x);
    return status;
}

int cf_verb_cleanup(struct cf_cli *cli)
{
    static const char *const heads[] = {"ID", "WORKSPACE", "IDLE", "REASON"};
    static const char *const names[] = {"session_id", "workspace_name", "inactive_time", "reason"};
    struct cf_exchange x;
    struct cf_table table;
    char cell[256];
    int status = cf_cli_call(cli, CF_OP_cleanup, NULL, &x);
    json_t *sessions = json_object_get(x.data, "sessions"), *session;
    size_t i;

    if (status == 0 && !cli->json) {
        cf_table_init(&table, heads, sizeof heads / sizeof *heads);
        json_array_foreach(sessions, i, session)
            for (size_t c = 0; c < sizeof names / sizeof *names; c++)
                cf_table_cell(&table, cf_view_cell(cell, sizeof cell, names[c], json_object_get(session, names[c])),
                              CF_COLOUR_NONE);
        if (cf_table_rows(&table) == 0)
            fputs("no session was over its limits\n", stderr);
        else
            cf_table_render(&table, &cli->out, cli->colour);
        cf_table_free(&table);
    }
    cf_exchange_free(&x);
    return status;
}

static void changes(struct cf_buf *out, json_t *old, json_t *new)
{
    const char *name;
    json_t *value;

    json_object_foreach(new, name, value) {
        json_t *before = json_object_get(old, name);

        if (json_equal(before, value))
            continue;
        cf_buf_printf(out, "%s: ", name);
        cf_view_value(out, name, before);
        cf_buf_puts(out, " -> ");
        cf_view_value(out, name, value);
        cf_buf_putc(out, '\n');
    }
}

int cf_verb_configure(struct cf_cli *cli)
{
    struct cf_exchange x;
    int status;

    if (cli->flag_count == 0)
        return cf_cli_usage(cli, "a setting to change is missing; 'curfew stats' shows the settings");
    status = cf_cli_call(cli, CF_OP_configure, NULL, &x);
    if (status == 0 && !cli->json) {
        changes(&cli->out, json_object_get(x.data, "old_settings"), json_object_get(x.data, "new_settings"));
        if (cli->out.len == 0)
            fputs("nothing changed\n", stderr);
    }
    cf_exchange_free(&x);
    return status;
}

/* There is no JSON of it: --json shapes failures only. */
int cf_verb_metrics(struct cf_cli *cli)
{
    struct cf_exchange x;
    int status = cf_cli_call(cli, CF_OP_metrics, NULL, &x);

    if (status == 0 && x.reply.len > 0)
        cf_buf_append(&cli->out, x.reply.data, x.reply.len);
    cf_exchange_free(&x);
    return status;
}

/* The client's own line comes first, so that it is there when no server answers. */
int cf_verb_version(struct cf_cli *cli)
{
    struct cf_exchange x;
    const char *version;
    int status;

    if (!cli->json)
        cf_buf_puts(&cli->out, "client  " CURFEW_VERSION "\n");
    status = cf_cli_call(cli, CF_OP_version, NULL, &x);
    version = json_string_value(json_object_get(x.data, "version"));
    if (status == 0 && !cli->json)
        cf_buf_printf(&cli->out, "server  %s  %s\n", version ? version : "-", cf_client_name(cli->client));
    cf_exchange_free(&x);
    return status;
}
