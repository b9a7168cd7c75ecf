/* sessions_agent.c: sessions of kind agent: a configured program in the place of the shell, and another one when it fails.
 *
 * When the program goes by itself and its agent says so, all that it left is ended, and after a pause, which doubles each time, it
 * is started anew.  Until then the session keeps the shell that is dead: for its journal, which the next one goes on in, and
 * for its key, under which the keeper answers the end of a session that has nothing to end. */
#include "base/fd.h"
#include "base/log.h"
#include "server/program.h"
#include "server/sessions_private.h"
#include "server/shells.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define BACKOFF_MAX_NS (300 * CF_NS_PER_S)      /* that the pause doubles up to */
#define ENV_MAX 1024                    /* variables of one program: inherited, the agent's, the session's */
#define EXIT_MAX 96

struct session_agent {
    struct session *s;
    const struct cf_agent *agent;
    struct event *timer;                /* of the pause */
    char *cwd;                          /* NULL: the workspace */
    json_t *env;                        /* a reference; NULL: none */
    unsigned restarts;
    bool waiting;                       /* the program has gone, and the next one was not started */
    bool ended;                         /* nothing is left of it, says `report` */
    int64_t due_ns;                     /* end of the pause */
    struct cf_wire_ended report;
    char last_exit[EXIT_MAX];           /* how the last one went; "" */
    struct cf_journal *journal;         /* a reference, once there is one; `watch` hangs at it */
    struct cf_watch watch;
};

static void on_timer(evutil_socket_t fd, short what, void *arg);

/* ---- its start ---- */

/* Something was printed. */
static void on_output(void *arg)
{
    const struct session *s = arg;
    (void)cf_sessions_touch(s->all, s->handle, cf_clock_now().mono_ns, CF_USE_OUTPUT);
}

