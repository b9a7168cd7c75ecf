/* test_core_table.c: who is let in, how sessions are found, and what the table does without memory. */
#include "core_fixture.h"
#include "core/table.h"

/* ── limits and names ── */

static void a_workspace_holds_five(void **state)
{
    struct cf_error error;
    char id[16];
    cf_handle last = 0;
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof id, "s%d", i);
        last = admit_with(*state, id, "full", 0, 0, T0);
    }
    assert_int_equal(refusal(*state, "s5", "full", &error), CF_E_WORKSPACE_FULL);
    assert_string_equal(error.field, "workspace");
    assert_non_null(strstr(error.text, "full"));
    admit_with(*state, "s5", "other", 0, 0, T0);
    assert_int_equal(cf_core_in_workspace(*state, "full"), 5);
    assert_int_equal(cf_core_workspaces(*state), 2);
    assert_true(cf_core_ending(*state, last, CF_REASON_REQUESTED));
    assert_int_equal(refusal(*state, "s6", "full", &error), CF_E_WORKSPACE_FULL);
    cf_core_gone(*state, last);
    admit_with(*state, "s6", "full", 0, 0, T0);
}

static void the_table_holds_max_sessions(void **state)
{
    static const struct cf_limits two = { 2, UINT32_MAX, 2, { 0, 0 } };
    struct cf_error error;
    cf_core_limits_set(*state, &two);
    cf_handle one = start(*state, "one", T0);
    start(*state, "two", T0);
    assert_int_equal(refusal(*state, "three", "w", &error), CF_E_TOO_MANY_SESSIONS);
    assert_non_null(strstr(error.text, "2 is the most"));
    cf_core_gone(*state, one);
    start(*state, "three", T0);
    assert_int_equal(cf_core_count(*state), 2);
}

static void limits_of_none_and_of_all(void **state)
{
    static const struct cf_limits no_rows = { 0, UINT32_MAX, UINT32_MAX, { 0, 0 } };
    static const struct cf_limits no_room = { UINT32_MAX, UINT32_MAX, 0, { 0, 0 } };
    static const struct cf_limits no_active = { UINT32_MAX, 0, UINT32_MAX, { 0, 0 } };
    static const struct cf_limits one = { 1, 1, 1, { 0, 0 } };
    static const struct cf_limits all = { UINT32_MAX, UINT32_MAX, UINT32_MAX, { 0, 0 } };
    struct cf_error error;
    cf_core_limits_set(*state, &no_rows);
    assert_int_equal(refusal(*state, "a", "w", &error), CF_E_TOO_MANY_SESSIONS);
    cf_core_limits_set(*state, &no_room);
    assert_int_equal(refusal(*state, "a", "w", &error), CF_E_WORKSPACE_FULL);
    cf_core_limits_set(*state, &no_active);
    assert_int_equal(refusal(*state, "a", "w", &error), CF_E_TOO_MANY_ACTIVE);
    cf_core_limits_set(*state, &one);
    admit_with(*state, "a", "w", 0, 0, T0);
    assert_int_equal(refusal(*state, "b", "w", &error), CF_E_WORKSPACE_FULL);
    assert_int_equal(refusal(*state, "b", "v", NULL), CF_E_TOO_MANY_ACTIVE);
    cf_core_limits_set(*state, &all);
    for (int i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof id, "s%d", i);
        admit_with(*state, id, "w", 0, 0, T0);
    }
    cf_core_limits_set(*state, &one);
    assert_int_equal(cf_core_count(*state), 101);
    expect_nobody(*state, T0 + IDLE);
}

