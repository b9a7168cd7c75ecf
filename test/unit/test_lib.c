/* test_lib.c: tables and sessions of libcurfew, on a clock that the tests move. */
#include "lib_fixture.h"

#include <time.h>

/* ── creating ── */

static void creation_sets_what_is_known(void **state)
{
    int mine;
    struct world *w = *state;
    const struct curfew_new want = { .id = "alice", .workspace = "web", .user = &mine };
    curfew_session session = create_with(w, &want);
    struct curfew_info info = get(w, session);
    assert_true(info.session == session && info.user == &mine);
    assert_string_equal(info.id, "alice");
    assert_string_equal(info.workspace, "web");
    assert_string_equal(info.failure, "");
    assert_true(info.created_ns == T0 && info.last_used_ns == T0 && info.now_ns == T0);
    assert_true(info.message_count == 0 && !info.busy && info.kind == 0);
    assert_int_equal(info.state, CURFEW_ACTIVE);
    assert_int_equal(info.reason, CURFEW_REASON_NONE);
    assert_true(info.idle_ns == IDLE && info.age_ns == AGE && info.idle_left_ns == IDLE && info.age_left_ns == AGE);
}

static void limits_count_down(void **state)
{
    struct world *w = *state;
    curfew_session session = create(w, "one");
    advance(w, 100 * S);
    assert_true(get(w, session).idle_left_ns == IDLE - 100 * S && get(w, session).age_left_ns == AGE - 100 * S);
    advance(w, 2 * AGE);
    assert_true(get(w, session).idle_left_ns == 0 && get(w, session).age_left_ns == 0);
}

static void an_id_is_taken_once(void **state)
{
    struct world *w = *state;
    struct curfew_error error;
    create(w, "one");
    assert_int_equal(create_fails(w, "one", &error), CURFEW_E_EXISTS);
    assert_int_equal(error.code, CURFEW_E_EXISTS);
    assert_string_equal(error.field, "id");
    assert_int_equal(create_fails(w, "one", NULL), CURFEW_E_EXISTS);
    assert_true(counts(w).sessions_created == 1 && counts(w).sessions_refused == 0);
}

static void made_ids_pass_over_taken_ones(void **state)
{
    struct world *w = *state;
    curfew_session found;
    create(w, "s-2");
    create(w, "s-3");
    assert_string_equal(get(w, create(w, NULL)).id, "s-1");
    curfew_session fourth = create(w, NULL);
    assert_string_equal(get(w, fourth).id, "s-4");
    assert_int_equal(curfew_session_end(w->table, fourth), 0);
    assert_string_equal(get(w, create(w, NULL)).id, "s-5");
    assert_int_equal(curfew_session_find(w->table, "s-4", &found), CURFEW_E_NOT_FOUND);
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * S + now.tv_nsec;
}

/* Somebody restores his sessions by the ids that a table of another time has made. */
static void a_made_id_beside_many_restored_ones_costs_little(void **state)
{
    enum { RESTORED = 200000, MORE = 1000 };
    struct world *w = *state;
    char id[24];
    for (int i = 1; i <= RESTORED; i++) {
        snprintf(id, sizeof id, "s-%d", i);
        create(w, id);
    }
    int64_t begun_ns = cpu_ns();
    for (int i = 1; i <= RESTORED; i++) {
        snprintf(id, sizeof id, "s-%d", i);
        assert_int_equal(create_fails(w, id, NULL), CURFEW_E_EXISTS);
    }
    int64_t all_ns = cpu_ns() - begun_ns;
    begun_ns = cpu_ns();
    curfew_session made = create(w, NULL);
    int64_t one_ns = cpu_ns() - begun_ns;
    printf("# one id beside %d that are taken: %.3f ms; to be refused all of these: %.1f ms\n", RESTORED,
           (double)one_ns / 1e6, (double)all_ns / 1e6);
    assert_true(one_ns < all_ns / 20);          /* it did not try them all */
    for (int i = 0; i <= MORE; i++) {
        struct curfew_info info = get(w, made);
        assert_memory_equal(info.id, "s-", 2);
        assert_in_range(strtoul(info.id + 2, NULL, 10), RESTORED + 1, 4 * RESTORED);
        made = create(w, NULL);
    }
    assert_true(counts(w).sessions_active == RESTORED + MORE + 2);
}

