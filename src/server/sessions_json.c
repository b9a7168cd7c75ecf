/* sessions_json.c: a live session as the API shows it. */
#include "server/attach.h"
#include "server/sessions_private.h"

static void write_seconds_or_null(struct cf_jsonw *w, const char *key, int64_t ns)
{
    if (ns == CF_NEVER_NS)
        cf_jsonw_null(w, key);
    else
        cf_jsonw_duration(w, key, ns);
}

static void write_terminal(const struct session *s, struct cf_jsonw *w)
{
    unsigned cols, rows;
    if (s->viewers == NULL || !cf_shell_screen(s->shell, &cols, &rows)) {
        cf_jsonw_null(w, "terminal");
        return;
    }
    cf_jsonw_object(w, "terminal");
    cf_jsonw_int(w, "cols", cols);
    cf_jsonw_int(w, "rows", rows);
    cf_jsonw_int(w, "viewers", cf_viewers_count(s->viewers));
    cf_jsonw_bool(w, "at_work", cf_shell_at_work(s->shell));
    cf_jsonw_object_end(w);
}

/* Busy or idle, since when, and what it was that last counted as a use.  Measured by the monotonic clock; shown by the wall's. */
static void write_activity(const struct session *s, const struct cf_session *row, const struct cf_exec *running, struct cf_now now, struct cf_jsonw *w)
{
    static const char *const texts[CF_USES] = {
#define USE(name, text, cause) [CF_USE_##name] = text,
        CF_USE_TABLE(USE)
#undef USE
    };
    int64_t since_ns = row->busy && running != NULL ? running->started_mono_ns : row->last_used_ns;
    cf_jsonw_object(w, "activity");
    cf_jsonw_str(w, "state", row->busy ? "busy" : "idle");
    cf_jsonw_seconds(w, "since", s->created_wall_ns + (since_ns - s->created_mono_ns));
    cf_jsonw_seconds(w, "for", now.mono_ns - since_ns);
    cf_jsonw_str(w, "last_use", texts[s->use]);
    cf_jsonw_object_end(w);
}

/* What will end it, and when, if nothing is done to it or with it. */
static void write_end(const struct cf_session *row, struct cf_now now, struct cf_jsonw *w)
{
    bool idle = row->idle_left_ns <= row->age_left_ns;
    int64_t left_ns = idle ? row->idle_left_ns : row->age_left_ns;
    if (left_ns == CF_NEVER_NS) {
        cf_jsonw_null(w, "ends");
        return;
    }
    cf_jsonw_object(w, "ends");
    cf_jsonw_str(w, "reason", cf_reason_name(row->state == CF_STATE_CLOSED ? CF_REASON_CLOSED : row->state == CF_STATE_FAILED ? CF_REASON_FAILED
                                             : idle ? CF_REASON_IDLE : CF_REASON_AGE));
    cf_jsonw_seconds(w, "in", left_ns);
    cf_jsonw_seconds(w, "at", now.wall_ns + left_ns);
    cf_jsonw_object_end(w);
}

bool cf_sessions_json(struct cf_sessions *all, cf_handle handle, struct cf_now now, struct cf_jsonw *w, const char *key)
{
    struct cf_session row;
    struct session *s = cf_sessions_get(all, handle);
    if (s == NULL || !cf_core_get(all->server->core, handle, now.mono_ns, &row))
        return false;
    const struct cf_exec *running = cf_sessions_running(all, handle);
    cf_jsonw_object(w, key);
    cf_jsonw_str(w, "session_id", row.id);
    cf_jsonw_str(w, "kind", cf_kind_name(row.kind));
    cf_jsonw_str(w, "workspace_name", row.workspace);
    cf_jsonw_str(w, "state", row.state == CF_STATE_ACTIVE && cf_sessions_agent_waits(s) ? "restarting" : cf_state_name(row.state));
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
    cf_jsonw_int(w, "pid", s->shell != NULL && !cf_sessions_agent_waits(s) ? cf_shell_pid(s->shell) : 0);
    write_activity(s, &row, running, now, w);
    write_end(&row, now, w);
    write_terminal(s, w);
    if (s->agent != NULL)
        cf_sessions_agent_json(s, now, w);
    if (running != NULL) {
        cf_jsonw_bytes(w, "command", running->command, running->command_len < 256 ? running->command_len : 256);
        cf_jsonw_seconds(w, "command_running", now.mono_ns - running->started_mono_ns);
        cf_jsonw_int(w, "exec", running->number);
    } else {
        cf_jsonw_null(w, "command");
    }
    cf_jsonw_object_end(w);
    return true;
}
