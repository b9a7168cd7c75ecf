/* shell_terminal.c: a shell with a terminal of its own. */
#include "base/fd.h"
#include "server/shell_private.h"

#include <stdio.h>
#include <stdlib.h>

static void on_output(void *arg, const char *bytes, size_t len)
{
    struct cf_shell *s = arg;
    cf_journal_terminal(cf_shell_journal(s), bytes, len);
}

static void on_nothing(void *arg)
{
    (void)arg;                          /* a hang-up is told by LEFT */
}

static const struct cf_pty_events events = { .output = on_output, .written = on_nothing, .hung_up = on_nothing };

/* ---- making ---- */

static int open_pty(struct cf_shell *s, struct cf_error *error)
{
    const struct cf_pty_options options = {
        .cols = s->terminal.cols, .rows = s->terminal.rows, .uid = s->host->uid, .gid = s->host->gid,
        .queue_max = (size_t)s->host->settings->max_input_bytes, .scratch = s->host->scratch, .scratch_bytes = s->host->scratch_bytes
    };
    return cf_pty_open(s->host->loop, &options, &s->terminal.pty, error);
}

/* The file that bash reads before its first prompt. */
static int write_boot(struct cf_shell *s, const char *setup, struct cf_error *error)
{
    struct cf_buf text;
    cf_buf_init(&text, 4u << 20);
    cf_driver_terminal_boot(&text, cf_channel_path(s->channel), s->token, s->host->locale, setup != NULL ? setup : "");
    int code = text.failed ? cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory")
                           : cf_channel_write_file(s->channel, "rc", text.data, text.len, error);
    cf_buf_free(&text);
    return code;
}

static int make_args(struct cf_shell *s, struct cf_error *error)
{
    char path[1300];
    snprintf(path, sizeof path, "%s/rc", cf_channel_path(s->channel));
    const char *argv[] = { s->host->settings->shell, "--noprofile", "--rcfile", path, "-i", NULL };
    return cf_link_args_make(argv, (const char *const *)s->host->env, &s->terminal.args, error);
}

int cf_shell_terminal_make(struct cf_shell *s, const struct cf_terminal *terminal, struct cf_error *error)
{
    s->terminal.cols = terminal->cols;
    s->terminal.rows = terminal->rows;
    int code = open_pty(s, error);
    if (code == 0)
        code = cf_channel_make_input(s->channel, "s", &s->terminal.status_hold_fd, &s->status_fd, error);
    if (code == 0)
        code = write_boot(s, terminal->setup, error);
    if (code == 0)
        code = make_args(s, error);
    return code;
}

int cf_shell_terminal_launch(struct cf_shell *s, struct cf_link_spawn *what, struct cf_error *error)
{
    static const int32_t targets[] = { 0, 1, 2 };
    int slave = cf_pty_slave_fd(s->terminal.pty);
    const int fds[] = { slave, slave, slave };
    what->args = &s->terminal.args;
    what->fds = fds;
    what->targets = targets;
    what->fd_count = 3;
    what->flags = CF_SPAWN_TERMINAL;
    return cf_link_spawn(s->host->link, what, error);
}

int cf_shell_terminal_begin(struct cf_shell *s, struct cf_error *error)
{
    cf_fd_close(&s->terminal.args.fd);
    return cf_pty_begin(s->terminal.pty, &events, s, error);
}

void cf_shell_terminal_close(struct cf_shell *s)
{
    if (s->terminal.pty == NULL)
        return;
    cf_pty_drain(s->terminal.pty);
    cf_pty_free(&s->terminal.pty);
}

void cf_shell_terminal_free(struct cf_shell *s)
{
    cf_shell_terminal_close(s);
    cf_fd_close(&s->terminal.status_hold_fd);
    cf_fd_close(&s->terminal.args.fd);
}

/* ---- using ---- */

static int no_terminal(struct cf_error *error)
{
    return cf_error_set(error, CF_E_NOT_READY, NULL, "the session has no terminal; create one with \"terminal\"");
}

int cf_shell_type(struct cf_shell *s, const char *bytes, size_t len, struct cf_error *error)
{
    return s->terminal.pty != NULL ? cf_pty_write(s->terminal.pty, bytes, len, error) : no_terminal(error);
}

int cf_shell_resize(struct cf_shell *s, unsigned cols, unsigned rows, struct cf_error *error)
{
    if (s->terminal.pty == NULL)
        return no_terminal(error);
    int code = cf_pty_resize(s->terminal.pty, cols, rows, error);
    if (code == 0) {
        s->terminal.cols = cols;
        s->terminal.rows = rows;
    }
    return code;
}

bool cf_shell_screen(const struct cf_shell *s, unsigned *ret_cols, unsigned *ret_rows)
{
    *ret_cols = s->terminal.cols;
    *ret_rows = s->terminal.rows;
    return s->terminal.pty != NULL;
}

bool cf_shell_at_work(const struct cf_shell *s)
{
    pid_t front = s->terminal.pty != NULL && s->pid > 0 ? cf_pty_foreground(s->terminal.pty) : 0;
    return front > 0 && front != s->pid;
}
