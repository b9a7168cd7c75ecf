/* test_core_scan.c: who a scan lists: the bounds that let it pass over blocks, judges by other rules, parts. */
#include "core_fixture.h"
#include "core/table.h"

static const struct cf_limits many = { UINT32_MAX, UINT32_MAX, UINT32_MAX, { 300 * S, 3600 * S } };
static const struct cf_policy never = { CF_NEVER_NS, CF_NEVER_NS };

/* So many that some blocks of the kind are full. */
#define CROWD 200

static void start_crowd(struct cf_core *core, cf_handle crowd[CROWD])
{
    char id[16];
    cf_core_limits_set(core, &many);
    for (int i = 0; i < CROWD; i++) {
        snprintf(id, sizeof id, "s%d", i);
        crowd[i] = start(core, id, T0);
    }
}

static void touch_all(struct cf_core *core, const cf_handle crowd[CROWD], int64_t now_ns)
{
    for (int i = 0; i < CROWD; i++)
        (void)cf_core_touch(core, crowd[i], now_ns, CF_TOUCH_COMMAND);
}

static void expect_due_one(struct cf_core *core, int64_t now_ns, cf_handle handle, bool is_due)
{
    struct cf_due due = { .handle = 77 };
    assert_true(cf_core_due_one(core, handle, now_ns, &due) == is_due);
    assert_true(due.handle == (is_due ? handle : 77));
}

/* ── bounds ── */

static void touches_between_sweeps_do_not_blur_the_moment(void **state)
{
    cf_handle crowd[CROWD];
    int64_t now = T0;
    start_crowd(*state, crowd);
    for (int round = 0; round < 20; round++) {
        now += IDLE - round;
        touch_all(*state, crowd, now);
        expect_nobody(*state, now + IDLE);
    }
    (void)cf_core_touch(*state, crowd[77], now - 1, CF_TOUCH_COMMAND);
    touch_all(*state, crowd, now + S);
    cf_handle late = start(*state, "late", now + 2);        /* used before all others, in a block whose bound moved */
    expect_nobody(*state, now + 2 + IDLE);
    expect_one(*state, now + 3 + IDLE, late, CF_REASON_IDLE);
}

/* Bounds are made of many times at once: none of the places may be left out. */
static void in_every_place_of_a_block_the_stalest_is_seen(void **state)
{
    static const struct cf_policy idle_only = { IDLE, CF_NEVER_NS };
    cf_handle crowd[CROWD];
    int64_t now = T0;
    start_crowd(*state, crowd);
    cf_core_policy_set(*state, CF_KIND_BASH, &idle_only);
    for (int place = 0; place < CROWD; place++) {
        now += IDLE / 2;
        for (int i = 0; i < CROWD; i++)
            (void)cf_core_touch(*state, crowd[i], now + (i == place ? 0 : 1 + i % 5), CF_TOUCH_COMMAND);
        expect_nobody(*state, now + IDLE / 2 + 10);         /* at the bounds of the round before this makes new ones */
        expect_nobody(*state, now + IDLE);
        expect_one(*state, now + IDLE + 1, crowd[place], CF_REASON_IDLE);
        assert_true(cf_core_next_due(*state) == now + IDLE + 1);
    }
}

static void who_comes_back_from_busy_is_seen(void **state)
{
    cf_handle crowd[CROWD];
    start_crowd(*state, crowd);
    cf_core_busy(*state, crowd[10], true, T0);
    touch_all(*state, crowd, T0 + IDLE);
    expect_nobody(*state, T0 + 2 * IDLE);                   /* all bounds are exact, without the busy one */
    cf_core_busy(*state, crowd[10], false, T0 + IDLE - S);  /* at a time that is past: it was used at T0 + IDLE */
    assert_true(get(*state, crowd[10], T0).last_used_ns == T0 + IDLE);
    cf_core_busy(*state, crowd[11], true, T0 + IDLE);
    touch_all(*state, crowd, T0 + 2 * IDLE);
    cf_core_busy(*state, crowd[11], false, T0 + 2 * IDLE);
    expect_nobody(*state, T0 + 3 * IDLE);
    struct cf_due due[CROWD];
    assert_int_equal(cf_core_due(*state, T0 + 3 * IDLE + 1, due, CROWD), CROWD);
}

