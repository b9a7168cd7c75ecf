/* test_core_rows.c: how rows are kept: memory that readers may still look at, classes of blocks, growth. */
#include "core_fixture.h"
#include "core/table.h"

#define LONG_ID "an-id-that-is-too-long-to-lie-in-its-row-itself"

static const struct cf_limits many = { UINT32_MAX, UINT32_MAX, UINT32_MAX, { 300 * S, 3600 * S } };

static void free_limbo(struct cf_core *core)
{
    cf_core_limbo_close(core);
    assert_true(cf_core_limbo_free(core, SIZE_MAX));
    assert_false(cf_core_limbo_waiting(core));
}

/* ── limbo ── */

struct watch { const void *watched; int given; };

static void *take_watched(void *context, size_t bytes)
{
    (void)context;
    return malloc(bytes);
}

static void give_watched(void *context, void *memory)
{
    struct watch *watch = context;
    const char *at = watch->watched, *from = memory;
    watch->given += at != NULL && from <= at && at < from + 4 * CF_ID_MAX;
    free(memory);
}

/* As a reader would hold it: the text of an id that is not in its row. */
static const char *text_of(const struct cf_core *core, cf_handle handle)
{
    const struct cf_row *row = cf_table_row(core, (uint32_t)handle);
    assert_true(row->flags & CF_FLAG_LABEL);
    return cf_table_label(row)->text;
}

static void a_reader_may_read_a_name_until_limbo_is_freed(void **state)
{
    bool shared = ((struct cf_core *)*state)->shared;
    struct watch watch = { NULL, 0 };
    struct cf_core_allocator allocator = { take_watched, give_watched, &watch };
    struct cf_core *core = new_core(&many, shared, &allocator);
    cf_handle one = start(core, LONG_ID, T0);
    const char *text = text_of(core, one);
    watch.watched = text;
    cf_core_gone(core, one);
    if (shared) {
        assert_string_equal(text, LONG_ID);
        assert_true(cf_core_limbo_collected(core) > 0);
        cf_core_limbo_close(core);
        assert_string_equal(text, LONG_ID);
        start(core, LONG_ID, T0);               /* its successor's name lies elsewhere */
        assert_string_equal(text, LONG_ID);
        assert_int_equal(watch.given, 0);
        assert_true(cf_core_limbo_free(core, SIZE_MAX));
    }
    assert_int_equal(watch.given, 1);
    watch.watched = NULL;
    cf_core_free(&core);
}

static void a_slot_in_limbo_is_nobodys(void **state)
{
    enum { ROUNDS = 300 };
    bool taken[ROUNDS + 64] = { false };
    for (int i = 0; i < ROUNDS; i++) {
        cf_handle one = start(*state, i % 2 ? "one" : LONG_ID, T0);
        assert_in_range((uint32_t)one, 0, ROUNDS + 63);
        assert_false(taken[(uint32_t)one]);
        taken[(uint32_t)one] = true;
        cf_core_gone(*state, one);
    }
    assert_true(cf_core_limbo_collected(*state) >= ROUNDS);
    assert_false(cf_core_limbo_waiting(*state));
    free_limbo(*state);
    assert_true(taken[(uint32_t)start(*state, "one", T0)]);
}

static void what_collects_while_a_batch_waits_is_not_freed_with_it(void **state)
{
    cf_handle first = start(*state, "first", T0), second = start(*state, "second", T0);
    cf_core_gone(*state, first);
    cf_core_limbo_close(*state);
    assert_int_equal(cf_core_limbo_collected(*state), 0);
    cf_core_gone(*state, second);
    cf_core_limbo_close(*state);                /* one waits already */
    assert_int_equal(cf_core_limbo_collected(*state), 1);
    assert_true(cf_core_limbo_free(*state, SIZE_MAX));
    assert_int_equal(cf_core_limbo_collected(*state), 1);
    for (int i = 0; i < 200; i++) {
        char id[16];
        snprintf(id, sizeof id, "s%d", i);
        assert_int_not_equal((uint32_t)start(*state, id, T0), (uint32_t)second);
    }
    assert_true(cf_core_limbo_free(*state, SIZE_MAX));      /* none waits */
    assert_int_equal(cf_core_limbo_collected(*state), 1);
}