static void bad_admissions_change_nothing(void **state)
{
    struct cf_error error;
    cf_handle handle = 77;
    char id[CF_ID_MAX + 8], workspace[CF_WORKSPACE_MAX + 8];
    memset(id, 'i', sizeof id);
    memset(workspace, 'w', sizeof workspace);
    id[CF_ID_MAX] = workspace[CF_WORKSPACE_MAX] = '\0';
    admit_with(*state, "taken", "w", 0, 0, T0);
    assert_int_equal(refusal(*state, "", "w", &error), CF_E_INVALID);
    assert_string_equal(error.field, "id");
    assert_int_equal(refusal(*state, NULL, "w", &error), CF_E_INVALID);
    assert_int_equal(refusal(*state, id, "w", &error), CF_E_INVALID);
    assert_int_equal(refusal(*state, "a", "", &error), CF_E_INVALID);
    assert_int_equal(refusal(*state, "a", NULL, &error), CF_E_INVALID);
    assert_int_equal(refusal(*state, "a", workspace, &error), CF_E_INVALID);
    assert_string_equal(error.field, "workspace");
    assert_int_equal(refusal(*state, "taken", "w", &error), CF_E_EXISTS);
    struct cf_admission want = { "a", "w", CF_KINDS, 0, 0, NULL };
    assert_int_equal(cf_core_admit(*state, &want, T0, &handle, &error), CF_E_INVALID);
    want = (struct cf_admission){ "a", "w", CF_KIND_BASH, -1, 0, NULL };
    assert_int_equal(cf_core_admit(*state, &want, T0, &handle, &error), CF_E_INVALID);
    want = (struct cf_admission){ "a", "w", CF_KIND_BASH, 0, -1, NULL };
    assert_int_equal(cf_core_admit(*state, &want, T0, &handle, &error), CF_E_INVALID);
    assert_true(handle == 77);
    assert_int_equal(cf_core_count(*state), 1);
    assert_int_equal(cf_core_workspaces(*state), 1);
    id[CF_ID_MAX - 1] = workspace[CF_WORKSPACE_MAX - 1] = '\0';
    handle = admit_with(*state, id, workspace, 0, 0, T0);
    assert_string_equal(get(*state, handle, T0).id, id);
    assert_string_equal(get(*state, handle, T0).workspace, workspace);
}

static void sessions_are_found_by_id(void **state)
{
    cf_handle one = start(*state, "one", T0), found = 77;
    assert_true(cf_core_find(*state, "one", &found));
    assert_true(found == one);
    found = 77;
    assert_false(cf_core_find(*state, "on", &found));
    assert_false(cf_core_find(*state, "", &found));
    assert_false(cf_core_find(*state, NULL, &found));
    cf_core_gone(*state, one);
    assert_false(cf_core_find(*state, "one", &found));
    assert_true(found == 77);
    assert_int_equal(cf_core_in_workspace(*state, "one"), 0);
    assert_int_equal(cf_core_in_workspace(*state, NULL), 0);
}

/* ── ids that begin alike ── */

static const char *const alike[] = {
    "1", "10", "100", "1000", "10000", "10000000", "100000000", "s1", "s10", "s100", "u2", "u23", "u234", "a", "aa",
    "aaa", "session-1-of-mine", "session-2-of-minee", "an-id-that-does-not-fit-into-its-row",
    "an-id-that-does-not-fit-into-its-row-", "an-id-that-does-not-fit-into-its-row-1",
};
enum { ALIKE = sizeof alike / sizeof *alike };

static struct cf_core *new_core_of_seed(uint64_t seed, bool shared)
{
    struct cf_core_options options = {
        .limits = standard_limits, .policies = standard_policies, .kinds = CF_KINDS, .seed = seed, .shared = shared,
    };
    struct cf_core *core = cf_core_new(&options);
    assert_non_null(core);
    return core;
}

/* Each has limits of its own, so that its id ends where a block of memory does. */
static void admit_all_alike(struct cf_core *core, bool backwards, cf_handle handles[ALIKE])
{
    for (int k = 0; k < ALIKE; k++) {
        int i = backwards ? ALIKE - 1 - k : k;
        cf_handle found = 77;
        assert_false(cf_core_find(core, alike[i], &found));
        assert_int_equal(cf_core_find_shared(core, alike[i], &found), CF_ABSENT);
        assert_true(found == 77);
        handles[i] = admit_with(core, alike[i], alike[i], S, 0, T0);
        assert_int_equal(refusal(core, alike[i], "w", NULL), CF_E_EXISTS);
    }
}

