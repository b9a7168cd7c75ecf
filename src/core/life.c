/* life.c: what happens to a session from its start until it is gone. */
#include "core/table.h"

void cf_core_started(struct cf_core *core, cf_handle handle, int64_t now_ns)
{
    struct cf_row *row = cf_table_row(core, handle);
    if (!row || row->state != CF_STATE_STARTING)
        return;
    now_ns = cf_table_now(now_ns);
    row->state = CF_STATE_ACTIVE;
    row->started = true;
    if (now_ns > row->last_used_ns)
        row->last_used_ns = now_ns;
    core->counts.sessions_created++;
    cf_policy_refresh(core, (uint32_t)handle);
}

void cf_core_gone(struct cf_core *core, cf_handle handle)
{
    struct cf_row *row = cf_table_row(core, handle);
    if (!row)
        return;
    if (row->started)
        core->counts.sessions_cleaned++;
    cf_table_workspace_leave(core, row->workspace);
    cf_table_give_slot(core, (uint32_t)handle);
    core->counts.sessions_active = core->count;
}

/* The one place where activity moves. */
void cf_core_touch(struct cf_core *core, cf_handle handle, int64_t now_ns, enum cf_touch cause)
{
    struct cf_row *row = cf_table_row(core, handle);
    if (!row || (row->state != CF_STATE_ACTIVE && row->state != CF_STATE_STARTING))
        return;
    if (cause == CF_TOUCH_COMMAND || cause == CF_TOUCH_INPUT)
        row->message_count++;
    if (now_ns <= row->last_used_ns)
        return;
    row->last_used_ns = now_ns;
    if (row->state == CF_STATE_ACTIVE && !row->busy)
        core->idle_deadline_ns[(uint32_t)handle] = cf_policy_later(now_ns, row->idle_ns);
}

void cf_core_busy(struct cf_core *core, cf_handle handle, bool busy, int64_t now_ns)
{
    struct cf_row *row = cf_table_row(core, handle);
    if (!row || row->busy == busy || (row->state != CF_STATE_ACTIVE && row->state != CF_STATE_ENDING))
        return;
    row->busy = busy;
    cf_core_touch(core, handle, now_ns, CF_TOUCH_STATE);
    cf_policy_refresh(core, (uint32_t)handle);
}

void cf_core_left(struct cf_core *core, cf_handle handle, enum cf_state terminal)
{
    struct cf_row *row = cf_table_row(core, handle);
    if (!row || row->state != CF_STATE_ACTIVE)
        return;
    /* Whatever else it is called: a session that left is not ACTIVE any more. */
    row->state = terminal == CF_STATE_CLOSED ? CF_STATE_CLOSED : CF_STATE_FAILED;
    row->busy = false;
    cf_policy_refresh(core, (uint32_t)handle);
}

bool cf_core_ending(struct cf_core *core, cf_handle handle, enum cf_reason reason)
{
    struct cf_row *row = cf_table_row(core, handle);
    if (!row || row->state == CF_STATE_ENDING)
        return false;
    row->state = CF_STATE_ENDING;
    row->reason = (uint8_t)reason;
    cf_policy_refresh(core, (uint32_t)handle);
    return true;
}
