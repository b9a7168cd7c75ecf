#include "bench/daemon.h"
#include "bench/http.h"
#include "bench/process.h"
#include "bench/sample.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <netinet/in.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 10000
#define STOP_MS 20000

/* Waits until something accepts on the port; -1 when `pid` ends before, or after START_MS. */
static int wait_for_port(int port, pid_t pid)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int64_t until = sample_now_ns() + START_MS * 1000000LL; sample_now_ns() < until;) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int connected = connect(fd, (struct sockaddr *)&to, sizeof to);
        close(fd);
        if (connected == 0)
            return 0;
        if (waitpid(pid, NULL, WNOHANG) != 0)
            return -1;
        sample_sleep_ms(5);
    }
    return -1;
}

static pid_t child_named(pid_t parent, const char *name)
{
    static struct process list[64];
    size_t count = process_tree(parent, list, 64);
    for (size_t i = 1; i < count; i++)
        if (strcmp(list[i].name, name) == 0)
            return list[i].pid;
    return -1;
}

static void show_log(const char *path)
{
    char line[1024];
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        fprintf(stderr, "    | %s", line);
    if (file != NULL)
        fclose(file);
}

/* The program curfew: two folders up from build/bench/curfew-bench, or what CURFEW names. */
static const char *program(void)
{
    static char path[PATH_MAX + 16];
    const char *given = getenv("CURFEW");
    if (given != NULL)
        return given;
    snprintf(path, sizeof path, "%s", process_self());
    for (int i = 0; i < 2; i++) {
        char *slash = strrchr(path, '/');
        if (slash != NULL)
            *slash = '\0';
    }
    strcat(path, "/curfew");
    return path;
}

static const char *const *more_flags;

void daemon_flags(const char *const *flags)
{
    more_flags = flags;
}

int daemon_start(struct daemon *d, const char *folder, const char *name, int sessions, const char *const *flags)
{
    char port[16], limit[16], state[300], run[300], work[300], log[300];
    const char *argv[64] = {program(), "serve", "--port", port, "--socket", "none", "--state-dir", state,
                      "--runtime-dir", run, "--workspace-dir", work, "--max-sessions", limit,
                      "--max-sessions-per-workspace", limit, "--log-level", "warning"};
    size_t argc = 18;
    memset(d, 0, sizeof *d);
    snprintf(d->folder, sizeof d->folder, "%s/%s", folder, name);
    snprintf(state, sizeof state, "%s/state", d->folder);
    snprintf(run, sizeof run, "%s/run", d->folder);
    snprintf(work, sizeof work, "%s/work", d->folder);
    snprintf(log, sizeof log, "%s/log", d->folder);
    snprintf(limit, sizeof limit, "%d", sessions);
    snprintf(port, sizeof port, "%d", d->port = process_free_port());
    for (size_t i = 0; flags != NULL && flags[i] != NULL && argc < 62; i++)
        argv[argc++] = flags[i];
    for (size_t i = 0; more_flags != NULL && more_flags[i] != NULL && argc < 62; i++)
        argv[argc++] = more_flags[i];
    mkdir(d->folder, 0755);
    mkdir(work, 0755);
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    d->keeper = process_spawn(argv, -1, out, out);
    close(out);
    if (d->keeper < 0 || wait_for_port(d->port, d->keeper) != 0 ||
        (d->server = child_named(d->keeper, "curfew-server")) < 0) {
        fprintf(stderr, "bench: %s serve did not start; its log:\n", argv[0]);
        show_log(log);
        daemon_stop(d);
        return -1;
    }
    return 0;
}

static void stop(pid_t *pid, int signo)
{
    if (*pid <= 0)
        return;
    kill(*pid, signo);
    for (int64_t until = sample_now_ns() + STOP_MS * 1000000LL; waitpid(*pid, NULL, WNOHANG) == 0; sample_sleep_ms(2)) {
        if (sample_now_ns() < until)
            continue;
        fprintf(stderr, "bench: process %d did not stop within %d s\n", (int)*pid, STOP_MS / 1000);
        kill(*pid, SIGKILL);
        waitpid(*pid, NULL, 0);
        break;
    }
    *pid = -1;
}

void daemon_stop(struct daemon *d)
{
    stop(&d->keeper, SIGTERM);
}

int nginx_start(struct nginx *n, const char *folder, const char *body)
{
    char path[300];
    memset(n, 0, sizeof *n);
    n->port = process_free_port();
    snprintf(path, sizeof path, "%s/nginx.conf", folder);
    FILE *file = fopen(path, "we");
    if (file == NULL)
        return -1;
    fprintf(file, "%sdaemon off;\nworker_processes 1;\npid %s/nginx.pid;\nerror_log %s/nginx.log;\n"
            "events { worker_connections 1024; }\nhttp {\n access_log off; keepalive_requests 1000000000;\n"
            " default_type application/json; client_body_temp_path %s; proxy_temp_path %s; fastcgi_temp_path %s;\n"
            " uwsgi_temp_path %s; scgi_temp_path %s;\n server { listen 127.0.0.1:%d; location / { return 200 '",
            geteuid() == 0 ? "user root;\n" : "", folder, folder, folder, folder, folder, folder, folder, n->port);
    /* In nginx's quotes a $ would start a variable, which this body never holds. */
    for (const char *c = body; *c != '\0'; c++) {
        if (*c == '\'' || *c == '\\')
            fputc('\\', file);
        fputc(*c, file);
    }
    fprintf(file, "'; } }\n}\n");
    fclose(file);
    const char *argv[] = {"nginx", "-e", "stderr", "-p", folder, "-c", path, NULL};
    if (access("/usr/sbin/nginx", X_OK) == 0)
        argv[0] = "/usr/sbin/nginx";
    n->master = process_spawn(argv, -1, -1, STDERR_FILENO);
    if (n->master < 0 || wait_for_port(n->port, n->master) != 0 || (n->worker = child_named(n->master, "nginx")) < 0) {
        fprintf(stderr, "bench: nginx did not start\n");
        nginx_stop(n);
        return -1;
    }
    return 0;
}

void nginx_stop(struct nginx *n)
{
    stop(&n->master, SIGQUIT);
}