static void a_busy_one_long_unused_hides_nobody(void **state)
{
    cf_handle crowd[CROWD];
    start_crowd(*state, crowd);
    cf_core_busy(*state, crowd[10], true, T0);
    for (int i = 0; i < CROWD; i++)
        if (i != 10)
            (void)cf_core_touch(*state, crowd[i], T0 + IDLE + i, CF_TOUCH_COMMAND);
    expect_nobody(*state, T0 + IDLE + 1);
    expect_nobody(*state, T0 + 2 * IDLE);
    expect_one(*state, T0 + 2 * IDLE + 1, crowd[0], CF_REASON_IDLE);
    cf_core_busy(*state, crowd[10], false, T0);             /* it was not used since T0, by its owner's clock */
    struct cf_due due[4];
    assert_int_equal(cf_core_due(*state, T0 + 2 * IDLE + 1, due, 4), 2);
    assert_true(due[1].handle == crowd[10]);
}

static void an_early_clock_lowers_the_bounds(void **state)
{
    cf_handle crowd[CROWD];
    start_crowd(*state, crowd);
    touch_all(*state, crowd, T0 + IDLE);
    expect_nobody(*state, T0 + 2 * IDLE);
    cf_handle early = start(*state, "early", T0 - S);       /* the clock went back */
    expect_nobody(*state, T0 - S + IDLE);
    expect_one(*state, T0 - S + IDLE + 1, early, CF_REASON_IDLE);
    (void)cf_core_touch(*state, early, T0 + AGE, CF_TOUCH_COMMAND);
    touch_all(*state, crowd, T0 + AGE);
    expect_nobody(*state, T0 - S + AGE);
    expect_one(*state, T0 - S + AGE + 1, early, CF_REASON_AGE);
}

static void a_shorter_policy_ends_at_once_and_a_longer_one_spares(void **state)
{
    static const struct cf_policy brief = { 10 * S, AGE }, brief_age = { IDLE, 10 * S };
    cf_handle crowd[CROWD];
    struct cf_due due[CROWD];
    start_crowd(*state, crowd);
    expect_nobody(*state, T0 + IDLE);                       /* bounds are exact now */
    cf_core_policy_set(*state, CF_KIND_BASH, &brief);
    assert_true(cf_core_next_due(*state) == T0 + 10 * S + 1);
    assert_int_equal(cf_core_due(*state, T0 + 10 * S, due, CROWD), 0);
    assert_int_equal(cf_core_due(*state, T0 + 10 * S + 1, due, CROWD), CROWD);
    cf_core_policy_set(*state, CF_KIND_BASH, &brief_age);
    assert_int_equal(cf_core_due(*state, T0 + 10 * S + 1, due, CROWD), CROWD);
    assert_int_equal(due[0].reason, CF_REASON_AGE);
    cf_core_policy_set(*state, CF_KIND_BASH, &never);
    expect_nobody(*state, INT64_MAX);
    assert_true(cf_core_next_due(*state) == CF_NEVER_NS);
    cf_core_policy_set(*state, CF_KIND_BASH, &standard_policies[CF_KIND_BASH]);
    assert_int_equal(cf_core_due(*state, T0 + IDLE + 1, due, CROWD), CROWD);
}

/* Rows with one limit of their own lie in blocks that keep deadlines: a policy moves the other limit's. */
static void a_policy_reaches_who_has_one_limit_of_its_own(void **state)
{
    static const struct cf_policy brief = { 10 * S, 20 * S }, briefer = { 5 * S, 15 * S };
    cf_handle own_idle = admit_with(*state, "own_idle", "w", 1000 * S, 0, T0);
    cf_handle own_age = admit_with(*state, "own_age", "w", 0, 1000 * S, T0);
    cf_core_started(*state, own_idle, T0);
    cf_core_started(*state, own_age, T0);
    expect_nobody(*state, T0 + 1000 * S);                   /* deadlines are exact now */
    cf_core_policy_set(*state, CF_KIND_BASH, &brief);
    assert_true(cf_core_next_due(*state) == T0 + 10 * S + 1);
    expect_nobody(*state, T0 + 10 * S);
    expect_one(*state, T0 + 10 * S + 1, own_age, CF_REASON_IDLE);
    cf_core_policy_set(*state, CF_KIND_RECORD, &briefer);   /* not their kind */
    expect_one(*state, T0 + 10 * S + 1, own_age, CF_REASON_IDLE);
    (void)cf_core_touch(*state, own_age, T0 + 15 * S, CF_TOUCH_COMMAND);
    expect_nobody(*state, T0 + 20 * S);
    expect_one(*state, T0 + 20 * S + 1, own_idle, CF_REASON_AGE);
    cf_core_policy_set(*state, CF_KIND_BASH, &never);
    expect_nobody(*state, T0 + 1000 * S);
    (void)cf_core_touch(*state, own_idle, T0 + 20 * S, CF_TOUCH_COMMAND);
    expect_one(*state, T0 + 1000 * S + 1, own_age, CF_REASON_AGE);
}

