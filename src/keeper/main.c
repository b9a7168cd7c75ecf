/* curfew-keeper: reads the settings, takes the lock, starts the server and keeps sessions until both are gone. */
#include "base/clock.h"
#include "base/environment.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/settings.h"
#include "keeper/folders.h"
#include "keeper/keeper.h"
#include "keeper/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef CURFEW_LIBEXECDIR
#define CURFEW_LIBEXECDIR "/usr/libexec/curfew"
#endif

#define GROUPS_MAX 1024                 /* that a user may be in */

struct program {
    struct cf_settings settings;
    struct cf_keeper_config config;
    gid_t groups[GROUPS_MAX];
    int lock_fd, runtime_lock_fd;
};

/* Prints and returns true when there is nothing more to do. */
static bool read_settings(struct program *p, int argc, char **argv, int *ret_status)
{
    struct cf_settings_args args = { 0 };
    struct cf_complaints complaints;
    struct cf_buf help;
    bool over = true;

    cf_complaints_init(&complaints);
    cf_settings_load(&p->settings, argc - 1, argv + 1, environ, &args, &complaints);
    *ret_status = 0;
    if (args.help) {
        cf_buf_init(&help, 1u << 20);
        cf_settings_help(&help);
        printf("usage: curfew serve [--config FILE] [--check-config] [settings]\n\n%s",
               help.data != NULL ? help.data : "");
        cf_buf_free(&help);
    } else if (complaints.count != 0) {
        fputs(complaints.lines.data != NULL ? complaints.lines.data : "out of memory\n", stderr);
        *ret_status = cf_error_exit(CF_E_INVALID);
    } else if (args.check_only) {
        puts("configuration is fine");
    } else {
        over = false;
    }
    cf_complaints_free(&complaints);
    return over;
}

static int settle_user(struct program *p, struct cf_error *error)
{
    const char *name = p->settings.user;
    const struct passwd *entry;
    int count = GROUPS_MAX;

    if (name[0] == '\0') {
        if (geteuid() == 0)
            cf_log(CF_LOG_WARNING, "SESSIONS RUN AS ROOT: set user to have them run as someone else");
        return 0;
    }
    entry = getpwnam(name);
    if (entry == NULL)
        return cf_error_set(error, CF_E_INVALID, "user", "user: there is no user %s", name);
    if (geteuid() != 0 && entry->pw_uid != geteuid())
        return cf_error_set(error, CF_E_INVALID, "user", "user: only root can run sessions as %s", name);
    if (geteuid() != 0)
        return 0;
    if (getgrouplist(name, entry->pw_gid, p->groups, &count) < 0)
        return cf_error_set(error, CF_E_INVALID, "user", "user: %s is in more than %d groups", name, GROUPS_MAX);
    /* Sessions have to get through folders that a stricter mask, inherited from who started us, would shut to them. */
    umask(022);
    p->config.user = (struct cf_spawn_user){ .set = true, .uid = entry->pw_uid, .gid = entry->pw_gid,
                                             .groups = p->groups, .group_count = (size_t)count };
    return 0;
}

static int settle_folders(struct program *p, struct cf_error *error)
{
    const struct cf_settings *s = &p->settings;
    char sessions[sizeof s->runtime_dir + 16];
    int outcome = cf_folder_make(s->state_dir, 0700, error);
    unsigned left;

    if (outcome == 0)
        outcome = cf_folder_lock(s->state_dir, &p->lock_fd, error);
    /* Sessions that run as another user have to get through to their own folders in it. */
    if (outcome == 0)
        outcome = cf_folder_make(s->runtime_dir, 0711, error);
    /* What lies in it is removed below, so no other keeper may use it, whose state folder may be another. */
    if (outcome == 0 && strcmp(s->runtime_dir, s->state_dir) != 0)
        outcome = cf_folder_lock(s->runtime_dir, &p->runtime_lock_fd, error);
    if (outcome != 0)
        return outcome;
    snprintf(sessions, sizeof sessions, "%s/sessions", s->runtime_dir);
    left = cf_folder_empty(sessions);
    if (left != 0)
        cf_log(CF_LOG_WARNING, "%u leftovers in %s cannot be removed", left, sessions);
    return 0;
}

static int settle(struct program *p, struct cf_error *error)
{
    const struct cf_settings *s = &p->settings;
    int outcome;

    p->config.state_dir = s->state_dir;
    p->config.cgroup_root = s->cgroup_root;
    /* Room for those on their way out, too. */
    p->config.max_sessions = (uint32_t)s->max_sessions + (uint32_t)s->warm_pool + 64;
    p->config.grace_ms = s->cleanup_on_shutdown ? s->grace / 1000000 : 0;
    p->config.drain_ms = s->upgrade_drain / CF_NS_PER_MS;
    p->config.server_restarts = (uint32_t)s->server_restarts;
    p->config.restart_pause_ms = s->server_restart_pause > 0 ? (s->server_restart_pause + CF_NS_PER_MS - 1) / CF_NS_PER_MS : -1;
    if (cf_hold_parse(s->containment, &p->config.hold) != 0)
        return cf_error_set(error, CF_E_INVALID, "containment", "containment: no such word: %s", s->containment);
    outcome = settle_user(p, error);
    return outcome != 0 ? outcome : settle_folders(p, error);
}

/* How servers are started. */
struct launcher {
    char **argv;
    int current_fd, fresh_fd;           /* their programs; -1: not opened yet */
    char path[4096];                    /* what argv[0] is */
};