static void ids_that_begin_alike_are_told_apart(void **state)
{
    cf_handle handles[ALIKE], found;
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct cf_core *core = new_core_of_seed(seed, seed % 2);
        admit_all_alike(core, seed % 4 < 2, handles);
        for (int i = 0; i < ALIKE; i++) {
            assert_true(cf_core_find(core, alike[i], &found) && found == handles[i]);
            assert_int_equal(cf_core_find_shared(core, alike[i], &found), CF_FOUND);
            assert_true(found == handles[i]);
            assert_string_equal(get(core, handles[i], T0).id, alike[i]);
        }
        assert_false(cf_core_find(core, "s1000", &found));
        cf_core_free(&core);
    }
}

/* ── handles ── */

static void stale_handles_do_nothing(void **state)
{
    struct cf_session session;
    cf_handle old = start(*state, "one", T0);
    cf_core_gone(*state, old);
    cf_handle fresh = start(*state, "one", T0);
    assert_int_equal((uint32_t)fresh, (uint32_t)old);
    assert_true(fresh != old);
    assert_int_equal(cf_core_touch(*state, old, T0 + S, CF_TOUCH_COMMAND), CF_E_GONE);
    cf_core_busy(*state, old, true, T0 + S);
    cf_core_left(*state, old, CF_STATE_CLOSED, NULL);
    assert_false(cf_core_ending(*state, old, CF_REASON_IDLE));
    cf_core_gone(*state, old);
    assert_false(cf_core_get(*state, old, T0, &session));
    assert_false(cf_core_get(*state, 0, T0, &session));
    assert_false(cf_core_get(*state, UINT64_MAX, T0, &session));
    session = get(*state, fresh, T0);
    assert_int_equal(session.state, CF_STATE_ACTIVE);
    assert_true(session.last_used_ns == T0);
    assert_int_equal(session.message_count, 0);
}

static void a_slot_retires_before_its_handles_repeat(void **state)
{
    struct cf_core *core = *state;
    struct cf_session session;
    cf_handle one = start(core, "one", T0);
    *cf_table_gate(core, (uint32_t)one) |= CF_GENERATION_MAX << CF_GATE_SHIFT;
    assert_true(cf_core_find(core, "one", &one));
    assert_true(one >> 32 == CF_GENERATION_MAX);
    cf_core_gone(core, one);
    assert_false(cf_core_get(core, one, T0, &session));
    assert_false(cf_core_get(core, (uint32_t)one, T0, &session));
    cf_handle two = start(core, "one", T0);
    assert_int_not_equal((uint32_t)two, (uint32_t)one);
    assert_int_equal(cf_core_count(core), 1);
}

static void every_row_is_walked_once(void **state)
{
    static const struct cf_limits many = { 1000, 1000, 1000, { 0, 0 } };
    size_t cursor = 0, seen = 0;
    cf_handle handles[200], handle, previous = 0;
    cf_core_limits_set(*state, &many);
    for (int i = 0; i < 200; i++) {
        char id[16];
        snprintf(id, sizeof id, "s%d", i);
        handles[i] = start(*state, id, T0);
    }
    for (int i = 0; i < 200; i += 3)
        cf_core_gone(*state, handles[i]);
    while (cf_core_next(*state, &cursor, &handle)) {
        assert_true(handle != previous);
        previous = handle;
        seen++;
    }
    assert_int_equal(seen, cf_core_count(*state));
    assert_int_equal(seen, 133);
}

static void every_byte_changes_the_hash(void **state)
{
    struct cf_map_key a = cf_map_key_from(1), b = cf_map_key_from(2);
    static const char zeros[24];
    (void)state;
    for (size_t len = 1; len < sizeof zeros; len++) {
        char other[sizeof zeros] = { 0 };
        other[len - 1] = 1;
        assert_int_not_equal(cf_map_tag(&a, zeros, len), cf_map_tag(&a, zeros, len - 1));
        assert_int_not_equal(cf_map_tag(&a, zeros, len), cf_map_tag(&b, zeros, len));
        assert_int_not_equal(cf_map_tag(&a, zeros, len), cf_map_tag(&a, other, len));
    }
}

