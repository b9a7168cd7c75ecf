/* shell.c: a shell's life: start, statuses, reports, end. */
#include "server/shell.h"

#include "base/fd.h"
#include "base/log.h"
#include "server/shell_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* From asking the keeper until the driver's first word.  A bash is up after 1 ms; a machine that swaps needs longer. */
#define BOOT_TIMEOUT_S 30

/* A second interrupt may meet the driver before it has said R, so that more than one spare line is used before one is made anew; a shell
 * without any hears nothing. */
#define SPARES 3

void cf_shell_arm(struct cf_shell *s, int64_t after_ns)
{
    struct timeval tv = { .tv_sec = after_ns / CF_NS_PER_S, .tv_usec = after_ns % CF_NS_PER_S / 1000 };
    evtimer_add(s->timer, &tv);
}

void cf_shell_fail(struct cf_shell *s, int code, const char *fmt, ...)
{
    struct cf_error why = { 0 };
    char text[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cf_error_set(&why, code, NULL, "%s", text);
    if (s->ending || s->left)
        return;
    evtimer_del(s->timer);
    s->events.failed(s, s->arg, &why);
}

bool cf_shell_write(struct cf_shell *s, int fd, const struct cf_buf *what)
{
    if (fd < 0 || what->failed)
        return false;
    ssize_t n;
    do
        n = write(fd, what->data, what->len);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)what->len;
}

void cf_shell_spares(struct cf_shell *s)
{
    struct cf_buf line;
    int there;
    if (s->terminal.pty != NULL || s->boot_fd < 0 || ioctl(s->boot_fd, FIONREAD, &there) < 0)
        return;
    cf_buf_init(&line, 8192);
    cf_driver_spare(&line, s->host->driver_path);
    for (size_t have = (size_t)there; have + line.len <= SPARES * line.len && cf_shell_write(s, s->boot_fd, &line);)
        have += line.len;               /* not written: LEFT is on its way */
    cf_buf_free(&line);
}

/* When there is no memory for it the last one that is known stays. */
static void remember_cwd(struct cf_shell *s, const char *cwd)
{
    if (s->cwd != NULL && strcmp(s->cwd, cwd) == 0)
        return;
    char *copy = strdup(cwd);
    if (copy != NULL) {
        free(s->cwd);
        s->cwd = copy;
    }
}

/* Ready is whose driver listens and whose containment is known: the one is told by a pipe, the other by the keeper. */
void cf_shell_become_ready(struct cf_shell *s)
{
    if (s->state != CF_SHELL_BOOTING || !s->listens || s->pid == 0 || s->ending)
        return;
    s->state = CF_SHELL_READY;
    evtimer_del(s->timer);
    s->events.ready(s, s->arg);
    cf_shell_run_begin(s);
}

/* What does not have the token in it was written by a command that opened the FIFO itself. */
void cf_shell_on_status_text(struct cf_shell *s, const char *text)
{
    struct cf_driver_status status;
    size_t token_len = strlen(s->token);
    const char *at = strstr(text, s->token);
    if (at == NULL || at[token_len] != ' ' || cf_driver_parse(at + token_len + 1, &status) < 0)
        return;
    if (status.word != 'P')
        remember_cwd(s, status.cwd);
    if (s->state == CF_SHELL_BOOTING) {
        s->listens = s->listens || status.word == 'R';
        cf_shell_become_ready(s);
        return;
    }
    if (status.word == 'R')
        cf_shell_spares(s);
    cf_shell_run_on_status(s, &status);
}

_Static_assert(2 * CF_STATUS_MAX <= CF_VAULT_HAND_MAX, "what is left of one read, and the next");

static void clear(struct cf_vault_hand *hand, size_t len)
{
    memset(hand->bytes, 0, len);
    hand->len = 0;
    hand->key = 0;
}

