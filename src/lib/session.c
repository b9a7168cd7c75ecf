/* session.c: a session's way from its creation to the moment when it may end. */
#include "lib/lib.h"

#include <string.h>

#define MADE_ID_SIZE 24                 /* "s-" and a number of 64 bits, with its NUL */

static void make_id(uint64_t number, char id[MADE_ID_SIZE])
{
    char digits[MADE_ID_SIZE];
    size_t count = 0;
    for (; number > 0; number /= 10)
        digits[count++] = (char)('0' + number % 10);
    *id++ = 's';
    *id++ = '-';
    while (count > 0)
        *id++ = digits[--count];
    *id = '\0';
}

static int check(const struct curfew_table *table, const struct curfew_new *want, struct curfew_error *error)
{
    if (want == NULL)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "want", "want must be given");
    if (want->kind >= table->kinds)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "kind", "kind must be below %u", table->kinds);
    if (want->idle_ns < 0)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "idle_ns", "idle_ns must not be negative");
    if (want->age_ns < 0)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "age_ns", "age_ns must not be negative");
    for (size_t i = 0; i < sizeof want->reserved / sizeof *want->reserved; i++)
        if (want->reserved[i] != 0)
            return cf_error_set(cf_lib_error(error), CF_E_INVALID, "reserved", "reserved must be 0");
    return 0;
}

/* With the lock held. */
static int admit(struct curfew_table *table, const struct curfew_new *want, int64_t now_ns, cf_handle *ret_handle,
                 struct cf_error *error)
{
    char made[MADE_ID_SIZE];
    struct cf_admission admission = {
        .id = want->id != NULL ? want->id : made,
        .workspace = want->workspace != NULL ? want->workspace : "default",
        .kind = want->kind,
        .idle_ns = want->idle_ns,
        .age_ns = want->age_ns,
        .user = want->user,
    };
    uint64_t step = 1;
    int rc;
    if (table->closing)
        return cf_error_set(error, CF_E_SHUTTING_DOWN, NULL, "the table was shut down");
    (void)cf_table_reclaim(table, CF_LIB_RECLAIM_CREATED, false);
    do {        /* those that callers have taken for themselves are passed over, by longer and longer steps */
        if (want->id == NULL)
            make_id(table->made_ids += step, made);
        step *= 2;
        rc = cf_core_admit(table->core, &admission, now_ns, ret_handle, error);
    } while (rc == CF_E_EXISTS && want->id == NULL);
    return rc;
}

static bool is_room_limit(int rc)
{
    return rc == CF_E_TOO_MANY_SESSIONS || rc == CF_E_TOO_MANY_ACTIVE;
}

int curfew_session_create(struct curfew_table *table, const struct curfew_new *want, curfew_session *ret_session,
                          struct curfew_error *error)
{
    cf_handle handle;
    struct cf_error problem;            /* not the caller's: an emergency cleanup may solve it */
    int rc = check(table, want, error);
    if (rc != 0)
        return rc;
    int64_t now_ns = cf_lib_now(table);
    cf_lock_take(&table->lock);
    rc = admit(table, want, now_ns, &handle, &problem);
    if (is_room_limit(rc) && cf_callback_depth() == 0) {
        cf_lock_give(&table->lock);
        cf_sweep_emergency(table, rc);
        now_ns = cf_lib_now(table);
        cf_lock_take(&table->lock);
        rc = admit(table, want, now_ns, &handle, &problem);
    }
    if (rc == 0 && !want->starting)
        cf_core_started(table->core, handle, now_ns);
    if (rc == 0)
        cf_sweeper_wake(table);
    if (is_room_limit(rc) || rc == CF_E_WORKSPACE_FULL)
        table->counts.sessions_refused++;
    cf_lock_give(&table->lock);
    if (rc != 0) {
        if (error != NULL)
            *cf_lib_error(error) = problem;
        return rc;
    }
    *ret_session = handle;
    return 0;
}

