/* shell_interrupt.c: getting a shell back from a command that does not end.
 *
 * A command that runs over its time is interrupted (SIGINT to the shell's process group, where background jobs ignore it);
 * what still runs of it after exec_kill_grace is killed; a shell that has not come back after that again is wedged. */
#include "server/shell_private.h"

#include <signal.h>

/* While what runs is being killed: from an interrupt to the next kill, and at least from a kill to the next interrupt. */
#define AGAIN_NS (40 * CF_NS_PER_MS)
/* From an interrupt until it is looked whether one was missed. */
#define MISSED_NS (100 * CF_NS_PER_MS)
#define SOON_NS (5 * CF_NS_PER_MS)
/* How long a first interrupt waits for the shell to sleep. */
#define DUE_NS (20 * CF_NS_PER_MS)
/* So often it is looked after a signal that a client has sent. */
#define LOOKS 3

/* Until the timeout, or sooner, when it is to be looked whether an interrupt was missed. */
void cf_shell_arm_running(struct cf_shell *s)
{
    const struct run *r = &s->run;
    int64_t left = r->until_ns > 0 ? r->until_ns - cf_clock_now().mono_ns : INT64_MAX;
    if (r->interrupted && r->attempts < LOOKS && left > MISSED_NS)
        left = MISSED_NS;
    if (left != INT64_MAX)
        cf_shell_arm(s, left > 0 ? left : 0);
}

/* SIGINT goes to the shell's process group, where jobs ignore it, another signal to all that the command started.  A child that is still a copy of
 * the shell is left out, since bash's handler has it go on as a second shell, which reads requests; only when what runs is being killed may it have
 * to be that one for the shell to heed it at all. */
static void send_signal(struct cf_shell *s, int signo)
{
    bool interrupt = signo == SIGINT;
    if (interrupt) {
        cf_shell_spares(s);
        s->run.interrupt_ticks = cf_shell_ticks();
    }
    s->signals_pending++;
    cf_link_signal(s->host->link, s->key, signo, !interrupt ? CF_SCOPE_YOUNG : s->run.stage == STAGE_KILLED ? CF_SCOPE_GROUP : CF_SCOPE_SETTLED, interrupt ? 0 : s->run.since_ticks);
}

/* A loop of commands goes on with the next when one is killed.  bash leaves it when a command dies of an interrupt, but
 * overlooks one that meets it while it waits for a command that then ends in another way: so once it has come to killing,
 * kill and interrupt alternate, and the interrupt comes while the next command still starts and cannot ignore it yet. */
static void kill_again(struct cf_shell *s)
{
    struct run *r = &s->run;
    if (s->signals_pending > 0) {
        cf_shell_arm(s, SOON_NS);
        return;
    }
    bool kill = r->attempts++ % 2 != 0;
    send_signal(s, kill ? SIGKILL : SIGINT);
    /* How soon a bash goes on depends on how busy the machine is: 5, 10, 20, 40 ms. */
    cf_shell_arm(s, kill ? SOON_NS << (r->attempts / 2 % 4) : AGAIN_NS);
}

static void interrupt_again(struct cf_shell *s)
{
    if (s->signals_pending == 0 && cf_shell_missed_interrupt(s))
        send_signal(s, SIGINT);
}

static void await_interrupted(struct cf_shell *s)
{
    int64_t left = s->run.give_up_ns - cf_clock_now().mono_ns;
    cf_shell_arm(s, left > MISSED_NS ? MISSED_NS : left > 0 ? left : 0);
}

/* A bash that is about to wait for a child spins for ever when an interrupt meets it between making its handler known and noting which was there
 * before: that handler then sends the interrupt to itself, again and again.  So a first interrupt waits until the shell sleeps, for a child
 * or in a system call of its own; one that never does is computing, and not about to wait. */
static void interrupt_when_safe(struct cf_shell *s)
{
    struct run *r = &s->run;
    if (!cf_shell_sleeps(s) && cf_clock_now().mono_ns < r->due_until_ns) {
        cf_shell_arm(s, CF_NS_PER_MS);
        return;
    }
    r->due = false;
    send_signal(s, SIGINT);
    r->interrupt_ticks = r->due_ticks;  /* who started while it waited may have missed it as well */
    if (r->stage == STAGE_INTERRUPTED)
        await_interrupted(s);
    else
        cf_shell_arm_running(s);
}

