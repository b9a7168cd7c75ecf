/* names.c: what the public names and numbers are inside.
 *
 * The public header repeats core's and base's enums and structs, so that it needs no other file.  Here it is proven
 * that they are the same, which the rest of src/lib relies on. */
#include "lib/lib.h"

#include <assert.h>

#define SAME(public, inner) static_assert((int)(public) == (int)(inner), #public)

SAME(CURFEW_OK, CF_OK);
SAME(CURFEW_E_INVALID, CF_E_INVALID);
SAME(CURFEW_E_NOT_FOUND, CF_E_NOT_FOUND);
SAME(CURFEW_E_NOT_READY, CF_E_NOT_READY);
SAME(CURFEW_E_GONE, CF_E_GONE);
SAME(CURFEW_E_WORKSPACE_FULL, CF_E_WORKSPACE_FULL);
SAME(CURFEW_E_TOO_MANY_SESSIONS, CF_E_TOO_MANY_SESSIONS);
SAME(CURFEW_E_SHUTTING_DOWN, CF_E_SHUTTING_DOWN);
SAME(CURFEW_E_NO_MEMORY, CF_E_NO_MEMORY);
SAME(CURFEW_E_SYSTEM, CF_E_SYSTEM);
SAME(CURFEW_E_EXISTS, CF_E_EXISTS);
SAME(CURFEW_E_TOO_MANY_ACTIVE, CF_E_TOO_MANY_ACTIVE);

SAME(CURFEW_STARTING, CF_STATE_STARTING);
SAME(CURFEW_ACTIVE, CF_STATE_ACTIVE);
SAME(CURFEW_CLOSED, CF_STATE_CLOSED);
SAME(CURFEW_FAILED, CF_STATE_FAILED);
SAME(CURFEW_ENDING, CF_STATE_ENDING);
SAME(CURFEW_ENDING + 1, CF_STATES);

SAME(CURFEW_REASON_NONE, CF_REASON_NONE);
SAME(CURFEW_REASON_IDLE, CF_REASON_IDLE);
SAME(CURFEW_REASON_AGE, CF_REASON_AGE);
SAME(CURFEW_REASON_CLOSED, CF_REASON_CLOSED);
SAME(CURFEW_REASON_FAILED, CF_REASON_FAILED);
SAME(CURFEW_REASON_LIMIT, CF_REASON_LIMIT);
SAME(CURFEW_REASON_REQUESTED, CF_REASON_REQUESTED);
SAME(CURFEW_REASON_SHUTDOWN, CF_REASON_SHUTDOWN);
SAME(CURFEW_REASON_LOST, CF_REASON_LOST);
SAME(CURFEW_REASONS, CF_REASONS);

SAME(CURFEW_TOUCH_MESSAGE, CF_TOUCH_COMMAND);
SAME(CURFEW_TOUCH_INPUT, CF_TOUCH_INPUT);
SAME(CURFEW_TOUCH_HEARTBEAT, CF_TOUCH_HEARTBEAT);
SAME(CURFEW_TOUCH_SWITCH, CF_TOUCH_SWITCH);
SAME(CURFEW_TOUCH_STATE, CF_TOUCH_STATE);
SAME(CURFEW_TOUCH_TOOL, CF_TOUCH_TOOL);

SAME(CURFEW_ID_SIZE, CF_ID_MAX);
SAME(CURFEW_WORKSPACE_SIZE, CF_WORKSPACE_MAX);
SAME(CURFEW_FAILURE_SIZE, CF_FAILURE_MAX);
SAME(CURFEW_KINDS_MAX, CF_KINDS_MAX);
SAME(CURFEW_SESSIONS_MAX, CF_SESSIONS_MAX);
static_assert(CURFEW_NEVER_NS == CF_NEVER_NS && CURFEW_S_NS == CF_NS_PER_S, "times");
static_assert(_Generic((cf_handle)0, curfew_session: 1, default: 0), "a session is a handle of core's");

SAME(sizeof(struct curfew_error), sizeof(struct cf_error));
SAME(offsetof(struct curfew_error, code), offsetof(struct cf_error, code));
SAME(offsetof(struct curfew_error, field), offsetof(struct cf_error, field));
SAME(offsetof(struct curfew_error, text), offsetof(struct cf_error, text));

#define TEXT(number) #number
#define VERSION(major, minor, patch) TEXT(major) "." TEXT(minor) "." TEXT(patch)

const char *curfew_version(void)
{
    return VERSION(CURFEW_VERSION_MAJOR, CURFEW_VERSION_MINOR, CURFEW_VERSION_PATCH);
}

const char *curfew_error_name(int code)
{
    return cf_error_name(code);
}

const char *curfew_error_text(int code)
{
    return cf_error_text(code);
}

const char *curfew_state_name(enum curfew_state state)
{
    if (state < CURFEW_STARTING || state > CURFEW_ENDING)
        return "unknown";               /* core has a name for rows that are free; nobody here sees one */
    return cf_state_name((enum cf_state)state);
}

const char *curfew_reason_name(enum curfew_reason reason)
{
    return cf_reason_name((enum cf_reason)reason);
}
