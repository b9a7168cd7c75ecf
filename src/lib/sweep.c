/* sweep.c: ending everybody who is due, by whatever rule, without keeping the lock for long. */
#include "lib/lib.h"

/* A callback that sweeps is asked about the next session from within, and so on: each level is an outer one's work
 * done early, so from this depth on a sweep leaves it to them rather than to the stack. */
#define NESTED_SWEEPS_MAX 8

static bool is_deep(void)
{
    return cf_callback_depth() >= NESTED_SWEEPS_MAX;
}

/* Who went is told to the log only: counting them costs something for each. */
static struct cf_went *wanted(const struct curfew_table *table, struct cf_went *went)
{
    return table->callbacks.log != NULL ? went : NULL;
}

static bool has_callbacks(const struct curfew_table *table)
{
    return table->callbacks.before_end != NULL || table->callbacks.after_end != NULL;
}

/* With the lock held: nobody wants to know about each of them.  The log's line names the first few. */
static size_t drop(struct curfew_table *table, const struct cf_due *due, size_t count, int64_t now_ns,
                   struct cf_went *went)
{
    struct cf_session session;
    size_t gone = went == NULL ? cf_core_drop(table->core, due, count, now_ns) : 0;
    for (size_t i = 0; went != NULL && i < count; i++) {
        bool name = !went->more && cf_core_get(table->core, due[i].handle, 0, &session);
        if (cf_core_drop(table->core, &due[i], 1, now_ns) == 0)
            continue;                   /* a touch has saved it */
        cf_went_add(went, name ? session.id : NULL, due[i].reason);
        gone++;
    }
    table->counts.ends_spared += count - gone;
    (void)cf_table_reclaim(table, 0, false);
    return gone;
}

/* One walk.  What is kept is not met again: the cursor has passed it. */
static size_t walk(struct curfew_table *table, struct cf_judge *judge, struct cf_went *went)
{
    struct cf_due due[CF_LIB_HOLD_ROWS];
    bool alone = !has_callbacks(table);
    uint32_t cursor = 0;
    size_t ended = 0;

    while (cursor != CF_SCAN_END) {
        judge->now_ns = cf_lib_now(table);
        cf_lock_retake(&table->lock);
        size_t count = cf_core_scan(table->core, judge, &cursor, CF_LIB_HOLD_BLOCKS, due, CF_LIB_HOLD_ROWS);
        if (alone && count > 0)
            ended += drop(table, due, count, judge->now_ns, went);
        cf_lock_give(&table->lock);
        for (size_t i = 0; !alone && i < count; i++)
            ended += cf_ending_due(table, due[i].handle, judge, went);
    }
    return ended;
}

static void count_run(struct curfew_table *table, uint64_t *counter)
{
    if (is_deep())
        return;                         /* it will not run */
    cf_lock_take(&table->lock);
    (*counter)++;
    cf_lock_give(&table->lock);
}

static size_t run(struct curfew_table *table, struct cf_judge judge, const char *what)
{
    struct cf_went went = { 0 };
    if (is_deep())
        return 0;
    size_t ended = walk(table, &judge, wanted(table, &went));
    cf_went_log(table, &went, what);
    return ended;
}

int curfew_sweep(struct curfew_table *table, size_t *ret_ended)
{
    count_run(table, &table->counts.cleanup_runs);
    size_t ended = run(table, (struct cf_judge){ .reason = CF_REASON_NONE }, "sweep");
    if (ret_ended != NULL)
        *ret_ended = ended;
    return 0;
}

int curfew_cleanup_inactive(struct curfew_table *table, int64_t max_age_ns, size_t *ret_ended)
{
    struct cf_policy all = { .idle_ns = max_age_ns, .age_ns = CF_NEVER_NS };
    if (max_age_ns < 0)
        return CF_E_INVALID;
    count_run(table, &table->counts.cleanup_runs);
    size_t ended = run(table, (struct cf_judge){ .all = &all, .reason = CF_REASON_IDLE }, "cleanup of inactive ones");
    if (ret_ended != NULL)
        *ret_ended = ended;
    return 0;
}

void cf_sweep_emergency(struct curfew_table *table, int why)
{
    cf_lock_take(&table->lock);
    table->counts.emergency_runs++;
    struct cf_policy rules = cf_core_limits(table->core)->emergency;
    cf_lock_give(&table->lock);
    cf_callback_log(table, CF_LOG_LEVEL_WARNING, "emergency cleanup: %s", cf_error_text(why));
    (void)run(table, (struct cf_judge){ .all = &rules, .reason = CF_REASON_LIMIT }, "emergency cleanup");
}

/* With the lock held: the next of them, but those that are ENDING, whom others complete. */
static size_t list_everybody(struct curfew_table *table, size_t *cursor, struct cf_due *ret, size_t max)
{
    cf_handle handle;
    size_t count = 0;
    while (count < max && cf_core_next(table->core, cursor, &handle))
        if (cf_core_state(table->core, handle) != CF_STATE_ENDING)
            ret[count++] = (struct cf_due){ .handle = handle, .reason = CF_REASON_SHUTDOWN };
    return count;
}

size_t cf_sweep_everybody(struct curfew_table *table)
{
    struct cf_due due[CF_LIB_HOLD_ROWS];
    struct cf_went went = { 0 };
    bool alone = !has_callbacks(table), decided = false;
    size_t cursor = 0, ended = 0, count;

    if (is_deep())
        return 0;
    do {
        cf_lock_retake(&table->lock);
        count = list_everybody(table, &cursor, due, CF_LIB_HOLD_ROWS);
        if (alone && count > 0)
            ended += drop(table, due, count, 0, wanted(table, &went));
        cf_lock_give(&table->lock);
        for (size_t i = 0; !alone && i < count; i++)
            ended += cf_ending_decided(table, due[i].handle, CF_REASON_SHUTDOWN, wanted(table, &went), &decided);
    } while (count > 0);
    cf_went_log(table, &went, "shutdown");
    return ended;
}

int64_t curfew_next_due(struct curfew_table *table)
{
    int64_t least = CF_NEVER_NS;
    uint32_t cursor = 0;
    do {
        cf_lock_retake(&table->lock);
        cf_core_next_due_part(table->core, &cursor, CF_LIB_HOLD_BLOCKS, &least);
        cf_lock_give(&table->lock);
    } while (cursor != CF_SCAN_END);
    return least;
}
