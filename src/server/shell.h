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
#include "server/journal.h"
#include "server/link.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stdint.h>

/* Bytes of the longest status: a path of PATH_MAX, a word and a number. */
#define CF_STATUS_MAX 4160

enum cf_shell_state { CF_SHELL_BOOTING, CF_SHELL_READY, CF_SHELL_RUNNING, CF_SHELL_SYNCING, CF_SHELL_DEAD };

/* How a command went.  Borrowed for the callback; what its record says is there for longer. */
struct cf_exec_result {
    struct cf_exec *exec;               /* ended but for its `session_state`, which the callback sets */
    bool shell_left;                    /* the shell itself went, with wait_status */
    bool wedged;                        /* neither the interrupt nor the kill gave the shell back */
    const struct cf_error *refused;     /* why the command did not begin after it was taken; NULL: it did */
    int wait_status;
};

struct cf_channel;
struct cf_heir;
struct cf_keep;
struct cf_pace;
struct cf_vault_record;
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
    char *driver_path;                  /* of driver.bash, where sessions can read it; likewise the other two */
    char *driver_loop_path;             /* which driver.bash finds beside itself */
    char *terminal_path, *terminal_run_path;
    struct cf_journal_limits limits;    /* of each session's journal */
    char **env;                         /* the same environment as a list, for shells with arguments of their own */
    char **locale_env;                  /* and the locale's variables, which that has not */
    char *scratch;                      /* read buffer of terminals, shared */
    size_t scratch_bytes;
    struct cf_pace *pace;               /* of all output */
    struct cf_spool_budget budget;      /* of all together */
    const struct cf_keep *keep;         /* what outlives the server; NULL: nothing */
    uint32_t servers;                   /* that served before this one */
};

struct cf_shell_events {
    void (*ready)(struct cf_shell *shell, void *arg);           /* once, when it has booted */
    void (*prepared)(struct cf_shell *shell, void *arg, int exit_code);     /* what cf_shell_prepare ran has ended */
    void (*left)(struct cf_shell *shell, void *arg, int wait_status);   /* its process went by itself, before cf_shell_end */
    void (*ended)(struct cf_shell *shell, void *arg, const struct cf_wire_ended *report);   /* nothing is left; free it */
    void (*failed)(struct cf_shell *shell, void *arg, const struct cf_error *why);  /* could not start, or talks nonsense: end it */
    void (*room)(struct cf_shell *shell, void *arg);            /* of a terminal: all that was typed is out, or it is gone; may be NULL */
};

typedef void cf_exec_done(void *arg, const struct cf_exec_result *result);

/* A command to run.  All of it is borrowed for the call. */
struct cf_exec_spec {
    const char *text;                   /* without a NUL */
    size_t len;
    int64_t timeout_ns;                 /* 0: none */
    const char *input;                  /* what its stdin holds; NULL: nothing */
    size_t input_len;
    bool input_open;                    /* more comes by cf_shell_input */
};

/* A shell with a terminal: bash as a person would have it. */
struct cf_terminal {
    unsigned cols, rows;
    const char *setup;                  /* bash text that it runs before its first prompt; NULL: none */
};

/* Makes all of a shell but its process: it prints to `channel`, which it takes over, also when it fails.  `terminal` is NULL for
 * one that only runs commands. */
int cf_shell_make(const struct cf_shell_host *host, struct cf_channel *channel, const struct cf_terminal *terminal, struct cf_shell **ret,
                  struct cf_error *error);
/* The same for a program of its own in the place of the shell: see program.h. */
struct cf_program;
int cf_shell_make_program(const struct cf_shell_host *host, struct cf_channel *channel, const struct cf_program *program,
                          struct cf_shell **ret, struct cf_error *error);
/* Asks the keeper to start it under `key` in the folder `cwd_fd` (borrowed).  When it fails the shell is as before. */
int cf_shell_launch(struct cf_shell *shell, uint64_t key, int cwd_fd, const struct cf_shell_events *events, void *arg,
                    struct cf_error *error);
/* Only when it is not with the keeper: before launch, after `ended`, or when the server is going down. */
void cf_shell_free(struct cf_shell **shell);
/* ---- from one server to the next (shell_kept.c) ---- */

/* The session that it belongs to, by its number; 0: none yet. */
void cf_shell_belongs(struct cf_shell *shell, uint64_t session);
uint64_t cf_shell_session(const struct cf_shell *shell);
/* The shell of an earlier server: its record (kind SHELL), and what the keeper holds of it.  It prints to `journal` (borrowed for the call), which
 * cf_shell_kept_journal names.  `done` is told of a command that runs, as with cf_shell_exec.  On failure *ret is a shell with which nothing can be done but to end and free it, or NULL: out of memory. */
uint64_t cf_shell_kept_journal(const struct cf_vault_record *record);
/* Its folder; false when the record is none. */
bool cf_shell_kept_path(const struct cf_vault_record *record, char *ret, size_t size);
uint64_t cf_shell_kept_session(const struct cf_vault_record *record);
int cf_shell_restore(const struct cf_shell_host *host, const struct cf_vault_record *record, struct cf_heir *heir, struct cf_journal *journal,
                     const struct cf_shell_events *events, cf_exec_done *done, void *arg, struct cf_shell **ret, struct cf_error *error);
