/* What one session printed: the ring, whose bytes are whose, and readers that are too slow for it. */
#include "spool_model.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define KIB 1024u
#define ALL (2u << 20)                  /* more than any pipe holds */
#define LEAST CF_SPOOL_BYTES_MIN

struct fixture {
    struct cf_spool_budget budget;
    struct cf_spool *spool;
    struct model *model;
    int in, out;                        /* a pipe */
};

static void model_dropping(void *arg, const struct cf_piece *piece)
{
    struct fixture *f = arg;
    struct cf_piece p = *piece;
    assert_true(p.len > 0);
    assert_true(p.at >= f->model->dropped);
    f->model->dropped = p.at + p.len;
    while (p.len > 0) {
        size_t len;
        const char *bytes = cf_spool_bytes(f->spool, p.at, p.len, &len);
        assert_memory_equal(bytes, f->model->bytes + p.at, len);
        p.at += len;
        p.len -= (uint32_t)len;
    }
}

static void open_spool(struct fixture *f, uint64_t max_bytes)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    *f = (struct fixture){ .budget = { .max_bytes = UINT64_MAX }, .in = fds[1], .out = fds[0], .model = model_new() };
    f->spool = cf_spool_new(max_bytes, &f->budget, 1, model_dropping, f);
    assert_non_null(f->spool);
}

static void close_spool(struct fixture *f)
{
    cf_spool_free(&f->spool);
    assert_null(f->spool);
    cf_spool_free(&f->spool);
    assert_int_equal(f->budget.used_bytes, 0);
    model_free(f->model);
    close(f->in);
    close(f->out);
}

static const char *noise(size_t len)
{
    static char bytes[2u << 20];
    static uint32_t x = 2463534242u;
    assert_true(len <= sizeof bytes);
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        bytes[i] = (char)x;
    }
    return bytes;
}

static struct cf_piece source_of(const struct fixture *f, uint32_t exec, enum cf_stream stream, bool late)
{
    struct cf_piece source = { .exec = exec, .stream = (uint8_t)stream, .late = late };
    model_offsets(f->model, &source);
    return source;
}

/* The model comes first: the spool may drop of it at once. */
static void add(struct fixture *f, uint32_t exec, enum cf_stream stream, bool late, size_t len)
{
    struct cf_piece source = source_of(f, exec, stream, late);
    const char *data = noise(len);
    model_add(f->model, &source, data, len);
    cf_spool_add(f->spool, &source, data, len);
    assert_int_equal(cf_spool_end(f->spool), f->model->end);
}

/* Through the pipe, in as many splices of at most `most` as it takes. */
static void splice_in(struct fixture *f, uint32_t exec, enum cf_stream stream, bool late, size_t len, size_t most)
{
    static char rest[1u << 20];
    const char *data = noise(len);
    ssize_t in_pipe = write(f->in, data, len), n;
    assert_true(in_pipe > 0);
    while (in_pipe > 0) {
        struct cf_piece source = source_of(f, exec, stream, late);
        size_t expected = (size_t)in_pipe < most ? (size_t)in_pipe : most;
        memcpy(f->model->bytes + f->model->end, data, expected);    /* of which it may drop some at once */
        n = cf_spool_splice(f->spool, f->out, &source, most, false);
        if (n < 0 && errno == ENOBUFS) {        /* the ring could not grow as far as it was to */
            assert_int_equal(cf_spool_room(f->spool), 0);
            assert_int_equal(read(f->out, rest, sizeof rest), in_pipe);
            return;
        }
        assert_true(n > 0 && (size_t)n <= expected);
        model_add(f->model, &source, data, (size_t)n);
        assert_int_equal(cf_spool_end(f->spool), f->model->end);
        data += n;
        in_pipe -= n;
    }
}

/* The descriptor of the one spool that is open. */
static int spool_fd(void)
{
    char path[64], target[64];
    for (int fd = 3; fd < 256; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t len = readlink(path, target, sizeof target - 1);
        if (len > 0 && (target[len] = '\0', strstr(target, "curfew-output")) != NULL)
            return fd;
    }
    return -1;
}

static uint64_t ring_size(void)
{
    struct stat st;
    assert_int_equal(fstat(spool_fd(), &st), 0);
    return (uint64_t)st.st_size;
}