int cf_sessions_agent_make(struct session *s, const struct cf_create *what, struct cf_error *error)
{
    struct session_agent *a = calloc(1, sizeof *a);
    s->agent = a;
    if (a == NULL || (a->timer = evtimer_new(s->all->server->loop, on_timer, s)) == NULL ||
        (what->cwd != NULL && (a->cwd = strdup(what->cwd)) == NULL)) {
        cf_sessions_agent_free(s);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    a->s = s;
    a->agent = what->agent;
    a->env = json_incref(what->env);
    a->watch = (struct cf_watch){ .wake = on_output, .arg = s };
    return 0;
}

void cf_sessions_agent_free(struct session *s)
{
    struct session_agent *a = s->agent;
    s->agent = NULL;
    if (a == NULL)
        return;
    if (a->journal != NULL && s->all->server->settings.agent_output_counts)
        cf_journal_unwatch(a->journal, &a->watch);
    cf_journal_unref(&a->journal);
    if (a->timer != NULL)
        event_free(a->timer);
    json_decref(a->env);
    free(a->cwd);
    free(a);
}

/* What a program is started with: of one name the last one counts, and text that was made here is kept in `made`. */
struct variables {
    const char *list[ENV_MAX + 1];
    char *made[ENV_MAX];
    size_t count, made_count;
    bool failed;
};

static void set(struct variables *v, const char *entry)
{
    size_t name = strcspn(entry, "=") + 1, i = 0;
    while (i < v->count && strncmp(v->list[i], entry, name) != 0)
        i++;
    if (i == ENV_MAX) {
        v->failed = true;
        return;
    }
    v->list[i] = entry;
    if (i == v->count)
        v->list[++v->count] = NULL;
}

static void set_made(struct variables *v, const char *name, const char *value)
{
    char *entry;
    if (v->made_count == ENV_MAX || asprintf(&entry, "%s=%s", name, value) < 0) {
        v->failed = true;
        return;
    }
    v->made[v->made_count++] = entry;
    set(v, entry);
}

static void gather(struct variables *v, const struct session *s)
{
    const struct cf_shell_host *host = &s->all->server->host;
    const struct session_agent *a = s->agent;
    const char *name;
    json_t *value;
    for (char **at = host->env; *at != NULL; at++)
        if (strncmp(*at, "HISTFILE=", 9) != 0)          /* which is bash's */
            set(v, *at);
    for (char **at = host->locale_env; *at != NULL; at++)
        set(v, *at);
    for (size_t i = 0; i < a->agent->env.count; i++)
        set(v, a->agent->env.list[i]);
    json_object_foreach(a->env, name, value)
        set_made(v, name, json_string_value(value));
}

/* The program's path stands in the place of its name. */
static int start(struct session *s, const struct variables *v, struct cf_error *error)
{
    const struct cf_words *command = &s->agent->agent->command;
    const char *argv[CF_AGENT_WORDS_MAX + 1];
    char path[PATH_MAX];
    struct cf_program program = { .argv = argv, .env = v->list, .journal = s->agent->journal };
    if (v->failed)
        return cf_error_set(error, CF_E_TOO_LARGE, "env", "the agent's environment has more than %d variables, or there is no memory for it", ENV_MAX);
    int code = cf_program_find(command->list[0], v->list, path, error);
    if (code != 0)
        return code;
    for (size_t i = 0; i <= command->count; i++)
        argv[i] = command->list[i];
    argv[0] = path;
    if (s->shell != NULL)
        program.last_seq = cf_shell_last_seq(s->shell);
    return cf_shells_start_program(s->all->shells, s->cwd_fd, &program, cf_sessions_events(), s, &s->shell, error);
}

static void watch(struct session *s)
{
    struct session_agent *a = s->agent;
    a->journal = cf_journal_ref(cf_shell_journal(s->shell));
    if (s->all->server->settings.agent_output_counts)
        cf_journal_watch(a->journal, &a->watch);
}

int cf_sessions_agent_start(struct session *s, struct cf_error *error)
{
    struct session_agent *a = s->agent;
    struct variables *v = calloc(1, sizeof *v);
    if (v == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    gather(v, s);
    int code = start(s, v, error);
    while (v->made_count > 0)
        free(v->made[--v->made_count]);
    free(v);
    if (code == 0 && a->journal == NULL)
        watch(s);
    return code;
}

/* ---- one after the other ---- */

static bool restarts(const struct session *s)
{
    const struct session_agent *a = s->agent;
    struct cf_session row;
    return s->started && a->agent->restart == CF_AGENT_RESTART_ON_FAILURE && (int64_t)a->restarts < a->agent->restart_limit &&
           !s->all->server->shutting_down && cf_core_get(s->all->server->core, s->handle, 0, &row) && row.state == CF_STATE_ACTIVE;
}

static int64_t pause_ns(const struct session_agent *a)
{
    int64_t ns = a->agent->restart_backoff_ns;
    for (unsigned i = 0; i < a->restarts && ns < BACKOFF_MAX_NS; i++)
        ns *= 2;
    return ns < BACKOFF_MAX_NS || ns == a->agent->restart_backoff_ns ? ns : BACKOFF_MAX_NS;
}

static void wait_for_next(struct session *s)
{
    struct session_agent *a = s->agent;
    struct cf_session row;
    int64_t ns = pause_ns(a);
    struct timeval tv = { .tv_sec = ns / CF_NS_PER_S, .tv_usec = ns % CF_NS_PER_S / 1000 };
    a->restarts++;
    a->waiting = true;
    a->due_ns = cf_clock_now().mono_ns + ns;
    cf_core_counts(s->all->server->core)->agent_restarts++;
    evtimer_add(a->timer, &tv);
    cf_session_keep(s);
    if (cf_core_get(s->all->server->core, s->handle, 0, &row))
        cf_log(CF_LOG_INFO, "session %s: agent %s %s; starting it again in %.3f s (%u of %lld)", row.id, a->agent->name, a->last_exit,
               (double)ns / 1e9, a->restarts, (long long)a->agent->restart_limit);
}

static void give_up(struct session *s, const char *why)
{
    char evidence[CF_EVIDENCE_MAX];
    snprintf(evidence, sizeof evidence, "agent %s could not be started again: %.90s", s->agent->agent->name, why);
    cf_core_left(s->all->server->core, s->handle, CF_STATE_FAILED, evidence);
    cf_sessions_end(s->all, s->handle, CF_REASON_FAILED, evidence, 0);
}

/* Once the pause is over and nothing is left of the one before, so that there are never two. */
static void try_next(struct session *s)
{
    struct session_agent *a = s->agent;
    struct cf_shell *old = s->shell;
    struct cf_session row;
    struct cf_error error;
    if (!a->waiting || !a->ended || s->old_shells > 0 || evtimer_pending(a->timer, NULL) || !cf_core_get(s->all->server->core, s->handle, 0, &row) ||
        row.state != CF_STATE_ACTIVE)
        return;
    const struct cf_create what = { .kind = row.kind, .workspace = row.workspace, .cwd = a->cwd, .env = a->env, .agent = a->agent };
    a->waiting = a->ended = false;      /* as the next server has to find it, once there is another one */
    if (cf_sessions_give_shell(s, &what, &error) != 0) {
        a->waiting = a->ended = true;
        snprintf(a->last_exit, sizeof a->last_exit, "could not be started: %.60s", error.text);
        if (restarts(s))
            wait_for_next(s);
        else
            give_up(s, error.text);
        return;
    }
    cf_shells_drop(s->all->shells, old);
    cf_log(CF_LOG_INFO, "session %s: agent %s is started again", row.id, a->agent->name);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    try_next(arg);
}

/* Of the one before nothing is left; when the session is ending meanwhile, that was all. */
static void on_ended(struct cf_shell *shell, void *arg, const struct cf_wire_ended *report)
{
    struct session *s = arg;
    struct session_agent *a = s->agent;
    struct cf_session row;
    (void)shell;
    if (!a->ended)
        a->report = *report;
    a->ended = true;
    if (cf_core_get(s->all->server->core, s->handle, 0, &row) && row.state == CF_STATE_ENDING) {
        const struct cf_wire_ended last = a->report;
        s->report = last;
        if (s->old_shells == 0)         /* else the last of those ends it */
            cf_sessions_gone(s, &last);
    } else {
        cf_session_keep(s);
        try_next(s);
    }
}

static void on_failed(struct cf_shell *shell, void *arg, const struct cf_error *why)
{
    (void)shell;
    (void)arg;
    (void)why;                          /* it is being ended */
}

const struct cf_shell_events *cf_sessions_agent_old_events(void)
{
    static const struct cf_shell_events events = { .ended = on_ended, .failed = on_failed };
    return &events;
}

static bool next(struct session *s, int64_t grace_ns)
{
    if (!restarts(s))
        return false;
    s->agent->ended = false;
    wait_for_next(s);
    cf_shell_adopt(s->shell, cf_sessions_agent_old_events(), s);
    cf_shell_end(s->shell, grace_ns);
    return true;
}

bool cf_sessions_agent_left(struct session *s, int wait_status)
{
    struct session_agent *a = s->agent;
    if (WIFEXITED(wait_status))
        snprintf(a->last_exit, sizeof a->last_exit, "exited with status %d", WEXITSTATUS(wait_status));
    else
        snprintf(a->last_exit, sizeof a->last_exit, "was killed by signal %d (%s)", WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)));
    return !cf_sessions_agent_is_done(wait_status) && next(s, s->all->server->settings.grace);
}

