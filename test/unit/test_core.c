/* test_core.c: when sessions end and when they do not, on a clock that the tests move. */
#include "core_fixture.h"

/* ── idle ── */

static void idle_is_strict(void **state)
{
    cf_handle one = start(*state, "one", T0);
    expect_nobody(*state, T0 + IDLE);
    struct cf_due due = expect_one(*state, T0 + IDLE + 1, one, CF_REASON_IDLE);
    assert_true(due.idle_for_ns == IDLE + 1);
    assert_true(cf_core_next_due(*state) == T0 + IDLE + 1);
}

static void a_neighbour_that_goes_takes_nobody_along(void **state)
{
    struct cf_due due[4];
    cf_handle late = admit_with(*state, "late", "w", 10 * S - 1, 0, T0);
    cf_core_started(*state, late, T0);
    cf_core_started(*state, admit_with(*state, "idle", "w", 10 * S, 0, T0), T0);
    cf_core_started(*state, admit_with(*state, "old", "w", 0, 10 * S, T0), T0);
    expect_one(*state, T0 + 10 * S, late, CF_REASON_IDLE);
    assert_int_equal(cf_core_due(*state, T0 + 10 * S + 1, due, 4), 3);
}

static void creation_sets_both_times(void **state)
{
    cf_handle one = start(*state, "one", T0);
    struct cf_session session = get(*state, one, T0);
    assert_true(session.created_ns == T0 && session.last_used_ns == T0);
    assert_int_equal(session.message_count, 0);
    assert_true(session.idle_left_ns == IDLE && session.age_left_ns == AGE);
}

static void command_moves_last_used(void **state)
{
    cf_handle one = start(*state, "one", T0);
    (void)cf_core_touch(*state, one, T0 + 100 * S, CF_TOUCH_COMMAND);
    assert_true(get(*state, one, T0 + 100 * S).last_used_ns == T0 + 100 * S);
    assert_true(get(*state, one, T0 + 100 * S).created_ns == T0);
    expect_nobody(*state, T0 + 100 * S + IDLE);
    expect_one(*state, T0 + 100 * S + IDLE + 1, one, CF_REASON_IDLE);
}

static void every_cause_moves_activity(void **state)
{
    static const enum cf_touch causes[] = {
        CF_TOUCH_COMMAND, CF_TOUCH_INPUT, CF_TOUCH_HEARTBEAT, CF_TOUCH_SWITCH, CF_TOUCH_STATE,
    };
    cf_handle one = start(*state, "one", T0);
    int64_t now = T0;
    for (size_t i = 0; i < sizeof causes / sizeof *causes; i++) {
        now += IDLE;
        (void)cf_core_touch(*state, one, now, causes[i]);
        assert_true(get(*state, one, now).last_used_ns == now);
        expect_nobody(*state, now + IDLE);
    }
    assert_int_equal(get(*state, one, now).message_count, 2);
}

static void messages_are_counted(void **state)
{
    cf_handle one = start(*state, "one", T0);
    for (int i = 0; i < 3; i++)
        (void)cf_core_touch(*state, one, T0, CF_TOUCH_COMMAND);
    (void)cf_core_touch(*state, one, T0 - S, CF_TOUCH_INPUT);
    (void)cf_core_touch(*state, one, T0 + S, CF_TOUCH_HEARTBEAT);
    cf_core_busy(*state, one, true, T0 + S);
    assert_int_equal(get(*state, one, T0).message_count, 4);
}

static void last_used_never_goes_back(void **state)
{
    cf_handle one = start(*state, "one", T0);
    (void)cf_core_touch(*state, one, T0 + 50 * S, CF_TOUCH_COMMAND);
    (void)cf_core_touch(*state, one, T0 + 50 * S - 1, CF_TOUCH_COMMAND);
    cf_core_busy(*state, one, true, T0 + 10 * S);
    cf_core_busy(*state, one, false, T0 - 10 * S);
    (void)cf_core_touch(*state, one, INT64_MIN, CF_TOUCH_HEARTBEAT);
    assert_true(get(*state, one, T0).last_used_ns == T0 + 50 * S);
    expect_nobody(*state, T0 + 50 * S + IDLE);
}

