/* pty.c: a terminal, read level-triggered and written without waiting.
 *
 * The other end comes from TIOCGPTPEER, not by name: no mount over /dev/pts, and no other terminal of the same number in another devpts,
 * can be taken for it. */
#include "server/pty.h"

#include "base/buf.h"
#include "base/fd.h"
#include "server/priority.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

/* Bytes read before other descriptors get their turn; a terminal gives at most 4 KiB at a time. */
#define TURN_BYTES (64u << 10)
/* More than the kernel keeps of one terminal's output. */
#define DRAIN_BYTES (256u << 10)
/* Of the queue's memory, while nothing waits. */
#define KEPT_BYTES 4096

struct cf_pty {
    struct cf_pty_options options;
    struct cf_pty_events events;
    void *arg;
    int master_fd, slave_fd;
    struct event *readable, *writable;
    struct cf_buf queue;                /* what waits, behind `sent` bytes that do not any more */
    size_t sent;
    bool hung_up;
    bool kept;                          /* `modes` are to be given back */
    struct termios modes;
};

/* --- reading --- */

static void hang_up(struct cf_pty *p)
{
    if (p->hung_up)
        return;
    p->hung_up = true;
    event_del(p->readable);
    event_del(p->writable);
    cf_buf_free(&p->queue);
    p->sent = 0;
    p->events.hung_up(p->arg);
}