static void wrong_arguments_are_named(void **state)
{
    char id[97], workspace[66];
    struct world *w = *state;
    memset(id, 'i', sizeof id);
    id[96] = '\0';
    memset(workspace, 'w', sizeof workspace);
    workspace[65] = '\0';
    const struct { struct curfew_new want; const char *field; } wrong[] = {
        { { .id = "" }, "id" }, { { .id = id }, "id" }, { { .workspace = "" }, "workspace" },
        { { .workspace = workspace }, "workspace" }, { { .kind = 1 }, "kind" }, { { .kind = UINT32_MAX }, "kind" },
        { { .idle_ns = -1 }, "idle_ns" }, { { .age_ns = INT64_MIN }, "age_ns" },
        { { .reserved = { 0, 0, 0, 1 } }, "reserved" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        curfew_session session = 77;
        struct curfew_error error;
        assert_int_equal(curfew_session_create(w->table, &wrong[i].want, &session, &error), CURFEW_E_INVALID);
        assert_int_equal(error.code, CURFEW_E_INVALID);
        assert_string_equal(error.field, wrong[i].field);
        assert_true(strlen(error.text) > 0 && session == 77);
        assert_int_equal(curfew_session_create(w->table, &wrong[i].want, &session, NULL), CURFEW_E_INVALID);
    }
    assert_true(counts(w).sessions_created == 0 && counts(w).sessions_active == 0);
    id[95] = workspace[64] = '\0';
    const struct curfew_new longest = { .id = id, .workspace = workspace };
    struct curfew_info info = get(w, create_with(w, &longest));
    assert_string_equal(info.id, id);
    assert_string_equal(info.workspace, workspace);
}

static void own_limits_win(void **state)
{
    struct world *w = *state;
    static const struct curfew_policy shorter = { 5 * S, 6 * S };
    const struct curfew_new own = { .id = "own", .idle_ns = 10 * S, .age_ns = 20 * S };
    const struct curfew_new never = { .id = "never", .idle_ns = CURFEW_NEVER_NS, .age_ns = CURFEW_NEVER_NS };
    curfew_session one = create_with(w, &own), two = create_with(w, &never), three = create(w, "three");
    assert_int_equal(curfew_policy_set(w->table, 0, &shorter, NULL), 0);
    assert_true(get(w, one).idle_ns == 10 * S && get(w, one).age_ns == 20 * S);
    assert_true(get(w, two).idle_left_ns == CURFEW_NEVER_NS && get(w, two).age_left_ns == CURFEW_NEVER_NS);
    assert_true(get(w, three).idle_ns == 5 * S && get(w, three).age_ns == 6 * S);
    advance(w, 5 * S + 1);
    assert_int_equal(sweep(w), 1);
    assert_false(is_here(w, three));
    advance(w, 1000000 * S);
    assert_int_equal(sweep(w), 1);
    assert_true(is_here(w, two));
}

/* ── finding ── */

static void an_id_is_found_while_it_is_here(void **state)
{
    char longer[98];
    struct world *w = *state;
    curfew_session session = create(w, "one"), found = 77;
    assert_int_equal(curfew_session_find(w->table, "one", &found), 0);
    assert_true(found == session);
    memset(longer, 'x', sizeof longer);
    longer[97] = '\0';
    static const char *const wrong[] = { NULL, "", "on", "onee", "ONE" };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        found = 77;
        assert_int_equal(curfew_session_find(w->table, wrong[i], &found), CURFEW_E_NOT_FOUND);
        assert_int_equal(curfew_session_touch_id(w->table, wrong[i], CURFEW_TOUCH_INPUT), CURFEW_E_NOT_FOUND);
        assert_true(found == 77);
    }
    assert_int_equal(curfew_session_find(w->table, longer, &found), CURFEW_E_NOT_FOUND);
    assert_int_equal(curfew_session_end(w->table, session), 0);
    assert_int_equal(curfew_session_find(w->table, "one", &found), CURFEW_E_NOT_FOUND);
}

static void find_it(struct world *w, const char *id, curfew_session session)
{
    curfew_session found = 77;
    uint64_t before = get(w, session).message_count;
    assert_int_equal(curfew_session_find(w->table, id, &found), 0);
    assert_true(found == session);
    assert_int_equal(curfew_session_touch_id(w->table, id, CURFEW_TOUCH_MESSAGE), 0);
    assert_true(get(w, session).message_count == before + 1);
    assert_string_equal(get(w, session).id, id);
    assert_int_equal(create_fails(w, id, NULL), CURFEW_E_EXISTS);
}

static void find_nobody(struct world *w, const char *id)
{
    curfew_session found = 77;
    assert_int_equal(curfew_session_find(w->table, id, &found), CURFEW_E_NOT_FOUND);
    assert_int_equal(curfew_session_touch_id(w->table, id, CURFEW_TOUCH_MESSAGE), CURFEW_E_NOT_FOUND);
    assert_true(found == 77);
}

