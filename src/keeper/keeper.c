#include "keeper/keeper.h"
#include "base/fd.h"
#include "base/log.h"
#include "keeper/context.h"
#include "keeper/former.h"
#include "keeper/hold.h"
#include "keeper/init.h"
#include "keeper/ladder.h"
#include "keeper/link.h"
#include "keeper/revive.h"
#include "keeper/spare.h"
#include "keeper/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SWEEP_WAIT_MS 10000             /* for what an earlier keeper left to die */
#define SERVER_EXTRA_NS (10 * CF_NS_PER_S)  /* beyond the grace, for a server that was told to go */
#define EVENTS_A_TURN 128

/* --- making one --- */

/* As many descriptors as the system lets us have: each session takes one or two.  Sessions get what we got. */
static void raise_limits(struct cf_spawn_user *user)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= files.rlim_max)
        return;
    user->open_files = files.rlim_cur;
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
}

static int settle_signals(void)
{
    struct sigaction standard = { .sa_handler = SIG_DFL };
    sigset_t read_by_loop, blocked;

    /* An ignored signal would stay ignored in every session, and an ignored SIGCHLD would eat wait statuses. */
    for (int signo = 1; signo < SIGRTMIN; signo++) {
        struct sigaction now;

        if (sigaction(signo, NULL, &now) == 0 && now.sa_handler == SIG_IGN)
            (void)sigaction(signo, &standard, NULL);
    }
    sigemptyset(&read_by_loop);
    sigaddset(&read_by_loop, SIGCHLD);
    sigaddset(&read_by_loop, SIGTERM);
    sigaddset(&read_by_loop, SIGINT);
    sigaddset(&read_by_loop, SIGHUP);
    blocked = read_by_loop;
    sigaddset(&blocked, SIGPIPE);
    if (sigprocmask(SIG_BLOCK, &blocked, NULL) != 0)
        return -1;
    return signalfd(-1, &read_by_loop, SFD_NONBLOCK | SFD_CLOEXEC);
}

