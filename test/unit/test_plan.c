/* test_plan.c: who would end first, and that it is what a sweep then does. */
#include "core_fixture.h"

#include "core/plan.h"

/* ── the list ── */

static int by_moment(const void *a, const void *b)
{
    const struct cf_due *one = a, *other = b;
    if (one->when_ns != other->when_ns)
        return one->when_ns < other->when_ns ? -1 : 1;
    return one->handle < other->handle ? -1 : one->handle > other->handle;
}

static void expect_same(const struct cf_due *a, const struct cf_due *b, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        assert_true(a[i].handle == b[i].handle && a[i].when_ns == b[i].when_ns && a[i].idle_for_ns == b[i].idle_for_ns);
        assert_int_equal(a[i].reason, b[i].reason);
    }
}

static struct cf_due due_at(int64_t when_ns, cf_handle handle)
{
    return (struct cf_due){
        .handle = handle, .reason = CF_REASON_IDLE, .when_ns = when_ns, .idle_for_ns = (int64_t)handle * 3,
    };
}

/* A plan of `max` out of `all` is what sorting all of them begins with, and nothing is written beyond it. */
static void expect_first(const struct cf_due *all, size_t count, size_t max)
{
    static const struct cf_due mark = { 1234567, CF_REASON_LOST, -7, -7 };
    struct cf_due *sorted = calloc(count + 1, sizeof *sorted), *best = calloc(max + 1, sizeof *best);
    assert_true(sorted != NULL && best != NULL);
    memcpy(sorted, all, count * sizeof *all);
    qsort(sorted, count, sizeof *sorted, by_moment);
    best[max] = mark;
    struct cf_plan plan = { .best = best, .max = max };
    for (size_t i = 0; i < count; i++)
        cf_plan_add(&plan, &all[i]);
    cf_plan_sort(&plan);
    assert_int_equal(plan.count, count < max ? count : max);
    assert_int_equal(plan.total, count);
    expect_same(best, sorted, plan.count);
    expect_same(&best[max], &mark, 1);
    free(sorted);
    free(best);
}

static void the_first_of_many_in_their_order(void **state)
{
    enum { MANY = 500 };
    struct cf_due all[MANY];
    uint64_t random = 42;
    for (int round = 0; round < 40; round++) {
        uint64_t moments = round % 2 ? 7 : UINT64_MAX;  /* many at the same moment, or hardly any */
        for (cf_handle i = 0; i < MANY; i++) {
            random = random * 6364136223846793005u + 1442695040888963407u;
            all[i] = due_at((int64_t)((random >> 20) % moments), (i * 263) % MANY + 1);
        }
        for (size_t max = 0; max < 20; max++)
            expect_first(all, MANY, max);
        expect_first(all, MANY, 100);
        expect_first(all, MANY, MANY - 1);
        expect_first(all, MANY, MANY);
        expect_first(all, MANY, MANY + 5);
    }
}

static void whatever_order_they_come_in(void **state)
{
    enum { SOME = 100 };
    struct cf_due rising[SOME], falling[SOME], same[SOME];
    for (cf_handle i = 0; i < SOME; i++) {
        rising[i] = due_at((int64_t)i - 50, i + 1);
        falling[i] = due_at(50 - (int64_t)i, i + 1);
        same[i] = due_at(5, SOME - i);
    }
    for (size_t count = 0; count <= SOME; count += 11)
        for (size_t max = 0; max <= SOME; max += 3) {
            expect_first(rising, count, max);
            expect_first(falling, count, max);
            expect_first(same, count, max);
        }
    const struct cf_due ends[] = {
        due_at(INT64_MAX, 2), due_at(INT64_MIN, 3), due_at(0, 1), due_at(INT64_MAX, (cf_handle)INT64_MAX / 4),
    };
    expect_first(ends, 4, 3);
}

static void without_room_it_counts(void **state)
{
    struct cf_plan plan = { .max = 0 };
    struct cf_due one = due_at(5, 1);
    for (int i = 0; i < 3; i++)
        cf_plan_add(&plan, &one);
    cf_plan_sort(&plan);
    assert_true(plan.count == 0 && plan.total == 3);
}

/* ── of a table ── */

static size_t plan_of(struct cf_core *core, const struct cf_judge *judge, int64_t now_ns, struct cf_due *ret,
                      size_t max)
{
    struct cf_plan plan = { .best = ret, .max = max };
    cf_plan_scan(&plan, core, judge, now_ns);
    cf_plan_sort(&plan);
    assert_true(plan.total >= plan.count && (plan.count == max || plan.count == plan.total));
    return plan.total;
}

