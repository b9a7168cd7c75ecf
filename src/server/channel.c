/* channel.c: FIFO pairs, read edge-triggered.
 *
 * Edge-triggered, because a FIFO whose last writer has left reports a hang-up for as long as nobody opens it
 * again, which between two commands would wake a level-triggered loop without end. */
#include "server/channel.h"

#include "base/fd.h"
#include "server/priority.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Bytes of one stream before other descriptors get their turn: some 50 us. */
#define TURN_BYTES (128u << 10)
/* A stream that printed this much gets a larger pipe. */
#define WIDEN_BYTES (128u << 10)
/* More than two pipes can hold, so that a flood from the background cannot hold up the end of a command. */
#define DRAIN_BYTES (2u << 20)

struct stream {
    struct cf_channel *channel;
    struct event *event;
    int fd;
    bool eof;                       /* no writer at the last look */
    bool wide;
    bool held;                      /* there is more, but a reader is too far behind */
    uint64_t taken;
    struct cf_origin origin;
    struct cf_paced paced;
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
    struct cf_journal *journal;
    struct cf_pace *pace;           /* borrowed */
    struct cf_watch room;           /* a reader has moved on */
    unsigned next_number;
    struct pair *current;
    struct pair *late_pairs[CF_CHANNEL_LATE_MAX];
    size_t late_count;
    const struct cf_keep *keep;     /* borrowed; NULL: nobody but us has the descriptors */
    uint64_t key;                   /* under which the keeper has them */
};

static void widen(struct stream *s)
{
    s->wide = true;
    (void)fcntl(s->fd, F_SETPIPE_SZ, (int)cf_spool_pipe_bytes(cf_journal_spool(s->channel->journal)));   /* refused: it stays */
}

/* Takes until the pipe is empty or `most` bytes were taken.  Returns false when there may be more and nobody is waited for. */
static bool drain(struct stream *s, uint64_t most, bool force)
{
    uint64_t done = 0;
    s->held = false;
    while (done < most) {
        /* A splice needs a target; one that would find nothing is not worth its making. */
        struct pollfd look = { .fd = s->fd, .events = POLLIN };
        ssize_t n = 0;
        if (poll(&look, 1, 0) <= 0)
            n = -1;
        else if ((look.revents & POLLIN) != 0)
            n = cf_journal_splice(s->channel->journal, s->fd, &s->origin, (size_t)(most - done), force);
        s->held = n < 0 && errno == ENOBUFS && (look.revents & POLLIN) != 0;
        s->eof = n == 0;
        if (n <= 0)
            return true;
        done += (uint64_t)n;
        s->taken += (uint64_t)n;
        if (!s->wide && s->taken > WIDEN_BYTES)
            widen(s);
    }
    return false;
}

static void on_stream(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct stream *s = arg;
    if (s->paced.waits)
        return;
    if (!drain(s, TURN_BYTES, false) && cf_pace_flooded(s->channel->pace, &s->paced, TURN_BYTES))
        event_active(s->event, EV_READ, 0);
}

static void resume(void *arg)
{
    struct stream *s = arg;
    event_active(s->event, EV_READ, 0);
}

static void wake_pair(struct pair *p)
{
    if (p == NULL)
        return;
    if (p->out.held)
        event_active(p->out.event, EV_READ, 0);
    if (p->err.held)
        event_active(p->err.event, EV_READ, 0);
}

static void on_room(void *arg)
{
    struct cf_channel *c = arg;
    wake_pair(c->current);
    for (size_t i = 0; i < c->late_count; i++)
        wake_pair(c->late_pairs[i]);
}

static void stream_close(struct stream *s)
{
    if (s->event != NULL) {
        cf_pace_leave(s->channel->pace, &s->paced);
        event_free(s->event);
    }
    s->event = NULL;
    cf_fd_close(&s->fd);
}