/* How far the ring was filled is known from its descriptor alone. */
static void check_position(const struct fixture *f)
{
    uint64_t at = (uint64_t)lseek(spool_fd(), 0, SEEK_CUR), size = ring_size();
    assert_true(at == f->model->end % size || (at == size && f->model->end % size == 0));
}

/* ---- the ring ---- */

static void nothing_printed(void **state)
{
    struct fixture f;
    struct cf_cursor all = { 0 }, one = { .exec = 1 };
    open_spool(&f, LEAST);
    assert_int_equal(spool_fd(), -1);
    assert_int_equal(cf_spool_begin(f.spool), 0);
    assert_int_equal(cf_spool_end(f.spool), 0);
    assert_int_equal(model_step(f.model, f.spool, &all, SIZE_MAX, 1), CF_NEXT_NONE);
    assert_int_equal(model_step(f.model, f.spool, &one, SIZE_MAX, 1), CF_NEXT_NONE);
    struct cf_piece source = { .exec = 1 };
    assert_int_equal(cf_spool_splice(f.spool, f.out, &source, 100, false), -1);
    assert_int_equal(errno, EAGAIN);
    close(f.in);
    f.in = -1;
    assert_int_equal(cf_spool_splice(f.spool, f.out, &source, 100, false), 0);
    assert_int_equal(cf_spool_end(f.spool), 0);
    close_spool(&f);
}

static void grows_by_need(void **state)
{
    struct fixture f;
    open_spool(&f, 1000 * KIB);
    for (uint64_t want = LEAST; want < 1000 * KIB; want *= 2) {
        splice_in(&f, 1, CF_STREAM_OUT, false, 10, ALL);
        assert_int_equal(ring_size(), want);
        assert_int_equal(f.budget.used_bytes, want);
        add(&f, 1, CF_STREAM_OUT, false, want - f.model->end);
        assert_int_equal(ring_size(), want);
        assert_int_equal(cf_spool_begin(f.spool), 0);
    }
    add(&f, 1, CF_STREAM_OUT, false, 1000 * KIB - f.model->end);
    assert_int_equal(ring_size(), 1000 * KIB);
    assert_int_equal(cf_spool_begin(f.spool), 0);
    add(&f, 1, CF_STREAM_OUT, false, 1);
    assert_int_equal(ring_size(), 1000 * KIB);
    assert_int_equal(cf_spool_begin(f.spool), 1);
    close_spool(&f);
}

/* Asking for much is not having much. */
static void small_output_small_ring(void **state)
{
    struct fixture f;
    open_spool(&f, 64u << 20);
    for (int i = 0; i < 20; i++)
        splice_in(&f, 1, CF_STREAM_OUT, false, 10, 2u << 20);
    assert_int_equal(ring_size(), LEAST);
    close_spool(&f);
}