bool cf_sessions_agent_failed(struct session *s, const struct cf_error *why)
{
    snprintf(s->agent->last_exit, sizeof s->agent->last_exit, "could not be started: %.60s", why->text);
    return next(s, 0);
}

bool cf_sessions_agent_is_done(int wait_status)
{
    return WIFEXITED(wait_status) && WEXITSTATUS(wait_status) == 0;
}

/* ---- the next server ---- */

/* Behind it: cwd, env (JSON); each as long as said here, plus 1 when it is there at all.  What the agent is, is told by its name: the next server
 * has the same configuration. */
struct kept_agent {
    char name[CF_AGENT_NAME_MAX + 8];
    uint32_t restarts, cwd_len, env_len;
    uint8_t waiting, ended, pad[2];
    int64_t due_ns;
    struct cf_wire_ended report;
    char last_exit[EXIT_MAX];
};

void cf_sessions_agent_keep(const struct session *s, struct cf_buf *whole)
{
    const struct session_agent *a = s->agent;
    if (a == NULL)
        return;
    char *env = a->env != NULL ? json_dumps(a->env, JSON_COMPACT) : NULL;
    struct kept_agent k = { .restarts = a->restarts, .waiting = a->waiting, .ended = a->ended, .due_ns = a->due_ns, .report = a->report,
                            .cwd_len = a->cwd != NULL ? (uint32_t)strlen(a->cwd) + 1 : 0, .env_len = env != NULL ? (uint32_t)strlen(env) + 1 : 0 };
    snprintf(k.name, sizeof k.name, "%s", a->agent->name);
    memcpy(k.last_exit, a->last_exit, sizeof k.last_exit);
    cf_buf_append(whole, (const char *)&k, sizeof k);
    cf_buf_append(whole, a->cwd != NULL ? a->cwd : "", k.cwd_len);
    cf_buf_append(whole, env != NULL ? env : "", k.env_len);
    free(env);
}

