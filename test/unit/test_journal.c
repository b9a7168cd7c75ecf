/* What one session ran: records, who reads and waits, and output as one text. */
#include "server/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPOOL CF_SPOOL_BYTES_MIN
#define HEAD 1000u

static const struct cf_journal_limits limits = { .spool_bytes = SPOOL, .execs_kept = 3, .retention_ns = 100 * CF_NS_PER_S, .head_bytes = HEAD };

struct fixture {
    struct cf_spool_budget budget;
    struct cf_journal *journal;
    int in, out;
    int woken, told;                    /* a watch, the writer */
};

static void open_journal(struct fixture *f, const struct cf_journal_limits *l)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    *f = (struct fixture){ .budget = { .max_bytes = UINT64_MAX }, .in = fds[1], .out = fds[0] };
    f->journal = cf_journal_new(l, &f->budget);
    assert_non_null(f->journal);
}

static void close_journal(struct fixture *f)
{
    cf_journal_unref(&f->journal);
    assert_null(f->journal);
    assert_int_equal(f->budget.used_bytes, 0);
    close(f->in);
    close(f->out);
}

static struct cf_now at(int64_t s)
{
    return (struct cf_now){ .mono_ns = s * CF_NS_PER_S, .wall_ns = (1000 + s) * CF_NS_PER_S };
}

static struct cf_exec *begin(struct fixture *f, int64_t s)
{
    struct cf_exec *e = cf_journal_begin(f->journal, "command", 7, at(s));
    assert_non_null(e);
    return e;
}

static void finish(struct fixture *f, struct cf_exec *e, int64_t s)
{
    e->ended_mono_ns = at(s).mono_ns;
    cf_journal_finish(f->journal, e);
}

/* Bytes that say where they are in their stream. */
static char byte_at(enum cf_stream stream, uint64_t n)
{
    return (char)(n * 31 + n / 251 + stream * 7);
}

/* Prints `len` bytes that go on where the stream of this command ended; all of them, with force. */
static void print(struct fixture *f, struct cf_exec *e, enum cf_stream stream, size_t len)
{
    char bytes[4096];
    const struct cf_origin origin = { .exec = e->number, .stream = stream };
    while (len > 0) {
        uint64_t from = e->stream_bytes[stream];
        size_t part = len < sizeof bytes ? len : sizeof bytes;
        for (size_t i = 0; i < part; i++)
            bytes[i] = byte_at(stream, from + i);
        assert_int_equal(write(f->in, bytes, part), part);
        for (size_t done = 0; done < part;) {
            ssize_t n = cf_journal_splice(f->journal, f->out, &origin, part - done, true);
            assert_true(n > 0);
            done += (size_t)n;
        }
        assert_int_equal(e->stream_bytes[stream], from + part);
        len -= part;
    }
}

static void print_late(struct fixture *f, uint32_t exec, const char *text)
{
    const struct cf_origin origin = { .exec = exec, .stream = CF_STREAM_OUT, .late = true };
    assert_int_equal(write(f->in, text, strlen(text)), strlen(text));
    assert_int_equal(cf_journal_splice(f->journal, f->out, &origin, 4096, true), strlen(text));
}

static unsigned count(const struct fixture *f)
{
    unsigned n = 0;
    for (const struct cf_exec *e = NULL; (e = cf_journal_next(f->journal, e)) != NULL;)
        n++;
    return n;
}

/* ---- records ---- */

static void numbers_and_fields(void **state)
{
    struct fixture f;
    open_journal(&f, &limits);
    assert_null(cf_journal_next(f.journal, NULL));
    assert_null(cf_journal_find(f.journal, 0));
    assert_null(cf_journal_find(f.journal, 1));
    struct cf_exec *a = cf_journal_begin(f.journal, "echo a; rest", 6, at(5));
    assert_int_equal(a->number, 1);
    assert_string_equal(a->command, "echo a");
    assert_int_equal(a->command_len, 6);
    assert_int_equal(a->started_mono_ns, at(5).mono_ns);
    assert_int_equal(a->started_wall_ns, at(5).wall_ns);
    assert_false(a->ended);
    finish(&f, a, 6);
    assert_true(a->ended);
    struct cf_exec *b = begin(&f, 7);
    assert_int_equal(b->number, 2);
    assert_ptr_equal(cf_journal_find(f.journal, 1), a);
    assert_ptr_equal(cf_journal_find(f.journal, 2), b);
    assert_null(cf_journal_find(f.journal, 3));
    assert_ptr_equal(cf_journal_next(f.journal, NULL), a);
    assert_ptr_equal(cf_journal_next(f.journal, a), b);
    cf_journal_forget(f.journal, b);
    assert_null(cf_journal_find(f.journal, 2));
    assert_int_equal(begin(&f, 8)->number, 3);          /* a number is never used twice */
    close_journal(&f);
}

