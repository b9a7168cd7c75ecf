#include "keeper/init.h"
#include "base/fd.h"
#include "base/packet.h"
#include "keeper/procs.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#if __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#endif
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CONTROL_FD = 3, PROC_FD = 4, SIGNAL_FD = 5, FIRST_FREE_FD = 6 };

#define TELL_TRIES 500                  /* 5 s of them, a sixth of what the keeper gives a start */
#define TELL_PAUSE_MS 10
#define KILL_PAUSE_MS 20                /* without a death, before a subreaper looks for its processes again */

struct init {
    const struct cf_init_birth *birth;
    pid_t leader;                       /* 0: not started, or gone */
    pid_t leader_was;                   /* for its group, which may outlive it */
    bool started;
    bool killing;
};

/* --- words to the keeper --- */

/* `as` is the process in whose name it goes out: the kernel hands its pid on as the receiver sees it. */
static void tell(enum cf_init_word_type type, int value, pid_t as)
{
    struct cf_init_word word = { .type = type, .value = value };
    struct ucred who = { .pid = as, .uid = getuid(), .gid = getgid() };
    union { char space[CMSG_SPACE(sizeof who)]; struct cmsghdr align; } control = { { 0 } };
    struct iovec iov = { .iov_base = &word, .iov_len = sizeof word };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
                              .msg_controllen = sizeof control.space };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_CREDENTIALS;
    header->cmsg_len = CMSG_LEN(sizeof who);
    memcpy(CMSG_DATA(header), &who, sizeof who);
    if (as != 0 && sendmsg(CONTROL_FD, &message, MSG_NOSIGNAL) >= 0)
        return;
    /* The keeper waits for each word, so a machine that is short of memory is given time. */
    for (int tries = 0; cf_packet_send(CONTROL_FD, &word, sizeof word, NULL, 0) != 0; tries++) {
        if ((errno != ENOBUFS && errno != ENOMEM) || tries == TELL_TRIES)
            return;
        (void)poll(NULL, 0, TELL_PAUSE_MS);
    }
}

/* Only before there is a leader, so that nothing can be left. */
static _Noreturn void fail(int error)
{
    tell(CF_INIT_FAILED, error != 0 ? error : EIO, 0);
    _exit(0);
}

int cf_init_read(int control_fd, struct cf_init_word *ret_word, pid_t *ret_pid)
{
    struct cf_init_word word;
    struct ucred who = { 0 };
    union { char space[CMSG_SPACE(sizeof who)]; struct cmsghdr align; } control;
    struct iovec iov = { .iov_base = &word, .iov_len = sizeof word };
    struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.space,
                              .msg_controllen = sizeof control.space };
    ssize_t length = recvmsg(control_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (length < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (length != (ssize_t)sizeof word)
        return -1;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header))
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS)
            memcpy(&who, CMSG_DATA(header), sizeof who);
    *ret_word = word;
    *ret_pid = who.pid;
    return 1;
}

/* --- signals --- */

struct sweep {
    struct cf_scope scope;
    pid_t self;
    int signo;                          /* 0: only count */
    unsigned reached;
};

static void signal_one(pid_t pid, void *context)
{
    struct sweep *sweep = context;
    struct cf_proc proc;

    if (pid == sweep->self || cf_proc_read(PROC_FD, pid, &proc) != 0 || proc.state == 'Z' || proc.state == 'X')
        return;
    if (!cf_scope_has(&sweep->scope, PROC_FD, &proc))
        return;
    if (sweep->signo == 0 || cf_proc_signal(PROC_FD, &proc, sweep->signo) == 0)
        sweep->reached++;
}

/* All processes on the machine, of which the descendants of this one are owned.  false: out of memory. */
static bool find_descendants(struct cf_procs *ret_procs)
{
    pid_t self = getpid();

    if (cf_procs_snapshot(PROC_FD, ret_procs) != 0)
        return false;
    for (size_t i = 0; i < ret_procs->count; i++)
        ret_procs->list[i].owner = ret_procs->list[i].ppid == self;
    cf_procs_spread(ret_procs);
    return true;
}

/* In a namespace everything that /proc shows belongs to the session; a subreaper has to look who descends from it. */
static unsigned sweep_all(const struct init *init, struct cf_scope scope, int signo)
{
    struct sweep sweep = { .scope = scope, .self = getpid(), .signo = signo };
    struct cf_pids pids = { .count = 0 };
    struct cf_procs procs;

    if ((init->birth->hold & CF_HOLD_PIDNS) != 0) {
        (void)cf_procs_each(PROC_FD, cf_pids_add, &pids);
    } else if (!find_descendants(&procs)) {
        return 0;
    } else {
        for (size_t i = 0; i < procs.count; i++) {
            if (procs.list[i].owner != 0 && !pids.full)
                cf_pids_add(procs.list[i].pid, &pids);
            if (procs.list[i].owner != 0 && pids.full)
                signal_one(procs.list[i].pid, &sweep);
        }
        cf_procs_free(&procs);
    }
    if (pids.full && (init->birth->hold & CF_HOLD_PIDNS) != 0) {
        (void)cf_procs_each(PROC_FD, signal_one, &sweep);
        return sweep.reached;
    }
    cf_pids_order(&pids, init->leader_was);
    for (uint32_t i = 0; i < pids.count; i++)
        signal_one(pids.list[i], &sweep);
    return sweep.reached;
}

