/* pool.h: shells kept ready for the next sessions, each already in a containment of its own. */
#ifndef CURFEW_SERVER_POOL_H
#define CURFEW_SERVER_POOL_H

#include "server/shell.h"

struct cf_pool;

/* Keeps `want` shells ready; `new_shell` starts one (and registers it for the keeper's reports). */
struct cf_pool *cf_pool_new(struct event_base *loop, size_t want,
                            int (*new_shell)(void *arg, const struct cf_shell_events *events, void *shell_arg,
                                             struct cf_shell **ret, struct cf_error *error),
                            void (*drop_shell)(void *arg, struct cf_shell *shell), void *arg);
void cf_pool_free(struct cf_pool **pool);
/* A ready shell, which the caller adopts, or NULL. The pool refills itself a moment later, so that the caller's
 * session comes first. */
struct cf_shell *cf_pool_take(struct cf_pool *pool);
/* Starts to fill; called once the server serves. */
void cf_pool_fill(struct cf_pool *pool);
/* Ends every shell that nobody took and starts no more. */
void cf_pool_stop(struct cf_pool *pool);
/* Shells that are with the keeper: ready, booting or ending. */
size_t cf_pool_count(const struct cf_pool *pool);

#endif
