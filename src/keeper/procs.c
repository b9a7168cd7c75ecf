#include "keeper/procs.h"
#include "base/fd.h"
#include "keeper/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The signals that a process catches; 0 also when that cannot be told. */
static uint64_t caught(int proc_fd, pid_t pid)
{
    char path[32], text[4096];
    snprintf(path, sizeof path, "%d/status", (int)pid);
    CF_FD_AUTO fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    const char *line = strstr(text, "\nSigCgt:");
    return line != NULL ? strtoull(line + 8, NULL, 16) : 0;
}

/* A shell's child catches what the shell does until it has become a subshell, or another program: what it would do about a signal there is the
 * shell's business.  bash, say, goes on with the shell's next line. */
static bool is_copy(int proc_fd, pid_t pid, pid_t of)
{
    struct stat one, other;
    char path[32], path_of[32];
    uint64_t signals = caught(proc_fd, of);
    snprintf(path, sizeof path, "%d/exe", (int)pid);
    snprintf(path_of, sizeof path_of, "%d/exe", (int)of);
    return pid != of && signals != 0 && caught(proc_fd, pid) == signals && fstatat(proc_fd, path, &one, 0) == 0 &&
           fstatat(proc_fd, path_of, &other, 0) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

bool cf_scope_has(const struct cf_scope *scope, int proc_fd, const struct cf_proc *proc)
{
    switch (scope->scope) {
    case CF_SCOPE_ALL: return true;
    case CF_SCOPE_GROUP: return proc->pgrp == scope->leader;
    case CF_SCOPE_LEADER: return proc->pid == scope->leader;
    case CF_SCOPE_SETTLED: return proc->pgrp == scope->leader && !is_copy(proc_fd, proc->pid, scope->leader);
    case CF_SCOPE_YOUNG: return proc->pid != scope->leader && proc->start_ticks >= scope->since_ticks;
    default: return false;
    }
}

/* Fields follow the command's name, which is in parentheses and may hold anything, parentheses too:
 * state ppid pgrp, …, and start time as the 20th after the name. */
static int parse(char *text, struct cf_proc *proc)
{
    char *at = strrchr(text, ')');
    char *end;

    if (at == NULL || at[1] != ' ' || at[2] == '\0')
        return -1;
    proc->state = at[2];
    at += 3;
    proc->ppid = (pid_t)strtol(at, &at, 10);
    proc->pgrp = (pid_t)strtol(at, &at, 10);
    for (int skipped = 0; skipped < 16; skipped++)
        (void)strtoll(at, &at, 10);
    proc->start_ticks = strtoull(at, &end, 10);
    return end != at ? 0 : -1;
}

int cf_proc_read(int proc_fd, pid_t pid, struct cf_proc *ret_proc)
{
    struct cf_proc proc = { .pid = pid };
    char path[32], text[1024];
    CF_FD_AUTO fd = -1;
    ssize_t length;

    snprintf(path, sizeof path, "%d/stat", (int)pid);
    fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    length = read(fd, text, sizeof text - 1);
    if (length <= 0)
        return -1;
    text[length] = '\0';
    if (parse(text, &proc) != 0)
        return -1;
    *ret_proc = proc;
    return 0;
}

static pid_t number(const char *name)
{
    long value = 0;

    for (const char *c = name; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || value > 100000000)
            return 0;
        value = value * 10 + (*c - '0');
    }
    return (pid_t)value;
}

