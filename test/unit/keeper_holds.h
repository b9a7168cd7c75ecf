/* keeper_holds.h: running the same behaviours under each containment that the machine offers. */
#ifndef CURFEW_TEST_KEEPER_HOLDS_H
#define CURFEW_TEST_KEEPER_HOLDS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "keeper_peer.h"

#define LEASE_MS 600000

/* Everything that gets away from a killpg or a walk of the tree.  The forker makes short-lived grandchildren as fast
 * as it can; the pipe holder is the plain `sleep`, whose stdout is the session's. */
#define ESCAPERS \
    "sleep 1000 & " \
    "nohup sleep 1000 >/dev/null 2>&1 & " \
    "setsid sleep 1000 & " \
    "( ( setsid bash -c 'trap \"\" HUP INT TERM; while :; do sleep 1000; done' </dev/null >/dev/null 2>&1 & ) & ) ; " \
    "bash -c 'kill -STOP $$; sleep 1000' & " \
    "bash -c 'while :; do :; done' & " \
    "( trap '' HUP INT TERM; sleep 1000 ) & "
#define FORKER "bash -c 'while :; do ( sleep 0.02 & ); done' & "
#define ESCAPER_COUNT 9

struct behaviour {
    const char *title;
    CMUnitTestFunction function;
    bool needs_init;                    /* not for a containment that has none */
};

/* The containment of this round: CF_HOLD_* bits. */
uint32_t hold_of(void **state);
/* A session that runs `script` in bash and has started; *ret_fd, when asked for, reads what it prints. */
void start(struct peer *p, uint64_t key, const char *script, int64_t lease_ms, int *ret_fd);
/* A session that starts and ends. */
void run_one(struct peer *p, uint64_t key);
/* An orderly end that leaves nobody. */
void bye(struct peer *p);

/* For main: all behaviours under each containment, or under that of argv[1] alone; argv[2] filters titles. */
int run_holds(int argc, char **argv, const struct behaviour *behaviours, size_t count);

#endif
