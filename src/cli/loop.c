#include "cli/loop.h"

#include "base/clock.h"

#include <assert.h>

void cf_loop_begin(struct cf_loop *loop)
{
    loop->count = 0;
    loop->now_ns = cf_clock_now().mono_ns;
    loop->until_ns = CF_NEVER_NS;
}

void cf_loop_fd(struct cf_loop *loop, int fd, short events)
{
    if (fd < 0)
        return;
    assert(loop->count < CF_LOOP_FDS);
    loop->fds[loop->count++] = (struct pollfd){.fd = fd, .events = events};
}

void cf_loop_until(struct cf_loop *loop, int64_t mono_ns)
{
    if (mono_ns < loop->until_ns)
        loop->until_ns = mono_ns;
}

void cf_loop_turn(struct cf_loop *loop, struct cf_client *client)
{
    int64_t left_ms = -1;

    if (loop->until_ns != CF_NEVER_NS) {
        left_ms = (loop->until_ns - loop->now_ns + CF_NS_PER_MS - 1) / CF_NS_PER_MS;
        left_ms = left_ms < 0 ? 0 : left_ms > 60000 ? 60000 : left_ms;
    }
    cf_client_turn(client, loop->fds, loop->count, (int)left_ms);
    loop->now_ns = cf_clock_now().mono_ns;
}

short cf_loop_revents(const struct cf_loop *loop, int fd)
{
    for (size_t i = 0; i < loop->count; i++)
        if (loop->fds[i].fd == fd)
            return loop->fds[i].revents;
    return 0;
}
