/* program.c: a process with pipes.
 *
 * The pipes are the FIFOs of a shell's channel, so that its output goes by the same way into the journal, and its input by that of a
 * command that reads.  Our copies of its ends are closed once the keeper has them: then end of file means that nobody holds them. */
#include "server/program.h"

#include "base/fd.h"
#include "server/shell_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STDIN_NAME "i"

static bool can_run(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

int cf_program_find(const char *name, const char *const *env, char *ret, struct cf_error *error)
{
    const char *path = "/usr/local/bin:/usr/bin:/bin";
    if (strchr(name, '/') != NULL && strlen(name) < PATH_MAX) {
        strcpy(ret, name);
        return 0;
    }
    for (; *env != NULL; env++)
        if (strncmp(*env, "PATH=", 5) == 0)
            path = *env + 5;
    for (const char *at = path; strchr(name, '/') == NULL && *at != '\0';) {
        size_t len = strcspn(at, ":");
        int wrote = snprintf(ret, PATH_MAX, "%.*s/%s", (int)len, at, name);
        if (len > 0 && wrote > 0 && wrote < PATH_MAX && can_run(ret))
            return 0;
        at += len + (at[len] == ':');
    }
    return cf_error_set(error, CF_E_SPAWN, NULL, "cannot start %.100s: there is no such program in PATH, which is %.200s", name, path);
}

/* ---- its start ---- */

/* Of the FIFO's two ends here the one that it gets must wait when it is read. */
static int open_stdin(struct cf_shell *s, struct cf_error *error)
{
    struct input *in = &s->run.input;
    if (!cf_shell_input_queue(s, NULL, 0))
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    int code = cf_channel_make_input(s->channel, STDIN_NAME, &in->write_fd, &in->read_fd, error);
    if (code != 0)
        return code;
    snprintf(in->name, sizeof in->name, STDIN_NAME);
    int flags = fcntl(in->read_fd, F_GETFL);
    if (flags < 0 || fcntl(in->read_fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "the input pipe: %s", strerror(errno));
    return cf_shell_input_watch(s, error);
}

int cf_program_make(struct cf_shell *s, const struct cf_program *program, struct cf_error *error)
{
    struct program *p = &s->program;
    p->name = strdup(program->argv[0]);
    if (p->name == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    cf_journal_set_program(cf_shell_journal(s));
    p->last_seq = program->last_seq;
    s->listens = true;                  /* there is no driver to wait for */
    int code = open_stdin(s, error);
    if (code == 0)
        code = cf_channel_open_writers(s->channel, &p->out_fd, &p->err_fd, error);
    if (code == 0)
        code = cf_link_args_make(program->argv, program->env, &p->args, error);
    return code;
}

static void close_its_ends(struct cf_shell *s)
{
    struct program *p = &s->program;
    cf_fd_close(&p->out_fd);
    cf_fd_close(&p->err_fd);
    cf_fd_close(&p->args.fd);
    cf_fd_close(&s->run.input.read_fd);
}

int cf_program_launch(struct cf_shell *s, struct cf_link_spawn *what, struct cf_error *error)
{
    static const int32_t targets[] = { 0, 1, 2 };
    const int fds[] = { s->run.input.read_fd, s->program.out_fd, s->program.err_fd };
    what->args = &s->program.args;
    what->fds = fds;
    what->targets = targets;
    what->fd_count = 3;
    int code = cf_link_spawn(s->host->link, what, error);
    if (code == 0) {
        s->run.input.begun = true;
        close_its_ends(s);
    }
    return code;
}

int cf_program_restore(struct cf_shell *s, const struct cf_program_kept *kept, struct cf_heir *heir, struct cf_error *error)
{
    struct input *in = &s->run.input;
    s->program.name = strndup(kept->name, kept->name_len);
    s->program.last_seq = kept->last_seq;
    in->begun = true;
    in->eof = kept->eof;
    snprintf(in->name, sizeof in->name, STDIN_NAME);
    if (s->program.name == NULL || !cf_shell_input_queue(s, kept->waits, kept->waits_len) ||
        cf_shell_input_restore(s, cf_heir_take(heir, CF_TAG_INPUT, 0), -1) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the program's input");
    return 0;
}

void cf_program_resume(struct cf_shell *s)
{
    if (s->program.lost)
        cf_shell_fail(s, CF_E_SYSTEM, "its pipes were lost with an earlier server");
    else
        cf_shell_become_ready(s);       /* the keeper's word may have come to the dead */
}

/* ---- its use ---- */

static bool is_open(const struct cf_shell *s)
{
    return !s->ending && !s->left && !s->run.input.eof && s->run.input.write_fd >= 0;
}

static int refuse(const struct cf_shell *s, struct cf_error *error)
{
    return cf_error_set(error, CF_E_NOT_READING, NULL, s->left || s->ending ? "the program is not running"
                        : s->run.input.eof ? "the program's stdin was closed by \"eof\"" : "the program has closed its stdin");
}

/* Whether it fits, before anything is changed. */
static int check_room(const struct cf_shell *s, size_t len, struct cf_error *error)
{
    size_t max = (size_t)s->host->settings->max_input_bytes, waiting = s->run.input.queue.len;
    if (len > max)
        return cf_error_set(error, CF_E_TOO_LARGE, NULL, "the input has %zu bytes, and max_input_bytes is %zu", len, max);
    if (waiting > max - len)
        return cf_error_set(error, CF_E_TOO_MANY, NULL, "%zu bytes wait to be read, and max_input_bytes is %zu; try again", waiting, max);
    return 0;
}

int cf_program_input(struct cf_shell *s, const struct cf_input *input, bool *ret_repeated, bool *ret_open, struct cf_error *error)
{
    struct input *in = &s->run.input;
    *ret_repeated = input->seq != 0 && input->seq <= s->program.last_seq;
    *ret_open = is_open(s);
    if (*ret_repeated)
        return 0;
    if (!*ret_open)
        return refuse(s, error);
    int code = check_room(s, input->len, error);
    if (code != 0)
        return code;
    cf_buf_append(&in->queue, input->len > 0 ? input->data : "", input->len);
    if (in->queue.failed) {
        cf_shell_input_close(s);        /* a part of it would be worse than none */
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the program's input; its stdin is closed");
    }
    in->eof = input->eof;
    cf_shell_input_flush(s);
    if (!in->eof && !is_open(s))
        return refuse(s, error);
    if (input->seq != 0)
        s->program.last_seq = input->seq;
    *ret_open = is_open(s);
    cf_shell_keep(s);
    return 0;
}

/* As a terminal would: to the group that it leads. */
int cf_program_signal(struct cf_shell *s, int signo, struct cf_error *error)
{
    if (s->ending || s->left || s->pid == 0)
        return cf_error_set(error, CF_E_NOT_READY, NULL, "the program is not running");
    s->signals_pending++;
    cf_link_signal(s->host->link, s->key, signo, CF_SCOPE_GROUP, 0);
    return 0;
}

/* ---- its end ---- */

void cf_program_close(struct cf_shell *s)
{
    if (s->program.name != NULL)
        cf_shell_input_close(s);
}

void cf_program_free(struct cf_shell *s)
{
    close_its_ends(s);
    free(s->program.name);
    s->program.name = NULL;
}
