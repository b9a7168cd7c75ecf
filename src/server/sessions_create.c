/* sessions_create.c: from a request to a session that takes commands. */
#include "server/sessions.h"

#include "base/fd.h"
#include "base/log.h"
#include "server/driver.h"
#include "server/pool.h"
#include "server/sessions_private.h"
#include "server/shells.h"
#include "server/workspace.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Creates that may wait for an emergency cleanup at a time. */
#define PARKED_MAX 1024
/* Names and values of `env` in one create. */
#define ENV_BYTES_MAX (128u * 1024u)

/* bash_<workspace>_<suffix> (S0.12); 12 characters of 5 random bits. */
static int make_id(char *ret, size_t size, const struct cf_create *what)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
    unsigned char random[12];
    char suffix[sizeof random + 1] = "";
    if (getrandom(random, sizeof random, 0) != sizeof random)
        return -1;
    for (size_t i = 0; i < sizeof random; i++)
        suffix[i] = letters[random[i] % 32];
    suffix[sizeof random] = '\0';
    snprintf(ret, size, "%s_%s_%s", cf_kind_name(what->kind), what->workspace, suffix);
    return 0;
}

static bool env_name_ok(const char *name)
{
    if (!isalpha((unsigned char)name[0]) && name[0] != '_')
        return false;
    for (; *name != '\0'; name++)
        if (!isalnum((unsigned char)*name) && *name != '_')
            return false;
    return true;
}

/* Names and size of what the caller asked for, before anything is made for it. */
static int check_env(json_t *env, struct cf_error *error)
{
    size_t bytes = 0;
    const char *name;
    json_t *value;
    json_object_foreach(env, name, value) {
        if (!env_name_ok(name))
            return cf_error_set(error, CF_E_INVALID, "env",
                                "\"env\" has the name \"%.64s\", which is not of the form [A-Za-z_][A-Za-z0-9_]*",
                                name);
        bytes += strlen(name) + json_string_length(value);
    }
    if (bytes > ENV_BYTES_MAX)
        return cf_error_set(error, CF_E_TOO_LARGE, "env", "\"env\" must have at most %u bytes, not %zu", ENV_BYTES_MAX,
                            bytes);
    return 0;
}

