/* setup.c: building and taking down. */
#include "server/setup.h"

#include "base/fd.h"
#include "server/archive.h"
#include "server/driver.h"
#include "server/driver_terminal.h"
#include "server/http.h"
#include "server/identity.h"
#include "server/pace.h"
#include "server/pool.h"
#include "server/priority.h"
#include "server/recover.h"
#include "server/records.h"
#include "server/sessions.h"
#include "server/shells.h"
#include "server/shutdown.h"
#include "server/sweep.h"
#include "server/workspace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* A terminal gives at most 4 KiB at a time. */
#define SCRATCH_BYTES 4096u

enum cf_log_level cf_setup_log_level(const struct cf_settings *settings)
{
    static const char *const words[] = { "error", "warning", "info", "debug" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(settings->log_level, words[i]) == 0)
            return (enum cf_log_level)i;
    return CF_LOG_INFO;
}

static void on_spawned(void *arg, const struct cf_wire_spawned *report)
{
    struct cf_server *server = arg;
    cf_shells_on_spawned(server->shells, report);
}

static void on_signaled(void *arg, const struct cf_wire_signaled *report)
{
    struct cf_server *server = arg;
    cf_shells_on_signaled(server->shells, report);
}

static void on_left(void *arg, const struct cf_wire_left *report)
{
    struct cf_server *server = arg;
    cf_shells_on_left(server->shells, report);
}

static void on_ended(void *arg, const struct cf_wire_ended *report)
{
    struct cf_server *server = arg;
    cf_shells_on_ended(server->shells, report);
    cf_link_forget(server->link, report->key);          /* what became of it is in the vault */
}

static void on_leave(void *arg, const struct cf_wire_leave *report)
{
    cf_shutdown_leave(arg, report->drain_ms * CF_NS_PER_MS);
}

/* A keeper that was told to hurry ends everything, reports it and hangs up: then all that is left is to answer. */
static void on_lost(void *arg, const char *why)
{
    struct cf_server *server = arg;
    if (server->shutting_down && cf_shutdown_all_gone(server))
        return;
    cf_log(CF_LOG_ERROR, "the keeper %s; without it there is nothing to serve", why);
    _exit(EXIT_FAILURE);
}

static int open_core(struct cf_server *server, struct cf_error *error)
{
    const struct cf_settings *s = &server->settings;
    uint64_t seed;
    struct cf_policy policies[CF_KINDS];
    struct cf_limits limits = {
        .max_sessions = (uint32_t)s->max_sessions, .max_per_workspace = (uint32_t)s->max_sessions_per_workspace,
        .max_active = UINT32_MAX, .emergency = { .idle_ns = s->emergency_idle, .age_ns = s->emergency_age },
    };
    for (size_t i = 0; i < CF_KINDS; i++)
        policies[i] = (struct cf_policy){ .idle_ns = s->session_timeout,
                                          .age_ns = s->max_session_age > 0 ? s->max_session_age : CF_NEVER_NS };
    policies[CF_KIND_AGENT].idle_ns = s->agent_timeout;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "no random bytes");
    struct cf_core_options options = { .limits = limits, .policies = policies, .kinds = CF_KINDS, .seed = seed };
    server->core = cf_core_new(&options);
    server->tombs = cf_tombs_new((size_t)s->tombstones, s->tombstone_retention, &server->keep);
    if (server->core == NULL || server->tombs == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    return 0;
}

/* The drivers' texts lie where every session can read them; written anew at each start, so that they are this version's. */
static int write_text(const char *path, const char *text, struct cf_error *error)
{
    char fresh[1120];
    snprintf(fresh, sizeof fresh, "%s.new", path);
    (void)unlink(fresh);
    CF_FD_AUTO fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || cf_fd_write_all(fd, text, strlen(text)) < 0 || fchmod(fd, 0644) < 0 || rename(fresh, path) < 0)
        return cf_error_set(error, CF_E_SYSTEM, "runtime_dir", "cannot write %s: %s", path, strerror(errno));
    return 0;
}

static int write_drivers(const struct cf_settings *settings, struct cf_shell_host *host, struct cf_error *error)
{
    const struct {
        const char *name, *text;
        char **path;
    } texts[] = {
        { "driver.bash", cf_driver_text(), &host->driver_path },
        { "driver_loop.bash", cf_driver_loop_text(), &host->driver_loop_path },
        { "terminal.bash", cf_driver_terminal_text(), &host->terminal_path },
        { "terminal_run.bash", cf_driver_terminal_run_text(), &host->terminal_run_path },
    };
    char folder[1100];
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (asprintf(texts[i].path, "%s/%s", settings->runtime_dir, texts[i].name) < 0) {
            *texts[i].path = NULL;
            return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
        }
        int code = write_text(*texts[i].path, texts[i].text, error);
        if (code != 0)
            return code;
    }
    snprintf(folder, sizeof folder, "%s/sessions", settings->runtime_dir);
    if (mkdir(folder, 0711) < 0 && errno != EEXIST)
        return cf_error_set(error, CF_E_SYSTEM, "runtime_dir", "cannot make %s: %s", folder, strerror(errno));
    return 0;
}

