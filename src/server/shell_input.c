/* shell_input.c: what a command reads: nothing, a text that is there from the beginning, or a FIFO that is written as texts come.
 *
 * Texts for a command that still waits for an earlier interrupt's end, or has not opened its FIFO yet, are queued.
 * The FIFO's two ends are held here until the command has its own, which the driver says by B: a FIFO whose last end is closed forgets what
 * is in it, and who opens one without a writer waits for one. */
#include "base/fd.h"
#include "server/shell_private.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void close_end(const struct cf_shell *s, int *fd, enum cf_tag tag)
{
    if (*fd >= 0 && s->key != 0)
        cf_keep_drop(s->host->keep, s->key, tag, 0);
    cf_fd_close(fd);
}

static void close_fds(struct cf_shell *s)
{
    struct input *in = &s->run.input;
    if (in->event != NULL)
        event_free(in->event);
    in->event = NULL;
    close_end(s, &in->write_fd, CF_TAG_INPUT);
    close_end(s, &in->read_fd, CF_TAG_INPUT_END);
}

void cf_shell_input_close(struct cf_shell *s)
{
    struct input *in = &s->run.input;
    if (in->name[0] != '\0')
        cf_channel_remove(s->channel, in->name);
    close_fds(s);
    cf_buf_free(&in->queue);
    in->name[0] = '\0';
}

void cf_shell_input_flush(struct cf_shell *s)
{
    struct input *in = &s->run.input;
    size_t done = 0;
    while (done < in->queue.len) {
        ssize_t n = write(in->write_fd, in->queue.data + done, in->queue.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0) {
            close_fds(s);
            cf_buf_reset(&in->queue);
            return;
        }
        done += (size_t)n;
        cf_shell_keep_sent(s, (size_t)n);
    }
    if (done > 0) {
        memmove(in->queue.data, in->queue.data + done, in->queue.len - done);
        in->queue.len -= done;
    }
    if (in->queue.len > 0)
        event_add(in->event, NULL);
    else if (in->eof)
        close_fds(s);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    cf_shell_input_flush(arg);
}

bool cf_shell_input_queue(struct cf_shell *s, const char *data, size_t len)
{
    struct input *in = &s->run.input;
    /* What comes with the command is as large as a body may be, and is there already. */
    cf_buf_init(&in->queue, (size_t)s->host->settings->max_input_bytes + len);
    cf_buf_append(&in->queue, len > 0 ? data : "", len);
    return !in->queue.failed;
}

int cf_shell_input_watch(struct cf_shell *s, struct cf_error *error)
{
    struct input *in = &s->run.input;
    in->event = event_new(s->host->loop, in->write_fd, EV_WRITE, on_writable, s);
    if (in->event != NULL)
        return 0;
    cf_shell_input_close(s);
    return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the input");
}

int cf_shell_input_open(struct cf_shell *s, char *ret_mode, struct cf_error *error)
{
    struct run *r = &s->run;
    struct input *in = &r->input;
    *ret_mode = r->stdin_text != NULL ? CF_DRIVER_INPUT_FILE : CF_DRIVER_INPUT_NONE;
    if (!r->input_open)
        return r->stdin_text != NULL ? cf_channel_write_file(s->channel, "s", r->stdin_text, r->stdin_len, error) : 0;
    *ret_mode = CF_DRIVER_INPUT_FIFO;
    snprintf(in->name, sizeof in->name, "i%u", cf_channel_pair(s->channel));
    int code = cf_channel_make_input(s->channel, in->name, &in->write_fd, &in->read_fd, error);
    if (code != 0)
        return code;
    const struct cf_keep_fd fds[] = { { CF_TAG_INPUT, 0, in->write_fd }, { CF_TAG_INPUT_END, 0, in->read_fd } };
    cf_keep_hold(s->host->keep, s->key, fds, 2);
    return cf_shell_input_watch(s, error);
}

void cf_shell_input_begun(struct cf_shell *s)
{
    struct input *in = &s->run.input;
    if (s->state != CF_SHELL_RUNNING || in->begun || in->write_fd < 0)
        return;
    in->begun = true;
    close_end(s, &in->read_fd, CF_TAG_INPUT_END);
    cf_shell_input_flush(s);
}

