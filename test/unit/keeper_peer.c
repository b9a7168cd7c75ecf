#include "keeper_peer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

void __lsan_do_leak_check(void) __attribute__((weak));

int64_t peer_now_ns(void)
{
    return cf_clock_now().mono_ns;
}

/* Of the faults below. */
static bool in_keeper;

static void settle(const struct peer_birth *birth)
{
    struct rlimit files;
    char path[600];

    if (birth->cgroup != NULL) {
        CF_FD_AUTO fd = -1;

        snprintf(path, sizeof path, "%s/cgroup.procs", birth->cgroup);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0 || write(fd, "0", 1) != 1)
            abort();
    }
    if (birth->open_files != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = birth->open_files;
        if (setrlimit(RLIMIT_NOFILE, &files) != 0)
            abort();
    }
}

/* What a keeper of the tests starts as the next server: a connection that the test gets, and perhaps a process. */
struct starter {
    const struct peer_birth *birth;
    int next_fd;
    unsigned count;
};

static pid_t start_next(void *context, enum cf_start which, int *ret_fd)
{
    (void)which;
    struct starter *s = context;
    int ends[2];
    pid_t pid = 0;

    s->count++;
    if (s->count >= s->birth->vain_from && s->count - s->birth->vain_from < s->birth->vain) {
        errno = EAGAIN;
        return -1;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    if (s->birth->process)
        pid = fork();
    if (pid == 0 && s->birth->process) {
        (void)close_range(STDERR_FILENO + 1, ~0U, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            (void)pause();
    }
    if (cf_packet_send(s->next_fd, &pid, sizeof pid, &ends[1], 1) != 0)
        abort();
    close(ends[1]);
    *ret_fd = ends[0];
    return pid;
}

static _Noreturn void keep(const struct peer *p, const struct peer_birth *birth, int fd, int next_fd)
{
    struct starter starter = { .birth = birth, .next_fd = next_fd };
    struct cf_keeper_config config = { .state_dir = p->state_dir, .cgroup_root = "", .hold = birth->hold,
                                       .max_sessions = 20000, .grace_ms = 1000, .start_server = start_next,
                                       .start_context = &starter, .server_restarts = birth->restarts,
                                       .restart_pause_ms = birth->pause_ms, .settled_ms = birth->settled_ms };
    int status;

    if (birth->uid != 0)
        config.user = (struct cf_spawn_user){ .set = true, .uid = birth->uid, .gid = birth->uid };

    settle(birth);
    in_keeper = true;

    cf_log_init("keeper", getenv("CURFEW_TEST_LOG") != NULL ? CF_LOG_DEBUG : CF_LOG_ERROR);
    if (getenv("CURFEW_TEST_LOG") == NULL)
        cf_log_level_set(CF_LOG_ERROR);
    status = cf_keeper_run(&config, fd);
    if (__lsan_do_leak_check != NULL)
        __lsan_do_leak_check();
    _exit(status);
}

void peer_open_silent(struct peer *p, uint32_t hold, const char *state_dir)
{
    peer_open_as(p, &(struct peer_birth){ .hold = hold, .state_dir = state_dir });
}

void peer_open_as(struct peer *p, const struct peer_birth *birth)
{
    static unsigned count;
    int ends[2], next[2];

    count++;
    memset(p, 0, sizeof *p);
    snprintf(p->state_dir, sizeof p->state_dir, "/nowhere/curfew-test-%d-%u", (int)getpid(), count);
    if (birth->state_dir != NULL)
        snprintf(p->state_dir, sizeof p->state_dir, "%s", birth->state_dir);
    snprintf(p->mark, sizeof p->mark, "CURFEW_TEST_MARK=%d-%u-", (int)getpid(), count);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, next) != 0)
        abort();
    p->fd = ends[0];
    p->next_fd = next[0];
    p->keeper_pid = fork();
    if (p->keeper_pid == 0) {
        close(ends[0]);
        close(next[0]);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        keep(p, birth, ends[1], next[1]);
    }
    close(ends[1]);
    close(next[1]);
}