/* With the lock held: 0 when the state is the one that it takes. */
static int expect(const struct curfew_table *table, curfew_session session, enum cf_state wanted)
{
    enum cf_state state = cf_core_state(table->core, session);
    if (state == CF_STATE_FREE || state == CF_STATE_ENDING)
        return CF_E_GONE;
    return state == wanted ? 0 : CF_E_NOT_READY;
}

int curfew_session_started(struct curfew_table *table, curfew_session session)
{
    int64_t now_ns = cf_lib_now(table);
    cf_lock_take(&table->lock);
    int rc = expect(table, session, CF_STATE_STARTING);
    if (rc == 0)
        cf_core_started(table->core, session, now_ns);
    cf_lock_give(&table->lock);
    return rc;
}

int curfew_session_busy(struct curfew_table *table, curfew_session session, bool busy)
{
    int64_t now_ns = cf_lib_now(table);
    cf_lock_take(&table->lock);
    int rc = expect(table, session, CF_STATE_ACTIVE);
    if (rc == 0)
        cf_core_busy(table->core, session, busy, now_ns);
    cf_lock_give(&table->lock);
    return rc;
}

static int leave(struct curfew_table *table, curfew_session session, enum cf_state terminal, const char *why)
{
    cf_lock_take(&table->lock);
    int rc = expect(table, session, CF_STATE_ACTIVE);
    if (rc == 0)
        cf_core_left(table->core, session, terminal, why);
    cf_lock_give(&table->lock);
    return rc;
}

int curfew_session_close(struct curfew_table *table, curfew_session session)
{
    return leave(table, session, CF_STATE_CLOSED, NULL);
}

int curfew_session_fail(struct curfew_table *table, curfew_session session, const char *reason)
{
    return leave(table, session, CF_STATE_FAILED, reason);
}

int curfew_session_end(struct curfew_table *table, curfew_session session)
{
    bool decided = false;
    bool ended = cf_ending_decided(table, session, CF_REASON_REQUESTED, NULL, &decided);
    return ended || decided ? 0 : CF_E_GONE;
}

struct curfew_info cf_session_info(const struct cf_session *session, int64_t now_ns)
{
    struct curfew_info info = {
        .session = session->handle,
        .kind = session->kind,
        .state = (enum curfew_state)session->state,
        .reason = (enum curfew_reason)session->reason,
        .busy = session->busy,
        .now_ns = now_ns,
        .created_ns = session->created_ns,
        .last_used_ns = session->last_used_ns,
        .idle_ns = session->idle_ns,
        .age_ns = session->age_ns,
        .idle_left_ns = session->idle_left_ns,
        .age_left_ns = session->age_left_ns,
        .message_count = session->message_count,
        .user = session->user,
    };
    memcpy(info.id, session->id, sizeof info.id);
    memcpy(info.workspace, session->workspace, sizeof info.workspace);
    memcpy(info.failure, session->failure, sizeof info.failure);
    return info;
}

int curfew_session_get(struct curfew_table *table, curfew_session session, struct curfew_info *ret_info, size_t size)
{
    struct cf_session found;
    int64_t now_ns = cf_lib_now(table);
    cf_lock_take(&table->lock);
    bool here = cf_core_get(table->core, session, now_ns, &found);
    cf_lock_give(&table->lock);
    if (!here)
        return CF_E_GONE;
    struct curfew_info info = cf_session_info(&found, now_ns);
    memset(ret_info, 0, size);
    memcpy(ret_info, &info, size < sizeof info ? size : sizeof info);
    return 0;
}

int curfew_session_next(struct curfew_table *table, uint64_t *cursor, curfew_session *ret_session)
{
    cf_handle handle;
    size_t at = (size_t)*cursor;
    cf_lock_take(&table->lock);
    bool more = cf_core_next(table->core, &at, &handle);
    cf_lock_give(&table->lock);
    if (!more)
        return CF_E_NOT_FOUND;
    *cursor = at;
    *ret_session = handle;
    return 0;
}
