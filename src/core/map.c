/* map.c: see map.h. */
#include "core/map.h"

#include <assert.h>
#include <string.h>

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
    return key;
}

static uint64_t rotate(uint64_t x, int bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[0] = rotate(v[0], 32);
    v[2] += v[3];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

uint32_t cf_map_tag(const struct cf_map_key *key, const char *bytes, size_t len)
{
    uint64_t v[4] = {
        key->k0 ^ 0x736f6d6570736575u, key->k1 ^ 0x646f72616e646f6du,
        key->k0 ^ 0x6c7967656e657261u, key->k1 ^ 0x7465646279746573u,
    };
    size_t whole = len & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t word;
        memcpy(&word, bytes + i, 8);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)len << 56;
    for (size_t i = whole; i < len; i++)
        last |= (uint64_t)(unsigned char)bytes[i] << (8 * (i - whole));
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(v);
    return (uint32_t)(v[0] ^ v[1] ^ v[2] ^ v[3]);
}

void cf_map_init(struct cf_map *map, struct cf_map_cell *cells, uint32_t count)
{
    assert(count > 0 && (count & (count - 1)) == 0);
    memset(cells, 0, (size_t)count * sizeof *cells);
    map->cells = cells;
    map->mask = count - 1;
}

void cf_map_put(struct cf_map *map, uint32_t tag, uint32_t row)
{
    uint32_t at = tag & map->mask;
    while (map->cells[at].row_plus_one != 0)
        at = (at + 1) & map->mask;
    map->cells[at] = (struct cf_map_cell){ tag, row + 1 };
}

uint32_t cf_map_home(const struct cf_map *map, uint32_t tag)
{
    return tag & map->mask;
}

uint32_t cf_map_next(const struct cf_map *map, uint32_t tag, uint32_t *at)
{
    for (;;) {
        const struct cf_map_cell *cell = &map->cells[*at];
        if (cell->row_plus_one == 0)
            return CF_MAP_NONE;
        *at = (*at + 1) & map->mask;
        if (cell->tag == tag)
            return cell->row_plus_one - 1;
    }
}

void cf_map_drop(struct cf_map *map, uint32_t tag, uint32_t row)
{
    struct cf_map_cell *cells = map->cells;
    uint32_t hole = tag & map->mask;
    while (cells[hole].row_plus_one != row + 1) {
        assert(cells[hole].row_plus_one != 0);
        hole = (hole + 1) & map->mask;
    }
    /* Every later cell of the run moves into the hole unless its home lies behind the hole: a walk from that home
     * would not pass the hole then. */
    for (uint32_t at = (hole + 1) & map->mask; cells[at].row_plus_one != 0; at = (at + 1) & map->mask) {
        uint32_t from_home = (at - (cells[at].tag & map->mask)) & map->mask;
        uint32_t from_hole = (at - hole) & map->mask;
        if (from_home >= from_hole) {
            cells[hole] = cells[at];
            hole = at;
        }
    }
    cells[hole] = (struct cf_map_cell){ 0, 0 };
}