static void long_commands_are_cut(void **state)
{
    struct fixture f;
    char text[3 * CF_EXEC_COMMAND_MAX];
    memset(text, 'x', sizeof text);
    open_journal(&f, &limits);
    struct cf_exec *e = cf_journal_begin(f.journal, text, sizeof text, at(0));
    assert_int_equal(e->command_len, CF_EXEC_COMMAND_MAX);
    assert_int_equal(strlen(e->command), CF_EXEC_COMMAND_MAX);
    close_journal(&f);
}

static void pruned_by_number(void **state)
{
    struct fixture f;
    open_journal(&f, &limits);
    for (int i = 1; i <= 5; i++)
        finish(&f, begin(&f, i), i);
    cf_journal_prune(f.journal, at(6).mono_ns);
    assert_int_equal(count(&f), 3);
    assert_null(cf_journal_find(f.journal, 2));
    assert_non_null(cf_journal_find(f.journal, 3));
    struct cf_exec *running = begin(&f, 7);
    for (int i = 0; i < 3; i++)
        cf_journal_prune(f.journal, at(8).mono_ns);
    assert_ptr_equal(cf_journal_find(f.journal, 6), running);
    close_journal(&f);
}

static void pruned_by_age(void **state)
{
    struct fixture f;
    open_journal(&f, &limits);
    finish(&f, begin(&f, 1), 10);
    finish(&f, begin(&f, 2), 50);
    struct cf_exec *running = begin(&f, 3);
    cf_journal_prune(f.journal, at(110).mono_ns);       /* exactly its retention */
    assert_int_equal(count(&f), 3);
    cf_journal_prune(f.journal, at(110).mono_ns + 1);
    assert_null(cf_journal_find(f.journal, 1));
    assert_int_equal(count(&f), 2);
    cf_journal_prune(f.journal, at(100000).mono_ns);
    assert_int_equal(count(&f), 1);
    assert_ptr_equal(cf_journal_find(f.journal, 3), running);
    close_journal(&f);
}

static void pins_keep(void **state)
{
    struct fixture f;
    open_journal(&f, &limits);
    struct cf_exec *e = begin(&f, 1);
    finish(&f, e, 1);
    e->pins++;
    for (int i = 2; i < 9; i++)
        finish(&f, begin(&f, i), i);
    cf_journal_prune(f.journal, at(100000).mono_ns);
    assert_int_equal(count(&f), 1);
    assert_ptr_equal(cf_journal_find(f.journal, 1), e);
    e->pins--;
    cf_journal_prune(f.journal, at(100000).mono_ns);
    assert_int_equal(count(&f), 0);
    close_journal(&f);
}

/* ---- output ---- */

static void bytes_are_counted(void **state)
{
    struct fixture f;
    open_journal(&f, &limits);
    struct cf_exec *a = begin(&f, 1);
    print(&f, a, CF_STREAM_OUT, 100);
    print(&f, a, CF_STREAM_ERR, 30);
    print(&f, a, CF_STREAM_OUT, 7);
    finish(&f, a, 2);
    struct cf_exec *b = begin(&f, 3);
    print_late(&f, a->number, "late");
    print(&f, b, CF_STREAM_OUT, 11);
    print_late(&f, 99, "of nobody that is known");
    cf_journal_terminal(f.journal, "typed", 5);
    assert_int_equal(a->bytes, 137);
    assert_int_equal(a->stream_bytes[CF_STREAM_OUT], 107);
    assert_int_equal(a->stream_bytes[CF_STREAM_ERR], 30);
    assert_int_equal(a->late_bytes, 4);
    assert_int_equal(b->bytes, 11);
    assert_int_equal(b->late_bytes, 0);
    assert_int_equal(cf_spool_end(cf_journal_spool(f.journal)), 137 + 4 + 11 + 23 + 5);
    assert_int_equal(cf_journal_terminal_bytes(f.journal), 5);
    close_journal(&f);
}

static void nothing_there(void **state)
{
    struct fixture f;
    const struct cf_origin origin = { .exec = 1, .stream = CF_STREAM_OUT };
    open_journal(&f, &limits);
    struct cf_exec *e = begin(&f, 1);
    assert_int_equal(cf_journal_splice(f.journal, f.out, &origin, 100, false), -1);
    assert_int_equal(errno, EAGAIN);
    close(f.in);
    assert_int_equal(cf_journal_splice(f.journal, f.out, &origin, 100, false), 0);
    assert_int_equal(e->bytes, 0);
    f.in = -1;
    close_journal(&f);
}