static void signal_scope(const struct init *init, const struct cf_init_order *order, int signo)
{
    struct cf_scope scope = { .scope = order->scope, .leader = init->leader_was, .since_ticks = order->since_ticks };

    /* The leader is this process's unreaped child, so that neither its pid nor its group can mean another. */
    if (order->scope == CF_SCOPE_ALL && (init->birth->hold & CF_HOLD_PIDNS) != 0)
        (void)kill(-1, signo);
    else if (order->scope == CF_SCOPE_LEADER || (order->scope == CF_SCOPE_GROUP && init->leader != 0))
        (void)(init->leader != 0 ? kill(order->scope == CF_SCOPE_GROUP ? -init->leader : init->leader, signo) : 0);
    else
        (void)sweep_all(init, scope, signo);
}

/* --- the end --- */

/* Exits when nothing is left. */
static void reap(struct init *init)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0)
        if (pid == init->leader) {
            init->leader = 0;
            tell(CF_INIT_LEFT, status, 0);
        }
    if (pid < 0 && errno == ECHILD && (init->started || init->killing))
        _exit(0);
}

/* One sweep over the descendants: stops all, so that none forks while the others are met, then kills them.
 * Returns how many were alive. */
static unsigned kill_sweep(void)
{
    struct cf_procs procs;
    unsigned count = 0;

    if (!find_descendants(&procs))
        return 0;
    for (size_t i = 0; i < procs.count; i++) {
        struct cf_proc *p = &procs.list[i];

        if (p->owner != 0 && (p->state == 'Z' || p->state == 'X' || cf_proc_signal(PROC_FD, p, SIGSTOP) != 0))
            p->owner = 0;
        count += p->owner != 0;
    }
    for (size_t i = 0; i < procs.count; i++)
        if (procs.list[i].owner != 0)
            (void)cf_proc_signal(PROC_FD, &procs.list[i], SIGKILL);
    cf_procs_free(&procs);
    return count;
}

/* Ends in reap(), when no child is left: what a dead process leaves becomes our child, so that a new sweep, which
 * costs a look at every process of the machine, is only due when the dying has come to a halt.  A process that
 * forks faster than /proc can be read may outrun the sweeps. */
static _Noreturn void kill_descendants(struct init *init)
{
    for (;;) {
        struct pollfd died = { .fd = SIGNAL_FD, .events = POLLIN };

        reap(init);
        while (poll(&died, 1, KILL_PAUSE_MS) > 0) {
            struct signalfd_siginfo info;

            (void)!read(SIGNAL_FD, &info, sizeof info);
            reap(init);
        }
        (void)kill_sweep();
    }
}

static void kill_all(struct init *init)
{
    struct cf_scope all = { .scope = CF_SCOPE_ALL };

    init->killing = true;
    if ((init->birth->hold & CF_HOLD_PIDNS) == 0) {
        tell(CF_INIT_KILLED, (int)kill_sweep(), 0);
        kill_descendants(init);
    }
    tell(CF_INIT_KILLED, (int)sweep_all(init, all, 0), 0);
    (void)kill(-1, SIGKILL);            /* all but ourselves, at one stroke: a fork that runs now is caught, too */
    reap(init);
}

/* The keeper is gone.  Our exit takes a namespace with it; without one it is our work. */
static void keeper_gone(struct init *init)
{
    if ((init->birth->hold & CF_HOLD_PIDNS) == 0) {
        init->killing = true;
        (void)kill_sweep();
        kill_descendants(init);
    }
    _exit(2);
}

/* --- the start --- */

static void start(struct init *init, const struct cf_init_order *order, const int *fds, size_t nfds)
{
    struct cf_spawn_args args;
    int error;

    if (init->started || nfds != order->plan.fd_count + 2u)
        fail(EPROTO);
    error = cf_spawn_args_load(fds[1], &order->plan, &args);
    if (error != 0)
        fail(error);
    init->leader = cf_spawn_leader(&order->plan, &args, fds, &init->birth->user, -1);
    if (init->leader < 0)
        fail(errno);
    init->leader_was = init->leader;
    init->started = true;
    tell(CF_INIT_STARTED, init->leader, (init->birth->hold & CF_HOLD_PIDNS) != 0 ? init->leader : 0);
    cf_spawn_args_free(&args);
}

