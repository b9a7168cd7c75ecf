/* names.c: what kinds, states and reasons are called outside. */
#include "core/core.h"

static const char *const kind_names[CF_KINDS] = {
    [CF_KIND_BASH] = "bash",
    [CF_KIND_RECORD] = "record",
    [CF_KIND_AGENT] = "agent",
};

static const char *const state_names[] = {
    [CF_STATE_FREE] = "free",
    [CF_STATE_STARTING] = "starting",
    [CF_STATE_ACTIVE] = "active",
    [CF_STATE_CLOSED] = "closed",
    [CF_STATE_FAILED] = "failed",
    [CF_STATE_ENDING] = "ending",
};

static const char *const reason_names[CF_REASONS] = {
    [CF_REASON_NONE] = "none",
    [CF_REASON_IDLE] = "idle",
    [CF_REASON_AGE] = "age",
    [CF_REASON_CLOSED] = "closed",
    [CF_REASON_FAILED] = "failed",
    [CF_REASON_LIMIT] = "limit",
    [CF_REASON_REQUESTED] = "requested",
    [CF_REASON_SHUTDOWN] = "shutdown",
    [CF_REASON_LOST] = "lost",
};

static const char *pick(const char *const *names, size_t count, size_t at)
{
    return at < count ? names[at] : "unknown";
}

const char *cf_kind_name(enum cf_kind kind)
{
    return pick(kind_names, CF_KINDS, (size_t)kind);
}

const char *cf_state_name(enum cf_state state)
{
    return pick(state_names, sizeof state_names / sizeof *state_names, (size_t)state);
}

const char *cf_reason_name(enum cf_reason reason)
{
    return pick(reason_names, CF_REASONS, (size_t)reason);
}
