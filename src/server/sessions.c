/* sessions.c: the table of live sessions, and using them. */
#include "server/sessions.h"

#include "base/fd.h"
#include "server/sessions_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cf_sessions *cf_sessions_new(struct cf_server *server, struct cf_shells *shells)
{
    struct cf_sessions *all = calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->server = server;
    all->shells = shells;
    all->parked_last = &all->parked_first;
    return all;
}

void cf_sessions_free(struct cf_sessions **sessions)
{
    struct cf_sessions *all = *sessions;
    if (all == NULL)
        return;
    for (uint32_t i = 0; i < all->slot_count; i++)
        if (all->by_slot[i] != NULL)
            cf_sessions_remove(all, all->by_slot[i]);
    free(all->by_slot);
    free(all);
    *sessions = NULL;
}

struct session *cf_sessions_get(const struct cf_sessions *all, cf_handle handle)
{
    uint32_t slot = (uint32_t)handle;
    if (slot >= all->slot_count || all->by_slot[slot] == NULL || all->by_slot[slot]->handle != handle)
        return NULL;
    return all->by_slot[slot];
}

int cf_sessions_reserve(struct cf_sessions *all, uint32_t slot)
{
    if (slot < all->slot_count)
        return 0;
    uint32_t n = all->slot_count ? all->slot_count : 32;
    while (n <= slot)
        n *= 2;
    struct session **grown = realloc(all->by_slot, n * sizeof(struct session *));
    if (grown == NULL)
        return -1;
    memset(grown + all->slot_count, 0, (n - all->slot_count) * sizeof(struct session *));
    all->by_slot = grown;
    all->slot_count = n;
    return 0;
}

void cf_sessions_remove(struct cf_sessions *all, struct session *s)
{
    all->by_slot[(uint32_t)s->handle] = NULL;
    while (s->waiters != NULL) {
        struct waiter *w = s->waiters;
        s->waiters = w->next;
        free(w);
    }
    cf_fd_close(&s->cwd_fd);
    free(s->setup);
    free(s);
}

int cf_sessions_find(struct cf_sessions *all, const char *id, struct cf_now now, cf_handle *ret_handle,
                     const struct cf_tomb **ret_tomb, struct cf_error *error)
{
    const struct cf_tomb *tomb;
    if (cf_core_find(all->server->core, id, ret_handle))
        return 0;
    tomb = cf_tombs_find(all->server->tombs, id, now.mono_ns);
    if (tomb == NULL)
        return cf_error_set(error, CF_E_NOT_FOUND, "session_id", "there is no session %s", id);
    *ret_tomb = tomb;
    return cf_error_set(error, CF_E_GONE, "session_id", "session %s has ended: %s (%s)", id,
                        cf_reason_name(tomb->reason), tomb->evidence);
}

static void on_exec_done(void *arg, const struct cf_exec_result *result)
{
    struct session *s = arg;
    cf_exec_done *done = s->exec.done;
    s->exec.done = NULL;
    cf_core_busy(s->all->server->core, s->handle, false, cf_clock_now().mono_ns);
    if (result->timed_out)
        cf_core_counts(s->all->server->core)->execs_timed_out++;
    if (done == NULL)
        return;
    cf_metrics_observe(&s->all->server->metrics, CF_HISTOGRAM_exec_duration, result->duration_ns);
    done(s->exec_arg, result);
}

int cf_sessions_exec(struct cf_sessions *all, cf_handle handle, const char *text, size_t len, int64_t timeout_ns,
                     struct cf_now now, const struct cf_exec_events *events, void *arg, struct cf_error *error)
{
    struct session *s = cf_sessions_get(all, handle);
    struct cf_session row;
    if (s == NULL || !s->started || !cf_core_get(all->server->core, handle, now.mono_ns, &row) ||
        row.state != CF_STATE_ACTIVE)
        return cf_error_set(error, CF_E_NOT_READY, NULL, "the session takes no commands: it is %s",
                            s != NULL && s->started ? "ending" : "starting");
    int code = cf_shell_exec(s->shell, text, len, timeout_ns, now, on_exec_done, s, error);
    if (code != 0)
        return code;
    s->exec = *events;
    s->exec_arg = arg;
    cf_core_counts(all->server->core)->execs_started++;
    (void)cf_core_touch(all->server->core, handle, now.mono_ns, CF_TOUCH_COMMAND);
    cf_core_busy(all->server->core, handle, true, now.mono_ns);
    return 0;
}

const char *cf_sessions_command(const struct cf_sessions *all, cf_handle handle, size_t *ret_len, int64_t *ret_since_ns)
{
    struct session *s = cf_sessions_get(all, handle);
    return s != NULL && s->started ? cf_shell_command(s->shell, ret_len, ret_since_ns) : NULL;
}

unsigned cf_sessions_parked(const struct cf_sessions *all)
{
    return all->parked_count;
}

static void write_seconds_or_null(struct cf_jsonw *w, const char *key, int64_t ns)
{
    if (ns == CF_NEVER_NS)
        cf_jsonw_null(w, key);
    else
        cf_jsonw_duration(w, key, ns);
}

bool cf_sessions_json(struct cf_sessions *all, cf_handle handle, struct cf_now now, struct cf_jsonw *w, const char *key)
{
    struct cf_session row;
    struct session *s = cf_sessions_get(all, handle);
    if (s == NULL || !cf_core_get(all->server->core, handle, now.mono_ns, &row))
        return false;
    size_t len;
    int64_t since_ns;
    const char *command = cf_sessions_command(all, handle, &len, &since_ns);
    cf_jsonw_object(w, key);
    cf_jsonw_str(w, "session_id", row.id);
    cf_jsonw_str(w, "kind", cf_kind_name(row.kind));
    cf_jsonw_str(w, "workspace_name", row.workspace);
    cf_jsonw_str(w, "state", cf_state_name(row.state));
    cf_jsonw_bool(w, "busy", row.busy);
    cf_jsonw_seconds(w, "created_at", s->created_wall_ns);
    cf_jsonw_seconds(w, "last_used", s->created_wall_ns + (row.last_used_ns - s->created_mono_ns));
    cf_jsonw_seconds(w, "inactive_time", now.mono_ns - row.last_used_ns);
    cf_jsonw_int(w, "message_count", (int64_t)row.message_count);
    cf_jsonw_str(w, "containment", s->shell != NULL ? cf_hold_name(cf_shell_hold(s->shell)) : "none");
    write_seconds_or_null(w, "idle_timeout", row.idle_ns);
    write_seconds_or_null(w, "max_age", row.age_ns);
    write_seconds_or_null(w, "idle_left", row.idle_left_ns);
    write_seconds_or_null(w, "age_left", row.age_left_ns);
    cf_jsonw_int(w, "pid", s->shell != NULL ? cf_shell_pid(s->shell) : 0);
    if (command != NULL) {
        cf_jsonw_bytes(w, "command", command, len < 256 ? len : 256);
        cf_jsonw_seconds(w, "command_running", now.mono_ns - since_ns);
    } else {
        cf_jsonw_null(w, "command");
    }
    cf_jsonw_object_end(w);
    return true;
}