static void start_does_not_move_activity_back(void **state)
{
    cf_handle one = admit_with(*state, "one", "w", 0, 0, T0);
    cf_core_started(*state, one, T0 - 5 * S);
    assert_true(get(*state, one, T0).last_used_ns == T0);
}

static void clock_going_backwards_ends_nobody(void **state)
{
    static const int64_t earlier[] = { T0 - 1, 1, 0, -1, INT64_MIN };
    cf_handle one = admit_with(*state, "one", "w", 1, 1, T0);
    cf_core_started(*state, one, T0);
    for (size_t i = 0; i < sizeof earlier / sizeof *earlier; i++) {
        struct cf_due due;
        expect_nobody(*state, earlier[i]);
        assert_int_equal(cf_core_due_emergency(*state, earlier[i], &due, 1), 0);
    }
    struct cf_policy zero = { 0, 0 };
    cf_handle two = start(*state, "two", T0);
    cf_core_policy_set(*state, CF_KIND_BASH, &zero);
    expect_nobody(*state, T0);
    assert_true(get(*state, two, 0).idle_left_ns == T0);
}

static void zero_limits_end_all_but_the_just_used(void **state)
{
    static const struct cf_policy zero = { 0, 0 };
    cf_handle one = start(*state, "one", T0);
    cf_core_policy_set(*state, CF_KIND_BASH, &zero);
    expect_nobody(*state, T0);
    expect_one(*state, T0 + 1, one, CF_REASON_IDLE);
}

static void negative_policy_counts_as_zero(void **state)
{
    static const struct cf_policy negative = { -5 * S, INT64_MIN };
    start(*state, "one", T0);
    cf_core_policy_set(*state, CF_KIND_BASH, &negative);
    assert_true(cf_core_policy(*state, CF_KIND_BASH)->idle_ns == 0);
    expect_nobody(*state, T0);
}

static void huge_times_do_not_wrap(void **state)
{
    static const struct cf_policy huge = { INT64_MAX - 1, INT64_MAX - 1 };
    cf_core_policy_set(*state, CF_KIND_BASH, &huge);
    cf_handle one = start(*state, "one", T0);
    (void)cf_core_touch(*state, one, INT64_MAX - 5, CF_TOUCH_COMMAND);
    expect_nobody(*state, INT64_MAX);
    assert_true(cf_core_next_due(*state) == CF_NEVER_NS);
    assert_true(get(*state, one, 0).idle_left_ns == CF_NEVER_NS);
}

static void never_means_never(void **state)
{
    static const struct cf_policy never = { CF_NEVER_NS, CF_NEVER_NS };
    cf_core_policy_set(*state, CF_KIND_BASH, &never);
    cf_handle one = start(*state, "one", 0);
    expect_nobody(*state, INT64_MAX);
    assert_true(get(*state, one, INT64_MAX).age_left_ns == CF_NEVER_NS);
}

/* ── busy and age ── */

static void busy_is_not_idle(void **state)
{
    cf_handle one = start(*state, "one", T0);
    cf_core_busy(*state, one, true, T0);
    expect_nobody(*state, T0 + 10 * IDLE);
    assert_true(get(*state, one, T0).idle_left_ns == CF_NEVER_NS);
    (void)cf_core_touch(*state, one, T0 + S, CF_TOUCH_INPUT);
    expect_nobody(*state, T0 + 10 * IDLE);
    cf_core_busy(*state, one, false, T0 + 10 * IDLE);
    expect_nobody(*state, T0 + 11 * IDLE);
    expect_one(*state, T0 + 11 * IDLE + 1, one, CF_REASON_IDLE);
}