/* Asking a pipe that has nothing costs none of what is kept, whether somebody may still write to it or not. */
static void nothing_to_take_drops_nothing(void **state)
{
    struct fixture f;
    struct cf_piece source = { .exec = 2 };
    open_spool(&f, LEAST);
    splice_in(&f, 1, CF_STREAM_OUT, false, LEAST, ALL);
    assert_int_equal(cf_spool_begin(f.spool), 0);
    assert_int_equal(cf_spool_splice(f.spool, f.out, &source, ALL, false), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(cf_spool_begin(f.spool), 0);
    close(f.in);
    f.in = -1;
    assert_int_equal(cf_spool_splice(f.spool, f.out, &source, ALL, false), 0);
    assert_int_equal(cf_spool_begin(f.spool), 0);
    assert_int_equal(cf_spool_end(f.spool), LEAST);
    close_spool(&f);
}

/* The ring is full at each of its places once, by portions of each kind of size, from a pipe and from memory. */
static void wraps_anywhere(void **state)
{
    static const size_t portions[] = { 1, 4095, 4096, 4097, 30000, 65535, 65536 };
    for (size_t i = 0; i < sizeof portions / sizeof *portions; i++)
        for (uint64_t bound = LEAST; bound < LEAST + 3000; bound += 999) {
            struct fixture f;
            struct cf_cursor reader = { 0 };
            open_spool(&f, bound);
            for (size_t size = portions[i], round = 0; round < (size > 1 ? 20 : 100); round++) {
                if (round % 2 == 0)
                    splice_in(&f, 1, CF_STREAM_OUT, false, size, round % 3 == 0 ? 1000 : ALL);
                else
                    add(&f, 1, CF_STREAM_OUT, false, size);
                check_position(&f);
                uint64_t kept = cf_spool_end(f.spool) - cf_spool_begin(f.spool);
                assert_int_equal(kept, f.model->end < bound ? f.model->end : bound);
                if (round % 4 == 0)
                    model_read_all(f.model, f.spool, &reader);
            }
            struct cf_cursor late_comer = { 0 };
            model_read_all(f.model, f.spool, &late_comer);
            assert_int_equal(late_comer.since, f.model->end);
            close_spool(&f);
        }
}

static void more_than_the_ring_at_once(void **state)
{
    struct fixture f;
    struct cf_cursor c = { .exec = 3, .one_stream = true, .stream = CF_STREAM_ERR };
    uint64_t gap;
    struct cf_piece piece;
    open_spool(&f, LEAST);
    add(&f, 1, CF_STREAM_OUT, false, 100);
    add(&f, 3, CF_STREAM_ERR, false, 5 * LEAST + 7);
    check_position(&f);
    assert_int_equal(cf_cursor_next(&c, f.spool, SIZE_MAX, &piece, &gap), CF_NEXT_GAP);
    assert_int_equal(gap, 4 * LEAST + 7);
    model_read_all(f.model, f.spool, &c);
    close_spool(&f);
}

/* A socket may hold what it was lent for long. */
static void lent_bytes_stay(void **state)
{
    struct fixture f;
    size_t len;
    open_spool(&f, 2u << 20);
    add(&f, 1, CF_STREAM_OUT, false, 1000);
    const char *lent = cf_spool_bytes(f.spool, 0, 1000, &len);
    assert_int_equal(len, 1000);
    add(&f, 1, CF_STREAM_OUT, false, (2u << 20) - 1000);
    assert_memory_equal(lent, f.model->bytes, 1000);
    assert_ptr_equal(lent, cf_spool_bytes(f.spool, 0, 1000, &len));
    close_spool(&f);
}

/* ---- pieces ---- */

static void pieces_merge(void **state)
{
    struct fixture f;
    struct cf_piece piece;
    uint64_t gap;
    struct cf_cursor c = { 0 };
    open_spool(&f, 1u << 20);
    for (int i = 0; i < 1000; i++)
        splice_in(&f, 1, CF_STREAM_OUT, false, 10, ALL);
    assert_int_equal(cf_cursor_next(&c, f.spool, SIZE_MAX, &piece, &gap), CF_NEXT_BYTES);
    assert_int_equal(piece.len, 10000);
    cf_cursor_take(&c, &piece, 10000);
    assert_int_equal(cf_cursor_next(&c, f.spool, SIZE_MAX, &piece, &gap), CF_NEXT_NONE);
    add(&f, 1, CF_STREAM_OUT, false, 5);                /* the last piece grows under a reader that had all of it */
    assert_int_equal(cf_cursor_next(&c, f.spool, SIZE_MAX, &piece, &gap), CF_NEXT_BYTES);
    assert_int_equal(piece.at, 10000);
    assert_int_equal(piece.len, 5);
    close_spool(&f);
}

static void sources_are_told_apart(void **state)
{
    static const struct { uint32_t exec; enum cf_stream stream; bool late; uint32_t len; } parts[] = {
        { 1, CF_STREAM_OUT, false, 5 }, { 1, CF_STREAM_ERR, false, 6 }, { 1, CF_STREAM_OUT, false, 7 }, { 1, CF_STREAM_OUT, true, 8 },
        { 2, CF_STREAM_OUT, false, 9 }, { 1, CF_STREAM_OUT, true, 10 }, { 0, CF_STREAM_TERMINAL, false, 11 }, { 2, CF_STREAM_OUT, false, 12 },
    };
    struct fixture f;
    struct cf_cursor c = { 0 };
    struct cf_piece piece;
    uint64_t gap, at = 0;
    open_spool(&f, LEAST);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        add(&f, parts[i].exec, parts[i].stream, parts[i].late, parts[i].len);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        assert_int_equal(cf_cursor_next(&c, f.spool, SIZE_MAX, &piece, &gap), CF_NEXT_BYTES);
        assert_int_equal(piece.at, at);
        assert_int_equal(piece.len, parts[i].len);
        assert_int_equal(piece.exec, parts[i].exec);
        assert_int_equal(piece.stream, parts[i].stream);
        assert_int_equal(piece.late, parts[i].late);
        cf_cursor_take(&c, &piece, piece.len);
        at += piece.len;
    }
    struct cf_cursor exec1 = { .exec = 1 }, exec2 = { .exec = 2 }, out1 = { .exec = 1, .one_stream = true, .stream = CF_STREAM_OUT };
    model_read_all(f.model, f.spool, &exec1);
    model_read_all(f.model, f.spool, &exec2);
    model_read_all(f.model, f.spool, &out1);
    assert_int_equal(exec1.since, 18);                  /* without what came late */
    assert_int_equal(exec2.since, 21);
    assert_int_equal(out1.since, 12);
    close_spool(&f);
}