static void in_the_order_of_their_moments(void **state)
{
    struct cf_due planned[8];
    cf_handle late = start(*state, "late", T0 + 3 * S), early = start(*state, "early", T0);
    cf_handle aged = admit_with(*state, "aged", "w", 0, 100 * S, T0), busy = start(*state, "busy", T0);
    cf_handle closed = start(*state, "closed", T0), failed = start(*state, "failed", T0);
    cf_core_started(*state, aged, T0);
    cf_core_busy(*state, busy, true, T0);
    cf_core_left(*state, closed, CF_STATE_CLOSED, NULL);
    cf_core_left(*state, failed, CF_STATE_FAILED, NULL);
    (void)admit_with(*state, "starting", "v", S, S, T0);
    assert_true(cf_core_ending(*state, start(*state, "ending", T0), CF_REASON_REQUESTED));

    const int64_t now = T0 + 200 * S;
    const struct cf_judge hour = { .now_ns = T0 + IDLE + 1 };
    assert_int_equal(plan_of(*state, &hour, now, planned, 8), 4);
    assert_true(planned[0].handle == aged && planned[0].reason == CF_REASON_AGE && planned[0].when_ns == T0 + 100 * S);
    assert_true(planned[1].handle == closed && planned[1].reason == CF_REASON_CLOSED && planned[1].when_ns == now);
    assert_true(planned[2].handle == failed && planned[2].reason == CF_REASON_FAILED && planned[2].when_ns == now);
    assert_true(planned[3].handle == early && planned[3].reason == CF_REASON_IDLE && planned[3].when_ns == T0 + IDLE);
    const struct cf_judge day = { .now_ns = T0 + AGE + 1 };
    assert_int_equal(plan_of(*state, &day, now, planned, 8), 6);
    assert_true(planned[4].handle == late && planned[4].when_ns == T0 + 3 * S + IDLE);
    assert_true(planned[5].handle == busy && planned[5].reason == CF_REASON_AGE && planned[5].when_ns == T0 + AGE);
}

/* Sessions of all sorts: some with limits of their own, some busy, used at all times. */
static void fill(struct cf_core *core, int sessions, uint64_t *random)
{
    static const struct cf_limits many = { 100000, UINT32_MAX, 100000, { 0, 0 } };
    char id[24];
    cf_core_limits_set(core, &many);
    for (int i = 0; i < sessions; i++) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        uint64_t bits = *random >> 16;
        int64_t at = T0 + (int64_t)(bits % 500) * S;
        snprintf(id, sizeof id, "s%d", i);
        struct cf_admission want = {
            .id = id, .workspace = "w", .kind = bits >> 10 & 1,
            .idle_ns = bits >> 11 & 3 ? 0 : (int64_t)(bits >> 20) % 3000 * S + S,
            .age_ns = bits >> 13 & 3 ? 0 : (int64_t)(bits >> 30) % 3000 * S + S,
        };
        cf_handle handle;
        assert_int_equal(cf_core_admit(core, &want, at, &handle, NULL), 0);
        cf_core_started(core, handle, at);
        if ((bits >> 15 & 7) == 0)
            cf_core_busy(core, handle, true, at);
        if ((bits >> 18 & 31) == 0)
            cf_core_left(core, handle, CF_STATE_CLOSED, NULL);
    }
}

/* What a sweep at that moment ends, in the order of a plan. */
static size_t sweep_at(struct cf_core *core, int64_t then_ns, int64_t now_ns, struct cf_due *ret, size_t max)
{
    size_t count = cf_core_due(core, then_ns, ret, max);
    assert_true(count < max);
    for (size_t i = 0; i < count; i++)
        if (ret[i].reason == CF_REASON_CLOSED)
            ret[i].when_ns = now_ns;
    qsort(ret, count, sizeof *ret, by_moment);
    return count;
}

static void set_policies(struct cf_core *core, const struct cf_policy *policies)
{
    for (unsigned kind = 0; kind < CF_KINDS; kind++)
        cf_core_policy_set(core, kind, &policies[kind]);
}

static void a_sweep_then_does_it(void **state)
{
    enum { SESSIONS = 5000, FIRST = 70 };
    static struct cf_due planned[FIRST], swept[SESSIONS + 1];
    static const struct cf_policy tried[][CF_KINDS] = {
        { { IDLE, AGE }, { IDLE, AGE }, { IDLE, AGE } },
        { { 10 * S, 20 * S }, { 10 * S, 20 * S }, { 10 * S, 20 * S } },
        { { 0, CF_NEVER_NS }, { 400 * S, 30 * S }, { IDLE, AGE } },
        { { CF_NEVER_NS, CF_NEVER_NS }, { CF_NEVER_NS, CF_NEVER_NS }, { CF_NEVER_NS, CF_NEVER_NS } },
        { { 2 * IDLE, 600 * S }, { S, 2 * AGE }, { IDLE, AGE } },
    };
    static const int64_t ahead[] = { 0, S, 300 * S, 2 * IDLE, 10 * AGE };
    const int64_t now = T0 + 550 * S;
    uint64_t random = 7;
    int partly = 0;
    fill(*state, SESSIONS, &random);
    for (size_t i = 0; i < 5 * sizeof ahead / sizeof *ahead; i++) {
        const struct cf_policy *policies = tried[i % 5];
        const int64_t then = now + ahead[i / 5];
        const struct cf_judge judge = { .now_ns = then, .policies = policies };
        size_t total = plan_of(*state, &judge, now, planned, FIRST);
        set_policies(*state, policies);
        assert_int_equal(sweep_at(*state, then, now, swept, SESSIONS + 1), total);
        expect_same(planned, swept, total < FIRST ? total : FIRST);
        set_policies(*state, standard_policies);
        partly += total > FIRST && total < SESSIONS;
    }
    assert_true(partly >= 10);          /* else it would show little */
    assert_int_equal(cf_core_count(*state), SESSIONS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("S3.9: a plan holds the first of many in the order of their moments, and counts all",
             the_first_of_many_in_their_order),
        TEST("a plan does not depend on the order in which it hears of them", whatever_order_they_come_in),
        TEST("a plan without room counts", without_room_it_counts),
        TEST("S3.2 S3.3: a plan lists idle, old, closed and failed sessions, each at its moment",
             in_the_order_of_their_moments),
        TEST("S3.2 S3.3: what is planned, also with limits that are only tried, is what a sweep does then",
             a_sweep_then_does_it),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
