/* spool.c: the ring and the index.
 *
 * The ring is a memfd, mapped for reading.  It grows by doubling for as long as it has never wrapped, so that growing moves
 * nothing, and wraps at its bound, or where the memory for more was refused.  All that it may become is mapped from the beginning, so
 * that what was lent stays where it is when more is printed; beyond its end nothing is ever read. */
#include "server/spool.h"

#include "base/fd.h"
#include "server/spool_private.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* How far a writer may be ahead of a reader that holds: enough for the reader never to wait for a wake-up, little enough to stay in
 * the processor's cache.  At most a quarter of the ring, and two pipes an eighth each, so that what a command leaves in its pipes when it
 * ends always fits. */
#define HOLD_WINDOW (1u << 20)
/* The largest pipe that an unprivileged process may have (fs.pipe-max-size). */
#define PIPE_BYTES (1u << 20)
#define PIECES_FIRST 16u
/* And as many pieces, however small, behind such a reader; the rest of the index is for what the pipes hold at a command's end. */
#define HOLD_PIECES (CF_SPOOL_PIECES_MAX / 2)
/* A piece is not made longer than this, so that `len` fits. */
#define PIECE_MAX (1u << 30)

struct cf_spool *cf_spool_new(uint64_t max_bytes, struct cf_spool_budget *budget, uint64_t number, cf_spool_dropping *dropping, void *arg)
{
    struct cf_spool *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    *s = (struct cf_spool){ .budget = budget, .dropping = dropping, .arg = arg, .fd = -1, .book = { .keep = budget->keep, .number = number },
                            .bound = max_bytes > CF_SPOOL_BYTES_MIN ? max_bytes : CF_SPOOL_BYTES_MIN };
    LIST_INIT(&s->holders);
    return s;
}

void cf_spool_free(struct cf_spool **spool)
{
    struct cf_spool *s = *spool;
    if (s == NULL)
        return;
    if (s->map != NULL)
        munmap(s->map, s->mapped);
    if (s->fd >= 0)
        cf_keep_drop(s->book.keep, 0, CF_TAG_SPOOL, (uint32_t)s->book.number);
    cf_book_drop(&s->book);
    cf_fd_close(&s->fd);
    s->budget->used_bytes -= s->size;
    free(s->pieces);
    free(s);
    *spool = NULL;
}

/* ---- room ---- */

/* Makes the ring `size` bytes long. False: there is no memory, or the budget is used up. */
static bool resize(struct cf_spool *s, uint64_t size)
{
    if (s->budget->used_bytes + (size - s->size) > s->budget->max_bytes && size > CF_SPOOL_BYTES_MIN)
        return false;
    if (s->fd < 0) {
        const struct cf_keep_fd held = { CF_TAG_SPOOL, (uint32_t)s->book.number, s->fd = memfd_create("curfew-output", MFD_CLOEXEC) };
        if (s->fd < 0)
            return false;
        cf_keep_hold(s->book.keep, 0, &held, 1);
    }
    if (s->map == NULL) {
        char *map = mmap(NULL, s->bound, PROT_READ, MAP_SHARED | MAP_NORESERVE, s->fd, 0);
        if (map == MAP_FAILED)
            return false;
        s->map = map;
        s->mapped = s->bound;
    }
    if (ftruncate(s->fd, (off_t)size) < 0)
        return false;
    s->budget->used_bytes += size - s->size;
    s->size = size;
    cf_book_grow(&s->book, PIECES_FIRST);
    cf_book_ring(&s->book, s->size, s->bound, s->origin);
    return true;
}

/* Grows for as long as nothing was dropped; what is refused once is the bound from then on. */
static void grow(struct cf_spool *s, size_t want)
{
    while (s->size < s->bound && s->end - s->origin + want > s->size) {
        uint64_t size = s->size > 0 ? s->size * 2 : CF_SPOOL_BYTES_MIN;
        if (size > s->bound)
            size = s->bound;
        if (resize(s, size))
            continue;
        if (s->size > 0)
            s->bound = s->size;
        cf_book_ring(&s->book, s->size, s->bound, s->origin);
        return;
    }
}

static void tell_overtaken(const struct cf_spool *s)
{
    const struct cf_cursor *c;
    LIST_FOREACH(c, &s->holders, link)
        if (c->passed < s->begin && c->overtaken != NULL)
            c->overtaken(c->arg);
}

static void drop_piece(struct cf_spool *s, uint64_t bytes)
{
    struct cf_piece *p = piece_at(s, s->first);
    struct cf_piece part = *p;
    if (bytes < p->len)
        part.len = (uint32_t)bytes;
    s->dropping(s->arg, &part);
    p->at += part.len;
    p->exec_at += part.len;
    p->stream_at += part.len;
    p->len -= part.len;
    s->begin = p->at;
    if (p->len == 0)
        s->first++;
    cf_book_begin(&s->book, s->begin, s->first);
    tell_overtaken(s);
}

