/* wire.h: what the keeper and the server say to each other.
 *
 * One SOCK_SEQPACKET pair, one fixed struct a packet, descriptors by SCM_RIGHTS.  The server asks,
 * the keeper answers and reports.  Each message has one row in CF_WIRE_REQUESTS or CF_WIRE_REPORTS:
 * its struct, how many descriptors come with it and the states in which it is legal.  A packet of
 * another size, with other descriptors, or in another state ends the connection: the keeper then
 * treats the server as dead.
 *
 * Reports about sessions wait in the keeper, at most four a session, for a server that does not read.  Answers
 * about sessions that it does not hold (SPAWNED with an error, ENDED with CF_RUNG_UNKNOWN) do not: while one cannot
 * be sent, the keeper reads nothing.  So a server must not block in sending: it sends without waiting, and reads.
 *
 * A server that dies is started anew, and meets the sessions that there are: after WELCOME come HELD and KEPT for each, with the descriptors that it
 * gave into the keeper's hand (HOLD), and again every report that it had not taken note of by FORGET.
 *
 * The structs hold no pointers and no padding that is not named; both ends are built from this file,
 * and CF_WIRE_VERSION in HELLO keeps two builds from talking past each other. */
#ifndef CURFEW_KEEPER_WIRE_H
#define CURFEW_KEEPER_WIRE_H

#include <stdint.h>

#define CF_WIRE_VERSION 4u
#define CF_WIRE_FDS_MAX 8
#define CF_WIRE_KEPT_MAX 128u           /* descriptors that are held of one session */
#define CF_WIRE_KEPT_SERVER_MAX 65536u  /* and of the server itself */
#define CF_WIRE_SERVER_FD 3            /* where an exec'd server finds its end of the pair */
#define CF_WIRE_ARGS_MAX (256u * 1024u) /* bytes of the block that describes argv and environment */

/* Connection states (C_) and session states (S_) of the permit table. */
#define CF_WIRE_C_NEW 1u               /* connected, HELLO not seen */
#define CF_WIRE_C_READY 2u             /* HELLO seen, WELCOME sent */
#define CF_WIRE_S_NONE 1u              /* the keeper holds no such session (never did, or it is gone) */
#define CF_WIRE_S_LIVE 2u              /* spawned, leader running */
#define CF_WIRE_S_LEFT 4u              /* leader gone, END not asked yet */
#define CF_WIRE_S_ENDING 8u            /* on the ladder */
#define CF_WIRE_S_ANY 15u

/* REQUEST(NAME, number, struct, descriptors min, max, connection states, session states)
 * Session states are 0 where a message names no session.  A request that names a session which is
 * in another state is answered as its comment says; everything else out of place drops the peer. */
#define CF_WIRE_REQUESTS(REQUEST) \
    REQUEST(HELLO,  1, cf_wire_hello,  0, 0, CF_WIRE_C_NEW,   0) \
    REQUEST(SPAWN,  2, cf_wire_spawn,  2, 7, CF_WIRE_C_READY, CF_WIRE_S_NONE) \
    REQUEST(RENEW,  3, cf_wire_renew,  0, 0, CF_WIRE_C_READY, 0) \
    REQUEST(SIGNAL, 4, cf_wire_signal, 0, 0, CF_WIRE_C_READY, CF_WIRE_S_ANY) \
    REQUEST(END,    5, cf_wire_end,    0, 0, CF_WIRE_C_READY, CF_WIRE_S_ANY) \
    REQUEST(BYE,    6, cf_wire_bye,    0, 0, CF_WIRE_C_READY, 0) \
    REQUEST(HOLD,   7, cf_wire_hold,   1, 8, CF_WIRE_C_READY, CF_WIRE_S_ANY) \
    REQUEST(DROP,   8, cf_wire_drop,   0, 0, CF_WIRE_C_READY, CF_WIRE_S_ANY) \
    REQUEST(FORGET, 9, cf_wire_forget, 0, 0, CF_WIRE_C_READY, CF_WIRE_S_ANY) \
    REQUEST(SERVING, 10, cf_wire_serving, 0, 0, CF_WIRE_C_READY, 0) \
    REQUEST(UPGRADE, 11, cf_wire_upgrade, 0, 0, CF_WIRE_C_READY, 0) \
    REQUEST(HANDOVER, 12, cf_wire_handover, 0, 0, CF_WIRE_C_READY, 0)

