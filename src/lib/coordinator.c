/* coordinator.c: somebody who works in one session at a time (S2). */
#include "lib/lib.h"

#include <stdatomic.h>

int curfew_coordinator_new(struct curfew_table *table, struct curfew_coordinator **ret_coordinator)
{
    cf_lock_take(&table->lock);
    struct curfew_coordinator *made = table->allocator.take(table->allocator.context, sizeof *made);
    if (made != NULL)
        table->own_bytes += sizeof *made;
    cf_lock_give(&table->lock);
    if (made == NULL)
        return CF_E_NO_MEMORY;
    made->table = table;
    atomic_init(&made->current, 0);
    *ret_coordinator = made;
    return 0;
}

void curfew_coordinator_free(struct curfew_coordinator **coordinator)
{
    struct curfew_coordinator *old = coordinator != NULL ? *coordinator : NULL;
    if (old == NULL)
        return;
    struct curfew_table *table = old->table;
    cf_lock_take(&table->lock);
    table->own_bytes -= sizeof *old;
    table->allocator.give(table->allocator.context, old);
    cf_lock_give(&table->lock);
    *coordinator = NULL;
}

int curfew_switch(struct curfew_coordinator *coordinator, curfew_session session)
{
    int rc = session != 0 ? curfew_session_touch(coordinator->table, session, CURFEW_TOUCH_SWITCH) : 0;
    if (rc == 0)
        atomic_store(&coordinator->current, session);
    return rc;
}

int curfew_current(struct curfew_coordinator *coordinator, curfew_session *ret_session)
{
    curfew_session session = atomic_load(&coordinator->current);
    if (session == 0)
        return CF_E_NOT_FOUND;
    enum cf_state state = cf_shared_state(coordinator->table, session);
    if (state == CF_STATE_FREE || state == CF_STATE_ENDING)
        return CF_E_GONE;
    *ret_session = session;
    return 0;
}