static void who_starts_late_among_own_limits_is_seen(void **state)
{
    cf_handle first = admit_with(*state, "first", "w", 100 * S, CF_NEVER_NS, T0);
    cf_handle second = admit_with(*state, "second", "w", 10 * S, 20 * S, T0);
    cf_core_started(*state, first, T0);
    expect_nobody(*state, T0 + 50 * S);
    assert_true(cf_core_next_due(*state) == T0 + 100 * S + 1);
    cf_core_started(*state, second, T0 + 9 * S);
    assert_true(cf_core_next_due(*state) == T0 + 19 * S + 1);
    expect_one(*state, T0 + 19 * S + 1, second, CF_REASON_IDLE);
    cf_core_busy(*state, second, true, T0 + 9 * S);
    assert_true(cf_core_next_due(*state) == T0 + 20 * S + 1);
    expect_one(*state, T0 + 20 * S + 1, second, CF_REASON_AGE);
    cf_core_busy(*state, second, false, T0 + 9 * S);
    expect_one(*state, T0 + 19 * S + 1, second, CF_REASON_IDLE);
}

/* ── who is asked ── */

static void who_is_asked_is_not_due_meanwhile(void **state)
{
    struct cf_due due;
    const struct cf_judge proposal = { .now_ns = INT64_MAX, .all = &standard_policies[0] };
    cf_handle one = start(*state, "one", T0);
    assert_true(cf_core_ask(*state, one, CF_REASON_IDLE));
    assert_false(cf_core_ask(*state, one, CF_REASON_AGE));
    assert_int_equal(get(*state, one, T0).reason, CF_REASON_IDLE);
    assert_true(get(*state, one, T0).asked);
    expect_nobody(*state, INT64_MAX);
    expect_due_one(*state, INT64_MAX, one, false);
    assert_false(cf_core_judge_one(*state, one, &proposal, &due));
    assert_int_equal(cf_core_due_emergency(*state, INT64_MAX, &due, 1), 0);
    cf_core_asked(*state, one);
    assert_int_equal(get(*state, one, T0).reason, CF_REASON_NONE);
    assert_false(get(*state, one, T0).asked);
    expect_one(*state, T0 + IDLE + 1, one, CF_REASON_IDLE);
    cf_core_asked(*state, one);                 /* once more changes nothing */
    expect_one(*state, T0 + IDLE + 1, one, CF_REASON_IDLE);
    assert_true(cf_core_ask(*state, one, CF_REASON_AGE));
}

static void who_is_asked_goes_on_as_before(void **state)
{
    cf_handle one = start(*state, "one", T0);
    assert_true(cf_core_ask(*state, one, CF_REASON_IDLE));
    assert_int_equal(cf_core_touch(*state, one, T0 + IDLE, CF_TOUCH_COMMAND), 0);
    cf_core_busy(*state, one, true, T0 + IDLE);
    cf_core_busy(*state, one, false, T0 + IDLE + S);
    expect_nobody(*state, T0 + 3 * IDLE);
    cf_core_asked(*state, one);
    expect_nobody(*state, T0 + 2 * IDLE + S);
    expect_one(*state, T0 + 2 * IDLE + S + 1, one, CF_REASON_IDLE);
    cf_core_busy(*state, one, true, T0 + IDLE);
    assert_true(cf_core_ask(*state, one, CF_REASON_AGE));
    cf_core_asked(*state, one);
    expect_nobody(*state, T0 + AGE);            /* it is busy still */
    expect_one(*state, T0 + AGE + 1, one, CF_REASON_AGE);
}