/* Byte by byte from two sources in turn: the index is full long before the ring. */
static void the_index_is_bounded(void **state)
{
    struct fixture f;
    struct cf_cursor all = { 0 }, err = { .exec = 1, .one_stream = true, .stream = CF_STREAM_ERR };
    struct cf_piece piece;
    uint64_t gap;
    open_spool(&f, 1u << 20);
    for (unsigned i = 0; i < CF_SPOOL_PIECES_MAX + 4464; i++)
        add(&f, 1, i % 2 == 0 ? CF_STREAM_OUT : CF_STREAM_ERR, false, 1);
    assert_int_equal(cf_spool_begin(f.spool), 4464);
    assert_int_equal(cf_cursor_next(&all, f.spool, SIZE_MAX, &piece, &gap), CF_NEXT_GAP);
    assert_int_equal(gap, 4464);
    assert_int_equal(cf_cursor_next(&err, f.spool, SIZE_MAX, &piece, &gap), CF_NEXT_GAP);
    assert_int_equal(gap, 2232);
    model_read_all(f.model, f.spool, &all);
    model_read_all(f.model, f.spool, &err);
    for (int i = 0; i < 40; i++)                        /* and then the ring as well */
        add(&f, 2, CF_STREAM_OUT, false, 50000);
    assert_int_equal(cf_spool_end(f.spool) - cf_spool_begin(f.spool), 1u << 20);
    model_read_all(f.model, f.spool, &all);
    check_position(&f);
    close_spool(&f);
}

/* ---- readers that hold ---- */

static void read_some(struct fixture *f, struct cf_cursor *c, size_t len)
{
    while (len > 0) {
        uint64_t before = c->since;
        assert_int_equal(model_step(f->model, f->spool, c, len, len), CF_NEXT_BYTES);
        len -= c->since - before;
    }
    (void)model_step(f->model, f->spool, c, 1, 0);      /* it looks at what is next */
}

static void room_is_counted(void **state)
{
    struct fixture f;
    struct cf_cursor a = { .exec = 1 }, b = { 0 };
    uint64_t bound = 1u << 20, window = bound / 4;
    open_spool(&f, bound);
    assert_true(cf_spool_room(f.spool) == UINT64_MAX);
    cf_spool_hold(f.spool, &a);
    assert_int_equal(cf_spool_room(f.spool), window);
    add(&f, 1, CF_STREAM_OUT, false, 100000);
    assert_int_equal(cf_spool_room(f.spool), window - 100000);
    read_some(&f, &a, 60000);                           /* in the middle of one piece */
    assert_int_equal(cf_spool_room(f.spool), window - 40000);
    cf_spool_hold(f.spool, &b);
    assert_int_equal(cf_spool_room(f.spool), window - 100000);
    read_some(&f, &b, 99999);
    assert_int_equal(cf_spool_room(f.spool), window - 40000);
    add(&f, 2, CF_STREAM_OUT, false, 300000);
    assert_int_equal(cf_spool_room(f.spool), 0);
    cf_spool_loosen(f.spool, 1);
    assert_int_equal(cf_spool_room(f.spool), 0);  /* for b */
    cf_spool_release(f.spool, &b);
    assert_true(cf_spool_room(f.spool) == UINT64_MAX);
    cf_spool_release(f.spool, &a);
    close_spool(&f);
}

