/* sessions_restart.c: a fresh shell for a session whose own went by itself.
 *
 * The session stays: its id, its counts, its journal.  What the old shell started goes with it, since nobody could say whose it is. */
#include "base/log.h"
#include "server/sessions_private.h"
#include "server/shells.h"

bool cf_sessions_restarts(const struct session *s)
{
    struct cf_session row;
    return s->started && s->restarts_left > 0 && !s->all->server->shutting_down &&
           cf_core_get(s->all->server->core, s->handle, 0, &row) && row.state == CF_STATE_ACTIVE;
}

static void on_old_ended(struct cf_shell *shell, void *arg, const struct cf_wire_ended *report)
{
    (void)report;
    struct session *s = arg;
    cf_shells_drop(s->all->shells, shell);
    if (--s->old_shells == 0 && s->report.type == CF_WIRE_ENDED)
        cf_sessions_gone(s, &s->report);
    else if (s->old_shells == 0 && s->agent != NULL)
        cf_sessions_agent_alone(s);
}

/* It has left, or is being made to: that it is gone is told by the other. */
static void on_old_left(struct cf_shell *shell, void *arg, int wait_status)
{
    (void)shell;
    (void)arg;
    (void)wait_status;
}

static void on_old_failed(struct cf_shell *shell, void *arg, const struct cf_error *why)
{
    (void)shell;
    (void)arg;
    (void)why;                          /* it is being ended */
}

const struct cf_shell_events *cf_sessions_old_events(void)
{
    static const struct cf_shell_events events = { .left = on_old_left, .ended = on_old_ended, .failed = on_old_failed };
    return &events;
}

bool cf_sessions_restart(struct session *s, const char *why)
{
    struct cf_shell *old = s->shell;
    struct cf_session row;
    struct cf_error error;
    if (!cf_core_get(s->all->server->core, s->handle, 0, &row))
        return false;
    const struct cf_create what = { .kind = row.kind, .workspace = row.workspace, .cwd = s->cwd, .env = s->env, .cols = s->cols, .rows = s->rows };
    s->restarting = true;
    s->restarts_left--;
    int code = cf_sessions_give_shell(s, &what, &error);
    if (code != 0) {
        cf_log(CF_LOG_WARNING, "session %s: no fresh shell: %s", row.id, error.text);
        s->restarting = false;
        return false;
    }
    cf_log(CF_LOG_INFO, "session %s: %s; a fresh one takes its place", row.id, why);
    cf_shell_succeed(s->shell, old);
    cf_shell_adopt(old, cf_sessions_old_events(), s);
    s->old_shells++;
    cf_session_keep(s);                 /* only now is the fresh one its shell: a server that dies before finds that the old one has left */
    cf_shell_end(old, s->all->server->settings.grace);
    cf_sessions_on_room(s->shell, s);   /* what waited for the old one is not for this */
    return true;
}
