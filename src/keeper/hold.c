#include "keeper/hold.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"
#include "keeper/init.h"
#include "keeper/ladder.h"
#include "keeper/link.h"
#include "keeper/spare.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SUBREAPER_PATIENCE_NS (3 * CF_NS_PER_S)
#define HAS_INIT (CF_HOLD_PIDNS | CF_HOLD_SUBREAPER)

/* The child is ours and not reaped, so its pid means it for as long as this takes. */
static void kill_child(pid_t pid)
{
    CF_FD_AUTO pidfd = (int)syscall(SYS_pidfd_open, pid, 0);

    if (pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

/* --- start --- */

static int start_init(struct cf_keeper *k, struct cf_held *held, const struct cf_spawn_plan *plan, const int *fds)
{
    struct cf_init_order order = { .type = CF_INIT_START, .plan = *plan };

    cf_table_pid_set(&k->table, held, held->init_pid);
    if (cf_keeper_watch(k, CF_WATCH_CONTROL, held, held->control_fd, EPOLLIN) != 0)
        return errno;
    if (cf_packet_send(held->control_fd, &order, sizeof order, fds, plan->fd_count + 2u) != 0)
        return errno;
    return 0;
}

static int start_leader(struct cf_keeper *k, struct cf_held *held, const struct cf_spawn_plan *plan, const int *fds,
                        int cgroup_fd)
{
    struct cf_spawn_args args;
    int error = cf_spawn_args_load(fds[1], plan, &args);
    pid_t pid;

    if (error != 0)
        return error;
    pid = cf_spawn_leader(plan, &args, fds, &k->config.user, cgroup_fd);
    error = pid < 0 ? errno : 0;
    cf_spawn_args_free(&args);
    if (error != 0)
        return error;
    held->leader_pid = pid;
    cf_table_pid_set(&k->table, held, pid);
    cf_ladder_event(k, held, CF_EVENT_STARTED, pid);
    return 0;
}

static int start(struct cf_keeper *k, struct cf_held *held, const struct cf_spawn_plan *plan, const int *fds)
{
    struct cf_berth berth;
    int error = cf_spare_take(k, held->hold, &berth);
    CF_FD_AUTO cgroup_fd = error == 0 ? berth.cgroup_fd : -1;

    if (error != 0)
        return error;
    held->init_pid = berth.init_pid;
    held->control_fd = berth.control_fd;
    if (berth.cgroup != 0)
        cf_table_cgroup_set(&k->table, held, berth.cgroup);
    return held->init_pid != 0 ? start_init(k, held, plan, fds) : start_leader(k, held, plan, fds, cgroup_fd);
}

/* --- what comes back --- */

void cf_hold_listen(struct cf_keeper *k, struct cf_held *held)
{
    struct cf_init_word word;
    pid_t pid;
    int got;

    while (held->control_fd >= 0 && (got = cf_init_read(held->control_fd, &word, &pid)) != 0) {
        if (got < 0) {
            cf_fd_close(&held->control_fd);         /* its death follows by SIGCHLD */
            return;
        }
        switch (word.type) {
        case CF_INIT_STARTED:
            cf_ladder_event(k, held, CF_EVENT_STARTED, (held->hold & CF_HOLD_PIDNS) != 0 ? pid : word.value);
            break;
        case CF_INIT_FAILED: cf_ladder_event(k, held, CF_EVENT_FAILED, word.value > 0 ? word.value : EIO); break;
        case CF_INIT_LEFT: cf_ladder_event(k, held, CF_EVENT_LEFT, word.value); break;
        case CF_INIT_SIGNALED: cf_link_signaled(k, held); break;
        case CF_INIT_KILLED: held->killed = (uint32_t)word.value; break;
        default: cf_log(CF_LOG_ERROR, "the init of session %llu says %u", (unsigned long long)held->key, word.type);
        }
    }
}

void cf_hold_reaped(struct cf_keeper *k, struct cf_held *held, pid_t pid, int wait_status)
{
    cf_table_pid_clear(&k->table, pid);
    if (held->init_pid != pid) {
        cf_ladder_event(k, held, CF_EVENT_LEFT, wait_status);
        cf_ladder_event(k, held, CF_EVENT_CHANGED, 0);
        return;
    }
    cf_hold_listen(k, held);                        /* its last words */
    cf_fd_close(&held->control_fd);
    held->init_pid = 0;
    held->init_failed = !WIFEXITED(wait_status) || WEXITSTATUS(wait_status) != 0;
    if (!held->leader_gone) {
        held->leader_gone = true;
        held->wait_status = SIGKILL;                /* as waitpid gives it: ended by that signal */
    }
    cf_ladder_event(k, held, CF_EVENT_CHANGED, 0);
}

/* --- signal --- */

static bool only_subreaper(const struct cf_held *held)
{
    return held->hold == CF_HOLD_SUBREAPER;
}

struct sweep {
    struct cf_keeper *k;
    const struct cf_held *held;
    struct cf_scope scope;
    int signo;
    bool wake, failed;
};

static void signal_member(pid_t pid, void *context)
{
    struct sweep *sweep = context;
    struct cf_proc proc;

    if (cf_proc_read(sweep->k->proc_fd, pid, &proc) != 0 || !cf_scope_has(&sweep->scope, sweep->k->proc_fd, &proc))
        return;
    /* The number came from a list that may be old: it is the session's only while its process is in the cgroup. */
    if (cf_cgroup_of(&sweep->k->cgroups, sweep->k->proc_fd, pid) != sweep->held->cgroup)
        return;
    if (cf_proc_signal(sweep->k->proc_fd, &proc, sweep->signo) != 0 && errno != ESRCH)
        sweep->failed = true;
    if (sweep->wake)
        (void)cf_proc_signal(sweep->k->proc_fd, &proc, SIGCONT);
}

/* What the server asked for (which wakes nobody) it is told of: by the init, or at once where there is none. */
static int send_signal(struct cf_keeper *k, struct cf_held *held, const struct cf_scope *scope, int signo, bool wake)
{
    struct sweep sweep = { .k = k, .held = held, .scope = *scope, .signo = signo, .wake = wake };
    struct cf_init_order order = { .type = CF_INIT_SIGNAL, .signo = signo, .scope = scope->scope, .wake = wake,
                                   .answer = !wake, .since_ticks = scope->since_ticks };

    if (only_subreaper(held) && wake) {             /* a rung of the ladder, where many stand at a time */
        held->swept_signo = signo;
        k->sweep_due = true;
        return 0;
    }
    if ((held->hold & HAS_INIT) != 0 && held->control_fd >= 0)
        return cf_packet_send(held->control_fd, &order, sizeof order, NULL, 0);
    if (!wake)
        cf_link_signaled(k, held);
    if ((held->hold & HAS_INIT) != 0)
        return 0;
    sweep.scope.leader = held->leader_pid;
    if (cf_cgroup_procs(&k->cgroups, held->cgroup, signal_member, &sweep) < 0)
        return -1;
    return sweep.failed ? -1 : 0;
}

/* --- kill --- */

static void kill_cgroup(struct cf_keeper *k, struct cf_held *held)
{
    int count = cf_cgroup_procs(&k->cgroups, held->cgroup, NULL, NULL);

    if (held->init_pid != 0 && count > 0)
        count--;                        /* the init is no process of the session's */
    if (held->killed == 0 && count > 0)
        held->killed = (uint32_t)count;
    if (cf_cgroup_kill(&k->cgroups, held->cgroup) != 0)
        cf_log(CF_LOG_ERROR, "session %llu: cannot write cgroup.kill of s%u", (unsigned long long)held->key,
               held->cgroup);
}

static void kill_all(struct cf_keeper *k, struct cf_held *held)
{
    struct cf_init_order order = { .type = CF_INIT_KILL };
    bool again = k->now_ns != held->killed_ns;

    if (held->cgroup != 0)
        kill_cgroup(k, held);
    if (held->init_pid == 0) {
        if (held->leader_pid != 0 && !held->leader_gone)
            kill_child(held->leader_pid);
        return;
    }
    if (only_subreaper(held)) {
        held->swept_signo = SIGKILL;
        k->sweep_due = true;
        if (k->now_ns - held->killed_ns > SUBREAPER_PATIENCE_NS)
            kill_child(held->init_pid);             /* it should have gone; what it leaves comes to us */
        return;
    }
    /* An init counts what it kills, at one stroke.  One that does not do so soon is killed itself, which takes
     * the namespace with it. */
    if (held->cgroup != 0 || again || cf_packet_send(held->control_fd, &order, sizeof order, NULL, 0) != 0)
        kill_child(held->init_pid);
}

/* Hands each process of a session that waits for a signal to that session; owners are slot + 1. */
static void assign(const struct cf_keeper *k, struct cf_procs *procs)
{
    for (size_t i = 0; i < procs->count; i++) {
        struct cf_proc *p = &procs->list[i];
        const struct cf_held *held = cf_table_by_pid(&k->table, p->pid);

        p->owner = held != NULL && held->init_pid == p->pid && held->swept_signo != 0 ? held->slot + 1 : 0;
    }
    cf_procs_spread(procs);
}

/* One pass over what is owned.  Stopped in a first pass, none of those to be killed forks while the others are met. */
static void pass(struct cf_keeper *k, const struct cf_procs *procs, bool stopping)
{
    for (size_t i = 0; i < procs->count; i++) {
        const struct cf_proc *p = &procs->list[i];
        struct cf_held *held = p->owner != 0 ? cf_table_slot(&k->table, p->owner - 1) : NULL;

        if (held == NULL || p->pid == held->init_pid || p->state == 'Z' || p->state == 'X')
            continue;
        if (held->swept_signo == SIGKILL) {
            if (cf_proc_signal(k->proc_fd, p, stopping ? SIGSTOP : SIGKILL) == 0 && !stopping)
                held->killed++;
        } else if (!stopping) {
            (void)cf_proc_signal(k->proc_fd, p, held->swept_signo);
            (void)cf_proc_signal(k->proc_fd, p, SIGCONT);
        }
    }
}

void cf_hold_sweep(struct cf_keeper *k)
{
    struct cf_procs procs;

    if (!k->sweep_due)
        return;
    k->sweep_due = false;
    if (cf_procs_snapshot(k->proc_fd, &procs) != 0)
        return;                         /* the ladder's timers ask again */
    assign(k, &procs);
    pass(k, &procs, true);
    pass(k, &procs, false);
    cf_procs_free(&procs);
    for (uint32_t slot = 0; slot < k->table.chunk_count * CF_TABLE_CHUNK; slot++)
        cf_table_slot(&k->table, slot)->swept_signo = 0;
}

unsigned cf_hold_strays(struct cf_keeper *k)
{
    struct cf_procs procs;
    unsigned count = 0;
    pid_t self = getpid();

    if (cf_procs_snapshot(k->proc_fd, &procs) != 0)
        return 1;
    for (size_t i = 0; i < procs.count; i++) {
        struct cf_proc *p = &procs.list[i];

        p->owner = p->ppid == self && p->pid != k->server_pid && p->pid != k->spare.init_pid &&
            cf_table_by_pid(&k->table, p->pid) == NULL &&
            (k->cgroups.dir_fd < 0 || cf_cgroup_of(&k->cgroups, k->proc_fd, p->pid) == 0);
    }
    cf_procs_spread(&procs);
    for (int signo = SIGSTOP; signo != 0; signo = signo == SIGSTOP ? SIGKILL : 0)
        for (size_t i = 0; i < procs.count; i++)
            if (procs.list[i].owner != 0 && procs.list[i].state != 'Z' && procs.list[i].state != 'X')
                count += cf_proc_signal(k->proc_fd, &procs.list[i], signo) == 0 && signo == SIGKILL;
    cf_procs_free(&procs);
    return count;
}

/* --- proof --- */

static bool populated(struct cf_keeper *k, struct cf_held *held)
{
    if (held->events_fd < 0) {
        held->events_fd = cf_cgroup_events_open(&k->cgroups, held->cgroup);
        if (held->events_fd < 0)
            return errno != ENOENT;
        if (cf_cgroup_events_populated(held->events_fd))
            (void)cf_keeper_watch(k, CF_WATCH_EVENTS, held, held->events_fd, EPOLLPRI);
    }
    return cf_cgroup_events_populated(held->events_fd);
}

static bool empty(struct cf_keeper *k, struct cf_held *held)
{
    if (held->init_pid != 0)
        return false;
    if ((held->hold & HAS_INIT) == 0 && held->leader_pid != 0 && !held->leader_gone)
        return false;
    if (held->cgroup != 0)
        return !populated(k, held);
    /* A namespace's init cannot be reaped before all in it are dead; a subreaper that ended in order saw it. */
    return (held->hold & CF_HOLD_PIDNS) != 0 || !held->init_failed || cf_hold_strays(k) == 0;
}

static int release(struct cf_keeper *k, struct cf_held *held)
{
    cf_fd_close(&held->control_fd);
    cf_fd_close(&held->events_fd);
    if (held->cgroup == 0)
        return 0;
    if (cf_cgroup_remove(&k->cgroups, held->cgroup) != 0)
        return -1;
    cf_table_cgroup_clear(&k->table, held);
    return 0;
}

const struct cf_hold_ops *cf_hold_ops(void)
{
    static const struct cf_hold_ops ops = {
        .start = start, .signal = send_signal, .kill = kill_all, .empty = empty, .release = release,
    };

    return &ops;
}
