#include "server/linger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define LINGERERS_MAX 64
#define LINGER_BYTES (64 << 20)         /* dropped for one client; then it is reset */
#define WAKE_BYTES (1 << 20)            /* dropped in one wake-up */
#define LINGER_S 2                      /* in silence, and … */
#define LINGER_ROUNDS 512               /* … wake-ups of one client at most, so that a trickle ends too */

struct cf_lingerer {
    TAILQ_ENTRY(cf_lingerer) link;
    struct cf_linger *owner;
    struct event *event;
    int fd;
    int rounds;
    int64_t dropped_bytes;
};

static void drop(struct cf_lingerer *one)
{
    TAILQ_REMOVE(&one->owner->list, one, link);
    one->owner->count--;
    event_free(one->event);
    close(one->fd);
    free(one);
}

static void readable(evutil_socket_t fd, short what, void *arg)
{
    struct cf_lingerer *one = arg;
    char waste[16384];
    if (what & EV_TIMEOUT || ++one->rounds > LINGER_ROUNDS) {
        drop(one);
        return;
    }
    for (int bytes = 0; bytes < WAKE_BYTES;) {
        ssize_t len = recv((int)fd, waste, sizeof waste, MSG_DONTWAIT);
        if (len < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (len <= 0 || (one->dropped_bytes += len) > LINGER_BYTES) {
            drop(one);
            return;
        }
        bytes += (int)len;
    }
}

void cf_linger_init(struct cf_linger *linger, struct event_base *loop)
{
    linger->loop = loop;
    linger->count = 0;
    TAILQ_INIT(&linger->list);
}

void cf_linger_free(struct cf_linger *linger)
{
    while (!TAILQ_EMPTY(&linger->list))
        drop(TAILQ_FIRST(&linger->list));
}

void cf_linger_add(struct cf_linger *linger, int fd)
{
    const struct timeval silence = { .tv_sec = LINGER_S };
    if (linger->count >= LINGERERS_MAX)
        return;
    struct cf_lingerer *one = calloc(1, sizeof *one);
    int copy = one ? fcntl(fd, F_DUPFD_CLOEXEC, 3) : -1;
    if (copy < 0) {
        free(one);
        return;
    }
    one->owner = linger;
    one->fd = copy;
    one->event = event_new(linger->loop, copy, EV_READ | EV_PERSIST, readable, one);
    if (!one->event || event_add(one->event, &silence) < 0) {
        if (one->event)
            event_free(one->event);
        close(copy);
        free(one);
        return;
    }
    shutdown(copy, SHUT_WR);
    TAILQ_INSERT_TAIL(&linger->list, one, link);
    linger->count++;
}