bool peer_await_next(struct peer *p, int *ret_fd, pid_t *ret_pid)
{
    struct pollfd readable = { .fd = p->next_fd, .events = POLLIN };
    size_t nfds;

    return poll(&readable, 1, PEER_WAIT_MS) == 1 &&
        cf_packet_recv(p->next_fd, ret_pid, sizeof *ret_pid, ret_fd, 1, &nfds) == (ssize_t)sizeof *ret_pid && nfds == 1;
}

bool peer_next(struct peer *p)
{
    cf_fd_close(&p->fd);
    return peer_await_next(p, &p->fd, &p->server_pid);
}

void peer_open(struct peer *p, uint32_t hold)
{
    peer_open_silent(p, hold, NULL);
    peer_hello(p);
}

void peer_hello(struct peer *p)
{
    struct cf_wire_hello hello = { .type = CF_WIRE_HELLO, .version = CF_WIRE_VERSION };
    union report report;

    peer_send(p, &hello, sizeof hello, NULL, 0);
    if (!peer_await(p, CF_WIRE_WELCOME, 0, &report)) {
        fprintf(stderr, "the keeper does not come up\n");
        abort();
    }
    p->welcome = report.welcome;
}

int peer_close(struct peer *p)
{
    int status = -1;

    cf_fd_close(&p->fd);
    cf_fd_close(&p->next_fd);
    if (p->keeper_pid > 0)
        waitpid(p->keeper_pid, &status, 0);
    p->keeper_pid = 0;
    return status;
}

bool peer_offers(uint32_t hold)
{
    struct cf_wire_hello hello = { .type = CF_WIRE_HELLO, .version = CF_WIRE_VERSION };
    struct peer p;
    union report report;
    bool offered;

    peer_open_silent(&p, hold, NULL);
    (void)cf_packet_send(p.fd, &hello, sizeof hello, NULL, 0);
    offered = peer_await(&p, CF_WIRE_WELCOME, 0, &report);
    peer_close(&p);
    return offered;
}

void peer_send(struct peer *p, const void *data, size_t len, const int *fds, size_t nfds)
{
    if (cf_packet_send(p->fd, data, len, fds, nfds) != 0)
        fprintf(stderr, "cannot send to the keeper: %s\n", strerror(errno));
}

