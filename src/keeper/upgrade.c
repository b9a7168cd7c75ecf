/* upgrade.c: LEAVING until the server has gone, TRYING until the next one serves.
 *
 * Nothing depends on the old server's leaving in order: one that is killed on the way is followed like any that dies. */
#include "keeper/upgrade.h"
#include "base/log.h"
#include "keeper/keeper.h"

#include <signal.h>

#define LEAVE_EXTRA_NS (5 * CF_NS_PER_S)        /* beyond its drain, for a server to go */
#define TRIAL_NS (30 * CF_NS_PER_S)             /* for a fresh one to serve */

void cf_upgrade_begin(struct cf_keeper *k, const char *who)
{
    struct cf_upgrade *u = &k->upgrade;

    if (u->state != CF_UPGRADE_IDLE || k->phase != CF_PHASE_SERVING || !k->revival.serving || k->config.start_server == NULL) {
        cf_log(CF_LOG_WARNING, "%s asks for an upgrade, which cannot be now", who);
        return;
    }
    cf_log(CF_LOG_INFO, "%s asks for an upgrade: the server is to leave", who);
    u->state = CF_UPGRADE_LEAVING;
    u->leave_due = true;
    u->until_ns = k->now_ns + k->config.drain_ms * CF_NS_PER_MS + LEAVE_EXTRA_NS;
}

bool cf_upgrade_after(struct cf_keeper *k, const char *how)
{
    struct cf_upgrade *u = &k->upgrade;

    if (u->state == CF_UPGRADE_IDLE || k->phase != CF_PHASE_SERVING)
        return false;
    k->revival.serving = false;
    k->revival.due_ns = k->now_ns;
    u->leave_due = false;
    if (u->state == CF_UPGRADE_LEAVING) {
        k->revival.lost_ns = k->now_ns;
        u->state = CF_UPGRADE_TRYING;
        u->until_ns = k->now_ns + TRIAL_NS;
        cf_log(CF_LOG_INFO, "the server %s; starting what is on the disk", how);
        return true;
    }
    u->state = CF_UPGRADE_IDLE;
    u->until_ns = CF_NEVER_NS;
    u->outcome = CF_UPGRADE_UNDONE;
    if (k->config.settle_server != NULL)
        k->config.settle_server(k->config.start_context, false);
    cf_log(CF_LOG_ERROR, "the upgrade failed: the fresh server %s before it served; starting the old one again", how);
    return true;
}

void cf_upgrade_served(struct cf_keeper *k)
{
    struct cf_upgrade *u = &k->upgrade;

    if (u->state != CF_UPGRADE_TRYING)
        return;
    u->state = CF_UPGRADE_IDLE;
    u->until_ns = CF_NEVER_NS;
    u->outcome = CF_UPGRADE_DONE;
    if (k->config.settle_server != NULL)
        k->config.settle_server(k->config.start_context, true);
    cf_log(CF_LOG_INFO, "the upgrade is done");
}

enum cf_start cf_upgrade_start(const struct cf_keeper *k)
{
    return k->upgrade.state == CF_UPGRADE_TRYING ? CF_START_FRESH : CF_START_CURRENT;
}

void cf_upgrade_turn(struct cf_keeper *k)
{
    struct cf_upgrade *u = &k->upgrade;

    if (u->until_ns > k->now_ns)
        return;
    u->until_ns = CF_NEVER_NS;
    if (u->state == CF_UPGRADE_IDLE || k->server_pid == 0)
        return;
    cf_log(CF_LOG_WARNING, u->state == CF_UPGRADE_LEAVING ? "the server does not leave; killing it" : "the fresh server does not serve; killing it");
    cf_keeper_signal_server(k, SIGKILL);
}
