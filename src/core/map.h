/* map.h: an open-addressing hash from tags to numbers of rows that lie elsewhere.
 *
 * A tag is 32 bits of a keyed hash of the row's name.  The map stores tag and row number only: whoever looks a name up
 * walks the rows of that tag and compares the names.  Linear probing, deletion by backward shift, so that no
 * tombstones pile up.  It allocates nothing: the owner hands it cells and must keep it at most half full. */
#ifndef CURFEW_CORE_MAP_H
#define CURFEW_CORE_MAP_H

#include <stddef.h>
#include <stdint.h>

#define CF_MAP_NONE UINT32_MAX

struct cf_map_cell {
    uint32_t tag;
    uint32_t row_plus_one;              /* 0: empty */
};

struct cf_map {
    struct cf_map_cell *cells;          /* the owner's */
    uint32_t mask;                      /* number of cells, a power of two, less one */
};

struct cf_map_key {
    uint64_t k0, k1;
};

/* A 128-bit key from a seed of 64. */
struct cf_map_key cf_map_key_from(uint64_t seed);
/* SipHash-1-3 of the bytes, cut to 32 bits. */
uint32_t cf_map_tag(const struct cf_map_key *key, const char *bytes, size_t len);

/* Takes over `cells` (a power of two of them) and empties them. */
void cf_map_init(struct cf_map *map, struct cf_map_cell *cells, uint32_t count);
void cf_map_put(struct cf_map *map, uint32_t tag, uint32_t row);
/* Removes the pair, which must be there. */
void cf_map_drop(struct cf_map *map, uint32_t tag, uint32_t row);

/* Walks the rows with this tag: start with *at = cf_map_home; CF_MAP_NONE at the end. */
uint32_t cf_map_home(const struct cf_map *map, uint32_t tag);
uint32_t cf_map_next(const struct cf_map *map, uint32_t tag, uint32_t *at);

#endif