#define CF_WIRE_REPORTS(REPORT) \
    REPORT(WELCOME, 101, cf_wire_welcome) \
    REPORT(SPAWNED, 102, cf_wire_spawned) \
    REPORT(LEFT,    103, cf_wire_left) \
    REPORT(ENDED,   104, cf_wire_ended) \
    REPORT(SIGNALED, 105, cf_wire_signaled) \
    REPORT(HELD,    106, cf_wire_held) \
    REPORT(KEPT,    107, cf_wire_kept) \
    REPORT(LEAVE,   108, cf_wire_leave)

enum cf_wire_type {
#define ROW(name, number, ...) CF_WIRE_##name = number,
    CF_WIRE_REQUESTS(ROW)
    CF_WIRE_REPORTS(ROW)
#undef ROW
};

/* How a session's processes are held, strongest last.  CGROUP and PIDNS may both be set. */
#define CF_HOLD_SUBREAPER 1u
#define CF_HOLD_PIDNS 2u
#define CF_HOLD_CGROUP 4u

/* How a leader is started. */
#define CF_SPAWN_TERMINAL 1u           /* target 0 is a terminal that has no session yet; it becomes the leader's
                                          controlling terminal, with the leader's group in its foreground */
#define CF_SPAWN_FLAGS CF_SPAWN_TERMINAL /* all that there are */

/* HELLO: the first packet of a server. */
struct cf_wire_hello {
    uint32_t type;
    uint32_t version;               /* CF_WIRE_VERSION */
};

/* SPAWN: start a session's leader.
 * Descriptors: [0] the working folder (O_PATH or O_DIRECTORY), [1] a memfd with the argument block,
 * [2…] in the order of `fd_targets`, each placed at that number in the leader.  Targets that are not
 * given are: 0, 1, 2 → /dev/null; nothing else is open in the leader.
 * Argument block: `argc` strings, then `envc` strings, each NUL-terminated; argv[0] is the program's path.
 * The block has to be a memfd: nothing else is read.  At most 5 targets, none twice, each from 0 to 31.
 * Answered by SPAWNED; with status EEXIST when the key is held already, EINVAL, E2BIG or EBADF for values out of their
 * range (EINVAL also for CF_SPAWN_TERMINAL without a target 0), ENOTTY for a target 0 that is no terminal then, EOPNOTSUPP for a hold that is not offered, ESHUTDOWN while the keeper ends, ENOMEM when it holds its
 * maximum, EMFILE when it has no descriptors left, ECANCELED when END came first, else what exec gave. */
struct cf_wire_spawn {
    uint32_t type;
    uint32_t hold;                  /* CF_HOLD_* bits wanted; 0: what the keeper offers by itself */
    uint64_t key;                   /* the server's name for the session; not 0 */
    uint32_t argc;
    uint32_t envc;
    uint32_t args_bytes;            /* at most CF_WIRE_ARGS_MAX */
    uint32_t fd_count;              /* entries of fd_targets */
    int32_t fd_targets[8];
    int64_t lease_ms;               /* from now; over 0 */
    uint32_t flags;                 /* CF_SPAWN_* bits */
    uint32_t pad;
};

/* RENEW: the lease of one session, or of every live one when `key` is 0, runs `lease_ms` from now.
 * No answer; an unknown key is ignored (its ENDED is on its way). */
struct cf_wire_renew {
    uint32_t type;
    uint32_t pad;
    uint64_t key;
    int64_t lease_ms;
};

