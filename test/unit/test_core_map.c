/* test_core_map.c: the map from tags to rows, against an array. */
#include "core_map_fixture.h"

/* ── tags of all sorts ── */

static uint32_t any_tag(struct bench *b)
{
    return draw(b);
}

/* Few of them, so that many rows share one. */
static uint32_t shared_tag(struct bench *b)
{
    return draw(b) % 16 * 0x11111111u;
}

/* Alike in their upper bits: pages must be split many times before that parts them. */
static uint32_t narrow_tag(struct bench *b)
{
    return 0xabcd0000u | (draw(b) & 0xffff);
}

/* Homes side by side, about the page's last cell and its first: one run, that goes around. */
static uint32_t crowded_tag(struct bench *b)
{
    return (draw(b) & 0xff000000u) | ((CF_MAP_CELLS - 6 + draw(b) % 12) & (CF_MAP_CELLS - 1));
}

static void churn(struct bench *b, uint32_t (*tag)(struct bench *b), uint32_t rows, int steps)
{
    for (int i = 0; i < steps; i++) {
        uint32_t row = draw(b) % rows;
        if (b->tags[row] == NOT_THERE)
            add(b, tag(b), row);
        else
            drop(b, row);
        if (i % (steps / 8) == 0)
            expect_as_the_reference(b);
    }
    expect_as_the_reference(b);
}

static void few_rows(void **state)
{
    churn(*state, any_tag, 300, 20000);
}

static void many_rows(void **state)
{
    struct bench *b = *state;
    for (uint32_t row = 0; row < ROWS_MAX; row++)
        add(b, draw(b), row);
    expect_as_the_reference(b);
    for (uint32_t at = 0; at < 1u << b->map.dir->depth; at++)
        assert_in_range(b->map.dir->pages[at]->used, 0, CF_MAP_FULL);   /* so that runs stay short */
    churn(b, any_tag, ROWS_MAX, 100000);
    for (uint32_t row = 0; row < ROWS_MAX; row++)
        if (b->tags[row] != NOT_THERE)
            drop(b, row);
    expect_as_the_reference(b);
}

static void equal_tags(void **state)
{
    churn(*state, shared_tag, 2000, 40000);
}

static void narrow_tags(void **state)
{
    struct bench *b = *state;
    churn(b, narrow_tag, 10000, 100000);
    assert_in_range(b->map.dir->depth, 17, CF_MAP_DEPTH_MAX);
}

static void crowded_tags(void **state)
{
    churn(*state, crowded_tag, 800, 100000);
}

/* ── the end of the room ── */

static void so_many_equal_tags_that_no_split_parts_them(void **state)
{
    struct bench *b = *state;
    uint32_t row = 0;
    for (; cf_map_reserve(&b->map, &b->store, 0x12345678); row++)
        put(b, 0x12345678, row);
    assert_in_range(row, CF_MAP_FULL, CF_MAP_CELLS - 1);
    assert_int_equal(b->map.dir->depth, CF_MAP_DEPTH_MAX);
    expect_as_the_reference(b);
    add(b, 0x92345678, ROWS_MAX - 1);           /* others find their place as before */
    add(b, 0x12340000, ROWS_MAX - 2);
    drop(b, 0);
    add(b, 0x12345678, 0);
    assert_false(cf_map_reserve(&b->map, &b->store, 0x12345678));
    expect_as_the_reference(b);
}

static void a_page_without_memory_takes_rows_up_to_its_last_cell(void **state)
{
    struct bench *b = *state;
    uint32_t row = 0;
    for (b->left = 0; cf_map_reserve(&b->map, &b->store, row * 0x9e3779b1u); row++)
        put(b, row * 0x9e3779b1u, row);
    assert_int_equal(row, CF_MAP_CELLS - 1);    /* an empty one ends every walk */
    expect_as_the_reference(b);
    b->left = -1;
    add(b, row * 0x9e3779b1u, row);
    expect_as_the_reference(b);
}

static void no_memory_changes_nothing(void **state)
{
    struct bench *b = *state;
    int failures = 0, without = 0;
    for (uint32_t row = 0; row < 6000; row++) {
        uint32_t tag = row % 2 ? any_tag(b) : narrow_tag(b);
        int left = 0;
        for (b->left = 0; !cf_map_reserve(&b->map, &b->store, tag); b->left = ++left)
            failures++;
        without += left == 0;
        b->left = -1;
        put(b, tag, row);
        if (row % 1000 == 0)
            expect_as_the_reference(b);
    }
    expect_as_the_reference(b);
    assert_in_range(failures, 30, 300);         /* a full page takes some more rows before it must be split */
    assert_in_range(without, 5900, 5999);
}

