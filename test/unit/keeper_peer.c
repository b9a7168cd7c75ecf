#include "keeper_peer.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/packet.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

void __lsan_do_leak_check(void) __attribute__((weak));

int64_t peer_now_ns(void)
{
    return cf_clock_now().mono_ns;
}

static _Noreturn void keep(const struct peer *p, uint32_t hold, int fd)
{
    struct cf_keeper_config config = { .state_dir = p->state_dir, .cgroup_root = "", .hold = hold,
                                       .max_sessions = 20000, .grace_ms = 1000 };
    int status;

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
    static unsigned count;
    int ends[2];

    count++;
    memset(p, 0, sizeof *p);
    snprintf(p->state_dir, sizeof p->state_dir, "/nowhere/curfew-test-%d-%u", (int)getpid(), count);
    if (state_dir != NULL)
        snprintf(p->state_dir, sizeof p->state_dir, "%s", state_dir);
    snprintf(p->mark, sizeof p->mark, "CURFEW_TEST_MARK=%d-%u-", (int)getpid(), count);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        abort();
    p->fd = ends[0];
    p->keeper_pid = fork();
    if (p->keeper_pid == 0) {
        close(ends[0]);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        keep(p, hold, ends[1]);
    }
    close(ends[1]);
}

void peer_open(struct peer *p, uint32_t hold)
{
    struct cf_wire_hello hello = { .type = CF_WIRE_HELLO, .version = CF_WIRE_VERSION };
    union report report;

    peer_open_silent(p, hold, NULL);
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

static int block_fd(const struct peer *p, const char *script, uint32_t *ret_argc, uint32_t *ret_envc,
                    uint32_t *ret_bytes)
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
    *ret_argc = (uint32_t)count;
    strings[count++] = p->mark;
    strings[count++] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    *ret_envc = 2;
    for (int i = 0; i < count; i++) {
        memcpy(block + at, strings[i], strlen(strings[i]) + 1);
        at += strlen(strings[i]) + 1;
    }
    *ret_bytes = (uint32_t)at;
    if (fd < 0 || cf_fd_write_all(fd, block, at) != 0)
        abort();
    return fd;
}

void peer_spawn(struct peer *p, uint64_t key, const char *script, int64_t lease_ms, int *ret_stdout_fd)
{
    struct cf_wire_spawn spawn = { .type = CF_WIRE_SPAWN, .key = key, .lease_ms = lease_ms };
    CF_FD_AUTO folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CF_FD_AUTO block = block_fd(p, script, &spawn.argc, &spawn.envc, &spawn.args_bytes);
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
    default: return 0;
    }
}

bool peer_await(struct peer *p, uint32_t type, uint64_t key, union report *ret)
{
    int64_t until_ns = peer_now_ns() + PEER_WAIT_MS * CF_NS_PER_MS;

    for (;;) {
        struct pollfd readable = { .fd = p->fd, .events = POLLIN };
        union report report = { 0 };
        size_t nfds;
        int64_t left_ms = (until_ns - peer_now_ns()) / CF_NS_PER_MS;

        if (left_ms <= 0 || poll(&readable, 1, (int)left_ms) < 1)
            return false;
        if (cf_packet_recv(p->fd, &report, sizeof report, NULL, 0, &nfds) <= 0)
            return false;
        if (report.type == type && (key == 0 || key_of(&report) == key)) {
            *ret = report;
            return true;
        }
    }
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
