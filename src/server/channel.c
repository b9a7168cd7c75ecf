/* channel.c: FIFO pairs, read edge-triggered.
 *
 * Edge-triggered, because a FIFO whose last writer has left reports a hang-up for as long as nobody opens it
 * again, which between two commands would wake a level-triggered loop without end. */
#include "server/channel.h"

#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LATE_BYTES 8192
/* Bytes of one stream before other descriptors get their turn. */
#define TURN_BYTES (4u << 20)
/* A stream that printed this much gets the largest pipe an unprivileged process may have (fs.pipe-max-size). */
#define WIDEN_BYTES (256u << 10)
#define WIDE_PIPE_BYTES (1 << 20)
/* More than a pipe can hold, so that a flood from the background cannot hold up the end of a command. */
#define DRAIN_BYTES (2u * WIDE_PIPE_BYTES)

struct stream {
    struct cf_channel *channel;
    struct event *event;
    int fd;
    bool eof;                       /* no writer at the last read */
    bool wide;
    struct cf_capture *into;        /* NULL: the channel's late capture */
};

struct pair {
    struct stream out, err;
    unsigned number;
};

struct cf_channel {
    struct event_base *loop;
    char *path;
    int dir_fd;
    uid_t uid;
    gid_t gid;
    char *scratch;
    size_t scratch_bytes;
    unsigned next_number;
    struct pair *current;
    struct pair *late_pairs[CF_CHANNEL_LATE_MAX];
    size_t late_count;
    struct cf_capture late;
};

/* Reads until the pipe is empty or `most` bytes were read.  Returns false when there may be more. */
static bool drain(struct stream *s, uint64_t most)
{
    struct cf_capture *into = s->into ? s->into : &s->channel->late;
    uint64_t done = 0;
    while (done < most) {
        ssize_t n = read(s->fd, s->channel->scratch, s->channel->scratch_bytes);
        if (n < 0 && errno == EINTR)
            continue;
        s->eof = n == 0;
        if (n <= 0)
            return true;
        cf_capture_add(into, s->channel->scratch, (size_t)n);
        done += (uint64_t)n;
        if (!s->wide && into->total_bytes > WIDEN_BYTES) {
            s->wide = true;
            (void)fcntl(s->fd, F_SETPIPE_SZ, WIDE_PIPE_BYTES);     /* refused: it stays at 64 KiB */
        }
    }
    return false;
}

static void on_stream(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct stream *s = arg;
    if (!drain(s, TURN_BYTES))
        event_active(s->event, EV_READ, 0);
}

static void stream_close(struct stream *s)
{
    if (s->event != NULL)
        event_free(s->event);
    s->event = NULL;
    cf_fd_close(&s->fd);
}

/* Closes a pair.  Its names stay for cf_channel_close, which nobody waits for. */
static void pair_close(struct pair *p)
{
    if (p == NULL)
        return;
    if (p->err.event != NULL) {         /* both streams were opened: what they still hold counts */
        (void)drain(&p->out, DRAIN_BYTES);
        (void)drain(&p->err, DRAIN_BYTES);
    }
    stream_close(&p->out);
    stream_close(&p->err);
    free(p);
}

/* Closes a pair in the middle of a shell's life, and removes its names. */
static void pair_free(struct cf_channel *c, struct pair *p)
{
    char out[16], err[16];
    snprintf(out, sizeof out, "o%u", p->number);
    snprintf(err, sizeof err, "e%u", p->number);
    pair_close(p);
    (void)unlinkat(c->dir_fd, out, 0);
    (void)unlinkat(c->dir_fd, err, 0);
}