int cf_procs_each(int proc_fd, void (*each)(pid_t pid, void *context), void *context)
{
    /* getdents64 on a stack buffer: opendir would allocate, and an init is to touch little memory. */
    _Alignas(struct dirent64) char buffer[4096];
    CF_FD_AUTO fd = openat(proc_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return -1;
    for (;;) {
        ssize_t length = getdents64(fd, buffer, sizeof buffer);

        if (length <= 0)
            return length == 0 ? 0 : -1;
        for (ssize_t at = 0; at < length;) {
            const struct dirent64 *entry = (const struct dirent64 *)(const void *)(buffer + at);
            pid_t pid = number(entry->d_name);

            at += entry->d_reclen;
            if (pid > 0)
                each(pid, context);
        }
    }
}

int cf_proc_signal(int proc_fd, const struct cf_proc *proc, int signo)
{
    struct cf_proc now;
    CF_FD_AUTO pidfd = (int)syscall(SYS_pidfd_open, proc->pid, 0);

    if (pidfd < 0)
        return -1;
    /* If the pidfd's process lives when the signal goes out, the pid meant it all the while, so what is read
     * between is about it; if it does not, the signal reaches nobody. */
    if (cf_proc_read(proc_fd, proc->pid, &now) != 0 || now.start_ticks != proc->start_ticks) {
        errno = ESRCH;
        return -1;
    }
    return (int)syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0);
}

struct snapshot {
    int proc_fd;
    struct cf_procs procs;
    bool failed;
};

static void collect(pid_t pid, void *context)
{
    struct snapshot *s = context;
    struct cf_proc proc;

    if (s->failed || cf_proc_read(s->proc_fd, pid, &proc) != 0)
        return;
    if (s->procs.count == s->procs.room) {
        size_t room = s->procs.room * 2;
        void *list = mremap(s->procs.list, s->procs.room * sizeof proc, room * sizeof proc, MREMAP_MAYMOVE);

        if (list == MAP_FAILED) {
            s->failed = true;
            return;
        }
        s->procs.list = list;
        s->procs.room = room;
    }
    s->procs.list[s->procs.count++] = proc;
}

static const struct cf_proc *find(const struct cf_procs *procs, pid_t pid)
{
    size_t low = 0, high = procs->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (procs->list[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < procs->count && procs->list[low].pid == pid ? &procs->list[low] : NULL;
}

/* Parents mostly have lower pids than their children, so nearly always one pass finds all and a second sees it. */
void cf_procs_spread(struct cf_procs *procs)
{
    bool changed = true;

    while (changed) {
        changed = false;
        for (size_t i = 0; i < procs->count; i++) {
            struct cf_proc *p = &procs->list[i];
            const struct cf_proc *parent = p->owner != 0 ? NULL : find(procs, p->ppid);

            if (parent == NULL || parent->owner == 0)
                continue;
            p->owner = parent->owner;
            changed = true;
        }
    }
}

int cf_procs_snapshot(int proc_fd, struct cf_procs *ret_procs)
{
    struct snapshot s = { .proc_fd = proc_fd, .procs = { .room = 1024 } };

    s.procs.list = mmap(NULL, s.procs.room * sizeof *s.procs.list, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s.procs.list == MAP_FAILED)
        return -1;
    if (cf_procs_each(proc_fd, collect, &s) != 0 || s.failed) {
        cf_procs_free(&s.procs);
        errno = ENOMEM;
        return -1;
    }
    *ret_procs = s.procs;
    return 0;
}

void cf_procs_free(struct cf_procs *procs)
{
    if (procs->list != NULL)
        munmap(procs->list, procs->room * sizeof *procs->list);
    *procs = (struct cf_procs){ 0 };
}

/* --- an order --- */

void cf_pids_add(pid_t pid, void *context)
{
    struct cf_pids *pids = context;

    if (pids->count < CF_PIDS_MAX)
        pids->list[pids->count++] = pid;
    else
        pids->full = true;
}

void cf_pids_order(struct cf_pids *pids, pid_t leader)
{
    for (uint32_t low = 0, high = pids->count; low + 1 < high; low++) {
        pid_t older = pids->list[low];

        pids->list[low] = pids->list[--high];
        pids->list[high] = older;
    }
    for (uint32_t i = 0; i < pids->count; i++) {
        if (pids->list[i] != leader)
            continue;
        memmove(pids->list + 1, pids->list, i * sizeof pids->list[0]);
        pids->list[0] = leader;
        return;
    }
}