static void who_goes_while_asked_goes(void **state)
{
    cf_handle closed = start(*state, "closed", T0), ended = start(*state, "ended", T0);
    assert_true(cf_core_ask(*state, closed, CF_REASON_IDLE));
    assert_true(cf_core_ask(*state, ended, CF_REASON_IDLE));
    cf_core_left(*state, closed, CF_STATE_CLOSED, NULL);
    expect_nobody(*state, INT64_MAX);
    cf_core_asked(*state, closed);
    expect_one(*state, 0, closed, CF_REASON_CLOSED);
    assert_true(cf_core_ask(*state, closed, CF_REASON_CLOSED));
    expect_nobody(*state, INT64_MAX);
    assert_true(cf_core_ending(*state, ended, CF_REASON_REQUESTED));
    cf_core_asked(*state, ended);
    assert_int_equal(get(*state, ended, T0).reason, CF_REASON_REQUESTED);
    assert_false(cf_core_ask(*state, ended, CF_REASON_IDLE));
    cf_core_gone(*state, ended);
    assert_int_equal(cf_core_tally(*state)->ended[CF_REASON_REQUESTED], 1);
}

static void who_starts_while_asked_is_judged_afterwards(void **state)
{
    cf_handle one = admit_with(*state, "one", "w", 0, 0, T0);
    assert_true(cf_core_ask(*state, one, CF_REASON_SHUTDOWN));
    cf_core_started(*state, one, T0);
    expect_nobody(*state, T0 + IDLE + 1);
    cf_core_asked(*state, one);
    expect_one(*state, T0 + IDLE + 1, one, CF_REASON_IDLE);
}

/* ── other judges ── */

static void a_proposal_is_only_a_question(void **state)
{
    static const struct cf_policy proposed[CF_KINDS] = { { 10 * S, 1000 * S }, { IDLE, AGE }, { IDLE, AGE } };
    cf_handle crowd[CROWD];
    struct cf_due due[CROWD + 4];
    uint32_t cursor = 0;
    start_crowd(*state, crowd);
    cf_handle own = admit_with(*state, "own", "w", 0, 100 * S, T0);
    cf_core_started(*state, own, T0);
    (void)cf_core_touch(*state, own, T0 + 60 * S, CF_TOUCH_COMMAND);
    const struct cf_judge judge = { .now_ns = T0 + 70 * S, .policies = proposed };
    assert_int_equal(cf_core_scan(*state, &judge, &cursor, UINT32_MAX, due, CROWD + 4), CROWD);
    assert_true(cursor == CF_SCAN_END);
    const struct cf_judge later = { .now_ns = T0 + 70 * S + 1, .policies = proposed };
    cursor = 0;
    assert_int_equal(cf_core_scan(*state, &later, &cursor, UINT32_MAX, due, CROWD + 4), CROWD + 1);
    assert_true(due[CROWD].handle == own && due[CROWD].reason == CF_REASON_IDLE && due[CROWD].when_ns == T0 + 70 * S);
    expect_nobody(*state, T0 + 100 * S);        /* in force is what was in force */
    expect_one(*state, T0 + 100 * S + 1, own, CF_REASON_AGE);
    assert_true(cf_core_next_due(*state) == T0 + 100 * S + 1);
    assert_true(get(*state, crowd[0], T0).idle_ns == IDLE);
}

static void one_rule_for_all_spares_the_busy_only(void **state)
{
    static const struct cf_policy idle_only = { 10 * S, CF_NEVER_NS };
    struct cf_due due[8];
    uint32_t cursor = 0;
    cf_handle own = admit_with(*state, "own", "w", CF_NEVER_NS, CF_NEVER_NS, T0);
    cf_core_started(*state, own, T0);
    cf_handle kind = start(*state, "kind", T0), busy = start(*state, "busy", T0), failed = start(*state, "failed", T0);
    admit_with(*state, "starting", "w", 0, 0, T0);
    cf_core_busy(*state, busy, true, T0);
    cf_core_left(*state, failed, CF_STATE_FAILED, "it broke");
    const struct cf_judge judge = { .now_ns = T0 + 10 * S + 1, .all = &idle_only, .reason = CF_REASON_REQUESTED };
    assert_int_equal(cf_core_scan(*state, &judge, &cursor, UINT32_MAX, due, 8), 3);
    for (int i = 0; i < 3; i++) {
        assert_true(due[i].handle == own || due[i].handle == kind || due[i].handle == failed);
        assert_int_equal(due[i].reason, due[i].handle == failed ? CF_REASON_FAILED : CF_REASON_REQUESTED);
    }
    assert_true(cf_core_judge_one(*state, own, &judge, due));
    assert_false(cf_core_judge_one(*state, busy, &judge, due));
    assert_true(due[0].when_ns == T0 + 10 * S);
}

