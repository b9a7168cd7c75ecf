/* driver.h: the other ways to run a command, to measure against: a live bash without HTTP, `bash -c`, tmux. */
#ifndef CURFEW_BENCH_DRIVER_H
#define CURFEW_BENCH_DRIVER_H

#include <stddef.h>
#include <sys/types.h>

/* A bash that reads commands by length from a private descriptor, runs them with output to pipes, and gives the status on another. */
struct driver {
    pid_t pid;
    int command_fd, status_fd, out_fd, err_fd;
};
int driver_start(struct driver *d);
void driver_stop(struct driver *d);
/* Runs one command and reads its status and what it printed; its output's length, or -1. */
ssize_t driver_run(struct driver *d, const char *command, char *ret_output, size_t size);
/* A larger pipe for its output; -1 when a plain user may not. */
int driver_widen(struct driver *d, int bytes);
/* Runs one command that prints `bytes` bytes and reads them in pieces of `size`; 0, or -1. */
int driver_flow(struct driver *d, const char *command, long bytes, char *piece, size_t size);

/* An interactive bash on a pseudo-terminal of 80 by 24, without start-up files. */
struct typist {
    pid_t pid;
    int master_fd;
};
int typist_start(struct typist *t);
void typist_stop(struct typist *t);

/* Nanoseconds from posix_spawn of `bash --norc --noprofile -c COMMAND` until its first byte of output, or, with `until_end`,
 * until it is reaped; -1 when it fails. */
double driver_bash_ns(const char *command, int until_end);

/* A tmux server of its own, with one window. */
int driver_tmux_start(const char *folder);
void driver_tmux_stop(void);
/* Nanoseconds from send-keys of `echo hi`, made unlike every other by `number`, until capture-pane shows its output; -1 when it fails. */
double driver_tmux_ns(unsigned number);

#endif
