/* map.c: see map.h. */
#include "core/map.h"

#include <assert.h>
#include <string.h>

#define CELL_MASK (CF_MAP_CELLS - 1)

static uint64_t mix(uint64_t *state)    /* splitmix64 */
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct cf_map_key cf_map_key_from(uint64_t seed)
{
    struct cf_map_key key;
    key.k0 = mix(&seed);
    key.k1 = mix(&seed);
    key.k2 = mix(&seed) | 1;
    return key;
}

/* Both halves of the product, folded into one. */
static inline uint64_t fold(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline uint64_t word_at(const char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline uint32_t half_at(const char *bytes)
{
    uint32_t half;
    memcpy(&half, bytes, sizeof half);
    return half;
}

uint32_t cf_map_tag(const struct cf_map_key *key, const char *bytes, size_t len)
{
    uint64_t h = key->k0, first = 0, last = 0;
    const char *end = bytes + len;
    for (; end - bytes > 16; bytes += 16)
        h = fold(word_at(bytes) ^ key->k1, word_at(bytes + 8) ^ h);
    /* The last 1 to 16 bytes, as two words that may overlap. */
    if (end - bytes >= 8) {
        first = word_at(bytes);
        last = word_at(end - 8);
    } else if (end - bytes >= 4) {
        first = half_at(bytes);
        last = half_at(end - 4);
    } else if (end - bytes > 0) {
        first = (uint64_t)(unsigned char)bytes[0] << 8 | (unsigned char)bytes[(end - bytes) / 2];
        last = (unsigned char)end[-1];
    }
    /* The length comes where no text can cancel it. */
    return (uint32_t)(fold(fold(first ^ key->k1, last ^ h), key->k2 ^ len) >> 16);
}

/* ── pages and the directory ── */

static void store_cell(uint64_t *cell, uint64_t value)
{
    __atomic_store_n(cell, value, __ATOMIC_RELEASE);
}

static uint32_t tag_of(uint64_t cell)
{
    return (uint32_t)(cell >> 32);
}

static struct cf_map_page *new_page(const struct cf_store *store, uint32_t depth)
{
    struct cf_map_page *page = store->take(store->context, sizeof *page);
    if (!page)
        return NULL;
    memset(page, 0, sizeof *page);
    page->dead.bytes = sizeof *page;
    page->depth = (uint16_t)depth;
    return page;
}

static struct cf_map_dir *new_dir(const struct cf_store *store, uint32_t depth)
{
    size_t bytes = sizeof(struct cf_map_dir) + (sizeof(struct cf_map_page *) << depth);
    struct cf_map_dir *dir = store->take(store->context, bytes);
    if (!dir)
        return NULL;
    dir->dead = (struct cf_dead){ NULL, bytes };
    dir->depth = depth;
    return dir;
}

bool cf_map_init(struct cf_map *map, const struct cf_store *store)
{
    struct cf_map_dir *dir = new_dir(store, 0);
    struct cf_map_page *page = dir ? new_page(store, 0) : NULL;
    if (!page) {
        if (dir)
            store->bury(store->context, &dir->dead);
        return false;
    }
    dir->pages[0] = page;
    map->dir = dir;
    return true;
}

void cf_map_clear(struct cf_map *map, const struct cf_store *store)
{
    struct cf_map_dir *dir = map->dir;
    if (!dir)
        return;
    for (uint32_t at = 0; at < 1u << dir->depth;) {
        struct cf_map_page *page = dir->pages[at];
        at += 1u << (dir->depth - page->depth);
        store->bury(store->context, &page->dead);
    }
    store->bury(store->context, &dir->dead);
    map->dir = NULL;
}

static void put_into(struct cf_map_page *page, uint64_t cell)
{
    uint32_t at = tag_of(cell) & CELL_MASK;
    while (page->cells[at] != 0)
        at = (at + 1) & CELL_MASK;
    store_cell(&page->cells[at], cell);
    page->used++;
}

/* Twice as many places, each page in two of them. */
static bool grow_dir(struct cf_map *map, const struct cf_store *store)
{
    struct cf_map_dir *old = map->dir;
    if (old->depth == CF_MAP_DEPTH_MAX)
        return false;
    struct cf_map_dir *dir = new_dir(store, old->depth + 1);
    if (!dir)
        return false;
    for (uint32_t at = 0; at < 1u << old->depth; at++)
        dir->pages[2 * at] = dir->pages[2 * at + 1] = old->pages[at];
    __atomic_store_n(&map->dir, dir, __ATOMIC_RELEASE);
    store->bury(store->context, &old->dead);
    return true;
}

/* Two new pages instead of the one of this tag, which stays as it was for whoever reads it. */
static bool split(struct cf_map *map, const struct cf_store *store, uint32_t tag)
{
    struct cf_map_page *old = cf_map_page_of(map->dir, tag);
    if (old->depth == map->dir->depth && !grow_dir(map, store))
        return false;
    struct cf_map_page *halves[2] = { new_page(store, old->depth + 1u), new_page(store, old->depth + 1u) };
    if (!halves[0] || !halves[1]) {
        for (int i = 0; i < 2; i++)
            if (halves[i])
                store->bury(store->context, &halves[i]->dead);
        return false;
    }
    for (uint32_t i = 0; i < CF_MAP_CELLS; i++)
        if (old->cells[i] != 0)
            put_into(halves[tag_of(old->cells[i]) >> (31 - old->depth) & 1], old->cells[i]);

    struct cf_map_dir *dir = map->dir;
    uint32_t span = 1u << (dir->depth - old->depth);
    uint32_t first = cf_map_place(dir, tag) & ~(span - 1);
    for (uint32_t i = 0; i < span; i++)
        __atomic_store_n(&dir->pages[first + i], halves[i >= span / 2], __ATOMIC_RELEASE);
    store->bury(store->context, &old->dead);
    return true;
}

bool cf_map_reserve(struct cf_map *map, const struct cf_store *store, uint32_t tag)
{
    while (cf_map_page_of(map->dir, tag)->used >= CF_MAP_FULL)
        if (!split(map, store, tag))
            return cf_map_page_of(map->dir, tag)->used < CF_MAP_CELLS - 1;
    return true;
}

void cf_map_put(struct cf_map *map, uint32_t tag, uint32_t row)
{
    struct cf_map_page *page = cf_map_page_of(map->dir, tag);
    assert(page->used < CF_MAP_CELLS - 1);
    put_into(page, (uint64_t)tag << 32 | (row + 1));
}

void cf_map_drop(struct cf_map *map, uint32_t tag, uint32_t row)
{
    struct cf_map_page *page = cf_map_page_of(map->dir, tag);
    uint64_t *cells = page->cells, wanted = (uint64_t)tag << 32 | (row + 1);
    uint32_t hole = tag & CELL_MASK;
    while (cells[hole] != wanted) {
        assert(cells[hole] != 0);
        hole = (hole + 1) & CELL_MASK;
    }
    /* A reader may miss a row that is moved behind its back.  Whoever sees a moved cell sees the odd version, too. */
    __atomic_store_n(&page->version, page->version + 1, __ATOMIC_RELAXED);
    /* Every later cell of the run moves into the hole unless its home lies behind the hole: a walk from that home
     * would not pass the hole then. */
    for (uint32_t at = (hole + 1) & CELL_MASK; cells[at] != 0; at = (at + 1) & CELL_MASK) {
        uint32_t from_home = (at - tag_of(cells[at])) & CELL_MASK;
        uint32_t from_hole = (at - hole) & CELL_MASK;
        if (from_home >= from_hole) {
            store_cell(&cells[hole], cells[at]);
            hole = at;
        }
    }
    store_cell(&cells[hole], 0);
    page->used--;
    __atomic_store_n(&page->version, page->version + 1, __ATOMIC_RELEASE);
}

void cf_map_prefetch(const struct cf_map *map, uint32_t tag)
{
    struct cf_map_page *page = cf_map_page_of(map->dir, tag);
    __builtin_prefetch(&page->cells[tag & CELL_MASK], 1);
    __builtin_prefetch(&page->version, 1);
}
