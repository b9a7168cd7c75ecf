/* shell_terminal.c: a shell with a terminal of its own. */
#include "base/fd.h"
#include "server/driver_terminal.h"
#include "server/shell_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void on_output(void *arg, const char *bytes, size_t len)
{
    struct cf_shell *s = arg;
    cf_journal_terminal(cf_shell_journal(s), bytes, len);
}

/* For the shell itself a hang-up is told by LEFT. */
static void on_room(void *arg)
{
    struct cf_shell *s = arg;
    if (s->events.room != NULL && !s->ending)
        s->events.room(s, s->arg);
}

static const struct cf_pty_events events = { .output = on_output, .written = on_room, .hung_up = on_room };

/* ---- making ---- */

static struct cf_pty_options pty_options(const struct cf_shell *s)
{
    return (struct cf_pty_options){
        .cols = s->terminal.cols, .rows = s->terminal.rows, .uid = s->host->uid, .gid = s->host->gid,
        .queue_max = (size_t)s->host->settings->max_input_bytes, .scratch = s->host->scratch, .scratch_bytes = s->host->scratch_bytes
    };
}

static int open_pty(struct cf_shell *s, struct cf_error *error)
{
    const struct cf_pty_options options = pty_options(s);
    return cf_pty_open(s->host->loop, &options, &s->terminal.pty, error);
}

int cf_shell_terminal_restore(struct cf_shell *s, int master_fd, struct cf_error *error)
{
    const struct cf_pty_options options = pty_options(s);
    int code = cf_pty_restore(s->host->loop, &options, master_fd, &s->terminal.pty, error);
    return code != 0 ? code : cf_pty_begin(s->terminal.pty, &events, s, error);
}

/* What the shell reads before its first prompt: in memory without a name, since it may be long and holds the token. */
static int write_boot(struct cf_shell *s, const char *setup, struct cf_error *error)
{
    struct cf_buf late, text;
    cf_buf_init(&late, 4u << 20);
    cf_buf_init(&text, 4u << 20);
    cf_buf_printf(&late, "%s\n%s\n", s->host->locale, setup != NULL ? setup : "");
    if (!late.failed)
        cf_driver_terminal_boot(&text, cf_channel_path(s->channel), s->token, s->host->terminal_run_path, late.data);
    int code = late.failed || text.failed ? cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory") : 0;
    if (code == 0 && ((s->terminal.boot_fd = memfd_create("curfew-boot", MFD_CLOEXEC)) < 0 ||
                      cf_fd_write_all(s->terminal.boot_fd, text.data, text.len) < 0 || lseek(s->terminal.boot_fd, 0, SEEK_SET) < 0))
        code = cf_error_set(error, CF_E_SYSTEM, NULL, "cannot write what the shell reads at its start: %s", strerror(errno));
    cf_buf_free(&late);
    cf_buf_free(&text);
    return code;
}