static void busy_dies_of_age(void **state)
{
    cf_handle one = start(*state, "one", T0);
    cf_core_busy(*state, one, true, T0);
    expect_nobody(*state, T0 + AGE);
    struct cf_due due = expect_one(*state, T0 + AGE + 1, one, CF_REASON_AGE);
    assert_true(due.idle_for_ns == AGE + 1);
}

static void age_is_strict_and_not_moved_by_use(void **state)
{
    cf_handle one = start(*state, "one", T0);
    (void)cf_core_touch(*state, one, T0 + AGE - 1, CF_TOUCH_COMMAND);
    expect_nobody(*state, T0 + AGE);
    expect_one(*state, T0 + AGE + 1, one, CF_REASON_AGE);
}

static void age_counts_from_admission(void **state)
{
    cf_handle one = admit_with(*state, "one", "w", 0, 10 * S, T0);
    cf_core_started(*state, one, T0 + 4 * S);
    assert_true(get(*state, one, T0 + 4 * S).age_left_ns == 6 * S);
    expect_one(*state, T0 + 10 * S + 1, one, CF_REASON_AGE);
}

static void the_rule_that_was_past_first_is_the_reason(void **state)
{
    cf_handle one = admit_with(*state, "one", "w", 20 * S, 10 * S, T0);
    cf_handle two = admit_with(*state, "two", "w", 10 * S, 20 * S, T0);
    struct cf_due due[4];
    cf_core_started(*state, one, T0);
    cf_core_started(*state, two, T0);
    assert_int_equal(cf_core_due(*state, T0 + 30 * S, due, 4), 2);
    assert_true(due[0].handle == one && due[0].reason == CF_REASON_AGE);
    assert_true(due[1].handle == two && due[1].reason == CF_REASON_IDLE);
}

/* ── states ── */

static void starting_is_never_due(void **state)
{
    struct cf_due due;
    cf_handle one = admit_with(*state, "one", "w", 1, 1, T0);
    expect_nobody(*state, INT64_MAX);
    assert_int_equal(cf_core_due_emergency(*state, INT64_MAX, &due, 1), 0);
    assert_int_equal(get(*state, one, T0).state, CF_STATE_STARTING);
    assert_true(cf_core_next_due(*state) == CF_NEVER_NS);
}

static void ended_by_themselves_go_at_the_next_sweep(void **state)
{
    cf_handle one = start(*state, "one", T0);
    cf_handle two = start(*state, "two", T0);
    struct cf_due due[4];
    cf_core_busy(*state, one, true, T0);
    cf_core_left(*state, one, CF_STATE_CLOSED, NULL);
    cf_core_left(*state, two, CF_STATE_FAILED, NULL);
    assert_true(cf_core_next_due(*state) == 0);
    assert_int_equal(cf_core_due(*state, T0, due, 4), 2);
    assert_true(due[0].handle == one && due[0].reason == CF_REASON_CLOSED);
    assert_true(due[1].handle == two && due[1].reason == CF_REASON_FAILED);
    assert_int_equal(cf_core_due(*state, 0, due, 4), 2);
    assert_int_equal(cf_core_due_emergency(*state, T0, due, 4), 2);
    assert_int_equal(due[0].reason, CF_REASON_CLOSED);
    assert_false(get(*state, one, T0).busy);
    assert_true(get(*state, one, T0).idle_left_ns == 0);
}

static void a_closed_session_cannot_be_revived(void **state)
{
    cf_handle one = start(*state, "one", T0);
    cf_core_left(*state, one, CF_STATE_CLOSED, NULL);
    (void)cf_core_touch(*state, one, T0 + S, CF_TOUCH_COMMAND);
    cf_core_busy(*state, one, true, T0 + S);
    cf_core_started(*state, one, T0 + S);
    cf_core_left(*state, one, CF_STATE_FAILED, NULL);
    expect_one(*state, T0 + S, one, CF_REASON_CLOSED);
    assert_true(get(*state, one, T0).last_used_ns == T0);
}

