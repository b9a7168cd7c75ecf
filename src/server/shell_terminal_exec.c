/* shell_terminal_exec.c: commands in a shell that has a terminal, beside what a person types; terminal.bash has the shell's part.
 *
 * A request lies in a file, and two signals tell the shell of it, which may come at a time when it cannot use them: so they are sent again until
 * it answers.  It begins only when the server says go, and the server gives the terminal the modes back that it had before. */
#include "base/fd.h"
#include "server/driver_terminal.h"
#include "server/shell_private.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

/* Between two signals that say the same. */
#define AGAIN_NS (50 * CF_NS_PER_MS)
/* Times that the shell is asked after an interrupt whether the command is still there. */
#define PROBES 20

static void send_signal(struct cf_shell *s, int signo)
{
    s->signals_pending++;
    cf_link_signal(s->host->link, s->key, signo, CF_SCOPE_LEADER, 0);
}

/* bash has system calls go on after SIGWINCH, and its trap sends SIGURG. After SIGURG they fail with EINTR, which would break off what
 * is being printed by a builtin that was typed: so that is for when the first was no use. */
static void nudge(struct cf_shell *s, bool again)
{
    if (again)
        send_signal(s, SIGURG);
    send_signal(s, SIGWINCH);
}

static int write_request(struct cf_shell *s, enum cf_driver_terminal_kind kind, const char *input, const char *text, size_t len,
                         struct cf_error *error)
{
    struct cf_buf request;
    cf_buf_init(&request, len + CF_DRIVER_TERMINAL_HEADER_MAX);
    cf_driver_terminal_request(&request, s->token, kind, ++s->terminal.requests, cf_channel_pair(s->channel), input, text, len);
    int code = request.failed ? cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the command")
                              : cf_channel_write_file(s->channel, CF_DRIVER_TERMINAL_REQUEST, request.data, request.len, error);
    cf_buf_free(&request);
    return code;
}

/* What lies in a full FIFO are answers to requests that the shell never read. */
static void answer(struct cf_shell *s, unsigned number, bool go)
{
    struct cf_buf line;
    char stale[4096];
    cf_buf_init(&line, CF_DRIVER_TERMINAL_HEADER_MAX);
    cf_driver_terminal_answer(&line, number, go);
    if (!cf_shell_write(s, s->terminal.answer_fd, &line)) {
        while (read(s->terminal.answer_hold_fd, stale, sizeof stale) > 0)
            ;
        (void)cf_shell_write(s, s->terminal.answer_fd, &line);
    }
    cf_buf_free(&line);
}

/* The command is not to begin.  The shell may have read the request already and its word be on its way here: it would wait for an answer, which the
 * next command's is not. */
static void withdraw(struct cf_shell *s)
{
    cf_channel_remove(s->channel, CF_DRIVER_TERMINAL_REQUEST);
    s->run.answering = false;
    answer(s, s->run.request, false);
}

/* Arms the timer for whatever comes first. */
static void arm(struct cf_shell *s, bool again)
{
    struct run *r = &s->run;
    int64_t left = r->until_ns > 0 ? r->until_ns - cf_clock_now().mono_ns : INT64_MAX;
    if (again && left > AGAIN_NS)
        left = AGAIN_NS;
    if (left != INT64_MAX)
        cf_shell_arm(s, left > 0 ? left : 0);
}

/* The shell may wait for an answer that an earlier server had not given: one more does no harm, since it has a number. */
void cf_shell_terminal_resume(struct cf_shell *s)
{
    struct run *r = &s->run;
    if (r->begun || r->answering)
        answer(s, r->request, !r->cancelled);
    r->begun = r->begun || (r->answering && !r->cancelled);
    r->answering = false;
    if (r->begun && r->stage != STAGE_RUNNING)
        r->until_ns = cf_clock_now().mono_ns + s->host->settings->exec_kill_grace;
    nudge(s, true);
    arm(s, true);
}

int cf_shell_terminal_exec(struct cf_shell *s, char mode, struct cf_error *error)
{
    static const char none[] = "-", file[] = "s";
    struct run *r = &s->run;
    const char *input = mode == CF_DRIVER_INPUT_FIFO ? r->input.name : mode == CF_DRIVER_INPUT_FILE ? file : none;
    if (cf_shell_at_work(s))
        return cf_error_set(error, CF_E_BUSY, NULL, "a program that was started in the terminal is running there");
    int code = write_request(s, CF_DRIVER_TERMINAL_EXEC, input, r->text, r->len, error);
    if (code != 0)
        return code;
    r->request = s->terminal.requests;
    r->until_ns = cf_clock_now().mono_ns + CF_SHELL_BEGIN_NS;
    nudge(s, false);
    arm(s, true);
    return 0;
}

/* A signal that came when the command runs would wake what it waits for. */
void cf_shell_terminal_on_signaled(struct cf_shell *s)
{
    struct run *r = &s->run;
    if (!r->answering || s->signals_pending > 0)
        return;
    r->answering = false;
    answer(s, r->request, !r->cancelled);
    r->begun = !r->cancelled;
    r->until_ns = r->timeout_ns > 0 ? cf_clock_now().mono_ns + r->timeout_ns : 0;
    event_del(s->timer);
    arm(s, false);
}

static void on_begin(struct cf_shell *s, unsigned number)
{
    struct run *r = &s->run;
    if (number == 0)
        return;                         /* the answer to a later request: it is still there */
    if (!r->active || number != r->request) {
        answer(s, number, false);       /* one that was withdrawn; its word was on its way */
        return;
    }
    cf_pty_keep_modes(s->terminal.pty);
    r->answering = true;
    event_del(s->timer);
    cf_shell_terminal_on_signaled(s);
}