static void a_judge_before_the_beginning_of_time_ends_nobody(void **state)
{
    static const struct cf_policy zero = { 0, 0 };
    const struct cf_judge judge = { .now_ns = INT64_MIN, .all = &zero };
    struct cf_due due[4];
    uint32_t cursor = 0;
    cf_handle one = start(*state, "one", 0);
    assert_int_equal(cf_core_scan(*state, &judge, &cursor, UINT32_MAX, due, 4), 0);
    assert_false(cf_core_judge_one(*state, one, &judge, due));
    cf_core_left(*state, one, CF_STATE_CLOSED, NULL);
    cursor = 0;
    assert_int_equal(cf_core_scan(*state, &judge, &cursor, UINT32_MAX, due, 4), 1);
    assert_true(due[0].idle_for_ns == 0);
}

static void a_negative_emergency_limit_counts_as_zero(void **state)
{
    struct cf_limits limits = many;
    struct cf_due due;
    limits.emergency = (struct cf_policy){ -10 * S, INT64_MIN };
    cf_core_limits_set(*state, &limits);
    start(*state, "one", T0);
    assert_true(cf_core_limits(*state)->emergency.idle_ns == 0 && cf_core_limits(*state)->emergency.age_ns == 0);
    assert_int_equal(cf_core_due_emergency(*state, T0, &due, 1), 0);
    assert_int_equal(cf_core_due_emergency(*state, T0 + 1, &due, 1), 1);
}

static void a_policy_for_no_kind_is_none(void **state)
{
    static const unsigned none[] = { CF_KINDS, CF_KINDS_MAX, UINT32_MAX };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        cf_core_policy_set(*state, none[i], &never);
        assert_null(cf_core_policy(*state, none[i]));
    }
    assert_true(cf_core_policy(*state, CF_KIND_RECORD)->idle_ns == IDLE);
}

/* ── walks by parts ── */

/* Idle, old, closed and well ones among each other, so that a block has some of each. */
static size_t start_mixture(struct cf_core *core, cf_handle crowd[CROWD])
{
    size_t due = 0;
    start_crowd(core, crowd);
    for (int i = 0; i < CROWD; i++) {
        if (i % 7 != 0)
            (void)cf_core_touch(core, crowd[i], T0 + IDLE, CF_TOUCH_COMMAND);
        if (i % 50 == 3)
            cf_core_left(core, crowd[i], CF_STATE_CLOSED, NULL);
        due += i % 7 == 0 || i % 50 == 3;
    }
    return due;
}

static void expect_walk(struct cf_core *core, uint32_t blocks, size_t max, size_t expected)
{
    const struct cf_judge judge = { .now_ns = T0 + IDLE + 1 };
    struct cf_due due[CROWD];
    uint32_t cursor = 0, last = 0;
    size_t listed = 0;
    for (int calls = 0; cursor != CF_SCAN_END; calls++) {
        size_t n = cf_core_scan(core, &judge, &cursor, blocks, due, max);
        assert_in_range(calls, 0, 2 * CROWD);
        assert_true(n <= max);
        for (size_t i = 0; i < n; i++, listed++) {
            assert_true(listed == 0 || (uint32_t)due[i].handle > last);
            last = (uint32_t)due[i].handle;
        }
    }
    assert_int_equal(listed, expected);
    assert_int_equal(cf_core_scan(core, &judge, &cursor, blocks, due, max), 0);
    assert_true(cursor == CF_SCAN_END);
}

static void parts_of_every_size_list_the_same(void **state)
{
    cf_handle crowd[CROWD];
    size_t expected = start_mixture(*state, crowd);
    for (uint32_t blocks = 1; blocks < 6; blocks++)
        for (size_t max = 1; max <= CROWD; max++)
            expect_walk(*state, blocks, max, expected);
    expect_walk(*state, UINT32_MAX, CROWD, expected);
}

/* Idlers alone take a shorter way than a block with somebody closed or old. */
static void idlers_alone_are_listed_once_whatever_the_room(void **state)
{
    cf_handle crowd[CROWD];
    start_crowd(*state, crowd);
    for (int i = 0; i < CROWD; i++)
        if (i % 20 != 5)
            (void)cf_core_touch(*state, crowd[i], T0 + IDLE, CF_TOUCH_COMMAND);
    for (size_t max = 1; max <= 20; max++)
        expect_walk(*state, 1 + (uint32_t)max % 3, max, CROWD / 20);
}

