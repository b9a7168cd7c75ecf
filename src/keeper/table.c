#include "keeper/table.h"
#include "base/clock.h"

#include <string.h>

void cf_table_init(struct cf_table *t, uint32_t max_sessions)
{
    *t = (struct cf_table){ .max = max_sessions, .soonest_ns = CF_NEVER_NS };
}

void cf_table_free(struct cf_table *t)
{
    for (uint32_t i = 0; i < t->chunk_count; i++)
        cf_pages_free(t->chunks[i], CF_TABLE_CHUNK * sizeof **t->chunks);
    cf_pages_free(t->chunks, t->capacity / CF_TABLE_CHUNK * sizeof *t->chunks);
    cf_pages_free(t->deadlines_ns, t->capacity * sizeof *t->deadlines_ns);
    cf_pages_free(t->free_slots, t->capacity * sizeof *t->free_slots);
    cf_map_free(&t->by_key);
    cf_map_free(&t->by_pid);
    cf_map_free(&t->by_cgroup);
    cf_table_init(t, t->max);
}

static void *widen(void *old, size_t old_bytes, size_t bytes)
{
    void *pages = cf_pages_alloc(bytes);

    if (pages != NULL && old != NULL)
        memcpy(pages, old, old_bytes);
    return pages;
}

/* Doubles the arrays; old ones go only when all new ones are there. */
static int widen_arrays(struct cf_table *t)
{
    uint32_t old = t->capacity, capacity = old != 0 ? old * 2 : CF_TABLE_CHUNK * 4;
    struct cf_held **chunks = widen(t->chunks, old / CF_TABLE_CHUNK * sizeof *chunks,
                                    capacity / CF_TABLE_CHUNK * sizeof *chunks);
    int64_t *deadlines = widen(t->deadlines_ns, old * sizeof *deadlines, capacity * sizeof *deadlines);
    uint32_t *slots = widen(t->free_slots, old * sizeof *slots, capacity * sizeof *slots);

    if (chunks == NULL || deadlines == NULL || slots == NULL) {
        cf_pages_free(chunks, capacity / CF_TABLE_CHUNK * sizeof *chunks);
        cf_pages_free(deadlines, capacity * sizeof *deadlines);
        cf_pages_free(slots, capacity * sizeof *slots);
        return -1;
    }
    cf_pages_free(t->chunks, old / CF_TABLE_CHUNK * sizeof *chunks);
    cf_pages_free(t->deadlines_ns, old * sizeof *deadlines);
    cf_pages_free(t->free_slots, old * sizeof *slots);
    for (uint32_t i = old; i < capacity; i++)
        deadlines[i] = CF_NEVER_NS;
    t->chunks = chunks;
    t->deadlines_ns = deadlines;
    t->free_slots = slots;
    t->capacity = capacity;
    return 0;
}

static int grow(struct cf_table *t)
{
    uint32_t first = t->chunk_count * CF_TABLE_CHUNK;

    if (first == t->capacity && widen_arrays(t) != 0)
        return -1;
    t->chunks[t->chunk_count] = cf_pages_alloc(CF_TABLE_CHUNK * sizeof **t->chunks);
    if (t->chunks[t->chunk_count] == NULL)
        return -1;
    t->chunk_count++;
    for (uint32_t i = CF_TABLE_CHUNK; i-- > 0;) {
        cf_table_slot(t, first + i)->slot = first + i;
        t->free_slots[t->free_count++] = first + i;
    }
    return 0;
}

struct cf_held *cf_table_add(struct cf_table *t, uint64_t key)
{
    struct cf_held *held;
    uint32_t generation;

    if (t->live >= t->max || (t->free_count == 0 && grow(t) != 0))
        return NULL;
    held = cf_table_slot(t, t->free_slots[t->free_count - 1]);
    /* Room for what a start will record, before there is a process that no table would know. */
    if (cf_map_reserve(&t->by_pid, t->live + 1) != 0 || cf_map_reserve(&t->by_cgroup, t->live + 1) != 0)
        return NULL;
    if (cf_map_put(&t->by_key, key, held->slot) != 0)
        return NULL;
    t->free_count--;
    t->live++;
    generation = held->generation + 1;
    *held = (struct cf_held){ .key = key, .slot = held->slot, .generation = generation, .state = CF_HELD_STARTING,
                              .control_fd = -1, .events_fd = -1 };
    return held;
}

void cf_table_remove(struct cf_table *t, struct cf_held *held)
{
    cf_map_remove(&t->by_key, held->key);
    cf_map_remove(&t->by_cgroup, held->cgroup);
    cf_table_deadline_set(t, held, CF_NEVER_NS);
    held->state = CF_HELD_FREE;
    held->generation++;
    t->free_slots[t->free_count++] = held->slot;
    t->live--;
}

void cf_table_pid_set(struct cf_table *t, struct cf_held *held, pid_t pid)
{
    (void)cf_map_put(&t->by_pid, (uint64_t)pid, held->slot);
}

void cf_table_pid_clear(struct cf_table *t, pid_t pid)
{
    cf_map_remove(&t->by_pid, (uint64_t)pid);
}

void cf_table_cgroup_set(struct cf_table *t, struct cf_held *held, uint32_t cgroup)
{
    (void)cf_map_put(&t->by_cgroup, cgroup, held->slot);
    held->cgroup = cgroup;
}

void cf_table_cgroup_clear(struct cf_table *t, struct cf_held *held)
{
    cf_map_remove(&t->by_cgroup, held->cgroup);
    held->cgroup = 0;
}

struct cf_held *cf_table_slot(const struct cf_table *t, uint32_t slot)
{
    return &t->chunks[slot / CF_TABLE_CHUNK][slot % CF_TABLE_CHUNK];
}

static struct cf_held *lookup(const struct cf_table *t, const struct cf_map *map, uint64_t key)
{
    uint32_t slot;

    return cf_map_get(map, key, &slot) ? cf_table_slot(t, slot) : NULL;
}

struct cf_held *cf_table_by_key(const struct cf_table *t, uint64_t key)
{
    return lookup(t, &t->by_key, key);
}

struct cf_held *cf_table_by_pid(const struct cf_table *t, pid_t pid)
{
    return lookup(t, &t->by_pid, (uint64_t)pid);
}

struct cf_held *cf_table_by_cgroup(const struct cf_table *t, uint32_t cgroup)
{
    return lookup(t, &t->by_cgroup, cgroup);
}

uint32_t cf_table_count_alive(const struct cf_table *t)
{
    uint32_t count = 0;

    for (uint32_t slot = 0; slot < t->chunk_count * CF_TABLE_CHUNK; slot++) {
        const struct cf_held *held = cf_table_slot(t, slot);

        count += held->state != CF_HELD_FREE && held->state != CF_HELD_GONE;
    }
    return count;
}

void cf_table_deadline_set(struct cf_table *t, const struct cf_held *held, int64_t deadline_ns)
{
    t->deadlines_ns[held->slot] = deadline_ns;
    if (deadline_ns < t->soonest_ns)
        t->soonest_ns = deadline_ns;
}

uint32_t cf_table_due(struct cf_table *t, uint32_t from, int64_t now_ns)
{
    uint32_t end = t->chunk_count * CF_TABLE_CHUNK;

    for (uint32_t slot = from; slot < end; slot++)
        if (t->deadlines_ns[slot] <= now_ns)
            return slot;
    t->soonest_ns = CF_NEVER_NS;
    for (uint32_t slot = 0; slot < end; slot++)
        if (t->deadlines_ns[slot] < t->soonest_ns)
            t->soonest_ns = t->deadlines_ns[slot];
    return t->capacity;
}
