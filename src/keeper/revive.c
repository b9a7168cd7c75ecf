#include "keeper/revive.h"
#include "base/log.h"
#include "keeper/upgrade.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define PAUSE_MS 100                    /* before the second start in a row */
#define PAUSE_TIMES 100                 /* the longest, of the shortest */
#define SETTLED_MS 10000                /* of serving: a death after it is the first in a row */
#define LINGER_NS (2 * CF_NS_PER_S)     /* for a server to go whose connection has ended */

/* Of the next start, after so many in a row. */
static int64_t pause_ms(const struct cf_keeper *k)
{
    int64_t first = k->config.restart_pause_ms != 0 ? k->config.restart_pause_ms : PAUSE_MS, pause = first;

    if (k->revival.starts == 0 || first < 0)
        return 0;
    for (uint32_t i = 1; i < k->revival.starts && pause < first * PAUSE_TIMES; i++)
        pause *= 2;
    return pause < first * PAUSE_TIMES ? pause : first * PAUSE_TIMES;
}

/* What became of the one that is gone counts, then the next is due; or it is given up. */
static bool plan(struct cf_keeper *k, const char *how)
{
    struct cf_revival *r = &k->revival;
    int64_t settled_ms = k->config.settled_ms != 0 ? k->config.settled_ms : SETTLED_MS, pause;

    if (r->serving && k->now_ns - r->serving_ns >= settled_ms * CF_NS_PER_MS)
        r->starts = 0;
    r->serving = false;
    r->due_ns = CF_NEVER_NS;
    if (r->lost_ns == 0)
        r->lost_ns = k->now_ns;
    if (r->starts >= k->config.server_restarts) {
        cf_log(CF_LOG_ERROR, "started %u servers in a row in vain", r->starts);
        r->gave_up = true;
        return false;
    }
    pause = pause_ms(k);
    r->starts++;
    r->due_ns = k->now_ns + pause * CF_NS_PER_MS;
    if (pause == 0)
        cf_log(CF_LOG_ERROR, "the server %s; starting it again (%u sessions wait)", how, cf_table_count_alive(&k->table));
    else
        cf_log(CF_LOG_ERROR, "the server %s; starting it again in %lld ms (%u sessions wait)", how, (long long)pause,
               cf_table_count_alive(&k->table));
    return true;
}

bool cf_revive_after(struct cf_keeper *k, const char *how, bool unruly)
{
    if (k->server_pid == 0 && cf_upgrade_after(k, how))
        return true;
    if (!cf_revive_may(k) && k->upgrade.state == CF_UPGRADE_IDLE)
        return false;
    if (k->server_pid == 0)
        return plan(k, how);
    /* Its end is next, and says how it came.  One that broke the rules is not waited for. */
    if (unruly)
        cf_log(CF_LOG_ERROR, "the server %s; killing it", how);
    k->revival.due_ns = k->now_ns + (unruly ? 0 : LINGER_NS);
    return true;
}

static void kill_hung(struct cf_keeper *k)
{
    k->revival.hung = false;
    cf_log(CF_LOG_ERROR, "the server hangs: it did not renew the leases; killing it (%u sessions wait)", cf_table_count_alive(&k->table));
    if (k->server_pid != 0)
        cf_keeper_signal_server(k, SIGKILL);
    else if (k->link.fd >= 0)
        k->link.lost = k->link.unruly = true;
}

static int start(struct cf_keeper *k)
{
    int fd;
    pid_t pid = k->config.start_server(k->config.start_context, cf_upgrade_start(k), &fd);

    if (pid < 0) {
        cf_log(CF_LOG_ERROR, "cannot start the server: %s", strerror(errno));
        return -1;
    }
    cf_keeper_connect(k, fd, pid);
    return 0;
}

int cf_revive_turn(struct cf_keeper *k)
{
    struct cf_revival *r = &k->revival;

    if (r->hung)
        kill_hung(k);
    if (r->due_ns > k->now_ns)
        return 0;
    r->due_ns = CF_NEVER_NS;
    if (k->server_pid != 0)
        cf_keeper_signal_server(k, SIGKILL);
    else if (k->phase == CF_PHASE_SERVING && k->link.fd < 0)
        return start(k);
    return 0;
}
