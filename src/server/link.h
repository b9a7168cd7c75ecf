/* link.h: the server's end of the wire to the keeper.
 *
 * One object owns the socket: it greets, sends requests, and hands each report to the shell that its key names. */
#ifndef CURFEW_SERVER_LINK_H
#define CURFEW_SERVER_LINK_H

#include "base/error.h"
#include "keeper/wire.h"

#include <event2/event.h>
#include <stdint.h>

struct cf_link;
struct cf_heirs;

/* What the keeper says; `arg` is the link's. Each report is borrowed for the call. */
struct cf_link_reports {
    void (*spawned)(void *arg, const struct cf_wire_spawned *report);
    void (*signaled)(void *arg, const struct cf_wire_signaled *report);
    void (*left)(void *arg, const struct cf_wire_left *report);
    void (*ended)(void *arg, const struct cf_wire_ended *report);
    void (*leave)(void *arg, const struct cf_wire_leave *report);
    void (*lost)(void *arg, const char *why);   /* the keeper is gone, or talks nonsense; nothing follows */
};

/* Takes over `fd`, sends HELLO and waits up to 10 s for WELCOME, and for what the keeper holds from an earlier server, which goes to `heirs`. */
int cf_link_open(int fd, struct cf_heirs *heirs, struct cf_link **ret, struct cf_error *error);
/* From now on the loop hands its reports on. 0 or CF_E_NO_MEMORY. */
int cf_link_listen(struct cf_link *link, struct event_base *loop, const struct cf_link_reports *reports, void *arg, struct cf_error *error);
void cf_link_close(struct cf_link **link);
const struct cf_wire_welcome *cf_link_welcome(const struct cf_link *link);

/* A program's arguments and environment as SPAWN takes them, in a memfd that may serve any number of spawns. */
struct cf_link_args {
    int fd;                                     /* owned; -1: none */
    uint32_t argc, envc, bytes;
};
/* Both lists end in NULL.  0, CF_E_TOO_LARGE when they pass CF_WIRE_ARGS_MAX, or CF_E_SYSTEM. */
int cf_link_args_make(const char *const *argv, const char *const *envv, struct cf_link_args *ret, struct cf_error *error);

/* What to start.  Everything is borrowed for the call. */
struct cf_link_spawn {
    uint64_t key;
    uint32_t hold;
    int cwd_fd;
    const struct cf_link_args *args;
    const int *fds;                             /* the server keeps its own copies */
    const int32_t *targets;
    uint32_t fd_count;
    uint32_t flags;                             /* CF_SPAWN_* of wire.h */
    int64_t lease_ms;
};
/* 0, or CF_E_UNAVAILABLE. */
int cf_link_spawn(struct cf_link *link, const struct cf_link_spawn *what, struct cf_error *error);
/* These cannot fail but by losing the keeper, which `lost` reports. */
void cf_link_renew(struct cf_link *link, uint64_t key, int64_t lease_ms);
void cf_link_signal(struct cf_link *link, uint64_t key, int signo, enum cf_wire_scope scope, uint64_t since_ticks);
void cf_link_end(struct cf_link *link, uint64_t key, int64_t grace_ms);
void cf_link_bye(struct cf_link *link, int64_t grace_ms);
/* `count` up to CF_WIRE_FDS_MAX; the descriptors stay the caller's. */
void cf_link_hold(struct cf_link *link, uint64_t key, const uint64_t *tags, const int *fds, uint32_t count);
void cf_link_drop(struct cf_link *link, uint64_t key, uint64_t tag);
void cf_link_forget(struct cf_link *link, uint64_t key);
void cf_link_serving(struct cf_link *link);
void cf_link_upgrade(struct cf_link *link);
void cf_link_handover(struct cf_link *link);

#endif
