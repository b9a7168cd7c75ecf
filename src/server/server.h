/* server.h: the one context of the server process, built by main and handed down. */
#ifndef CURFEW_SERVER_SERVER_H
#define CURFEW_SERVER_SERVER_H

#include "base/agents.h"
#include "base/settings.h"
#include "core/core.h"
#include "server/keep.h"
#include "server/metrics.h"
#include "server/shell.h"

#include <event2/event.h>

struct cf_archive;
struct cf_http;
struct cf_ledger;
struct cf_pool;
struct cf_sessions;
struct cf_sweep;
struct cf_tombs;
struct cf_shells;

struct cf_server {
    struct event_base *loop;
    struct cf_settings settings;        /* rows that change at run time are changed here, by sweep.c only */
    struct cf_agents *agents;           /* of the configuration; what is in it stays until the end */
    struct cf_core *core;
    struct cf_link *link;
    struct cf_keep keep;                /* what outlives the server */
    struct cf_heirs heirs;              /* what an earlier one left, while it is taken over */
    cf_vault_ref kept, agents_kept;     /* its settings in the vault, and the agents */
    bool sweep_stopped;                 /* the earlier one did not sweep */
    struct cf_http *http;
    struct cf_shell_host host;
    struct cf_shells *shells;
    struct cf_pool *pool;
    struct cf_sessions *sessions;
    struct cf_sweep *sweep;
    struct cf_tombs *tombs;
    struct cf_archive *archive;
    struct cf_ledger *ledger;           /* NULL: none is kept */
    struct event *ledger_event, *ledger_timer;
    struct cf_metrics metrics;
    struct event *renew_timer;
    struct event *term_event, *int_event, *shutdown_timer;
    int workspace_fd;                   /* the workspace folder, O_PATH */
    bool shutting_down;
    int64_t leave_until_ns;             /* another server takes over then at the latest; 0: none does */
    int64_t drain_until_ns;             /* while shutting down: when unanswered requests are given up */
    int exit_status;
};

#endif
