/* What a session printed, as the next server finds it: the ring and its record, at whatever moment the writer died. */
#include "server/keep.h"
#include "server/spool_book.h"
#include "spool_model.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define KIB 1024u
#define LEAST CF_SPOOL_BYTES_MIN
#define NUMBER 42

struct fixture {
    struct cf_keep keep;
    struct cf_spool_budget budget;
    struct cf_spool *spool;
    struct model *model;
    uint64_t max_bytes;
    int in, out;                        /* a pipe */
};

static void model_dropping(void *arg, const struct cf_piece *piece)
{
    struct fixture *f = arg;
    assert_true(piece->len > 0 && piece->at >= f->model->dropped);
    f->model->dropped = piece->at + piece->len;
}

static void open_spool(struct fixture *f, uint64_t max_bytes)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    *f = (struct fixture){ .in = fds[1], .out = fds[0], .model = model_new(), .max_bytes = max_bytes };
    f->keep.vault = cf_vault_new();
    assert_non_null(f->keep.vault);
    f->budget = (struct cf_spool_budget){ .max_bytes = UINT64_MAX, .keep = &f->keep };
    f->spool = cf_spool_new(max_bytes, &f->budget, NUMBER, model_dropping, f);
    assert_non_null(f->spool);
}

static void close_spool(struct fixture *f)
{
    struct cf_vault_record r;
    uint64_t cursor = 0;
    cf_spool_free(&f->spool);
    assert_int_equal(f->budget.used_bytes, 0);
    assert_false(cf_vault_next(f->keep.vault, &cursor, &r));    /* and nothing of it is left */
    cf_vault_free(&f->keep.vault);
    model_free(f->model);
    close(f->in);
    close(f->out);
}

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

static struct cf_vault_record record_of(const struct fixture *f)
{
    struct cf_vault_record r;
    uint64_t cursor = 0;
    while (cf_vault_next(f->keep.vault, &cursor, &r))
        if (r.kind == CF_VAULT_SPOOL && r.key == NUMBER)
            return r;
    fail_msg("the vault has no record of it");
    return r;
}

static struct cf_book_page *page_of(const struct fixture *f)
{
    return record_of(f).data;
}

/* The server is gone; its descriptors are with somebody else.  Returns the ring's. */
static int die(struct fixture *f)
{
    int fd = dup(spool_fd()), state_fd = dup(cf_vault_fd(f->keep.vault));
    assert_true(fd >= 0 && state_fd >= 0);
    f->keep.leaving = true;             /* what it frees stays */
    cf_spool_free(&f->spool);
    f->keep.leaving = false;
    cf_vault_free(&f->keep.vault);
    f->keep.vault = cf_vault_open(state_fd);
    assert_non_null(f->keep.vault);
    f->spool = cf_spool_new(f->max_bytes, &f->budget, NUMBER, model_dropping, f);
    return fd;
}

static void check_all(struct fixture *f)
{
    for (uint32_t exec = 0; exec < MODEL_EXECS; exec++) {
        struct cf_cursor all = { .exec = exec };
        model_read_all(f->model, f->spool, &all);
        for (uint8_t stream = 0; exec > 0 && stream < 2; stream++) {
            struct cf_cursor one = { .exec = exec, .one_stream = true, .stream = stream };
            model_read_all(f->model, f->spool, &one);
        }
    }
}