/* Each has limits of its own, so that its id ends where a block of memory does. */
static void create_all_alike(struct world *w, const char *const *ids, int count, bool backwards)
{
    curfew_session sessions[16];
    for (int k = 0; k < count; k++) {
        int i = backwards ? count - 1 - k : k;
        const struct curfew_new want = { .id = ids[i], .idle_ns = 5 * S };
        find_nobody(w, ids[i]);
        sessions[i] = create_with(w, &want);
    }
    for (int i = 0; i < count; i++)
        find_it(w, ids[i], sessions[i]);
}

static void ids_that_begin_alike_are_told_apart(void **state)
{
    static const char *const ids[] = { "s1", "s10", "s100", "10", "100", "1000", "10000", "u2", "u23", "10000000",
                                       "100000000", "session-1-of-mine", "session-2-of-minee" };
    struct world *w = *state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct curfew_options options = world_options(w);
        options.seed = seed;
        curfew_table_free(&w->table);
        world_make(w, &options);
        create_all_alike(w, ids, sizeof ids / sizeof *ids, seed % 2);
        find_nobody(w, "s1000");
        find_nobody(w, "1");
    }
}

/* In memory that ends where the id does. */
static char *id_of_bytes(size_t bytes)
{
    char *id = malloc(bytes + 1);
    assert_non_null(id);
    memset(id, 'x', bytes);
    id[bytes] = '\0';
    return id;
}

static void the_longest_id_is_found_and_a_longer_one_is_not(void **state)
{
    struct world *w = *state;
    char *longest = id_of_bytes(CURFEW_ID_SIZE - 1);
    curfew_session session = create(w, longest);
    find_it(w, longest, session);
    for (size_t bytes = CURFEW_ID_SIZE - 2; bytes < CURFEW_ID_SIZE + 3; bytes++) {
        char *other = id_of_bytes(bytes);
        if (bytes != CURFEW_ID_SIZE - 1)
            find_nobody(w, other);
        if (bytes >= CURFEW_ID_SIZE)
            assert_int_equal(create_fails(w, other, NULL), CURFEW_E_INVALID);
        free(other);
    }
    longest[CURFEW_ID_SIZE - 2] = 'y';
    find_nobody(w, longest);
    free(longest);
}

static void an_id_need_not_be_utf_8(void **state)
{
    static const char *const ids[] = {
        "\xff", "\xff\xfe", "\x80", "\xc3", "\xc3(", "\xed\xa0\x80", "a\x01\n\x7f",
        "\xf5\x80\x80\x80 and so on and so on", "\xc3\xa9",
    };
    struct world *w = *state;
    char all[CURFEW_ID_SIZE];
    memset(all, '\xff', sizeof all);
    find_nobody(w, "\xff");
    create_all_alike(w, ids, sizeof ids / sizeof *ids, false);
    all[CURFEW_ID_SIZE - 1] = '\0';
    find_nobody(w, all);
    find_it(w, all, create(w, all));
    all[CURFEW_ID_SIZE - 2] = '\xfe';
    find_nobody(w, all);
}

static void a_handle_is_never_used_again(void **state)
{
    struct world *w = *state;
    struct curfew_info info;
    curfew_session old[500];
    for (int i = 0; i < 500; i++) {
        old[i] = create(w, "again");
        for (int k = 0; k < i; k++)
            assert_true(old[k] != old[i]);
        assert_int_equal(curfew_session_end(w->table, old[i]), 0);
        memset(&info, 0x5a, sizeof info);
        assert_int_equal(curfew_session_get(w->table, old[i / 2], &info, sizeof info), CURFEW_E_GONE);
        assert_true(((unsigned char *)&info)[0] == 0x5a);
        assert_int_equal(curfew_session_touch(w->table, old[i / 2], CURFEW_TOUCH_INPUT), CURFEW_E_GONE);
        assert_int_equal(curfew_session_end(w->table, old[i / 2]), CURFEW_E_GONE);
        assert_int_equal(curfew_session_busy(w->table, old[i / 2], true), CURFEW_E_GONE);
        assert_int_equal(curfew_session_close(w->table, old[i / 2]), CURFEW_E_GONE);
        assert_int_equal(curfew_session_fail(w->table, old[i / 2], "why"), CURFEW_E_GONE);
        assert_int_equal(curfew_session_started(w->table, old[i / 2]), CURFEW_E_GONE);
    }
    static const curfew_session nobody[] = { 0, 1, UINT32_MAX, UINT64_MAX, UINT64_C(1) << 63 };
    for (size_t i = 0; i < sizeof nobody / sizeof *nobody; i++) {
        assert_int_equal(curfew_session_touch(w->table, nobody[i], CURFEW_TOUCH_INPUT), CURFEW_E_GONE);
        assert_false(is_here(w, nobody[i]));
    }
}

