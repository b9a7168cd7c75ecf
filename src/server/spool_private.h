/* spool_private.h: a spool's inside, shared by spool.c (writing) and spool_read.c (cursors). */
#ifndef CURFEW_SERVER_SPOOL_PRIVATE_H
#define CURFEW_SERVER_SPOOL_PRIVATE_H

#include "server/spool_book.h"

struct cf_spool {
    struct cf_spool_budget *budget;
    cf_spool_dropping *dropping;
    void *arg;
    int fd;                             /* -1: nothing was printed yet, or there is no memory for it */
    char *map;
    size_t mapped;                      /* bytes of `map`: the bound as it was at first */
    uint64_t size, bound;               /* of the ring; size grows up to bound */
    uint64_t begin, end;                /* offsets in the session's output; end - begin <= size */
    uint64_t origin;                    /* the offset that lies at the ring's first byte, the first time */
    struct cf_piece *pieces;            /* ring of a power of two */
    uint64_t first, next;               /* serial numbers; first == next: none */
    uint32_t capacity;
    LIST_HEAD(, cf_cursor) holders;
    struct cf_book book;                /* the same for the next server */
};

static inline struct cf_piece *piece_at(const struct cf_spool *s, uint64_t serial)
{
    return &s->pieces[serial & (s->capacity - 1)];
}

static inline size_t place_of(const struct cf_spool *s, uint64_t at)
{
    return (size_t)((at - s->origin) % s->size);
}

#endif