/* What the earlier server had read of its statuses and may not have understood. */
void cf_shell_replay(struct cf_shell *shell, char *bytes, size_t len);
/* Its record is nobody's any more: it is not written anew, nor dropped when the shell is freed. */
void cf_shell_disown(struct cf_shell *shell);
/* Drops the record of one that has ended. */
void cf_shell_forget(struct cf_shell *shell);
/* The grace with which its end was asked for; `otherwise` when that was not. */
int64_t cf_shell_end_grace(const struct cf_shell *shell, int64_t otherwise);
/* Goes on with what it was doing. */
void cf_shell_resume(struct cf_shell *shell);

/* Who gets its events from now on. */
void cf_shell_adopt(struct cf_shell *shell, const struct cf_shell_events *events, void *arg);

uint64_t cf_shell_key(const struct cf_shell *shell);
uint32_t cf_shell_hold(const struct cf_shell *shell);           /* CF_HOLD_* bits */
int cf_shell_pid(const struct cf_shell *shell);
const char *cf_shell_path(const struct cf_shell *shell);        /* of its folder */
/* Whether its end began by giving up its pipes while it was alive: then it went by that when the keeper found nothing left. */
bool cf_shell_was_closed(const struct cf_shell *shell);
uint64_t cf_shell_last_seq(const struct cf_shell *shell);       /* of what was written to a program */
struct cf_journal *cf_shell_journal(const struct cf_shell *shell);
/* It takes the place of another, before it has run anything: goes on in its journal, and in the numbers of what was typed. */
void cf_shell_succeed(struct cf_shell *shell, const struct cf_shell *old);

/* Runs bash text of the server's own before anybody's command: a command that comes meanwhile waits for it.  What it prints is
 * late output.  Only when READY.  `prepared` follows, unless the shell ends first. */
int cf_shell_prepare(struct cf_shell *shell, const char *text, struct cf_error *error);
/* Runs a command, at once or when BOOTING or SYNCING is over.  `done` is called exactly once unless the shell ends first.
 * *ret_exec is its record, borrowed.  0, CF_E_BUSY, CF_E_NOT_READY, CF_E_SYSTEM, CF_E_NO_MEMORY. */
int cf_shell_exec(struct cf_shell *shell, const struct cf_exec_spec *spec, struct cf_now now, cf_exec_done *done, void *arg,
                  struct cf_exec **ret_exec, struct cf_error *error);
/* The command that runs; NULL when none does. */
struct cf_exec *cf_shell_running(const struct cf_shell *shell);
/* Ends the running command as a timeout would: an interrupt, then a kill of what it started. */
void cf_shell_cancel(struct cf_shell *shell);
/* Sends a signal to the running command: SIGINT to the foreground job, another to all that it started.  In a terminal without a
 * running command INT, QUIT and TSTP go to the program that has it.  0, CF_E_NOT_READY or CF_E_SYSTEM. */
int cf_shell_signal(struct cf_shell *shell, int signo, struct cf_error *error);

/* Text for the running command's stdin, or for a terminal. */
struct cf_input {
    const char *data;
    size_t len;
    bool eof;                           /* nothing comes after it */
    uint64_t seq;                       /* what is not above the last one is a repetition, and dropped; 0: has none */
    bool of_command;                    /* never to be typed into a terminal */
};
/* A command that was started with open input gets it, also when it has closed that by now; else a terminal does, which counts `seq` of its own.
 * 0 and whether it was a repetition, whether stdin is open after it; CF_E_NOT_READING; CF_E_TOO_MANY when what waits to be read would be more than
 * max_input_bytes. */
int cf_shell_input(struct cf_shell *shell, const struct cf_input *input, bool *ret_repeated, bool *ret_open, struct cf_error *error);
/* For those with a terminal; else CF_E_NOT_READY.  Typing: CF_E_TOO_MANY when more than max_input_bytes would wait. */
int cf_shell_type(struct cf_shell *shell, const char *bytes, size_t len, struct cf_error *error);
/* Types what there is room for of it, which may be nothing: `room` follows when that is not all. */
int cf_shell_type_some(struct cf_shell *shell, const char *bytes, size_t len, size_t *ret_typed, struct cf_error *error);
int cf_shell_resize(struct cf_shell *shell, unsigned cols, unsigned rows, struct cf_error *error);
/* False when it has no terminal. */
bool cf_shell_screen(const struct cf_shell *shell, unsigned *ret_cols, unsigned *ret_rows);
/* Whether a program has the terminal, and not the shell at its prompt. */
bool cf_shell_at_work(const struct cf_shell *shell);

/* Starts the ladder: hangs up and asks the keeper to end it. Again with a shorter grace is allowed. */
void cf_shell_end(struct cf_shell *shell, int64_t grace_ns);
/* The keeper's reports, routed here by key. */
void cf_shell_on_spawned(struct cf_shell *shell, const struct cf_wire_spawned *report);
void cf_shell_on_signaled(struct cf_shell *shell, const struct cf_wire_signaled *report);
void cf_shell_on_left(struct cf_shell *shell, const struct cf_wire_left *report);
void cf_shell_on_ended(struct cf_shell *shell, const struct cf_wire_ended *report);

#endif
