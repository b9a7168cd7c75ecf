#include "cli/attach.h"

#include "base/clock.h"
#include "cli/out.h"
#include "cli/request.h"
#include "cli/table.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define OUT_BYTES ((size_t)128 << 20)       /* above the largest message */
#define OUT_ENOUGH ((size_t)256 << 10)      /* nothing is taken from the server while more waits for our terminal */
#define UNDO_NS CF_NS_PER_S

void cf_attach_init(struct cf_attach *a, struct cf_cli *cli, const char *id)
{
    memset(a, 0, sizeof *a);
    a->cli = cli;
    a->id = id;
    a->signal_fd = -1;
    cf_buf_init(&a->out, OUT_BYTES);
    cf_buf_init(&a->words, 4096);
    cf_modes_init(&a->modes);
    cf_keys_parse(&a->leave, "ctrl-c");
}

void cf_attach_free(struct cf_attach *a)
{
    cf_web_free(&a->web);
    cf_exchange_free(&a->x);
    cf_buf_free(&a->out);
    cf_buf_free(&a->words);
}

/* The line that tells how to leave, and room for the session's screen below what our terminal shows: that stays to be
 * scrolled back to. */
static void greet(struct cf_attach *a, bool writes)
{
    char keys[128];
    int cols, rows;

    if (a->greeted)
        return;
    a->greeted = true;
    cf_buf_printf(&a->out, "curfew: attached to %s", a->id);
    if (a->keys.count > 0)
        cf_buf_printf(&a->out, "; %s detaches", cf_keys_words(&a->keys, keys, sizeof keys));
    if (a->read_only)
        cf_buf_puts(&a->out, ", and so does ctrl-c");
    else if (!writes)
        cf_buf_puts(&a->out, "; somebody else types, you only look");
    cf_tty_size(&cols, &rows);
    for (int row = 0; row < rows; row++)
        cf_buf_puts(&a->out, "\r\n");
}

static void on_ended(struct cf_attach *a, const json_t *message)
{
    const json_t *session = json_object_get(message, "session");        /* its tombstone */
    const char *reason = json_string_value(json_object_get(session, "reason"));
    const char *evidence = json_string_value(json_object_get(session, "evidence"));

    cf_buf_reset(&a->words);
    if (reason)
        cf_table_safe(&a->words, reason, strlen(reason), false);
    if (evidence) {
        cf_buf_puts(&a->words, reason ? ", " : "");
        cf_table_safe(&a->words, evidence, strlen(evidence), false);
    }
}

/* A bell says that what was just typed went nowhere: another client types, or the terminal takes nothing. */
static void on_control(struct cf_attach *a, const json_t *message)
{
    const char *type = json_string_value(json_object_get(message, "type"));
    bool writes = json_is_true(json_object_get(message, "writer"));

    if (!type)
        return;
    if (strcmp(type, "hello") == 0)
        greet(a, writes);
    else if (strcmp(type, "ended") == 0)
        on_ended(a, message);
    else if (strcmp(type, "error") == 0 || (strcmp(type, "writer") == 0 && !writes))
        cf_buf_putc(&a->out, '\a');
}

static void on_message(void *arg, bool binary, const char *data, size_t len)
{
    struct cf_attach *a = arg;
    json_t *message;

    if (binary) {
        if (a->end != CF_ATTACH_RUNS)
            return;                     /* nobody looks any more */
        cf_buf_append(&a->out, data, len);
        if (a->out.failed)
            a->end = CF_ATTACH_LOST;    /* no memory for it: a new connection draws the screen as it is then */
        if (cf_attach_waiting(a) > OUT_ENOUGH)
            cf_web_pause(a->web, true);
    } else if ((message = json_loadb(data, len, 0, NULL))) {
        on_control(a, message);
        json_decref(message);
    }
}

int cf_attach_open(struct cf_attach *a)
{
    int cols, rows;

    cf_web_free(&a->web);
    cf_exchange_free(&a->x);
    cf_request_make(a->cli, CF_OP_attach, a->id, 0, NULL, &a->x);
    if (!a->read_only) {
        cf_tty_size(&cols, &rows);
        cf_exchange_query_int(&a->x, "cols", cols);
        cf_exchange_query_int(&a->x, "rows", rows);
    }
    a->end = CF_ATTACH_RUNS;
    return cf_web_open(a->cli->client, &a->x, on_message, a, &a->web);
}

void cf_attach_restore(struct cf_attach *a)
{
    int64_t until_ns = cf_clock_now().mono_ns + UNDO_NS;
    struct cf_buf undo;
    size_t at = 0;

    cf_buf_init(&undo, 4096);
    cf_modes_undo(&a->modes, &undo);
    while (at < undo.len && cf_clock_now().mono_ns < until_ns) {
        ssize_t wrote = cf_out_try(STDOUT_FILENO, undo.data + at, undo.len - at);

        if (wrote < 0)
            break;
        at += (size_t)wrote;
        if (wrote == 0)
            poll(&(struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT}, 1, 100);
    }
    cf_buf_free(&undo);
    cf_tty_restore(&a->tty);
}
