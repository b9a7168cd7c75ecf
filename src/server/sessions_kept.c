/* sessions_kept.c: a session as the next server finds it. */
#include "server/sessions_kept.h"

#include "base/log.h"
#include "server/attach.h"
#include "server/journal_kept.h"
#include "server/sessions_private.h"
#include "server/shells.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Behind it: cwd, env (JSON), setup; each as long as said here, plus 1 when it is there at all.  Then what an agent's has beside. */
struct kept_session {
    int64_t last_used_ns;               /* these two change in place */
    uint64_t message_count;
    int64_t created_wall_ns, created_mono_ns, idle_ns, age_ns, restarts_left, idle_for_ns, end_since_ns;
    uint64_t shell;                     /* key of the one that it has now */
    uint32_t kind, state, reason, cols, rows;
    uint32_t cwd_len, env_len, setup_len, agent_len;
    uint8_t started, evicted, has_env, restarting, use, pad[7];
    char id[CF_ID_MAX], workspace[CF_WORKSPACE_MAX + 7], evidence[CF_EVIDENCE_MAX];
};

static void append(struct cf_buf *whole, const char *text, uint32_t *ret_len)
{
    size_t len = text != NULL ? strlen(text) + 1 : 0;
    *ret_len = (uint32_t)len;
    if (len > 0)
        cf_buf_append(whole, text, len);
}

static void describe(const struct session *s, const struct cf_session *row, struct kept_session *k)
{
    *k = (struct kept_session){
        .last_used_ns = row->last_used_ns, .message_count = row->message_count, .created_wall_ns = s->created_wall_ns, .created_mono_ns = s->created_mono_ns,
        .idle_ns = row->idle_own ? row->idle_ns : 0, .age_ns = row->age_own ? row->age_ns : 0, .restarts_left = s->restarts_left,
        .idle_for_ns = s->idle_for_ns, .end_since_ns = s->end_since_ns, .shell = s->shell != NULL ? cf_shell_key(s->shell) : 0, .kind = row->kind,
        .state = row->state, .reason = row->reason, .cols = s->cols, .rows = s->rows, .started = s->started, .evicted = s->evicted,
        .has_env = s->has_env, .restarting = s->restarting, .use = (uint8_t)s->use,
    };
    memcpy(k->id, row->id, sizeof k->id);
    memcpy(k->workspace, row->workspace, CF_WORKSPACE_MAX);
    memcpy(k->evidence, s->evidence, sizeof k->evidence);
}

void cf_session_keep(struct session *s)
{
    struct cf_vault *vault = cf_keep_vault(s->all->server->host.keep);
    struct cf_session row;
    struct kept_session k;
    struct cf_buf whole;
    if (vault == NULL || !cf_core_get(s->all->server->core, s->handle, 0, &row))
        return;
    describe(s, &row, &k);
    char *env = s->env != NULL ? json_dumps(s->env, JSON_COMPACT) : NULL;
    cf_buf_init(&whole, CF_VAULT_RECORD_MAX - 64);
    cf_buf_append(&whole, (const char *)&k, sizeof k);
    append(&whole, s->cwd, &k.cwd_len);
    append(&whole, env, &k.env_len);
    append(&whole, s->setup, &k.setup_len);
    size_t before = whole.len;
    cf_sessions_agent_keep(s, &whole);
    k.agent_len = (uint32_t)(whole.len - before);
    free(env);
    if (!whole.failed) {
        memcpy(whole.data, &k, sizeof k);
        (void)cf_vault_put(vault, &s->kept, CF_VAULT_SESSION, s->number, 0, whole.data, whole.len);
    }
    cf_buf_free(&whole);
}

void cf_session_keep_touch(const struct session *s, int64_t now_ns, bool message)
{
    struct kept_session *k = cf_vault_data(cf_keep_vault(s->all->server->host.keep), s->kept);
    if (k == NULL)
        return;
    if (now_ns > k->last_used_ns)
        __atomic_store_n(&k->last_used_ns, now_ns, __ATOMIC_RELEASE);
    __atomic_store_n(&k->use, (uint8_t)s->use, __ATOMIC_RELEASE);
    if (message)
        __atomic_store_n(&k->message_count, k->message_count + 1, __ATOMIC_RELEASE);
}

/* ---- the next server ---- */

static bool fits(const struct cf_vault_record *record)
{
    const struct kept_session *k = record->data;
    return record->len >= sizeof *k && record->len == sizeof *k + k->cwd_len + k->env_len + k->setup_len + k->agent_len && memchr(k->id, '\0', sizeof k->id) != NULL &&
           memchr(k->workspace, '\0', sizeof k->workspace) != NULL && memchr(k->evidence, '\0', sizeof k->evidence) != NULL;
}

/* The limits of today hold for the next admission, not for who is here already. */
static int admit_again(struct cf_core *core, const struct kept_session *k, cf_handle *ret_handle, struct cf_error *error)
{
    const struct cf_limits limits = *cf_core_limits(core), none = { UINT32_MAX, UINT32_MAX, UINT32_MAX, limits.emergency };
    const struct cf_admission want = { .id = k->id, .workspace = k->workspace, .kind = k->kind, .idle_ns = k->idle_ns, .age_ns = k->age_ns };
    cf_core_limits_set(core, &none);
    int code = cf_core_admit(core, &want, k->created_mono_ns, ret_handle, error);
    cf_core_limits_set(core, &limits);
    if (code == 0 && k->started) {
        cf_core_started(core, *ret_handle, k->created_mono_ns);
        cf_core_resume(core, *ret_handle, k->last_used_ns, k->message_count);
    }
    if (code == 0 && k->state == CF_STATE_ENDING)
        (void)cf_core_ending(core, *ret_handle, (enum cf_reason)k->reason);
    return code;
}

