/* keep.h: what outlives the server: its vault, and the descriptors that it gives into the keeper's hand.
 *
 * Parts of the server write what they are into the vault when it changes, and before anything that only makes sense with it: a
 * shell's record before its request, say.  The keeper has descriptors in the order in which they were sent, so one that was given to it before a request was
 * written is there when the request is.  All functions do nothing when `keep` is NULL. */
#ifndef CURFEW_SERVER_KEEP_H
#define CURFEW_SERVER_KEEP_H

#include "server/link.h"
#include "server/vault.h"

/* What a descriptor is: the upper half of its tag. */
enum cf_tag {
    CF_TAG_STATE = 1, CF_TAG_LISTENER, CF_TAG_SPOOL,                                                    /* the server's own (key 0) */
    CF_TAG_BOOT, CF_TAG_REQUESTS, CF_TAG_STATUSES, CF_TAG_OUT, CF_TAG_ERR, CF_TAG_INPUT, CF_TAG_INPUT_END,   /* a shell's */
    CF_TAG_PTY, CF_TAG_STATUSES_END, CF_TAG_ANSWERS, CF_TAG_ANSWERS_END
};

struct cf_keep {
    struct cf_vault *vault;             /* NULL: there is no memory for one, and a server that dies takes all with it */
    struct cf_link *link;               /* NULL until it is open */
    bool leaving;                       /* another server takes over: what is freed here stays */
};

struct cf_keep_fd {
    enum cf_tag tag;
    uint32_t number;                    /* which one, where there are several */
    int fd;
};

static inline struct cf_vault *cf_keep_vault(const struct cf_keep *keep)
{
    return keep != NULL && !keep->leaving ? keep->vault : NULL;
}

/* Gives copies of `count` descriptors into the keeper's hand, those that are -1 left out. */
void cf_keep_hold(const struct cf_keep *keep, uint64_t key, const struct cf_keep_fd *fds, size_t count);
/* The keeper closes its copy. */
void cf_keep_drop(const struct cf_keep *keep, uint64_t key, enum cf_tag tag, uint32_t number);

/* ---- what a server that comes after another finds ---- */

/* One session as the keeper has it, with its descriptors. */
struct cf_heir {
    uint64_t key;
    uint32_t state, hold;               /* as in HELD */
    int pid;
    bool taken;                         /* somebody knows of it */
    struct cf_keep_fd *fds;             /* owned, until taken out */
    uint32_t count, room;
};

struct cf_heirs {
    struct cf_heir *all;                /* sorted by key once complete; the first is the server itself, key 0 */
    uint32_t count, room;
    uint32_t servers;                   /* that served before this one; 0: it is the first */
};

int cf_heirs_add(struct cf_heirs *heirs, const struct cf_wire_held *held);
/* Takes the descriptors over, also when it fails. */
int cf_heirs_add_fds(struct cf_heirs *heirs, const struct cf_wire_kept *kept, const int *fds, size_t count);
void cf_heirs_sort(struct cf_heirs *heirs);
/* NULL: the keeper holds no such. */
struct cf_heir *cf_heirs_find(const struct cf_heirs *heirs, uint64_t key);
/* Takes a descriptor out of it: owned by the caller from now on; -1: there is none. */
int cf_heir_take(struct cf_heir *heir, enum cf_tag tag, uint32_t number);
/* Closes what nobody took. */
void cf_heirs_free(struct cf_heirs *heirs);

#endif