static void on_status(evutil_socket_t fd, short what, void *arg)
{
    (void)what;
    struct cf_shell *s = arg;
    char own[2 * CF_STATUS_MAX], *text = own;
    struct cf_vault_hand *hand = cf_vault_hand(cf_keep_vault(s->host->keep));
    size_t len = s->status.len;
    if (hand != NULL) {                 /* what is read is in no pipe any more: it goes to where the next server finds it */
        hand->key = s->key;
        text = hand->bytes;
    }
    if (len > 0)
        memcpy(text, s->status.data, len);
    ssize_t n = read(fd, text + len, CF_STATUS_MAX);
    if (hand != NULL && n <= 0)
        clear(hand, len);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        event_del(s->status_event);     /* exec replaced the shell, or it is gone: LEFT will tell */
        return;
    }
    char *at = text, *end = text + len + (size_t)n;
    if (hand != NULL)
        hand->len = (uint32_t)(end - text);
    cf_buf_free(&s->status);
    cf_buf_init(&s->status, CF_STATUS_MAX);
    for (char *nul; (nul = memchr(at, '\0', (size_t)(end - at))) != NULL; at = nul + 1) {
        cf_shell_on_status_text(s, at);
        cf_shell_keep(s);
        memset(at, 0, (size_t)(nul - at));
    }
    if (at < end)
        cf_buf_append(&s->status, at, (size_t)(end - at));
    if (hand != NULL)
        clear(hand, (size_t)(end - text));
    if (s->status.failed || s->status.len == CF_STATUS_MAX)
        cf_shell_fail(s, CF_E_SHELL_DIED, "the shell's driver sent a status without an end");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_shell *s = arg;
    if (s->state == CF_SHELL_BOOTING)
        cf_shell_fail(s, CF_E_SPAWN, "the %s did not start within %d s", s->program.name != NULL ? "program" : "shell", BOOT_TIMEOUT_S);
    else if (s->state == CF_SHELL_SYNCING)
        cf_shell_fail(s, CF_E_SHELL_DIED, "the shell does not listen");
    else
        cf_shell_run_on_timer(s);
    cf_shell_keep(s);
}

/* FIFOs, since a command may close whatever the shell has open: the driver finds them again by their names. */
static int open_fifos(struct cf_shell *s, struct cf_error *error)
{
    int code = cf_channel_make_fifo(s->channel, CF_DRIVER_BOOT, &s->boot_fd, &s->theirs[0], error);
    if (code == 0)
        code = cf_channel_make_fifo(s->channel, CF_DRIVER_REQUESTS, &s->request_fd, NULL, error);
    if (code == 0)
        code = cf_channel_make_fifo(s->channel, CF_DRIVER_STATUSES, &s->status_fd, NULL, error);
    return code;
}

