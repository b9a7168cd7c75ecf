/* shells.h: every shell that is with the keeper, by key; where the keeper's reports find theirs. */
#ifndef CURFEW_SERVER_SHELLS_H
#define CURFEW_SERVER_SHELLS_H

#include "server/link.h"
#include "server/keep.h"
#include "server/shell.h"

struct cf_shells;

/* NULL: out of memory. */
struct cf_shells *cf_shells_new(struct cf_shell_host *host);
void cf_shells_free(struct cf_shells **shells);         /* and every shell in it */
/* Starts a shell in the folder `cwd_fd` under a key that was never used before; `terminal` is NULL for one without. */
int cf_shells_start(struct cf_shells *shells, int cwd_fd, const struct cf_terminal *terminal, const struct cf_shell_events *events,
                    void *arg, struct cf_shell **ret, struct cf_error *error);
/* One of an earlier server; it is this table's from now on.  0 or -1: out of memory. */
int cf_shells_adopt(struct cf_shells *shells, struct cf_shell *shell);
/* No key up to this one is given again. */
void cf_shells_pass(struct cf_shells *shells, uint64_t key);
/* What an earlier server had read of a shell's statuses. */
void cf_shells_replay(struct cf_shells *shells, struct cf_vault_hand *hand);
/* Removes the folders under `runtime_dir` that are no shell's. */
void cf_shells_clean(const struct cf_shells *shells);
/* The same for a program in the place of a shell. */
int cf_shells_start_program(struct cf_shells *shells, int cwd_fd, const struct cf_program *program, const struct cf_shell_events *events,
                            void *arg, struct cf_shell **ret, struct cf_error *error);
/* Frees a shell that has ended, a moment later: whoever waits for its end is told first. */
void cf_shells_drop(struct cf_shells *shells, struct cf_shell *shell);

/* The reports of cf_link_reports; `shells` is their arg. */
void cf_shells_on_spawned(struct cf_shells *shells, const struct cf_wire_spawned *report);
void cf_shells_on_signaled(struct cf_shells *shells, const struct cf_wire_signaled *report);
void cf_shells_on_left(struct cf_shells *shells, const struct cf_wire_left *report);
void cf_shells_on_ended(struct cf_shells *shells, const struct cf_wire_ended *report);

#endif