static char *text_of(const char *at, uint32_t len)
{
    return len > 0 ? strndup(at, len - 1) : NULL;
}

int cf_sessions_restore(struct cf_sessions *all, const struct cf_vault_record *record, struct cf_error *error)
{
    const struct kept_session *k = record->data;
    struct session *s = fits(record) ? calloc(1, sizeof *s) : NULL;
    if (s == NULL)
        return cf_error_set(error, fits(record) ? CF_E_NO_MEMORY : CF_E_INTERNAL, NULL, fits(record) ? "out of memory" : "a record that is none");
    *s = (struct session){ .all = all, .cwd_fd = -1, .created_wall_ns = k->created_wall_ns, .created_mono_ns = k->created_mono_ns, .asked_ns = k->created_mono_ns,
                           .started = k->started, .has_env = k->has_env, .restarts_left = k->restarts_left, .restarting = k->restarting, .cols = k->cols, .rows = k->rows,
                           .idle_for_ns = k->idle_for_ns, .end_since_ns = k->end_since_ns, .number = record->key, .kept = record->ref,
                           .use = k->use < CF_USES ? (enum cf_use)k->use : CF_USE_CREATED };
    const char *text = (const char *)(k + 1), *agent = text + k->cwd_len + k->env_len + k->setup_len;
    int code = k->agent_len > 0 ? cf_sessions_agent_restore(s, agent, k->agent_len, error) : 0;
    if (code == 0)
        code = admit_again(all->server->core, k, &s->handle, error);
    if (code == 0 && cf_sessions_reserve(all, (uint32_t)s->handle) < 0) {
        cf_core_gone(all->server->core, s->handle);
        code = cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    if (code != 0) {
        cf_sessions_agent_free(s);
        free(s);
        return code;
    }
    memcpy(s->evidence, k->evidence, sizeof s->evidence);
    s->cwd = text_of(text, k->cwd_len);
    s->env = k->env_len > 0 ? json_loads(text + k->cwd_len, JSON_REJECT_DUPLICATES, NULL) : NULL;
    s->setup = text_of(text + k->cwd_len + k->env_len, k->setup_len);
    all->by_slot[(uint32_t)s->handle] = s;
    return 0;
}

static struct session *by_number(const struct cf_sessions *all, uint64_t number)
{
    for (uint32_t i = 0; i < all->slot_count; i++)
        if (all->by_slot[i] != NULL && all->by_slot[i]->number == number)
            return all->by_slot[i];
    return NULL;
}

bool cf_sessions_restore_shell(struct cf_sessions *all, const struct cf_vault_record *record, struct cf_heir *heir, struct cf_journal *journal)
{
    struct session *s = by_number(all, cf_shell_kept_session(record));
    const struct kept_session *k = s != NULL ? cf_vault_data(cf_keep_vault(all->server->host.keep), s->kept) : NULL;
    struct cf_error error;
    struct cf_shell *shell;
    if (k == NULL)
        return false;
    bool current = k->shell == record->key;
    const struct cf_shell_events *events = !current ? cf_sessions_old_events() : cf_sessions_agent_waits(s) ? cf_sessions_agent_old_events() : cf_sessions_events();
    int code = cf_shell_restore(&all->server->host, record, heir, journal, events, cf_sessions_on_exec_done, s, &shell, &error);
    if (shell == NULL || cf_shells_adopt(all->shells, shell) < 0) {
        if (shell != NULL)
            cf_shell_disown(shell);     /* the record is the caller's to drop */
        cf_shell_free(&shell);
        return false;
    }
    if (current)
        s->shell = shell;
    else
        s->old_shells++;
    if (code == 0 && current)
        code = cf_sessions_open_terminal(s, &error);
    if (code != 0 && current)
        cf_sessions_end(all, s->handle, CF_REASON_FAILED, error.text, 0);
    if (!current)                       /* the dead may not have come so far */
        cf_shell_end(shell, all->server->settings.grace);
    return true;
}

/* One that nobody was told of does not go on: nobody would know its name. */
static void resume(struct session *s)
{
    struct cf_core *core = s->all->server->core;
    struct cf_session row;
    int64_t grace = s->all->server->settings.grace;
    (void)cf_core_get(core, s->handle, 0, &row);
    if (s->shell == NULL) {             /* it had none yet, of which nobody was told; or it cannot be had */
        if (s->started)
            cf_sessions_bury_lost(s, "its shell could not be taken over by the next server");
        else
            cf_core_counts(core)->sessions_failed++;
        cf_core_gone(core, s->handle);
        cf_sessions_remove(s->all, s);
    } else if (!s->started) {
        cf_sessions_end(s->all, s->handle, CF_REASON_FAILED, "the server was started anew while the session started", 0);
    } else if (row.state == CF_STATE_ENDING) {
        cf_shell_resume(s->shell);
        cf_shell_end(s->shell, cf_shell_end_grace(s->shell, grace));
    } else if (s->agent != NULL) {
        cf_sessions_agent_resume(s);
    } else {
        if (s->old_shells == 0)
            cf_journal_lose(cf_shell_journal(s->shell), cf_shell_running(s->shell));
        if (cf_shell_running(s->shell) != NULL)
            cf_core_busy(core, s->handle, true, 0);     /* since before now: it is no touch */
        cf_shell_resume(s->shell);
    }
}

void cf_sessions_resume(struct cf_sessions *all)
{
    for (uint32_t i = 0; i < all->slot_count; i++)
        if (all->by_slot[i] != NULL)
            resume(all->by_slot[i]);
}