static uint32_t tag_of(uint64_t seed, const char *text)
{
    struct cf_map_key key = cf_map_key_from(seed);
    return cf_map_tag(&key, text, strlen(text));
}

/* A length that can be made up for by a text makes such texts equal under every key. */
static void no_length_makes_up_for_a_text(void **state)
{
    static const char *const pairs[][2] = {
        { "s1", "s10" }, { "u2", "u23" }, { "1000", "10000" }, { "10000000", "100000000" },
        { "session-1-of-mine", "session-2-of-minee" },      /* 17 and 18 bytes */
    };
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        int equal = 0;
        for (uint64_t seed = 0; seed < 200; seed++)
            equal += tag_of(seed, pairs[i][0]) == tag_of(seed, pairs[i][1]);
        if (equal > 0)                  /* by chance it would be one time in 2^32 */
            fail_msg("%s and %s: equal under %d keys of 200", pairs[i][0], pairs[i][1], equal);
    }
}

static int compare_tags(const void *a, const void *b)
{
    uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;
    return (left > right) - (left < right);
}

static void names_of_numbers_are_equal_by_chance_only(void **state)
{
    enum { NUMBERS = 3000, FORMS = 3, SEEDS = 20 };
    static uint32_t tags[FORMS * NUMBERS];
    static const char *const forms[FORMS] = { "", "s", "u" };
    char text[24];
    int equal = 0;
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        for (int i = 0; i < FORMS * NUMBERS; i++) {
            snprintf(text, sizeof text, "%s%d", forms[i % FORMS], i / FORMS);
            tags[i] = tag_of(seed, text);
        }
        qsort(tags, FORMS * NUMBERS, sizeof *tags, compare_tags);
        for (int i = 1; i < FORMS * NUMBERS; i++)
            equal += tags[i] == tags[i - 1];
    }
    assert_in_range(equal, 0, 3);       /* 20 times 9000^2 / 2^33, that is 0.19, are to be expected */
}

static void every_value_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < CF_KINDS; i++)
        assert_string_not_equal(cf_kind_name((enum cf_kind)i), "unknown");
    for (int i = 0; i <= CF_STATE_ENDING; i++)
        assert_string_not_equal(cf_state_name((enum cf_state)i), "unknown");
    for (int i = 0; i < CF_REASONS; i++)
        assert_string_not_equal(cf_reason_name((enum cf_reason)i), "unknown");
    assert_string_equal(cf_kind_name(CF_KINDS), "unknown");
    assert_string_equal(cf_reason_name(CF_REASONS), "unknown");
}

/* ── out of memory ── */

struct scarce { int left; size_t pieces; };     /* left: calls that still succeed; negative: all */

static void *take_scarce(void *context, size_t bytes)
{
    struct scarce *scarce = context;
    if (scarce->left == 0)
        return NULL;
    if (scarce->left > 0)
        scarce->left--;
    scarce->pieces++;
    return malloc(bytes);
}

static void give_scarce(void *context, void *memory)
{
    struct scarce *scarce = context;
    scarce->pieces--;
    free(memory);
}

static void no_memory_at_the_start(void **state)
{
    bool shared = ((struct cf_core *)*state)->shared;
    for (int calls = 0; ; calls++) {
        struct scarce scarce = { calls, 0 };
        struct cf_core_allocator allocator = { take_scarce, give_scarce, &scarce };
        struct cf_core *core = new_core(&standard_limits, shared, &allocator);
        bool made = core != NULL;
        cf_core_free(&core);
        assert_int_equal(scarce.pieces, 0);
        if (made) {
            assert_in_range(calls, 4, 20);
            return;
        }
    }
}

/* Names of all kinds: every third id is too long for its row, and so gets memory of its own. */
static void name(int i, char ret[CF_WORKSPACE_MAX])
{
    snprintf(ret, CF_WORKSPACE_MAX, i % 3 ? "s%d" : "s%d-whose-id-is-too-long-for-the-row-that-it-is-in", i);
}

