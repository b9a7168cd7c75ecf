/* life.c: what happens to a session from its start until it is gone. */
#include "core/touch.h"

#include <string.h>

static uint32_t with_state(uint32_t flags, enum cf_state state)
{
    return (flags & ~CF_FLAG_STATE) | state;
}

static uint32_t with_reason(uint32_t flags, enum cf_reason reason)
{
    return (flags & ~(0xfu << CF_FLAG_REASON_SHIFT)) | (uint32_t)reason << CF_FLAG_REASON_SHIFT;
}

void cf_core_started(struct cf_core *core, cf_handle handle, int64_t now_ns)
{
    uint32_t flags;
    if (!cf_table_named(core, handle, &flags) || cf_table_state(flags) != CF_STATE_STARTING)
        return;
    (void)cf_core_touch(core, handle, now_ns, CF_TOUCH_STATE);
    cf_table_become(core, (uint32_t)handle, with_state(flags, CF_STATE_ACTIVE) | CF_FLAG_STARTED);
    cf_policy_note(core, (uint32_t)handle);
    core->tally.unstarted--;
    core->counts.sessions_created++;
}

void cf_core_resume(struct cf_core *core, cf_handle handle, int64_t last_used_ns, uint64_t message_count)
{
    uint32_t flags;
    if (!cf_table_named(core, handle, &flags) || cf_table_state(flags) != CF_STATE_ACTIVE)
        return;
    (void)cf_core_touch(core, handle, last_used_ns, CF_TOUCH_STATE);
    cf_table_row(core, (uint32_t)handle)->messages = (uint32_t)(message_count < CF_TOUCH_MESSAGES_MAX ? message_count : CF_TOUCH_MESSAGES_MAX);
    core->counts.sessions_created--;
}

static void gone(struct cf_core *core, uint32_t slot, uint32_t flags)
{
    if (flags & CF_FLAG_STARTED) {
        core->counts.sessions_cleaned++;
        core->tally.ended[cf_table_reason(flags)]++;
    } else {
        core->tally.unstarted--;
    }
    cf_workspaces_leave(core, cf_table_row(core, slot)->workspace);
    cf_table_give(core, slot);
    core->counts.sessions_active = core->count;
}

void cf_core_gone(struct cf_core *core, cf_handle handle)
{
    uint32_t flags;
    if (cf_table_named(core, handle, &flags))
        gone(core, (uint32_t)handle, flags);
}

/* Has it been touched since it was judged?  Who was not idle at all was due by its age, which no touch moves. */
static bool was_saved(const struct cf_core *core, const struct cf_due *due, int64_t now_ns)
{
    bool by_use = due->reason == CF_REASON_IDLE || due->reason == CF_REASON_LIMIT;
    return by_use && due->idle_for_ns > 0 &&
           cf_table_last_used(core, (uint32_t)due->handle) > now_ns - due->idle_for_ns;
}

/* In two passes: one row after the other would wait for its memory each time. */
size_t cf_core_drop(struct cf_core *core, const struct cf_due *due, size_t count, int64_t now_ns)
{
    enum { STEP = 64 };
    uint32_t flags;
    size_t dropped = 0;
    while (count > 0) {
        size_t step = count < STEP ? count : STEP;
        for (size_t i = 0; i < step; i++) {     /* in place: gcc drops a call of a function that only does this */
            if ((uint32_t)due[i].handle >= core->fresh)
                continue;
            const struct cf_row *row = cf_table_row(core, (uint32_t)due[i].handle);
            __builtin_prefetch(&row->flags, 1);
        }
        for (size_t i = 0; i < step; i++)
            if (cf_table_named(core, due[i].handle, &flags) && cf_table_state(flags) != CF_STATE_ENDING &&
                !was_saved(core, &due[i], now_ns)) {
                gone(core, (uint32_t)due[i].handle, with_reason(flags, due[i].reason));
                dropped++;
            }
        due += step;
        count -= step;
    }
    return dropped;
}

