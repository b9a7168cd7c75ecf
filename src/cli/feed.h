/* feed.h: hands standard input on to a running command. */
#ifndef CURFEW_CLI_FEED_H
#define CURFEW_CLI_FEED_H

#include "cli/cli.h"
#include "cli/loop.h"

#define CF_FEED_PIECE 65536

enum cf_feed_state { CF_FEED_READING, CF_FEED_SENT, CF_FEED_WAITING, CF_FEED_OVER };

/* One piece is under way at a time, so that they arrive in order and a slow command makes whoever writes to us wait. */
struct cf_feed {
    struct cf_cli *cli;         /* NULL: not begun */
    enum cf_feed_state state;
    const char *id;
    uint32_t exec;              /* 0: whatever command reads */
    int fd;
    int64_t seq;                /* of the next piece, 0: pieces have no numbers */
    bool close;                 /* the end of `fd` closes the command's input */
    struct cf_exchange x;       /* the piece under way */
    char piece[CF_FEED_PIECE];
    size_t len, size;           /* of `piece`: what it holds, and how much is read at a time */
    bool end;                   /* `fd` is at its end */
    int tries;
    int64_t retry_ns;           /* WAITING: when the piece is sent again */
    int64_t taken;              /* bytes that the server has taken */
    struct cf_error error;      /* why it is over; code 0 when all was taken, or when somebody
                                 * else has closed the command's input */
};

/* `seq` 0: none is sent, and what gets no answer is not sent again. */
void cf_feed_begin(struct cf_feed *feed, struct cf_cli *cli, const char *id, uint32_t exec, int fd, int64_t seq,
                   bool close);
/* Also of one that was zeroed and never begun. */
void cf_feed_free(struct cf_feed *feed);
void cf_feed_want(struct cf_feed *feed, struct cf_loop *loop);
void cf_feed_turn(struct cf_feed *feed, const struct cf_loop *loop);

#endif
