/* sessions_end.c: how a session ends: decided once, proven by the keeper, remembered in a tombstone. */
#include "base/log.h"
#include "server/archive.h"
#include "server/ledger.h"
#include "server/sessions_private.h"
#include "server/shells.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

void cf_sessions_end(struct cf_sessions *all, cf_handle handle, enum cf_reason reason, const char *evidence,
                     int64_t grace_ns)
{
    struct session *s = cf_sessions_get(all, handle);
    struct cf_session row;
    struct cf_now now = cf_clock_now();
    if (!cf_core_get(all->server->core, handle, now.mono_ns, &row))
        return;
    bool first = cf_core_ending(all->server->core, handle, reason);
    if (s == NULL)
        return;                         /* cannot be; but a row that nobody holds must not be due for ever */
    if (first) {
        s->idle_for_ns = now.mono_ns - row.last_used_ns;
        s->end_since_ns = now.mono_ns;
        snprintf(s->evidence, sizeof s->evidence, "%s", evidence);
        cf_session_keep(s);
        cf_log(CF_LOG_INFO, "session %s ends: %s (%s)", row.id, cf_reason_name(reason), evidence);
        if (s->started)
            cf_ledger_audit_end(all->server->ledger, row.id, reason, evidence);
    }
    if (s->shell != NULL)
        cf_shell_end(s->shell, grace_ns);
}

