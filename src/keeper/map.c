#include "keeper/map.h"

#include <sys/mman.h>

void *cf_pages_alloc(size_t bytes)
{
    void *pages = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED)
        return NULL;
    (void)madvise(pages, bytes, MADV_DONTFORK);     /* only saves memory, so a refusal does not matter */
    return pages;
}

void cf_pages_free(void *pages, size_t bytes)
{
    if (pages != NULL)
        munmap(pages, bytes);
}

static uint32_t home(const struct cf_map *m, uint64_t key)
{
    return (uint32_t)((key * 0x9E3779B97F4A7C15ULL) >> 32) & (m->capacity - 1);
}

static void place(struct cf_map *m, uint64_t key, uint32_t value)
{
    uint32_t at = home(m, key);

    while (m->places[at].key != 0 && m->places[at].key != key)
        at = (at + 1) & (m->capacity - 1);
    if (m->places[at].key == 0)
        m->used++;
    m->places[at] = (struct cf_map_place){ .key = key, .value = value };
}

static int grow(struct cf_map *m)
{
    struct cf_map larger = { .capacity = m->capacity != 0 ? m->capacity * 2 : 256 };

    larger.places = cf_pages_alloc(larger.capacity * sizeof *larger.places);
    if (larger.places == NULL)
        return -1;
    for (uint32_t i = 0; i < m->capacity; i++)
        if (m->places[i].key != 0)
            place(&larger, m->places[i].key, m->places[i].value);
    cf_map_free(m);
    *m = larger;
    return 0;
}

int cf_map_reserve(struct cf_map *m, uint32_t count)
{
    while (count * 2 > m->capacity)
        if (grow(m) != 0)
            return -1;
    return 0;
}

int cf_map_put(struct cf_map *m, uint64_t key, uint32_t value)
{
    if (cf_map_reserve(m, m->used + 1) != 0)
        return -1;
    place(m, key, value);
    return 0;
}

bool cf_map_get(const struct cf_map *m, uint64_t key, uint32_t *ret_value)
{
    if (m->capacity == 0 || key == 0)
        return false;
    for (uint32_t at = home(m, key); m->places[at].key != 0; at = (at + 1) & (m->capacity - 1))
        if (m->places[at].key == key) {
            *ret_value = m->places[at].value;
            return true;
        }
    return false;
}

void cf_map_remove(struct cf_map *m, uint64_t key)
{
    uint32_t hole, at;

    if (m->capacity == 0 || key == 0)
        return;
    for (hole = home(m, key); m->places[hole].key != key; hole = (hole + 1) & (m->capacity - 1))
        if (m->places[hole].key == 0)
            return;
    m->places[hole].key = 0;
    m->used--;
    /* Those behind the hole that were pushed past it move up, so that no search stops short of them. */
    for (at = (hole + 1) & (m->capacity - 1); m->places[at].key != 0; at = (at + 1) & (m->capacity - 1)) {
        struct cf_map_place moved = m->places[at];

        m->places[at].key = 0;
        m->used--;
        place(m, moved.key, moved.value);
    }
}

void cf_map_free(struct cf_map *m)
{
    cf_pages_free(m->places, m->capacity * sizeof *m->places);
    *m = (struct cf_map){ 0 };
}