int peer_block(const struct peer *p, const char *script, struct cf_wire_spawn *spawn)
{
    char block[16384];
    size_t at = 0;
    const char *strings[6];
    int count = 0, fd = memfd_create("args", MFD_CLOEXEC);

    if (script[0] == '/') {
        strings[count++] = script;
    } else {
        strings[count++] = "/bin/bash";
        strings[count++] = "-c";
        strings[count++] = script;
    }
    spawn->argc = (uint32_t)count;
    strings[count++] = p->mark;
    strings[count++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    spawn->envc = 2;
    for (int i = 0; i < count; i++) {
        memcpy(block + at, strings[i], strlen(strings[i]) + 1);
        at += strlen(strings[i]) + 1;
    }
    spawn->args_bytes = (uint32_t)at;
    if (fd < 0 || cf_fd_write_all(fd, block, at) != 0)
        abort();
    return fd;
}

void peer_spawn(struct peer *p, uint64_t key, const char *script, int64_t lease_ms, int *ret_stdout_fd)
{
    struct cf_wire_spawn spawn = { .type = CF_WIRE_SPAWN, .key = key, .lease_ms = lease_ms };
    CF_FD_AUTO folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CF_FD_AUTO block = peer_block(p, script, &spawn);
    int pipe_fds[2], fds[3] = { folder, block, -1 };

    if (ret_stdout_fd == NULL) {
        peer_send(p, &spawn, sizeof spawn, fds, 2);
        return;
    }
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        abort();
    spawn.fd_count = 1;
    spawn.fd_targets[0] = 1;
    fds[2] = pipe_fds[1];
    peer_send(p, &spawn, sizeof spawn, fds, 3);
    close(pipe_fds[1]);
    *ret_stdout_fd = pipe_fds[0];
}

static uint64_t key_of(const union report *report)
{
    switch (report->type) {
    case CF_WIRE_SPAWNED: return report->spawned.key;
    case CF_WIRE_LEFT: return report->left.key;
    case CF_WIRE_ENDED: return report->ended.key;
    case CF_WIRE_SIGNALED: return report->signaled.key;
    case CF_WIRE_HELD: return report->held.key;
    case CF_WIRE_KEPT: return report->kept.key;
    default: return 0;
    }
}

bool peer_take(struct peer *p, union report *ret, int *ret_fds, size_t *ret_nfds)
{
    struct pollfd readable = { .fd = p->fd, .events = POLLIN };

    *ret = (union report){ 0 };
    *ret_nfds = 0;
    if (poll(&readable, 1, PEER_WAIT_MS) < 1 ||
        cf_packet_recv(p->fd, ret, sizeof *ret, ret_fds, CF_WIRE_FDS_MAX, ret_nfds) <= 0)
        return false;
    if (ret->type == CF_WIRE_ENDED && !p->remembers)
        peer_forget(p, ret->ended.key);
    return true;
}

bool peer_await(struct peer *p, uint32_t type, uint64_t key, union report *ret)
{
    int64_t until_ns = peer_now_ns() + PEER_WAIT_MS * CF_NS_PER_MS;

    while (peer_now_ns() < until_ns) {
        union report report;
        int fds[CF_WIRE_FDS_MAX];
        size_t nfds;

        if (!peer_take(p, &report, fds, &nfds))
            return false;
        for (size_t i = 0; i < nfds; i++)
            close(fds[i]);
        if (report.type == type && (key == 0 || key_of(&report) == key)) {
            *ret = report;
            return true;
        }
    }
    return false;
}

bool peer_broken(struct peer *p)
{
    struct pollfd readable = { .fd = p->fd, .events = POLLIN };
    char byte[256];
    size_t nfds;

    while (poll(&readable, 1, PEER_WAIT_MS) == 1)
        if (cf_packet_recv(p->fd, byte, sizeof byte, NULL, 0, &nfds) <= 0)
            return true;
    return false;
}

void peer_signal(struct peer *p, uint64_t key, int signo, uint32_t scope, uint64_t since_ticks)
{
    struct cf_wire_signal request = { .type = CF_WIRE_SIGNAL, .signo = signo, .key = key, .scope = scope,
                                      .since_ticks = since_ticks };

    peer_send(p, &request, sizeof request, NULL, 0);
}

void peer_forget(struct peer *p, uint64_t key)
{
    struct cf_wire_forget forget = { .type = CF_WIRE_FORGET, .key = key };

    (void)cf_packet_send(p->fd, &forget, sizeof forget, NULL, 0);   /* it may have gone after its last report */
}

void peer_end(struct peer *p, uint64_t key, int64_t grace_ms)
{
    struct cf_wire_end end = { .type = CF_WIRE_END, .key = key, .grace_ms = grace_ms };

    peer_send(p, &end, sizeof end, NULL, 0);
}

static bool carries(const char *pid, const char *mark)
{
    char path[300], *data;
    size_t length;
    bool found;

    snprintf(path, sizeof path, "/proc/%s/environ", pid);
    if (cf_fd_read_file(AT_FDCWD, path, 1u << 20, &data, &length) != 0)
        return false;
    found = memmem(data, length, mark, strlen(mark)) != NULL;
    free(data);
    return found;
}

unsigned peer_alive(const struct peer *p)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    unsigned count = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && carries(entry->d_name, p->mark))
            count++;
    if (dir != NULL)
        closedir(dir);
    return count;
}

static bool await_count(const struct peer *p, unsigned least, unsigned most)
{
    int64_t until_ns = peer_now_ns() + PEER_WAIT_MS * CF_NS_PER_MS;

    while (peer_now_ns() < until_ns) {
        unsigned alive = peer_alive(p);

        if (alive >= least && alive <= most)
            return true;
        (void)poll(NULL, 0, 5);
    }
    return false;
}

bool peer_await_alive(const struct peer *p, unsigned at_least)
{
    return await_count(p, at_least, ~0u);
}

bool peer_await_exactly(const struct peer *p, unsigned count)
{
    return await_count(p, count, count);
}

bool peer_await_dead(const struct peer *p)
{
    return await_count(p, 0, 0);
}