static void next_server(struct fixture *f)
{
    uint64_t begin = cf_spool_begin(f->spool);
    int fd = die(f);
    struct cf_vault_record r = record_of(f);
    assert_true(cf_spool_restore(f->spool, &r, fd));
    assert_int_equal(cf_spool_begin(f->spool), begin);
    assert_int_equal(cf_spool_end(f->spool), f->model->end);
    check_all(f);
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

static void add(struct fixture *f, uint32_t exec, enum cf_stream stream, bool late, size_t len)
{
    struct cf_piece source = source_of(f, exec, stream, late);
    const char *data = noise(len);
    model_add(f->model, &source, data, len);
    cf_spool_add(f->spool, &source, data, len);
    assert_int_equal(cf_spool_end(f->spool), f->model->end);
}

static void splice_in(struct fixture *f, uint32_t exec, enum cf_stream stream, size_t len)
{
    const char *data = noise(len);
    assert_int_equal(write(f->in, data, len), len);
    while (len > 0) {
        struct cf_piece source = source_of(f, exec, stream, false);
        ssize_t n = cf_spool_splice(f->spool, f->out, &source, len, true);
        assert_true(n > 0);
        model_add(f->model, &source, data, (size_t)n);
        data += n;
        len -= (size_t)n;
    }
}

/* Up to the system call, and no further: as cf_spool_splice begins.  There must be room in the ring behind what was printed. */
static void splice_unnoted(struct fixture *f, uint32_t exec, enum cf_stream stream, size_t len)
{
    struct cf_piece source = source_of(f, exec, stream, false);
    const char *data = noise(len);
    source.at = cf_spool_end(f->spool);
    page_of(f)->hand = source;
    assert_int_equal(write(f->in, data, len), len);
    assert_int_equal(splice(f->out, NULL, spool_fd(), NULL, len, SPLICE_F_NONBLOCK), len);
    model_add(f->model, &source, data, len);
}

/* ---- taken over ---- */

static void little_and_on(void **state)
{
    struct fixture f;
    open_spool(&f, 1 << 20);
    splice_in(&f, 1, CF_STREAM_OUT, 10);
    splice_in(&f, 1, CF_STREAM_ERR, 20);
    add(&f, 1, CF_STREAM_OUT, true, 5);
    next_server(&f);
    assert_int_equal(f.budget.used_bytes, LEAST);
    splice_in(&f, 2, CF_STREAM_OUT, 30);
    check_all(&f);
    next_server(&f);
    next_server(&f);                    /* one that had nothing to do */
    add(&f, 2, CF_STREAM_OUT, false, 200 * KIB);        /* grows as before */
    check_all(&f);
    next_server(&f);
    close_spool(&f);
}

static void around_the_ring(void **state)
{
    struct fixture f;
    open_spool(&f, LEAST);
    for (uint32_t i = 0; i < 100; i++) {
        splice_in(&f, 1 + i / 20, i % 3 == 0 ? CF_STREAM_ERR : CF_STREAM_OUT, 1000 + i * 37);
        if (i % 7 == 0)
            next_server(&f);
    }
    assert_true(cf_spool_begin(f.spool) > LEAST);
    assert_true(cf_spool_end(f.spool) - cf_spool_begin(f.spool) > LEAST - 10 * KIB);
    next_server(&f);
    close_spool(&f);
}

/* The ring is full to its last byte, and its descriptor stands at the end. */
static void exactly_full(void **state)
{
    struct fixture f;
    open_spool(&f, LEAST);
    for (size_t i = 0; i < LEAST; i += 4096)
        splice_in(&f, 1, CF_STREAM_OUT, 4096);
    next_server(&f);
    assert_int_equal(cf_spool_begin(f.spool), 0);
    splice_in(&f, 1, CF_STREAM_OUT, 4096);
    assert_int_equal(cf_spool_begin(f.spool), 4096);
    next_server(&f);
    close_spool(&f);
}

static void a_piece_of_which_the_front_is_gone(void **state)
{
    struct fixture f;
    struct cf_piece piece = { 0 };
    struct cf_cursor out = { .exec = 1, .one_stream = true, .stream = CF_STREAM_OUT, .since = 1000 };
    uint64_t gap;
    open_spool(&f, LEAST);
    add(&f, 1, CF_STREAM_OUT, false, LEAST - 100);
    add(&f, 1, CF_STREAM_ERR, false, 1100);
    assert_int_equal(cf_spool_begin(f.spool), 1000);
    next_server(&f);
    assert_int_equal(cf_spool_begin(f.spool), 1000);
    assert_int_equal(cf_cursor_next(&out, f.spool, 10, &piece, &gap), CF_NEXT_BYTES);
    assert_true(piece.at == 1000 && piece.exec_at == 1000 && piece.stream_at == 1000);
    splice_in(&f, 1, CF_STREAM_ERR, 1);                 /* and drops on from there */
    assert_int_equal(cf_spool_begin(f.spool), 1001);
    check_all(&f);
    close_spool(&f);
}

static void many_small_pieces(void **state)
{
    struct fixture f;
    open_spool(&f, 1 << 20);
    for (uint32_t i = 0; i < 3000; i++) {               /* the index is doubled many times, in the vault as well */
        add(&f, 1 + i % 2, CF_STREAM_OUT, false, 3);
        if (i % 500 == 499)
            next_server(&f);
    }
    close_spool(&f);
}

static void behind_what_was_lost(void **state)
{
    struct fixture f;
    struct rlimit was, least;
    open_spool(&f, 1 << 20);
    signal(SIGXFSZ, SIG_IGN);
    add(&f, 1, CF_STREAM_OUT, false, LEAST);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    least = (struct rlimit){ .rlim_cur = 0, .rlim_max = was.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &least), 0);
    add(&f, 1, CF_STREAM_OUT, false, 500);              /* no memory: it goes, and all before it */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_int_equal(cf_spool_begin(f.spool), LEAST + 500);
    next_server(&f);
    add(&f, 1, CF_STREAM_OUT, false, 300);
    splice_in(&f, 2, CF_STREAM_ERR, 300);
    next_server(&f);
    assert_int_equal(cf_spool_begin(f.spool), LEAST + 500);
    close_spool(&f);
}

