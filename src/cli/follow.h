/* follow.h: output that is passed on as it comes, and that goes on after a lost connection. */
#ifndef CURFEW_CLI_FOLLOW_H
#define CURFEW_CLI_FOLLOW_H

#include "cli/cli.h"
#include "cli/frames.h"
#include "cli/loop.h"

/* Either a command that this request has started, or output of a command or session that is there already. */
struct cf_follow {
    struct cf_cli *cli;
    const char *id;
    uint32_t exec;              /* the command; 0: all that the session prints, or not known yet */
    const char *stream;         /* that stream of the command only; NULL: both */
    bool split;                 /* what was printed on standard error goes there; else all goes to standard output */
    bool plain;                 /* the answer comes when the command has ended: nothing is passed on */
    bool last;                  /* a connection that is lost is not made again */
    int64_t next;               /* offset of the first byte that has not been passed on */
    struct cf_exchange x;
    struct cf_frames frames;
    struct cf_buf held;         /* of the answer, what came while `blocked_fd` took nothing */
    size_t held_at;
    int blocked_fd;             /* -1: none */
    bool started;               /* the start record has come */
    bool over;
    json_t *result;             /* of the command: exit_code, timed_out …; NULL when there is none */
    struct cf_error error;      /* why it is over without one */
    bool answered_error;        /* the error is the server's own */
    int output_status;          /* exit status when the output could not be passed on; 0: it could */
    int tries;                  /* connections lost in a row, without a byte and within seconds */
    int64_t begun_ns;           /* when the last one was asked for */
    int64_t retry_ns;           /* when the connection is made again; 0: there is one */
};

void cf_follow_init(struct cf_follow *f, struct cf_cli *cli, const char *id);
void cf_follow_free(struct cf_follow *f);
/* Begins with f->x, which the caller has made and which starts the command. */
void cf_follow_start(struct cf_follow *f);
/* Begins with output that is there: from f->next on (-1: all that is kept), of f->exec and f->stream. */
void cf_follow_resume(struct cf_follow *f);
void cf_follow_want(struct cf_follow *f, struct cf_loop *loop);
void cf_follow_turn(struct cf_follow *f, const struct cf_loop *loop);

#endif
