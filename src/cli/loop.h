/* loop.h: what one turn of a loop waits for, put together by those who have a part in it. */
#ifndef CURFEW_CLI_LOOP_H
#define CURFEW_CLI_LOOP_H

#include "cli/client.h"

#include <poll.h>
#include <stdint.h>

#define CF_LOOP_FDS 6

struct cf_loop {
    struct pollfd fds[CF_LOOP_FDS];
    size_t count;
    int64_t now_ns, until_ns;           /* CF_NEVER_NS: any time */
};

/* Begins a turn that waits for nothing yet. */
void cf_loop_begin(struct cf_loop *loop);
/* Adds a descriptor (negative: nothing), or a time until which is waited at most. */
void cf_loop_fd(struct cf_loop *loop, int fd, short events);
void cf_loop_until(struct cf_loop *loop, int64_t mono_ns);
/* Waits, and moves the client's requests on. */
void cf_loop_turn(struct cf_loop *loop, struct cf_client *client);
/* What happened to a descriptor, 0 when it was not waited for. */
short cf_loop_revents(const struct cf_loop *loop, int fd);

#endif