static void what_it_does_not_want_is_passed(void **state)
{
    struct fixture f;
    struct cf_cursor err = { .exec = 1, .one_stream = true, .stream = CF_STREAM_ERR };
    struct cf_piece piece;
    uint64_t gap, window = 1u << 18;
    open_spool(&f, 1u << 20);
    cf_spool_hold(f.spool, &err);
    add(&f, 1, CF_STREAM_OUT, false, window);
    assert_int_equal(cf_spool_room(f.spool), 0);
    assert_int_equal(cf_cursor_next(&err, f.spool, SIZE_MAX, &piece, &gap), CF_NEXT_NONE);
    assert_int_equal(cf_spool_room(f.spool), window);
    add(&f, 1, CF_STREAM_ERR, false, 10);
    add(&f, 2, CF_STREAM_OUT, false, 1000);
    assert_int_equal(cf_cursor_next(&err, f.spool, SIZE_MAX, &piece, &gap), CF_NEXT_BYTES);
    assert_int_equal(cf_spool_room(f.spool), window - 1010);
    cf_spool_release(f.spool, &err);
    close_spool(&f);
}

struct in_hand {
    struct fixture *f;
    struct cf_piece piece;
    char copy[500];
    unsigned told;
};

static void copy_it(void *arg)
{
    struct in_hand *h = arg;
    size_t len;
    const char *bytes = cf_spool_bytes(h->f->spool, h->piece.at, h->piece.len, &len);
    assert_int_equal(len, h->piece.len);
    memcpy(h->copy, bytes, len);
    h->told++;
}

/* Who is waited for is told before what it has in hand goes, and meets a gap of exactly what it missed. */
static void overtaken_readers_are_told(void **state)
{
    struct fixture f;
    struct in_hand h = { .f = &f };
    struct cf_cursor c = { .exec = 1, .overtaken = copy_it, .arg = &h };
    struct cf_piece source;
    static char flood[LEAST];
    uint64_t gap;
    open_spool(&f, LEAST);
    splice_in(&f, 1, CF_STREAM_OUT, false, 1000, ALL);
    cf_spool_hold(f.spool, &c);
    assert_int_equal(cf_cursor_next(&c, f.spool, 500, &h.piece, &gap), CF_NEXT_BYTES);
    add(&f, 1, CF_STREAM_OUT, false, LEAST / 4 - 1000);
    assert_int_equal(write(f.in, flood, LEAST), LEAST);
    source = source_of(&f, 1, CF_STREAM_OUT, false);
    assert_int_equal(cf_spool_splice(f.spool, f.out, &source, LEAST, false), -1);
    assert_int_equal(errno, ENOBUFS);
    memset(f.model->bytes + f.model->end, 0, LEAST);
    assert_int_equal(cf_spool_splice(f.spool, f.out, &source, LEAST - LEAST / 4, true), LEAST - LEAST / 4);
    assert_int_equal(h.told, 0);
    source.exec_at += LEAST - LEAST / 4;
    source.stream_at += LEAST - LEAST / 4;
    assert_int_equal(cf_spool_splice(f.spool, f.out, &source, 800, true), 800);
    assert_true(h.told > 0);
    assert_memory_equal(h.copy, f.model->bytes, sizeof h.copy);
    cf_cursor_take(&c, &h.piece, 500);
    assert_int_equal(cf_cursor_next(&c, f.spool, SIZE_MAX, &h.piece, &gap), CF_NEXT_GAP);
    assert_int_equal(gap, 300);
    cf_spool_release(f.spool, &c);
    close_spool(&f);
}

/* The index has a bound of its own. */
static void small_pieces_are_held(void **state)
{
    struct fixture f;
    struct cf_cursor c = { .exec = 1 };
    open_spool(&f, 1u << 20);
    cf_spool_hold(f.spool, &c);
    for (unsigned i = 0; i <= CF_SPOOL_PIECES_MAX && cf_spool_room(f.spool) > 0; i++)
        add(&f, 1, i % 2 == 0 ? CF_STREAM_OUT : CF_STREAM_ERR, false, 1);
    assert_int_equal(cf_spool_begin(f.spool), 0);
    assert_int_equal(cf_spool_room(f.spool), 0);
    model_read_all(f.model, f.spool, &c);
    assert_true(cf_spool_room(f.spool) > 0);
    cf_spool_release(f.spool, &c);
    close_spool(&f);
}