/* Not refused: groups and access lists may open what the mode bits seem to close. */
static void open_way(const struct cf_settings *s, const struct cf_identity *identity)
{
    char closed[PATH_MAX];
    if (!cf_workspace_way(s->workspace_dir, s->state_dir, identity->uid, identity->gid, closed))
        cf_log(CF_LOG_WARNING, "user %s cannot pass through %s to the workspaces", s->user, closed);
}

static int open_host(struct cf_server *server, char *const *environment, struct cf_error *error)
{
    const struct cf_settings *s = &server->settings;
    struct cf_identity identity;
    if (access(server->settings.shell, X_OK) < 0)
        return cf_error_set(error, CF_E_INVALID, "shell", "shell: cannot run %s: %s", server->settings.shell,
                            strerror(errno));
    int code = cf_identity_make(&server->settings, environment, &identity, error);
    if (code != 0)
        return code;
    server->host = (struct cf_shell_host){
        .loop = server->loop, .link = server->link, .settings = &server->settings,
        .uid = identity.uid, .gid = identity.gid, .args = { .fd = -1 }, .locale = identity.locale,
        .limits = { .spool_bytes = (uint64_t)s->spool_bytes, .execs_kept = (uint32_t)s->execs_kept,
                    .retention_ns = s->exec_retention, .head_bytes = (size_t)(s->max_output_bytes - s->max_output_bytes / 2) },
        .scratch = malloc(SCRATCH_BYTES), .scratch_bytes = SCRATCH_BYTES, .pace = cf_pace_new(server->loop), .budget = { .max_bytes = (uint64_t)s->spool_total_bytes, .keep = &server->keep },
        .keep = &server->keep, .servers = cf_link_welcome(server->link)->servers,
    };
    if (identity.uid != geteuid())
        open_way(&server->settings, &identity);
    const char *argv[] = { server->settings.shell, "--norc", "--noprofile", "--noediting", "-i", "-s", NULL };
    server->host.env = identity.env;
    server->host.locale_env = identity.locale_env;
    if (server->host.scratch == NULL || server->host.pace == NULL)
        code = cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    else
        code = cf_link_args_make(argv, (const char *const *)identity.env, &server->host.args, error);
    identity.locale = NULL;             /* both are the host's now */
    identity.env = identity.locale_env = NULL;
    cf_identity_free(&identity);
    return code != 0 ? code : write_drivers(&server->settings, &server->host, error);
}

static int start_warm(void *arg, const struct cf_shell_events *events, void *shell_arg, struct cf_shell **ret,
                      struct cf_error *error)
{
    struct cf_server *server = arg;
    return cf_shells_start(server->shells, server->workspace_fd, NULL, events, shell_arg, ret, error);
}

static void drop_warm(void *arg, struct cf_shell *shell)
{
    struct cf_server *server = arg;
    cf_shells_drop(server->shells, shell);
}

static void on_renew(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_server *server = arg;
    cf_link_renew(server->link, 0, server->settings.lease / CF_NS_PER_MS);
}

