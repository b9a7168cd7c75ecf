/* spool_book.h: a spool's index as the next server finds it: kept in the vault beside the ring, whose memfd the keeper has.
 *
 * Everything that changes is one word, or is written before the word that makes it count: so it can be read whenever the writer died.  A piece is
 * noted as it came; what of it was dropped since is told by `begin`. */
#ifndef CURFEW_SERVER_SPOOL_BOOK_H
#define CURFEW_SERVER_SPOOL_BOOK_H

#include "server/keep.h"
#include "server/spool.h"

struct cf_book {
    const struct cf_keep *keep;         /* borrowed; NULL: none is kept */
    uint64_t number;                    /* of the spool */
    cf_vault_ref ref;                   /* 0: not begun, or there was no memory for it */
};

struct cf_book_page {
    uint64_t size, bound, origin;       /* of the ring */
    uint64_t begin;                     /* offset of the first byte that is kept */
    uint64_t first, next;               /* serial numbers of pieces */
    uint32_t capacity, pad;             /* of the ring of pieces, a power of two */
    struct cf_piece hand;               /* whose bytes come next */
    struct cf_piece pieces[];
};

/* Makes it, or makes it larger.  When there is no memory there is none from then on. */
void cf_book_grow(struct cf_book *book, uint32_t capacity);
void cf_book_ring(const struct cf_book *book, uint64_t size, uint64_t bound, uint64_t origin);
void cf_book_begin(const struct cf_book *book, uint64_t begin, uint64_t first);
/* Bytes of this source are about to be taken out of a pipe. */
void cf_book_hand(const struct cf_book *book, const struct cf_piece *source);
/* A piece as the next one, or the last one is longer by `len`. */
void cf_book_note(const struct cf_book *book, uint64_t serial, const struct cf_piece *piece);
void cf_book_longer(const struct cf_book *book, uint64_t serial, uint32_t len);
/* Whether a piece may become so much longer. */
bool cf_book_fits(const struct cf_book *book, uint64_t serial, uint32_t len, uint32_t most);
void cf_book_drop(struct cf_book *book);

#endif