static void no_memory_for_an_empty_map(void **state)
{
    struct bench *b = *state;
    cf_map_clear(&b->map, &b->store);
    for (int calls = 0; calls < 2; calls++) {
        b->left = calls;
        assert_false(cf_map_init(&b->map, &b->store));
        assert_int_equal(b->pieces, 0);
    }
    cf_map_clear(&b->map, &b->store);           /* of nothing */
    b->left = -1;
    assert_true(cf_map_init(&b->map, &b->store));
}

/* ── readers ── */

static void what_is_buried_stays_as_it_was(void **state)
{
    struct bench *b = *state;
    b->keep = true;
    churn(b, any_tag, 20000, 200000);
    assert_in_range(b->grave_count, 20, 10000);
    dig_up(b);                                  /* checks their sums */
}

static void a_walk_goes_on_while_its_page_is_split(void **state)
{
    struct bench *b = *state;
    b->keep = true;
    for (uint32_t row = 0; row < CF_MAP_FULL; row++)
        add(b, row * 0x9e3779b1u, row);
    struct cf_map_walk walks[CF_MAP_FULL];
    for (uint32_t row = 0; row < CF_MAP_FULL; row++)
        walks[row] = cf_map_walk(&b->map, row * 0x9e3779b1u);
    for (uint32_t row = CF_MAP_FULL; row < 10 * CF_MAP_FULL; row++)
        add(b, row * 0x9e3779b1u, row);
    assert_true(b->grave_count > 0);
    for (uint32_t row = 0; row < CF_MAP_FULL; row++) {
        assert_int_equal(cf_map_walk_next(&walks[row]), row);
        assert_int_equal(cf_map_walk_next(&walks[row]), CF_MAP_NONE);
        assert_true(cf_map_walk_sure(&walks[row]));
    }
}

static void a_walk_is_sure_unless_a_row_was_moved(void **state)
{
    struct bench *b = *state;
    add(b, 7, 1);
    add(b, 7, 2);
    struct cf_map_walk walk = cf_map_walk(&b->map, 7);
    add(b, 7, 3);
    assert_true(cf_map_walk_sure(&walk));
    assert_int_equal(cf_map_walk_next(&walk), 1);
    drop(b, 1);                                 /* 2 takes its place, behind the walk's back */
    assert_int_equal(cf_map_walk_next(&walk), 3);
    assert_int_equal(cf_map_walk_next(&walk), CF_MAP_NONE);
    assert_false(cf_map_walk_sure(&walk));
    assert_int_equal(meets(b, 7, 2), 1);
}

static void a_walk_that_begins_amid_a_move_is_not_sure(void **state)
{
    struct bench *b = *state;
    add(b, 7, 1);
    b->map.dir->pages[0]->version++;            /* as cf_map_drop does before it moves anything */
    struct cf_map_walk walk = cf_map_walk(&b->map, 7);
    assert_int_equal(cf_map_walk_next(&walk), 1);
    assert_false(cf_map_walk_sure(&walk));
    b->map.dir->pages[0]->version++;
}

static void a_walk_around_a_full_page_ends(void **state)
{
    struct bench *b = *state;
    for (uint32_t row = 0; cf_map_reserve(&b->map, &b->store, 5); row++)
        put(b, 5, row);
    assert_int_equal(meets(b, 5, 0), 1);
    assert_int_equal(meets(b, 4, 0), 0);        /* its page is the same, its home the last that the run reaches */
    assert_int_equal(meets(b, 6, 0), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST("a map of a few rows says what an array says", few_rows),
        TEST("a map of 100,000 rows says what an array says, also when it empties", many_rows),
        TEST("rows that share a tag are all found", equal_tags),
        TEST("tags that are alike in their upper bits get as many splits as they need", narrow_tags),
        TEST("a run around the end of a page keeps every row reachable", crowded_tags),
        TEST("so many equal tags that no split parts them: no room is said, and others have theirs",
             so_many_equal_tags_that_no_split_parts_them),
        TEST("a page without memory takes rows up to its last cell but one",
             a_page_without_memory_takes_rows_up_to_its_last_cell),
        TEST("no memory for a split changes nothing", no_memory_changes_nothing),
        TEST("no memory for an empty map leaks nothing", no_memory_for_an_empty_map),
        TEST("what is buried stays as it was for whoever reads it", what_is_buried_stays_as_it_was),
        TEST("a walk that began before a split finds what was there", a_walk_goes_on_while_its_page_is_split),
        TEST("a walk is sure unless a row was moved meanwhile", a_walk_is_sure_unless_a_row_was_moved),
        TEST("a walk that begins amid a move is not sure", a_walk_that_begins_amid_a_move_is_not_sure),
        TEST("a walk around a full page ends", a_walk_around_a_full_page_ends),
    };
    return cmocka_run_group_tests_name("core_map", tests, NULL, NULL);
}