static void a_walk_sees_each_once(void **state)
{
    struct world *w = *state;
    enum { MANY = 1000 };
    static int seen[MANY];
    curfew_session all[MANY], session;
    uint64_t cursor = 0;
    size_t total = 0;
    for (int i = 0; i < MANY; i++)
        all[i] = create(w, NULL);
    for (int i = 0; i < MANY; i += 3)
        assert_int_equal(curfew_session_end(w->table, all[i]), 0);
    while (curfew_session_next(w->table, &cursor, &session) == 0) {
        total++;
        for (int i = 0; i < MANY; i++)
            seen[i] += all[i] == session;
    }
    assert_int_equal(total, MANY - (MANY + 2) / 3);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(seen[i], i % 3 != 0);
    assert_int_equal(curfew_session_next(w->table, &cursor, &session), CURFEW_E_NOT_FOUND);
}

static void a_smaller_struct_is_filled_as_far_as_it_goes(void **state)
{
    struct world *w = *state;
    struct { struct curfew_info info; unsigned char guard[8]; } big;
    struct curfew_counts few;
    curfew_session session = create(w, "one");
    memset(&big, 0x5a, sizeof big);
    assert_int_equal(curfew_session_get(w->table, session, &big.info, offsetof(struct curfew_info, workspace)), 0);
    assert_string_equal(big.info.id, "one");
    assert_true((unsigned char)big.info.workspace[0] == 0x5a);
    assert_int_equal(curfew_session_get(w->table, session, &big.info, sizeof big), 0);
    assert_true(big.guard[0] == 0 && big.guard[7] == 0);        /* members of a later version read as 0 */
    memset(&few, 0x5a, sizeof few);
    curfew_counts_get(w->table, &few, sizeof few.sessions_created);
    assert_true(few.sessions_created == 1 && few.sessions_cleaned == UINT64_C(0x5a5a5a5a5a5a5a5a));
}

/* ── touching ── */

static void every_cause_moves_activity(void **state)
{
    struct world *w = *state;
    curfew_session session = create(w, "one");
    for (int cause = CURFEW_TOUCH_MESSAGE; cause <= CURFEW_TOUCH_TOOL; cause++) {
        advance(w, IDLE);
        assert_int_equal(curfew_session_touch(w->table, session, (enum curfew_touch)cause), 0);
        assert_true(get(w, session).last_used_ns == w->now_ns);
        advance(w, IDLE);
        assert_int_equal(curfew_session_touch_id(w->table, "one", (enum curfew_touch)cause), 0);
        assert_true(get(w, session).last_used_ns == w->now_ns && get(w, session).created_ns == T0);
    }
    assert_true(get(w, session).message_count == 4);
    static const int wrong[] = { -1, CURFEW_TOUCH_TOOL + 1, 1000 };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(curfew_session_touch(w->table, session, (enum curfew_touch)wrong[i]), CURFEW_E_INVALID);
        assert_int_equal(curfew_session_touch_id(w->table, "one", (enum curfew_touch)wrong[i]), CURFEW_E_INVALID);
    }
}

static void last_used_never_goes_back(void **state)
{
    struct world *w = *state;
    curfew_session session = create(w, "one");
    assert_int_equal(curfew_session_touch_at(w->table, session, CURFEW_TOUCH_MESSAGE, T0 + 50 * S), 0);
    static const int64_t earlier[] = { T0 + 50 * S - 1, 0, -1, INT64_MIN };
    for (size_t i = 0; i < sizeof earlier / sizeof *earlier; i++)
        assert_int_equal(curfew_session_touch_at(w->table, session, CURFEW_TOUCH_MESSAGE, earlier[i]), 0);
    assert_true(get(w, session).last_used_ns == T0 + 50 * S && get(w, session).message_count == 5);
}

static void a_clock_that_goes_back_ends_nobody(void **state)
{
    struct world *w = *state;
    static const int64_t earlier[] = { T0 - 1, 1, 0, -1, INT64_MIN };
    const struct curfew_new want = { .id = "one", .idle_ns = 1, .age_ns = 1 };
    curfew_session session = create_with(w, &want);
    for (size_t i = 0; i < sizeof earlier / sizeof *earlier; i++) {
        w->now_ns = earlier[i];
        assert_int_equal(curfew_session_touch(w->table, session, CURFEW_TOUCH_MESSAGE), 0);
        assert_int_equal(sweep(w), 0);
        assert_int_equal(curfew_cleanup_inactive(w->table, 0, NULL), 0);
        assert_true(get(w, session).last_used_ns == T0);
    }
    w->now_ns = T0 + 2;
    assert_int_equal(sweep(w), 1);
}