static void obey(struct init *init)
{
    struct cf_init_order order;
    int fds[CF_SPAWN_TARGETS_MAX + 2];
    size_t nfds;
    ssize_t length = cf_packet_recv(CONTROL_FD, &order, sizeof order, fds, CF_SPAWN_TARGETS_MAX + 2, &nfds);

    if (length < 0 && errno == EMFILE)
        fail(EMFILE);
    if (length != (ssize_t)sizeof order)
        keeper_gone(init);
    if (order.type == CF_INIT_START)
        start(init, &order, fds, nfds);
    for (size_t i = 0; i < nfds; i++)
        close(fds[i]);
    if (order.type == CF_INIT_SIGNAL) {
        signal_scope(init, &order, order.signo);
        if (order.wake)
            signal_scope(init, &order, SIGCONT);
        if (order.answer)
            tell(CF_INIT_SIGNALED, 0, 0);
    }
    if (order.type == CF_INIT_KILL)
        kill_all(init);
}

static void put(const char *path, const char *text)
{
    CF_FD_AUTO fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        fail(errno);
}

static void put_map(const char *path, unsigned id)
{
    char text[64];

    snprintf(text, sizeof text, "%u %u 1", id, id);
    put(path, text);
}

static void settle_namespaces(const struct cf_init_birth *birth)
{
    if (birth->user_namespace) {
        put("/proc/self/setgroups", "deny");
        put_map("/proc/self/uid_map", birth->uid);
        put_map("/proc/self/gid_map", birth->gid);
    }
    /* Slave: what is mounted outside later still appears, what the session mounts stays inside. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0)
        fail(errno);
    if (mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) != 0)
        fail(errno);
}

/* Leaves control, /proc and signals at fixed numbers, /dev/null at 0 to 2, and nothing else of the keeper. */
static void settle_fds(const struct cf_init_birth *birth)
{
    sigset_t child;
    int fd;

    if (birth->control_fd != CONTROL_FD && dup3(birth->control_fd, CONTROL_FD, O_CLOEXEC) < 0)
        _exit(1);
    (void)close_range(CONTROL_FD + 1, ~0U, 0);
    if ((birth->hold & CF_HOLD_PIDNS) != 0)
        settle_namespaces(birth);
    fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fd != PROC_FD && dup3(fd, PROC_FD, O_CLOEXEC) < 0))
        fail(errno);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0 || (fd != SIGNAL_FD && dup3(fd, SIGNAL_FD, O_CLOEXEC) < 0))
        fail(errno);
    (void)close_range(FIRST_FREE_FD, ~0U, 0);
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (fd < 0 || dup2(fd, 0) < 0 || dup2(fd, 1) < 0 || dup2(fd, 2) < 0)
        fail(errno);
    close(fd);
}

/* The kernel notes at each switch of processors on which one a process runs, for restartable sequences that nobody
 * uses here; it would cost each init a page of its own. */
void cf_init_prepare(void)
{
#if defined(RSEQ_SIG) && defined(SYS_rseq)
    if (__rseq_size > 0)
        (void)syscall(SYS_rseq, (char *)__builtin_thread_pointer() + __rseq_offset, 32, RSEQ_FLAG_UNREGISTER, RSEQ_SIG);
#endif
}

static _Noreturn void run(const struct cf_init_birth *birth)
{
    struct init init = { .birth = birth };
    struct pollfd wait[2] = { { .fd = CONTROL_FD, .events = POLLIN }, { .fd = SIGNAL_FD, .events = POLLIN } };
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_NAME, "curfew-init");
    /* A subreaper must outlive the keeper for as long as it takes to end what it holds; a namespace need not. */
    prctl(PR_SET_PDEATHSIG, (birth->hold & CF_HOLD_PIDNS) != 0 ? SIGKILL : 0);
    if ((birth->hold & CF_HOLD_PIDNS) == 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        _exit(1);
    settle_fds(birth);
    for (;;) {
        if (poll(wait, 2, -1) < 0)
            continue;
        if (wait[1].revents != 0) {
            struct signalfd_siginfo info;

            (void)!read(SIGNAL_FD, &info, sizeof info);
            reap(&init);
        }
        if (wait[0].revents != 0)
            obey(&init);
    }
}

pid_t cf_init_spawn(const struct cf_init_birth *birth, int cgroup_fd, int *ret_control_fd)
{
    struct cf_init_birth born = *birth;
    struct clone_args how = { .flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD };
    int ends[2], yes = 1, saved;
    pid_t pid;

    if (cgroup_fd >= 0) {
        how.flags |= CLONE_INTO_CGROUP;
        how.cgroup = (uint64_t)cgroup_fd;
    }
    if ((born.hold & CF_HOLD_PIDNS) != 0)
        how.flags |= CLONE_NEWPID | CLONE_NEWNS;
    if (born.user_namespace)
        how.flags |= CLONE_NEWUSER;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    born.control_fd = ends[1];
    pid = -1;
    if (cf_fd_nonblock(ends[0]) == 0 && setsockopt(ends[0], SOL_SOCKET, SO_PASSCRED, &yes, sizeof yes) == 0)
        pid = (pid_t)syscall(SYS_clone3, &how, sizeof how);
    if (pid == 0)
        run(&born);
    saved = errno;
    close(ends[1]);
    if (pid < 0)
        close(ends[0]);
    else
        *ret_control_fd = ends[0];
    errno = saved;
    return pid;
}
