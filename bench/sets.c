#include "bench/sets.h"
#include "bench/process.h"
#include "bench/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define EMPTY_WAIT_NS 60000000000

struct one {
    pid_t leader;
    int kill_fd, events_fd;
    int stdin_fd;               /* the leader reads from it, so that it stays */
    char path[PATH_MAX];
};

struct sets {
    size_t count;
    struct one list[];
};

static void be_held(bool stubborn, int ready_fd)
{
    if (stubborn) {
        setsid();
        signal(SIGHUP, SIG_IGN);
        signal(SIGINT, SIG_IGN);
        signal(SIGTERM, SIG_IGN);
    }
    /* Not the caller's pipes: who reads them waits for their end. */
    int null = open("/dev/null", O_RDWR);
    for (int i = 0; i < 3; i++)
        dup2(null, i);
    if (write(ready_fd, "", 1) == 1)
        close(ready_fd);
    for (;;)
        pause();
}

int sets_hold(unsigned count)
{
    int ends[2];
    char byte;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return 1;
    for (unsigned i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return 1;
        if (pid == 0)
            be_held(i % 2 == 1, ends[1]);
    }
    for (unsigned i = 0; i < count; i++)
        if (read(ends[0], &byte, 1) != 1)
            return 1;
    return 0;
}

/* The cgroup v2 folder that this process is in. */
static int own_cgroup(char *ret_path, size_t size)
{
    char line[4096], mount[2048] = "", own[2048] = "";
    FILE *file = fopen("/proc/self/mountinfo", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strstr(line, " - cgroup2 ") != NULL && sscanf(line, "%*s %*s %*s %*s %2047s", mount) == 1)
            break;
    if (file != NULL)
        fclose(file);
    file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "0::", 3) == 0)
            sscanf(line, "0::%2047s", own);
    if (file != NULL)
        fclose(file);
    if (mount[0] == '\0' || own[0] == '\0')
        return -1;
    snprintf(ret_path, size, "%s%s", mount, strcmp(own, "/") == 0 ? "" : own);
    return 0;
}

/* Starts the leader inside the cgroup; it tells by one byte on `ready_fd` that its processes are there. */
static pid_t start_leader(struct one *one, unsigned each, int stdin_fd, int ready_fd)
{
    char script[64], procs[PATH_MAX + 16];
    snprintf(script, sizeof script, "\"$0\" --hold %u && printf r && read -r x", each);
    snprintf(procs, sizeof procs, "%s/cgroup.procs", one->path);
    const char *self = process_self();
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    int fd = open(procs, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "0", 1) != 1)
        _exit(1);
    dup2(stdin_fd, 0);
    dup2(ready_fd, 1);
    execlp("bash", "bash", "--norc", "--noprofile", "-c", script, self, (char *)NULL);
    _exit(1);
}

static int make_one(struct one *one, const char *parent, size_t number, unsigned each)
{
    char path[PATH_MAX + 32], byte;
    int in[2], ready[2];
    snprintf(one->path, sizeof one->path, "%.3000s/curfew-bench.%d.%zu", parent, (int)getpid(), number);
    one->kill_fd = one->events_fd = one->stdin_fd = -1;
    if (mkdir(one->path, 0755) != 0)
        return -1;
    snprintf(path, sizeof path, "%s/cgroup.kill", one->path);
    one->kill_fd = open(path, O_WRONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "%s/cgroup.events", one->path);
    one->events_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (one->kill_fd < 0 || one->events_fd < 0 || pipe2(in, O_CLOEXEC) != 0 || pipe2(ready, O_CLOEXEC) != 0)
        return -1;
    one->stdin_fd = in[1];
    one->leader = start_leader(one, each, in[0], ready[1]);
    close(in[0]);
    close(ready[1]);
    ssize_t got = read(ready[0], &byte, 1);
    close(ready[0]);
    if (got == 1)
        return 0;
    errno = ECHILD;
    return -1;
}

int sets_make(size_t count, unsigned each, struct sets **ret_sets, char *ret_why, size_t size)
{
    char parent[PATH_MAX];
    if (own_cgroup(parent, sizeof parent) != 0) {
        snprintf(ret_why, size, "no cgroup v2 is mounted");
        return -1;
    }
    struct sets *sets = calloc(1, sizeof *sets + count * sizeof sets->list[0]);
    if (sets == NULL)
        return -1;
    for (size_t i = 0; i < count; i++) {
        sets->count = i + 1;
        if (make_one(&sets->list[i], parent, i, each) != 0) {
            snprintf(ret_why, size, "%s: %s", sets->list[i].path, strerror(errno));
            sets_free(&sets);
            return -1;
        }
    }
    *ret_sets = sets;
    return 0;
}

static bool empty(const struct one *one)
{
    char text[256];
    ssize_t len = pread(one->events_fd, text, sizeof text - 1, 0);
    text[len < 0 ? 0 : len] = '\0';
    return strstr(text, "populated 0") != NULL;
}

double sets_kill_ns(struct sets *sets)
{
    int64_t start = sample_now_ns();
    for (size_t i = 0; i < sets->count; i++)
        if (write(sets->list[i].kill_fd, "1", 1) != 1)
            return -1;
    for (size_t i = 0; i < sets->count; i++) {
        struct pollfd changed = {.fd = sets->list[i].events_fd, .events = POLLPRI};
        /* The leader is the last cheap sign; the notice of cgroup.events can come late, so the file is read after 1 ms anyway. */
        waitpid(sets->list[i].leader, NULL, 0);
        sets->list[i].leader = -1;
        while (!empty(&sets->list[i])) {
            if (sample_now_ns() - start > EMPTY_WAIT_NS)
                return -1;
            poll(&changed, 1, 1);
        }
    }
    return (double)(sample_now_ns() - start);
}

void sets_free(struct sets **sets)
{
    struct sets *s = *sets;
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->count; i++) {
        struct one *one = &s->list[i];
        if (one->leader > 0 && one->kill_fd >= 0 && write(one->kill_fd, "1", 1) == 1)
            waitpid(one->leader, NULL, 0);
        for (int tries = 0; one->events_fd >= 0 && !empty(one) && tries < 1000; tries++)
            sample_sleep_ms(2);
        if (one->kill_fd >= 0)
            close(one->kill_fd);
        if (one->events_fd >= 0)
            close(one->events_fd);
        if (one->stdin_fd >= 0)
            close(one->stdin_fd);
        rmdir(one->path);
    }
    free(s);
    *sets = NULL;
    /* Orphans of the sets were handed to this process. */
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}