static void limbo_is_freed_by_pieces(void **state)
{
    enum { SESSIONS = 10 };
    cf_handle handles[SESSIONS];
    char id[CF_ID_MAX];
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(id, sizeof id, LONG_ID "-%d", i);
        handles[i] = start(*state, id, T0);
    }
    for (int i = 0; i < SESSIONS; i++)
        cf_core_gone(*state, handles[i]);
    assert_in_range(cf_core_limbo_collected(*state), 2 * SESSIONS, 5 * SESSIONS);   /* slots, and names by their size */
    cf_core_limbo_close(*state);
    size_t before = cf_core_bytes(*state);
    assert_false(cf_core_limbo_free(*state, 0));
    for (int i = 0; i < 2 * SESSIONS; i++) {
        assert_true(cf_core_limbo_waiting(*state));
        assert_true(cf_core_limbo_free(*state, 1) == (i == 2 * SESSIONS - 1));
    }
    assert_false(cf_core_limbo_waiting(*state));
    assert_true(cf_core_bytes(*state) < before);
}

static void who_comes_after_one_in_limbo_keeps_the_name(void **state)
{
    static const char *const ids[] = { "one", LONG_ID };
    for (size_t i = 0; i < 2; i++) {
        cf_handle found = 0, old = start(*state, ids[i], T0);
        cf_core_gone(*state, old);
        assert_false(cf_core_find(*state, ids[i], &found));
        assert_int_equal(cf_core_find_shared(*state, ids[i], &found), CF_ABSENT);
        cf_handle fresh = start(*state, ids[i], T0);
        assert_int_not_equal((uint32_t)fresh, (uint32_t)old);
        assert_int_equal(refusal(*state, ids[i], "w", NULL), CF_E_EXISTS);
        free_limbo(*state);                     /* takes the old one's place in the hash away, not the new one's */
        assert_true(cf_core_find(*state, ids[i], &found));
        assert_true(found == fresh);
        cf_core_gone(*state, fresh);
        free_limbo(*state);
        assert_false(cf_core_find(*state, ids[i], &found));
    }
}

static void without_readers_there_is_no_limbo(void **state)
{
    cf_handle one = start(*state, LONG_ID, T0);
    cf_core_gone(*state, one);
    assert_int_equal(cf_core_limbo_collected(*state), 0);
    cf_core_limbo_close(*state);
    assert_false(cf_core_limbo_waiting(*state));
    assert_int_equal((uint32_t)start(*state, LONG_ID, T0), (uint32_t)one);
}

/* ── memory ── */

static void comings_and_goings_do_not_make_it_grow(void **state)
{
    size_t bytes = 0;
    char id[CF_ID_MAX];
    cf_core_limits_set(*state, &many);
    for (int i = 0; i < 60000; i++) {
        snprintf(id, sizeof id, i % 2 ? "s%d" : LONG_ID "-%d", i);
        cf_core_gone(*state, start(*state, id, T0));
        if (i % 100 == 99)
            free_limbo(*state);
        if (i == 20000 - 1)
            bytes = cf_core_bytes(*state);
    }
    assert_true(cf_core_bytes(*state) == bytes);
}

static void growth_moves_nobody(void **state)
{
    enum { SESSIONS = 20000 };
    static cf_handle handles[SESSIONS];
    static struct cf_due due[SESSIONS];
    struct cf_core *core = *state;
    char id[CF_ID_MAX];
    cf_core_limits_set(core, &many);
    handles[0] = start(core, "s0", T0);
    const struct cf_row *first = cf_table_row(core, (uint32_t)handles[0]);
    for (int i = 1; i < SESSIONS; i++) {
        snprintf(id, sizeof id, i % 5 ? "s%d" : LONG_ID "-%d", i);
        handles[i] = start(core, id, T0 + i % 2);
    }
    assert_ptr_equal(cf_table_row(core, (uint32_t)handles[0]), first);
    for (int i = 1; i < SESSIONS; i++) {
        cf_handle found;
        snprintf(id, sizeof id, i % 5 ? "s%d" : LONG_ID "-%d", i);
        assert_true(cf_core_find(core, id, &found) && found == handles[i]);
    }
    assert_int_equal(cf_core_due(core, T0 + IDLE + 1, due, SESSIONS), SESSIONS / 2);
    assert_int_equal(cf_core_drop(core, due, SESSIONS / 2, T0 + IDLE + 1), SESSIONS / 2);
    assert_int_equal(cf_core_due(core, T0 + IDLE + 1, due, SESSIONS), 0);
    for (int i = 0; i < SESSIONS; i++)
        assert_int_equal(cf_core_state(core, handles[i]), i % 2 ? CF_STATE_ACTIVE : CF_STATE_FREE);
    assert_int_equal(cf_core_count(core), SESSIONS / 2);
    assert_int_equal(cf_core_workspaces(core), SESSIONS / 2);
}