enum cf_wire_scope {
    CF_SCOPE_GROUP = 1,             /* the leader's process group, the leader included */
    CF_SCOPE_YOUNG = 2,             /* processes of the session, not the leader (nor the init), started at or
                                       after `since_ticks` (field 22 of /proc/PID/stat, clock ticks after boot) */
    CF_SCOPE_ALL = 3,               /* every process of the session */
    CF_SCOPE_LEADER = 4,            /* the leader alone */
    CF_SCOPE_SETTLED = 5,           /* as GROUP, but for copies of the leader that it has just forked and that still handle
                                       signals as if they were the leader */
};

/* SIGNAL: answered by SIGNALED once the signal was sent (or the session is gone or ending, and is left alone), so that
 * the server knows when no signal of its own is on its way any more. */
struct cf_wire_signal {
    uint32_t type;
    int32_t signo;
    uint64_t key;
    uint32_t scope;
    uint32_t pad;
    uint64_t since_ticks;
};

/* END: climb the ladder: close what the keeper holds of the session's stdin and stdout (the server closes
 * its own ends before it asks), 50 ms later, or a tenth of the grace if that is less, SIGINT and SIGCONT to every
 * process (a shell that sees its input closed goes by itself in that time), wait `grace_ms` or until nothing is left,
 * SIGKILL to the whole containment, prove it empty, report ENDED.  grace 0 kills at once.  A second END for a
 * session that is ending may only shorten the grace.  Unknown key: answered by ENDED with rung CF_RUNG_UNKNOWN. */
struct cf_wire_end {
    uint32_t type;
    uint32_t pad;
    uint64_t key;
    int64_t grace_ms;
};

/* BYE: the server is about to exit in order; the keeper ends what is left with this grace and exits. */
struct cf_wire_bye {
    uint32_t type;
    uint32_t pad;
    int64_t grace_ms;
};

/* HOLD: `count` descriptors come with it, which the keeper keeps open, for a server that comes after this one, under the session's key, or
 * under 0 for what is the server's own; each under its tag, in the place of one that has the same.  What a session has is closed when END comes for it (so
 * that its shell sees its input closed), or when its key is free; what the server has, by DROP.  Of an unknown key, of a session on the ladder and
 * beyond CF_WIRE_KEPT_MAX a session they are closed at once.  No answer. */
struct cf_wire_hold {
    uint32_t type;
    uint32_t count;                 /* 1 to CF_WIRE_FDS_MAX */
    uint64_t key;
    uint64_t tags[CF_WIRE_FDS_MAX]; /* not 0; those behind `count` are 0 */
};

/* DROP: closes what is held under a tag. No answer; an unknown one is ignored. */
struct cf_wire_drop {
    uint32_t type;
    uint32_t pad;
    uint64_t key;
    uint64_t tag;
};

/* FORGET: the server has taken note of this session's ENDED: the key is free.  No answer; ignored while the session is not reported as
 * ended.  Until it comes every next server is told again. */
struct cf_wire_forget {
    uint32_t type;
    uint32_t pad;
    uint64_t key;
};

/* SERVING: the server has taken over what there is, and serves.  One that dies before counts as a failed start. */
struct cf_wire_serving {
    uint32_t type;
    uint32_t pad;
};

/* UPGRADE: the server wants the program on disk to take its place; LEAVE follows.  Ignored while one is under way. */
struct cf_wire_upgrade {
    uint32_t type;
    uint32_t pad;
};

/* HANDOVER: the last word of a server that was told to LEAVE, before it exits: everything of it is in its records and the keeper's hand. */
struct cf_wire_handover {
    uint32_t type;
    uint32_t pad;
};

/* LEAVE: another server is to take this one's place.  It answers what it can within `drain_ms`, says HANDOVER and exits; one that
 * does not is killed, and nothing is lost by that either. */
struct cf_wire_leave {
    uint32_t type;
    uint32_t pad;
    int64_t drain_ms;
};

enum cf_upgrade_outcome {
    CF_UPGRADE_NONE = 0,            /* there was none */
    CF_UPGRADE_DONE = 1,            /* the server is what lay on the disk then */
    CF_UPGRADE_UNDONE = 2,          /* that did not serve: the server is what was there before */
};

