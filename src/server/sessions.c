/* sessions.c: admitting, starting and using sessions. */
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

static int reserve_slot(struct cf_sessions *all, uint32_t slot)
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

/* The text that makes a shell this session's: a warm one goes to its folder first. */
static int make_setup(struct session *s, const struct cf_create *what, struct cf_error *error)
{
    struct cf_buf text;
    const char *name;
    json_t *value;
    cf_buf_init(&text, CF_WIRE_ARGS_MAX);
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
        if (!env_name_ok(name)) {
            cf_buf_free(&text);
            return cf_error_set(error, CF_E_INVALID, "env", "\"env\" has a name that is not of the form [A-Za-z_][A-Za-z0-9_]*");
        }
        cf_buf_printf(&text, " && \\builtin export %s=", name);
        cf_driver_quote(&text, json_string_value(value));
    }
    cf_buf_puts(&text, "; }");
    if (text.failed) {
        cf_buf_free(&text);
        return cf_error_set(error, CF_E_TOO_LARGE, "env", "\"env\" is over %u bytes", CF_WIRE_ARGS_MAX);
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

/* From now on it is somebody's; a shell that is still on its way to its folder takes its first command when it is there. */
static void become_active(struct session *s)
{
    struct cf_now now = cf_clock_now();
    struct cf_session row;
    s->started = true;
    cf_core_started(s->all->server->core, s->handle, now.mono_ns);
    if (cf_core_get(s->all->server->core, s->handle, now.mono_ns, &row))
        cf_log(CF_LOG_INFO, "session %s started (pid %d, %s)", row.id, cf_shell_pid(s->shell), cf_hold_name(cf_shell_hold(s->shell)));
    answer_created(s, NULL);
}

/* Whether the shell is where and what its session was promised. */
static int check_setup(struct session *s, int exit_code, struct cf_error *error)
{
    struct cf_buf said;
    bool there = !s->warm || cf_workspace_stands_in(s->cwd_fd, cf_shell_pid(s->shell));
    if (!there)
        return cf_error_set(error, CF_E_WORKSPACE, "workspace", "the workspace folder was moved while the session started");
    if (exit_code == 0)
        return 0;
    cf_buf_init(&said, 256);
    cf_shell_last_output(s->shell, 255, &said);
    cf_error_set(error, CF_E_INVALID, "env", "the shell could not be set up: %s", said.len > 0 ? said.data : "no message");
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
    if (code != 0 && s->started)
        cf_sessions_on_failed(shell, s, &why);
    else if (code != 0)
        fail_start(s, &why);
    else if (!s->started)
        become_active(s);
}

/* What the caller asked for of the environment may fail, and is waited for; that a warm shell goes to its folder is not. */
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
    static const struct cf_shell_events events = { .ready = on_ready, .prepared = on_prepared, .left = cf_sessions_on_left,
                                                   .ended = cf_sessions_on_ended, .failed = cf_sessions_on_failed };
    return &events;
}

/* Gives an admitted session its shell, warm when there is one. */
static int start(struct session *s, const struct cf_create *what, struct cf_error *error)
{
    struct cf_server *server = s->all->server;
    int code = cf_workspace_open(server->workspace_fd, what->workspace, what->cwd, server->host.uid, server->host.gid,
                                 &s->cwd_fd, error);
    if (code != 0)
        return code;
    struct cf_shell *shell = cf_pool_take(server->pool);
    s->warm = shell != NULL;
    s->has_env = json_object_size(what->env) > 0;
    if (s->warm || s->has_env)
        code = make_setup(s, what, error);
    if (!s->warm && code == 0)
        return cf_shells_start(s->all->shells, s->cwd_fd, cf_sessions_events(), s, &s->shell, error);
    if (!s->warm)
        return code;
    s->shell = shell;
    cf_shell_adopt(shell, cf_sessions_events(), s);
    if (code != 0)
        fail_start(s, error);           /* the shell is this session's already: it ends with it */
    else
        on_ready(shell, s);
    return 0;
}