/* A command's two pipes, however full, fit beside what a reader may lack. */
static void pipes_fit(void **state)
{
    static const uint64_t bounds[] = { 1u << 20, (1u << 20) + 4096, 3u << 20, 16u << 20, 17u << 20, 1ull << 34 };
    for (size_t i = 0; i < sizeof bounds / sizeof *bounds; i++) {
        struct cf_spool_budget budget = { .max_bytes = UINT64_MAX };
        struct cf_spool *spool = cf_spool_new(bounds[i], &budget, 1, NULL, NULL);
        struct cf_cursor c = { 0 };
        size_t pipe = cf_spool_pipe_bytes(spool), rounded = 4096;
        while (rounded < pipe)          /* as the kernel does */
            rounded *= 2;
        cf_spool_hold(spool, &c);
        assert_true(pipe >= 64 * KIB && pipe <= 1u << 20);
        assert_true(cf_spool_room(spool) + 2 * rounded <= bounds[i]);
        cf_spool_release(spool, &c);
        cf_spool_free(&spool);
    }
}

/* ---- no memory ---- */

static void budget_used_up(void **state)
{
    struct fixture f;
    struct cf_cursor c = { 0 };
    open_spool(&f, 1u << 20);
    f.budget = (struct cf_spool_budget){ .max_bytes = 300 * KIB, .used_bytes = 0 };
    add(&f, 1, CF_STREAM_OUT, false, 500 * KIB);
    assert_int_equal(ring_size(), 256 * KIB);           /* the next step would be 512 KiB */
    assert_int_equal(f.budget.used_bytes, 256 * KIB);
    assert_int_equal(cf_spool_end(f.spool) - cf_spool_begin(f.spool), 256 * KIB);
    model_read_all(f.model, f.spool, &c);
    struct cf_spool *other = cf_spool_new(1u << 20, &f.budget, 2, model_dropping, &f);
    struct cf_piece source = { .exec = 1 };
    cf_spool_add(other, &source, "hello", 5);           /* the least is there for everybody */
    assert_int_equal(f.budget.used_bytes, 256 * KIB + LEAST);
    assert_int_equal(cf_spool_begin(other), 0);
    cf_spool_free(&other);
    f.budget.max_bytes = UINT64_MAX;                    /* what was refused once is the bound */
    add(&f, 1, CF_STREAM_OUT, false, 500 * KIB);
    assert_int_equal(ring_size(), 256 * KIB);
    model_read_all(f.model, f.spool, &c);
    close_spool(&f);
}

static rlim_t set_limit(int what, rlim_t value)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(what, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
    assert_int_equal(setrlimit(what, &limit), 0);
    return before;
}

static void no_descriptor(void **state)
{
    struct fixture f;
    struct cf_cursor all = { 0 }, one = { .exec = 1 };
    open_spool(&f, LEAST);
    rlim_t before = set_limit(RLIMIT_NOFILE, 0);
    splice_in(&f, 1, CF_STREAM_OUT, false, 10000, ALL);
    add(&f, 1, CF_STREAM_ERR, false, 500);
    (void)set_limit(RLIMIT_NOFILE, before);
    assert_int_equal(cf_spool_begin(f.spool), 10500);
    assert_int_equal(model_step(f.model, f.spool, &all, SIZE_MAX, 1), CF_NEXT_GAP);
    assert_int_equal(all.since, 10500);
    splice_in(&f, 1, CF_STREAM_OUT, false, 300, ALL);      /* from now on it is kept */
    model_read_all(f.model, f.spool, &all);
    assert_int_equal(model_step(f.model, f.spool, &one, SIZE_MAX, 1), CF_NEXT_GAP);
    assert_int_equal(one.since, 10500);
    model_read_all(f.model, f.spool, &one);
    assert_int_equal(one.since, 10800);
    close_spool(&f);
}