static void next_due_by_parts_is_next_due(void **state)
{
    cf_handle crowd[CROWD];
    start_crowd(*state, crowd);
    for (int i = 0; i < CROWD; i++)
        (void)cf_core_touch(*state, crowd[i], T0 + S + i * 37 % CROWD, CF_TOUCH_COMMAND);
    cf_handle own = admit_with(*state, "own", "w", IDLE - 2 * S, 0, T0);
    for (int started = 0; started < 2; started++) {
        for (uint32_t blocks = 1; blocks < 6; blocks++) {
            uint32_t cursor = 0;
            int64_t least = CF_NEVER_NS;
            while (cursor != CF_SCAN_END)
                cf_core_next_due_part(*state, &cursor, blocks, &least);
            assert_true(least == (started ? T0 + IDLE - 2 * S + 1 : T0 + IDLE + S + 1));
            assert_true(cf_core_next_due(*state) == least);
        }
        cf_core_started(*state, own, T0);
    }
    cf_core_left(*state, crowd[CROWD - 1], CF_STATE_FAILED, NULL);
    assert_true(cf_core_next_due(*state) == 0);
}

static void a_drop_ends_each_once(void **state)
{
    cf_handle crowd[CROWD];
    struct cf_due due[2 * CROWD];
    start_crowd(*state, crowd);
    for (int i = 0; i < CROWD; i++)
        due[i] = due[CROWD + i] = (struct cf_due){ crowd[i], i % 2 ? CF_REASON_IDLE : CF_REASON_LIMIT, 0, 0 };
    assert_true(cf_core_ending(*state, crowd[3], CF_REASON_REQUESTED));
    assert_true(cf_core_ask(*state, crowd[4], CF_REASON_AGE));
    cf_core_gone(*state, crowd[5]);
    assert_int_equal(cf_core_drop(*state, due, 2 * CROWD, T0), CROWD - 2);
    assert_int_equal(cf_core_count(*state), 1);
    assert_int_equal(cf_core_state(*state, crowd[3]), CF_STATE_ENDING);
    assert_int_equal(cf_core_tally(*state)->ended[CF_REASON_LIMIT], CROWD / 2);
    assert_int_equal(cf_core_tally(*state)->ended[CF_REASON_IDLE], CROWD / 2 - 2);
    assert_int_equal(cf_core_counts(*state)->sessions_cleaned, CROWD - 1);
    assert_int_equal(cf_core_workspaces(*state), 1);
    assert_int_equal(cf_core_drop(*state, due, 0, T0), 0);
}

static size_t list(struct cf_core *core, const struct cf_judge *judge, struct cf_due *ret, size_t max)
{
    uint32_t cursor = 0;
    return cf_core_scan(core, judge, &cursor, UINT32_MAX, ret, max);
}

static bool was_touched(int i)
{
    return i % 3 == 0;
}

/* Some of those that were listed are touched before the drop: at the moment of the judge, and later. */
static void expect_touches_to_save(struct cf_core *core, const struct cf_judge *judge, const cf_handle crowd[CROWD],
                                   bool saved)
{
    struct cf_due due[CROWD];
    size_t count = list(core, judge, due, CROWD), left = 0;
    assert_int_equal(count, CROWD);
    for (int i = 0; i < CROWD; i++)
        if (was_touched(i))
            assert_int_equal(cf_core_touch(core, crowd[i], judge->now_ns + i % 2 * S, CF_TOUCH_INPUT), 0);
    for (int i = 0; i < CROWD; i++)
        left += saved && was_touched(i);
    assert_int_equal(cf_core_drop(core, due, count, judge->now_ns), CROWD - left);
    assert_int_equal(cf_core_count(core), left);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(cf_core_state(core, crowd[i]), saved && was_touched(i) ? CF_STATE_ACTIVE : CF_STATE_FREE);
    assert_int_equal(cf_core_counts(core)->sessions_cleaned, CROWD - left);
}

static void a_touch_after_the_judge_saves_who_is_idle(void **state)
{
    const struct cf_judge judge = { .now_ns = T0 + IDLE + 1 };
    cf_handle crowd[CROWD];
    start_crowd(*state, crowd);
    expect_touches_to_save(*state, &judge, crowd, true);
    assert_int_equal(cf_core_tally(*state)->ended[CF_REASON_IDLE], CROWD - (CROWD + 2) / 3);
    expect_nobody(*state, T0 + 2 * IDLE + 1);   /* from their touch on they have their whole time */
    struct cf_due due[CROWD];
    assert_int_equal(cf_core_due(*state, T0 + 2 * IDLE + 2 + S, due, CROWD), (CROWD + 2) / 3);
}