static void on_end(struct cf_shell *s, int code)
{
    event_del(s->timer);
    s->state = CF_SHELL_READY;
    cf_shell_run_finish(s, code, false);
}

void cf_shell_terminal_on_status(struct cf_shell *s, const struct cf_driver_status *status)
{
    struct run *r = &s->run;
    bool ours = r->active && r->begun;
    if (s->terminal.pty == NULL)
        return;                         /* it was hung up */
    switch (status->word) {
    case 'B':
        on_begin(s, (unsigned)status->number);
        break;
    case 'I':
        cf_shell_input_begun(s);
        break;
    case 'S':
        cf_pty_restore_modes(s->terminal.pty);
        answer(s, ours ? r->request : s->terminal.requests, true);
        if (ours)
            on_end(s, (int)status->number);
        break;
    case 'R':                           /* an interrupt unwound it */
    case 'P':                           /* none runs, says the answer to a later request */
        if (ours)
            on_end(s, status->word == 'R' ? (int)status->number : 128 + SIGINT);
        break;
    default:
        break;
    }
}

static void send_interrupt(struct cf_shell *s)
{
    s->run.interrupt_ticks = cf_shell_ticks();
    (void)cf_pty_signal(s->terminal.pty, SIGINT);
    cf_shell_note_interrupted(s);
}

/* Interrupts the job in front, and asks the shell to leave the command. */
static void interrupt(struct cf_shell *s)
{
    struct cf_error error;
    struct run *r = &s->run;
    r->stage = STAGE_INTERRUPTED;
    r->until_ns = cf_clock_now().mono_ns + s->host->settings->exec_kill_grace;
    send_interrupt(s);
    (void)write_request(s, CF_DRIVER_TERMINAL_LEAVE, "-", "", 0, &error);   /* no memory or place: the kill comes */
    nudge(s, true);
    arm(s, true);
}

static void kill_it(struct cf_shell *s)
{
    struct run *r = &s->run;
    int64_t grace = s->host->settings->exec_kill_grace, now_ns = cf_clock_now().mono_ns;
    if (r->stage == STAGE_INTERRUPTED) {
        r->stage = STAGE_KILLED;
        r->until_ns = now_ns + (grace > CF_NS_PER_S ? grace : CF_NS_PER_S);
    } else if (now_ns >= r->until_ns) {
        cf_shell_run_finish(s, 128 + SIGKILL, true);
        cf_shell_fail(s, CF_E_SHELL_DIED, "a command could not be interrupted");
        return;
    }
    s->signals_pending++;
    cf_link_signal(s->host->link, s->key, SIGKILL, CF_SCOPE_YOUNG, r->since_ticks);
    (void)cf_pty_signal(s->terminal.pty, SIGINT);
    nudge(s, true);
    arm(s, true);
}

void cf_shell_terminal_on_timer(struct cf_shell *s)
{
    struct cf_error error;
    struct run *r = &s->run;
    if (!r->active || s->terminal.pty == NULL)
        return;
    bool due = r->until_ns > 0 && cf_clock_now().mono_ns >= r->until_ns;
    if (!r->begun && due) {
        withdraw(s);
        cf_error_set(&error, CF_E_BUSY, NULL, "the shell in the terminal is busy with what was typed there, so the command did not begin");
        cf_shell_run_refuse(s, &error);
    } else if (r->begun && due && r->stage == STAGE_RUNNING) {
        r->timed_out = true;
        interrupt(s);
    } else if (r->begun && (r->stage == STAGE_KILLED || (due && r->stage == STAGE_INTERRUPTED))) {
        kill_it(s);
    } else {
        if (r->interrupted && r->stage == STAGE_RUNNING && ++r->attempts >= PROBES)
            r->interrupted = false;     /* it is still there: it has heeded the interrupt in another way */
        if ((r->interrupted || r->stage == STAGE_INTERRUPTED) && cf_shell_missed_interrupt(s))
            send_interrupt(s);
        nudge(s, true);
        arm(s, !r->begun || r->interrupted || r->stage != STAGE_RUNNING);
    }
}

void cf_shell_terminal_cancel(struct cf_shell *s)
{
    struct run *r = &s->run;
    if (s->terminal.pty == NULL)
        return;
    if (!r->begun) {
        withdraw(s);
        on_end(s, 128 + SIGINT);
    } else if (r->stage == STAGE_RUNNING) {
        interrupt(s);
    }
}

/* What an interrupt unwound does not say so by itself. */
void cf_shell_terminal_interrupted(struct cf_shell *s)
{
    struct cf_error error;
    struct run *r = &s->run;
    if (!r->active || !r->begun || r->stage != STAGE_RUNNING)
        return;
    r->interrupted = true;
    r->attempts = 0;
    (void)write_request(s, CF_DRIVER_TERMINAL_PROBE, "-", "", 0, &error);
    nudge(s, true);
    arm(s, true);
}

void cf_shell_terminal_signal(struct cf_shell *s, int signo)
{
    struct run *r = &s->run;
    if (s->terminal.pty == NULL)
        return;
    if (signo != SIGINT) {
        s->signals_pending++;
        cf_link_signal(s->host->link, s->key, signo, CF_SCOPE_YOUNG, r->since_ticks);
        return;
    }
    send_interrupt(s);
    cf_shell_terminal_interrupted(s);
}

int cf_shell_terminal_interrupt(struct cf_shell *s, int signo, struct cf_error *error)
{
    if (signo != SIGINT && signo != SIGQUIT && signo != SIGTSTP)
        return cf_error_set(error, CF_E_NOT_READY, "signal", "no command is running; what was started in the terminal gets INT, QUIT and TSTP only");
    if (cf_pty_signal(s->terminal.pty, signo) < 0)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "the terminal does not take the signal: %s", strerror(errno));
    return 0;
}