/* 2^30 rows do not fit a test: the table is told that it has them. */
static void a_table_of_all_slots_is_full(void **state)
{
    struct cf_core *core = *state;
    struct cf_admission want = { "one", "w", CF_KIND_RECORD, 0, 0, NULL };
    cf_handle handle;
    uint32_t fresh = core->fresh;
    core->fresh = CF_TABLE_BLOCK * ((1u << CF_TABLE_CHUNKS) - 1);
    int rc = cf_core_admit(core, &want, T0, &handle, NULL);
    core->fresh = fresh;
    assert_int_equal(rc, CF_E_NO_MEMORY);
    assert_int_equal(cf_core_admit(core, &want, T0, &handle, NULL), 0);
}

static void a_free_slot_has_no_time_that_would_hold_a_sweep_up(void **state)
{
    struct cf_core *core = *state;
    cf_handle one = start(core, "one", T0);
    for (uint32_t slot = 0; slot < core->fresh; slot++)
        assert_true(*cf_table_used(core, slot) == (slot == (uint32_t)one ? T0 : CF_NEVER_NS));
    cf_core_gone(core, one);
    assert_true(*cf_table_used(core, (uint32_t)one) == CF_NEVER_NS);
}

/* ── rows ── */

static void a_walk_goes_on_when_those_around_it_go(void **state)
{
    enum { SESSIONS = 200 };
    cf_handle handles[SESSIONS], handle;
    char id[16];
    size_t cursor = 0;
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(id, sizeof id, "s%d", i);
        handles[i] = start(*state, id, T0);
    }
    for (int i = 0; i < 10; i++)
        assert_true(cf_core_next(*state, &cursor, &handle));
    for (int i = 0; i < SESSIONS; i++)
        if ((uint32_t)handles[i] < CF_TABLE_BLOCK)
            cf_core_gone(*state, handles[i]);
    uint32_t left = cf_core_count(*state);
    assert_in_range(left, SESSIONS - CF_TABLE_BLOCK, SESSIONS - 10);
    for (; left > 0; left--) {
        assert_true(cf_core_next(*state, &cursor, &handle));
        cf_core_gone(*state, handle);
    }
    assert_false(cf_core_next(*state, &cursor, &handle));
    assert_int_equal(cf_core_count(*state), 0);
}

static void a_time_below_zero_is_zero(void **state)
{
    cf_handle one = start(*state, "one", INT64_MIN);
    struct cf_session session = get(*state, one, -5);
    assert_true(session.created_ns == 0 && session.last_used_ns == 0 && session.idle_left_ns == IDLE);
    expect_nobody(*state, IDLE);
    expect_one(*state, IDLE + 1, one, CF_REASON_IDLE);
}

static void classes_do_not_mix(void **state)
{
    struct cf_core *core = *state;
    char id[16];
    size_t cursor = 0;
    cf_handle handle;
    int seen = 0;
    cf_core_limits_set(core, &many);
    for (int i = 0; i < 500; i++) {
        struct cf_admission want = { id, "w", (unsigned)i % CF_KINDS, i % 5 == 0 ? S : 0, i % 7 == 0 ? S : 0, NULL };
        snprintf(id, sizeof id, "s%d", i);
        assert_int_equal(cf_core_admit(core, &want, T0, &handle, NULL), 0);
        if (i % 3 == 0)
            cf_core_gone(core, handle);
    }
    while (cf_core_next(core, &cursor, &handle)) {
        struct cf_session session = get(core, handle, T0);
        unsigned class = session.idle_own || session.age_own ? CF_CLASS_OWN : session.kind;
        assert_int_equal(cf_table_block(core, (uint32_t)handle)->class, class);
        seen++;
    }
    assert_int_equal(seen, 333);
}

static void messages_stop_short_of_two_to_the_32nd(void **state)
{
    cf_handle one = start(*state, "one", T0);
    cf_table_row(*state, (uint32_t)one)->messages = UINT32_MAX - 70000;
    for (int i = 0; i < 80000; i++)
        assert_int_equal(cf_core_touch(*state, one, T0 + i, CF_TOUCH_INPUT), 0);
    uint64_t count = get(*state, one, T0).message_count;
    assert_in_range(count, UINT32_MAX - 70000 + 1, UINT32_MAX - 1);
    (void)cf_core_touch(*state, one, T0, CF_TOUCH_COMMAND);
    assert_true(get(*state, one, T0).message_count == count);
    assert_true(get(*state, one, T0).last_used_ns == T0 + 80000 - 1);   /* activity still moves */
}

