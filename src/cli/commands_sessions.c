/* create, ls, show, end, and any verb that needs nothing of its own. */
#include "cli/cli.h"
#include "cli/request.h"
#include "cli/table.h"
#include "cli/view.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

int cf_verb_any(struct cf_cli *cli)
{
    struct cf_exchange x;
    int status = cf_cli_call(cli, (enum cf_op)cli->verb->ops[0], cli->words[0], &x);

    if (status == 0 && !cli->json)
        cf_view_sections(&cli->out, x.data, cli->colour);
    cf_exchange_free(&x);
    return status;
}

int cf_verb_create(struct cf_cli *cli)
{
    struct cf_exchange x;
    int status = cf_cli_call(cli, CF_OP_create, NULL, &x);
    const char *id = json_string_value(json_object_get(x.data, "session_id"));

    if (status == 0 && !cli->json && id)
        cf_buf_printf(&cli->out, "%s\n", id);
    cf_exchange_free(&x);
    return status;
}

static double number_or(const json_t *object, const char *name, double none)
{
    const json_t *value = json_object_get(object, name);

    return json_is_number(value) ? json_number_value(value) : none;
}

/* By the server's steady clock where it tells both parts, else by the wall clock. */
static void age_cell(struct cf_table *table, const json_t *session, double now)
{
    double max = number_or(session, "max_age", -1), left = number_or(session, "age_left", -1);
    double age = max >= 0 && left >= 0 ? max - left : now - number_or(session, "created_at", now);
    struct cf_buf text;

    cf_buf_init(&text, 64);
    cf_view_seconds(&text, age > 0 ? age : 0);
    cf_table_cell(table, text.data ? text.data : "", CF_COLOUR_NONE);
    cf_buf_free(&text);
}

/* Until the first of its rules would end it. */
static void left_cell(struct cf_table *table, const json_t *session)
{
    double idle = number_or(session, "idle_left", -1), age = number_or(session, "age_left", -1);
    double left = idle < 0 || (age >= 0 && age < idle) ? age : idle;
    struct cf_buf text;

    cf_buf_init(&text, 64);
    if (left >= 0)
        cf_view_seconds(&text, left);
    else
        cf_buf_puts(&text, "-");
    cf_table_cell(table, text.data ? text.data : "", left >= 0 && left < 60 ? CF_COLOUR_WARN : CF_COLOUR_NONE);
    cf_buf_free(&text);
}

static void state_cell(struct cf_table *table, const json_t *session)
{
    const char *state = json_string_value(json_object_get(session, "state"));
    bool busy = json_is_true(json_object_get(session, "busy"));

    if (!state)
        state = "-";
    if (busy && strcmp(state, "active") == 0)
        cf_table_cell(table, "busy", CF_COLOUR_WARN);
    else
        cf_table_cell(table, state, strcmp(state, "active") == 0 ? CF_COLOUR_GOOD : CF_COLOUR_BAD);
}

static void ls_row(struct cf_table *table, const json_t *session, double now)
{
    static const char *const before[] = {"session_id", "kind", "workspace_name"};
    char cell[256];

    for (size_t i = 0; i < sizeof before / sizeof *before; i++)
        cf_table_cell(table, cf_view_cell(cell, sizeof cell, before[i], json_object_get(session, before[i])),
                      CF_COLOUR_NONE);
    state_cell(table, session);
    cf_table_cell(table, cf_view_cell(cell, sizeof cell, "inactive_time", json_object_get(session, "inactive_time")),
                  CF_COLOUR_NONE);
    age_cell(table, session, now);
    left_cell(table, session);
    cf_table_cell(table, cf_view_cell(cell, sizeof cell, "containment", json_object_get(session, "containment")),
                  CF_COLOUR_NONE);
}

