#include "bench/process.h"
#include "bench/sample.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

pid_t process_spawn(const char *const *argv, int in_fd, int out_fd, int err_fd)
{
    int given[3] = {in_fd, out_fd, err_fd};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++) {
        if (given[i] < 0)
            posix_spawn_file_actions_addopen(&actions, i, "/dev/null", O_RDWR, 0);
        else
            posix_spawn_file_actions_adddup2(&actions, given[i], i);
    }
    pid_t pid = -1;
    int failure = posix_spawnp(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (failure != 0) {
        fprintf(stderr, "bench: %s: %s\n", argv[0], strerror(failure));
        return -1;
    }
    return pid;
}

int process_run(const char *const *argv, char *ret_output, size_t size)
{
    int ends[2] = {-1, -1}, status = -1;
    if (ret_output != NULL && pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = process_spawn(argv, -1, ends[1], -1);
    if (ret_output != NULL) {
        close(ends[1]);
        size_t len = 0;
        ssize_t n;
        while (len + 1 < size && (n = read(ends[0], ret_output + len, size - 1 - len)) > 0)
            len += (size_t)n;
        ret_output[len] = '\0';
        close(ends[0]);
    }
    return pid < 0 || waitpid(pid, &status, 0) < 0 ? -1 : status;
}

bool process_installed(const char *program)
{
    const char *path = getenv("PATH");
    char folders[4096], file[PATH_MAX], *rest = NULL;
    /* nginx lives where a plain user's PATH does not look. */
    snprintf(folders, sizeof folders, "%s:/usr/sbin:/sbin", path == NULL ? "/usr/bin:/bin" : path);
    for (char *folder = strtok_r(folders, ":", &rest); folder != NULL; folder = strtok_r(NULL, ":", &rest)) {
        snprintf(file, sizeof file, "%s/%s", folder, program);
        if (access(file, X_OK) == 0)
            return true;
    }
    return false;
}

int64_t process_cpu_ns(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return -1;
    return (int64_t)used.tv_sec * 1000000000 + used.tv_nsec;
}

long process_pss_bytes(pid_t pid)
{
    char path[64], line[256];
    long kib = -1;
    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "re");
    while (file != NULL && kib < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, "Pss:", 4) == 0)
            kib = strtol(line + 4, NULL, 10);
    if (file != NULL)
        fclose(file);
    return kib < 0 ? -1 : kib * 1024;
}

int process_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) != 0 ? 1 : CPU_COUNT(&set);
}

void process_pin(pid_t pid, int cpu)
{
    char path[64];
    cpu_set_t set;
    CPU_ZERO(&set);
    for (int i = 0; i < CPU_SETSIZE; i++)
        if (cpu < 0 || i == cpu)
            CPU_SET(i, &set);
    snprintf(path, sizeof path, "/proc/%d/task", (int)(pid == 0 ? getpid() : pid));
    DIR *folder = opendir(path);
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            sched_setaffinity((pid_t)strtol(entry->d_name, NULL, 10), sizeof set, &set);
    if (folder != NULL)
        closedir(folder);
}

/* Name, state and parent of a process, from /proc/PID/stat. */
static bool look(pid_t pid, struct process *ret_process, char *ret_state, pid_t *ret_parent)
{
    char path[64], text[512], *open, *close_at;
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    size_t len = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[len] = '\0';
    if ((open = strchr(text, '(')) == NULL || (close_at = strrchr(text, ')')) == NULL || close_at[1] == '\0')
        return false;
    *close_at = '\0';
    ret_process->pid = pid;
    snprintf(ret_process->name, sizeof ret_process->name, "%s", open + 1);
    *ret_state = close_at[2];
    *ret_parent = (pid_t)strtol(close_at + 3, NULL, 10);
    return true;
}

size_t process_tree(pid_t root, struct process *ret_list, size_t max)
{
    /* Children can have smaller pids than their parents, so the scan is repeated until it finds nothing new; what a
     * pid stands for is looked up once. */
    static struct { struct process process; pid_t parent; bool taken; } all[65536];
    size_t count = 0, found = 0, before;
    char state;
    DIR *folder = opendir("/proc");
    struct dirent *entry;
    while (folder != NULL && (entry = readdir(folder)) != NULL && count < sizeof all / sizeof all[0]) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && look(pid, &all[count].process, &state, &all[count].parent) && state != 'Z' && state != 'X')
            all[count++].taken = false;
    }
    if (folder != NULL)
        closedir(folder);
    for (size_t i = 0; i < count && max > 0; i++)
        if (all[i].process.pid == root) {
            ret_list[found++] = all[i].process;
            all[i].taken = true;
        }
    size_t next = 0;
    do {
        before = found;
        for (; next < before; next++)
            for (size_t i = 0; i < count && found < max; i++)
                if (!all[i].taken && all[i].parent == ret_list[next].pid) {
                    ret_list[found++] = all[i].process;
                    all[i].taken = true;
                }
    } while (found > before);
    return found;
}

void process_adopt(void)
{
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

/* Sends a signal to every child; how many there are. */
static size_t signal_children(int signo)
{
    char path[64];
    size_t count = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    int pid;
    while (file != NULL && fscanf(file, "%d", &pid) == 1) {
        kill(pid, signo);
        count++;
    }
    if (file != NULL)
        fclose(file);
    return count;
}

void process_end_children(int patience_ms)
{
    int64_t until = sample_now_ns() + (int64_t)patience_ms * 1000000;
    signal_children(SIGTERM);
    for (;;) {
        pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid > 0)
            continue;
        if (pid < 0 && errno == ECHILD)
            return;
        if (sample_now_ns() > until)
            signal_children(SIGKILL);
        sample_sleep_ms(2);
    }
}

int process_free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), port = -1;
    if (fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && getsockname(fd, (struct sockaddr *)&at, &len) == 0)
        port = ntohs(at.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

const char *process_self(void)
{
    static char path[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", path, sizeof path - 1);
    path[len < 0 ? 0 : len] = '\0';
    return path;
}
