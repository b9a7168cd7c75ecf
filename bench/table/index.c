#include "bench/table/index.h"

#include <stdlib.h>

bool index_open(struct index *index, size_t id_offset)
{
    index->mask = 63;
    index->count = 0;
    index->id_offset = id_offset;
    index->cells = calloc(index->mask + 1, sizeof index->cells[0]);
    return index->cells != NULL;
}

void index_close(struct index *index)
{
    free(index->cells);
}

static void put(struct index_cell *cells, size_t mask, uint64_t hash, void *value)
{
    size_t i = hash & mask;
    while (cells[i].value != NULL)
        i = (i + 1) & mask;
    cells[i].hash = hash;
    cells[i].value = value;
}

bool index_reserve(struct index *index)
{
    if ((index->count + 1) * 4 <= (index->mask + 1) * 3)
        return true;
    size_t mask = index->mask * 2 + 1;
    struct index_cell *cells = calloc(mask + 1, sizeof cells[0]);
    if (cells == NULL)
        return false;
    for (size_t i = 0; i <= index->mask; i++)
        if (index->cells[i].value != NULL)
            put(cells, mask, index->cells[i].hash, index->cells[i].value);
    free(index->cells);
    index->cells = cells;
    index->mask = mask;
    return true;
}

void index_add(struct index *index, uint64_t hash, void *value)
{
    put(index->cells, index->mask, hash, value);
    index->count++;
}

void index_remove(struct index *index, uint64_t hash, const void *value)
{
    struct index_cell *cells = index->cells;
    size_t mask = index->mask, hole = hash & mask;
    while (cells[hole].value != value)
        hole = (hole + 1) & mask;
    /* What follows moves up into the hole if its probing began at or before it. */
    for (size_t i = (hole + 1) & mask; cells[i].value != NULL; i = (i + 1) & mask) {
        if (((i - cells[i].hash) & mask) < ((i - hole) & mask))
            continue;
        cells[hole] = cells[i];
        hole = i;
    }
    cells[hole].value = NULL;
    index->count--;
}