int cf_keeper_watch(struct cf_keeper *k, enum cf_watch what, const struct cf_held *held, int fd, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.u64 = (uint64_t)what };

    /* 8 bits of what, 24 of the slot (a million are allowed), 32 of its generation. */
    if (held != NULL)
        event.data.u64 |= (uint64_t)held->slot << 8 | (uint64_t)held->generation << 32;
    return epoll_ctl(k->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void sweep_leftovers(struct cf_keeper *k)
{
    struct cf_error why = { 0 };

    if (k->cgroups.dir_fd >= 0 && cf_cgroups_sweep(&k->cgroups, SWEEP_WAIT_MS, &k->swept, &why) != 0)
        cf_log(CF_LOG_WARNING, "%s; they are killed again at the next start", why.text);
    k->swept += cf_former_sweep(k->config.state_dir, &k->cgroups, SWEEP_WAIT_MS);
    if (k->swept != 0)
        cf_log(CF_LOG_WARNING, "killed %u processes that an earlier keeper had left", k->swept);
}

static int settle_cgroups(struct cf_keeper *k, struct cf_error *error)
{
    struct cf_error why = { 0 };
    int outcome = cf_cgroups_open(&k->cgroups, k->config.cgroup_root, k->config.state_dir, &why);

    if (outcome != 0)
        cf_log(CF_LOG_DEBUG, "no cgroups: %s", why.text);
    sweep_leftovers(k);
    if (outcome == 0 || (k->config.hold & CF_HOLD_CGROUP) == 0)
        return 0;
    if (error != NULL)
        *error = why;
    return CF_E_UNAVAILABLE;
}

static int settle(struct cf_keeper *k, struct cf_error *error)
{
    int outcome;

    raise_limits(&k->config.user);
    cf_init_prepare();
    k->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    k->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    k->signal_fd = settle_signals();
    if (k->proc_fd < 0 || k->epoll_fd < 0 || k->signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 ||
        cf_keeper_watch(k, CF_WATCH_SIGNAL, NULL, k->signal_fd, EPOLLIN) != 0)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot set the keeper up: %s", strerror(errno));
    outcome = settle_cgroups(k, error);
    return outcome != 0 ? outcome : cf_hold_probe(k, error);
}

int cf_keeper_new(const struct cf_keeper_config *config, struct cf_keeper **ret_keeper, struct cf_error *error)
{
    struct cf_keeper *k = cf_pages_alloc(sizeof *k);    /* out of every init's sight and memory */
    int outcome;

    if (k == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    k->config = *config;
    k->ops = cf_hold_ops();
    k->spare = (struct cf_berth){ .control_fd = -1, .cgroup_fd = -1 };
    k->spare_due_ns = CF_NEVER_NS;
    k->link.fd = k->cgroups.dir_fd = k->proc_fd = k->epoll_fd = k->signal_fd = -1;
    k->phase_until_ns = k->revival.due_ns = k->upgrade.until_ns = CF_NEVER_NS;
    cf_table_init(&k->table, config->max_sessions);
    outcome = settle(k, error);
    if (outcome != 0)
        cf_keeper_free(&k);
    else
        *ret_keeper = k;
    return outcome;
}

void cf_keeper_free(struct cf_keeper **keeper)
{
    struct cf_keeper *k = *keeper;

    if (k == NULL)
        return;
    cf_spare_drop(k);
    cf_link_drop(k);
    cf_kept_free(k);
    cf_table_free(&k->table);
    cf_cgroups_close(&k->cgroups);
    cf_fd_close(&k->proc_fd);
    cf_fd_close(&k->epoll_fd);
    cf_fd_close(&k->signal_fd);
    cf_pages_free(k, sizeof *k);
    *keeper = NULL;
}

uint32_t cf_keeper_hold(const struct cf_keeper *k)
{
    return k->hold_default;
}

/* --- phases --- */

void cf_keeper_end_all(struct cf_keeper *k, enum cf_end_cause cause, int64_t grace_ms)
{
    cf_spare_drop(k);
    k->phase = CF_PHASE_ENDING;
    k->phase_until_ns = k->now_ns + grace_ms * CF_NS_PER_MS + SERVER_EXTRA_NS;
    for (uint32_t slot = 0; slot < k->table.chunk_count * CF_TABLE_CHUNK; slot++) {
        struct cf_held *held = cf_table_slot(&k->table, slot);

        if (held->state != CF_HELD_FREE)
            cf_ladder_end(k, held, cause, grace_ms);
        cf_link_release(k, held);
    }
    if (!k->link.handover.running)
        cf_kept_close_own(k);           /* nobody comes who would take them */
}

void cf_keeper_signal_server(const struct cf_keeper *k, int signo)
{
    CF_FD_AUTO pidfd = k->server_pid != 0 ? (int)syscall(SYS_pidfd_open, k->server_pid, 0) : -1;

    if (pidfd >= 0)
        (void)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

/* SIGTERM or SIGINT.  The server drains and says BYE; a second one does not wait for it. */
static void told_to_go(struct cf_keeper *k)
{
    cf_keeper_signal_server(k, SIGTERM);
    if (k->phase == CF_PHASE_SERVING && k->link.fd >= 0) {
        cf_log(CF_LOG_INFO, "told to go; ending %u sessions", cf_table_count_alive(&k->table));
        k->phase = CF_PHASE_DRAINING;
        k->phase_until_ns = k->now_ns + k->config.grace_ms * CF_NS_PER_MS + SERVER_EXTRA_NS;
        if (k->server_pid == 0)         /* nobody to tell */
            cf_keeper_end_all(k, CF_CAUSE_SHUTDOWN, k->config.grace_ms);
    } else if (k->phase == CF_PHASE_SERVING) {
        cf_log(CF_LOG_INFO, "told to go while no server is there; ending %u sessions", cf_table_count_alive(&k->table));
        cf_keeper_end_all(k, CF_CAUSE_SHUTDOWN, k->config.grace_ms);
    } else {
        cf_log(CF_LOG_INFO, "told to go again; killing %u sessions", cf_table_count_alive(&k->table));
        cf_keeper_end_all(k, CF_CAUSE_SHUTDOWN, 0);
    }
}

static void server_lost(struct cf_keeper *k, const char *how)
{
    bool unruly = k->link.unruly;

    if (k->link.fd >= 0) {
        cf_link_drain(k);
        cf_link_drop(k);
    }
    if (k->link.said_bye || k->phase == CF_PHASE_ENDING || cf_revive_after(k, how, unruly))
        return;
    cf_log(CF_LOG_ERROR, "the server %s; ending %u sessions", how, cf_table_count_alive(&k->table));
    k->exit_status = CF_KEEPER_EXIT_LOST;
    cf_keeper_end_all(k, CF_CAUSE_SERVER_LOST, k->config.grace_ms);
}

static void phase_timer(struct cf_keeper *k)
{
    k->phase_until_ns = CF_NEVER_NS;
    if (k->phase == CF_PHASE_DRAINING) {
        cf_log(CF_LOG_ERROR, "the server does not go; ending %u sessions without it", cf_table_count_alive(&k->table));
        k->exit_status = CF_KEEPER_EXIT_LOST;
        cf_keeper_end_all(k, CF_CAUSE_SHUTDOWN, k->config.grace_ms);
    } else if (k->server_pid != 0) {
        cf_log(CF_LOG_WARNING, "the server does not go; killing it");
        k->exit_status = CF_KEEPER_EXIT_LOST;
        cf_keeper_signal_server(k, SIGKILL);
    }
}

static void server_reaped(struct cf_keeper *k, int status)
{
    char how[64];

    if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "was killed by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof how, "exited with status %d", WEXITSTATUS(status));
    k->server_pid = 0;
    server_lost(k, how);
    if (k->phase == CF_PHASE_ENDING && !k->revival.gave_up && WIFEXITED(status) && WEXITSTATUS(status) != 0)
        k->exit_status = WEXITSTATUS(status);               /* it has said why it could not go on */
}

/* --- the loop --- */

/* The only place that reaps.  A dead child keeps its pid until it is reaped, so whose it is is found before. */
static void reap(struct cf_keeper *k)
{
    siginfo_t info;

    for (;;) {
        struct cf_held *held;
        int status;

        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
            return;
        if (info.si_pid == k->spare.init_pid) {
            (void)waitpid(info.si_pid, &status, WNOHANG);
            cf_spare_lost(k);
            continue;
        }
        held = cf_table_by_pid(&k->table, info.si_pid);
        if (held == NULL && k->cgroups.dir_fd >= 0 && info.si_pid != k->server_pid) {
            held = cf_table_by_cgroup(&k->table, cf_cgroup_of(&k->cgroups, k->proc_fd, info.si_pid));
            (void)waitpid(info.si_pid, &status, WNOHANG);
            if (held != NULL)
                cf_ladder_event(k, held, CF_EVENT_CHANGED, 0);
            continue;
        }
        (void)waitpid(info.si_pid, &status, WNOHANG);
        if (held != NULL)
            cf_hold_reaped(k, held, info.si_pid, status);
        if (info.si_pid == k->server_pid)
            server_reaped(k, status);
    }
}

static void read_signals(struct cf_keeper *k)
{
    struct signalfd_siginfo info;

    while (read(k->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
            told_to_go(k);
        else if (info.ssi_signo == SIGHUP && info.ssi_code <= 0)    /* the kernel's is a terminal that was closed, and asks for nothing */
            cf_upgrade_begin(k, "SIGHUP");
    reap(k);
}

static void handle(struct cf_keeper *k, const struct epoll_event *event)
{
    enum cf_watch what = (enum cf_watch)(event->data.u64 & 0xff);
    uint32_t slot = (uint32_t)(event->data.u64 >> 8) & 0xffffff, generation = (uint32_t)(event->data.u64 >> 32);
    struct cf_held *held;

    if (what == CF_WATCH_SIGNAL)
        read_signals(k);
    if (what == CF_WATCH_LINK && k->link.fd >= 0)
        cf_link_read(k);
    if (what != CF_WATCH_CONTROL && what != CF_WATCH_EVENTS)
        return;
    held = cf_table_slot(&k->table, slot);
    if (held->generation != generation)
        return;
    if (what == CF_WATCH_CONTROL)
        cf_hold_listen(k, held);
    else
        cf_ladder_event(k, held, CF_EVENT_CHANGED, 0);
}

static void run_timers(struct cf_keeper *k)
{
    uint32_t slot;

    if (k->phase_until_ns <= k->now_ns)
        phase_timer(k);
    cf_upgrade_turn(k);
    if (cf_revive_turn(k) != 0)
        server_lost(k, "cannot be started");
    if (k->table.soonest_ns > k->now_ns)
        return;
    for (slot = cf_table_due(&k->table, 0, k->now_ns); slot < k->table.capacity;
         slot = cf_table_due(&k->table, slot + 1, k->now_ns))
        cf_ladder_event(k, cf_table_slot(&k->table, slot), CF_EVENT_TIMER, 0);
}

static int pause_ms(const struct cf_keeper *k)
{
    int64_t until_ns = k->table.soonest_ns < k->phase_until_ns ? k->table.soonest_ns : k->phase_until_ns;
    int64_t left_ns;

    if (k->spare_due_ns < until_ns)
        until_ns = k->spare_due_ns;
    if (k->revival.due_ns < until_ns)
        until_ns = k->revival.due_ns;
    if (k->upgrade.until_ns < until_ns)
        until_ns = k->upgrade.until_ns;
    if (until_ns == CF_NEVER_NS)
        return -1;
    left_ns = until_ns - cf_clock_now().mono_ns;
    if (left_ns <= 0)
        return 0;
    return left_ns / CF_NS_PER_MS >= 3600000 ? 3600000 : (int)((left_ns + CF_NS_PER_MS - 1) / CF_NS_PER_MS);
}

/* What is owed goes out; what the server does not read yet waits for room in its socket. */
static void settle_link(struct cf_keeper *k)
{
    struct epoll_event event = { .data.u64 = CF_WATCH_LINK };

    cf_link_flush(k);
    if (k->link.lost)
        server_lost(k, "broke its connection");
    event.events = (k->link.answer_kept || k->link.handover.running ? 0 : EPOLLIN) | (k->link.blocked ? EPOLLOUT : 0);
    if (k->link.fd < 0 || k->link.watched == event.events)
        return;
    k->link.watched = event.events;
    (void)epoll_ctl(k->epoll_fd, EPOLL_CTL_MOD, k->link.fd, &event);
}

static bool done(const struct cf_keeper *k)
{
    return k->phase == CF_PHASE_ENDING && k->table.live == 0;
}

static void turn(struct cf_keeper *k)
{
    struct epoll_event events[EVENTS_A_TURN];
    int count;

    settle_link(k);
    if (done(k) && k->link.fd >= 0)
        cf_link_drop(k);                /* end of file tells the server that all is clean */
    if (done(k) && k->server_pid == 0)
        return;
    count = epoll_wait(k->epoll_fd, events, EVENTS_A_TURN, pause_ms(k));
    k->now_ns = cf_clock_now().mono_ns;
    /* Requests before deadlines: a renewal that waits to be read counts. */
    for (int i = 0; i < count; i++)
        handle(k, &events[i]);
    run_timers(k);
    cf_hold_sweep(k);
    cf_spare_turn(k);
}

void cf_keeper_connect(struct cf_keeper *k, int server_fd, pid_t server_pid)
{
    k->link = (struct cf_link){ .fd = server_fd, .state = CF_WIRE_C_NEW, .watched = EPOLLIN, .serial = ++k->links };
    k->server_pid = server_pid;
    if (cf_fd_nonblock(server_fd) != 0 || cf_keeper_watch(k, CF_WATCH_LINK, NULL, server_fd, EPOLLIN) != 0) {
        cf_log(CF_LOG_ERROR, "cannot watch the server's connection: %s", strerror(errno));
        k->link.lost = true;
    }
}

int cf_keeper_serve(struct cf_keeper *k, int server_fd, pid_t server_pid)
{
    k->now_ns = cf_clock_now().mono_ns;
    cf_keeper_connect(k, server_fd, server_pid);
    while (!done(k) || k->server_pid != 0)
        turn(k);
    return k->exit_status;
}

int cf_keeper_run(const struct cf_keeper_config *config, int server_fd)
{
    struct cf_error error = { 0 };
    struct cf_keeper *k;
    int outcome = cf_keeper_new(config, &k, &error);

    if (outcome != 0) {
        cf_log(CF_LOG_ERROR, "%s", error.text);
        close(server_fd);
        return cf_error_exit(outcome);
    }
    outcome = cf_keeper_serve(k, server_fd, 0);
    cf_keeper_free(&k);
    return outcome;
}