static int admit(struct cf_sessions *all, const struct cf_create *what, struct cf_now now, cf_created *created, void *arg,
                 struct cf_error *error)
{
    char id[CF_ID_MAX];
    struct cf_admission want = { .id = id, .workspace = what->workspace, .kind = what->kind,
                                 .idle_ns = what->idle_ns, .age_ns = what->age_ns };
    struct session *s = calloc(1, sizeof *s);
    if (s == NULL || make_id(id, sizeof id, what) < 0) {
        free(s);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    *s = (struct session){ .all = all, .cwd_fd = -1, .created_wall_ns = now.wall_ns, .created_mono_ns = now.mono_ns };
    int code = cf_core_admit(all->server->core, &want, now.mono_ns, &s->handle, error);
    if (code == 0 && reserve_slot(all, (uint32_t)s->handle) < 0) {
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
    code = start(s, what, error);
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
    while ((n = cf_core_due_emergency(all->server->core, now.mono_ns, due, 64)) > 0) {
        cf_log(CF_LOG_WARNING, "emergency cleanup at max_sessions %lld: ending %zu sessions",
               (long long)all->server->settings.max_sessions, n);
        for (size_t i = 0; i < n; i++) {
            char evidence[CF_EVIDENCE_MAX];
            snprintf(evidence, sizeof evidence, "emergency cleanup at max_sessions %lld: idle for %.3f s",
                     (long long)all->server->settings.max_sessions, (double)due[i].idle_for_ns / 1e9);
            cf_sessions_end(all, due[i].handle, due[i].reason, evidence, 0);
            all->evicting++;
        }
    }
    return all->evicting > 0;
}

static int park(struct cf_sessions *all, const struct cf_create *what, cf_created *created, void *arg)
{
    struct parked *p = all->parked_count < PARKED_MAX ? calloc(1, sizeof *p) : NULL;
    if (p == NULL)
        return -1;
    *p = (struct parked){ .what = *what, .created = created, .arg = arg };
    *all->parked_last = p;
    all->parked_last = &p->next;
    all->parked_count++;
    return 0;
}

void cf_sessions_create(struct cf_sessions *all, const struct cf_create *what, struct cf_now now, cf_created *created, void *arg)
{
    struct cf_error error;
    int code;
    if (all->server->shutting_down)
        code = cf_error_set(&error, CF_E_SHUTTING_DOWN, NULL, "the server is shutting down");
    else if (!cf_workspace_name_ok(what->workspace))
        code = cf_error_set(&error, CF_E_INVALID, "workspace",
                            "\"workspace\" must be 1 to 64 of A-Z a-z 0-9 . _ - and must not begin with a dot");
    else
        code = admit(all, what, now, created, arg, &error);
    if (code == CF_E_TOO_MANY_SESSIONS && evict(all, now)) {
        if (park(all, what, created, arg) == 0)
            return;
        code = cf_error_set(&error, CF_E_TOO_MANY, NULL, "%u creates wait for an emergency cleanup already", all->parked_count);
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
    return cf_error_set(error, CF_E_GONE, "session_id", "session %s has ended: %s (%s)", id, cf_reason_name(tomb->reason), tomb->evidence);
}

static void on_exec_done(void *arg, const struct cf_exec_result *result)
{
    struct session *s = arg;
    cf_exec_done *done = s->exec.done;
    s->exec.done = NULL;
    cf_core_busy(s->all->server->core, s->handle, false, cf_clock_now().mono_ns);
    if (result->timed_out)
        cf_core_counts(s->all->server->core)->execs_timed_out++;
    if (done != NULL)
        done(s->exec_arg, result);
}

int cf_sessions_exec(struct cf_sessions *all, cf_handle handle, const char *text, size_t len, int64_t timeout_ns,
                     struct cf_now now, const struct cf_exec_events *events, void *arg, struct cf_error *error)
{
    struct session *s = cf_sessions_get(all, handle);
    struct cf_session row;
    if (s == NULL || !s->started || !cf_core_get(all->server->core, handle, now.mono_ns, &row) || row.state != CF_STATE_ACTIVE)
        return cf_error_set(error, CF_E_NOT_READY, NULL, "the session takes no commands: it is %s",
                            s != NULL && s->started ? "ending" : "starting");
    int code = cf_shell_exec(s->shell, text, len, timeout_ns, now, on_exec_done, s, error);
    if (code != 0)
        return code;
    s->exec = *events;
    s->exec_arg = arg;
    cf_core_counts(all->server->core)->execs_started++;
    cf_core_touch(all->server->core, handle, now.mono_ns, CF_TOUCH_COMMAND);
    cf_core_busy(all->server->core, handle, true, now.mono_ns);
    return 0;
}

const char *cf_sessions_command(const struct cf_sessions *all, cf_handle handle, size_t *ret_len, int64_t *ret_since_ns)
{
    struct session *s = cf_sessions_get(all, handle);
    return s != NULL && s->started ? cf_shell_command(s->shell, ret_len, ret_since_ns) : NULL;
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