bool peer_await_text(int fd, const char *text)
{
    char seen[4096];
    size_t length = 0;
    struct pollfd readable = { .fd = fd, .events = POLLIN };

    while (length < sizeof seen - 1 && poll(&readable, 1, PEER_WAIT_MS) == 1) {
        ssize_t got = read(fd, seen + length, sizeof seen - 1 - length);

        if (got <= 0)
            return false;
        length += (size_t)got;
        seen[length] = '\0';
        if (strstr(seen, text) != NULL)
            return true;
    }
    return false;
}

bool peer_await_letters(int fd, const char *letters)
{
    char wanted[64];
    struct pollfd readable = { .fd = fd, .events = POLLIN };
    size_t left = strlen(letters);
    char letter, *at;

    snprintf(wanted, sizeof wanted, "%s", letters);
    while (left > 0 && poll(&readable, 1, PEER_WAIT_MS) == 1 && read(fd, &letter, 1) == 1) {
        at = strchr(wanted, letter);
        if (at == NULL || letter == '\0')
            continue;
        *at = ' ';
        left--;
    }
    return left == 0;
}

/* --- looking at a keeper from outside --- */

const char *peer_cgroup_mount(void)
{
    static char point[256];
    char line[1024];
    FILE *file = fopen("/proc/self/mountinfo", "re");

    point[0] = '\0';
    while (file != NULL && point[0] == '\0' && fgets(line, sizeof line, file) != NULL)
        if (strstr(line, " - cgroup2 ") == NULL || sscanf(line, "%*d %*d %*s / %255s", point) != 1)
            point[0] = '\0';
    if (file != NULL)
        fclose(file);
    return point[0] != '\0' ? point : NULL;
}

bool peer_cgroup_of(pid_t pid, char *ret_path)
{
    const char *mount = peer_cgroup_mount();
    char path[64], line[256];
    FILE *file;
    bool found = false;

    snprintf(path, sizeof path, "/proc/%d/cgroup", (int)pid);
    file = fopen(path, "re");
    while (file != NULL && mount != NULL && !found && fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        found = strncmp(line, "0::", 3) == 0;
        if (found)
            snprintf(ret_path, 512, "%.200s%s", mount, strcmp(line + 3, "/") == 0 ? "" : line + 3);
    }
    if (file != NULL)
        fclose(file);
    return found;
}

static unsigned count_entries(const char *path, bool folders_only)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    unsigned count = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        count += entry->d_name[0] != '.' && (!folders_only || entry->d_type == DT_DIR);
    if (dir != NULL)
        closedir(dir);
    return count;
}

unsigned peer_count_folders(const char *path)
{
    return count_entries(path, true);
}

unsigned peer_count_fds(pid_t pid)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    return count_entries(path, false);
}

/* 0: gone, or a zombie. */
static pid_t parent_of(const char *pid)
{
    char path[300], *text, *at;
    size_t length;
    int parent = 0;

    snprintf(path, sizeof path, "/proc/%s/stat", pid);
    if (cf_fd_read_file(AT_FDCWD, path, 4096, &text, &length) != 0)
        return 0;
    at = strrchr(text, ')');
    if (at != NULL && at[2] != 'Z' && at[2] != 'X')
        parent = atoi(at + 3);
    free(text);
    return parent;
}

pid_t peer_parent(pid_t pid)
{
    char text[16];

    snprintf(text, sizeof text, "%d", (int)pid);
    return parent_of(text);
}

unsigned peer_children(pid_t pid, pid_t *ret_one)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    unsigned count = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL)
        if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && parent_of(entry->d_name) == pid) {
            *ret_one = atoi(entry->d_name);
            count++;
        }
    if (dir != NULL)
        closedir(dir);
    return count;
}

bool peer_gone(pid_t pid)
{
    int64_t until_ns = peer_now_ns() + PEER_WAIT_MS * CF_NS_PER_MS;

    while (peer_now_ns() < until_ns) {
        if (peer_parent(pid) == 0)
            return true;
        (void)poll(NULL, 0, 5);
    }
    return false;
}

/* --- faults: this program's own calls in place of the library's, which they pass on to --- */

#define UNSEEN __attribute__((no_sanitize("address", "undefined")))     /* some run on a borrowed stack */

static int *countdown;                  /* shared with every keeper and init */
static bool no_memory;
static long (*real_syscall)(long, ...);
static int (*real_clone)(int (*)(void *), void *, int, void *, ...);