/* ---- between the splice and its note ---- */

static void spliced_and_not_noted(void **state)
{
    struct fixture f;
    open_spool(&f, LEAST);
    splice_in(&f, 1, CF_STREAM_OUT, 100);
    splice_unnoted(&f, 1, CF_STREAM_OUT, 50);           /* of the same source: the piece is longer */
    next_server(&f);
    splice_unnoted(&f, 1, CF_STREAM_ERR, 60);           /* of another */
    next_server(&f);
    splice_unnoted(&f, 2, CF_STREAM_OUT, 70);
    next_server(&f);
    splice_in(&f, 2, CF_STREAM_OUT, 80);
    check_all(&f);
    close_spool(&f);
}

static void the_first_bytes_of_all_not_noted(void **state)
{
    struct fixture f;
    open_spool(&f, LEAST);
    splice_in(&f, 1, CF_STREAM_OUT, 100);
    page_of(&f)->next = 0;              /* as it was before the note */
    next_server(&f);
    close_spool(&f);
}

static void not_noted_up_to_the_end_of_the_ring(void **state)
{
    struct fixture f;
    open_spool(&f, LEAST);
    add(&f, 1, CF_STREAM_OUT, false, LEAST - 100);
    splice_unnoted(&f, 1, CF_STREAM_OUT, 100);
    next_server(&f);
    assert_int_equal(cf_spool_begin(f.spool), 0);
    splice_in(&f, 1, CF_STREAM_OUT, 100);               /* at its beginning again */
    next_server(&f);
    close_spool(&f);
}

static void a_hand_of_before_is_nothing(void **state)
{
    struct fixture f;
    open_spool(&f, LEAST);
    splice_in(&f, 1, CF_STREAM_OUT, 100);
    page_of(&f)->hand.at = 7;           /* whose bytes these are is not known */
    assert_int_equal(write(spool_fd(), "unknown", 7), 7);
    int fd = die(&f);
    struct cf_vault_record r = record_of(&f);
    assert_true(cf_spool_restore(f.spool, &r, fd));
    assert_int_equal(cf_spool_end(f.spool), 100);
    splice_in(&f, 1, CF_STREAM_OUT, 100);               /* in their place */
    check_all(&f);
    close_spool(&f);
}

/* ---- what does not fit ---- */

enum damage { SHORT, LONG, NO_CAPACITY, ODD_CAPACITY, LARGE_CAPACITY, MANY, NO_SIZE, LARGE_SIZE, NO_FD, DAMAGES };

