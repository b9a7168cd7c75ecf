/* keeper_peer.h: a keeper in a child process, with the test in the server's place. */
#ifndef CURFEW_TEST_KEEPER_PEER_H
#define CURFEW_TEST_KEEPER_PEER_H

#include "keeper/keeper.h"
#include "keeper/wire.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PEER_WAIT_MS 20000              /* for anything that has to come; far above what it takes */

struct peer {
    pid_t keeper_pid;
    int fd;
    char state_dir[128];                /* only a name to the keeper */
    char mark[64];                      /* CURFEW_TEST_MARK=… of every process that it starts */
    struct cf_wire_welcome welcome;
    bool remembers;                     /* what has ENDED is not forgotten at once */
    int next_fd;                        /* where the next connection comes from; -1: there is none */
    pid_t server_pid;                   /* that the keeper takes for the server's; 0: none */
};

union report {
    uint32_t type;
    struct cf_wire_welcome welcome;
    struct cf_wire_spawned spawned;
    struct cf_wire_left left;
    struct cf_wire_ended ended;
    struct cf_wire_signaled signaled;
    struct cf_wire_held held;
    struct cf_wire_kept kept;
};

/* Starts a keeper that is forced to `hold` (0: auto) and greets it. */
void peer_open(struct peer *p, uint32_t hold);
/* The same without HELLO, under a state folder that another peer had, when `state_dir` is not NULL. */
void peer_open_silent(struct peer *p, uint32_t hold, const char *state_dir);
/* With what else a keeper can be started; zeros and NULLs leave it out. */
struct peer_birth {
    uint32_t hold;
    const char *state_dir;
    const char *cgroup;                 /* path of a folder of cgroup2 that the keeper is put into */
    unsigned open_files;                /* its soft limit */
    uid_t uid;                          /* that sessions run as, if the caller is root */
    uint32_t restarts;                  /* of servers in a row; 0: none */
    int64_t pause_ms, settled_ms;       /* as in cf_keeper_config */
    unsigned vain_from, vain;           /* so many starts fail, from that one on; the first is 1 */
    bool process;                       /* a process that only waits stands for each server but the first */
};
void peer_open_as(struct peer *p, const struct peer_birth *birth);
/* Says HELLO and waits for the answer, without which the test cannot go on. */
void peer_hello(struct peer *p);
/* Closes the connection if it is open and waits for the keeper; its wait status. */
int peer_close(struct peer *p);
/* Whether a keeper forced to `hold` comes up on this machine. */
bool peer_offers(uint32_t hold);

/* Gives the connection up, which is the end of this server, and waits for the next one.  No HELLO.  false: none came. */
bool peer_next(struct peer *p);
/* Only waits for it; *ret_fd is the caller's. */
bool peer_await_next(struct peer *p, int *ret_fd, pid_t *ret_pid);
/* The next report, whatever it is, with its descriptors, which are the caller's.  false: none came in time, or the
 * connection broke. */
bool peer_take(struct peer *p, union report *ret, int *ret_fds, size_t *ret_nfds);
void peer_send(struct peer *p, const void *data, size_t len, const int *fds, size_t nfds);
/* Starts `bash -c script`, or the program when it has a slash first, with its stdout on a pipe.  Does not wait. */
void peer_spawn(struct peer *p, uint64_t key, const char *script, int64_t lease_ms, int *ret_stdout_fd);
/* An argument block for such a script, whose sizes go into *spawn. */
int peer_block(const struct peer *p, const char *script, struct cf_wire_spawn *spawn);
/* Waits for the report of a type about a key (0: any); others that come before are dropped.  false: none came in time,
 * or the connection broke. */
bool peer_await(struct peer *p, uint32_t type, uint64_t key, union report *ret);
bool peer_broken(struct peer *p);       /* waits for the keeper to drop the connection */
void peer_signal(struct peer *p, uint64_t key, int signo, uint32_t scope, uint64_t since_ticks);
void peer_forget(struct peer *p, uint64_t key);
void peer_end(struct peer *p, uint64_t key, int64_t grace_ms);

/* Living processes that carry the mark. */
unsigned peer_alive(const struct peer *p);
bool peer_await_alive(const struct peer *p, unsigned at_least);
bool peer_await_exactly(const struct peer *p, unsigned count);
bool peer_await_dead(const struct peer *p);
/* Reads from a pipe until the text has come. */
bool peer_await_text(int fd, const char *text);
/* Reads one byte after another until all these have come, each as often as it stands there, in whatever order. */
bool peer_await_letters(int fd, const char *letters);
int64_t peer_now_ns(void);

/* --- looking at a keeper from outside --- */

/* Where cgroup2 is mounted, or NULL. */
const char *peer_cgroup_mount(void);
/* The folder of cgroup2 that a process is in, into 512 bytes. */
bool peer_cgroup_of(pid_t pid, char *ret_path);
unsigned peer_count_folders(const char *path);
unsigned peer_count_fds(pid_t pid);
/* Living children of a process; *ret_one is one of them. */
unsigned peer_children(pid_t pid, pid_t *ret_one);
pid_t peer_parent(pid_t pid);
bool peer_gone(pid_t pid);              /* waits until it is dead, reaped or not */

/* --- faults --- */

/* From now on the n-th of the system calls that a start takes fails, in a keeper or an init, once; 0: none.  They
 * share one count.  Returns how many more were to come before the one that was asked for last. */
int peer_fail_at(int nth);
/* mmap fails in this process while it is set. */
void peer_no_memory(bool set);

#endif