int cf_touch_refused(const struct cf_core *core, cf_handle handle)
{
    uint32_t flags;
    if (!cf_table_named(core, handle, &flags))
        return CF_E_GONE;
    enum cf_state state = cf_table_state(flags);
    return state == CF_STATE_CLOSED || state == CF_STATE_FAILED ? CF_E_NOT_READY : CF_E_GONE;
}

int cf_core_touch(struct cf_core *core, cf_handle handle, int64_t now_ns, enum cf_touch cause)
{
    return cf_touch(core, handle, now_ns, cause) ? 0 : cf_touch_refused(core, handle);
}

void cf_core_busy(struct cf_core *core, cf_handle handle, bool busy, int64_t now_ns)
{
    uint32_t flags;
    if (!cf_table_named(core, handle, &flags) || ((flags & CF_FLAG_BUSY) != 0) == busy)
        return;
    enum cf_state state = cf_table_state(flags);
    if (state != CF_STATE_ACTIVE && state != CF_STATE_ENDING)
        return;
    (void)cf_core_touch(core, handle, now_ns, CF_TOUCH_STATE);
    cf_table_become(core, (uint32_t)handle, flags ^ CF_FLAG_BUSY);
    cf_policy_note(core, (uint32_t)handle);
}

static void keep_note(struct cf_core *core, uint32_t slot, const char *why)
{
    size_t len = strnlen(why, CF_FAILURE_MAX);
    if (len == CF_FAILURE_MAX)          /* cut, but not within a character of UTF-8 */
        for (len--; len > 0 && ((unsigned char)why[len] & 0xc0) == 0x80;)
            len--;
    size_t bytes = sizeof(struct cf_note) + len + 1;
    struct cf_note *note = cf_table_alloc(core, bytes);
    if (!note)
        return;
    struct cf_block *block = cf_table_block(core, slot);
    note->next = block->notes;
    note->slot = slot;
    note->bytes = bytes;
    memcpy(note->text, why, len);
    note->text[len] = '\0';
    block->notes = note;
}

void cf_core_left(struct cf_core *core, cf_handle handle, enum cf_state terminal, const char *why)
{
    uint32_t flags;
    if (!cf_table_named(core, handle, &flags) || cf_table_state(flags) != CF_STATE_ACTIVE)
        return;
    /* Whatever else it is called: a session that left is not ACTIVE any more. */
    terminal = terminal == CF_STATE_CLOSED ? CF_STATE_CLOSED : CF_STATE_FAILED;
    cf_table_become(core, (uint32_t)handle, with_state(flags, terminal) & ~CF_FLAG_BUSY);
    if (why && *why)
        keep_note(core, (uint32_t)handle, why);
}

bool cf_core_ending(struct cf_core *core, cf_handle handle, enum cf_reason reason)
{
    uint32_t flags;
    if (!cf_table_named(core, handle, &flags) || cf_table_state(flags) == CF_STATE_ENDING)
        return false;
    cf_table_become(core, (uint32_t)handle, with_reason(with_state(flags, CF_STATE_ENDING), reason));
    return true;
}

bool cf_core_ask(struct cf_core *core, cf_handle handle, enum cf_reason reason)
{
    uint32_t flags;
    if (!cf_table_named(core, handle, &flags) || cf_table_state(flags) == CF_STATE_ENDING ||
        (flags & CF_FLAG_ASKED))
        return false;
    cf_table_become(core, (uint32_t)handle, with_reason(flags, reason) | CF_FLAG_ASKED);
    return true;
}

void cf_core_asked(struct cf_core *core, cf_handle handle)
{
    uint32_t flags;
    if (!cf_table_named(core, handle, &flags) || !(flags & CF_FLAG_ASKED))
        return;
    flags &= ~CF_FLAG_ASKED;
    if (cf_table_state(flags) != CF_STATE_ENDING)
        flags = with_reason(flags, CF_REASON_NONE);
    cf_table_become(core, (uint32_t)handle, flags);
    cf_policy_note(core, (uint32_t)handle);
}