int cf_sessions_wait(struct cf_sessions *all, cf_handle handle, cf_gone *gone, void *arg, struct cf_error *error)
{
    struct session *s = cf_sessions_get(all, handle);
    if (s == NULL)
        return cf_error_set(error, CF_E_NOT_FOUND, NULL, "there is no such session");
    struct waiter *w = malloc(sizeof *w);
    if (w == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    *w = (struct waiter){ .next = s->waiters, .gone = gone, .arg = arg };
    s->waiters = w;
    return 0;
}

void cf_sessions_end_all(struct cf_sessions *all, enum cf_reason reason, const char *evidence, int64_t grace_ns)
{
    size_t cursor = 0;
    cf_handle handle;
    while (cf_core_next(all->server->core, &cursor, &handle))
        cf_sessions_end(all, handle, reason, evidence, grace_ns);
    cf_sessions_unpark(all);
}

/* The shell went by itself: `exit`, the end of an exec'd program, or a signal. */
void cf_sessions_on_left(struct cf_shell *shell, void *arg, int wait_status)
{
    (void)shell;
    struct session *s = arg;
    struct cf_server *server = s->all->server;
    char evidence[CF_EVIDENCE_MAX];
    const char *what = s->agent != NULL ? "agent" : "shell";
    bool exited = WIFEXITED(wait_status), closed = s->agent != NULL ? cf_sessions_agent_is_done(wait_status) : exited;
    if (exited)
        snprintf(evidence, sizeof evidence, "the %s exited with status %d", what, WEXITSTATUS(wait_status));
    else
        snprintf(evidence, sizeof evidence, "the %s was killed by signal %d (%s)", what, WTERMSIG(wait_status),
                 strsignal(WTERMSIG(wait_status)));
    if (!s->started && s->failure.code == 0)
        cf_error_set(&s->failure, CF_E_SPAWN, NULL, "%s before it was ready", evidence);
    if (cf_sessions_restarts(s) && cf_sessions_restart(s, evidence))
        return;
    if (s->agent != NULL && cf_sessions_agent_left(s, wait_status))
        return;
    cf_core_left(server->core, s->handle, closed ? CF_STATE_CLOSED : CF_STATE_FAILED, evidence);
    cf_sessions_end(s->all, s->handle, closed ? CF_REASON_CLOSED : CF_REASON_FAILED, evidence, server->settings.grace);
}

void cf_sessions_on_failed(struct cf_shell *shell, void *arg, const struct cf_error *why)
{
    (void)shell;
    struct session *s = arg;
    if (!s->started && s->failure.code == 0)
        s->failure = *why;
    if (s->agent != NULL && cf_sessions_agent_failed(s, why))
        return;
    cf_core_left(s->all->server->core, s->handle, CF_STATE_FAILED, why->text);
    cf_sessions_end(s->all, s->handle, CF_REASON_FAILED, why->text, 0);
}

static const char *cause_text(uint32_t cause)
{
    switch (cause) {
    case CF_CAUSE_LEASE: return "its lease ran out";
    case CF_CAUSE_SHUTDOWN: return "the keeper was told to stop";
    default: return "the keeper ended it";
    }
}

static const struct cf_tomb *bury(struct session *s, const struct cf_session *row, const struct cf_wire_ended *report)
{
    struct cf_now now = cf_clock_now();
    struct cf_buf last;
    char ladder[CF_LADDER_TEXT_MAX];
    struct cf_tomb tomb = {
        .kind = row->kind, .reason = row->reason, .created_wall_ns = s->created_wall_ns, .ended_wall_ns = now.wall_ns,
        .ended_mono_ns = now.mono_ns, .idle_for_ns = s->idle_for_ns, .message_count = row->message_count,
        .hold = cf_shell_hold(s->shell), .rung = report->rung, .has_status = report->rung != CF_RUNG_UNKNOWN,
        .wait_status = report->wait_status, .killed = report->killed, .took_ms = report->took_ms,
        .closed_ms = report->closed_ms, .interrupted_ms = report->interrupted_ms, .killed_ms = report->killed_ms,
    };
    memcpy(tomb.id, row->id, sizeof tomb.id);
    memcpy(tomb.workspace, row->workspace, sizeof tomb.workspace);
    memcpy(tomb.evidence, s->evidence, sizeof tomb.evidence);
    if (report->rung == CF_RUNG_EMPTY && cf_shell_was_closed(s->shell)) {
        tomb.rung = CF_RUNG_CLOSED;     /* it was gone before the keeper had heard of it */
        tomb.closed_ms = 0;
    }
    cf_sessions_agent_tomb(s, &tomb);
    cf_buf_init(&last, CF_LAST_OUTPUT_MAX);
    cf_journal_last(cf_shell_journal(s->shell), CF_LAST_OUTPUT_MAX - 1, &last);
    tomb.last_output = cf_buf_take(&last, &tomb.last_output_len);
    cf_log(CF_LOG_INFO, "session %s ended: %s, %s, %u killed, %lld ms (%s)", row->id, cf_reason_name(row->reason),
           cf_rung_name(tomb.rung), report->killed, (long long)report->took_ms, cf_tomb_ladder(&tomb, ladder));
    cf_ledger_ended(s->all->server->ledger, &tomb);
    return cf_tombs_add(s->all->server->tombs, &tomb);
}

void cf_sessions_bury_lost(struct session *s, const char *evidence)
{
    struct cf_now now = cf_clock_now();
    struct cf_session row;
    if (!cf_core_get(s->all->server->core, s->handle, now.mono_ns, &row))
        return;
    struct cf_tomb tomb = { .kind = row.kind, .reason = CF_REASON_LOST, .created_wall_ns = s->created_wall_ns, .ended_wall_ns = now.wall_ns,
                            .ended_mono_ns = now.mono_ns, .idle_for_ns = now.mono_ns - row.last_used_ns, .message_count = row.message_count,
                            .rung = CF_RUNG_UNKNOWN, .closed_ms = -1, .interrupted_ms = -1, .killed_ms = -1 };
    (void)cf_core_ending(s->all->server->core, s->handle, CF_REASON_LOST);
    memcpy(tomb.id, row.id, sizeof tomb.id);
    memcpy(tomb.workspace, row.workspace, sizeof tomb.workspace);
    snprintf(tomb.evidence, sizeof tomb.evidence, "%s", evidence);
    cf_log(CF_LOG_ERROR, "session %s is lost: %s", row.id, evidence);
    cf_ledger_audit_end(s->all->server->ledger, row.id, CF_REASON_LOST, evidence);
    cf_ledger_ended(s->all->server->ledger, &tomb);
    (void)cf_tombs_add(s->all->server->tombs, &tomb);
}

static void tell(struct session *s, const struct cf_tomb *tomb)
{
    while (s->waiters != NULL) {
        struct waiter *w = s->waiters;
        s->waiters = w->next;
        w->gone(w->arg, tomb);
        free(w);
    }
}

/* One that the keeper ended of its own accord has no decision of ours, but the keeper says how long it took. */
static void measure(const struct session *s, const struct cf_wire_ended *report)
{
    struct cf_metrics *metrics = &s->all->server->metrics;
    int64_t now_ns = cf_clock_now().mono_ns;
    if (s->started)
        cf_metrics_observe(metrics, CF_HISTOGRAM_end_duration,
                           s->end_since_ns > 0 ? now_ns - s->end_since_ns : (int64_t)report->took_ms * CF_NS_PER_MS);
    const struct cf_exec *running = cf_shell_running(s->shell);
    if (running != NULL)
        cf_metrics_observe(metrics, CF_HISTOGRAM_exec_duration, now_ns - running->started_mono_ns);
}

void cf_sessions_close_journal(struct cf_journal *journal, const struct cf_tomb *tomb)
{
    struct cf_buf text;
    struct cf_jsonw w;
    cf_buf_init(&text, 16u * CF_LAST_OUTPUT_MAX);
    cf_jsonw_init(&w, &text);
    if (tomb != NULL)
        cf_tomb_json(tomb, &w, NULL);
    if (text.failed)
        cf_buf_reset(&text);
    cf_journal_close(journal, &text);
    cf_buf_free(&text);
}

/* Only now is it ended. */
void cf_sessions_gone(struct session *s, const struct cf_wire_ended *report)
{
    struct cf_sessions *all = s->all;
    struct cf_core *core = all->server->core;
    struct cf_session row = { 0 };
    const struct cf_tomb *tomb = NULL;
    if (cf_core_ending(core, s->handle, CF_REASON_LOST))
        snprintf(s->evidence, sizeof s->evidence, "%s", cause_text(report->cause));
    bool found = cf_core_get(core, s->handle, cf_clock_now().mono_ns, &row);
    if (found && s->started && row.reason == CF_REASON_LOST)
        cf_ledger_audit_end(all->server->ledger, row.id, row.reason, s->evidence);
    if (s->evicted)
        all->evicting--;
    measure(s, report);
    if (s->started)                     /* an earlier server may have come so far */
        tomb = cf_tombs_find(all->server->tombs, row.id, cf_clock_now().mono_ns);
    if (s->started && tomb == NULL)
        tomb = bury(s, &row, report);
    else if (s->started)
        cf_log(CF_LOG_INFO, "session %s had ended: %s", row.id, cf_reason_name(tomb->reason));
    else
        cf_core_counts(core)->sessions_failed++;
    cf_sessions_close_journal(cf_shell_journal(s->shell), tomb);
    if (tomb != NULL)
        cf_archive_add(all->server->archive, tomb->id, cf_shell_journal(s->shell), tomb->ended_mono_ns);
    cf_core_gone(core, s->handle);
    if (s->exec.done != NULL)
        s->exec.lost(s->exec_arg, tomb);
    tell(s, tomb);
    if (s->created != NULL) {
        if (s->failure.code == 0)
            cf_error_set(&s->failure, row.reason == CF_REASON_SHUTDOWN ? CF_E_SHUTTING_DOWN : CF_E_GONE, NULL,
                         "the session was ended while it started: %s", s->evidence);
        s->created(s->created_arg, 0, &s->failure);
    }
    cf_shells_drop(all->shells, s->shell);
    cf_sessions_remove(all, s);
    cf_sessions_unpark(all);
}

/* Nothing is left of this shell, says the keeper. */
void cf_sessions_on_ended(struct cf_shell *shell, void *arg, const struct cf_wire_ended *report)
{
    (void)shell;
    struct session *s = arg;
    if (s->old_shells > 0)
        s->report = *report;            /* the last of those ends it */
    else
        cf_sessions_gone(s, report);
}