/* What `max` bytes of a stream have to be: its halves, and how many are left out. */
static void check_text(struct fixture *f, struct cf_exec *e, enum cf_stream stream, size_t max)
{
    struct cf_buf out;
    uint64_t total = e->stream_bytes[stream], head = total <= max ? total : max - max / 2, tail = total <= max ? 0 : max / 2;
    char note[100] = "";
    cf_buf_init(&out, 1u << 20);
    assert_int_equal(cf_journal_text(f->journal, e, stream, max, &out), total > max);
    if (total > max)
        snprintf(note, sizeof note, "\n[curfew: %llu bytes left out]\n", (unsigned long long)(total - max));
    assert_int_equal(out.len, head + strlen(note) + tail);
    for (uint64_t i = 0; i < head; i++)
        assert_int_equal(out.data[i], byte_at(stream, i));
    if (*note != '\0')
        assert_memory_equal(out.data + head, note, strlen(note));
    for (uint64_t i = 0; i < tail; i++)
        assert_int_equal(out.data[head + strlen(note) + i], byte_at(stream, total - tail + i));
    cf_buf_free(&out);
}

static void short_text_is_whole(void **state)
{
    struct fixture f;
    struct cf_buf out;
    open_journal(&f, &limits);
    struct cf_exec *e = begin(&f, 1);
    cf_buf_init(&out, 100);
    assert_false(cf_journal_text(f.journal, e, CF_STREAM_OUT, HEAD, &out));
    assert_int_equal(out.len, 0);
    cf_buf_free(&out);
    print(&f, e, CF_STREAM_OUT, HEAD);
    print(&f, e, CF_STREAM_ERR, 1);
    check_text(&f, e, CF_STREAM_OUT, HEAD);
    check_text(&f, e, CF_STREAM_ERR, HEAD);
    print(&f, e, CF_STREAM_OUT, 1);
    check_text(&f, e, CF_STREAM_OUT, HEAD);
    check_text(&f, e, CF_STREAM_OUT, HEAD + 1);
    close_journal(&f);
}

/* Around each size at which something changes, with a little of the other stream in between. */
static void long_text_has_its_halves(void **state)
{
    static const size_t sizes[] = { HEAD, HEAD + 1, HEAD + HEAD / 2, 2 * HEAD + 1, SPOOL - 1, SPOOL, SPOOL + 1, SPOOL + HEAD - 1, SPOOL + HEAD + 1,
                                    2 * SPOOL, 5 * SPOOL + 4711 };
    static const size_t maxima[] = { HEAD, HEAD - 1, 100, 2, 1 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct fixture f;
        open_journal(&f, &limits);
        finish(&f, begin(&f, 1), 1);
        struct cf_exec *e = begin(&f, 2);
        for (size_t left = sizes[i]; left > 0;) {
            size_t part = left < 30000 ? left : 30000;
            print(&f, e, CF_STREAM_OUT, part);
            if (left > part)
                print(&f, e, CF_STREAM_ERR, 3);
            left -= part;
        }
        for (size_t m = 0; m < sizeof maxima / sizeof *maxima; m++) {
            check_text(&f, e, CF_STREAM_OUT, maxima[m]);
            check_text(&f, e, CF_STREAM_ERR, maxima[m]);
        }
        close_journal(&f);
    }
}

/* Where the answer may be larger than all that is kept: the head of it, what the ring has, and a count that is exact. */
static void text_larger_than_the_ring(void **state)
{
    struct fixture f;
    struct cf_journal_limits wide = limits;
    wide.head_bytes = 3 * SPOOL;
    open_journal(&f, &wide);
    struct cf_exec *e = begin(&f, 1);
    print(&f, e, CF_STREAM_OUT, 10 * SPOOL + 5);
    check_text(&f, e, CF_STREAM_OUT, 2 * SPOOL);        /* 1 of head, 1 of tail: all of the ring */
    struct cf_buf out;
    cf_buf_init(&out, 1u << 20);
    assert_true(cf_journal_text(f.journal, e, CF_STREAM_OUT, 3 * SPOOL, &out));
    const char *note = memmem(out.data, out.len, "\n[curfew: ", 10);
    assert_non_null(note);
    size_t head = (size_t)(note - out.data), note_len = (size_t)(strchr(note + 1, '\n') + 1 - note), tail = out.len - head - note_len;
    assert_int_equal(strtoull(note + 10, NULL, 10), 10 * SPOOL + 5 - head - tail);
    assert_int_equal(head, 3 * SPOOL / 2);
    assert_int_equal(tail, SPOOL);
    for (size_t i = 0; i < tail; i++)
        assert_int_equal(out.data[head + note_len + i], byte_at(CF_STREAM_OUT, 9 * SPOOL + 5 + i));
    cf_buf_free(&out);
    close_journal(&f);
}