/* Closes a pair.  Its names stay for cf_channel_close, which nobody waits for. */
static void pair_close(struct pair *p)
{
    if (p == NULL)
        return;
    if (p->err.event != NULL) {         /* both streams were opened: what they still hold counts */
        (void)drain(&p->out, DRAIN_BYTES, true);
        (void)drain(&p->err, DRAIN_BYTES, true);
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
    cf_keep_drop(c->keep, c->key, CF_TAG_OUT, p->number);
    cf_keep_drop(c->keep, c->key, CF_TAG_ERR, p->number);
    pair_close(p);
    (void)unlinkat(c->dir_fd, out, 0);
    (void)unlinkat(c->dir_fd, err, 0);
}

/* A FIFO that the shell can open, and our end of it, which `mode` says. */
static int fifo_make(struct cf_channel *c, const char *name, int mode)
{
    (void)unlinkat(c->dir_fd, name, 0); /* a server that died may have come so far */
    if (mkfifoat(c->dir_fd, name, 0600) < 0)
        return -1;
    if (c->uid != geteuid() && fchownat(c->dir_fd, name, c->uid, c->gid, AT_SYMLINK_NOFOLLOW) < 0)
        return -1;
    return openat(c->dir_fd, name, mode | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
}

/* With the descriptor `fd`, which it takes over. */
static int stream_begin(struct cf_channel *c, struct stream *s, enum cf_stream stream, int fd)
{
    s->channel = c;
    s->origin.stream = stream;
    s->paced = (struct cf_paced){ .resume = resume, .arg = s };
    s->fd = fd;
    if (s->fd < 0)
        return -1;
    s->event = event_new(c->loop, s->fd, EV_READ | EV_PERSIST | EV_ET, on_stream, s);
    if (s->event != NULL)
        (void)event_priority_set(s->event, CF_PRIORITY_OUTPUT);
    if (s->event == NULL || event_add(s->event, NULL) < 0) {
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

static int stream_open(struct cf_channel *c, struct stream *s, enum cf_stream stream, unsigned number)
{
    char name[16];
    snprintf(name, sizeof name, "%c%u", stream == CF_STREAM_OUT ? 'o' : 'e', number);
    return stream_begin(c, s, stream, fifo_make(c, name, O_RDONLY));
}

static void pair_hold(const struct cf_channel *c, const struct pair *p)
{
    const struct cf_keep_fd fds[] = { { CF_TAG_OUT, p->number, p->out.fd }, { CF_TAG_ERR, p->number, p->err.fd } };
    if (c->key != 0)
        cf_keep_hold(c->keep, c->key, fds, 2);
}

static int pair_open(struct cf_channel *c, struct pair **ret, struct cf_error *error)
{
    struct pair *p = calloc(1, sizeof *p);
    if (p == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    p->number = c->next_number++;
    p->out.fd = p->err.fd = -1;
    if (stream_open(c, &p->out, CF_STREAM_OUT, p->number) < 0 || stream_open(c, &p->err, CF_STREAM_ERR, p->number) < 0) {
        int saved = errno;
        pair_free(c, p);
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot make the output pipes in %s: %s", c->path, strerror(saved));
    }
    pair_hold(c, p);
    *ret = p;
    return 0;
}

static struct cf_channel *channel_new(struct event_base *loop, const char *path, uid_t uid, gid_t gid, struct cf_journal *journal, struct cf_pace *pace)
{
    struct cf_channel *c = calloc(1, sizeof *c);
    char *copy = strdup(path);
    if (c == NULL || copy == NULL) {
        free(c);
        free(copy);
        return NULL;
    }
    *c = (struct cf_channel){ .loop = loop, .path = copy, .dir_fd = -1, .uid = uid, .gid = gid,
                              .journal = cf_journal_ref(journal), .pace = pace, .room = { .wake = on_room, .arg = c } };
    cf_journal_set_writer(journal, &c->room);
    return c;
}

int cf_channel_open(struct event_base *loop, const char *path, uid_t uid, gid_t gid, struct cf_journal *journal, struct cf_pace *pace,
                    struct cf_channel **ret, struct cf_error *error)
{
    struct cf_channel *c = channel_new(loop, path, uid, gid, journal, pace);
    if (c == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
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

/* ---- from one server to the next ---- */

void cf_channel_hold(struct cf_channel *c, const struct cf_keep *keep, uint64_t key)
{
    c->keep = keep;
    c->key = key;
    pair_hold(c, c->current);
}

static void note_pair(struct cf_channel_kept *kept, const struct pair *p)
{
    kept->pair[kept->pairs].number = p->number;
    kept->pair[kept->pairs].exec = p->out.origin.exec;
    kept->pair[kept->pairs++].late = p->out.origin.late;
}

void cf_channel_keep(const struct cf_channel *c, struct cf_channel_kept *ret)
{
    ret->next_pair = c->next_number;
    ret->pairs = 0;
    if (c->current != NULL)
        note_pair(ret, c->current);
    for (size_t i = 0; i < c->late_count; i++)
        note_pair(ret, c->late_pairs[i]);
}

static struct pair *pair_restore(struct cf_channel *c, const struct cf_channel_kept *kept, uint32_t i, struct cf_heir *heir)
{
    struct pair *p = calloc(1, sizeof *p);
    if (p == NULL)
        return NULL;
    p->number = kept->pair[i].number;
    p->err.fd = -1;
    int code = stream_begin(c, &p->out, CF_STREAM_OUT, cf_heir_take(heir, CF_TAG_OUT, p->number));
    if (code == 0)
        code = stream_begin(c, &p->err, CF_STREAM_ERR, cf_heir_take(heir, CF_TAG_ERR, p->number));
    p->out.origin.exec = p->err.origin.exec = kept->pair[i].exec;
    p->out.origin.late = p->err.origin.late = kept->pair[i].late != 0;
    if (code != 0) {
        pair_close(p);
        return NULL;
    }
    return p;
}

int cf_channel_restore(struct event_base *loop, const char *path, uid_t uid, gid_t gid, struct cf_journal *journal, struct cf_pace *pace,
                       const struct cf_keep *keep, const struct cf_channel_kept *kept, struct cf_heir *heir, struct cf_channel **ret, struct cf_error *error)
{
    struct cf_channel *c = channel_new(loop, path, uid, gid, journal, pace);
    if (c == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    c->keep = keep;
    c->key = heir->key;
    c->next_number = kept->next_pair;
    c->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    for (uint32_t i = 0; i < kept->pairs && i <= CF_CHANNEL_LATE_MAX; i++) {
        struct pair *p = pair_restore(c, kept, i, heir);
        if (i == 0)
            c->current = p;
        else if (p != NULL)
            c->late_pairs[c->late_count++] = p;
    }
    *ret = c;
    if (c->dir_fd >= 0 && (c->current != NULL || kept->pairs == 0))
        return 0;
    return cf_error_set(error, CF_E_SYSTEM, NULL, "the session's pipes in %s are gone", path);
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

void cf_channel_discard(const char *path)
{
    CF_FD_AUTO fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0)
        empty_folder(fd);
    (void)rmdir(path);
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
    cf_journal_drop_writer(c->journal, &c->room);
    cf_journal_unref(&c->journal);
    free(c->path);
    free(c);
    *channel = NULL;
}

const char *cf_channel_path(const struct cf_channel *c)
{
    return c->path;
}

void cf_channel_set_journal(struct cf_channel *c, struct cf_journal *journal)
{
    cf_journal_drop_writer(c->journal, &c->room);
    cf_journal_unref(&c->journal);
    c->journal = cf_journal_ref(journal);
    cf_journal_set_writer(journal, &c->room);
}

struct cf_journal *cf_channel_journal(const struct cf_channel *c)
{
    return c->journal;
}

unsigned cf_channel_pair(const struct cf_channel *c)
{
    return c->current->number;
}

void cf_channel_begin(struct cf_channel *c, uint32_t exec)
{
    if (c->current == NULL)
        return;
    c->current->out.origin.exec = c->current->err.origin.exec = exec;
    c->current->out.origin.late = c->current->err.origin.late = exec == 0;
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

/* The last of what a command printed. */
static void drain_last(struct stream *s)
{
    (void)drain(s, DRAIN_BYTES, true);
    s->origin.late = true;
}

int cf_channel_finish(struct cf_channel *c, struct cf_error *error)
{
    struct pair *p = c->current, *fresh;
    int code = 0;
    if (p == NULL)
        return 0;
    drain_last(&p->out);
    drain_last(&p->err);
    if (!p->out.eof || !p->err.eof) {
        prune_late(c);
        code = pair_open(c, &fresh, error);
        if (code == 0)
            set_aside(c, fresh);
    }
    return code;
}

/* ---- what a command reads ---- */

/* Under another name until it is complete, since a shell with a terminal may look for its request at any time. */
int cf_channel_write_file(struct cf_channel *c, const char *name, const char *data, size_t len, struct cf_error *error)
{
    static const char fresh[] = "new";
    (void)unlinkat(c->dir_fd, fresh, 0);
    CF_FD_AUTO fd = openat(c->dir_fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && (c->uid == geteuid() || fchown(fd, c->uid, c->gid) == 0) && cf_fd_write_all(fd, data, len) == 0 &&
        renameat(c->dir_fd, fresh, c->dir_fd, name) == 0)
        return 0;
    int code = cf_error_set(error, CF_E_SYSTEM, NULL, "cannot hand it to the shell in %s: %s", c->path, strerror(errno));
    (void)unlinkat(c->dir_fd, fresh, 0);                /* a part of it would keep a full disk full */
    return code;
}

int cf_channel_make_input(struct cf_channel *c, const char *name, int *ret_write_fd, int *ret_read_fd, struct cf_error *error)
{
    (void)unlinkat(c->dir_fd, name, 0);
    *ret_write_fd = -1;
    *ret_read_fd = fifo_make(c, name, O_RDONLY);
    if (*ret_read_fd >= 0)
        *ret_write_fd = openat(c->dir_fd, name, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    if (*ret_write_fd >= 0)
        return 0;
    int saved = errno;
    cf_fd_close(ret_read_fd);
    return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot make the input pipe in %s: %s", c->path, strerror(saved));
}

int cf_channel_make_fifo(struct cf_channel *c, const char *name, int *ret_fd, int *ret_read_fd, struct cf_error *error)
{
    int fd = fifo_make(c, name, O_RDWR);
    int read_fd = fd >= 0 && ret_read_fd != NULL ? openat(c->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (fd < 0 || (ret_read_fd != NULL && read_fd < 0)) {
        int saved = errno;
        cf_fd_close(&fd);
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot make the FIFO %s in %s: %s", name, c->path, strerror(saved));
    }
    *ret_fd = fd;
    if (ret_read_fd != NULL)
        *ret_read_fd = read_fd;
    return 0;
}

int cf_channel_open_writers(struct cf_channel *c, int *ret_out_fd, int *ret_err_fd, struct cf_error *error)
{
    char out[16], err[16];
    snprintf(out, sizeof out, "o%u", c->current->number);
    snprintf(err, sizeof err, "e%u", c->current->number);
    CF_FD_AUTO out_fd = openat(c->dir_fd, out, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    CF_FD_AUTO err_fd = out_fd >= 0 ? openat(c->dir_fd, err, O_WRONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
    if (err_fd < 0)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot open the output pipes in %s: %s", c->path, strerror(errno));
    *ret_out_fd = out_fd;
    *ret_err_fd = err_fd;
    out_fd = err_fd = -1;
    return 0;
}

void cf_channel_remove(struct cf_channel *c, const char *name)
{
    (void)unlinkat(c->dir_fd, name, 0);
}