int cf_sessions_agent_restore(struct session *s, const char *kept, size_t len, struct cf_error *error)
{
    struct kept_agent k;
    if (len < sizeof k)
        return cf_error_set(error, CF_E_INTERNAL, NULL, "a record that is none");
    memcpy(&k, kept, sizeof k);
    k.name[CF_AGENT_NAME_MAX] = k.last_exit[EXIT_MAX - 1] = '\0';
    const struct cf_agent *agent = cf_agents_find(s->all->server->agents, k.name);
    if (len != sizeof k + k.cwd_len + k.env_len || agent == NULL)
        return cf_error_set(error, CF_E_INTERNAL, NULL, "a record of an agent that is none: %s", k.name);
    char *cwd = k.cwd_len > 0 ? strndup(kept + sizeof k, k.cwd_len - 1) : NULL;
    json_t *env = k.env_len > 0 ? json_loadb(kept + sizeof k + k.cwd_len, k.env_len - 1, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const struct cf_create what = { .agent = agent, .cwd = cwd, .env = env };
    int code = cf_sessions_agent_make(s, &what, error);
    free(cwd);
    json_decref(env);
    if (code != 0)
        return code;
    s->agent->restarts = k.restarts;
    s->agent->waiting = k.waiting;
    s->agent->ended = k.ended;
    s->agent->due_ns = k.due_ns;
    s->agent->report = k.report;
    memcpy(s->agent->last_exit, k.last_exit, sizeof k.last_exit);
    return 0;
}

void cf_sessions_agent_alone(struct session *s)
{
    try_next(s);
}

void cf_sessions_agent_resume(struct session *s)
{
    struct session_agent *a = s->agent;
    int64_t left_ns = a->due_ns - cf_clock_now().mono_ns;
    struct timeval tv = { .tv_sec = left_ns > 0 ? left_ns / CF_NS_PER_S : 0, .tv_usec = left_ns > 0 ? left_ns % CF_NS_PER_S / 1000 : 0 };
    bool waited = a->waiting;
    watch(s);
    cf_shell_resume(s->shell);
    if (!waited)
        return;
    if (!a->ended)                      /* the dead may not have come so far; for one that is over, its report comes again */
        cf_shell_end(s->shell, s->all->server->settings.grace);
    evtimer_add(a->timer, &tv);
}

/* ---- what it shows ---- */

bool cf_sessions_agent_waits(const struct session *s)
{
    return s->agent != NULL && s->agent->waiting;
}

void cf_sessions_agent_tomb(const struct session *s, struct cf_tomb *tomb)
{
    if (s->agent == NULL)
        return;
    snprintf(tomb->agent, sizeof tomb->agent, "%s", s->agent->agent->name);
    tomb->restarts = s->agent->restarts;
}

void cf_sessions_agent_json(const struct session *s, struct cf_now now, struct cf_jsonw *w)
{
    const struct session_agent *a = s->agent;
    const struct cf_agent *agent = a->agent;
    cf_jsonw_str(w, "agent", agent->name);
    cf_jsonw_array(w, "program");
    for (size_t i = 0; i < agent->command.count; i++)
        cf_jsonw_str(w, NULL, agent->command.list[i]);
    cf_jsonw_array_end(w);
    cf_jsonw_str(w, "restart", cf_agent_restart_name(agent->restart));
    cf_jsonw_int(w, "restarts", a->restarts);
    cf_jsonw_int(w, "restart_limit", agent->restart_limit);
    if (a->waiting)
        cf_jsonw_seconds(w, "restart_in", a->due_ns > now.mono_ns ? a->due_ns - now.mono_ns : 0);
    else
        cf_jsonw_null(w, "restart_in");
    if (*a->last_exit != '\0')
        cf_jsonw_str(w, "last_exit", a->last_exit);
    else
        cf_jsonw_null(w, "last_exit");
}