/* The text that makes a shell this session's: a warm one goes to its folder first. */
static int make_setup(struct session *s, const struct cf_create *what, struct cf_error *error)
{
    struct cf_buf text;
    const char *name;
    json_t *value;
    cf_buf_init(&text, 8 * ENV_BYTES_MAX);      /* a quote in a value takes four bytes */
    cf_buf_puts(&text, "{ :");
    if (s->warm) {
        char path[PATH_MAX];
        if (cf_workspace_path(s->cwd_fd, path) < 0) {
            cf_buf_free(&text);
            return cf_error_set(error, CF_E_WORKSPACE, "workspace", "the workspace folder has no path");
        }
        cf_buf_puts(&text, " && \\builtin cd -- ");
        cf_driver_quote(&text, path);
        cf_buf_puts(&text, " && \\builtin unset OLDPWD");
    }
    json_object_foreach(what->env, name, value) {
        cf_buf_printf(&text, " && \\builtin export %s=", name);
        cf_driver_quote(&text, json_string_value(value));
    }
    cf_buf_puts(&text, "; }");
    if (text.failed) {
        cf_buf_free(&text);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    s->setup = cf_buf_take(&text, NULL);
    return 0;
}

static void answer_created(struct session *s, const struct cf_error *error)
{
    cf_created *created = s->created;
    s->created = NULL;
    if (created != NULL)
        created(s->created_arg, error == NULL ? s->handle : 0, error);
}

/* The session cannot start: whoever asked is told once its shell is gone for sure. */
static void fail_start(struct session *s, const struct cf_error *why)
{
    s->failure = *why;
    cf_log(CF_LOG_WARNING, "session could not be started: %s", why->text);
    cf_sessions_end(s->all, s->handle, CF_REASON_FAILED, why->text, 0);
}

/* From now on it is somebody's; a shell that is still on its way to its folder takes its first command when it is
 * there. */
static void become_active(struct session *s)
{
    struct cf_now now = cf_clock_now();
    struct cf_session row;
    struct cf_sessions *all = s->all;
    cf_handle handle = s->handle;
    if (s->started) {
        s->restarting = false;
        return;
    }
    s->started = true;
    cf_core_started(s->all->server->core, s->handle, now.mono_ns);
    cf_session_keep(s);
    cf_metrics_observe(&s->all->server->metrics, CF_HISTOGRAM_create_duration, now.mono_ns - s->asked_ns);
    if (cf_core_get(s->all->server->core, s->handle, now.mono_ns, &row))
        cf_log(CF_LOG_INFO, "session %s started (pid %d, %s)", row.id, cf_shell_pid(s->shell),
               cf_hold_name(cf_shell_hold(s->shell)));
    answer_created(s, NULL);
    cf_sessions_record(all, handle);
}

/* Whether the shell is where and what its session was promised. */
static int check_setup(struct session *s, int exit_code, struct cf_error *error)
{
    struct cf_buf said;
    bool there = !s->warm || cf_workspace_stands_in(s->cwd_fd, cf_shell_pid(s->shell));
    if (!there)
        return cf_error_set(error, CF_E_WORKSPACE, "workspace",
                            "the workspace folder was moved while the session started");
    if (exit_code == 0)
        return 0;
    cf_buf_init(&said, 256);
    cf_journal_last(cf_shell_journal(s->shell), 255, &said);
    cf_error_set(error, CF_E_INVALID, "env", "the shell could not be set up: %s",
                 said.len > 0 ? said.data : "no message");
    cf_buf_free(&said);
    return CF_E_INVALID;
}

static void on_prepared(struct cf_shell *shell, void *arg, int exit_code)
{
    struct session *s = arg;
    struct cf_error why;
    int code = check_setup(s, exit_code, &why);
    free(s->setup);
    s->setup = NULL;
    cf_fd_close(&s->cwd_fd);
    cf_session_keep(s);
    if (code != 0 && s->started)
        cf_sessions_on_failed(shell, s, &why);
    else if (code != 0)
        fail_start(s, &why);
    else if (!s->started || s->restarting)
        become_active(s);
}

/* What the caller asked for of the environment may fail, and is waited for; that a warm shell goes to its folder is
 * not. */
static void on_ready(struct cf_shell *shell, void *arg)
{
    struct session *s = arg;
    struct cf_error error;
    if (s->setup == NULL) {
        cf_fd_close(&s->cwd_fd);
        become_active(s);
    } else if (cf_shell_prepare(shell, s->setup, &error) != 0) {
        fail_start(s, &error);
    } else if (!s->has_env) {
        become_active(s);
    }
}

const struct cf_shell_events *cf_sessions_events(void)
{
    static const struct cf_shell_events events = { .ready = on_ready, .prepared = on_prepared,
                                                   .left = cf_sessions_on_left, .ended = cf_sessions_on_ended,
                                                   .failed = cf_sessions_on_failed, .room = cf_sessions_on_room };
    return &events;
}

/* The next server learns whose it is. */
static int take_shell(struct session *s, int code)
{
    if (code == 0) {
        cf_shell_belongs(s->shell, s->number);
        if (!s->restarting)             /* else it is kept when the old one's journal is its own */
            cf_session_keep(s);
    }
    return code;
}

/* A shell with a terminal is made for its session: what the session wants of it, it reads at its start. */
static int start_terminal(struct session *s, const struct cf_create *what, struct cf_error *error)
{
    s->warm = s->has_env = false;
    s->cols = what->cols;
    s->rows = what->rows;
    int code = json_object_size(what->env) > 0 ? make_setup(s, what, error) : 0;
    const struct cf_terminal terminal = { .cols = what->cols, .rows = what->rows, .setup = s->setup };
    if (code == 0)
        code = take_shell(s, cf_shells_start(s->all->shells, s->cwd_fd, &terminal, cf_sessions_events(), s, &s->shell, error));
    free(s->setup);
    s->setup = NULL;
    if (code == 0 && cf_sessions_open_terminal(s, error) != 0)
        fail_start(s, error);           /* the shell is this session's already: it ends with it */
    return code;
}

int cf_sessions_give_shell(struct session *s, const struct cf_create *what, struct cf_error *error)
{
    struct cf_server *server = s->all->server;
    cf_fd_close(&s->cwd_fd);
    free(s->setup);
    s->setup = NULL;
    int code = cf_workspace_open(server->workspace_fd, what->workspace, what->cwd, server->host.uid, server->host.gid,
                                 &s->cwd_fd, error);
    if (code != 0)
        return code;
    if (s->agent != NULL)
        return take_shell(s, cf_sessions_agent_start(s, error));
    if (what->cols > 0)
        return start_terminal(s, what, error);
    struct cf_shell *shell = cf_pool_take(server->pool);
    s->warm = shell != NULL;
    s->has_env = json_object_size(what->env) > 0;
    if (s->warm || s->has_env)
        code = make_setup(s, what, error);
    if (!s->warm && code == 0)
        return take_shell(s, cf_shells_start(s->all->shells, s->cwd_fd, NULL, cf_sessions_events(), s, &s->shell, error));
    if (!s->warm)
        return code;
    s->shell = shell;
    cf_shell_adopt(shell, cf_sessions_events(), s);
    (void)take_shell(s, 0);
    if (code != 0)
        fail_start(s, error);           /* the shell is this session's already: it ends with it */
    else
        on_ready(shell, s);
    return 0;
}

/* Without memory for what a fresh shell would need, there will be none. */
static void keep_for_restart(struct session *s, const struct cf_create *what)
{
    int64_t restarts = s->all->server->settings.shell_restarts;
    if (restarts == 0 || what->agent != NULL || (what->cwd != NULL && (s->cwd = strdup(what->cwd)) == NULL))
        return;
    s->env = json_incref(what->env);
    s->restarts_left = restarts;
}

static int admit(struct cf_sessions *all, const struct cf_create *what, struct cf_now now, cf_created *created,
                 void *arg, struct cf_error *error)
{
    char id[CF_ID_MAX];
    struct cf_admission want = { .id = id, .workspace = what->workspace, .kind = what->kind,
                                 .idle_ns = what->idle_ns, .age_ns = what->age_ns };
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL || make_id(id, sizeof id, what) < 0) {
        free(s);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    *s = (struct session){ .all = all, .cwd_fd = -1, .created_wall_ns = now.wall_ns, .created_mono_ns = now.mono_ns,
                            .asked_ns = what->asked_ns > 0 ? what->asked_ns : now.mono_ns };
    int code = cf_core_admit(all->server->core, &want, now.mono_ns, &s->handle, error);
    if (code == 0 && cf_sessions_reserve(all, (uint32_t)s->handle) < 0) {
        cf_core_gone(all->server->core, s->handle);
        code = cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    if (code != 0) {
        free(s);
        return code;
    }
    all->by_slot[(uint32_t)s->handle] = s;
    s->created = created;
    s->created_arg = arg;
    cf_handle handle = s->handle;
    keep_for_restart(s, what);
    s->number = cf_vault_number(cf_keep_vault(all->server->host.keep));
    if (what->agent != NULL)
        code = cf_sessions_agent_make(s, what, error);
    cf_session_keep(s);
    if (code == 0)
        code = cf_sessions_give_shell(s, what, error);
    if (code != 0) {
        cf_core_counts(all->server->core)->sessions_failed++;
        cf_core_gone(all->server->core, handle);
        cf_sessions_remove(all, s);
    }
    return code;
}

/* S3.5: ends what the emergency limits allow.  Returns whether anything is going. */
static bool evict(struct cf_sessions *all, struct cf_now now)
{
    struct cf_due due[64];
    size_t n;
    cf_core_counts(all->server->core)->emergency_runs++;
    cf_sessions_touch_at_work(all, now);
    while ((n = cf_core_due_emergency(all->server->core, now.mono_ns, due, 64)) > 0) {
        cf_log(CF_LOG_WARNING, "emergency cleanup at max_sessions %lld: ending %zu sessions",
               (long long)all->server->settings.max_sessions, n);
        for (size_t i = 0; i < n; i++) {
            char evidence[CF_EVIDENCE_MAX];
            snprintf(evidence, sizeof evidence, "emergency cleanup at max_sessions %lld: idle for %.3f s",
                     (long long)all->server->settings.max_sessions, (double)due[i].idle_for_ns / 1e9);
            struct session *s = cf_sessions_get(all, due[i].handle);
            if (s != NULL && !s->evicted) {
                s->evicted = true;
                all->evicting++;
            }
            cf_sessions_end(all, due[i].handle, due[i].reason, evidence, 0);
        }
    }
    return all->evicting > 0;
}

static int park(struct cf_sessions *all, const struct cf_create *what, struct cf_now now, cf_created *created,
                void *arg)
{
    struct parked *p = all->parked_count < PARKED_MAX ? calloc(1, sizeof *p) : NULL;
    if (p == NULL)
        return -1;
    *p = (struct parked){ .what = *what, .created = created, .arg = arg };
    p->what.asked_ns = now.mono_ns;
    *all->parked_last = p;
    all->parked_last = &p->next;
    all->parked_count++;
    return 0;
}

void cf_sessions_create(struct cf_sessions *all, const struct cf_create *what, struct cf_now now,
                        cf_created *created, void *arg)
{
    struct cf_error error;
    int code;
    if (all->server->shutting_down)
        code = cf_error_set(&error, CF_E_SHUTTING_DOWN, NULL, "the server is shutting down");
    else if (!cf_workspace_name_ok(what->workspace))
        code = cf_error_set(&error, CF_E_INVALID, "workspace",
                            "\"workspace\" must be 1 to 64 of A-Z a-z 0-9 . _ - and must not begin with a dot");
    else if ((code = check_env(what->env, &error)) == 0)
        code = admit(all, what, now, created, arg, &error);
    if (code == CF_E_TOO_MANY_SESSIONS && evict(all, now)) {
        if (park(all, what, now, created, arg) == 0)
            return;
        code = cf_error_set(&error, CF_E_TOO_MANY, NULL, "%u creates wait for an emergency cleanup already",
                            all->parked_count);
    }
    if (code != 0)
        created(arg, 0, &error);
}

void cf_sessions_unpark(struct cf_sessions *all)
{
    while (all->parked_first != NULL) {
        struct parked *p = all->parked_first;
        struct cf_error error;
        int code = all->server->shutting_down
                       ? cf_error_set(&error, CF_E_SHUTTING_DOWN, NULL, "the server is shutting down")
                       : admit(all, &p->what, cf_clock_now(), p->created, p->arg, &error);
        if (code == CF_E_TOO_MANY_SESSIONS && all->evicting > 0)
            return;
        all->parked_first = p->next;
        if (p->next == NULL)
            all->parked_last = &all->parked_first;
        all->parked_count--;
        if (code != 0)
            p->created(p->arg, 0, &error);
        free(p);
    }
}