static void interrupt_soon(struct cf_shell *s)
{
    s->run.due = true;
    s->run.due_ticks = cf_shell_ticks();
    s->run.due_until_ns = cf_clock_now().mono_ns + DUE_NS;
    interrupt_when_safe(s);
}

static void interrupt(struct cf_shell *s)
{
    s->run.stage = STAGE_INTERRUPTED;
    s->run.give_up_ns = cf_clock_now().mono_ns + s->host->settings->exec_kill_grace;
    interrupt_soon(s);
}

void cf_shell_run_on_timer(struct cf_shell *s)
{
    struct run *r = &s->run;
    int64_t grace = s->host->settings->exec_kill_grace;
    if (!r->active)
        return;
    if (!r->written && s->terminal.pty == NULL) {
        cf_shell_run_begin(s);
        return;
    }
    if (s->terminal.status_hold_fd >= 0) {
        cf_shell_terminal_on_timer(s);
        return;
    }
    if (r->due && (r->stage == STAGE_RUNNING || cf_clock_now().mono_ns < r->give_up_ns)) {
        interrupt_when_safe(s);
        return;
    }
    switch (r->stage) {
    case STAGE_RUNNING:
        if (r->until_ns > 0 && cf_clock_now().mono_ns >= r->until_ns) {
            r->timed_out = true;
            interrupt(s);
            break;
        }
        if (r->interrupted && r->attempts++ < LOOKS)
            interrupt_again(s);
        cf_shell_arm_running(s);
        break;
    case STAGE_INTERRUPTED:
        if (cf_clock_now().mono_ns < r->give_up_ns) {
            interrupt_again(s);
            await_interrupted(s);
            break;
        }
        r->stage = STAGE_KILLED;
        r->attempts = 0;
        r->give_up_ns = cf_clock_now().mono_ns + (grace > CF_NS_PER_S ? grace : CF_NS_PER_S);
        send_signal(s, SIGKILL);
        cf_shell_arm(s, AGAIN_NS);
        break;
    case STAGE_KILLED:
        if (cf_clock_now().mono_ns < r->give_up_ns) {
            kill_again(s);
            break;
        }
        cf_shell_run_finish(s, 128 + SIGKILL, true);
        cf_shell_fail(s, CF_E_SHELL_DIED, "a command could not be interrupted");
        break;
    }
}

void cf_shell_cancel(struct cf_shell *s)
{
    struct run *r = &s->run;
    if (!r->active || r->cancelled || s->ending)
        return;
    r->cancelled = true;
    if (r->written && s->terminal.pty != NULL)
        cf_shell_terminal_cancel(s);
    else if (!r->written)
        cf_shell_run_finish(s, 128 + SIGINT, false);    /* it still waited for an earlier interrupt's end */
    else if (r->stage == STAGE_RUNNING)
        interrupt(s);
    cf_shell_keep(s);
}

/* The probe tells whether the driver ever had it. */
void cf_shell_run_resume(struct cf_shell *s)
{
    struct run *r = &s->run;
    r->doubted = true;
    cf_shell_probe(s);
    if (r->stage == STAGE_RUNNING && !r->cancelled)
        cf_shell_arm_running(s);
    else
        interrupt(s);
}

int cf_shell_signal(struct cf_shell *s, int signo, struct cf_error *error)
{
    struct run *r = &s->run;
    if (s->program.name != NULL)
        return cf_program_signal(s, signo, error);
    if (!r->active && s->terminal.pty != NULL && !s->ending)
        return cf_shell_terminal_interrupt(s, signo, error);
    if (!r->active || s->ending)
        return cf_error_set(error, CF_E_NOT_READY, NULL, "no command is running in this session");
    /* Until then what is in front of a terminal is what was typed there. */
    if (!r->written || (s->terminal.pty != NULL && !r->begun))
        return cf_error_set(error, CF_E_NOT_READY, NULL, "the command has not begun yet; try again");
    if (s->terminal.pty != NULL) {
        cf_shell_terminal_signal(s, signo);
        return 0;
    }
    if (r->stage == STAGE_KILLED)
        return 0;                       /* its end is on its way, and waits until no signal is */
    r->interrupted = r->interrupted || signo == SIGINT;
    if (signo != SIGINT) {
        send_signal(s, signo);
    } else if (!r->due) {
        if (r->stage == STAGE_RUNNING)
            r->attempts = 0;
        interrupt_soon(s);
    }
    return 0;
}
