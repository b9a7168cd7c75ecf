/* shell_jobs.c: telling a command's processes from those that the command before it left behind.
 *
 * Whoever is killed with a command is known by when it started, in clock ticks of 10 ms.  A background job that was started within
 * the same tick would be taken for the next command's.  So when a command comes that soon, and the one before it has left a job, it waits for the
 * next tick; else nobody waits. */
#include "base/fd.h"
#include "server/shell_private.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static uint64_t boot_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * CF_NS_PER_S + (uint64_t)t.tv_nsec;
}

static uint64_t tick_ns(void)
{
    return CF_NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK);
}

uint64_t cf_shell_ticks(void)
{
    return boot_ns() / tick_ns();
}

/* Adds what a file of /proc says to the hash; one that is not there says nothing. */
static uint64_t hash_file(uint64_t hash, const char *path)
{
    char text[4096];
    ssize_t n = sizeof text;
    CF_FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    /* The kernel fills what it is given but for a number that does not fit any more: less than half is the end. */
    while (fd >= 0 && n > (ssize_t)sizeof text / 2 && (n = read(fd, text, sizeof text)) > 0)
        for (ssize_t i = 0; i < n; i++)
            hash = (hash ^ (unsigned char)text[i]) * 1099511628211u;
    return hash;
}

/* The leader's parent, when that is the session's init; 0: it has none. */
static int init_of(const struct cf_shell *s)
{
    char path[64], text[512];
    if ((s->hold & (CF_HOLD_PIDNS | CF_HOLD_SUBREAPER)) == 0)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/stat", s->pid);
    CF_FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    const char *after = strrchr(text, ')');             /* the name may hold anything: ") S PPID" */
    return after != NULL && strlen(after) > 4 ? atoi(after + 4) : 0;
}

/* Whether the children of the shell, or the orphans of the session, are others than when this was asked last. */
static bool jobs_changed(struct cf_shell *s)
{
    char path[64];
    uint64_t hash = 14695981039346656037u;
    if (s->init < 0)
        s->init = init_of(s);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", s->pid, s->pid);
    hash = hash_file(hash, path);
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", s->init, s->init);
    hash = s->init > 0 ? hash_file(hash, path) : hash;
    bool changed = hash != s->jobs;
    s->jobs = hash;
    return changed;
}

bool cf_shell_sleeps(const struct cf_shell *s)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", s->pid);
    CF_FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    const char *after = strrchr(text, ')');             /* the name may hold anything: ") S PPID" */
    return after == NULL || strlen(after) < 3 || after[2] != 'R';
}

/* The mask of signals that a line of /proc/PID/status gives; 0 when it has none such. */
static uint64_t mask_of(const char *status, const char *name)
{
    const char *line = strstr(status, name);
    return line != NULL ? strtoull(line + strlen(name), NULL, 16) : 0;
}

static bool would_die_of_interrupt(int pid)
{
    char path[64], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    CF_FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (n <= 0)
        return false;
    text[n] = '\0';
    uint64_t spared = mask_of(text, "\nSigBlk:") | mask_of(text, "\nSigIgn:") | mask_of(text, "\nSigCgt:");
    return (spared & (UINT64_C(1) << (SIGINT - 1))) == 0 && strstr(text, "\nState:\tZ") == NULL;
}

/* Field 22 of /proc/PID/stat; 0 when it is gone. */
static uint64_t start_ticks(int pid)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    CF_FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    const char *at = strrchr(text, ')');                /* field 2 */
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at != NULL ? strtoull(at, NULL, 10) : 0;
}

/* The last `most` of the shell's children, in the order in which they came. */
static size_t last_children(const struct cf_shell *s, int *pids, size_t most)
{
    char path[64], text[4096];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", s->pid, s->pid);
    CF_FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    char *at = text;
    for (char *end; *at != '\0'; at = end) {
        long pid = strtol(at, &end, 10);
        if (end == at)
            break;
        if (count == most)
            memmove(pids, pids + 1, --count * sizeof *pids);
        pids[count++] = (int)pid;
    }
    return count;
}

void cf_shell_note_interrupted(struct cf_shell *s)
{
    int *pids = s->run.interrupted_pids;
    size_t count = last_children(s, pids, INTERRUPTED_PIDS);
    memset(pids + count, 0, (INTERRUPTED_PIDS - count) * sizeof *pids);
}

static bool was_there(const struct cf_shell *s, int pid)
{
    for (size_t i = 0; i < INTERRUPTED_PIDS; i++)
        if (s->run.interrupted_pids[i] == pid)
            return true;
    return false;
}

/* One that had run for longer has had the interrupt, and may be on its way out: an interpreter that ends takes its handlers away.  One that came later
 * was not meant, unless all of the command is to go. */
bool cf_shell_missed_interrupt(const struct cf_shell *s)
{
    const struct run *r = &s->run;
    int pids[64];
    size_t count = r->interrupt_ticks > 0 ? last_children(s, pids, sizeof pids / sizeof *pids) : 0;
    for (size_t i = 0; i < count; i++)
        if ((r->stage != STAGE_RUNNING || was_there(s, pids[i])) && start_ticks(pids[i]) + 1 >= r->interrupt_ticks && would_die_of_interrupt(pids[i]))
            return true;
    return false;
}

int64_t cf_shell_jobs_wait_ns(struct cf_shell *s)
{
    uint64_t now = cf_shell_ticks();
    if (now == s->last_ticks && jobs_changed(s))
        s->crowded_ticks = now;
    return now == s->crowded_ticks ? (int64_t)(tick_ns() - boot_ns() % tick_ns()) : 0;
}