/* The ring may be no longer than that, as if there were no memory for more. */
static void growth_is_refused(void **state)
{
    struct fixture f;
    struct cf_cursor c = { .exec = 1 };
    open_spool(&f, 1u << 20);
    rlim_t before = set_limit(RLIMIT_FSIZE, 200 * KIB);
    splice_in(&f, 1, CF_STREAM_OUT, false, 65536, ALL);
    for (int i = 0; i < 10; i++)
        splice_in(&f, 1, CF_STREAM_OUT, false, 60000, ALL);
    (void)set_limit(RLIMIT_FSIZE, before);
    assert_int_equal(cf_spool_end(f.spool) - cf_spool_begin(f.spool), 128 * KIB);
    model_read_all(f.model, f.spool, &c);
    check_position(&f);
    close_spool(&f);
}

/* Its pages are refused, now and then, while it is used: what is kept is right, and counted. */
static void writing_is_refused(void **state)
{
    struct fixture f;
    struct cf_cursor all = { 0 }, out = { .exec = 1, .one_stream = true, .stream = CF_STREAM_OUT };
    open_spool(&f, LEAST);
    for (int i = 0; i < 60; i++) {
        rlim_t before = set_limit(RLIMIT_FSIZE, i % 3 == 1 ? 20000u : RLIM_INFINITY);
        if (i % 2 == 0)
            splice_in(&f, 1 + i / 30, CF_STREAM_OUT, false, 7001, ALL);
        else
            add(&f, 1 + i / 30, CF_STREAM_ERR, false, 7001);
        (void)set_limit(RLIMIT_FSIZE, before);
        if (i % 7 == 0)
            model_read_all(f.model, f.spool, &all);
        assert_true(cf_spool_end(f.spool) - cf_spool_begin(f.spool) <= LEAST);
        check_position(&f);
    }
    model_read_all(f.model, f.spool, &all);
    assert_int_equal(all.since, 60 * 7001);
    model_read_all(f.model, f.spool, &out);
    close_spool(&f);
}

/* What is lost moves the place of the next byte, and growing moves it again. */
static void grows_behind_a_loss(void **state)
{
    struct fixture f;
    struct cf_cursor all = { 0 };
    open_spool(&f, 1u << 20);
    splice_in(&f, 1, CF_STREAM_OUT, false, 60000, ALL);
    rlim_t before = set_limit(RLIMIT_FSIZE, 20000);
    add(&f, 1, CF_STREAM_OUT, false, 5536);
    (void)set_limit(RLIMIT_FSIZE, before);
    splice_in(&f, 1, CF_STREAM_OUT, false, 60000, ALL);
    assert_int_equal(ring_size(), 128 * KIB);
    check_position(&f);
    model_read_all(f.model, f.spool, &all);
    close_spool(&f);
}

/* ---- everything at once ---- */

#define CURSORS 24

static void new_cursor(struct fixture *f, struct cf_cursor *c, bool *holds, unsigned *seed)
{
    if (*holds)
        cf_spool_release(f->spool, c);
    *c = (struct cf_cursor){ .exec = (uint32_t)rand_r(seed) % MODEL_EXECS, .one_stream = rand_r(seed) % 2, .stream = (uint8_t)(rand_r(seed) % CF_STREAMS) };
    c->one_stream = c->one_stream && c->exec != 0;
    uint64_t total = model_total(f->model, c);
    c->since = rand_r(seed) % 4 == 0 ? 0 : (uint64_t)rand_r(seed) % (total + 1);
    c->passed = cf_spool_end(f->spool);
    *holds = rand_r(seed) % 3 == 0;
    if (*holds)
        cf_spool_hold(f->spool, c);
}

/* A portion that everybody who holds can bear, or one by force. */
static void print_some(struct fixture *f, uint32_t exec, unsigned *seed)
{
    uint64_t room = rand_r(seed) % 8 == 0 ? UINT64_MAX : cf_spool_room(f->spool);
    size_t len = 1 + (size_t)rand_r(seed) % (rand_r(seed) % 4 == 0 ? 60000 : 300);
    bool late = rand_r(seed) % 10 == 0;
    enum cf_stream stream = (enum cf_stream)(rand_r(seed) % CF_STREAMS);
    if (room == 0)
        return;
    if (len > room)
        len = (size_t)room;
    if (rand_r(seed) % 3 == 0)
        add(f, exec, stream, late, len);
    else
        splice_in(f, exec, stream, late, len, 1 + (size_t)rand_r(seed) % 70000);
}

