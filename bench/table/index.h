/* index.h: a hash table from ids to sessions: open addressing, linear probing, no tombstones.  As fast as such a thing
 * gets without a key against chosen ids; it stands for "a good hash" beside the heap and the wheel. */
#ifndef CURFEW_BENCH_TABLE_INDEX_H
#define CURFEW_BENCH_TABLE_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct index_cell {
    uint64_t hash;                      /* with value NULL: the cell is free */
    void *value;
};

struct index {
    struct index_cell *cells;
    size_t mask, count;
    size_t id_offset;                   /* of the id in what the values point to */
};

bool index_open(struct index *index, size_t id_offset);
void index_close(struct index *index);
/* Room for one more; false: no memory. */
bool index_reserve(struct index *index);
void index_add(struct index *index, uint64_t hash, void *value);
void index_remove(struct index *index, uint64_t hash, const void *value);

__extension__ typedef unsigned __int128 index_wide;

/* Eight bytes at a time by a multiplication of 64 by 64 to 128 bits. */
static inline uint64_t index_hash(const char *id, size_t len)
{
    uint64_t hash = len * UINT64_C(0x9e3779b97f4a7c15), word;
    for (; len > 8; len -= 8, id += 8) {
        memcpy(&word, id, 8);
        index_wide product = (index_wide)(hash ^ word) * UINT64_C(0xd6e8feb86659fd93);
        hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    word = 0;
    for (size_t i = 0; i < len; i++)
        word |= (uint64_t)(uint8_t)id[i] << (8 * i);
    index_wide product = (index_wide)(hash ^ word) * UINT64_C(0xa0761d6478bd642f);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static inline void *index_find(const struct index *index, uint64_t hash, const char *id, size_t bytes)
{
    for (size_t i = hash & index->mask;; i = (i + 1) & index->mask) {
        const struct index_cell *cell = &index->cells[i];
        if (cell->value == NULL)
            return NULL;
        if (cell->hash == hash && memcmp((const char *)cell->value + index->id_offset, id, bytes) == 0)
            return cell->value;
    }
}

static inline void *index_find_id(const struct index *index, const char *id)
{
    size_t len = strlen(id);
    return index_find(index, index_hash(id, len), id, len + 1);
}

#endif