static void a_touch_after_the_judge_saves_who_has_own_limits(void **state)
{
    const struct cf_judge judge = { .now_ns = T0 + S + 1 };
    cf_handle crowd[CROWD];
    char id[16];
    cf_core_limits_set(*state, &many);
    for (int i = 0; i < CROWD; i++) {
        snprintf(id, sizeof id, "s%d", i);
        crowd[i] = admit_with(*state, id, "w", S, 0, T0);
        cf_core_started(*state, crowd[i], T0);
    }
    expect_touches_to_save(*state, &judge, crowd, true);
}

static void a_touch_after_the_judge_saves_from_an_emergency(void **state)
{
    const struct cf_judge judge = { .now_ns = T0 + 300 * S + 1, .all = &many.emergency, .reason = CF_REASON_LIMIT };
    cf_handle crowd[CROWD];
    start_crowd(*state, crowd);
    expect_touches_to_save(*state, &judge, crowd, true);
    assert_int_equal(cf_core_tally(*state)->ended[CF_REASON_LIMIT], CROWD - (CROWD + 2) / 3);
}

static void no_touch_saves_from_old_age(void **state)
{
    const struct cf_judge judge = { .now_ns = T0 + AGE + 1 };
    cf_handle crowd[CROWD];
    start_crowd(*state, crowd);
    touch_all(*state, crowd, T0 + AGE);
    expect_touches_to_save(*state, &judge, crowd, false);
    assert_int_equal(cf_core_tally(*state)->ended[CF_REASON_AGE], CROWD);
}

/* CLOSED ones cannot be touched, but may have been, later than the moment of the judge. */
static void no_touch_saves_who_is_closed_or_who_shall_end(void **state)
{
    static const enum cf_reason reasons[] = { CF_REASON_AGE, CF_REASON_CLOSED, CF_REASON_FAILED, CF_REASON_REQUESTED,
                                              CF_REASON_SHUTDOWN, CF_REASON_LOST };
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        cf_handle one = start(*state, "one", T0);
        struct cf_due due = { .handle = one, .reason = reasons[i], .idle_for_ns = S };
        assert_int_equal(cf_core_touch(*state, one, T0 + 5 * S, CF_TOUCH_INPUT), 0);
        if (reasons[i] == CF_REASON_CLOSED || reasons[i] == CF_REASON_FAILED)
            cf_core_left(*state, one, reasons[i] == CF_REASON_CLOSED ? CF_STATE_CLOSED : CF_STATE_FAILED, NULL);
        assert_int_equal(cf_core_drop(*state, &due, 1, T0 + S), 1);
        assert_int_equal(cf_core_state(*state, one), CF_STATE_FREE);
        assert_int_equal(cf_core_tally(*state)->ended[reasons[i]], 1);
    }
}

/* Without a touch in between nobody is saved, also when the clock has gone back behind the last use. */
static void a_clock_that_went_back_saves_nobody_from_an_emergency(void **state)
{
    static const struct cf_policy old = { CF_NEVER_NS, 10 * S };
    const struct cf_judge judge = { .now_ns = T0 + 50 * S, .all = &old, .reason = CF_REASON_LIMIT };
    struct cf_due due;
    cf_handle one = start(*state, "one", T0);
    assert_int_equal(cf_core_touch(*state, one, T0 + 100 * S, CF_TOUCH_INPUT), 0);
    assert_int_equal(list(*state, &judge, &due, 1), 1);
    assert_int_equal(cf_core_drop(*state, &due, 1, judge.now_ns), 1);
}

static void who_is_asked_has_no_next_moment(void **state)
{
    cf_handle one = start(*state, "one", T0), two = start(*state, "two", T0);
    assert_true(cf_core_ask(*state, one, CF_REASON_AGE));
    cf_core_left(*state, two, CF_STATE_CLOSED, NULL);
    assert_true(cf_core_ask(*state, two, CF_REASON_CLOSED));
    expect_nobody(*state, INT64_MAX);
    assert_true(cf_core_next_due(*state) == CF_NEVER_NS);
    cf_core_asked(*state, one);
    assert_true(cf_core_next_due(*state) == T0 + IDLE + 1);
    cf_core_asked(*state, two);
    assert_true(cf_core_next_due(*state) == 0);
}