/* ── states ── */

static void a_starting_one_is_never_due(void **state)
{
    struct world *w = *state;
    const struct curfew_new want = { .id = "one", .starting = true };
    curfew_session session = create_with(w, &want);
    assert_int_equal(get(w, session).state, CURFEW_STARTING);
    assert_true(counts(w).sessions_starting == 1 && counts(w).sessions_created == 0 && counts(w).sessions_active == 1);
    assert_int_equal(curfew_session_busy(w->table, session, true), CURFEW_E_NOT_READY);
    assert_int_equal(curfew_session_close(w->table, session), CURFEW_E_NOT_READY);
    advance(w, 10 * AGE);
    assert_int_equal(sweep(w), 0);
    assert_int_equal(curfew_session_started(w->table, session), 0);
    assert_int_equal(curfew_session_started(w->table, session), CURFEW_E_NOT_READY);
    assert_true(get(w, session).state == CURFEW_ACTIVE && get(w, session).last_used_ns == T0 + 10 * AGE);
    assert_true(counts(w).sessions_starting == 0 && counts(w).sessions_created == 1);
}

static void one_that_never_started_is_not_counted_as_cleaned(void **state)
{
    struct world *w = *state;
    const struct curfew_new want = { .id = "one", .starting = true };
    curfew_session session = create_with(w, &want);
    assert_int_equal(curfew_session_end(w->table, session), 0);
    assert_true(counts(w).sessions_created == 0 && counts(w).sessions_cleaned == 0 && counts(w).sessions_active == 0);
}

static void closed_and_failed_ones_go_at_the_next_sweep(void **state)
{
    struct world *w = *state;
    curfew_session closed = create(w, "closed"), failed = create(w, "failed"), active = create(w, "active");
    assert_int_equal(curfew_session_close(w->table, closed), 0);
    assert_int_equal(curfew_session_fail(w->table, failed, "the disk is full"), 0);
    assert_int_equal(get(w, closed).state, CURFEW_CLOSED);
    assert_int_equal(get(w, failed).state, CURFEW_FAILED);
    assert_string_equal(get(w, failed).failure, "the disk is full");
    for (int i = 0; i < 2; i++) {
        curfew_session one = i == 0 ? closed : failed;
        assert_int_equal(curfew_session_touch(w->table, one, CURFEW_TOUCH_INPUT), CURFEW_E_NOT_READY);
        assert_int_equal(curfew_session_close(w->table, one), CURFEW_E_NOT_READY);
        assert_int_equal(curfew_session_fail(w->table, one, NULL), CURFEW_E_NOT_READY);
        assert_int_equal(curfew_session_busy(w->table, one, true), CURFEW_E_NOT_READY);
        assert_int_equal(curfew_session_started(w->table, one), CURFEW_E_NOT_READY);
        assert_true(get(w, one).idle_left_ns == 0);
    }
    assert_int_equal(curfew_session_touch_id(w->table, "closed", CURFEW_TOUCH_INPUT), CURFEW_E_NOT_READY);
    assert_int_equal(sweep(w), 2);
    assert_true(is_here(w, active) && !is_here(w, closed) && !is_here(w, failed));
    assert_true(counts(w).ended[CURFEW_REASON_CLOSED] == 1 && counts(w).ended[CURFEW_REASON_FAILED] == 1);
}

static void a_failure_is_cut_to_fit(void **state)
{
    char why[1000];
    struct world *w = *state;
    curfew_session one = create(w, "one"), two = create(w, "two");
    memset(why, 'y', sizeof why);
    why[999] = '\0';
    assert_int_equal(curfew_session_fail(w->table, one, why), 0);
    assert_int_equal(curfew_session_fail(w->table, two, NULL), 0);
    assert_int_equal(strlen(get(w, one).failure), CURFEW_FAILURE_SIZE - 1);
    assert_string_equal(get(w, two).failure, "");
}

static void a_busy_one_has_no_idle_end(void **state)
{
    struct world *w = *state;
    curfew_session session = create(w, "one");
    assert_int_equal(curfew_session_busy(w->table, session, true), 0);
    assert_true(get(w, session).busy && get(w, session).idle_left_ns == CURFEW_NEVER_NS);
    advance(w, AGE);
    assert_int_equal(sweep(w), 0);
    assert_int_equal(curfew_cleanup_inactive(w->table, 0, NULL), 0);
    assert_true(is_here(w, session));
    assert_int_equal(curfew_session_busy(w->table, session, false), 0);
    assert_true(get(w, session).last_used_ns == T0 + AGE && get(w, session).idle_left_ns == IDLE);
    assert_int_equal(curfew_session_busy(w->table, session, true), 0);
    advance(w, 1);
    assert_int_equal(sweep(w), 1);
    assert_true(counts(w).ended[CURFEW_REASON_AGE] == 1);
}

