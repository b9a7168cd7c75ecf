/* calls_metrics.c: GET /metrics: what an operator watches, for Prometheus and what reads its text.
 *
 * A look at numbers that are kept anyway; nothing here walks the sessions.  docs/metrics.md lists all of them. */
#include "base/fd.h"
#include "server/call.h"
#include "server/http.h"
#include "server/ledger.h"
#include "server/metrics.h"
#include "server/pool.h"
#include "server/server.h"
#include "server/sessions.h"
#include "server/sweep.h"
#include "server/tombs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_one(struct cf_buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
    cf_metrics_begin(out, name, type, help);
    cf_metrics_number(out, name, NULL, 0, value);
}

/* ---- sessions ---- */

static void write_sessions(struct cf_buf *out, const struct cf_tally *tally)
{
    static const char name[] = "curfew_sessions";
    cf_metrics_begin(out, name, "gauge", "Sessions by kind and state");
    for (unsigned kind = 0; kind < CF_KINDS; kind++) {
        for (unsigned state = CF_STATE_FREE + 1; state < CF_STATES; state++) {
            const struct cf_metrics_label labels[] = {
                { "kind", cf_kind_name((enum cf_kind)kind) }, { "state", cf_state_name((enum cf_state)state) },
            };
            cf_metrics_number(out, name, labels, 2, tally->here[kind][state]);
        }
    }
}

/* Every reason from the start, so that a rate is there when the first one comes. */
static void write_ends(struct cf_buf *out, const struct cf_tally *tally)
{
    static const char name[] = "curfew_sessions_ended_total";
    cf_metrics_begin(out, name, "counter", "Sessions that ended and were removed, by reason");
    for (unsigned reason = CF_REASON_NONE + 1; reason < CF_REASONS; reason++) {
        const struct cf_metrics_label label = { "reason", cf_reason_name((enum cf_reason)reason) };
        cf_metrics_number(out, name, &label, 1, tally->ended[reason]);
    }
}

static uint64_t execs_running(const struct cf_server *server)
{
    uint64_t ended = cf_metrics_observed(&server->metrics, CF_HISTOGRAM_exec_duration);
    return cf_core_counts(server->core)->execs_started - ended;
}

static void write_server(struct cf_buf *out, const struct cf_server *server)
{
    write_one(out, "curfew_sessions_limit", "gauge", "The setting max_sessions",
              (uint64_t)server->settings.max_sessions);
    write_one(out, "curfew_workspaces", "gauge", "Workspaces with at least one session",
              cf_core_workspaces(server->core));
    write_one(out, "curfew_execs_running", "gauge", "Commands that are running", execs_running(server));
    write_one(out, "curfew_creates_waiting", "gauge", "Creates that wait for an emergency cleanup to make room",
              cf_sessions_parked(server->sessions));
    write_one(out, "curfew_warm_shells", "gauge", "Shells kept ready for the next sessions, or on their way to that",
              cf_pool_count(server->pool));
    write_one(out, "curfew_tombstones", "gauge", "Ended sessions that are remembered", cf_tombs_count(server->tombs));
    write_one(out, "curfew_connections", "gauge", "Connections that are open", cf_http_connections(server->http));
    write_one(out, "curfew_auto_cleanup_running", "gauge", "1 while the automatic cleanup is on, 0 while it is stopped",
              cf_sweep_running(server->sweep));
}

static void write_build(struct cf_buf *out, const struct cf_server *server)
{
    static const char name[] = "curfew_build_info";
    const struct cf_metrics_label labels[] = {
        { "version", CURFEW_VERSION }, { "containment", cf_hold_name(cf_link_welcome(server->link)->hold_default) },
    };
    cf_metrics_begin(out, name, "gauge", "Always 1; its labels are the version and the containment of new sessions");
    cf_metrics_number(out, name, labels, 2, 1);
}

/* ---- the server's process, by the names that Prometheus's own clients use ---- */

static void write_memory(struct cf_buf *out)
{
    char *text;
    size_t len;
    unsigned long long total, resident;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (cf_fd_read_file(AT_FDCWD, "/proc/self/statm", 256, &text, &len) < 0)
        return;
    if (sscanf(text, "%llu %llu", &total, &resident) == 2) {
        write_one(out, "process_virtual_memory_bytes", "gauge", "Virtual memory of the server's process", total * page);
        write_one(out, "process_resident_memory_bytes", "gauge", "Resident memory of the server's process",
                  resident * page);
    }
    free(text);
}

/* Since Linux 6.2 the folder's size is the number of descriptors; before, they have to be counted. */
static bool count_fds(uint64_t *ret_count)
{
    struct stat st;
    uint64_t count = 0;
    if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0) {
        *ret_count = (uint64_t)st.st_size;
        return true;
    }
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL)
        return false;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(dir);
    *ret_count = count - 1;             /* without the folder's own */
    return true;
}

static void write_process(struct cf_buf *out, const struct cf_server *server)
{
    struct rusage used;
    struct rlimit limit;
    uint64_t fds;
    cf_metrics_begin(out, "process_start_time_seconds", "gauge", "When the server's process started, as a Unix time");
    cf_metrics_seconds(out, "process_start_time_seconds", NULL, 0, server->metrics.started_wall_ns);
    if (getrusage(RUSAGE_SELF, &used) == 0) {
        int64_t s = used.ru_utime.tv_sec + used.ru_stime.tv_sec, us = used.ru_utime.tv_usec + used.ru_stime.tv_usec;
        cf_metrics_begin(out, "process_cpu_seconds_total", "counter",
                         "CPU time of the server's process, user and system");
        cf_metrics_seconds(out, "process_cpu_seconds_total", NULL, 0, s * CF_NS_PER_S + us * 1000);
    }
    write_memory(out);
    if (count_fds(&fds))
        write_one(out, "process_open_fds", "gauge", "Open descriptors of the server's process", fds);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        write_one(out, "process_max_fds", "gauge", "Descriptors that the server's process may have open",
                  limit.rlim_cur);
}

void cf_calls_metrics(struct cf_call *call)
{
    const struct cf_server *server = call->server;
    struct cf_buf *out = cf_call_plain(call, CF_METRICS_TYPE);
    write_build(out, server);
    write_sessions(out, cf_core_tally(server->core));
    write_ends(out, cf_core_tally(server->core));
    cf_ledger_count(server->ledger, cf_core_counts(server->core));
    cf_metrics_counters(out, cf_core_counts(server->core));
    write_server(out, server);
    cf_metrics_histograms(out, &server->metrics);
    write_process(out, server);
    cf_call_reply(call, 200);
}
