#include "bench/driver.h"
#include "bench/process.h"
#include "bench/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#define TMUX_WAIT_NS 5000000000

/* The least that can run one command after another and keep its status apart from its output. */
static const char loop[] =
    "while IFS= read -r -u 3 n && LC_ALL=C IFS= read -r -N \"$n\" -u 3 c; do\n"
    "    eval \"$c\" 3<&- 4>&-\n"
    "    printf '%s\\n' $? >&4\n"
    "done";

int driver_start(struct driver *d)
{
    int in[2], status[2], out[2], err[2];
    const char *argv[] = {"bash", "--norc", "--noprofile", "-c", loop, NULL};
    if (pipe2(in, O_CLOEXEC) || pipe2(status, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        return -1;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    /* First above every number that is placed below, so that no dup2 overwrites the source of another. */
    int high[4] = {fcntl(out[1], F_DUPFD_CLOEXEC, 64), fcntl(err[1], F_DUPFD_CLOEXEC, 64),
                   fcntl(in[0], F_DUPFD_CLOEXEC, 64), fcntl(status[1], F_DUPFD_CLOEXEC, 64)};
    for (int i = 0; i < 4; i++)
        posix_spawn_file_actions_adddup2(&actions, high[i], i + 1);
    int failure = posix_spawnp(&d->pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; i < 4; i++)
        close(high[i]);
    close(in[0]);
    close(status[1]);
    close(out[1]);
    close(err[1]);
    d->command_fd = in[1];
    d->status_fd = status[0];
    d->out_fd = out[0];
    d->err_fd = err[0];
    fcntl(d->out_fd, F_SETFL, O_NONBLOCK);
    fcntl(d->err_fd, F_SETFL, O_NONBLOCK);
    return failure == 0 ? 0 : -1;
}

void driver_stop(struct driver *d)
{
    close(d->command_fd);
    close(d->status_fd);
    close(d->out_fd);
    close(d->err_fd);
    waitpid(d->pid, NULL, 0);
}

static int request(const struct driver *d, const char *command)
{
    char message[512];
    int len = snprintf(message, sizeof message, "%zu\n%s", strlen(command), command);
    return write(d->command_fd, message, (size_t)len) == len ? 0 : -1;
}

static int status(const struct driver *d)
{
    char text[16];
    return read(d->status_fd, text, sizeof text) > 0 && text[0] == '0' ? 0 : -1;
}

ssize_t driver_run(struct driver *d, const char *command, char *ret_output, size_t size)
{
    char dropped[512];
    if (request(d, command) != 0 || status(d) != 0)
        return -1;
    /* The status comes after all output, so what is there now is all. */
    ssize_t n = read(d->out_fd, ret_output, size);
    if (read(d->err_fd, dropped, sizeof dropped) > 0)
        return -1;
    return n < 0 && errno == EAGAIN ? 0 : n;
}

int driver_widen(struct driver *d, int bytes)
{
    return fcntl(d->out_fd, F_SETPIPE_SZ, bytes) < 0 ? -1 : 0;
}

int driver_flow(struct driver *d, const char *command, long bytes, char *piece, size_t size)
{
    ssize_t n = 0;
    long got = 0;
    fcntl(d->out_fd, F_SETFL, 0);
    if (request(d, command) != 0)
        return -1;
    while (got < bytes && (n = read(d->out_fd, piece, size)) > 0)
        got += n;
    fcntl(d->out_fd, F_SETFL, O_NONBLOCK);
    return got == bytes ? status(d) : -1;
}

int typist_start(struct typist *t)
{
    const struct winsize size = {.ws_row = 24, .ws_col = 80};
    const char *argv[] = {"bash", "--norc", "--noprofile", "-i", NULL};
    char slave[64];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    *t = (struct typist){.pid = -1, .master_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)};
    if (t->master_fd < 0 || grantpt(t->master_fd) != 0 || unlockpt(t->master_fd) != 0 ||
        ptsname_r(t->master_fd, slave, sizeof slave) != 0 || ioctl(t->master_fd, TIOCSWINSZ, &size) != 0)
        return -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    /* What the first of a session opens becomes its controlling terminal. */
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    posix_spawn_file_actions_addopen(&actions, 0, slave, O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions, 0, 1);
    posix_spawn_file_actions_adddup2(&actions, 0, 2);
    int failure = posix_spawnp(&t->pid, argv[0], &actions, &attributes, (char *const *)(uintptr_t)argv, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return failure == 0 ? 0 : -1;
}

void typist_stop(struct typist *t)
{
    if (t->master_fd >= 0)
        close(t->master_fd);
    if (t->pid > 0) {
        kill(t->pid, SIGKILL);
        waitpid(t->pid, NULL, 0);
    }
}

double driver_bash_ns(const char *command, int until_end)
{
    int ends[2], status = -1;
    char byte[64];
    const char *argv[] = {"bash", "--norc", "--noprofile", "-c", command, NULL};
    int64_t start = sample_now_ns();
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    pid_t pid = process_spawn(argv, -1, ends[1], -1);
    close(ends[1]);
    ssize_t got = pid < 0 ? -1 : read(ends[0], byte, sizeof byte);
    int64_t first = sample_now_ns();
    if (pid > 0)
        waitpid(pid, &status, 0);
    int64_t end = sample_now_ns();
    close(ends[0]);
    return got < 0 || status != 0 ? -1 : (double)((until_end ? end : first) - start);
}

static char tmux_socket[300];

static int tmux(const char *const *words, char *ret_output, size_t size)
{
    const char *argv[24] = {"tmux", "-S", tmux_socket, "-f", "/dev/null"};
    size_t argc = 5;
    for (size_t i = 0; words[i] != NULL && argc < 23; i++)
        argv[argc++] = words[i];
    return process_run(argv, ret_output, size);
}

int driver_tmux_start(const char *folder)
{
    snprintf(tmux_socket, sizeof tmux_socket, "%s/tmux.sock", folder);
    unsetenv("TMUX");
    const char *words[] = {"new-session", "-d", "-s", "bench", "-x", "80", "-y", "24", "bash --norc --noprofile", NULL};
    return tmux(words, NULL, 0) == 0 && driver_tmux_ns(0) > 0 ? 0 : -1;
}

void driver_tmux_stop(void)
{
    const char *words[] = {"kill-server", NULL};
    tmux(words, NULL, 0);
}

double driver_tmux_ns(unsigned number)
{
    char command[64], expected[64], screen[8192];
    /* What is typed is not what is printed, so the echo of the typing cannot be taken for the output. */
    snprintf(command, sizeof command, "clear; echo hi-$((%u+1))-end", number);
    snprintf(expected, sizeof expected, "hi-%u-end", number + 1);
    const char *send[] = {"send-keys", "-t", "bench", command, "Enter", NULL};
    const char *capture[] = {"capture-pane", "-p", "-t", "bench", NULL};
    int64_t start = sample_now_ns();
    if (tmux(send, NULL, 0) != 0)
        return -1;
    do {
        if (tmux(capture, screen, sizeof screen) != 0)
            return -1;
        if (strstr(screen, expected) != NULL)
            return (double)(sample_now_ns() - start);
    } while (sample_now_ns() - start < TMUX_WAIT_NS);
    return -1;
}