/* Drops from the front until `want` more bytes fit. */
static void make_room(struct cf_spool *s, size_t want)
{
    while (s->first != s->next && s->end - s->begin + want > s->size)
        drop_piece(s, s->end - s->begin + want - s->size);
    if (s->first == s->next && s->begin != s->end) {
        s->begin = s->end;
        cf_book_begin(&s->book, s->begin, s->first);
    }
}

/* ---- the index ---- */

static bool grow_index(struct cf_spool *s)
{
    uint32_t capacity = s->capacity > 0 ? s->capacity * 2 : PIECES_FIRST;
    struct cf_piece *pieces = capacity <= CF_SPOOL_PIECES_MAX ? malloc(capacity * sizeof *pieces) : NULL;
    if (pieces == NULL)
        return false;
    for (uint64_t i = s->first; i != s->next; i++)
        pieces[i & (capacity - 1)] = *piece_at(s, i);
    free(s->pieces);
    s->pieces = pieces;
    s->capacity = capacity;
    cf_book_grow(&s->book, capacity);
    return true;
}

static bool follows(const struct cf_piece *last, const struct cf_piece *p)
{
    return last->exec == p->exec && last->stream == p->stream && last->late == p->late && last->at + last->len == p->at &&
           (p->late || (last->exec_at + last->len == p->exec_at && last->stream_at + last->len == p->stream_at)) &&
           last->len + p->len <= PIECE_MAX;
}

/* Notes that `source->len` bytes from source->at on are in the ring. */
static void note(struct cf_spool *s, const struct cf_piece *source)
{
    s->end = source->at + source->len;
    if (s->first != s->next && follows(piece_at(s, s->next - 1), source) && cf_book_fits(&s->book, s->next - 1, source->len, PIECE_MAX)) {
        piece_at(s, s->next - 1)->len += source->len;
        cf_book_longer(&s->book, s->next - 1, source->len);
        return;
    }
    if (s->next - s->first == s->capacity && !grow_index(s)) {
        if (s->capacity == 0) {         /* no memory for the first: as if it had been dropped at once */
            s->begin = s->end;
            cf_book_begin(&s->book, s->begin, s->first);
            return;
        }
        drop_piece(s, PIECE_MAX);
    }
    cf_book_note(&s->book, s->next, source);
    *piece_at(s, s->next++) = *source;
}

/* ---- writing ---- */

uint64_t cf_spool_room(const struct cf_spool *s)
{
    uint64_t window = s->bound / 4 < HOLD_WINDOW ? s->bound / 4 : HOLD_WINDOW, room = UINT64_MAX;
    const struct cf_cursor *c;
    LIST_FOREACH(c, &s->holders, link) {
        uint64_t behind = c->passed < s->end ? s->end - c->passed : 0;
        if (c->loose)
            continue;
        if (behind >= window || s->next - (c->piece > s->first ? c->piece : s->first) >= HOLD_PIECES)
            return 0;
        if (window - behind < room)
            room = window - behind;
    }
    return room;
}

size_t cf_spool_pipe_bytes(const struct cf_spool *s)
{
    return s->bound / 8 < PIPE_BYTES ? (size_t)(s->bound / 8) : PIPE_BYTES;
}

/* Bytes for which there is no memory are counted, and what was kept goes with them: nothing in the ring is ever out of order. */
static void lose(struct cf_spool *s, size_t len)
{
    while (s->first != s->next)
        drop_piece(s, PIECE_MAX);
    s->begin = s->end += len;
    cf_book_begin(&s->book, s->begin, s->first);
    if (s->size == 0)
        s->origin = s->end;
    else
        (void)lseek(s->fd, (off_t)place_of(s, s->end), SEEK_SET);
}

static ssize_t lose_from(struct cf_spool *s, int fd, size_t most)
{
    char nowhere[4096];
    ssize_t n = read(fd, nowhere, most < sizeof nowhere ? most : sizeof nowhere);
    if (n > 0)
        lose(s, (size_t)n);
    return n;
}

/* The place for the next bytes, of which there are at most *len, and fewer where the ring ends. */
static bool find_place(struct cf_spool *s, size_t *len, size_t *ret_place)
{
    uint64_t size = s->size;
    grow(s, *len);
    if (s->size == 0)
        return false;
    size_t place = *ret_place = place_of(s, s->end);
    if (*len > s->size - place)
        *len = (size_t)(s->size - place);
    /* At the ring's beginning, and where bytes were lost before it grew, the descriptor stands elsewhere. */
    return (place > 0 && s->size == size) || lseek(s->fd, (off_t)place, SEEK_SET) >= 0;
}

/* Only what is really there makes older bytes go: how many that is, at most `most`, 0 or -1 as splice(2) would say. */
static ssize_t in_pipe(int fd, size_t most)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    int there = 0;
    if (poll(&p, 1, 0) > 0 && (p.revents & (POLLIN | POLLHUP)) == POLLHUP)
        return 0;
    if (ioctl(fd, FIONREAD, &there) < 0)
        return -1;
    if (there == 0)
        errno = EAGAIN;
    return there == 0 ? -1 : (size_t)there < most ? there : (ssize_t)most;
}