static void expect_all_here(struct cf_core *core, const cf_handle *handles, int count)
{
    char id[CF_WORKSPACE_MAX];
    cf_handle found;
    assert_int_equal(cf_core_count(core), count);
    assert_int_equal(cf_core_workspaces(core), count);
    assert_int_equal(cf_core_counts(core)->sessions_active, count);
    for (int i = 0; i < count; i++) {
        name(i, id);
        assert_true(cf_core_find(core, id, &found));
        assert_true(found == handles[i]);
        assert_string_equal(get(core, found, T0).workspace, id);
        assert_true(get(core, found, T0 + i).idle_left_ns == (i % 2 ? IDLE : S));
        assert_int_equal(cf_core_in_workspace(core, id), 1);
    }
}

/* One admission, its first, second … allocation failing, until none does.  Returns how many failed. */
static int admit_scarcely(struct cf_core *core, struct scarce *scarce, int i, cf_handle *handles)
{
    char id[CF_WORKSPACE_MAX];
    struct cf_admission want = { id, id, CF_KIND_BASH, i % 2 ? 0 : S, 0, NULL };
    struct cf_error error;
    name(i, id);
    for (int calls = 0; ; calls++) {
        scarce->left = calls;
        int rc = cf_core_admit(core, &want, T0 + i, &handles[i], &error);
        scarce->left = -1;
        if (rc == 0)
            return calls;
        assert_int_equal(rc, CF_E_NO_MEMORY);
        expect_all_here(core, handles, i);
    }
}

static void no_memory_leaves_the_table_as_it_was(void **state)
{
    enum { SESSIONS = 600 };
    static const struct cf_limits many = { SESSIONS, SESSIONS, 1, { 0, 0 } };
    static cf_handle handles[SESSIONS];
    bool shared = ((struct cf_core *)*state)->shared;
    struct scarce scarce = { -1, 0 };
    struct cf_core_allocator allocator = { take_scarce, give_scarce, &scarce };
    struct cf_core *core = new_core(&many, shared, &allocator);
    int failures = 0;
    for (int i = 0; i < SESSIONS; i++) {
        failures += admit_scarcely(core, &scarce, i, handles);
        cf_core_started(core, handles[i], T0 + i);
    }
    expect_all_here(core, handles, SESSIONS);
    assert_in_range(failures, SESSIONS / 2 + SESSIONS / 6, SESSIONS);   /* one for an own limit or a long id */
    if (shared)
        assert_true(cf_core_limbo_collected(core) > 0);
    cf_core_free(&core);
    assert_int_equal(scarce.pieces, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST("S0.3: a workspace holds five sessions until one is gone", a_workspace_holds_five),
        TEST("S3.5: the table holds max_sessions until one is gone", the_table_holds_max_sessions),
        TEST("S0.3, S3.5: limits of 0, 1 and as many as there can be", limits_of_none_and_of_all),
        TEST("a bad admission changes nothing and names the field", bad_admissions_change_nothing),
        TEST("sessions are found by id until they are gone", sessions_are_found_by_id),
        TEST("ids of which one begins another are told apart, whatever the seed", ids_that_begin_alike_are_told_apart),
        TEST("a stale handle does nothing, also when its slot lives again", stale_handles_do_nothing),
        TEST("a slot retires before its handles would repeat", a_slot_retires_before_its_handles_repeat),
        TEST("S0.8: a walk sees every session once", every_row_is_walked_once),
        TEST("the hash depends on the key, the length and every byte", every_byte_changes_the_hash),
        TEST("no length makes up for a text: tags are equal by chance only", no_length_makes_up_for_a_text),
        TEST("the names of numbers have equal tags by chance only", names_of_numbers_are_equal_by_chance_only),
        TEST("every kind, state and reason has a name", every_value_has_a_name),
        TEST_SHARED("a slot retires before its handles would repeat, also beside readers",
                    a_slot_retires_before_its_handles_repeat),
        TEST("no memory at the start: no table, and nothing leaks", no_memory_at_the_start),
        TEST("no memory at an admission leaves the table as it was", no_memory_leaves_the_table_as_it_was),
        TEST_SHARED("no memory at an admission, beside readers, leaves the table as it was",
                    no_memory_leaves_the_table_as_it_was),
    };
    return cmocka_run_group_tests_name("core_table", tests, NULL, NULL);
}