static void ending_is_never_due_twice(void **state)
{
    struct cf_due due;
    cf_handle one = start(*state, "one", T0);
    assert_true(cf_core_ending(*state, one, CF_REASON_IDLE));
    assert_false(cf_core_ending(*state, one, CF_REASON_AGE));
    expect_nobody(*state, INT64_MAX);
    assert_int_equal(cf_core_due_emergency(*state, INT64_MAX, &due, 1), 0);
    static const struct cf_policy zero = { 0, 0 };
    cf_core_policy_set(*state, CF_KIND_BASH, &zero);
    (void)cf_core_touch(*state, one, T0 + S, CF_TOUCH_COMMAND);
    cf_core_busy(*state, one, true, T0 + S);
    cf_core_busy(*state, one, false, T0 + S);
    cf_core_left(*state, one, CF_STATE_FAILED, NULL);
    expect_nobody(*state, INT64_MAX);
    struct cf_session session = get(*state, one, T0);
    assert_int_equal(session.reason, CF_REASON_IDLE);
    assert_int_equal(session.state, CF_STATE_ENDING);
    assert_true(session.last_used_ns == T0);
}

static void a_late_start_does_not_undo_an_ending(void **state)
{
    cf_handle one = admit_with(*state, "one", "w", 0, 0, T0);
    assert_true(cf_core_ending(*state, one, CF_REASON_REQUESTED));
    cf_core_started(*state, one, T0);
    assert_int_equal(get(*state, one, T0).state, CF_STATE_ENDING);
}

static void counters_tell_what_happened(void **state)
{
    const struct cf_counts *counts = cf_core_counts(*state);
    cf_handle one = start(*state, "one", T0);
    cf_handle two = admit_with(*state, "two", "w", 0, 0, T0);
    cf_handle three = admit_with(*state, "three", "w", 0, 0, T0);
    assert_int_equal(counts->sessions_created, 1);
    assert_int_equal(counts->sessions_active, 3);
    cf_core_gone(*state, two);
    assert_true(cf_core_ending(*state, three, CF_REASON_SHUTDOWN));
    cf_core_gone(*state, three);
    assert_true(cf_core_ending(*state, one, CF_REASON_IDLE));
    cf_core_gone(*state, one);
    cf_core_gone(*state, one);
    assert_int_equal(counts->sessions_created, 1);
    assert_int_equal(counts->sessions_cleaned, 1);
    assert_int_equal(counts->sessions_active, 0);
}

/* ── policy ── */

static void policy_change_moves_deadlines_at_once(void **state)
{
    static const struct cf_policy brief = { 10 * S, 100 * S };
    cf_handle one = start(*state, "one", T0);
    expect_nobody(*state, T0 + 20 * S);
    cf_core_policy_set(*state, CF_KIND_BASH, &brief);
    expect_nobody(*state, T0 + 10 * S);
    expect_one(*state, T0 + 10 * S + 1, one, CF_REASON_IDLE);
    cf_core_policy_set(*state, CF_KIND_BASH, &standard_policies[CF_KIND_BASH]);
    expect_nobody(*state, T0 + IDLE);
}

static void policy_change_leaves_other_kinds_alone(void **state)
{
    static const struct cf_policy brief = { S, S };
    struct cf_admission want = { "rec", "w", CF_KIND_RECORD, 0, 0, NULL };
    cf_handle record = 0;
    assert_int_equal(cf_core_admit(*state, &want, T0, &record, NULL), 0);
    cf_core_started(*state, record, T0);
    cf_core_policy_set(*state, CF_KIND_BASH, &brief);
    expect_nobody(*state, T0 + IDLE);
    expect_one(*state, T0 + IDLE + 1, record, CF_REASON_IDLE);
}

static void own_timeouts_win(void **state)
{
    static const struct cf_policy brief = { S, S };
    cf_handle one = admit_with(*state, "one", "w", 50 * S, 500 * S, T0);
    cf_core_started(*state, one, T0);
    cf_core_policy_set(*state, CF_KIND_BASH, &brief);
    struct cf_session session = get(*state, one, T0);
    assert_true(session.idle_own && session.age_own);
    assert_true(session.idle_ns == 50 * S && session.age_ns == 500 * S);
    expect_nobody(*state, T0 + 50 * S);
    expect_one(*state, T0 + 50 * S + 1, one, CF_REASON_IDLE);
}