int cf_shell_input_restore(struct cf_shell *s, int write_fd, int read_fd)
{
    struct input *in = &s->run.input;
    in->write_fd = write_fd;
    in->read_fd = read_fd;
    if (write_fd < 0)
        return 0;
    in->event = event_new(s->host->loop, write_fd, EV_WRITE, on_writable, s);
    if (in->event == NULL)
        return -1;
    if (in->begun)
        cf_shell_input_flush(s);
    return 0;
}

/* The end of input is what a terminal has for it: a key, typed with the text or not at all. */
static int type_end(struct cf_shell *s, const struct cf_input *input, struct cf_error *error)
{
    struct cf_buf whole;
    cf_buf_init(&whole, input->len + 1);
    cf_buf_append(&whole, input->len > 0 ? input->data : "", input->len);
    cf_buf_putc(&whole, 'D' & 0x1f);
    int code = whole.failed ? cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the input")
                            : cf_shell_type(s, whole.data, whole.len, error);
    cf_buf_free(&whole);
    return code;
}

static int too_large(size_t len, size_t max, struct cf_error *error)
{
    return cf_error_set(error, CF_E_TOO_LARGE, NULL, "the input has %zu bytes, and max_input_bytes is %zu", len, max);
}

/* Typed, when no command of the API reads. */
static int type(struct cf_shell *s, const struct cf_input *input, struct cf_error *error)
{
    size_t len = input->len + input->eof, max = (size_t)s->host->settings->max_input_bytes;
    if (len > max)
        return too_large(len, max, error);
    int code = input->eof ? type_end(s, input, error) : cf_shell_type(s, input->data, input->len, error);
    if (code == 0 && input->seq != 0)
        s->terminal.last_seq = input->seq;
    return code;
}

/* Whether more may come: a command that was not written yet has no FIFO. */
static bool is_open(const struct run *r)
{
    return r->active && r->input_open && !r->input.eof && (!r->written || r->input.write_fd >= 0);
}

int cf_shell_input(struct cf_shell *s, const struct cf_input *input, bool *ret_repeated, bool *ret_open, struct cf_error *error)
{
    struct input *in = &s->run.input;
    size_t max = (size_t)s->host->settings->max_input_bytes;
    if (s->program.name != NULL)
        return cf_program_input(s, input, ret_repeated, ret_open, error);
    if (s->terminal.pty != NULL && !input->of_command && !(s->run.active && s->run.input_open)) {
        *ret_open = true;
        *ret_repeated = input->seq != 0 && input->seq <= s->terminal.last_seq;
        if (*ret_repeated)
            return 0;
        int code = type(s, input, error);
        cf_shell_keep(s);
        return code;
    }
    *ret_repeated = input->seq != 0 && input->seq <= in->last_seq;
    *ret_open = is_open(&s->run);
    if (*ret_repeated)
        return 0;
    if (!*ret_open)
        return cf_error_set(error, CF_E_NOT_READING, NULL, !s->run.active ? "no command is running in this session"
                            : s->run.input_open ? "the command's stdin is closed" : "the command was started without \"input\", so its stdin is empty");
    if (input->len > max)
        return too_large(input->len, max, error);
    if (in->queue.len > max - input->len)
        return cf_error_set(error, CF_E_TOO_MANY, NULL, "%zu bytes wait to be read, and max_input_bytes is %zu; try again", in->queue.len, max);
    cf_buf_append(&in->queue, input->data, input->len);
    if (in->queue.failed) {
        cf_shell_input_close(s);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the command's input; its stdin is closed");
    }
    in->eof = input->eof;
    if (in->begun)
        cf_shell_input_flush(s);
    if (!in->eof && !is_open(&s->run))
        return cf_error_set(error, CF_E_NOT_READING, NULL, "nobody reads the command's stdin any more");
    if (input->seq != 0)
        in->last_seq = input->seq;
    *ret_open = is_open(&s->run);
    cf_shell_keep(s);
    return 0;
}
