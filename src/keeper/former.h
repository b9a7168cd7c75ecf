/* former.h: the cgroup folders of earlier keepers with the same state folder.
 *
 * A keeper's folder lies under the cgroup that it was started in.  The next one may be started in another, and would
 * not look there for what a killed keeper left: so `<state_dir>/cgroup` names each folder, one a line, until it is
 * swept. */
#ifndef CURFEW_KEEPER_FORMER_H
#define CURFEW_KEEPER_FORMER_H

#include "keeper/cgroup.h"

/* Sweeps and removes the folders that the file names, except the present one, and writes it anew: with the present
 * one (if there are cgroups at all) and with what would not empty within `wait_ms`.  What fails is logged.  Returns
 * how many processes were killed. */
uint32_t cf_former_sweep(const char *state_dir, const struct cf_cgroups *present, int64_t wait_ms);

#endif
