/* context.h: the keeper's one context, for the files of this folder only. */
#ifndef CURFEW_KEEPER_CONTEXT_H
#define CURFEW_KEEPER_CONTEXT_H

#include "base/clock.h"
#include "keeper/cgroup.h"
#include "keeper/kept.h"
#include "keeper/keeper.h"
#include "keeper/permit.h"
#include "keeper/procs.h"
#include "keeper/table.h"

#include <stdbool.h>

/* What containment does for the ladder.  A fuzz harness puts its own here. */
struct cf_hold_ops {
    /* 0 or an errno; then what was begun is killed and released as ever.  Takes no descriptor over. */
    int (*start)(struct cf_keeper *k, struct cf_held *held, const struct cf_spawn_plan *plan, const int *fds);
    /* 0, or -1: it could not be sent. */
    int (*signal)(struct cf_keeper *k, struct cf_held *held, const struct cf_scope *scope, int signo, bool wake);
    void (*kill)(struct cf_keeper *k, struct cf_held *held);
    bool (*empty)(struct cf_keeper *k, struct cf_held *held);       /* the proof */
    int (*release)(struct cf_keeper *k, struct cf_held *held);      /* 0, or -1: not yet */
};

/* How far the next server has been told what there is; see handover.c. */
struct cf_handover {
    bool running;                       /* no request is read meanwhile, so that nothing of it changes underhand */
    bool introduced;                    /* of the session at `slot`, HELD is out */
    uint32_t slot;
    uint32_t cursor;                    /* among the descriptors of the server or of that session */
    bool own_done;
};

/* The connection to the server. */
struct cf_link {
    int fd;                             /* -1: none */
    uint32_t state;                     /* CF_WIRE_C_* */
    uint32_t serial;                    /* number of this connection */
    bool lost;                          /* to be dropped by the loop */
    bool unruly;                        /* it broke the rules, or hangs: what it may yet say does not count */
    bool mute;                          /* nobody is there to hear: what was said last is read, and not answered */
    bool said_bye;
    bool blocked;                       /* it does not read: what is owed waits */
    bool answer_kept;                   /* `answer` waits, too: nothing is read from it before that is out */
    uint32_t watched;                   /* what epoll watches for */
    union { struct cf_wire_spawned spawned; struct cf_wire_signaled signaled; struct cf_wire_ended ended; } answer;
    size_t answer_len;
    uint32_t owed_first, owed_last;     /* slot + 1; sessions that owe a report */
    struct cf_handover handover;
};

/* Servers that die, and those that come after them; see revive.c. */
struct cf_revival {
    uint32_t served;                    /* servers that said SERVING */
    bool serving;                       /* this one has */
    bool hung;                          /* it let a lease run out: to be killed by the loop */
    bool gave_up;
    int64_t serving_ns;                 /* when it said so */
    int64_t lost_ns;                    /* when the one before it was lost; 0: none was */
    uint32_t starts;                    /* in a row */
    int64_t due_ns;                     /* of the next start, or of the kill of a server that does not go; CF_NEVER_NS */
};

/* Another program in the server's place; see upgrade.c. */
struct cf_upgrade {
    enum { CF_UPGRADE_IDLE, CF_UPGRADE_LEAVING, CF_UPGRADE_TRYING } state;
    bool leave_due;                     /* LEAVE is to be sent */
    int64_t until_ns;                   /* end of the patience with this state; CF_NEVER_NS */
    uint32_t outcome;                   /* enum cf_upgrade_outcome of the last one */
};

enum cf_phase {
    CF_PHASE_SERVING,
    CF_PHASE_DRAINING,                  /* told to go; the server has been told, too */
    CF_PHASE_ENDING,                    /* every session is on its way out, none comes in */
};

/* A containment without its session: what a spare is, and what a start takes over. */
struct cf_berth {
    uint32_t hold;                      /* CF_HOLD_*; 0: there is none */
    uint32_t cgroup;                    /* its number; 0: none */
    int cgroup_fd;                      /* only where no init is in it yet; -1: none */
    pid_t init_pid;                     /* our child; 0: none */
    int control_fd;                     /* to the init; -1: none */
};

struct cf_keeper {
    struct cf_keeper_config config;
    const struct cf_hold_ops *ops;
    struct cf_table table;
    struct cf_cgroups cgroups;
    struct cf_link link;
    uint32_t links;                     /* connections that there were */
    struct cf_upgrade upgrade;
    struct cf_kept kept;
    struct cf_revival revival;
    enum cf_phase phase;
    uint32_t hold_default, hold_offered;
    bool user_namespace;                /* a PID namespace takes one, as the keeper is not root */
    uint32_t swept;
    uint32_t last_cgroup;
    struct cf_berth spare;
    int64_t spare_due_ns;               /* when the next spare is made; CF_NEVER_NS: no need */
    bool sweep_due;                     /* some session has a swept_signo */
    int proc_fd, epoll_fd, signal_fd;
    int64_t now_ns;                     /* read once each turn of the loop */
    pid_t server_pid;                   /* 0: none, or reaped */
    int64_t phase_until_ns;             /* when DRAINING turns to ENDING, or a server that does not go is killed */
    int exit_status;
};

/* What an epoll event is about. */
enum cf_watch { CF_WATCH_SIGNAL = 1, CF_WATCH_LINK = 2, CF_WATCH_CONTROL = 3, CF_WATCH_EVENTS = 4 };
/* Watches a session's descriptor; 0, or -1 and errno. */
int cf_keeper_watch(struct cf_keeper *k, enum cf_watch what, const struct cf_held *held, int fd, uint32_t events);

/* Serves this connection from now on; as cf_keeper_serve takes it. */
void cf_keeper_connect(struct cf_keeper *k, int server_fd, pid_t server_pid);
void cf_keeper_signal_server(const struct cf_keeper *k, int signo);
/* Puts every session on the ladder. */
void cf_keeper_end_all(struct cf_keeper *k, enum cf_end_cause cause, int64_t grace_ms);

#endif