/* Only what a command itself printed is its text. */
static void text_has_no_late_bytes(void **state)
{
    struct fixture f;
    struct cf_buf out;
    open_journal(&f, &limits);
    struct cf_exec *a = begin(&f, 1);
    print(&f, a, CF_STREAM_OUT, 10);
    finish(&f, a, 2);
    struct cf_exec *b = begin(&f, 3);
    print_late(&f, 1, "late");
    print(&f, b, CF_STREAM_OUT, 20);
    print_late(&f, 1, "later");
    check_text(&f, a, CF_STREAM_OUT, HEAD);
    check_text(&f, b, CF_STREAM_OUT, HEAD);
    cf_buf_init(&out, 1000);
    cf_journal_last(f.journal, 999, &out);
    assert_int_equal(out.len, 29);                      /* the last command's, and then what came late */
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(out.data[i], byte_at(CF_STREAM_OUT, i));
    assert_memory_equal(out.data + 20, "latelater", 9);
    cf_buf_free(&out);
    close_journal(&f);
}

static void last_output_is_bounded(void **state)
{
    struct fixture f;
    struct cf_buf out;
    open_journal(&f, &limits);
    cf_buf_init(&out, 401);
    cf_journal_last(f.journal, 400, &out);
    assert_int_equal(out.len, 0);
    struct cf_exec *e = begin(&f, 1);
    print(&f, e, CF_STREAM_OUT, 3 * SPOOL);
    print(&f, e, CF_STREAM_ERR, SPOOL / 2);
    cf_journal_last(f.journal, 400, &out);
    assert_false(out.failed);
    assert_int_equal(out.len, 300);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(out.data[i], byte_at(CF_STREAM_OUT, 3 * SPOOL - 200 + i));
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(out.data[200 + i], byte_at(CF_STREAM_ERR, SPOOL / 2 - 100 + i));
    finish(&f, e, 2);
    char flood[3000];
    memset(flood, 'n', sizeof flood);
    flood[sizeof flood - 1] = '\0';
    print_late(&f, 1, flood);
    cf_buf_reset(&out);
    cf_journal_last(f.journal, 400, &out);
    assert_false(out.failed);
    assert_int_equal(out.len, 400);
    cf_buf_free(&out);
    close_journal(&f);
}

/* ---- those who wait ---- */

static void on_wake(void *arg)
{
    ((struct fixture *)arg)->woken++;
}

static void on_room(void *arg)
{
    ((struct fixture *)arg)->told++;
}

static void watchers_hear_of_everything(void **state)
{
    struct fixture f;
    struct cf_watch a = { .wake = on_wake, .arg = &f }, b = a;
    open_journal(&f, &limits);
    struct cf_exec *e = begin(&f, 1);
    cf_journal_watch(f.journal, &a);
    print(&f, e, CF_STREAM_OUT, 1);
    assert_int_equal(f.woken, 1);
    cf_journal_watch(f.journal, &b);
    print(&f, e, CF_STREAM_ERR, 1);
    assert_int_equal(f.woken, 3);
    cf_journal_unwatch(f.journal, &a);
    finish(&f, e, 2);
    assert_int_equal(f.woken, 4);
    print_late(&f, 1, "x");
    assert_int_equal(f.woken, 5);
    cf_journal_terminal(f.journal, "x", 1);
    assert_int_equal(f.woken, 6);
    struct cf_buf tomb;
    cf_buf_init(&tomb, 10);
    cf_journal_close(f.journal, &tomb);
    assert_int_equal(f.woken, 7);
    cf_journal_unwatch(f.journal, &b);
    cf_journal_wake(f.journal);
    assert_int_equal(f.woken, 7);
    close_journal(&f);
}