/* ── options and rules ── */

static void wrong_options_are_named(void **state)
{
    static const struct curfew_kind no_name = { NULL, { 1, 1 } }, empty = { "", { 1, 1 } },
        longer = { "32 bytes are one byte too many..", { 1, 1 } }, negative = { "x", { 1, -1 } };
    static const struct { const char *field; const struct curfew_kind *kind; } wrong_kinds[] = {
        { "kinds[0].name", &no_name }, { "kinds[0].name", &empty }, { "kinds[0].name", &longer },
        { "kinds[0].policy.age_ns", &negative },
    };
    struct curfew_table *table = NULL;
    struct curfew_error error;
    struct curfew_options options;
    (void)state;
    for (size_t i = 0; i < sizeof wrong_kinds / sizeof *wrong_kinds; i++) {
        curfew_options_init(&options, sizeof options);
        options.kinds = wrong_kinds[i].kind;
        assert_int_equal(curfew_table_new(&options, &table, &error), CURFEW_E_INVALID);
        assert_string_equal(error.field, wrong_kinds[i].field);
    }
    for (int i = 0; i < 8; i++) {
        static const char *const fields[] = { "size", "size", "kind_count", "kinds", "emergency.idle_ns",
                                              "sweep_interval_ns", "allocator.give", "callbacks.reserved" };
        curfew_options_init(&options, sizeof options);
        options.size = i == 0 ? 0 : i == 1 ? 8 : options.size;
        options.kind_count = i == 2 ? CURFEW_KINDS_MAX + 1 : 1;
        options.kinds = i == 3 ? NULL : options.kinds;
        options.emergency.idle_ns = i == 4 ? -1 : 0;
        options.sweep_interval_ns = i == 5 ? 999999 : 1000000;
        options.allocator.take = i == 6 ? meter_take : NULL;
        options.callbacks.reserved[3] = i == 7 ? &options : NULL;
        struct curfew_kind kinds[CURFEW_KINDS_MAX + 1];
        for (int k = 0; k <= CURFEW_KINDS_MAX; k++)
            kinds[k] = (struct curfew_kind){ "kind", { 1, 1 } };
        if (i == 2)
            options.kinds = kinds;
        assert_int_equal(curfew_table_new(&options, &table, &error), CURFEW_E_INVALID);
        assert_string_equal(error.field, fields[i]);
        assert_int_equal(curfew_table_new(&options, &table, NULL), CURFEW_E_INVALID);
    }
    assert_null(table);
}

static void options_of_a_later_version_do_when_they_are_not_used(void **state)
{
    struct { struct curfew_options options; char later[24]; } big;
    struct curfew_table *table = NULL;
    struct curfew_error error;
    (void)state;
    memset(&big, 0x5a, sizeof big);
    curfew_options_init(&big.options, sizeof big);
    assert_true(big.options.size == sizeof big && big.later[0] == 0 && big.later[23] == 0);
    assert_int_equal(curfew_table_new(&big.options, &table, NULL), 0);
    curfew_table_free(&table);
    assert_null(table);
    curfew_table_free(&table);
    curfew_table_free(NULL);
    big.later[23] = 1;
    assert_int_equal(curfew_table_new(&big.options, &table, &error), CURFEW_E_INVALID);
    assert_string_equal(error.field, "size");
}

static void standard_values_are_those_of_the_documents(void **state)
{
    struct curfew_table *table = NULL;
    struct curfew_policy policy;
    struct curfew_options options;
    (void)state;
    curfew_options_init(&options, sizeof options);
    assert_true(options.limits.max_sessions == 1000 && options.sweep_interval_ns == 60 * S);
    assert_true(options.emergency.idle_ns == 300 * S && options.emergency.age_ns == 3600 * S);
    assert_true(options.cleanup_on_shutdown);
    assert_int_equal(curfew_table_new(NULL, &table, NULL), 0);
    assert_int_equal(curfew_policy_get(table, 0, &policy), 0);
    assert_true(policy.idle_ns == 3600 * S && policy.age_ns == 86400 * S);
    assert_int_equal(curfew_policy_get(table, 1, &policy), CURFEW_E_INVALID);
    int64_t before = curfew_now(table);
    assert_true(before > 0 && curfew_now(table) >= before);
    curfew_table_free(&table);
}