static int stream_open(struct cf_channel *c, struct stream *s, char letter, unsigned number)
{
    char name[16];
    snprintf(name, sizeof name, "%c%u", letter, number);
    s->channel = c;
    if (mkfifoat(c->dir_fd, name, 0600) < 0)
        return -1;
    if (c->uid != geteuid() && fchownat(c->dir_fd, name, c->uid, c->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    s->fd = openat(c->dir_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (s->fd < 0)
        return -1;
    s->event = event_new(c->loop, s->fd, EV_READ | EV_PERSIST | EV_ET, on_stream, s);
    if (s->event == NULL || event_add(s->event, NULL) < 0) {
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

static int pair_open(struct cf_channel *c, struct pair **ret, struct cf_error *error)
{
    struct pair *p = calloc(1, sizeof *p);
    if (p == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    p->number = c->next_number++;
    p->out.fd = p->err.fd = -1;
    if (stream_open(c, &p->out, 'o', p->number) < 0 || stream_open(c, &p->err, 'e', p->number) < 0) {
        int saved = errno;
        pair_free(c, p);
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot make the output pipes in %s: %s", c->path, strerror(saved));
    }
    *ret = p;
    return 0;
}

int cf_channel_open(struct event_base *loop, const char *path, uid_t uid, gid_t gid, char *scratch, size_t scratch_bytes,
                    struct cf_channel **ret, struct cf_error *error)
{
    struct cf_channel *c = calloc(1, sizeof *c);
    if (c == NULL || (c->path = strdup(path)) == NULL) {
        free(c);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    *c = (struct cf_channel){ .loop = loop, .path = c->path, .dir_fd = -1, .uid = uid, .gid = gid,
                              .scratch = scratch, .scratch_bytes = scratch_bytes };
    cf_capture_init(&c->late, LATE_BYTES);
    int code = 0;
    bool made = mkdir(path, 0700) == 0;
    /* The folder stays ours: a session that runs as another user opens what is in it by name and can put nothing there. */
    if (!made || (c->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)) < 0 ||
        (uid != geteuid() && fchmod(c->dir_fd, 0711) < 0)) {
        code = cf_error_set(error, CF_E_SYSTEM, NULL, "cannot make the folder %s: %s", path, strerror(errno));
        if (made && c->dir_fd < 0)
            (void)rmdir(path);
    }
    if (code == 0)
        code = pair_open(c, &c->current, error);
    if (code != 0) {
        cf_channel_close(&c);
        return code;
    }
    *ret = c;
    return 0;
}

void cf_channel_hang_up(struct cf_channel *c)
{
    pair_close(c->current);
    c->current = NULL;
    for (size_t i = 0; i < c->late_count; i++)
        pair_close(c->late_pairs[i]);
    c->late_count = 0;
}

/* Removes whatever lies in the folder: our FIFOs, and anything that the session itself put there, one level deep. */
static void empty_folder(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        cf_fd_close(&fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 && unlinkat(dir_fd, e->d_name, 0) < 0)
            (void)unlinkat(dir_fd, e->d_name, AT_REMOVEDIR);
    closedir(dir);
}

void cf_channel_close(struct cf_channel **channel)
{
    struct cf_channel *c = *channel;
    if (c == NULL)
        return;
    cf_channel_hang_up(c);
    if (c->dir_fd >= 0) {
        empty_folder(c->dir_fd);
        cf_fd_close(&c->dir_fd);
        (void)rmdir(c->path);           /* what is left is swept at the keeper's next start */
    }
    cf_capture_free(&c->late);
    free(c->path);
    free(c);
    *channel = NULL;
}

const char *cf_channel_path(const struct cf_channel *c)
{
    return c->path;
}

unsigned cf_channel_pair(const struct cf_channel *c)
{
    return c->current->number;
}

void cf_channel_begin(struct cf_channel *c, struct cf_capture *out, struct cf_capture *err)
{
    if (c->current == NULL)
        return;
    c->current->out.into = out;
    c->current->err.into = err;
}

static void set_aside(struct cf_channel *c, struct pair *fresh)
{
    if (c->late_count == CF_CHANNEL_LATE_MAX) {
        pair_free(c, c->late_pairs[0]);
        c->late_count--;
        memmove(c->late_pairs, c->late_pairs + 1, c->late_count * sizeof *c->late_pairs);
    }
    c->late_pairs[c->late_count++] = c->current;
    c->current = fresh;
}

/* Drops the set-aside pairs that nobody holds any more. */
static void prune_late(struct cf_channel *c)
{
    size_t kept = 0;
    for (size_t i = 0; i < c->late_count; i++) {
        struct pair *p = c->late_pairs[i];
        if (p->out.eof && p->err.eof)
            pair_free(c, p);
        else
            c->late_pairs[kept++] = p;
    }
    c->late_count = kept;
}

int cf_channel_finish(struct cf_channel *c, struct cf_error *error)
{
    struct pair *p = c->current, *fresh;
    int code = 0;
    if (p == NULL)
        return 0;
    (void)drain(&p->out, DRAIN_BYTES);
    (void)drain(&p->err, DRAIN_BYTES);
    p->out.into = p->err.into = NULL;
    if (!p->out.eof || !p->err.eof) {
        prune_late(c);
        code = pair_open(c, &fresh, error);
        if (code == 0)
            set_aside(c, fresh);
    }
    return code;
}

const struct cf_capture *cf_channel_late(const struct cf_channel *c)
{
    return &c->late;
}
