/* daemon.h: a `curfew serve` of the benchmark's own, and an nginx beside it. */
#ifndef CURFEW_BENCH_DAEMON_H
#define CURFEW_BENCH_DAEMON_H

#include <sys/types.h>

struct daemon {
    pid_t keeper;               /* what was started */
    pid_t server;               /* its child that speaks HTTP */
    int port;
    char folder[256];           /* state, sockets, workspaces, log */
};

/* Flags for every `curfew serve` that is started after this, such as a containment to be measured; NULL-ended, borrowed. */
void daemon_flags(const char *const *flags);
/* Starts `curfew serve` beside this program's build folder with room for `sessions` sessions and `flags` (NULL-ended, may be NULL)
 * and waits until it answers.  0, or -1 after telling why, with the end of its log. */
int daemon_start(struct daemon *d, const char *folder, const char *name, int sessions, const char *const *flags);
void daemon_stop(struct daemon *d);

/* One nginx worker that answers every request with `body`. */
struct nginx {
    pid_t master, worker;
    int port;
};
int nginx_start(struct nginx *n, const char *folder, const char *body);
void nginx_stop(struct nginx *n);

#endif
