/* core_map_fixture.h: a store for maps that counts, fails when told to, and keeps what is buried when told to; and a
 * reference for the map: an array of tags by row. */
#ifndef CURFEW_TEST_CORE_MAP_FIXTURE_H
#define CURFEW_TEST_CORE_MAP_FIXTURE_H

#include "core/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS_MAX 100000
#define NOT_THERE UINT64_MAX

struct grave {                          /* what a buried piece was like */
    struct cf_dead *dead;
    uint64_t sum;
};

struct bench {
    struct cf_map map;
    struct cf_store store;
    int left;                           /* allocations that still succeed; negative: all */
    size_t pieces;                      /* taken and not given back */
    bool keep;                          /* what is buried */
    struct grave *graves;
    size_t grave_count, grave_room;
    uint64_t *tags;                     /* by row; NOT_THERE */
    uint32_t rows;                      /* that are there */
    uint64_t random;
};

static inline uint32_t draw(struct bench *b)   /* xorshift64* */
{
    b->random ^= b->random >> 12;
    b->random ^= b->random << 25;
    b->random ^= b->random >> 27;
    return (uint32_t)(b->random * 0x2545f4914f6cdd1du >> 32);
}

/* Of all but the header, which whoever buries it may use. */
static inline uint64_t sum_of(const struct cf_dead *dead)
{
    const uint64_t *words = (const uint64_t *)(const void *)(dead + 1);
    uint64_t sum = 0;
    for (size_t i = 0; i < (dead->bytes - sizeof *dead) / sizeof *words; i++)
        sum = sum * 31 + words[i];
    return sum;
}

static inline void *take(void *context, size_t bytes)
{
    struct bench *b = context;
    if (b->left == 0)
        return NULL;
    if (b->left > 0)
        b->left--;
    void *memory = malloc(bytes);
    assert_non_null(memory);
    memset(memory, 0xa5, bytes);
    b->pieces++;
    return memory;
}

static inline void bury(void *context, struct cf_dead *dead)
{
    struct bench *b = context;
    if (!b->keep) {
        b->pieces--;
        free(dead);
        return;
    }
    if (b->grave_count == b->grave_room) {
        b->grave_room = b->grave_room ? 2 * b->grave_room : 64;
        b->graves = realloc(b->graves, b->grave_room * sizeof *b->graves);
        assert_non_null(b->graves);
    }
    b->graves[b->grave_count++] = (struct grave){ dead, sum_of(dead) };
}

static inline void dig_up(struct bench *b)
{
    for (size_t i = 0; i < b->grave_count; i++) {
        assert_true(sum_of(b->graves[i].dead) == b->graves[i].sum);
        free(b->graves[i].dead);
        b->pieces--;
    }
    b->grave_count = 0;
}

static inline int begin(void **state)
{
    struct bench *b = calloc(1, sizeof *b);
    b->store = (struct cf_store){ take, bury, b };
    b->left = -1;
    b->random = 88172645463325252u;
    b->tags = malloc(ROWS_MAX * sizeof *b->tags);
    for (uint32_t row = 0; row < ROWS_MAX; row++)
        b->tags[row] = NOT_THERE;
    *state = b;
    return cf_map_init(&b->map, &b->store) ? 0 : -1;
}

static inline int finish(void **state)
{
    struct bench *b = *state;
    cf_map_clear(&b->map, &b->store);
    dig_up(b);
    int rc = b->pieces == 0 ? 0 : -1;
    free(b->graves);
    free(b->tags);
    free(b);
    return rc;
}

/* ── the map and its reference, together ── */

static inline void put(struct bench *b, uint32_t tag, uint32_t row)
{
    assert_true(b->tags[row] == NOT_THERE);
    cf_map_put(&b->map, tag, row);
    b->tags[row] = tag;
    b->rows++;
}

static inline void add(struct bench *b, uint32_t tag, uint32_t row)
{
    assert_true(cf_map_reserve(&b->map, &b->store, tag));
    put(b, tag, row);
}

static inline void drop(struct bench *b, uint32_t row)
{
    assert_true(b->tags[row] != NOT_THERE);
    cf_map_drop(&b->map, (uint32_t)b->tags[row], row);
    b->tags[row] = NOT_THERE;
    b->rows--;
}

/* How often a walk of the tag meets the row; whom it meets is there and has that tag. */
static inline int meets(const struct bench *b, uint32_t tag, uint32_t row)
{
    struct cf_map_walk walk = cf_map_walk(&b->map, tag);
    uint32_t met;
    int times = 0;
    while ((met = cf_map_walk_next(&walk)) != CF_MAP_NONE) {
        assert_true(met < ROWS_MAX && b->tags[met] == tag);
        times += met == row;
    }
    assert_true(cf_map_walk_sure(&walk));
    return times;
}

/* Each page stands in all places of the directory that begin with its bits, and nowhere else. */
static inline void expect_a_sound_directory(const struct bench *b)
{
    const struct cf_map_dir *dir = b->map.dir;
    uint32_t used = 0, span;
    for (uint32_t at = 0; at < 1u << dir->depth; at += span) {
        const struct cf_map_page *page = dir->pages[at];
        span = 1u << (dir->depth - page->depth);
        assert_int_equal(at % span, 0);
        for (uint32_t i = 1; i < span; i++)
            if (dir->pages[at + i] != page)
                fail_msg("place %u is not of the page of %u", at + i, at);
        used += page->used;
    }
    assert_int_equal(used, b->rows);
}

static inline void expect_as_the_reference(const struct bench *b)
{
    for (uint32_t row = 0; row < ROWS_MAX; row++)
        if (b->tags[row] != NOT_THERE)
            assert_int_equal(meets(b, (uint32_t)b->tags[row], row), 1);
    expect_a_sound_directory(b);
}

#define TEST(title, function) { .name = title, .test_func = function, .setup_func = begin, .teardown_func = finish }

#endif