static void fourteen_kinds_have_a_policy_each(void **state)
{
    struct world *w = *state;
    struct curfew_kind kinds[CURFEW_KINDS_MAX];
    curfew_session sessions[CURFEW_KINDS_MAX];
    struct curfew_options options = world_options(w);
    for (int i = 0; i < CURFEW_KINDS_MAX; i++)
        kinds[i] = (struct curfew_kind){ "thirty-one bytes are the longest", { (i + 1) * S, AGE } };
    for (int i = 0; i < CURFEW_KINDS_MAX; i++)
        kinds[i].name = "thirty-one bytes is the longest";
    options.kinds = kinds;
    options.kind_count = CURFEW_KINDS_MAX;
    curfew_table_free(&w->table);
    world_make(w, &options);
    for (unsigned i = 0; i < CURFEW_KINDS_MAX; i++) {
        const struct curfew_new want = { .kind = i };
        sessions[i] = create_with(w, &want);
        assert_true(get(w, sessions[i]).kind == i && get(w, sessions[i]).idle_ns == (i + 1) * S);
    }
    for (int i = 0; i < CURFEW_KINDS_MAX; i++) {
        advance(w, i == 0 ? S + 1 : S);
        assert_int_equal(sweep(w), 1);
        assert_false(is_here(w, sessions[i]));
    }
}

static void wrong_rules_change_nothing(void **state)
{
    struct world *w = *state;
    static const struct curfew_policy wrong = { -1, 5 };
    struct curfew_policy policy = { 1, 2 };
    struct curfew_error error;
    assert_int_equal(curfew_policy_set(w->table, 0, &wrong, &error), CURFEW_E_INVALID);
    assert_string_equal(error.field, "policy.idle_ns");
    assert_int_equal(curfew_policy_set(w->table, 1, &policy, &error), CURFEW_E_INVALID);
    assert_string_equal(error.field, "kind");
    assert_int_equal(curfew_emergency_set(w->table, &wrong, &error), CURFEW_E_INVALID);
    assert_int_equal(curfew_policy_get(w->table, 0, &policy), 0);
    assert_true(policy.idle_ns == IDLE && policy.age_ns == AGE);
}

static void a_policy_change_holds_at_once(void **state)
{
    struct world *w = *state;
    static const struct curfew_policy strict = { 0, CURFEW_NEVER_NS };
    curfew_session session = create(w, "one");
    assert_int_equal(curfew_policy_set(w->table, 0, &strict, NULL), 0);
    assert_int_equal(sweep(w), 0);
    advance(w, 1);
    assert_int_equal(sweep(w), 1);
    assert_false(is_here(w, session));
}

/* ── coordinators (S2) ── */

static void a_coordinator_works_in_one_session_at_a_time(void **state)
{
    struct world *w = *state;
    struct curfew_coordinator *coordinator = NULL;
    curfew_session one = create(w, "one"), two = create(w, "two"), current = 77;
    assert_int_equal(curfew_coordinator_new(w->table, &coordinator), 0);
    assert_int_equal(curfew_current(coordinator, &current), CURFEW_E_NOT_FOUND);
    assert_true(current == 77);
    advance(w, 10 * S);
    assert_int_equal(curfew_switch(coordinator, one), 0);
    assert_int_equal(curfew_current(coordinator, &current), 0);
    assert_true(current == one && get(w, one).last_used_ns == T0 + 10 * S && get(w, one).message_count == 0);
    assert_int_equal(curfew_session_close(w->table, two), 0);
    assert_int_equal(curfew_switch(coordinator, two), CURFEW_E_NOT_READY);
    assert_int_equal(curfew_current(coordinator, &current), 0);
    assert_true(current == one);
    assert_int_equal(curfew_session_end(w->table, one), 0);
    current = 77;
    assert_int_equal(curfew_current(coordinator, &current), CURFEW_E_GONE);
    assert_int_equal(curfew_switch(coordinator, one), CURFEW_E_GONE);
    assert_true(current == 77);
    assert_int_equal(curfew_switch(coordinator, 0), 0);
    assert_int_equal(curfew_current(coordinator, &current), CURFEW_E_NOT_FOUND);
    curfew_coordinator_free(&coordinator);
    assert_null(coordinator);
    curfew_coordinator_free(&coordinator);
    curfew_coordinator_free(NULL);
}

static void coordinators_share_a_table(void **state)
{
    struct world *w = *state;
    struct curfew_coordinator *a = NULL, *b = NULL;
    curfew_session one = create(w, "one"), two = create(w, "two"), current = 0;
    assert_int_equal(curfew_coordinator_new(w->table, &a), 0);
    assert_int_equal(curfew_coordinator_new(w->table, &b), 0);
    assert_int_equal(curfew_switch(a, one), 0);
    assert_int_equal(curfew_switch(b, two), 0);
    curfew_coordinator_free(&a);
    assert_true(curfew_current(b, &current) == 0 && current == two && is_here(w, one));
    curfew_coordinator_free(&b);
}

