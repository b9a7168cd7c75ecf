#include "keeper/kept.h"
#include "base/log.h"
#include "keeper/context.h"

#include <string.h>
#include <unistd.h>

#define FIRST_CAPACITY 256u

static int widen(struct cf_kept *kept)
{
    uint32_t capacity = kept->capacity != 0 ? kept->capacity * 2 : FIRST_CAPACITY;
    struct cf_kept_place *places = cf_pages_alloc(capacity * sizeof *places);

    if (places == NULL)
        return -1;
    if (kept->capacity != 0)
        memcpy(places, kept->places, kept->capacity * sizeof *places);
    cf_pages_free(kept->places, kept->capacity * sizeof *places);
    kept->places = places;
    kept->capacity = capacity;
    if (kept->used == 0)
        kept->used = 1;
    return 0;
}

/* A free place, or 0: no memory. */
static uint32_t take(struct cf_kept *kept)
{
    uint32_t at = kept->first_free;

    if (at != 0) {
        kept->first_free = kept->places[at].next;
        return at;
    }
    if (kept->used == kept->capacity && widen(kept) != 0)
        return 0;
    return kept->used++;
}

static void give_back(struct cf_kept *kept, uint32_t at)
{
    close(kept->places[at].fd);
    kept->places[at] = (struct cf_kept_place){ .fd = -1, .next = kept->first_free };
    kept->first_free = at;
    kept->total--;
}

/* --- of a session --- */

static int put_held(struct cf_kept *kept, struct cf_held *held, uint64_t tag, int fd)
{
    uint32_t at = held->kept_first;

    while (at != 0 && kept->places[at].tag != tag)
        at = kept->places[at].next;
    if (at != 0) {
        close(kept->places[at].fd);
        kept->places[at].fd = fd;
        return 0;
    }
    if (held->kept_count >= CF_WIRE_KEPT_MAX || (at = take(kept)) == 0)
        return -1;
    kept->places[at] = (struct cf_kept_place){ .tag = tag, .fd = fd, .next = held->kept_first };
    held->kept_first = at;
    held->kept_count++;
    kept->total++;
    return 0;
}

static void drop_held(struct cf_kept *kept, struct cf_held *held, uint64_t tag)
{
    uint32_t at = held->kept_first, before = 0;

    while (at != 0 && kept->places[at].tag != tag) {
        before = at;
        at = kept->places[at].next;
    }
    if (at == 0)
        return;
    if (before != 0)
        kept->places[before].next = kept->places[at].next;
    else
        held->kept_first = kept->places[at].next;
    held->kept_count--;
    give_back(kept, at);
}

void cf_kept_close(struct cf_keeper *k, struct cf_held *held)
{
    /* WELCOME has told how many are to come. */
    if (k->link.handover.running && held->told != k->link.serial)
        return;
    while (held->kept_first != 0) {
        uint32_t at = held->kept_first;

        held->kept_first = k->kept.places[at].next;
        give_back(&k->kept, at);
    }
    held->kept_count = 0;
}

/* --- of the server --- */

static void drop_own(struct cf_kept *kept, uint64_t tag)
{
    uint32_t fd;

    if (!cf_map_get(&kept->own, tag, &fd))
        return;
    cf_map_remove(&kept->own, tag);
    close((int)fd);
    kept->total--;
}

static int put_own(struct cf_kept *kept, uint64_t tag, int fd)
{
    drop_own(kept, tag);
    if (kept->own.used >= CF_WIRE_KEPT_SERVER_MAX || cf_map_put(&kept->own, tag, (uint32_t)fd) != 0)
        return -1;
    kept->total++;
    return 0;
}

void cf_kept_close_own(struct cf_keeper *k)
{
    for (uint32_t at = 0; at < k->kept.own.capacity; at++)
        if (k->kept.own.places[at].key != 0)
            close((int)k->kept.own.places[at].value);
    k->kept.total -= k->kept.own.used;
    cf_map_free(&k->kept.own);
}

/* --- both --- */

/* Once: a server that has come to a bound will meet it again and again. */
static void complain(struct cf_keeper *k, uint64_t key, uint32_t count)
{
    if (k->kept.complained)
        return;
    k->kept.complained = true;
    cf_log(CF_LOG_WARNING, "cannot hold a descriptor of session %llu beside %u others of it, and %u in all; the next server misses it",
           (unsigned long long)key, count, k->kept.total);
}

int cf_kept_put(struct cf_keeper *k, struct cf_held *held, uint64_t tag, int fd)
{
    int outcome = held != NULL ? put_held(&k->kept, held, tag, fd) : put_own(&k->kept, tag, fd);

    if (outcome != 0)
        complain(k, held != NULL ? held->key : 0, held != NULL ? held->kept_count : k->kept.own.used);
    return outcome;
}

void cf_kept_miss(struct cf_keeper *k, struct cf_held *held, const struct cf_wire_hold *request)
{
    complain(k, request->key, held != NULL ? held->kept_count : k->kept.own.used);
    for (uint32_t i = 0; i < CF_WIRE_FDS_MAX; i++)
        if (held != NULL || request->key == 0)
            cf_kept_drop(k, held, request->tags[i]);
}

void cf_kept_drop(struct cf_keeper *k, struct cf_held *held, uint64_t tag)
{
    if (held != NULL)
        drop_held(&k->kept, held, tag);
    else
        drop_own(&k->kept, tag);
}

static uint32_t list_own(const struct cf_map *own, uint32_t at, uint64_t *ret_tags, int *ret_fds, uint32_t *ret_next)
{
    uint32_t count = 0;

    for (; at < own->capacity; at++) {
        if (own->places[at].key == 0)
            continue;
        if (count == CF_WIRE_FDS_MAX)
            break;
        ret_tags[count] = own->places[at].key;
        ret_fds[count++] = (int)own->places[at].value;
    }
    *ret_next = at < own->capacity ? at : 0;
    return count;
}

uint32_t cf_kept_list(const struct cf_keeper *k, const struct cf_held *held, uint32_t from, uint64_t *ret_tags, int *ret_fds,
                      uint32_t *ret_next)
{
    uint32_t count = 0, at = from;

    if (held == NULL)
        return list_own(&k->kept.own, from, ret_tags, ret_fds, ret_next);
    for (at = from != 0 ? from : held->kept_first; at != 0 && count < CF_WIRE_FDS_MAX; at = k->kept.places[at].next) {
        ret_tags[count] = k->kept.places[at].tag;
        ret_fds[count++] = k->kept.places[at].fd;
    }
    *ret_next = at;
    return count;
}

void cf_kept_free(struct cf_keeper *k)
{
    for (uint32_t slot = 0; slot < k->table.chunk_count * CF_TABLE_CHUNK; slot++)
        cf_kept_close(k, cf_table_slot(&k->table, slot));
    cf_kept_close_own(k);
    cf_pages_free(k->kept.places, k->kept.capacity * sizeof *k->kept.places);
    k->kept = (struct cf_kept){ 0 };
}
