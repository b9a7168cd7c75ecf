/* process.h: start programs, watch what they use, and leave nothing of them behind. */
#ifndef CURFEW_BENCH_PROCESS_H
#define CURFEW_BENCH_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* posix_spawn with descriptors for 0, 1 and 2 (-1: /dev/null); the process's pid, or -1 after telling why. */
pid_t process_spawn(const char *const *argv, int in_fd, int out_fd, int err_fd);
/* Runs to the end; its wait status, or -1.  Output goes to /dev/null, or into `ret_output` when that is not NULL. */
int process_run(const char *const *argv, char *ret_output, size_t size);
bool process_installed(const char *program);

/* CPU time of all threads so far, as the kernel counts it in nanoseconds (utime + stime without the rounding to ticks). */
int64_t process_cpu_ns(pid_t pid);
/* Proportional set size: private memory, and this process's share of what it shares.  -1 when it cannot be read. */
long process_pss_bytes(pid_t pid);
/* Every thread of `pid` (0: this one) onto one CPU; -1 for `cpu`: onto any. */
void process_pin(pid_t pid, int cpu);
int process_cpus(void);

struct process {
    pid_t pid;
    char name[32];
};
/* All live descendants of `root`, itself first; how many, at most `max`. */
size_t process_tree(pid_t root, struct process *ret_list, size_t max);

/* From here on, whatever descends from this process is handed to it when its parent goes. */
void process_adopt(void);
/* SIGTERM to the children, then SIGKILL to all that is left after `patience_ms`; reaps them. */
void process_end_children(int patience_ms);
/* A TCP port on the loopback address that nothing listens on. */
int process_free_port(void);
/* The path of this very program; static. */
const char *process_self(void);

#endif