static void each_failure_keeps_its_own_text(void **state)
{
    enum { SESSIONS = 20 };
    cf_handle handles[SESSIONS];
    char text[300];
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(text, sizeof text, "s%d", i);
        handles[i] = start(*state, text, T0);
    }
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(text, sizeof text, "why %d %0250d", i, 0);
        cf_core_left(*state, handles[i], i % 2 ? CF_STATE_CLOSED : CF_STATE_FAILED, i % 5 ? text : NULL);
    }
    for (int gone = 0; gone < SESSIONS; gone += 3)
        cf_core_gone(*state, handles[gone]);
    for (int i = 0; i < SESSIONS; i++) {
        if (i % 3 == 0)
            continue;
        assert_true(cf_core_ending(*state, handles[i], CF_REASON_FAILED));
        struct cf_session session = get(*state, handles[i], T0);
        snprintf(text, sizeof text, "why %d %0250d", i, 0);
        text[CF_FAILURE_MAX - 1] = '\0';
        assert_string_equal(session.failure, i % 5 ? text : "");
    }
    for (int i = 0; i < SESSIONS; i++) {        /* who takes a slot does not take the text with it */
        snprintf(text, sizeof text, "t%d", i);
        assert_string_equal(get(*state, start(*state, text, T0), T0).failure, "");
    }
}

static void what_left_is_not_active_whatever_it_is_called(void **state)
{
    cf_handle one = start(*state, "one", T0);
    size_t bytes = cf_core_bytes(*state);
    cf_core_left(*state, one, CF_STATE_ENDING, "");
    assert_true(cf_core_bytes(*state) == bytes);
    assert_int_equal(cf_core_state(*state, one), CF_STATE_FAILED);
    assert_string_equal(get(*state, one, T0).failure, "");
    assert_int_equal(cf_core_touch(*state, one, T0, CF_TOUCH_COMMAND), CF_E_NOT_READY);
    assert_true(cf_core_ending(*state, one, CF_REASON_FAILED));
    assert_int_equal(cf_core_touch(*state, one, T0, CF_TOUCH_COMMAND), CF_E_GONE);
}

/* Nothing leaves limbo meanwhile, and the hash must not fill up with one id. */
static void an_id_that_comes_and_goes_is_always_admitted(void **state)
{
    size_t before = cf_core_bytes(*state);
    cf_handle last = 0, found;
    for (int i = 0; i < 3000; i++) {
        last = start(*state, i % 3 ? "main" : LONG_ID, T0);
        if (i < 2999)
            cf_core_gone(*state, last);
    }
    assert_true(cf_core_find(*state, "main", &found) && found == last);
    assert_true(cf_core_bytes(*state) < before + 3000 * 256);
    cf_core_limbo_close(*state);
    assert_true(cf_core_limbo_free(*state, SIZE_MAX));
    assert_true(cf_core_find(*state, "main", &found) && found == last);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST_SHARED("an id that comes and goes is always admitted", an_id_that_comes_and_goes_is_always_admitted),
        TEST_SHARED("a reader may read a name until limbo is freed", a_reader_may_read_a_name_until_limbo_is_freed),
        TEST("without readers a name's memory goes with its session", a_reader_may_read_a_name_until_limbo_is_freed),
        TEST_SHARED("a slot in limbo is nobody's", a_slot_in_limbo_is_nobodys),
        TEST_SHARED("what collects while a batch waits is not freed with it",
                    what_collects_while_a_batch_waits_is_not_freed_with_it),
        TEST_SHARED("limbo is freed by pieces", limbo_is_freed_by_pieces),
        TEST_SHARED("who comes after one in limbo keeps the name", who_comes_after_one_in_limbo_keeps_the_name),
        TEST("without readers there is no limbo", without_readers_there_is_no_limbo),
        TEST("S3.9: comings and goings do not make it grow", comings_and_goings_do_not_make_it_grow),
        TEST_SHARED("S3.9: comings and goings beside readers do not make it grow",
                    comings_and_goings_do_not_make_it_grow),
        TEST("a table of all the slots that there can be is full", a_table_of_all_slots_is_full),
        TEST("a free slot has no time that would hold a sweep up", a_free_slot_has_no_time_that_would_hold_a_sweep_up),
        TEST("S0.8: a walk goes on when those around it go", a_walk_goes_on_when_those_around_it_go),
        TEST("S2.2: a time below zero is zero", a_time_below_zero_is_zero),
        TEST("growth moves nobody and loses nobody", growth_moves_nobody),
        TEST_SHARED("growth beside readers moves nobody and loses nobody", growth_moves_nobody),
        TEST("sessions of other kinds and with limits of their own lie apart", classes_do_not_mix),
        TEST("S3.1: messages stop short of 2^32", messages_stop_short_of_two_to_the_32nd),
        TEST("S3.1: each failure keeps its own text, cut to fit", each_failure_keeps_its_own_text),
        TEST("S3.3: what left is not active, whatever it is called", what_left_is_not_active_whatever_it_is_called),
    };
    return cmocka_run_group_tests_name("core_rows", tests, NULL, NULL);
}