/* Three renewals in the time of one lease, so that one may be late. */
static int start_renewing(struct cf_server *server, struct cf_error *error)
{
    int64_t every_ns = server->settings.lease / 3;
    struct timeval tv = { .tv_sec = every_ns / CF_NS_PER_S, .tv_usec = every_ns % CF_NS_PER_S / 1000 };
    server->renew_timer = event_new(server->loop, -1, EV_PERSIST, on_renew, server);
    if (server->renew_timer == NULL || event_add(server->renew_timer, &tv) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    return 0;
}

static int open_sessions(struct cf_server *server, struct cf_error *error)
{
    server->shells = cf_shells_new(&server->host);
    if (server->shells == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    server->pool = cf_pool_new(server->loop, (size_t)server->settings.warm_pool, start_warm, drop_warm, server);
    server->sessions = cf_sessions_new(server, server->shells);
    server->sweep = cf_sweep_new(server);
    server->archive = cf_archive_new(server->loop, server->settings.exec_retention, &server->host.budget);
    if (server->archive == NULL || server->pool == NULL || server->sessions == NULL || server->sweep == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    return 0;
}

/* Only now: what they say is about sessions that are there. */
static int listen_to_keeper(struct cf_server *server, struct cf_error *error)
{
    static const struct cf_link_reports reports = { .spawned = on_spawned, .signaled = on_signaled, .left = on_left,
                                                    .ended = on_ended, .leave = on_leave, .lost = on_lost };
    if (cf_link_welcome(server->link)->swept > 0 && server->heirs.servers == 0)
        cf_log(CF_LOG_WARNING, "%u processes of an earlier keeper were found and killed", cf_link_welcome(server->link)->swept);
    return cf_link_listen(server->link, server->loop, &reports, server, error);
}

static int open_edge(struct cf_server *server, struct cf_error *error)
{
    struct cf_listeners from;
    cf_recover_listeners(server, &from);
    int code = cf_http_start(server->loop, &server->settings, &from, cf_core_counts(server->core), server, &server->http, error);
    if (code == 0)
        cf_recover_keep_listeners(server);
    return code;
}

/* Between two turns of output the loop looks for what is more urgent. */
static struct event_base *new_loop(void)
{
    struct event_config *config = event_config_new();
    struct event_base *loop = NULL;
    if (config != NULL && event_config_set_max_dispatch_interval(config, NULL, 1, CF_PRIORITY_OUTPUT) == 0)
        loop = event_base_new_with_config(config);
    if (config != NULL)
        event_config_free(config);
    return loop;
}

int cf_setup(struct cf_server *server, char *const *environment, struct cf_error *error)
{
    const struct cf_settings *s = &server->settings;
    signal(SIGPIPE, SIG_IGN);
    server->metrics.started_wall_ns = cf_clock_now().wall_ns;
    server->loop = new_loop();
    if (server->loop == NULL || event_base_priority_init(server->loop, CF_PRIORITIES) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    int code = open_core(server, error);
    if (code == 0)
        code = cf_workspace_root(s->workspace_dir, &server->workspace_fd, error);
    if (code == 0)
        code = open_host(server, environment, error);
    if (code == 0)
        code = open_sessions(server, error);
    if (code == 0)
        code = cf_recover_sessions(server, error);
    if (code == 0)
        code = listen_to_keeper(server, error);
    if (code == 0)
        code = start_renewing(server, error);
    if (code == 0)
        code = cf_shutdown_prepare(server, error);
    if (code == 0)
        code = open_edge(server, error);
    if (code != 0)
        return code;
    if (server->heirs.servers > 0 ? !server->sweep_stopped : s->auto_cleanup_enabled)
        cf_sweep_start(server->sweep);
    cf_recover_done(server);
    cf_recover_keep_settings(server);
    cf_pool_fill(server->pool);
    cf_link_serving(server->link);
    cf_link_renew(server->link, 0, s->lease / CF_NS_PER_MS);   /* servers may die sooner than the timer's first time */
    return 0;
}

void cf_setup_banner(const struct cf_server *server)
{
    const struct cf_settings *s = &server->settings;
    const char *at = cf_http_address(server->http);
    fprintf(stderr,
            "\ncurfew %s serves on http://%s and %s\n"
            "workspaces: %s   containment: %s   token for other users: %s\n"
            "try:\n"
            "  curl -X POST http://%s/v1/sessions -H 'Content-Type: application/json' -d '{\"workspace\":\"demo\"}'\n"
            "  curl -X POST http://%s/v1/sessions/ID/exec -H 'Content-Type: application/json' -d '{\"command\":\"echo hello\"}'\n"
            "  curl http://%s/bash/auto-cleanup/stats\n\n",
            CURFEW_VERSION, at, s->socket, s->workspace_dir, cf_hold_name(cf_link_welcome(server->link)->hold_default),
            s->token_file, at, at, at);
}

void cf_teardown(struct cf_server *server)
{
    cf_recover_done(server);
    cf_http_stop(&server->http);
    cf_sweep_free(&server->sweep);
    cf_sessions_free(&server->sessions);
    cf_pool_free(&server->pool);
    cf_shells_free(&server->shells);
    cf_archive_free(&server->archive);
    cf_pace_free(&server->host.pace);
    cf_shutdown_free(server);
    cf_records_close(server);
    if (server->renew_timer != NULL)
        event_free(server->renew_timer);
    server->keep.link = NULL;
    cf_link_close(&server->link);
    cf_vault_free(&server->keep.vault);
    cf_tombs_free(&server->tombs);
    cf_core_free(&server->core);
    cf_fd_close(&server->host.args.fd);
    free(server->host.locale);
    free(server->host.driver_path);
    free(server->host.terminal_path);
    free(server->host.driver_loop_path);
    free(server->host.terminal_run_path);
    free(server->host.scratch);
    for (char **at = server->host.env; at != NULL && *at != NULL; at++)
        free(*at);
    free(server->host.env);
    for (char **at = server->host.locale_env; at != NULL && *at != NULL; at++)
        free(*at);
    free(server->host.locale_env);
    cf_agents_free(&server->agents);
    cf_fd_close(&server->workspace_fd);
    if (server->loop != NULL)
        event_base_free(server->loop);
}
