/* attach.h: a session's terminal shown in ours. */
#ifndef CURFEW_CLI_ATTACH_H
#define CURFEW_CLI_ATTACH_H

#include "cli/cli.h"
#include "cli/keys.h"
#include "cli/modes.h"
#include "cli/tty.h"
#include "cli/web.h"

enum cf_attach_end {
    CF_ATTACH_RUNS,
    CF_ATTACH_DETACHED,         /* by the keys */
    CF_ATTACH_ENDED,            /* the session has */
    CF_ATTACH_BEHIND,           /* we took too little; another connection shows what is there by now */
    CF_ATTACH_AGAIN,            /* we were stopped and go on */
    CF_ATTACH_LOST,             /* the connection broke, or the server is silent */
    CF_ATTACH_CLOSED,           /* the server closed it for a reason of its own */
    CF_ATTACH_REFUSED,          /* a later connection was, as x.error says */
    CF_ATTACH_SIGNAL,           /* which is in `signo` */
    CF_ATTACH_HUNG_UP,          /* our terminal is gone */
};

struct cf_attach {
    struct cf_cli *cli;
    const char *id;
    bool read_only;
    struct cf_keys keys, leave; /* what detaches, and what does so as well when we only look */
    int64_t release_ns;         /* when held keys go on */
    struct cf_web *web;         /* NULL: not connected */
    struct cf_exchange x;       /* of the handshake, with the error where there is one */
    bool greeted;               /* the line at the start was shown */
    bool untaken;               /* what was typed last is lost, or some of it */
    struct cf_tty tty;
    struct cf_modes modes;      /* of what was shown */
    struct cf_buf out;          /* for our terminal */
    size_t out_at;
    int signal_fd;
    int signo;
    bool resumed;               /* by a SIGCONT that is still to be read */
    enum cf_attach_end end;
    struct cf_buf words;        /* of the session's end */
};

/* How many bytes wait for our terminal. */
static inline size_t cf_attach_waiting(const struct cf_attach *a)
{
    return a->out.len - a->out_at;
}

/* Sets up what needs no connection. */
void cf_attach_init(struct cf_attach *a, struct cf_cli *cli, const char *id);
void cf_attach_free(struct cf_attach *a);
/* Connects.  0, or -1 and a->x.error. */
int cf_attach_open(struct cf_attach *a);
/* Shows, and hands on what is typed, until this connection is over; returns why.  The terminal is raw. */
enum cf_attach_end cf_attach_show(struct cf_attach *a);
/* Sets the terminal back: what the session has changed in it, and what we have. */
void cf_attach_restore(struct cf_attach *a);

#endif
