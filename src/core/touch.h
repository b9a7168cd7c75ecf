/* touch.h: cf_core_touch as an inline function, for who cannot afford a call.
 *
 * libcurfew's touch is a few loads and one store: a call and what it saves and restores are a third of it. */
#ifndef CURFEW_CORE_TOUCH_H
#define CURFEW_CORE_TOUCH_H

#include "core/table.h"

/* So far from the end that no number of threads counts past it at once. */
#define CF_TOUCH_MESSAGES_MAX (UINT32_MAX - 0xffff)

/* What to answer when there is nothing to touch: CF_E_GONE or CF_E_NOT_READY. */
int cf_touch_refused(const struct cf_core *core, cf_handle handle);

/* The row's line is one more to wait for: a touch that counts costs ten times one that does not, also without the lock.
 * An array of counts beside the times would be nearer, and 4 bytes a row more. */
static inline void cf_touch_count(struct cf_row *row)
{
    if (__atomic_load_n(&row->messages, __ATOMIC_RELAXED) < CF_TOUCH_MESSAGES_MAX)
        __atomic_fetch_add(&row->messages, 1, __ATOMIC_RELAXED);
}

/* The one place where activity moves; false: there is nothing to touch.  Between the look at the gate and the store
 * the session may have ended: limbo keeps its slot from being another session's by then. */
static inline bool cf_touch(struct cf_core *core, cf_handle handle, int64_t now_ns, enum cf_touch cause)
{
    uint32_t place, slot = (uint32_t)handle;
    if (slot >= __atomic_load_n(&core->fresh, __ATOMIC_ACQUIRE))
        return false;
    struct cf_chunk *chunk = &core->chunks[cf_table_chunk(slot, &place)];
    uint32_t open = (uint32_t)(handle >> 32) << CF_GATE_SHIFT | CF_GATE_OPEN;
    if (__builtin_expect(__atomic_load_n(&chunk->gates[place], __ATOMIC_ACQUIRE) != open, 0) ||
        __builtin_expect(handle >> 63, 0))              /* no generation is that large, and the shift has lost it */
        return false;
    if (cause == CF_TOUCH_COMMAND || cause == CF_TOUCH_INPUT)
        cf_touch_count(&chunk->rows[place]);
    int64_t *used_ns = &chunk->used_ns[place];
    if (now_ns > __atomic_load_n(used_ns, __ATOMIC_RELAXED))
        __atomic_store_n(used_ns, now_ns, __ATOMIC_RELAXED);
    return true;
}

#endif
