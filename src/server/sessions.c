/* sessions.c: the table of live sessions, and using them. */
#include "server/sessions.h"

#include "base/fd.h"
#include "server/attach.h"
#include "server/ledger.h"
#include "server/sessions_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

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
    cf_vault_drop(cf_keep_vault(all->server->host.keep), &s->kept);
    while (s->waiters != NULL) {
        struct waiter *w = s->waiters;
        s->waiters = w->next;
        free(w);
    }
    cf_viewers_free(&s->viewers);
    cf_sessions_agent_free(s);
    cf_fd_close(&s->cwd_fd);
    free(s->setup);
    free(s->cwd);
    json_decref(s->env);
    free(s);
}

/* What a use is to the rules. */
static const enum cf_touch causes[CF_USES] = {
#define USE(name, text, cause) [CF_USE_##name] = CF_TOUCH_##cause,
    CF_USE_TABLE(USE)
#undef USE
};

int cf_sessions_touch(struct cf_sessions *all, cf_handle handle, int64_t now_ns, enum cf_use use)
{
    struct session *s = cf_sessions_get(all, handle);
    int code = cf_core_touch(all->server->core, handle, now_ns, causes[use]);
    if (code != 0 || s == NULL)
        return code;
    s->use = use;
    cf_session_keep_touch(s, now_ns, causes[use] == CF_TOUCH_COMMAND || causes[use] == CF_TOUCH_INPUT);
    return 0;
}

int cf_sessions_find(struct cf_sessions *all, const char *id, struct cf_now now, cf_handle *ret_handle,
                     const struct cf_tomb **ret_tomb, struct cf_error *error)
{
    const struct cf_tomb *tomb;
    if (cf_core_find(all->server->core, id, ret_handle))
        return 0;
    tomb = cf_tombs_find(all->server->tombs, id, now.mono_ns);
    if (tomb == NULL)
        tomb = cf_ledger_find(all->server->ledger, id);
    if (tomb == NULL)
        return cf_error_set(error, CF_E_NOT_FOUND, "session_id", "there is no session %s", id);
    *ret_tomb = tomb;
    return cf_error_set(error, CF_E_GONE, "session_id", "session %s has ended: %s (%s)", id,
                        cf_reason_name(tomb->reason), tomb->evidence);
}

/* A command that heeded the SIGINT of its session's end has a result of its own, but no session for another. */
static const char *state_after(const struct session *s, const struct cf_exec_result *r)
{
    struct cf_session row;
    if (r->wedged)
        return cf_state_name(CF_STATE_FAILED);
    if (r->shell_left && !cf_sessions_restarts(s))
        return cf_state_name(WIFEXITED(r->wait_status) ? CF_STATE_CLOSED : CF_STATE_FAILED);
    return cf_core_get(s->all->server->core, s->handle, 0, &row) ? cf_state_name(row.state) : cf_state_name(CF_STATE_ACTIVE);
}

void cf_sessions_on_exec_done(void *arg, const struct cf_exec_result *result)
{
    struct session *s = arg;
    struct cf_exec *e = result->exec;
    cf_exec_done *done = s->exec.done;
    s->exec.done = NULL;
    int64_t now_ns = cf_clock_now().mono_ns;
    cf_core_busy(s->all->server->core, s->handle, false, now_ns);
    s->use = CF_USE_COMMAND_END;
    cf_session_keep_touch(s, now_ns, false);
    if (e->timed_out)
        cf_core_counts(s->all->server->core)->execs_timed_out++;
    cf_metrics_observe(&s->all->server->metrics, CF_HISTOGRAM_exec_duration, e->ended_mono_ns - e->started_mono_ns);
    e->session_state = state_after(s, result);
    e->shell_left = result->shell_left;
    e->lost = result->refused != NULL;
    if (e->lost && (e->refused = malloc(sizeof *e->refused)) != NULL)
        *e->refused = *result->refused;
    cf_journal_finish(cf_shell_journal(s->shell), e);
    if (done != NULL)
        done(s->exec_arg, result);
}

struct cf_shell *cf_sessions_shell(const struct cf_sessions *all, cf_handle handle, struct cf_error *error)
{
    struct session *s = cf_sessions_get(all, handle);
    struct cf_session row;
    if (s != NULL && s->started && cf_core_get(all->server->core, handle, 0, &row) && row.state == CF_STATE_ACTIVE)
        return s->shell;
    cf_error_set(error, CF_E_NOT_READY, NULL, "the session takes no commands: it is %s", s != NULL && s->started ? "ending" : "starting");
    return NULL;
}

int cf_sessions_exec(struct cf_sessions *all, cf_handle handle, const struct cf_exec_spec *spec, struct cf_now now,
                     const struct cf_exec_events *events, void *arg, struct cf_exec **ret_exec, struct cf_error *error)
{
    struct session *s = cf_sessions_get(all, handle);
    struct cf_shell *shell = cf_sessions_shell(all, handle, error);
    if (shell == NULL)
        return error->code;
    if (s->agent != NULL)
        return cf_error_set(error, CF_E_INVALID, "session_id", "a session of kind agent takes input, not commands: POST …/input");
    int code = cf_shell_exec(shell, spec, now, cf_sessions_on_exec_done, s, ret_exec, error);
    if (code != 0)
        return code;
    s->exec = events != NULL ? *events : (struct cf_exec_events){ 0 };
    s->exec_arg = arg;
    cf_core_counts(all->server->core)->execs_started++;
    (void)cf_sessions_touch(all, handle, now.mono_ns, CF_USE_COMMAND);
    cf_core_busy(all->server->core, handle, true, now.mono_ns);
    return 0;
}

struct cf_journal *cf_sessions_journal(const struct cf_sessions *all, cf_handle handle)
{
    struct session *s = cf_sessions_get(all, handle);
    return s != NULL && s->shell != NULL ? cf_shell_journal(s->shell) : NULL;
}

struct cf_exec *cf_sessions_running(const struct cf_sessions *all, cf_handle handle)
{
    struct session *s = cf_sessions_get(all, handle);
    return s != NULL && s->started ? cf_shell_running(s->shell) : NULL;
}

unsigned cf_sessions_parked(const struct cf_sessions *all)
{
    return all->parked_count;
}
