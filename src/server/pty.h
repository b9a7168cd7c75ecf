/* pty.h: the server's end of a session's terminal.
 *
 * Knows nothing of shells.  A terminal is opened, its other end goes to the keeper with CF_SPAWN_TERMINAL, and cf_pty_begin
 * then closes the server's copy of that end and starts to read, so that a hang-up is seen when the last process has let go of it.
 * Callbacks come from the loop, or from cf_pty_drain, never from inside another call; they must not free the terminal. */
#ifndef CURFEW_SERVER_PTY_H
#define CURFEW_SERVER_PTY_H

#include "base/error.h"

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct cf_pty;

struct cf_pty_events {
    void (*output)(void *arg, const char *bytes, size_t len);   /* what was printed; borrowed for the call */
    void (*written)(void *arg);                     /* nothing waits to be written any more; it may be written to */
    void (*hung_up)(void *arg);                     /* once, after all output: nobody holds the other end */
};

struct cf_pty_options {
    unsigned cols, rows;
    uid_t uid;                                      /* owner of the terminal: the session's user */
    gid_t gid;                                      /* its group where the system has no group `tty` */
    size_t queue_max;                               /* bytes that may wait to be written */
    char *scratch;                                  /* read buffer, shared and borrowed */
    size_t scratch_bytes;
};

/* Opens a pair: mode 0620 for the group tty, else 0600; UTF-8, and Ctrl-C, Ctrl-Z and the like as a login has them.
 * 0, CF_E_SYSTEM with the system's reason, or CF_E_NO_MEMORY. */
int cf_pty_open(struct event_base *loop, const struct cf_pty_options *options, struct cf_pty **ret, struct cf_error *error);
/* One that an earlier server had opened, by its own end, which it takes over; cf_pty_begin follows. */
int cf_pty_restore(struct event_base *loop, const struct cf_pty_options *options, int master_fd, struct cf_pty **ret, struct cf_error *error);
int cf_pty_master_fd(const struct cf_pty *pty);     /* borrowed */
/* Closes it.  Whoever has it as controlling terminal gets SIGHUP.  NULL is fine. */
void cf_pty_free(struct cf_pty **pty);

/* The end for the leader's 0, 1 and 2; borrowed, and valid until cf_pty_begin. */
int cf_pty_slave_fd(const struct cf_pty *pty);
/* The keeper has the other end.  0, or CF_E_NO_MEMORY. */
int cf_pty_begin(struct cf_pty *pty, const struct cf_pty_events *events, void *arg, struct cf_error *error);

/* Types `len` bytes.  All or nothing: what the terminal does not take at once waits, up to queue_max in all, and CF_E_TOO_MANY
 * says that it is full.  CF_E_NOT_READY before cf_pty_begin and when it is hung up, CF_E_NO_MEMORY. */
int cf_pty_write(struct cf_pty *pty, const void *bytes, size_t len, struct cf_error *error);
size_t cf_pty_waiting(const struct cf_pty *pty);    /* bytes that wait */
size_t cf_pty_room(const struct cf_pty *pty);       /* bytes for which there is room; when there is none, `written` or `hung_up` follows */
/* Reads what has been printed until now, up to what a terminal can hold. For the end: there may be no turn of the loop any more. */
void cf_pty_drain(struct cf_pty *pty);

/* Sets the size; the group in front gets SIGWINCH when it is another.  0 or CF_E_SYSTEM. */
int cf_pty_resize(struct cf_pty *pty, unsigned cols, unsigned rows, struct cf_error *error);
/* The process group in front, by the number that this process knows it by, also when it lives in a PID namespace below; so it can be
 * compared with the leader's pid as SPAWNED gives it.  0: none, or gone. */
pid_t cf_pty_foreground(const struct cf_pty *pty);
/* Remembers the terminal's modes; and gives them back if they are others now, provided that they were those of a program that reads
 * key by key, such as a shell's line editor: one that does not see that its modes were changed meanwhile. */
void cf_pty_keep_modes(struct cf_pty *pty);
void cf_pty_restore_modes(struct cf_pty *pty);
/* SIGINT, SIGQUIT or SIGTSTP to that group: as Ctrl-C, but past input that waits, and whatever stty says.  The kernel sends it before
 * this returns.  0, or -1 and errno. */
int cf_pty_signal(struct cf_pty *pty, int signo);

#endif
