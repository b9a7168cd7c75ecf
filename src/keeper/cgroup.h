/* cgroup.h: cgroups of version 2, one for each session, under one folder for each state folder. */
#ifndef CURFEW_KEEPER_CGROUP_H
#define CURFEW_KEEPER_CGROUP_H

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* `path` is <parent>/curfew-<hash>; a session's folder in it is s<number>, never used twice in a keeper's life. */
struct cf_cgroups {
    int dir_fd;                         /* -1: none can be had */
    char path[512];
    char name[32];                      /* curfew-<hash> */
};

/* Makes the folder under `root`, or under the caller's own cgroup when that is empty.  0, or CF_E_UNAVAILABLE. */
int cf_cgroups_open(struct cf_cgroups *ret_cgroups, const char *root, const char *state_dir, struct cf_error *error);
/* Opens a folder that an earlier keeper made for the same state folder.  0, or -1: there is none, or it is not one. */
int cf_cgroups_reopen(struct cf_cgroups *ret_cgroups, const char *path, const char *state_dir);
/* Removes the folder if nothing is left in it. */
void cf_cgroups_close(struct cf_cgroups *cgroups);

/* Kills what an earlier keeper left, waits until it is gone, removes the folders.  *ret_killed counts processes.
 * CF_E_SYSTEM when some would not go within `wait_ms`, or when this process itself is in one of them. */
int cf_cgroups_sweep(const struct cf_cgroups *cgroups, int64_t wait_ms, uint32_t *ret_killed, struct cf_error *error);

int cf_cgroup_make(const struct cf_cgroups *cgroups, uint32_t number);      /* its descriptor, or -1 and errno */
int cf_cgroup_kill(const struct cf_cgroups *cgroups, uint32_t number);      /* 0, or -1 and errno */
/* Processes in it, or -1 and errno.  With `each` it is called for them. */
int cf_cgroup_procs(const struct cf_cgroups *cgroups, uint32_t number, void (*each)(pid_t, void *), void *context);
/* cgroup.events, which polls POLLPRI after a change until it is read. */
int cf_cgroup_events_open(const struct cf_cgroups *cgroups, uint32_t number);
bool cf_cgroup_events_populated(int events_fd);
/* Removes the folder and what sessions made below it.  0 (also when there is none), or -1 and errno (EBUSY: not
 * yet). */
int cf_cgroup_remove(const struct cf_cgroups *cgroups, uint32_t number);
/* The number of the session in whose cgroup a process is (or was, for one that is dead and not reaped); 0: none. */
uint32_t cf_cgroup_of(const struct cf_cgroups *cgroups, int proc_fd, pid_t pid);

#endif
