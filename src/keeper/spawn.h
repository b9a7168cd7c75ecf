/* spawn.h: the leader of a session, from its description to its exec. */
#ifndef CURFEW_KEEPER_SPAWN_H
#define CURFEW_KEEPER_SPAWN_H

#include "keeper/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define CF_SPAWN_STRINGS_MAX 32768u     /* arguments and variables together */
#define CF_SPAWN_TARGETS_MAX 5          /* descriptors beside folder and argument block */
#define CF_SPAWN_TARGET_LAST 31         /* highest number for one; what lies above is needed meanwhile */

/* Whom sessions run as; when `set` is false, as the keeper itself. */
struct cf_spawn_user {
    uint64_t open_files;                /* soft limit that they start with, as the keeper raises its own; 0: as it is */
    bool set;
    uid_t uid;
    gid_t gid;
    const gid_t *groups;                /* borrowed */
    size_t group_count;
};

/* What a SPAWN says, less what only the keeper needs.  fds: [0] folder, [1] argument block, [2…] for the targets. */
struct cf_spawn_plan {
    uint32_t argc, envc, args_bytes, fd_count;
    int32_t targets[CF_SPAWN_TARGETS_MAX];
    uint32_t flags;                     /* CF_SPAWN_* of wire.h */
};

/* 0, or the errno that says what is wrong with the plan by itself. */
int cf_spawn_plan_check(const struct cf_spawn_plan *plan);

/* The argument block read, checked and cut into strings, and a stack beside it, in memory of its own. */
struct cf_spawn_args {
    char **argv, **envp;
    void *memory;
    size_t bytes;
    char *stack_top;
};
/* 0 or an errno: EINVAL unless it is a memfd that holds exactly the strings that the plan says. */
int cf_spawn_args_load(int args_fd, const struct cf_spawn_plan *plan, struct cf_spawn_args *ret_args);
void cf_spawn_args_free(struct cf_spawn_args *args);

/* Starts the leader and waits until it has exec'd or failed.  `fds` has plan->fd_count + 2 entries.
 * With `cgroup_fd` it is born in that cgroup.  A NULL plan is a trial: the child exits 0 at once.
 * Returns its pid, or -1 and errno; a child whose exec failed is reaped. */
pid_t cf_spawn_leader(const struct cf_spawn_plan *plan, const struct cf_spawn_args *args, const int *fds,
                      const struct cf_spawn_user *user, int cgroup_fd);

#endif
