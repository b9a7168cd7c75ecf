/* place.h: which processors the two sides of a round trip run on.
 *
 * A hand-over between two processors that sleep in between takes some 15 us longer than on one.  Where the scheduler
 * puts a bare pair and a chain of four is luck that lasts as long as they live, so a ratio says more when it is known. */
#ifndef CURFEW_BENCH_PLACE_H
#define CURFEW_BENCH_PLACE_H

#include "bench/daemon.h"

enum place {
    PLACE_ANY,                      /* wherever the scheduler puts them */
    PLACE_ONE,                      /* all on one */
    PLACE_APART,                    /* the client on one, everything else on another */
    PLACES
};

/* Those that this machine allows: the first so many.  ANY comes first in a run, before anything was placed: what was
 * pinned stays for a while where it was. */
int place_count(void);
/* For a row's name. */
const char *place_name(enum place place);
/* This process, as the client. */
void place_client(enum place place);
/* What it measures, with its threads, and what that starts later. */
void place_server(enum place place, pid_t pid);
/* The daemon with all that it has started, and what it starts later. */
void place_daemon(enum place place, const struct daemon *d);

#endif
