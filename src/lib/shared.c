/* shared.c: what works without the lock: touches and look-ups by id.
 *
 * This is the one file whose code enters reader sections.  A section is a few loads and one or two stores of core's;
 * nothing in it calls out or waits. */
#include "lib/lib.h"
#include "core/touch.h"
#include "lib/readers.h"

#define FIND_TRIES 4

/* Initial-exec: one load instead of a call, and eight bytes of what every process has to spare. */
static _Thread_local struct cf_reader *mine __attribute__((tls_model("initial-exec")));

/* NULL: there is no memory for this thread's record, and the lock must do. */
static inline struct cf_reader *enter(void)
{
    struct cf_reader *me = mine;
    if (__builtin_expect(me == NULL, 0)) {
        me = cf_readers_register(&mine);
        if (me == NULL)
            return NULL;
    }
    cf_readers_enter(me);
    return me;
}

static bool is_cause(enum curfew_touch cause)
{
    return (unsigned)cause <= CURFEW_TOUCH_TOOL;
}

static struct cf_core *lock(struct curfew_table *table)
{
    cf_lock_take(&table->lock);
    return table->core;
}

static __attribute__((noinline)) int touch_locked(struct curfew_table *table, curfew_session session,
                                                  enum curfew_touch cause, int64_t now_ns)
{
    int rc = cf_core_touch(lock(table), session, now_ns, (enum cf_touch)cause);
    cf_lock_give(&table->lock);
    return rc;
}

/* A thread's first touch. */
static __attribute__((noinline)) int touch_first(struct curfew_table *table, curfew_session session,
                                                 enum curfew_touch cause, int64_t now_ns)
{
    if (cf_readers_register(&mine) == NULL)
        return touch_locked(table, session, cause, now_ns);
    return curfew_session_touch_at(table, session, cause, now_ns);
}

static __attribute__((noinline)) int touch_refused(struct curfew_table *table, curfew_session session)
{
    enum cf_state state = cf_shared_state(table, session);
    return state == CF_STATE_CLOSED || state == CF_STATE_FAILED ? CF_E_NOT_READY : CF_E_GONE;
}

/* All that is not the rule is called last, so that the rule needs no register saved. */
int curfew_session_touch_at(struct curfew_table *table, curfew_session session, enum curfew_touch cause, int64_t now_ns)
{
    if (__builtin_expect(!is_cause(cause), 0))
        return CF_E_INVALID;
    struct cf_reader *me = mine;
    if (__builtin_expect(me == NULL, 0))
        return touch_first(table, session, cause, now_ns);
    cf_readers_enter(me);
    bool touched = cf_touch(table->core, session, now_ns, (enum cf_touch)cause);
    cf_readers_leave(me);
    return __builtin_expect(touched, 1) ? 0 : touch_refused(table, session);
}

int curfew_session_touch(struct curfew_table *table, curfew_session session, enum curfew_touch cause)
{
    return curfew_session_touch_at(table, session, cause, cf_lib_now(table));
}

static bool is_here(enum cf_state state)
{
    return state != CF_STATE_FREE && state != CF_STATE_ENDING;
}

static bool find_locked(struct curfew_table *table, const char *id, curfew_session *ret_session)
{
    cf_handle handle;
    const struct cf_core *core = lock(table);
    bool found = cf_core_find(core, id, &handle) && is_here(cf_core_state(core, handle));
    cf_lock_give(&table->lock);
    if (found)
        *ret_session = handle;
    return found;
}

/* In a section; one that is ENDING is not found.  Where the table moves it looks again, before somebody has to wait for
 * the lock. */
static enum cf_found find(const struct curfew_table *table, const char *id, cf_handle *ret_handle)
{
    enum cf_found found = CF_UNSURE;
    for (int i = 0; i < FIND_TRIES && found == CF_UNSURE; i++)
        found = cf_core_find_shared(table->core, id, ret_handle);
    return found;
}

int curfew_session_find(struct curfew_table *table, const char *id, curfew_session *ret_session)
{
    cf_handle handle = 0;
    if (id == NULL)
        return CF_E_NOT_FOUND;
    enum cf_found found = CF_UNSURE;
    struct cf_reader *me = enter();
    if (me != NULL) {
        found = find(table, id, &handle);
        cf_readers_leave(me);
    }
    if (found == CF_UNSURE)
        return find_locked(table, id, ret_session) ? 0 : CF_E_NOT_FOUND;
    if (found == CF_ABSENT)
        return CF_E_NOT_FOUND;
    *ret_session = handle;
    return 0;
}

static int touch_id_locked(struct curfew_table *table, const char *id, enum curfew_touch cause, int64_t now_ns)
{
    cf_handle handle;
    int rc = CF_E_NOT_FOUND;
    struct cf_core *core = lock(table);
    if (cf_core_find(core, id, &handle))
        rc = cf_core_touch(core, handle, now_ns, (enum cf_touch)cause);
    cf_lock_give(&table->lock);
    return rc;
}

int curfew_session_touch_id(struct curfew_table *table, const char *id, enum curfew_touch cause)
{
    cf_handle handle = 0;
    if (!is_cause(cause))
        return CF_E_INVALID;
    if (id == NULL)
        return CF_E_NOT_FOUND;
    int64_t now_ns = cf_lib_now(table);
    enum cf_found found = CF_UNSURE;
    int rc = CF_E_NOT_FOUND;
    struct cf_reader *me = enter();
    if (me != NULL) {
        found = find(table, id, &handle);
        if (found == CF_FOUND)
            rc = cf_core_touch(table->core, handle, now_ns, (enum cf_touch)cause);
        cf_readers_leave(me);
    }
    if (found == CF_UNSURE)
        rc = touch_id_locked(table, id, cause, now_ns);
    return rc == CF_E_GONE ? CF_E_NOT_FOUND : rc;       /* ENDING: curfew_session_find would not have found it either */
}

enum cf_state cf_shared_state(struct curfew_table *table, curfew_session session)
{
    struct cf_reader *me = enter();
    if (me == NULL)
        lock(table);
    enum cf_state state = cf_core_state(table->core, session);
    if (me == NULL)
        cf_lock_give(&table->lock);
    else
        cf_readers_leave(me);
    return state;
}