static void damage(struct cf_vault_record *r, enum damage what, int *fd)
{
    struct cf_book_page *page = r->data;
    switch (what) {
    case SHORT: r->len = sizeof *page - 1; break;
    case LONG: r->len++; break;
    case NO_CAPACITY: page->capacity = 0; break;
    case ODD_CAPACITY: page->capacity = 15; break;
    case LARGE_CAPACITY: page->capacity = CF_SPOOL_PIECES_MAX * 2; break;
    case MANY: page->next = page->first + page->capacity + 1; break;
    case NO_SIZE: page->size = 0; break;
    case LARGE_SIZE: page->size = page->bound + 1; break;
    case NO_FD: close(*fd); *fd = -1; break;
    default: break;
    }
}

static void damaged_is_refused(void **state)
{
    for (int what = 0; what < DAMAGES; what++) {
        struct fixture f;
        struct cf_cursor all = { 0 };
        struct cf_piece piece;
        uint64_t gap;
        open_spool(&f, LEAST);
        splice_in(&f, 1, CF_STREAM_OUT, 100);
        int fd = die(&f);
        struct cf_vault_record r = record_of(&f);
        cf_vault_ref ref = r.ref;
        damage(&r, (enum damage)what, &fd);
        assert_false(cf_spool_restore(f.spool, &r, fd));
        assert_int_equal(spool_fd(), -1);               /* taken over all the same */
        assert_int_equal(cf_spool_end(f.spool), 0);
        assert_int_equal(cf_cursor_next(&all, f.spool, 10, &piece, &gap), CF_NEXT_NONE);
        model_free(f.model);            /* as if nothing had ever been printed */
        f.model = model_new();
        cf_vault_drop(f.keep.vault, &ref);
        splice_in(&f, 1, CF_STREAM_OUT, 10);
        assert_int_equal(cf_spool_end(f.spool), 10);
        close_spool(&f);
    }
}

/* ---- at random ---- */

static uint32_t random_of(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

static void at_any_moment(void **state)
{
    uint32_t x = 424242u;
    for (int round = 0; round < 6; round++) {
        struct fixture f;
        open_spool(&f, round % 2 == 0 ? LEAST : 256 * KIB);
        while (f.model->end < (1u << 20) + 300 * KIB) {
            uint32_t exec = 1 + random_of(&x) % (MODEL_EXECS - 1), len = 1 + random_of(&x) % (random_of(&x) % 8 == 0 ? 30000 : 300);
            enum cf_stream stream = random_of(&x) % 2 == 0 ? CF_STREAM_OUT : CF_STREAM_ERR;
            if (random_of(&x) % 4 == 0)
                add(&f, exec, stream, random_of(&x) % 2 == 0, len);
            else
                splice_in(&f, exec, stream, len);
            if (random_of(&x) % 20 != 0)
                continue;
            const struct cf_book_page *page = page_of(&f);
            uint64_t used = f.model->end - page->origin;
            if (random_of(&x) % 2 == 0 && used > 0 && used + 10 < page->size)   /* there is room that was never used */
                splice_unnoted(&f, exec, stream, 10);
            next_server(&f);
        }
        close_spool(&f);
    }
}

int main(void)
{
#define TEST(title, function) { .name = title, .test_func = function }
    const struct CMUnitTest tests[] = {
        TEST("what was printed is taken over, and goes on", little_and_on),
        TEST("around the ring", around_the_ring),
        TEST("a ring that is exactly full", exactly_full),
        TEST("of a piece whose front was dropped the rest is taken over", a_piece_of_which_the_front_is_gone),
        TEST("an index of many small pieces", many_small_pieces),
        TEST("behind a gap", behind_what_was_lost),
        TEST("bytes that were in the ring and not noted are taken over, and whose they are", spliced_and_not_noted),
        TEST("also the first of all", the_first_bytes_of_all_not_noted),
        TEST("also at the end of the ring", not_noted_up_to_the_end_of_the_ring),
        TEST("bytes of which nobody knows whose they are do not count", a_hand_of_before_is_nothing),
        TEST("a damaged record is refused, and it is as if nothing had been printed", damaged_is_refused),
        TEST("at any moment, as a model has it", at_any_moment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