/* The host's environment with a terminal in it. */
static int make_args(struct cf_shell *s, struct cf_error *error)
{
    struct cf_buf variable;
    size_t count = 0, kept = 0;
    while (s->host->env[count] != NULL)
        count++;
    const char **env = calloc(count + 3, sizeof *env);
    cf_buf_init(&variable, 8192);
    cf_driver_terminal_variable(&variable, s->host->terminal_path);
    if (env == NULL || variable.failed) {
        free(env);
        cf_buf_free(&variable);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    for (size_t i = 0; i < count; i++)
        if (strncmp(s->host->env[i], "TERM=", 5) != 0 && strncmp(s->host->env[i], "ENV=", 4) != 0)
            env[kept++] = s->host->env[i];
    env[kept++] = "TERM=xterm-256color";
    env[kept++] = variable.data;
    const char *argv[] = { s->host->settings->shell, CF_DRIVER_TERMINAL_OPTIONS, NULL };
    int code = cf_link_args_make(argv, env, &s->terminal.args, error);
    free(env);
    cf_buf_free(&variable);
    return code;
}

/* Both ends of the answers are held here: the shell opens it for each answer, and none may be lost in between. */
static int open_answers(struct cf_shell *s, struct cf_error *error)
{
    int write_fd, read_fd;
    int code = cf_channel_make_input(s->channel, CF_DRIVER_TERMINAL_ANSWER, &write_fd, &read_fd, error);
    if (code != 0)
        return code;
    s->terminal.answer_fd = write_fd;
    s->terminal.answer_hold_fd = read_fd;
    return 0;
}

int cf_shell_terminal_make(struct cf_shell *s, const struct cf_terminal *terminal, struct cf_error *error)
{
    s->terminal.cols = terminal->cols;
    s->terminal.rows = terminal->rows;
    int code = open_pty(s, error);
    if (code == 0)
        code = cf_channel_make_input(s->channel, CF_DRIVER_TERMINAL_STATUS, &s->terminal.status_hold_fd, &s->status_fd, error);
    if (code == 0)
        code = open_answers(s, error);
    if (code == 0)
        code = write_boot(s, terminal->setup, error);
    if (code == 0)
        code = make_args(s, error);
    return code;
}

int cf_shell_terminal_launch(struct cf_shell *s, struct cf_link_spawn *what, struct cf_error *error)
{
    static const int32_t targets[] = { 0, 1, 2, CF_DRIVER_TERMINAL_BOOT_FD };
    int slave = cf_pty_slave_fd(s->terminal.pty);
    const int fds[] = { slave, slave, slave, s->terminal.boot_fd };
    what->args = &s->terminal.args;
    what->fds = fds;
    what->targets = targets;
    what->fd_count = 4;
    what->flags = CF_SPAWN_TERMINAL;
    return cf_link_spawn(s->host->link, what, error);
}

int cf_shell_terminal_begin(struct cf_shell *s, struct cf_error *error)
{
    cf_fd_close(&s->terminal.args.fd);
    cf_fd_close(&s->terminal.boot_fd);
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
    struct terminal *t = &s->terminal;
    int *fds[] = { &t->status_hold_fd, &t->answer_fd, &t->answer_hold_fd, &t->boot_fd, &t->args.fd };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        cf_fd_close(fds[i]);
}

/* ---- using ---- */

static int no_terminal(const struct cf_shell *s, struct cf_error *error)
{
    if (s->terminal.cols > 0)
        return cf_error_set(error, CF_E_NOT_READY, NULL, "the session's terminal is closed");
    return cf_error_set(error, CF_E_NOT_READY, NULL, "the session has no terminal; create one with \"terminal\"");
}

int cf_shell_type(struct cf_shell *s, const char *bytes, size_t len, struct cf_error *error)
{
    if (s->terminal.pty == NULL)
        return no_terminal(s, error);
    if (len == 0)                       /* and `bytes` may be NULL */
        return 0;
    int code = cf_pty_write(s->terminal.pty, bytes, len, error);
    if (code == 0 && (memchr(bytes, 'C' & 0x1f, len) != NULL || memchr(bytes, '\\' & 0x1f, len) != NULL))
        cf_shell_terminal_interrupted(s);
    return code;
}

int cf_shell_type_some(struct cf_shell *s, const char *bytes, size_t len, size_t *ret_typed, struct cf_error *error)
{
    size_t done = 0;
    if (s->terminal.pty == NULL)
        return no_terminal(s, error);
    /* What goes out at once makes room for more, and no event. */
    for (size_t room; done < len && (room = cf_pty_room(s->terminal.pty)) > 0;) {
        size_t some = len - done < room ? len - done : room;
        int code = cf_shell_type(s, bytes + done, some, error);
        if (code != 0)
            return code;
        done += some;
    }
    *ret_typed = done;
    return 0;
}

int cf_shell_resize(struct cf_shell *s, unsigned cols, unsigned rows, struct cf_error *error)
{
    if (s->terminal.pty == NULL)
        return no_terminal(s, error);
    int code = cf_pty_resize(s->terminal.pty, cols, rows, error);
    if (code == 0) {
        s->terminal.cols = cols;
        s->terminal.rows = rows;
        cf_shell_keep(s);
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