/* The program beside the keeper's own, else where it was installed; by descriptor, so that one that is replaced on the disk can be had again. */
static int open_program(struct launcher *l)
{
    ssize_t length = readlink("/proc/self/exe", l->path, sizeof l->path - 32);
    char *slash;
    int fd;

    l->path[length > 0 ? length : 0] = '\0';
    slash = strrchr(l->path, '/');
    strcpy(slash != NULL ? slash + 1 : l->path, "curfew-server");
    fd = open(l->path, O_PATH | O_CLOEXEC);
    if (fd < 0)
        fd = open(strcpy(l->path, CURFEW_LIBEXECDIR "/curfew-server"), O_PATH | O_CLOEXEC);
    return fd;
}

/* Does not return unless the server cannot be exec'd. */
static void become_server(struct launcher *l, int program_fd, int fd, pid_t keeper_pid)
{
    sigset_t later;

    /* A group of its own: Ctrl-C is for the keeper, which tells the server. */
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != keeper_pid)
        return;
    if (program_fd == CF_WIRE_SERVER_FD)
        program_fd = fcntl(program_fd, F_DUPFD_CLOEXEC, CF_WIRE_SERVER_FD + 1);
    if (fd == CF_WIRE_SERVER_FD ? fcntl(fd, F_SETFD, 0) < 0 : dup2(fd, CF_WIRE_SERVER_FD) < 0)
        return;
    /* What tells it to go waits until it can hear that (cf_shutdown_prepare), and does not kill it while it starts. */
    sigemptyset(&later);
    sigaddset(&later, SIGTERM);
    sigaddset(&later, SIGINT);
    sigprocmask(SIG_SETMASK, &later, NULL);
    l->argv[0] = l->path;
    execveat(program_fd, "", l->argv, environ, AT_EMPTY_PATH);
    if (errno == ENOENT)                /* a script, which its interpreter has to open by name */
        execv(l->path, l->argv);
    cf_log(CF_LOG_ERROR, "cannot start %s: %s", l->path, strerror(errno));
}

static pid_t start_server(void *context, enum cf_start which, int *ret_fd)
{
    struct launcher *l = context;
    int *program_fd = which == CF_START_FRESH ? &l->fresh_fd : &l->current_fd;
    pid_t self = getpid(), pid;
    int ends[2];

    if (which == CF_START_FRESH)
        cf_fd_close(&l->fresh_fd);
    if (*program_fd < 0)
        *program_fd = open_program(l);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return -1;
    cf_environment_share(true);
    pid = fork();
    if (pid == 0) {
        become_server(l, *program_fd, ends[1], self);
        _exit(127);
    }
    cf_environment_share(false);
    close(ends[1]);
    if (pid < 0)
        close(ends[0]);
    else
        *ret_fd = ends[0];
    return pid;
}

static void settle_server(void *context, bool taken)
{
    struct launcher *l = context;

    if (taken) {
        cf_fd_close(&l->current_fd);
        l->current_fd = l->fresh_fd;
        l->fresh_fd = -1;
    } else {
        cf_fd_close(&l->fresh_fd);
    }
}

static int keep(struct program *p, char **argv, struct cf_error *error)
{
    static struct launcher launcher = { .current_fd = -1, .fresh_fd = -1 };
    struct cf_keeper *keeper;
    char word[32];
    int outcome, server_fd;
    pid_t server_pid;

    p->config.start_server = start_server;
    p->config.start_context = &launcher;
    p->config.settle_server = settle_server;
    launcher.argv = argv;
    outcome = cf_keeper_new(&p->config, &keeper, error);
    if (outcome != 0)
        return outcome;
    cf_log(CF_LOG_INFO, "sessions are held by %s", cf_hold_format(cf_keeper_hold(keeper), word, sizeof word));
    server_pid = start_server(&launcher, CF_START_CURRENT, &server_fd);
    if (server_pid < 0)
        outcome = cf_error_set(error, CF_E_SYSTEM, NULL, "cannot start the server: %s", strerror(errno));
    else
        outcome = cf_keeper_serve(keeper, server_fd, server_pid);
    cf_keeper_free(&keeper);
    cf_fd_close(&launcher.current_fd);
    cf_fd_close(&launcher.fresh_fd);
    return outcome;
}

/* What whoever started us left open by mistake would stay open for as long as keeper and server live, a pipe that
 * somebody reads to its end, say.  A descriptor 0, 1 or 2 that came closed would be taken by the lock or a socket, and
 * the log be written to that. */
static void settle_descriptors(void)
{
    int fd;

    (void)close_range(STDERR_FILENO + 1, ~0U, 0);
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    cf_fd_close(&fd);
}

int main(int argc, char **argv)
{
    static struct program program = { .lock_fd = -1, .runtime_lock_fd = -1 };
    static const char *const levels[] = { "error", "warning", "info", "debug" };
    struct cf_error error = { 0 };
    int status;

    settle_descriptors();
    if (cf_environment_hide() != 0) {
        perror("curfew-keeper: cannot hide the environment");
        return cf_error_exit(CF_E_NO_MEMORY);
    }
    if (read_settings(&program, argc, argv, &status))
        return status;
    cf_log_init("keeper", CF_LOG_INFO);
    for (int level = 0; level < 4; level++)
        if (strcmp(program.settings.log_level, levels[level]) == 0)
            cf_log_level_set((enum cf_log_level)level);
    status = settle(&program, &error);
    if (status == 0)
        status = keep(&program, argv, &error);
    if (status < 0) {
        cf_log(CF_LOG_ERROR, "%s", error.text);
        status = cf_error_exit(status);
    }
    cf_fd_close(&program.runtime_lock_fd);
    cf_fd_close(&program.lock_fd);
    return status;
}
