/* procs.h: processes as /proc shows them, and signals that reach the one that was meant. */
#ifndef CURFEW_KEEPER_PROCS_H
#define CURFEW_KEEPER_PROCS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct cf_proc {
    pid_t pid, ppid, pgrp;
    char state;                         /* 'R', 'S', 'T', 'Z' … */
    uint32_t owner;                     /* the caller's; 0: nobody's */
    uint64_t start_ticks;               /* clock ticks after boot; with the pid it names one process */
};

/* Which of a session's processes a signal is for; see enum cf_wire_scope. */
struct cf_scope {
    uint32_t scope;
    pid_t leader;
    uint64_t since_ticks;
};
bool cf_scope_has(const struct cf_scope *scope, int proc_fd, const struct cf_proc *proc);

/* `proc_fd` is an open /proc everywhere: the init of a session must not look through a path that the session
 * may have mounted over.  Nothing here allocates from the heap. */
int cf_proc_read(int proc_fd, pid_t pid, struct cf_proc *ret_proc);         /* 0, or -1: gone */
/* Calls `each` for every process, lowest pid first.  0, or -1 and errno. */
int cf_procs_each(int proc_fd, void (*each)(pid_t pid, void *context), void *context);

/* Signals the process only if it still is the one that was read.  0, or -1 and errno (ESRCH: gone). */
int cf_proc_signal(int proc_fd, const struct cf_proc *proc, int signo);

/* Every process on the machine, lowest pid first; none is owned.  Freed with cf_procs_free.  0, or -1 and errno. */
struct cf_procs {
    struct cf_proc *list;
    size_t count, room;
};
int cf_procs_snapshot(int proc_fd, struct cf_procs *ret_procs);
/* Whoever owns a process also owns what descends from it and has no owner. */
void cf_procs_spread(struct cf_procs *procs);
void cf_procs_free(struct cf_procs *procs);

/* Pids in the order in which an interrupt is to reach them: the leader first, so that a shell has it before it sees who died of it; then
 * the youngest, since the last of a pipeline would end well if it met its end of file first.  Put by cf_pids_add (a function for
 * cf_procs_each), the oldest first; those that find no room are not in it, and `full` says so. */
#define CF_PIDS_MAX 1024u
struct cf_pids {
    pid_t list[CF_PIDS_MAX];
    uint32_t count;
    bool full;
};
void cf_pids_add(pid_t pid, void *pids);
void cf_pids_order(struct cf_pids *pids, pid_t leader);

#endif
