/* test_lib_plan.c: who would end, when and why, without ending anybody. */
#include "lib_fixture.h"

static size_t plan(struct world *w, const struct curfew_plan_query *query, struct curfew_planned *ret, size_t max,
                   size_t *ret_total)
{
    struct curfew_error error;
    size_t count = 999;
    if (curfew_plan(w->table, query, ret, max, &count, ret_total, &error) != 0)
        fail_msg("%s", error.text);
    return count;
}

static void a_plan_says_what_a_sweep_does(void **state)
{
    struct world *w = *state;
    struct curfew_planned planned[8];
    size_t total = 0;
    const struct curfew_new old = { .id = "old", .idle_ns = CURFEW_NEVER_NS, .age_ns = 50 * S };
    curfew_session idle = create(w, "idle"), aged = create_with(w, &old);
    curfew_session closed = create(w, "closed"), busy = create(w, "busy");
    assert_int_equal(curfew_session_busy(w->table, busy, true), 0);
    advance(w, 20 * S);
    assert_int_equal(curfew_session_touch(w->table, idle, CURFEW_TOUCH_INPUT), 0);
    assert_int_equal(plan(w, NULL, planned, 8, &total), 0);
    assert_int_equal(curfew_session_close(w->table, closed), 0);
    assert_int_equal(plan(w, NULL, planned, 8, NULL), 1);
    assert_true(planned[0].session == closed && planned[0].reason == CURFEW_REASON_CLOSED);

    const struct curfew_plan_query hour = { .within_ns = IDLE + 1 };
    assert_int_equal(plan(w, &hour, planned, 8, &total), 3);
    assert_int_equal(total, 3);
    assert_true(planned[0].session == closed && planned[1].session == aged && planned[2].session == idle);
    assert_true(planned[1].reason == CURFEW_REASON_AGE && planned[1].when_ns == T0 + 50 * S);
    assert_true(planned[1].idle_for_ns == 20 * S);
    assert_true(planned[2].reason == CURFEW_REASON_IDLE && planned[2].when_ns == T0 + 20 * S + IDLE);
    assert_true(planned[2].idle_for_ns == 0);
    const struct curfew_plan_query short_of_it = { .within_ns = IDLE };
    assert_int_equal(plan(w, &short_of_it, planned, 8, NULL), 2);
    assert_true(counts(w).sessions_active == 4 && counts(w).cleanup_runs == 0);

    advance(w, IDLE + 1);
    assert_int_equal(plan(w, NULL, planned, 8, NULL), 3);
    assert_int_equal(sweep(w), 3);
    assert_int_equal(plan(w, NULL, planned, 8, NULL), 0);
}

static void other_policies_can_be_tried(void **state)
{
    struct world *w = *state;
    struct curfew_planned planned[8];
    struct curfew_policy policies[1] = { { 10 * S, CURFEW_NEVER_NS } };
    struct curfew_plan_query query = { .policies = policies };
    const struct curfew_new own = { .id = "own", .idle_ns = 100 * S };
    curfew_session one = create(w, "one");
    create_with(w, &own);
    advance(w, 10 * S + 1);
    assert_int_equal(plan(w, NULL, planned, 8, NULL), 0);
    assert_int_equal(plan(w, &query, planned, 8, NULL), 1);
    assert_true(planned[0].session == one && planned[0].when_ns == T0 + 10 * S && planned[0].idle_for_ns == 10 * S + 1);
    assert_int_equal(sweep(w), 0);
    query.within_ns = CURFEW_NEVER_NS;
    assert_int_equal(plan(w, &query, planned, 8, NULL), 2);
}

static void the_first_of_many_in_their_order(void **state)
{
    struct world *w = *state;
    enum { MANY = 30000, FIRST = 100 };
    static struct curfew_planned planned[MANY], again[MANY];
    uint64_t random = 12345;
    size_t total = 0;
    for (int i = 0; i < MANY; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const struct curfew_new want = { .idle_ns = (int64_t)(random >> 33) % 5000 * S + S };
        create_with(w, &want);
    }
    const struct curfew_plan_query query = { .within_ns = 10000 * S };
    assert_int_equal(plan(w, &query, planned, MANY, &total), MANY);
    assert_int_equal(total, MANY);
    for (int i = 1; i < MANY; i++) {
        assert_true(planned[i - 1].when_ns <= planned[i].when_ns);
        assert_true(planned[i - 1].session != planned[i].session);
    }
    assert_int_equal(plan(w, &query, again, FIRST, &total), FIRST);
    assert_int_equal(total, MANY);
    assert_memory_equal(planned, again, FIRST * sizeof *planned);
    total = 0;
    assert_int_equal(plan(w, &query, NULL, 0, &total), 0);
    assert_int_equal(total, MANY);
    assert_int_equal(plan(w, &query, again, 1, NULL), 1);
    assert_memory_equal(planned, again, sizeof *planned);
}

static void wrong_queries_are_named(void **state)
{
    struct world *w = *state;
    struct curfew_error error;
    size_t count = 77, total = 77;
    static const struct curfew_policy negative = { 5, -5 };
    const struct curfew_plan_query back = { .within_ns = -1 }, wrong = { .policies = &negative };
    assert_int_equal(curfew_plan(w->table, &back, NULL, 0, &count, &total, &error), CURFEW_E_INVALID);
    assert_string_equal(error.field, "within_ns");
    assert_int_equal(curfew_plan(w->table, &wrong, NULL, 0, &count, &total, &error), CURFEW_E_INVALID);
    assert_string_equal(error.field, "policies[0].age_ns");
    assert_true(count == 77 && total == 77);
}

#define TEST(title, function) { title, function, begin, finish, NULL }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("S3.11: a plan says whom a sweep would end, when and why, and ends nobody", a_plan_says_what_a_sweep_does),
        TEST("other policies can be tried without setting them", other_policies_can_be_tried),
        TEST("a short list holds the first of many, in the order of their moments", the_first_of_many_in_their_order),
        TEST("a query that is wrong is named", wrong_queries_are_named),
    };
    return cmocka_run_group_tests_name("lib_plan", tests, NULL, NULL);
}