static void own_idle_still_follows_the_age_policy(void **state)
{
    static const struct cf_policy brief = { S, 20 * S };
    cf_handle one = admit_with(*state, "one", "w", 50 * S, 0, T0);
    cf_core_started(*state, one, T0);
    cf_core_policy_set(*state, CF_KIND_BASH, &brief);
    expect_nobody(*state, T0 + 20 * S);
    expect_one(*state, T0 + 20 * S + 1, one, CF_REASON_AGE);
}

static void policy_change_reaches_who_is_starting(void **state)
{
    static const struct cf_policy brief = { S, AGE };
    cf_handle one = admit_with(*state, "one", "w", 0, 0, T0);
    cf_core_policy_set(*state, CF_KIND_BASH, &brief);
    expect_nobody(*state, T0 + 2 * S);
    cf_core_started(*state, one, T0);
    expect_one(*state, T0 + S + 1, one, CF_REASON_IDLE);
}

/* ── sweeping ── */

static void sweep_in_batches_ends_each_once(void **state)
{
    enum { SESSIONS = 500, BATCH = 7 };
    static const struct cf_limits many = { SESSIONS, SESSIONS, SESSIONS, { 0, 0 } };
    struct cf_due due[BATCH];
    char id[16];
    size_t ended = 0, n;
    cf_core_limits_set(*state, &many);
    for (int i = 0; i < SESSIONS; i++) {
        snprintf(id, sizeof id, "s%d", i);
        start(*state, id, T0 + (i % 2 ? 0 : IDLE));
    }
    do {
        n = cf_core_due(*state, T0 + IDLE + 1, due, BATCH);
        for (size_t i = 0; i < n; i++)
            assert_true(cf_core_ending(*state, due[i].handle, due[i].reason));
        ended += n;
    } while (n == BATCH);
    assert_int_equal(ended, SESSIONS / 2);
    expect_nobody(*state, T0 + IDLE + 1);
    assert_int_equal(cf_core_due(*state, T0 + 3 * IDLE, due, 0), 0);
}

static void sweep_of_an_empty_table_is_nothing(void **state)
{
    size_t cursor = 0;
    cf_handle handle;
    expect_nobody(*state, INT64_MAX);
    assert_true(cf_core_next_due(*state) == CF_NEVER_NS);
    assert_false(cf_core_next(*state, &cursor, &handle));
}

static void emergency_takes_the_idle_and_the_old_but_not_the_busy(void **state)
{
    struct cf_due due[4];
    cf_handle idle = start(*state, "idle", T0);
    cf_handle old = start(*state, "old", T0);
    cf_handle busy = start(*state, "busy", T0);
    cf_core_busy(*state, busy, true, T0);
    (void)cf_core_touch(*state, old, T0 + 300 * S, CF_TOUCH_COMMAND);
    assert_int_equal(cf_core_due_emergency(*state, T0 + 300 * S, due, 4), 0);
    assert_int_equal(cf_core_due_emergency(*state, T0 + 300 * S + 1, due, 4), 1);
    assert_true(due[0].handle == idle && due[0].reason == CF_REASON_LIMIT);
    (void)cf_core_touch(*state, idle, T0 + 3600 * S, CF_TOUCH_COMMAND);
    (void)cf_core_touch(*state, old, T0 + 3600 * S, CF_TOUCH_COMMAND);
    assert_int_equal(cf_core_due_emergency(*state, T0 + 3600 * S, due, 4), 0);
    assert_int_equal(cf_core_due_emergency(*state, T0 + 3600 * S + 1, due, 4), 2);
    assert_int_equal(cf_core_due_emergency(*state, T0 + 3600 * S + 1, due, 1), 1);
}