/* A writer that was refused is told once, when there is room; one that was not refused never is. */
static void writers_hear_of_room(void **state)
{
    struct fixture f;
    struct cf_watch writer = { .wake = on_room, .arg = &f };
    const struct cf_origin origin = { .exec = 1, .stream = CF_STREAM_OUT };
    struct cf_cursor c = { .exec = 1 };
    struct cf_piece piece;
    uint64_t gap, window = SPOOL / 4;
    open_journal(&f, &limits);
    struct cf_exec *e = begin(&f, 1);
    cf_journal_set_writer(f.journal, &writer);
    cf_spool_hold(cf_journal_spool(f.journal), &c);
    cf_journal_moved(f.journal);
    assert_int_equal(f.told, 0);
    print(&f, e, CF_STREAM_OUT, window);
    assert_int_equal(write(f.in, "abc", 3), 3);
    assert_int_equal(cf_journal_splice(f.journal, f.out, &origin, 3, false), -1);
    assert_int_equal(errno, ENOBUFS);
    cf_journal_moved(f.journal);
    assert_int_equal(f.told, 0);
    assert_int_equal(cf_cursor_next(&c, cf_journal_spool(f.journal), 2, &piece, &gap), CF_NEXT_BYTES);
    cf_cursor_take(&c, &piece, 2);
    cf_journal_moved(f.journal);
    assert_int_equal(f.told, 1);
    cf_journal_moved(f.journal);
    assert_int_equal(f.told, 1);
    assert_int_equal(cf_journal_splice(f.journal, f.out, &origin, 3, false), 2);    /* as much as there is room for */
    assert_int_equal(cf_journal_splice(f.journal, f.out, &origin, 3, false), -1);
    assert_int_equal(cf_journal_splice(f.journal, f.out, &origin, 3, true), 1);     /* by force */
    finish(&f, e, 1);                                   /* then nobody is held up for its readers */
    assert_int_equal(f.told, 2);
    cf_spool_release(cf_journal_spool(f.journal), &c);
    cf_journal_set_writer(f.journal, NULL);
    cf_journal_moved(f.journal);
    assert_int_equal(f.told, 2);
    close_journal(&f);
}

static void closing(void **state)
{
    struct fixture f;
    struct cf_buf tomb;
    open_journal(&f, &limits);
    struct cf_exec *done = begin(&f, 1), *running;
    done->exit_code = 7;
    finish(&f, done, 2);
    running = begin(&f, 3);
    print(&f, running, CF_STREAM_OUT, 5);
    struct cf_journal *other = cf_journal_ref(f.journal);
    cf_buf_init(&tomb, 100);
    cf_buf_puts(&tomb, "{\"why\":1}");
    assert_false(cf_journal_closed(f.journal));
    cf_journal_close(f.journal, &tomb);
    cf_buf_free(&tomb);
    assert_true(cf_journal_closed(f.journal));
    assert_string_equal(cf_journal_tombstone(f.journal)->data, "{\"why\":1}");
    assert_false(done->lost);
    assert_true(running->lost && running->ended);
    assert_string_equal(running->session_state, "ended");
    cf_journal_unref(&f.journal);                       /* the session's own; who reads still has it */
    assert_null(f.journal);
    assert_int_equal(cf_spool_end(cf_journal_spool(other)), 5);
    f.journal = other;
    close_journal(&f);
    cf_journal_unref(&f.journal);                       /* nothing */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "commands are numbered from 1, found by number, and listed with the oldest first", .test_func = numbers_and_fields },
        { .name = "of a long command the first 1024 bytes are kept", .test_func = long_commands_are_cut },
        { .name = "ended commands beyond the number that is kept are forgotten, the oldest first, running ones never", .test_func = pruned_by_number },
        { .name = "ended commands are forgotten when their retention is over, not before", .test_func = pruned_by_age },
        { .name = "a record that somebody reads stays", .test_func = pins_keep },
        { .name = "bytes are counted for their command, their stream, or as late", .test_func = bytes_are_counted },
        { .name = "an empty pipe is told from one without writers", .test_func = nothing_there },
        { .name = "the text of a short stream is all of it", .test_func = short_text_is_whole },
        { .name = "the text of a long stream is its first and its last half, also beyond what is kept, with the exact count between", .test_func = long_text_has_its_halves },
        { .name = "a text that may be larger than all that is kept counts what is missing", .test_func = text_larger_than_the_ring },
        { .name = "late output is in no command's text, and in the session's last output", .test_func = text_has_no_late_bytes },
        { .name = "the last output has its bound, and shares for both streams and for late output", .test_func = last_output_is_bounded },
        { .name = "who watches hears of output, late output, ends and the session's end", .test_func = watchers_hear_of_everything },
        { .name = "a writer that was held back is told once when there is room", .test_func = writers_hear_of_room },
        { .name = "a session's end loses its running command, and leaves what it printed to those who read", .test_func = closing },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