static void a_negative_limit_of_a_judge_counts_as_zero(void **state)
{
    static const struct cf_policy negative = { -10 * S, CF_NEVER_NS }, least = { INT64_MIN, INT64_MIN };
    const struct cf_policy proposed[CF_KINDS] = { negative, negative, negative };
    const struct cf_judge judges[] = {
        { .now_ns = T0, .all = &negative }, { .now_ns = T0, .all = &least }, { .now_ns = T0, .policies = proposed },
    };
    struct cf_due due;
    cf_handle one = start(*state, "one", T0);
    for (size_t i = 0; i < sizeof judges / sizeof *judges; i++) {
        struct cf_judge later = judges[i];
        uint32_t cursor = 0;
        assert_int_equal(cf_core_scan(*state, &judges[i], &cursor, UINT32_MAX, &due, 1), 0);
        assert_false(cf_core_judge_one(*state, one, &judges[i], &due));
        later.now_ns++;
        cursor = 0;
        assert_int_equal(cf_core_scan(*state, &later, &cursor, UINT32_MAX, &due, 1), 1);
        assert_true(cf_core_judge_one(*state, one, &later, &due));
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST("S0.14: touches between sweeps do not blur the moment", touches_between_sweeps_do_not_blur_the_moment),
        TEST("S3.2: in every place of a block the stalest is seen", in_every_place_of_a_block_the_stalest_is_seen),
        TEST("S3.2: who comes back from being busy is seen by the next sweep", who_comes_back_from_busy_is_seen),
        TEST("S3.2: a busy session that was long unused hides nobody beside it", a_busy_one_long_unused_hides_nobody),
        TEST("S2.2: who starts after the clock went back is due by its own times", an_early_clock_lowers_the_bounds),
        TEST("S0.1: a shorter policy ends at once, a longer one spares",
             a_shorter_policy_ends_at_once_and_a_longer_one_spares),
        TEST("S0.1: a policy reaches who has one limit of its own", a_policy_reaches_who_has_one_limit_of_its_own),
        TEST("S3.3: who starts late among those with limits of their own is seen",
             who_starts_late_among_own_limits_is_seen),
        TEST("S2.3: who is being asked about is not due meanwhile", who_is_asked_is_not_due_meanwhile),
        TEST("S2.3: who is being asked about goes on as before", who_is_asked_goes_on_as_before),
        TEST("S2.3: who goes while it is asked about goes", who_goes_while_asked_goes),
        TEST("S2.3: who starts while it is asked about is judged afterwards",
             who_starts_while_asked_is_judged_afterwards),
        TEST("who is asked about has no next moment", who_is_asked_has_no_next_moment),
        TEST("S2.2: a negative limit of a judge counts as zero", a_negative_limit_of_a_judge_counts_as_zero),
        TEST("a proposal is a question and changes nothing", a_proposal_is_only_a_question),
        TEST("S2.2: one rule for all overrides own limits and spares the busy", one_rule_for_all_spares_the_busy_only),
        TEST("S2.2: a judge before the beginning of time ends nobody but who is closed",
             a_judge_before_the_beginning_of_time_ends_nobody),
        TEST("S3.5: a negative emergency limit counts as zero", a_negative_emergency_limit_counts_as_zero),
        TEST("S0.1: a policy for a kind that is not there is none", a_policy_for_no_kind_is_none),
        TEST("S0.8: parts of every size list the same", parts_of_every_size_list_the_same),
        TEST("S0.8: idle ones are listed once, whatever the room", idlers_alone_are_listed_once_whatever_the_room),
        TEST("the next moment by parts is the next moment", next_due_by_parts_is_next_due),
        TEST("a drop ends each once, with its reason", a_drop_ends_each_once),
        TEST("S3.9: a touch between judging and ending saves who was idle", a_touch_after_the_judge_saves_who_is_idle),
        TEST("S3.9: a touch between judging and ending saves who has limits of its own",
             a_touch_after_the_judge_saves_who_has_own_limits),
        TEST("S3.5, S3.9: a touch between judging and ending saves from an emergency",
             a_touch_after_the_judge_saves_from_an_emergency),
        TEST("S3.3: no touch saves from old age", no_touch_saves_from_old_age),
        TEST("no touch saves who is closed, or who somebody decided shall end",
             no_touch_saves_who_is_closed_or_who_shall_end),
        TEST("S3.5: a clock that went back behind the last use saves nobody from an emergency",
             a_clock_that_went_back_saves_nobody_from_an_emergency),
    };
    return cmocka_run_group_tests_name("core_scan", tests, NULL, NULL);
}
