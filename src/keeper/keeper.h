/* keeper.h: the process that holds every session and sees each to its end. */
#ifndef CURFEW_KEEPER_KEEPER_H
#define CURFEW_KEEPER_KEEPER_H

#include "base/error.h"
#include "keeper/spawn.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CF_KEEPER_EXIT_LOST 70          /* the server went away unasked */

/* Which program: the one that runs now, whatever lies on the disk; or that. */
enum cf_start { CF_START_CURRENT, CF_START_FRESH };

/* All borrowed for as long as the keeper lives. */
struct cf_keeper_config {
    const char *state_dir;              /* names this keeper's cgroups; an earlier keeper's with the same are swept */
    const char *cgroup_root;            /* folder of cgroup version 2 to work under; empty: the caller's own */
    uint32_t hold;                      /* CF_HOLD_* that must work; 0: the strongest that does */
    struct cf_spawn_user user;
    uint32_t max_sessions;
    int64_t grace_ms;                   /* when a signal ends the keeper, or the server goes */
    /* Starts another server.  Its pid, a child of the caller (0: no process), and the keeper's end of the connection; or -1
     * and errno.  NULL: a server that dies ends the sessions. */
    pid_t (*start_server)(void *context, enum cf_start which, int *ret_fd);
    /* The program that was started FRESH is the current one from now on; or it is given up.  NULL: nobody needs to know. */
    void (*settle_server)(void *context, bool taken);
    int64_t drain_ms;                   /* a server that is to leave answers what it can for so long */
    void *start_context;
    uint32_t server_restarts;           /* in a row, before it is given up; 0: none */
    int64_t restart_pause_ms;           /* before the second in a row; doubles up to a hundred times of it.  0: 100; below 0: none */
    int64_t settled_ms;                 /* of serving after which a death is the first in a row.  0: 10000 */
};

struct cf_keeper;

/* Becomes a subreaper, blocks the signals that its loop reads, kills what an earlier keeper left, finds out
 * which containments work.  0, or CF_E_UNAVAILABLE (the forced one does not work), CF_E_SYSTEM, CF_E_NO_MEMORY.
 * Single-threaded, and one a process: it reaps every child that there is. */
int cf_keeper_new(const struct cf_keeper_config *config, struct cf_keeper **ret_keeper, struct cf_error *error)
    __attribute__((warn_unused_result));
/* Serves `server_fd` (owned from now on) until there is neither server nor session.  `server_pid` is the
 * caller's child at the other end, or 0.  Returns an exit status: 0 after a BYE, else CF_KEEPER_EXIT_LOST. */
int cf_keeper_serve(struct cf_keeper *keeper, int server_fd, pid_t server_pid);
/* The containment that a session has which asks for none. */
uint32_t cf_keeper_hold(const struct cf_keeper *keeper);
void cf_keeper_free(struct cf_keeper **keeper);

/* new, serve and free in one; says on the log why not, and gives the error's exit status then. */
int cf_keeper_run(const struct cf_keeper_config *config, int server_fd);

/* "cgroup+pidns" and the like, in `buf` of 32 bytes; and back, 0 being "auto".  -1: no such word. */
const char *cf_hold_format(uint32_t hold, char *buf, size_t size);
int cf_hold_parse(const char *text, uint32_t *ret_hold);

#endif
