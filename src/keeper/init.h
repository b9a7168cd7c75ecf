/* init.h: the process that holds a session from inside: first of its PID namespace, or a subreaper.
 *
 * It is a fork of the keeper without exec.  It starts the leader, reaps what is orphaned, signals on order,
 * and exits with status 0 once the leader is gone and no child is left: so its reaped exit proves the session
 * empty.  When the keeper goes, it ends what it holds and itself. */
#ifndef CURFEW_KEEPER_INIT_H
#define CURFEW_KEEPER_INIT_H

#include "keeper/spawn.h"

#include <stdint.h>

/* From the keeper; START comes with the descriptors of cf_spawn_plan. */
enum cf_init_order_type { CF_INIT_START = 1, CF_INIT_SIGNAL = 2, CF_INIT_KILL = 3 };
struct cf_init_order {
    uint32_t type;
    int32_t signo;
    uint32_t scope;
    uint32_t wake;                      /* SIGCONT after it, so that stopped processes can react */
    uint32_t answer;                    /* say so when it is done */
    uint32_t pad;
    uint64_t since_ticks;
    struct cf_spawn_plan plan;
};

/* To the keeper. */
enum cf_init_word_type {
    CF_INIT_STARTED = 1,                /* value: the leader's pid; from inside a namespace sent in its name, so
                                           that the kernel translates it */
    CF_INIT_FAILED = 2,                 /* value: errno; the init exits */
    CF_INIT_LEFT = 3,                   /* value: the leader's wait status */
    CF_INIT_KILLED = 4,                 /* value: how many were alive when SIGKILL went out */
    CF_INIT_SIGNALED = 5,               /* an order with `answer` was carried out */
};
struct cf_init_word {
    uint32_t type;
    int32_t value;
};

struct cf_init_birth {
    uint32_t hold;                      /* CF_HOLD_PIDNS or CF_HOLD_SUBREAPER decides which kind it is */
    bool user_namespace;                /* made for a keeper that is not root */
    uid_t uid;
    gid_t gid;                          /* the keeper's own, mapped to themselves */
    struct cf_spawn_user user;          /* a copy: the keeper's context is not inherited */
    int control_fd;
    pid_t keeper_pid;
};

/* Once in the keeper, before the first init. */
void cf_init_prepare(void);

/* Starts an init; in `cgroup_fd` when that is not negative.  Returns its pid, or -1 and errno.
 * *ret_control_fd is the keeper's end: non-blocking, SO_PASSCRED. */
pid_t cf_init_spawn(const struct cf_init_birth *birth, int cgroup_fd, int *ret_control_fd);

/* Reads one word; *ret_pid is the sender's pid as the keeper sees it.  1, 0: none there, -1: the init is gone. */
int cf_init_read(int control_fd, struct cf_init_word *ret_word, pid_t *ret_pid);

#endif
