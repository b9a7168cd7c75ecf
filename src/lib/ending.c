/* ending.c: the end of one session.
 *
 * With callbacks it takes up to three holds of the lock, and between them the session belongs to the thread that
 * asks: core lets nobody else ask about it, and whoever else decides that it ends leaves it ENDING for that thread to
 * find. */
#include "lib/lib.h"

#include "base/text.h"

#include <string.h>

struct ending {
    struct curfew_table *table;
    cf_handle handle;
    const struct cf_judge *judge;       /* it ends if it is due by this one; NULL: somebody decided */
    enum cf_reason reason;
};

/* A copy for a callback.  The row is here: this thread asks about it, or has it ENDING. */
static struct curfew_info look(const struct ending *ending, int64_t now_ns)
{
    struct cf_session session = { .handle = ending->handle };
    (void)cf_core_get(ending->table->core, ending->handle, now_ns, &session);
    return cf_session_info(&session, now_ns);
}

/* A callback's answer in words; no lock is held. */
static void log_failure(const struct curfew_table *table, const char *callback, const struct curfew_info *info,
                        int answer)
{
    char id[CF_ID_MAX * 4], kind[CF_LIB_KIND_NAME_SIZE * 4];   /* each byte may become \xNN */
    const char *name = table->kind_names[info->kind];

    if (table->callbacks.log == NULL)
        return;
    (void)cf_text_escape(id, sizeof id, info->id, strlen(info->id));
    (void)cf_text_escape(kind, sizeof kind, name, strlen(name));
    cf_callback_log(table, CF_LOG_LEVEL_ERROR, "%s %s: %s answered with an error, %d", kind, id, callback, answer);
}

/* With the lock held: is it due, and for what? */
static bool judge(struct ending *ending, int64_t now_ns)
{
    struct cf_due due;
    struct cf_judge now = *ending->judge;
    now.now_ns = now_ns;
    if (!cf_core_judge_one(ending->table->core, ending->handle, &now, &due))
        return false;
    ending->reason = due.reason;
    return true;
}

/* With the lock held, after the question: shall it end?  Who has decided meanwhile that it does is obeyed first. */
static bool settle(struct ending *ending, int answer, int64_t now_ns)
{
    struct cf_lib_counts *counts = &ending->table->counts;
    if (cf_core_state(ending->table->core, ending->handle) == CF_STATE_ENDING)
        return true;
    if (ending->judge != NULL && answer == CURFEW_KEEP) {
        counts->ends_kept++;
        return false;
    }
    if (ending->judge != NULL && !judge(ending, now_ns)) {
        counts->ends_spared++;
        return false;
    }
    return cf_core_ending(ending->table->core, ending->handle, ending->reason);
}

/* With the lock held, which it gives back for the question.  It is ENDING when the answer is true. */
static bool ask(struct ending *ending, int64_t now_ns)
{
    struct curfew_table *table = ending->table;
    if (table->callbacks.before_end == NULL)
        return cf_core_ending(table->core, ending->handle, ending->reason);
    if (!cf_core_ask(table->core, ending->handle, ending->reason))
        return false;
    struct curfew_info info = look(ending, now_ns);
    cf_lock_give(&table->lock);

    int answer = cf_callback_before(table, &info);
    bool failed = answer != CURFEW_GO_ON && answer != CURFEW_KEEP;
    if (failed)
        log_failure(table, "before_end", &info, answer);
    now_ns = cf_lib_now(table);

    cf_lock_take(&table->lock);
    if (failed)
        table->counts.cleanup_errors++;
    cf_core_asked(table->core, ending->handle);
    return settle(ending, answer, now_ns);
}

/* With the lock held, which it gives back meanwhile.  The row is ENDING, and nobody but this thread sees to it. */
static void finish(struct ending *ending, int64_t now_ns, struct cf_went *went)
{
    struct curfew_table *table = ending->table;
    if (table->callbacks.after_end != NULL || went != NULL) {
        struct curfew_info info = look(ending, now_ns);
        if (went != NULL)
            cf_went_add(went, info.id, (enum cf_reason)info.reason);
        if (table->callbacks.after_end != NULL) {
            cf_lock_give(&table->lock);
            int answer = cf_callback_after(table, &info);
            if (answer < 0)
                log_failure(table, "after_end", &info, answer);
            cf_lock_take(&table->lock);
            if (answer < 0)
                table->counts.cleanup_errors++;
        }
    }
    cf_core_gone(table->core, ending->handle);
    (void)cf_table_reclaim(table, CF_LIB_RECLAIM_ENDED, false);
}

bool cf_ending_due(struct curfew_table *table, cf_handle handle, const struct cf_judge *by, struct cf_went *went)
{
    struct ending ending = { .table = table, .handle = handle, .judge = by };
    int64_t now_ns = cf_lib_now(table);
    cf_lock_retake(&table->lock);
    bool ends = judge(&ending, now_ns) && ask(&ending, now_ns);
    if (ends)
        finish(&ending, now_ns, went);
    cf_lock_give(&table->lock);
    return ends;
}

bool cf_ending_decided(struct curfew_table *table, cf_handle handle, enum cf_reason reason, struct cf_went *went,
                       bool *ret_decided)
{
    struct ending ending = { .table = table, .handle = handle, .reason = reason };
    int64_t now_ns = cf_lib_now(table);
    cf_lock_take(&table->lock);
    bool ends = ask(&ending, now_ns);
    if (ends)
        finish(&ending, now_ns, went);
    else        /* not here, or ENDING: then nothing happens; or somebody asks about it, and will find it ENDING */
        *ret_decided = cf_core_ending(table->core, handle, reason);
    cf_lock_give(&table->lock);
    return ends;
}
