/* shell.h: one bash that runs commands: the driver on private descriptors (driver.bash), and what it is doing.
 *
 * Knows nothing of sessions or HTTP.  A shell is BOOTING until its driver has answered, READY, RUNNING one command, or
 * SYNCING after an interrupt (until it is certain that no signal is under way and the driver listens) or while it is prepared, and in the end DEAD.
 * Callbacks come from the loop, never from inside a call of these functions. */
#ifndef CURFEW_SERVER_SHELL_H
#define CURFEW_SERVER_SHELL_H

#include "base/clock.h"
#include "base/error.h"
#include "base/settings.h"
#include "server/capture.h"
#include "server/link.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

/* Bytes of the longest status: a path of PATH_MAX, a word and a number. */
#define CF_STATUS_MAX 4160

enum cf_shell_state { CF_SHELL_BOOTING, CF_SHELL_READY, CF_SHELL_RUNNING, CF_SHELL_SYNCING, CF_SHELL_DEAD };

/* How a command went.  Borrowed for the callback. */
struct cf_exec_result {
    int exit_code;                      /* as $? shows it: 128 + signal when a signal ended it */
    bool timed_out;
    bool shell_left;                    /* the shell itself went, with wait_status */
    bool wedged;                        /* neither the interrupt nor the kill gave the shell back */
    int wait_status;
    int64_t duration_ns;
    const char *cwd;
    const struct cf_capture *out, *err;
};

/* Loop priorities: work that nobody waits for runs when nothing else is to do. */
#define CF_SHELL_PRIORITIES 3
#define CF_SHELL_PRIORITY_IDLE 2

struct cf_channel;
struct cf_shell;

/* What all shells of a server share; borrowed for their life. */
struct cf_shell_host {
    struct event_base *loop;
    struct cf_link *link;
    const struct cf_settings *settings;
    uid_t uid;                          /* that sessions run as */
    gid_t gid;
    struct cf_link_args args;           /* the shell's program, options and environment */
    char *locale;                       /* bash text that sets the locale's variables, once a shell is up */
    char *driver_path;                  /* of driver.bash, where sessions can read it */
    char *scratch;                      /* read buffer, shared by all channels */
    size_t scratch_bytes;
};

struct cf_shell_events {
    void (*ready)(struct cf_shell *shell, void *arg);           /* once, when it has booted */
    void (*prepared)(struct cf_shell *shell, void *arg, int exit_code);     /* what cf_shell_prepare ran has ended */
    void (*left)(struct cf_shell *shell, void *arg, int wait_status);   /* its process went by itself, before cf_shell_end */
    void (*ended)(struct cf_shell *shell, void *arg, const struct cf_wire_ended *report);   /* nothing is left; free it */
    void (*failed)(struct cf_shell *shell, void *arg, const struct cf_error *why);  /* could not start, or talks nonsense: end it */
};

typedef void cf_exec_done(void *arg, const struct cf_exec_result *result);

/* Makes all of a shell but its process: it prints to `channel`, which it takes over, also when it fails. */
int cf_shell_make(const struct cf_shell_host *host, struct cf_channel *channel, struct cf_shell **ret, struct cf_error *error);
/* Asks the keeper to start it under `key` in the folder `cwd_fd` (borrowed).  When it fails the shell is as before. */
int cf_shell_launch(struct cf_shell *shell, uint64_t key, int cwd_fd, const struct cf_shell_events *events, void *arg,
                    struct cf_error *error);
/* Only when it is not with the keeper: before launch, after `ended`, or when the server is going down. */
void cf_shell_free(struct cf_shell **shell);
/* Who gets its events from now on. */
void cf_shell_adopt(struct cf_shell *shell, const struct cf_shell_events *events, void *arg);

uint64_t cf_shell_key(const struct cf_shell *shell);
uint32_t cf_shell_hold(const struct cf_shell *shell);           /* CF_HOLD_* bits */
int cf_shell_pid(const struct cf_shell *shell);
/* The command that runs, its length and since when (monotonic); NULL when none does. */
const char *cf_shell_command(const struct cf_shell *shell, size_t *ret_len, int64_t *ret_since_ns);

/* Runs bash text of the server's own before anybody's command: a command that comes meanwhile waits for it.  What it prints is
 * late output.  Only when READY.  `prepared` follows, unless the shell ends first. */
int cf_shell_prepare(struct cf_shell *shell, const char *text, struct cf_error *error);
/* Runs `text` (no NUL; copied when it has to wait for SYNCING).  `done` is called exactly once unless the shell ends first,
 * in which case cf_shell_exec_lost tells.  0, CF_E_BUSY, CF_E_NOT_READY, CF_E_SYSTEM. */
int cf_shell_exec(struct cf_shell *shell, const char *text, size_t len, int64_t timeout_ns, struct cf_now now,
                  cf_exec_done *done, void *arg, struct cf_error *error);
/* Starts the ladder: hangs up and asks the keeper to end it. Again with a shorter grace is allowed. */
void cf_shell_end(struct cf_shell *shell, int64_t grace_ns);
/* Appends the last output that is known: of the running command or the last one, and of background jobs. */
void cf_shell_last_output(const struct cf_shell *shell, size_t max, struct cf_buf *out);

/* The keeper's reports, routed here by key. */
void cf_shell_on_spawned(struct cf_shell *shell, const struct cf_wire_spawned *report);
void cf_shell_on_signaled(struct cf_shell *shell, const struct cf_wire_signaled *report);
void cf_shell_on_left(struct cf_shell *shell, const struct cf_wire_left *report);
void cf_shell_on_ended(struct cf_shell *shell, const struct cf_wire_ended *report);

#endif
