/* sets.h: sets of processes to kill: the same shape under curfew and in a bare cgroup. */
#ifndef CURFEW_BENCH_SETS_H
#define CURFEW_BENCH_SETS_H

#include <stdbool.h>
#include <stddef.h>

/* The part of this program that is run as `curfew-bench --hold N`: starts N processes that wait for ever, every second one of
 * them in a session of its own with SIGHUP, SIGINT and SIGTERM ignored, and exits when all of them are there. */
int sets_hold(unsigned count);

struct sets;
/* `count` cgroups, each with a bash and `each` held processes.  0, or -1 with a reason in `ret_why`. */
int sets_make(size_t count, unsigned each, struct sets **ret_sets, char *ret_why, size_t size);
/* cgroup.kill on each, then waits until the last is empty; nanoseconds from the first kill, or -1. */
double sets_kill_ns(struct sets *sets);
void sets_free(struct sets **sets);

#endif