/* At most what those who hold bear. */
static bool clamp(const struct cf_spool *s, bool force, size_t *most)
{
    uint64_t room = force ? UINT64_MAX : cf_spool_room(s);
    if (*most > room)
        *most = (size_t)room;
    if (*most == 0)
        errno = ENOBUFS;
    return *most > 0;
}

ssize_t cf_spool_splice(struct cf_spool *s, int fd, const struct cf_piece *from, size_t most, bool force)
{
    struct cf_piece source = *from;
    size_t place;
    if (!clamp(s, force, &most))
        return -1;
    if (s->end - s->begin + most > s->size) {
        ssize_t there = in_pipe(fd, most);
        if (there <= 0)
            return there;
        most = (size_t)there;
    }
    if (!find_place(s, &most, &place))
        return lose_from(s, fd, most);
    if (!clamp(s, force, &most))        /* the bound may be less than it was */
        return -1;
    make_room(s, most);
    source.at = s->end;
    cf_book_hand(&s->book, &source);
    ssize_t n;
    do
        n = splice(fd, NULL, s->fd, NULL, most, SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN)
        return lose_from(s, fd, most);
    if (n <= 0)
        return n;
    source.len = (uint32_t)n;
    note(s, &source);
    return n;
}

void cf_spool_add(struct cf_spool *s, const struct cf_piece *from, const char *data, size_t len)
{
    struct cf_piece source = *from;
    while (len > 0) {
        size_t part = len, place;
        ssize_t n = -1;
        if (find_place(s, &part, &place)) {
            make_room(s, part);
            source.at = s->end;
            cf_book_hand(&s->book, &source);
            n = write(s->fd, data, part);
        }
        if (n > 0) {
            part = (size_t)n;
            source.len = (uint32_t)part;
            note(s, &source);
        } else {
            lose(s, part);
        }
        data += part;
        len -= part;
        source.exec_at += part;
        source.stream_at += part;
    }
}

/* ---- after another server ---- */

/* Takes over the pieces of which something is kept, shortened at the front as `begin` says. */
static bool take_pieces(struct cf_spool *s, const struct cf_book_page *page)
{
    while (s->capacity < page->capacity)
        if (!grow_index(s))
            return false;
    for (uint64_t i = page->first; i != page->next; i++) {
        struct cf_piece p = page->pieces[i & (page->capacity - 1)];
        uint64_t gone = p.at < page->begin ? page->begin - p.at : 0;
        if (gone >= p.len)
            continue;
        p.at += gone;
        p.exec_at += gone;
        p.stream_at += gone;
        p.len -= (uint32_t)gone;
        if (s->first == s->next)
            s->first = s->next = i;
        *piece_at(s, s->next++) = p;
        s->end = p.at + p.len;
    }
    return true;
}

/* What was in the ring already and not noted yet: the descriptor's position tells how much. */
static void note_rest(struct cf_spool *s, const struct cf_piece *hand)
{
    off_t there = lseek(s->fd, 0, SEEK_CUR);
    struct cf_piece source = *hand;
    /* Bytes that were announced go behind the place where the descriptor was put for them. */
    uint64_t more = hand->at == s->end && there > (off_t)place_of(s, s->end) ? (uint64_t)there - place_of(s, s->end) : 0;
    if (more == 0)
        return;
    source.len = (uint32_t)more;
    if (s->end + more - s->begin <= s->size)
        note(s, &source);
}

bool cf_spool_restore(struct cf_spool *s, const struct cf_vault_record *record, int fd)
{
    const struct cf_book_page *page = record->data;
    struct cf_piece hand;
    bool fits = fd >= 0 && record->len >= sizeof *page && page->capacity > 0 && (page->capacity & (page->capacity - 1)) == 0 &&
                page->capacity <= CF_SPOOL_PIECES_MAX && record->len == sizeof *page + page->capacity * sizeof page->pieces[0] &&
                page->next - page->first <= page->capacity && page->size > 0 && page->size <= page->bound;
    char *map = fits ? mmap(NULL, page->bound, PROT_READ, MAP_SHARED | MAP_NORESERVE, fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED) {
        cf_fd_close(&fd);
        return false;
    }
    s->fd = fd;
    s->map = map;
    s->mapped = s->bound = page->bound;
    s->size = page->size;
    s->origin = page->origin;
    s->begin = s->end = page->begin;
    s->first = s->next = page->next;
    s->budget->used_bytes += s->size;
    hand = page->hand;
    s->book.ref = record->ref;
    if (!take_pieces(s, page)) {
        s->first = s->next;
        s->begin = s->end;
    }
    note_rest(s, &hand);
    /* What of it was not taken over is overwritten. */
    (void)lseek(s->fd, (off_t)place_of(s, s->end), SEEK_SET);
    return true;
}