int cf_shell_open_events(struct cf_shell *s, struct cf_error *error)
{
    s->status_event = event_new(s->host->loop, s->status_fd, EV_READ | EV_PERSIST, on_status, s);
    s->timer = evtimer_new(s->host->loop, on_timer, s);
    if (s->status_event == NULL || s->timer == NULL || event_add(s->status_event, NULL) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    return 0;
}

static int say_boot(struct cf_shell *s, struct cf_error *error)
{
    struct cf_buf text;
    cf_buf_init(&text, 16384);
    cf_driver_boot(&text, s->host->driver_path, cf_channel_path(s->channel), s->token, s->host->locale);
    bool written = cf_shell_write(s, s->boot_fd, &text);
    cf_buf_free(&text);
    return written ? 0 : cf_error_set(error, CF_E_SYSTEM, NULL, "cannot write to the shell");
}

static int make_fifos(struct cf_shell *s, struct cf_error *error)
{
    int code = open_fifos(s, error);
    return code != 0 ? code : say_boot(s, error);
}

static int make(const struct cf_shell_host *host, struct cf_channel *channel, const struct cf_terminal *terminal,
                const struct cf_program *program, struct cf_shell **ret, struct cf_error *error)
{
    struct cf_shell *s = calloc(1, sizeof *s);
    if (s == NULL) {
        cf_channel_close(&channel);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    *s = (struct cf_shell){ .host = host, .state = CF_SHELL_BOOTING, .channel = channel, .request_fd = -1, .boot_fd = -1,
                            .status_fd = -1, .theirs = { -1, -1, -1 },
                            .terminal = { .status_hold_fd = -1, .answer_fd = -1, .answer_hold_fd = -1, .boot_fd = -1, .args = { .fd = -1 } },
                            .program = { .args = { .fd = -1 }, .out_fd = -1, .err_fd = -1 }, .run = { .input = { .write_fd = -1, .read_fd = -1 } } };
    cf_buf_init(&s->status, CF_STATUS_MAX);
    int code = cf_driver_token(s->token) == 0 ? 0 : cf_error_set(error, CF_E_SYSTEM, NULL, "no random bytes");
    if (code == 0)
        code = program != NULL ? cf_program_make(s, program, error) : terminal != NULL ? cf_shell_terminal_make(s, terminal, error)
                                                                                       : make_fifos(s, error);
    if (code == 0)
        code = cf_shell_open_events(s, error);
    if (code != 0)
        cf_shell_free(&s);
    else
        *ret = s;
    return code;
}

int cf_shell_make(const struct cf_shell_host *host, struct cf_channel *channel, const struct cf_terminal *terminal, struct cf_shell **ret,
                  struct cf_error *error)
{
    return make(host, channel, terminal, NULL, ret, error);
}

int cf_shell_make_program(const struct cf_shell_host *host, struct cf_channel *channel, const struct cf_program *program,
                          struct cf_shell **ret, struct cf_error *error)
{
    return make(host, channel, NULL, program, ret, error);
}

static void close_theirs(struct cf_shell *s)
{
    for (int i = 0; i < 3; i++)
        cf_fd_close(&s->theirs[i]);
}

int cf_shell_launch(struct cf_shell *s, uint64_t key, int cwd_fd, const struct cf_shell_events *events, void *arg,
                    struct cf_error *error)
{
    static const int32_t targets[] = { 0 };
    struct cf_link_spawn what = { .key = key, .cwd_fd = cwd_fd, .args = &s->host->args, .fds = s->theirs, .targets = targets,
                                  .fd_count = 1, .lease_ms = s->host->settings->lease / CF_NS_PER_MS };
    s->key = key;
    s->events = *events;
    s->arg = arg;
    cf_shell_keep(s);
    int code = s->program.name != NULL ? cf_program_launch(s, &what, error)
               : s->terminal.pty != NULL ? cf_shell_terminal_launch(s, &what, error) : cf_link_spawn(s->host->link, &what, error);
    if (code != 0) {
        cf_vault_drop(cf_keep_vault(s->host->keep), &s->kept);
        s->key = 0;
        return code;
    }
    close_theirs(s);
    cf_shell_give(s);
    cf_shell_arm(s, BOOT_TIMEOUT_S * CF_NS_PER_S);
    return 0;
}

/* A driver that opens the requests behind this finds no name, instead of waiting for somebody to write there. */
static void hang_up(struct cf_shell *s)
{
    if (s->request_fd >= 0)
        cf_channel_remove(s->channel, CF_DRIVER_REQUESTS);
    cf_fd_close(&s->boot_fd);
    cf_fd_close(&s->request_fd);
    cf_shell_terminal_close(s);
    cf_program_close(s);
}

void cf_shell_hang_up(struct cf_shell *s)
{
    hang_up(s);
    cf_channel_hang_up(s->channel);
}

void cf_shell_free(struct cf_shell **shell)
{
    struct cf_shell *s = *shell;
    if (s == NULL)
        return;
    if (s->status_event != NULL)
        event_free(s->status_event);
    if (s->timer != NULL)
        event_free(s->timer);
    hang_up(s);
    close_theirs(s);
    cf_fd_close(&s->status_fd);
    cf_shell_run_free(s);
    cf_shell_terminal_free(s);
    cf_program_free(s);
    if (s->channel != NULL)
        cf_channel_close(&s->channel);
    cf_vault_drop(cf_keep_vault(s->host->keep), &s->kept);
    cf_buf_free(&s->status);
    free(s->cwd);
    free(s);
    *shell = NULL;
}

void cf_shell_adopt(struct cf_shell *s, const struct cf_shell_events *events, void *arg)
{
    s->events = *events;
    s->arg = arg;
    cf_shell_keep(s);
}

void cf_shell_end(struct cf_shell *s, int64_t grace_ns)
{
    bool first = !s->ending;
    s->ending = true;
    if (first || grace_ns < s->end_grace_ns)
        s->end_grace_ns = grace_ns;
    if (first)
        s->closed = !s->left && grace_ns != 0;
    evtimer_del(s->timer);
    cf_shell_keep(s);
    if (grace_ns == 0)                  /* what is killed at once does not need to see its input closed before */
        cf_link_end(s->host->link, s->key, 0);
    if (first)
        cf_shell_hang_up(s);
    if (grace_ns != 0)
        cf_link_end(s->host->link, s->key, grace_ns / CF_NS_PER_MS);
}

void cf_shell_on_spawned(struct cf_shell *s, const struct cf_wire_spawned *report)
{
    if (report->status != 0 && s->ending) {
        /* The keeper had its END before the leader was there: it says so by this report alone. */
        struct cf_wire_ended nothing = { .type = CF_WIRE_ENDED, .cause = CF_CAUSE_ASKED, .key = s->key, .rung = CF_RUNG_UNKNOWN,
                                         .closed_ms = -1, .interrupted_ms = -1, .killed_ms = -1 };
        cf_shell_on_ended(s, &nothing);
        return;
    }
    if (report->status != 0) {
        cf_shell_fail(s, CF_E_SPAWN, "cannot start %s: %s", s->program.name != NULL ? s->program.name : s->host->settings->shell,
                      strerror(report->status));
        return;
    }
    struct cf_error error;
    s->pid = report->pid;
    s->init = -1;
    s->hold = report->hold;
    if (s->terminal.pty != NULL && !s->ending && cf_shell_terminal_begin(s, &error) != 0)
        cf_shell_fail(s, error.code, "%s", error.text);
    else
        cf_shell_become_ready(s);
    cf_shell_keep(s);
}

void cf_shell_on_signaled(struct cf_shell *s, const struct cf_wire_signaled *report)
{
    s->signals_pending -= report->answers < s->signals_pending ? report->answers : s->signals_pending;
    if (s->terminal.pty != NULL)
        cf_shell_terminal_on_signaled(s);
    else if (s->state == CF_SHELL_SYNCING)
        cf_shell_sync(s);
    else if (s->run.interrupted && s->signals_pending == 0)
        cf_shell_note_interrupted(s);
    cf_shell_keep(s);
}

static int exit_code_of(int wait_status)
{
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 128 + WTERMSIG(wait_status);
}

void cf_shell_on_left(struct cf_shell *s, const struct cf_wire_left *report)
{
    s->left = true;
    s->wait_status = report->wait_status;
    s->state = CF_SHELL_DEAD;
    evtimer_del(s->timer);
    event_del(s->status_event);
    hang_up(s);
    if (s->run.active)
        cf_shell_run_finish(s, exit_code_of(s->wait_status), false);
    if (!s->ending)
        s->events.left(s, s->arg, s->wait_status);
    cf_shell_keep(s);
}

void cf_shell_on_ended(struct cf_shell *s, const struct cf_wire_ended *report)
{
    s->state = CF_SHELL_DEAD;
    s->left = s->ending = true;
    s->run.done = NULL;
    evtimer_del(s->timer);
    event_del(s->status_event);
    s->events.ended(s, s->arg, report);
}

uint64_t cf_shell_key(const struct cf_shell *s)
{
    return s->key;
}

uint32_t cf_shell_hold(const struct cf_shell *s)
{
    return s->hold;
}

int cf_shell_pid(const struct cf_shell *s)
{
    return s->pid;
}

const char *cf_shell_path(const struct cf_shell *s)
{
    return cf_channel_path(s->channel);
}

bool cf_shell_was_closed(const struct cf_shell *s)
{
    return s->closed;
}

uint64_t cf_shell_last_seq(const struct cf_shell *s)
{
    return s->program.last_seq;
}

struct cf_journal *cf_shell_journal(const struct cf_shell *s)
{
    return cf_channel_journal(s->channel);
}

void cf_shell_succeed(struct cf_shell *s, const struct cf_shell *old)
{
    cf_channel_set_journal(s->channel, cf_channel_journal(old->channel));
    s->terminal.last_seq = old->terminal.last_seq;
    s->program.last_seq = old->program.last_seq;
    cf_shell_keep(s);
}
