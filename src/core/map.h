/* map.h: a hash from tags to numbers of rows that lie elsewhere, which grows by small steps and can be read while
 * it does.
 *
 * A tag is 32 bits of a keyed hash of the row's name.  The map stores tag and row number only: whoever looks a name
 * up walks the rows of that tag and compares the names.
 *
 * It is an extendible hash: the upper bits of a tag pick a page of 512 cells from a directory, the lower ones a
 * cell to begin at.  A page that is too full is split in two by the next bit of its tags, so that the longest step
 * of its growth copies one page (1 to 2 µs) or the directory (8 bytes for some 300 rows), whatever its size; a
 * table of twice the size that is filled bit by bit from the old one would do as well, and have both in memory at
 * once.  (R. Fagin et al., Extendible Hashing, ACM TODS 4(3), 1979.)  Within a page: linear probing, deletion by
 * backward shift, so that no tombstones pile up.
 *
 * One owner changes it.  cf_map_walk and its two companions may run beside the owner, if what is buried is kept until
 * they have ended. */
#ifndef CURFEW_CORE_MAP_H
#define CURFEW_CORE_MAP_H

#include "core/limbo.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CF_MAP_NONE UINT32_MAX
#define CF_MAP_CELLS 512                /* a page; a power of two */
#define CF_MAP_FULL 400                 /* used cells at which a page is split */
#define CF_MAP_DEPTH_MAX 22             /* bits of the directory: 2^22 pages hold more than CF_SESSIONS_MAX rows */

struct cf_map_page {
    struct cf_dead dead;
    uint32_t version;                   /* odd while cells are being moved */
    uint16_t used;
    uint16_t depth;                     /* bits of the tag that all of its rows have in common */
    uint64_t padding[5];                /* cells begin at a line of the processor's cache */
    uint64_t cells[CF_MAP_CELLS];       /* tag above, row + 1 below; 0: empty */
};

struct cf_map_dir {
    struct cf_dead dead;
    uint32_t depth;
    struct cf_map_page *pages[];        /* 2^depth; those of lesser depth several times */
};

struct cf_map {
    struct cf_map_dir *dir;
};

struct cf_map_key {
    uint64_t k0, k1, k2;
};

/* A 128-bit key from a seed of 64. */
struct cf_map_key cf_map_key_from(uint64_t seed);
/* 32 bits of a keyed hash of the bytes: words of text and key are multiplied to 128 bits and the halves folded, the
 * construction of wyhash (Wang Yi, 2019).  Whoever does not know the key cannot choose names that collide by any
 * way that is known, which is less than SipHash proves; and what a flood of equal tags could do is bounded: a walk
 * looks at one page, and a page that no split relieves refuses.  A look-up's speed is how many of them the
 * processor overlaps, and with SipHash's 130 instructions more it was a fifth slower at a million rows. */
uint32_t cf_map_tag(const struct cf_map_key *key, const char *bytes, size_t len);

/* An empty map of one page.  False: no memory. */
bool cf_map_init(struct cf_map *map, const struct cf_store *store) __attribute__((warn_unused_result));
/* Buries all of it; nobody reads any more. */
void cf_map_clear(struct cf_map *map, const struct cf_store *store);
/* Makes room for one more row of this tag.  False: no memory, or so many equal tags that no split parts them. */
bool cf_map_reserve(struct cf_map *map, const struct cf_store *store, uint32_t tag) __attribute__((warn_unused_result));
/* There is room. */
void cf_map_put(struct cf_map *map, uint32_t tag, uint32_t row);
/* Removes the pair, which must be there. */
void cf_map_drop(struct cf_map *map, uint32_t tag, uint32_t row);

/* Asks for the memory that a put or drop of this tag reads first. */
void cf_map_prefetch(const struct cf_map *map, uint32_t tag);

/* ── walks: inline, since a look-up is little more than two of these and a comparison ── */

/* Where in the directory a tag's page stands, and the page. */
static inline uint32_t cf_map_place(const struct cf_map_dir *dir, uint32_t tag)
{
    return (uint32_t)((uint64_t)tag << dir->depth >> 32);
}

static inline struct cf_map_page *cf_map_page_of(const struct cf_map_dir *dir, uint32_t tag)
{
    return __atomic_load_n(&dir->pages[cf_map_place(dir, tag)], __ATOMIC_ACQUIRE);
}

struct cf_map_walk {
    const struct cf_map_page *page;
    uint32_t tag, at, left, version;
};

static inline struct cf_map_walk cf_map_walk(const struct cf_map *map, uint32_t tag)
{
    const struct cf_map_page *page = cf_map_page_of(__atomic_load_n(&map->dir, __ATOMIC_ACQUIRE), tag);
    return (struct cf_map_walk){
        .page = page, .tag = tag, .at = tag & (CF_MAP_CELLS - 1), .left = CF_MAP_CELLS,
        .version = __atomic_load_n(&page->version, __ATOMIC_ACQUIRE),
    };
}

/* The next row with this tag; CF_MAP_NONE at the end. */
static inline uint32_t cf_map_walk_next(struct cf_map_walk *walk)
{
    while (walk->left > 0) {
        uint64_t cell = __atomic_load_n(&walk->page->cells[walk->at], __ATOMIC_ACQUIRE);
        if (cell == 0)
            return CF_MAP_NONE;
        walk->at = (walk->at + 1) & (CF_MAP_CELLS - 1);
        walk->left--;
        if (cell >> 32 == walk->tag)
            return (uint32_t)cell - 1;
    }
    return CF_MAP_NONE;
}

/* True when no row was moved while the walk went on: what it did not find is not there. */
static inline bool cf_map_walk_sure(const struct cf_map_walk *walk)
{
    return (walk->version & 1) == 0 && __atomic_load_n(&walk->page->version, __ATOMIC_RELAXED) == walk->version;
}

#endif