__attribute__((constructor)) static void prepare_faults(void)
{
    void *found = dlsym(RTLD_NEXT, "syscall");

    memcpy(&real_syscall, &found, sizeof found);
    found = dlsym(RTLD_NEXT, "clone");
    memcpy(&real_clone, &found, sizeof found);
    found = (void *)real_syscall(SYS_mmap, NULL, 4096L, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1L, 0L);
    countdown = found;
}

int peer_fail_at(int nth)
{
    return __atomic_exchange_n(countdown, nth, __ATOMIC_SEQ_CST);
}

void peer_no_memory(bool set)
{
    no_memory = set;
}

UNSEEN static bool faulty(int error)
{
    if (!in_keeper || *countdown <= 0 || __atomic_sub_fetch(countdown, 1, __ATOMIC_SEQ_CST) != 0)
        return false;
    errno = error;
    return true;
}

UNSEEN long syscall(long number, ...)
{
    long a[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if ((number == SYS_clone3 && faulty(EAGAIN)) || (number == SYS_pidfd_open && faulty(EMFILE)))
        return -1;
    return real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

UNSEEN int clone(int (*function)(void *), void *stack, int flags, void *argument, ...)
{
    return faulty(EAGAIN) ? -1 : real_clone(function, stack, flags, argument);
}

UNSEEN void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset)
{
    if (no_memory)
        errno = ENOMEM;
    if (no_memory || faulty(ENOMEM))
        return MAP_FAILED;
    return (void *)real_syscall(SYS_mmap, at, length, (long)protection, (long)flags, (long)fd, offset);
}

UNSEEN int open(const char *path, int flags, ...)
{
    va_list list;
    long mode;

    va_start(list, flags);
    mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, int) : 0;
    va_end(list);
    return faulty(EMFILE) ? -1 : (int)real_syscall(SYS_openat, (long)AT_FDCWD, path, (long)flags, mode);
}

UNSEEN int openat(int folder, const char *path, int flags, ...)
{
    va_list list;
    long mode;

    va_start(list, flags);
    mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(list, int) : 0;
    va_end(list);
    return faulty(EMFILE) ? -1 : (int)real_syscall(SYS_openat, (long)folder, path, (long)flags, mode);
}

UNSEEN int fcntl(int fd, int command, ...)
{
    va_list list;
    long argument;

    va_start(list, command);
    argument = va_arg(list, long);
    va_end(list);
    if ((command == F_DUPFD_CLOEXEC || command == F_SETFL) && faulty(EMFILE))
        return -1;
    return (int)real_syscall(SYS_fcntl, (long)fd, (long)command, argument);
}

UNSEEN int mkdirat(int folder, const char *path, mode_t mode)
{
    return faulty(ENOMEM) ? -1 : (int)real_syscall(SYS_mkdirat, (long)folder, path, (long)mode);
}

UNSEEN int socketpair(int domain, int type, int protocol, int ret_ends[2])
{
    return faulty(EMFILE) ? -1 : (int)real_syscall(SYS_socketpair, (long)domain, (long)type, (long)protocol, ret_ends);
}

UNSEEN int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
    return faulty(ENOMEM) ? -1
                          : (int)real_syscall(SYS_setsockopt, (long)fd, (long)level, (long)name, value, (long)length);
}

UNSEEN ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    return faulty(ENOBUFS) ? -1 : real_syscall(SYS_sendmsg, (long)fd, message, (long)flags);
}

UNSEEN int epoll_ctl(int epoll_fd, int what, int fd, struct epoll_event *event)
{
    return faulty(ENOMEM) ? -1 : (int)real_syscall(SYS_epoll_ctl, (long)epoll_fd, (long)what, (long)fd, event);
}

UNSEEN int signalfd(int fd, const sigset_t *signals, int flags)
{
    return faulty(ENOMEM) ? -1 : (int)real_syscall(SYS_signalfd4, (long)fd, signals, 8L, (long)flags);
}

UNSEEN int mount(const char *source, const char *target, const char *type, unsigned long flags, const void *data)
{
    return faulty(ENOMEM) ? -1 : (int)real_syscall(SYS_mount, source, target, type, flags, data);
}