int cf_verb_ls(struct cf_cli *cli)
{
    static const char *const heads[] = {"ID", "KIND", "WORKSPACE", "STATE", "IDLE", "AGE", "LEFT", "CONTAINMENT"};
    struct cf_exchange x;
    struct cf_table table;
    struct timespec now;
    int status = cf_cli_call(cli, CF_OP_list, NULL, &x);
    json_t *sessions = json_object_get(x.data, "sessions"), *session;
    size_t i;

    if (status == 0 && !cli->json) {
        clock_gettime(CLOCK_REALTIME, &now);
        cf_table_init(&table, heads, sizeof heads / sizeof *heads);
        json_array_foreach(sessions, i, session)
            ls_row(&table, session, (double)now.tv_sec + (double)now.tv_nsec / 1e9);
        if (cf_table_rows(&table) == 0)
            fputs("no sessions\n", stderr);
        else
            cf_table_render(&table, &cli->out, cli->colour);
        cf_table_free(&table);
    }
    cf_exchange_free(&x);
    return status;
}

/* An ended session is shown as well, by its tombstone, with the exit status of "gone". */
int cf_verb_show(struct cf_cli *cli)
{
    struct cf_exchange x;
    json_t *tombstone;
    int status = cf_cli_connect(cli);

    if (status != 0)
        return status;
    cf_request_make(cli, CF_OP_show, cli->words[0], 0, NULL, &x);
    cf_client_perform(cli->client, &x, 1, -1);
    tombstone = json_object_get(json_object_get(x.root, "error"), "session");
    if (x.error.code == CF_E_GONE && tombstone && !cli->json) {
        cf_view_sections(&cli->out, tombstone, cli->colour);
        status = cf_error_exit(CF_E_GONE);
    } else if (x.error.code < 0) {
        status = cf_cli_fail_exchange(cli, &x);
    } else if (cli->json) {
        size_t len;
        const char *raw = cf_exchange_raw(&x, "data", &len);

        cf_buf_append(&cli->out, raw, raw ? len : 0);
        cf_buf_putc(&cli->out, '\n');
    } else {
        cf_view_sections(&cli->out, x.data, cli->colour);
    }
    cf_exchange_free(&x);
    return status;
}

static void end_line(struct cf_cli *cli, const char *id, const struct cf_exchange *x)
{
    const json_t *killed = json_object_get(x->data, "killed"), *took = json_object_get(x->data, "took_ms");
    size_t len;
    const char *raw;

    if (cli->json && (raw = cf_exchange_raw(x, "data", &len))) {
        cf_buf_append(&cli->out, raw, len);
        cf_buf_putc(&cli->out, '\n');
        return;
    }
    cf_table_safe(&cli->out, id, strlen(id), false);
    cf_buf_puts(&cli->out, " ended");
    if (json_is_number(took)) {
        cf_buf_puts(&cli->out, " in ");
        cf_view_value(&cli->out, "took_ms", took);
    }
    if (json_integer_value(killed) > 0)
        cf_buf_printf(&cli->out, ", %" JSON_INTEGER_FORMAT " killed", json_integer_value(killed));
    cf_buf_putc(&cli->out, '\n');
}

int cf_verb_end(struct cf_cli *cli)
{
    size_t count = (size_t)cli->word_count;
    struct cf_exchange *all;
    int status = cf_cli_connect(cli);

    if (status != 0)
        return status;
    if (!(all = calloc(count, sizeof *all))) {
        struct cf_error error;

        cf_error_set(&error, CF_E_NO_MEMORY, NULL, "out of memory");
        return cf_cli_fail(cli, &error);
    }
    for (size_t i = 0; i < count; i++)
        cf_request_make(cli, CF_OP_end, cli->words[i], 0, NULL, &all[i]);
    cf_client_perform(cli->client, all, count, -1);
    for (size_t i = 0; i < count; i++) {
        int one = all[i].error.code < 0 ? cf_cli_fail_exchange(cli, &all[i]) : 0;

        if (one == 0)
            end_line(cli, cli->words[i], &all[i]);
        if (status == 0)
            status = one;
        cf_exchange_free(&all[i]);
    }
    free(all);
    return status;
}