/* Stops at `most` bytes, or when there is no more for now. EIO is how a terminal says that its other end is closed. */
static void take(struct cf_pty *p, size_t most)
{
    for (size_t done = 0; done < most && !p->hung_up;) {
        ssize_t n = read(p->master_fd, p->options.scratch, p->options.scratch_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            hang_up(p);
            return;
        }
        p->events.output(p->arg, p->options.scratch, (size_t)n);
        done += (size_t)n;
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    take(arg, TURN_BYTES);
}

void cf_pty_drain(struct cf_pty *p)
{
    take(p, DRAIN_BYTES);
}

/* --- writing --- */

/* Returns how many bytes went out, which may be none. */
static size_t put(struct cf_pty *p, const char *bytes, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t n = write(p->master_fd, bytes + done, len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;                      /* full; or gone, which reading will tell */
        done += (size_t)n;
    }
    return done;
}

/* Sends of the queue what goes out now.  true: nothing waits any more. */
static bool flush(struct cf_pty *p)
{
    p->sent += put(p, p->queue.data + p->sent, p->queue.len - p->sent);
    if (p->sent < p->queue.len)
        return false;
    p->sent = 0;
    if (p->queue.cap > KEPT_BYTES)
        cf_buf_free(&p->queue);
    else
        cf_buf_reset(&p->queue);
    return true;
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_pty *p = arg;
    if (!flush(p))
        return;
    event_del(p->writable);
    p->events.written(p->arg);
}

size_t cf_pty_waiting(const struct cf_pty *p)
{
    return p->queue.len - p->sent;
}

size_t cf_pty_room(const struct cf_pty *p)
{
    return p->options.queue_max - cf_pty_waiting(p);
}

int cf_pty_write(struct cf_pty *p, const void *bytes, size_t len, struct cf_error *error)
{
    size_t waiting = cf_pty_waiting(p);
    if (p->hung_up || p->slave_fd >= 0)
        return cf_error_set(error, CF_E_NOT_READY, NULL, "the terminal has nobody at its other end");
    if (len > cf_pty_room(p))
        return cf_error_set(error, CF_E_TOO_MANY, NULL, "%zu bytes of input wait for the terminal, and there may be at most %zu",
                            waiting, p->options.queue_max);
    /* What waits moves to the front when it is the smaller part, so that the buffer stays under twice the bound. */
    if (p->sent > p->queue.len / 2) {
        memmove(p->queue.data, p->queue.data + p->sent, waiting);
        p->queue.len = waiting;
        p->sent = 0;
    }
    /* Room for all before any goes out, so that of what is refused nothing has been typed. */
    cf_buf_append(&p->queue, bytes, len);
    if (p->queue.failed || event_add(p->writable, NULL) < 0) {
        p->queue.failed = false;
        p->queue.len = p->sent + waiting;
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    if (waiting == 0 && flush(p))
        event_del(p->writable);
    return 0;
}

/* --- opening --- */

/* Group and mode as a login gives them: write(1) and wall(1) belong to the group tty, and nobody else may write here. */
static int settle_owner(const struct cf_pty *p)
{
    char space[1024];
    struct group entry, *tty = NULL;
    struct stat now;
    (void)getgrnam_r("tty", &entry, space, sizeof space, &tty);
    gid_t gid = tty != NULL ? tty->gr_gid : p->options.gid;
    if (fstat(p->slave_fd, &now) < 0)
        return -1;
    /* Not root, the server owns it already, and cannot give it to a group in which it is not. */
    if ((now.st_uid != p->options.uid || now.st_gid != gid) && fchown(p->slave_fd, p->options.uid, gid) < 0) {
        if (errno != EPERM || now.st_uid != p->options.uid)
            return -1;
        gid = now.st_gid;
    }
    return fchmod(p->slave_fd, tty != NULL && gid == tty->gr_gid ? 0620 : 0600);
}

static int settle_modes(const struct cf_pty *p)
{
    struct termios t;
    struct winsize size = { .ws_col = (unsigned short)p->options.cols, .ws_row = (unsigned short)p->options.rows };
    if (tcgetattr(p->slave_fd, &t) < 0)
        return -1;
    t.c_iflag = BRKINT | ICRNL | IXON | IMAXBEL | IUTF8;
    t.c_oflag = OPOST | ONLCR;
    t.c_lflag = ISIG | ICANON | IEXTEN | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE;
    t.c_cc[VERASE] = 0x7f;              /* what terminals of today send for the key */
    (void)cfsetispeed(&t, B38400);
    (void)cfsetospeed(&t, B38400);
    return tcsetattr(p->slave_fd, TCSANOW, &t) < 0 || ioctl(p->master_fd, TIOCSWINSZ, &size) < 0 ? -1 : 0;
}

static int open_pair(struct cf_pty *p)
{
    p->master_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (p->master_fd < 0 || unlockpt(p->master_fd) < 0)
        return -1;
    p->slave_fd = ioctl(p->master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (p->slave_fd < 0)
        return -1;
    return settle_owner(p) < 0 ? -1 : settle_modes(p);
}

static int open_events(struct cf_pty *p, struct event_base *loop, struct cf_error *error)
{
    p->readable = event_new(loop, p->master_fd, EV_READ | EV_PERSIST, on_readable, p);
    p->writable = event_new(loop, p->master_fd, EV_WRITE | EV_PERSIST, on_writable, p);
    if (p->readable == NULL || p->writable == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    (void)event_priority_set(p->readable, CF_PRIORITY_OUTPUT);
    return 0;
}

static struct cf_pty *new(const struct cf_pty_options *options, int master_fd)
{
    struct cf_pty *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    *p = (struct cf_pty){ .options = *options, .master_fd = master_fd, .slave_fd = -1 };
    cf_buf_init(&p->queue, 2 * options->queue_max);
    return p;
}

int cf_pty_open(struct event_base *loop, const struct cf_pty_options *options, struct cf_pty **ret, struct cf_error *error)
{
    struct cf_pty *p = new(options, -1);
    if (p == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    int code = open_pair(p) == 0 ? 0 : cf_error_set(error, CF_E_SYSTEM, NULL, "cannot open a terminal: %s", strerror(errno));
    if (code == 0)
        code = open_events(p, loop, error);
    if (code != 0)
        cf_pty_free(&p);
    else
        *ret = p;
    return code;
}

int cf_pty_restore(struct event_base *loop, const struct cf_pty_options *options, int master_fd, struct cf_pty **ret, struct cf_error *error)
{
    struct cf_pty *p = new(options, master_fd);
    if (p == NULL) {
        cf_fd_close(&master_fd);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    int code = open_events(p, loop, error);
    if (code != 0)
        cf_pty_free(&p);
    else
        *ret = p;
    return code;
}

int cf_pty_master_fd(const struct cf_pty *p)
{
    return p->master_fd;
}

int cf_pty_begin(struct cf_pty *p, const struct cf_pty_events *events, void *arg, struct cf_error *error)
{
    p->events = *events;
    p->arg = arg;
    if (event_add(p->readable, NULL) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    cf_fd_close(&p->slave_fd);
    return 0;
}

void cf_pty_free(struct cf_pty **pty)
{
    struct cf_pty *p = *pty;
    if (p == NULL)
        return;
    if (p->readable != NULL)
        event_free(p->readable);
    if (p->writable != NULL)
        event_free(p->writable);
    cf_fd_close(&p->slave_fd);
    cf_fd_close(&p->master_fd);
    cf_buf_free(&p->queue);
    free(p);
    *pty = NULL;
}

int cf_pty_slave_fd(const struct cf_pty *p)
{
    return p->slave_fd;
}

/* --- asking and telling --- */

int cf_pty_resize(struct cf_pty *p, unsigned cols, unsigned rows, struct cf_error *error)
{
    struct winsize size = { .ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows };
    if (ioctl(p->master_fd, TIOCSWINSZ, &size) < 0)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot set the terminal's size: %s", strerror(errno));
    return 0;
}

pid_t cf_pty_foreground(const struct cf_pty *p)
{
    pid_t group = 0;
    return ioctl(p->master_fd, TIOCGPGRP, &group) == 0 && group > 0 ? group : 0;
}

void cf_pty_keep_modes(struct cf_pty *p)
{
    p->kept = tcgetattr(p->master_fd, &p->modes) == 0 && (p->modes.c_lflag & ICANON) == 0;
}

void cf_pty_restore_modes(struct cf_pty *p)
{
    struct termios now;
    if (p->kept && tcgetattr(p->master_fd, &now) == 0 && memcmp(&now, &p->modes, sizeof now) != 0)
        (void)tcsetattr(p->master_fd, TCSANOW, &p->modes);     /* hung up: nobody is left whom it could matter to */
    p->kept = false;
}

int cf_pty_signal(struct cf_pty *p, int signo)
{
    return ioctl(p->master_fd, TIOCSIG, signo);
}