static void emergency_overrides_own_timeouts(void **state)
{
    struct cf_due due;
    cf_handle one = admit_with(*state, "one", "w", CF_NEVER_NS, CF_NEVER_NS, T0);
    cf_core_started(*state, one, T0);
    expect_nobody(*state, INT64_MAX);
    assert_int_equal(cf_core_due_emergency(*state, T0 + 300 * S + 1, &due, 1), 1);
    struct cf_limits none = standard_limits;
    none.emergency = (struct cf_policy){ CF_NEVER_NS, CF_NEVER_NS };
    cf_core_limits_set(*state, &none);
    assert_int_equal(cf_core_due_emergency(*state, INT64_MAX, &due, 1), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST("S0.14: a session idle for exactly its timeout stays, one nanosecond more and it goes", idle_is_strict),
        TEST("S0.14, S3.3: a session that goes takes no neighbour along that is exactly at its limit",
             a_neighbour_that_goes_takes_nobody_along),
        TEST("S0.13, S3.1: creation sets created and last used", creation_sets_both_times),
        TEST("S0.13: a command moves last used", command_moves_last_used),
        TEST("S2.5: command, input, heartbeat, switch and state change each move activity", every_cause_moves_activity),
        TEST("S3.1: commands and input are counted as messages, also under an old time", messages_are_counted),
        TEST("S2.1: last used never goes back", last_used_never_goes_back),
        TEST("S2.1: a start that is told late does not move activity back", start_does_not_move_activity_back),
        TEST("S2.2: a clock that goes backwards ends nobody", clock_going_backwards_ends_nobody),
        TEST("S2.2: zero limits end all but who was used this very moment", zero_limits_end_all_but_the_just_used),
        TEST("S0.1: a negative limit counts as zero", negative_policy_counts_as_zero),
        TEST("S0.14: huge times and timeouts do not wrap around", huge_times_do_not_wrap),
        TEST("S3.2: never means never", never_means_never),
        TEST("S3.2: a busy session is not idle, and its idle time begins when it is done", busy_is_not_idle),
        TEST("S3.3: a busy session dies of age", busy_dies_of_age),
        TEST("S3.3: age is strict and not moved by use", age_is_strict_and_not_moved_by_use),
        TEST("S3.3: age counts from admission, not from the start", age_counts_from_admission),
        TEST("S3.2, S3.3: when idle and age are both past, the first one is the reason",
             the_rule_that_was_past_first_is_the_reason),
        TEST("S3.1: a session that is starting is never due", starting_is_never_due),
        TEST("S3.3: a closed or failed session goes at the next sweep", ended_by_themselves_go_at_the_next_sweep),
        TEST("S3.3: a closed session cannot be revived", a_closed_session_cannot_be_revived),
        TEST("S3.3: a session that is ending is never due twice", ending_is_never_due_twice),
        TEST("S3.1: a start that is told late does not undo an end", a_late_start_does_not_undo_an_ending),
        TEST("S3.7: counters tell created, cleaned and active; what never started is not cleaned",
             counters_tell_what_happened),
        TEST("S0.1: a changed idle timeout holds at once", policy_change_moves_deadlines_at_once),
        TEST("S0.1: a changed timeout leaves other kinds alone", policy_change_leaves_other_kinds_alone),
        TEST("S0.1: a session's own timeouts win over a changed policy", own_timeouts_win),
        TEST("S3.3: a session with its own idle timeout follows the age policy", own_idle_still_follows_the_age_policy),
        TEST("S0.1: a changed timeout reaches who is still starting", policy_change_reaches_who_is_starting),
        TEST("S0.8: a sweep in small batches ends everybody once", sweep_in_batches_ends_each_once),
        TEST("S0.15: a sweep of an empty table does nothing", sweep_of_an_empty_table_is_nothing),
        TEST("S3.5: an emergency takes the idle and the old, but not the busy",
             emergency_takes_the_idle_and_the_old_but_not_the_busy),
        TEST("S3.5: an emergency overrides own timeouts, and its limits can be never",
             emergency_overrides_own_timeouts),
    };
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
