/* kept.h: descriptors that the keeper holds for a server that comes after this one. */
#ifndef CURFEW_KEEPER_KEPT_H
#define CURFEW_KEEPER_KEPT_H

#include "keeper/map.h"
#include "keeper/wire.h"

struct cf_keeper;
struct cf_held;

/* Those of sessions are lists in one store, in which they stay where they are put; those of the server itself are
 * found by tag.  No more of each than wire.h says. */
struct cf_kept {
    struct cf_kept_place { uint64_t tag; int fd; uint32_t next; } *places;  /* place 0 is the end of every list */
    uint32_t capacity, used;            /* places that were ever taken, the first included */
    uint32_t first_free;
    uint32_t total;                     /* descriptors that are held, of all */
    struct cf_map own;                  /* tag to descriptor */
    bool complained;
};

/* Puts a descriptor, which is the store's from now on, under the tag, and closes what was there.  `held` NULL: the
 * server's own.  0; or -1, and it is still the caller's: there are as many as may be, or no memory, and the tag has none. */
int cf_kept_put(struct cf_keeper *k, struct cf_held *held, uint64_t tag, int fd);
/* The descriptors of this HOLD did not come, as no number was free: what its tags had is closed, for it is old.  `held` NULL:
 * the server's own, or of a session that is not held. */
void cf_kept_miss(struct cf_keeper *k, struct cf_held *held, const struct cf_wire_hold *request);
void cf_kept_drop(struct cf_keeper *k, struct cf_held *held, uint64_t tag);
/* Closes all of a session. */
void cf_kept_close(struct cf_keeper *k, struct cf_held *held);
/* Closes the server's own. */
void cf_kept_close_own(struct cf_keeper *k);
/* Up to CF_WIRE_FDS_MAX of them from a place on, which is 0 at first; returns how many, and in *ret_next where the others are
 * (0: there are none).  They stay the store's. */
uint32_t cf_kept_list(const struct cf_keeper *k, const struct cf_held *held, uint32_t from, uint64_t *ret_tags, int *ret_fds,
                      uint32_t *ret_next);
/* Closes everything. */
void cf_kept_free(struct cf_keeper *k);

#endif