/* ── names ── */

static void names_are_words(void **state)
{
    char version[32];
    (void)state;
    snprintf(version, sizeof version, "%d.%d.%d", CURFEW_VERSION_MAJOR, CURFEW_VERSION_MINOR, CURFEW_VERSION_PATCH);
    assert_string_equal(curfew_version(), version);
    assert_string_equal(curfew_version(), CURFEW_VERSION);      /* the project's */
    assert_string_equal(curfew_state_name(CURFEW_ACTIVE), "active");
    assert_string_equal(curfew_state_name(CURFEW_ENDING), "ending");
    assert_string_equal(curfew_state_name((enum curfew_state)0), "unknown");
    assert_string_equal(curfew_state_name((enum curfew_state)99), "unknown");
    assert_string_equal(curfew_reason_name(CURFEW_REASON_LIMIT), "limit");
    assert_string_equal(curfew_reason_name((enum curfew_reason)99), "unknown");
    assert_string_equal(curfew_error_name(CURFEW_E_TOO_MANY_ACTIVE), "too_many_active");
    assert_string_equal(curfew_error_name(-9999), "internal");
    assert_string_equal(curfew_error_name(INT32_MIN), "internal");
    assert_true(strlen(curfew_error_text(CURFEW_E_EXISTS)) > 0);
}

#define TEST(title, function) { title, function, begin, finish, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("S2.1, S3.1: a new session has its id, workspace, times, state and a count of 0",
             creation_sets_what_is_known),
        TEST("what is left of the limits counts down to 0", limits_count_down),
        TEST("an id that is here cannot be taken again", an_id_is_taken_once),
        TEST("ids that the table makes are never made again and pass over taken ones", made_ids_pass_over_taken_ones),
        TEST("an id that the table makes beside 200,000 restored ones costs little",
             a_made_id_beside_many_restored_ones_costs_little),
        TEST("an argument that is wrong is named, and nothing changes", wrong_arguments_are_named),
        TEST("S3.2, S3.3: a session's own limits win over its kind's", own_limits_win),
        TEST("an id is found while its session is here; one of the wrong form is not found",
             an_id_is_found_while_it_is_here),
        TEST("ids of which one begins another are told apart, whatever the seed", ids_that_begin_alike_are_told_apart),
        TEST("the longest id is found, and a longer one is nobody's", the_longest_id_is_found_and_a_longer_one_is_not),
        TEST("an id need not be UTF-8", an_id_need_not_be_utf_8),
        TEST("a handle is never used again, and a stale one meets nobody", a_handle_is_never_used_again),
        TEST("a walk over the table sees each session once", a_walk_sees_each_once),
        TEST("a struct of an older version is filled as far as it goes", a_smaller_struct_is_filled_as_far_as_it_goes),
        TEST("S2.5: every cause moves activity; messages and input are counted", every_cause_moves_activity),
        TEST("S2.1: last use never goes back", last_used_never_goes_back),
        TEST("a clock that goes backwards ends nobody", a_clock_that_goes_back_ends_nobody),
        TEST("a session that starts is never due", a_starting_one_is_never_due),
        TEST("S3.7: a session that never started is not counted as cleaned",
             one_that_never_started_is_not_counted_as_cleaned),
        TEST("S3.3: closed and failed sessions go at the next sweep", closed_and_failed_ones_go_at_the_next_sweep),
        TEST("S3.1: why a session failed is kept, cut to fit", a_failure_is_cut_to_fit),
        TEST("a busy session has no idle end and keeps its age end", a_busy_one_has_no_idle_end),
        TEST("options that are wrong are named", wrong_options_are_named),
        TEST("options of a later version do when what is new is not used",
             options_of_a_later_version_do_when_they_are_not_used),
        TEST("S3.4, S3.5: the standard values", standard_values_are_those_of_the_documents),
        TEST("fourteen kinds have a policy each", fourteen_kinds_have_a_policy_each),
        TEST("rules that are wrong change nothing", wrong_rules_change_nothing),
        TEST("a change of policy holds at once", a_policy_change_holds_at_once),
        TEST("S2.5: a coordinator works in one session at a time, and a switch touches",
             a_coordinator_works_in_one_session_at_a_time),
        TEST("S2: coordinators share a table and end nobody when they go", coordinators_share_a_table),
        TEST("codes, states and reasons have names", names_are_words),
    };
    return cmocka_run_group_tests_name("lib", tests, NULL, NULL);
}