static void random_run(unsigned seed)
{
    static const uint64_t bounds[] = { LEAST, 100000, 131072, 777777 };
    struct fixture f;
    struct cf_cursor cursors[CURSORS];
    bool holds[CURSORS] = { false };
    open_spool(&f, bounds[seed % 4]);
    if (seed % 3 == 0)
        f.budget.max_bytes = 200000;
    for (int i = 0; i < CURSORS; i++)
        new_cursor(&f, &cursors[i], &holds[i], &seed);
    uint32_t exec = 1;
    for (int step = 0; step < 4000 && f.model->end < MODEL_BYTES - 100000; step++) {
        int i = rand_r(&seed) % CURSORS;
        for (int n = rand_r(&seed) % 3; n > 0; n--)
            print_some(&f, exec, &seed);
        if (rand_r(&seed) % 300 == 0 && exec + 1 < MODEL_EXECS)
            cf_spool_loosen(f.spool, exec++);
        if (rand_r(&seed) % 50 == 0)
            new_cursor(&f, &cursors[i], &holds[i], &seed);
        (void)model_step(f.model, f.spool, &cursors[i], SIZE_MAX, 1 + (size_t)rand_r(&seed) % 40000);
    }
    for (int i = 0; i < CURSORS; i++) {
        model_read_all(f.model, f.spool, &cursors[i]);
        if (holds[i])
            cf_spool_release(f.spool, &cursors[i]);
    }
    check_position(&f);
    assert_true(f.model->dropped <= cf_spool_begin(f.spool));
    close_spool(&f);
}

static void as_the_model(void **state)
{
    for (unsigned seed = 1; seed <= 24; seed++)
        random_run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "a session that printed nothing has no descriptor, and an empty pipe is told from one without writers", .test_func = nothing_printed },
        { .name = "the ring grows by doubling, up to its bound, and drops nothing before", .test_func = grows_by_need },
        { .name = "little output takes little memory, however much is asked for", .test_func = small_output_small_ring },
        { .name = "asking a pipe that has nothing costs none of what is kept", .test_func = nothing_to_take_drops_nothing },
        { .name = "beyond the bound exactly the oldest bytes go, wherever the ring wraps; its descriptor stands where it is filled", .test_func = wraps_anywhere },
        { .name = "more than the ring at once leaves its last bytes, and a gap of the right size", .test_func = more_than_the_ring_at_once },
        { .name = "bytes that were lent stay where they are when the ring grows", .test_func = lent_bytes_stay },
        { .name = "bytes of one source that follow each other are one piece", .test_func = pieces_merge },
        { .name = "command, stream and lateness tell pieces apart, and readers get what they want only", .test_func = sources_are_told_apart },
        { .name = "65536 pieces are kept, then the oldest go as if the ring were full", .test_func = the_index_is_bounded },
        { .name = "room is what the slowest of those who hold leaves, counted from where it is", .test_func = room_is_counted },
        { .name = "a reader that holds passes what it does not want", .test_func = what_it_does_not_want_is_passed },
        { .name = "who is overtaken by force is told while what it has in hand is there, and what it missed", .test_func = overtaken_readers_are_told },
        { .name = "pieces, however small, are held for a reader that holds as bytes are", .test_func = small_pieces_are_held },
        { .name = "two full pipes fit beside what a reader may lack", .test_func = pipes_fit },
        { .name = "when the budget is used up the ring wraps where it is, and everybody has the least", .test_func = budget_used_up },
        { .name = "without a descriptor output is counted and lost, and kept again as soon as there is one", .test_func = no_descriptor },
        { .name = "where growth is refused the ring wraps", .test_func = growth_is_refused },
        { .name = "where writing is refused bytes are a gap of the right size, and all others right", .test_func = writing_is_refused },
        { .name = "a ring that grows behind a loss has every byte where it is looked for", .test_func = grows_behind_a_loss },
        { .name = "random output, readers and bounds: every byte right, or a gap of exactly what is gone", .test_func = as_the_model },
    };
    signal(SIGXFSZ, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
