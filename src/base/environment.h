/* environment.h: the environment out of others' sight.
 *
 * Whoever may look at a process finds in /proc/PID/environ what it was started with, and a session may look at its own init, which comes
 * from the keeper by fork, and as the same user, where no PID namespace holds it, at keeper and server. */
#ifndef CURFEW_BASE_ENVIRONMENT_H
#define CURFEW_BASE_ENVIRONMENT_H

#include <stdbool.h>

/* Moves `environ` to memory of its own, which a child does not get by fork, and clears where it was.  Once, before there are threads; pointers that
 * were got from the environment before are to empty strings then.  0, or -1 and errno: no memory, nothing was moved. */
int cf_environment_hide(void);
/* Whether children made by fork get it from now on: around the fork of one that is to have it. */
void cf_environment_share(bool on);

#endif
