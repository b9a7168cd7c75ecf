/* map.h: numbers to numbers, for finding a session by key, pid or cgroup. */
#ifndef CURFEW_KEEPER_MAP_H
#define CURFEW_KEEPER_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Open addressing with linear probing; key 0 is an empty place and cannot be stored. */
struct cf_map {
    struct cf_map_place { uint64_t key; uint32_t value; } *places;
    uint32_t capacity;                  /* a power of two, or 0 */
    uint32_t used;
};

/* Memory that children do not inherit: a table in it costs a fork nothing, and no session's init keeps old
 * copies of its pages.  Zeroed.  NULL when there is none. */
void *cf_pages_alloc(size_t bytes);
void cf_pages_free(void *pages, size_t bytes);

/* Makes room for `count` keys in all, so that putting them cannot fail.  0, or -1: out of memory. */
int cf_map_reserve(struct cf_map *m, uint32_t count);
int cf_map_put(struct cf_map *m, uint64_t key, uint32_t value);     /* 0, or -1: out of memory */
bool cf_map_get(const struct cf_map *m, uint64_t key, uint32_t *ret_value);
void cf_map_remove(struct cf_map *m, uint64_t key);                 /* no such key: nothing happens */
void cf_map_free(struct cf_map *m);

#endif