/* WELCOME: the answer to HELLO. */
struct cf_wire_welcome {
    uint32_t type;
    uint32_t version;
    uint32_t hold_default;          /* CF_HOLD_* bits of a session that asks for nothing */
    uint32_t hold_offered;          /* bits that a session may ask for */
    uint32_t swept;                 /* processes of an earlier keeper that were found and killed */
    int32_t keeper_pid;             /* for logs */
    uint32_t servers;               /* that were SERVING before this one */
    uint32_t held;                  /* HELD reports that follow at once */
    uint32_t kept;                  /* descriptors that come between them */
    uint32_t upgrade;               /* enum cf_upgrade_outcome of the last one; DONE to the server that is on trial, too */
};

/* HELD: after WELCOME, of each session.  What it has not heard of yet, or not taken note of (LEFT, ENDED, and SPAWNED for one that was
 * still starting), follows as reports of their own; signals that an earlier server asked for have been sent. */
struct cf_wire_held {
    uint32_t type;
    uint32_t session_state;         /* CF_WIRE_S_LIVE, LEFT or ENDING; NONE: it is still starting */
    uint64_t key;
    int32_t pid;                    /* as in SPAWNED; 0 while it is starting */
    uint32_t hold;
};

/* KEPT: `count` descriptors come with it, as they came by HOLD; key 0: the server's own, which come before the first HELD, a session's behind its own HELD. */
struct cf_wire_kept {
    uint32_t type;
    uint32_t count;
    uint64_t key;
    uint64_t tags[CF_WIRE_FDS_MAX];
};

/* SPAWNED: `status` 0, or a positive errno and then there is no session. */
struct cf_wire_spawned {
    uint32_t type;
    int32_t status;
    uint64_t key;
    int32_t pid;                    /* of the leader as the keeper sees it; for logs */
    uint32_t hold;                  /* what holds it */
};

/* SIGNALED: that many SIGNALs of the session were carried out since the last such report. */
struct cf_wire_signaled {
    uint32_t type;
    uint32_t answers;
    uint64_t key;
};

/* LEFT: the leader is gone; other processes of the session may live on until END. */
struct cf_wire_left {
    uint32_t type;
    int32_t wait_status;            /* as waitpid(2) gives it */
    uint64_t key;
};

enum cf_rung {
    CF_RUNG_UNKNOWN = 0,            /* the keeper held no such session */
    CF_RUNG_EMPTY = 1,              /* nothing was left when END came */
    CF_RUNG_CLOSED = 2,             /* went when its input and output were closed */
    CF_RUNG_INTERRUPTED = 3,        /* went within the grace after SIGINT */
    CF_RUNG_KILLED = 4,             /* SIGKILL was needed, or asked for by grace 0 */
};
enum cf_end_cause {
    CF_CAUSE_ASKED = 1,             /* END */
    CF_CAUSE_LEASE = 2,             /* the lease ran out */
    CF_CAUSE_SERVER_LOST = 3,       /* the server went away */
    CF_CAUSE_SHUTDOWN = 4,          /* BYE, or a signal to the keeper */
};

/* ENDED: the containment is proven empty.  Sent once to a server for each session that was SPAWNED; the key is free when the server says FORGET. */
struct cf_wire_ended {
    uint32_t type;
    uint32_t cause;                 /* enum cf_end_cause */
    uint64_t key;
    uint32_t rung;                  /* enum cf_rung */
    int32_t wait_status;            /* the leader's, as waitpid(2) gives it */
    uint32_t killed;                /* processes that were alive when SIGKILL went out */
    uint32_t pad;
    int64_t took_ms;                /* from END to proof */
    int64_t closed_ms;              /* how long after END input and output were given up, … */
    int64_t interrupted_ms;         /* … SIGINT went out, … */
    int64_t killed_ms;              /* … SIGKILL went out for the first time; each -1: it did not come to that */
};

#endif
