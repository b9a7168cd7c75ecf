/* job.h: a command that curfew stands in for: its output, its input, and what our signals do to it. */
#ifndef CURFEW_CLI_JOB_H
#define CURFEW_CLI_JOB_H

#include "cli/feed.h"
#include "cli/follow.h"

struct cf_job {
    struct cf_cli *cli;
    const char *id;
    bool feed_told;             /* why not all of it was passed on */
    bool feeds;                 /* our standard input is its input */
    bool owns_session;          /* a signal ends the session, not just the command */
    int signal_fd;              /* borrowed */
    struct cf_follow follow;
    struct cf_feed feed;
    struct cf_exchange stop;    /* what ends the command or the session */
    bool stopping;              /* it was sent */
    bool at_once;               /* ... without grace */
    int signo, signals;         /* the first one, and how many came */
    int64_t tell_ns;            /* when it is told that one waits for the command's end */
};

/* `id` is borrowed and `signal_fd` as cf_signals_take gives it. */
void cf_job_init(struct cf_job *job, struct cf_cli *cli, const char *id, int signal_fd);
void cf_job_free(struct cf_job *job);
/* Starts `command`, bash text. */
void cf_job_start(struct cf_job *job, const char *command);
/* Waits for something to happen, once, and sees to it. */
void cf_job_turn(struct cf_job *job);
/* Ends the session that the job owns, or else cancels the command where its number is known. */
void cf_job_stop(struct cf_job *job);

#endif
