/* limbo.h: memory that nothing refers to any more, but that a reader without the lock may still be looking at. */
#ifndef CURFEW_CORE_LIMBO_H
#define CURFEW_CORE_LIMBO_H

#include <stddef.h>

/* Stands first in everything that can be looked at without the lock and is allocated by itself. */
struct cf_dead {
    struct cf_dead *next;
    size_t bytes;                       /* of the whole piece, header included */
};

/* Where such pieces come from, and where they go when they have been replaced. */
struct cf_store {
    void *(*take)(void *context, size_t bytes);
    void (*bury)(void *context, struct cf_dead *dead);
    void *context;
};

#endif
