/* Reading what was printed, piece by piece: characters, gaps, the end. */
#include "server/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SPOOL CF_SPOOL_BYTES_MIN
#define ALL (1u << 20)

static const struct cf_journal_limits limits = { .spool_bytes = SPOOL, .execs_kept = 3, .retention_ns = 100 * CF_NS_PER_S, .head_bytes = 100 };

struct fixture {
    struct cf_spool_budget budget;
    struct cf_journal *journal;
    struct cf_exec *exec;
    int in, out;
};

static void open_journal(struct fixture *f)
{
    int fds[2];
    assert_int_equal(pipe2(fds, O_NONBLOCK | O_CLOEXEC), 0);
    *f = (struct fixture){ .budget = { .max_bytes = UINT64_MAX }, .in = fds[1], .out = fds[0] };
    f->journal = cf_journal_new(&limits, &f->budget);
    assert_non_null(f->journal);
    f->exec = cf_journal_begin(f->journal, "x", 1, (struct cf_now){ 0 });
    assert_non_null(f->exec);
}

static void close_journal(struct fixture *f)
{
    cf_journal_unref(&f->journal);
    assert_int_equal(f->budget.used_bytes, 0);
    close(f->in);
    close(f->out);
}

static void print(struct fixture *f, enum cf_stream stream, const char *bytes, size_t len)
{
    const struct cf_origin origin = { .exec = f->exec->number, .stream = stream };
    while (len > 0) {
        ssize_t part = write(f->in, bytes, len < 60000 ? len : 60000), n;
        assert_true(part > 0);
        for (ssize_t done = 0; done < part; done += n) {
            n = cf_journal_splice(f->journal, f->out, &origin, (size_t)(part - done), true);
            assert_true(n > 0);
        }
        bytes += part;
        len -= (size_t)part;
    }
}

static void say(struct fixture *f, const char *text)
{
    print(f, CF_STREAM_OUT, text, strlen(text));
}

static struct cf_reader *open_reader(struct fixture *f, bool text)
{
    static struct cf_reader r;
    cf_reader_open(&r, f->journal, f->exec, NULL, 0, text);
    return &r;
}

/* The next bytes have to be these. */
static void gives(struct cf_reader *r, size_t most, const char *want, size_t want_len)
{
    struct cf_piece piece;
    const char *bytes;
    size_t len;
    uint64_t gap, before = cf_reader_offset(r);
    assert_int_equal(cf_reader_next(r, most, &piece, &bytes, &len, &gap), CF_NEXT_BYTES);
    assert_int_equal(len, want_len);
    assert_memory_equal(bytes, want, len);
    assert_int_equal(cf_reader_offset(r), before);
    cf_reader_take(r, &piece, len);
    assert_int_equal(cf_reader_offset(r), before + len);
}

static void gives_text(struct cf_reader *r, const char *want)
{
    gives(r, ALL, want, strlen(want));
}

static void gives_nothing(struct cf_reader *r)
{
    struct cf_piece piece;
    const char *bytes;
    size_t len;
    uint64_t gap;
    assert_int_equal(cf_reader_next(r, ALL, &piece, &bytes, &len, &gap), CF_NEXT_NONE);
}

static uint64_t gives_gap(struct cf_reader *r)
{
    struct cf_piece piece;
    const char *bytes;
    size_t len;
    uint64_t gap, before = cf_reader_offset(r);
    assert_int_equal(cf_reader_next(r, ALL, &piece, &bytes, &len, &gap), CF_NEXT_GAP);
    assert_int_equal(cf_reader_offset(r), before + gap);
    return gap;
}

/* ---- characters ---- */

static void rests_wait(void **state)
{
    struct fixture f;
    open_journal(&f);
    struct cf_reader *r = open_reader(&f, true);
    say(&f, "a\xc3");
    gives_text(r, "a");
    gives_nothing(r);
    say(&f, "\xa9");
    gives_text(r, "\xc3\xa9");
    say(&f, "\xf0\x9f");
    gives_nothing(r);
    say(&f, "\x98");
    gives_nothing(r);
    say(&f, "\x80" "b");
    gives_text(r, "\xf0\x9f\x98\x80" "b");
    cf_reader_close(r);
    close_journal(&f);
}

static void rests_at_the_end_come_as_they_are(void **state)
{
    struct fixture f;
    open_journal(&f);
    struct cf_reader *r = open_reader(&f, true);
    say(&f, "a\xe2\x82");
    gives_text(r, "a");
    gives_nothing(r);
    assert_false(cf_reader_over(r));
    cf_journal_finish(f.journal, f.exec);
    assert_true(cf_reader_over(r));
    gives_text(r, "\xe2\x82");
    gives_nothing(r);
    cf_reader_close(r);
    close_journal(&f);
}

static void what_is_no_text_does_not_wait(void **state)
{
    static const char *const rests[] = { "\x80", "\xff", "\xc0", "\xc1", "\xf5", "\x80\x80\x80\x80", "x\xbf" };
    struct fixture f;
    open_journal(&f);
    struct cf_reader *r = open_reader(&f, true);
    for (size_t i = 0; i < sizeof rests / sizeof *rests; i++) {
        say(&f, rests[i]);
        gives_text(r, rests[i]);
    }
    cf_reader_close(r);
    close_journal(&f);
}

/* Another piece follows, so the rest of the character is nowhere near. */
static void rests_before_another_stream_do_not_wait(void **state)
{
    struct fixture f;
    open_journal(&f);
    struct cf_reader *r = open_reader(&f, true);
    say(&f, "a\xc3");
    print(&f, CF_STREAM_ERR, "err", 3);
    say(&f, "\xa9");
    gives_text(r, "a\xc3");
    gives_text(r, "err");
    gives_text(r, "\xa9");
    cf_reader_close(r);
    close_journal(&f);
}

static void limits_end_between_characters(void **state)
{
    static const char text[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    static const size_t ends[] = { 0, 1, 3, 6, 10, 11 };
    struct fixture f;
    open_journal(&f);
    say(&f, text);
    for (size_t most = 1; most <= 12; most++) {
        struct cf_reader *r = open_reader(&f, true);
        for (size_t at = 0; at < 11;) {
            size_t end = at, next = 0;
            for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
                if (ends[i] <= at + most && ends[i] > end)
                    end = ends[i];
                if (next == 0 && ends[i] > at)
                    next = ends[i];
            }
            end = end == at ? next : end;               /* at least one character */
            gives(r, most, text + at, end - at);
            at = end;
        }
        gives_nothing(r);
        cf_reader_close(r);
    }
    close_journal(&f);
}

static void bytes_are_cut_anywhere(void **state)
{
    struct fixture f;
    open_journal(&f);
    struct cf_reader *r = open_reader(&f, false);
    say(&f, "\xf0\x9f\x98\x80\xc3");
    for (const char *at = "\xf0\x9f\x98\x80\xc3"; *at != '\0'; at++)
        gives(r, 1, at, 1);
    cf_reader_close(r);
    close_journal(&f);
}

/* Characters of 2, 3 and 4 bytes lie across the ring's end in every way. */
static void characters_across_the_rings_end(void **state)
{
    static const char *const characters[] = { "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };
    static char fill[SPOOL];
    memset(fill, '.', sizeof fill);
    for (size_t i = 0; i < sizeof characters / sizeof *characters; i++)
        for (size_t before = 1; before < strlen(characters[i]); before++) {
            struct fixture f;
            open_journal(&f);
            struct cf_reader *r = open_reader(&f, true);
            size_t len = strlen(characters[i]);
            print(&f, CF_STREAM_OUT, fill, SPOOL - before);
            say(&f, characters[i]);
            say(&f, "after");
            assert_int_equal(gives_gap(r), len - before + 5);
            gives(r, ALL, fill, SPOOL - before - (len - before + 5));
            gives_text(r, characters[i]);
            gives_text(r, "after");
            cf_reader_close(r);
            close_journal(&f);
        }
}

/* ---- gaps and ends ---- */

static void gaps_of_all_that_is_gone(void **state)
{
    struct fixture f;
    static char fill[3 * SPOOL];
    open_journal(&f);
    struct cf_reader early, late;
    cf_reader_open(&early, f.journal, f.exec, NULL, 0, false);
    say(&f, "gone");
    cf_journal_finish(f.journal, f.exec);
    struct cf_exec *first = f.exec;
    f.exec = cf_journal_begin(f.journal, "y", 1, (struct cf_now){ 0 });
    print(&f, CF_STREAM_OUT, fill, sizeof fill);
    cf_reader_open(&late, f.journal, first, NULL, 3, false);
    assert_int_equal(gives_gap(&early), 4);
    gives_nothing(&early);
    assert_int_equal(gives_gap(&late), 1);
    gives_nothing(&late);
    assert_true(cf_reader_over(&early) && cf_reader_over(&late));
    assert_int_equal(cf_reader_end(&early), 4);
    cf_reader_close(&early);
    cf_reader_close(&late);
    close_journal(&f);
}

static void one_stream_or_all(void **state)
{
    static const enum cf_stream err = CF_STREAM_ERR;
    struct fixture f;
    struct cf_reader r;
    open_journal(&f);
    say(&f, "out");
    print(&f, CF_STREAM_ERR, "error", 5);
    say(&f, "more");
    cf_reader_open(&r, f.journal, f.exec, &err, 2, false);
    assert_int_equal(cf_reader_end(&r), 5);
    gives_text(&r, "ror");
    gives_nothing(&r);
    cf_reader_close(&r);
    cf_reader_open(&r, f.journal, f.exec, NULL, 1, false);
    assert_int_equal(cf_reader_end(&r), 12);
    gives_text(&r, "ut");
    gives_text(&r, "error");
    gives_text(&r, "more");
    cf_reader_close(&r);
    cf_reader_open(&r, f.journal, NULL, NULL, 0, false);
    assert_int_equal(cf_reader_end(&r), 12);
    gives_text(&r, "out");
    cf_reader_close(&r);
    close_journal(&f);
}

static void over_when(void **state)
{
    struct fixture f;
    struct cf_reader of_exec, of_session;
    struct cf_buf tomb;
    open_journal(&f);
    cf_reader_open(&of_exec, f.journal, f.exec, NULL, 0, false);
    cf_reader_open(&of_session, f.journal, NULL, NULL, 0, false);
    assert_false(cf_reader_over(&of_exec) || cf_reader_over(&of_session));
    cf_journal_finish(f.journal, f.exec);
    assert_true(cf_reader_over(&of_exec) && !cf_reader_over(&of_session));
    cf_buf_init(&tomb, 10);
    cf_journal_close(f.journal, &tomb);
    assert_true(cf_reader_over(&of_session));
    cf_journal_unref(&f.journal);                       /* readers keep it */
    gives_nothing(&of_session);
    cf_reader_close(&of_exec);
    cf_reader_close(&of_session);
    cf_reader_close(&of_session);                       /* nothing */
    assert_int_equal(f.budget.used_bytes, 0);
    close(f.in);
    close(f.out);
}

static void readers_pin(void **state)
{
    struct fixture f;
    open_journal(&f);
    struct cf_reader *r = open_reader(&f, true);
    assert_int_equal(f.exec->pins, 1);
    cf_reader_close(r);
    assert_int_equal(f.exec->pins, 0);
    close_journal(&f);
}

/* ---- holding ---- */

static void holding_counts_from_the_first_byte(void **state)
{
    struct fixture f;
    static char fill[SPOOL / 8];
    struct cf_reader r;
    open_journal(&f);
    print(&f, CF_STREAM_OUT, fill, sizeof fill);
    cf_reader_open(&r, f.journal, f.exec, NULL, 0, false);
    cf_reader_hold(&r, NULL, NULL);
    struct cf_spool *spool = cf_journal_spool(f.journal);
    assert_int_equal(cf_spool_room(spool), SPOOL / 4 - sizeof fill);
    gives(&r, 100, fill, 100);
    assert_int_equal(cf_spool_room(spool), SPOOL / 4 - sizeof fill + 100);
    cf_reader_close(&r);
    assert_true(cf_spool_room(spool) == UINT64_MAX);
    close_journal(&f);
}

static void told(void *arg)
{
    ++*(int *)arg;
}

/* A text reader that waits for the rest of a character must not be who the writer waits for. */
static void a_torn_character_holds_up_nobody(void **state)
{
    struct fixture f;
    static char fill[SPOOL / 2];
    int count = 0;
    struct cf_watch writer = { .wake = told, .arg = &count };
    struct cf_reader r;
    const struct cf_origin origin = { .exec = 1, .stream = CF_STREAM_OUT };
    memset(fill, 'x', sizeof fill);
    open_journal(&f);
    cf_journal_set_writer(f.journal, &writer);
    cf_reader_open(&r, f.journal, f.exec, NULL, 0, true);
    cf_reader_hold(&r, NULL, NULL);
    print(&f, CF_STREAM_OUT, fill, sizeof fill);
    say(&f, "\xc3");
    assert_int_equal(write(f.in, "\xa9", 1), 1);
    assert_int_equal(cf_journal_splice(f.journal, f.out, &origin, 1, false), -1);
    gives(&r, ALL, fill, sizeof fill);
    gives_nothing(&r);
    assert_true(count > 0);
    assert_int_equal(cf_journal_splice(f.journal, f.out, &origin, 1, false), 1);
    gives_text(&r, "\xc3\xa9");
    cf_reader_close(&r);
    cf_journal_set_writer(f.journal, NULL);
    close_journal(&f);
}

static void who_passes_tells_the_writer(void **state)
{
    static const enum cf_stream err = CF_STREAM_ERR;
    static char fill[SPOOL / 2];
    struct fixture f;
    int count = 0;
    struct cf_watch writer = { .wake = told, .arg = &count };
    struct cf_reader r;
    const struct cf_origin origin = { .exec = 1, .stream = CF_STREAM_OUT };
    open_journal(&f);
    cf_journal_set_writer(f.journal, &writer);
    cf_reader_open(&r, f.journal, f.exec, &err, 0, true);
    cf_reader_hold(&r, NULL, NULL);
    print(&f, CF_STREAM_OUT, fill, sizeof fill);
    assert_int_equal(write(f.in, "x", 1), 1);
    assert_int_equal(cf_journal_splice(f.journal, f.out, &origin, 1, false), -1);
    gives_nothing(&r);
    assert_int_equal(count, 1);
    assert_int_equal(cf_journal_splice(f.journal, f.out, &origin, 1, false), 1);
    cf_reader_close(&r);
    cf_journal_set_writer(f.journal, NULL);
    close_journal(&f);
}

static void ended_commands_hold_up_nobody(void **state)
{
    struct fixture f;
    static char fill[SPOOL / 4];
    struct cf_reader before, after;
    open_journal(&f);
    struct cf_spool *spool = cf_journal_spool(f.journal);
    cf_reader_open(&before, f.journal, f.exec, NULL, 0, false);
    cf_reader_hold(&before, NULL, NULL);
    print(&f, CF_STREAM_OUT, fill, sizeof fill);
    assert_int_equal(cf_spool_room(spool), 0);
    cf_journal_finish(f.journal, f.exec);
    assert_true(cf_spool_room(spool) == UINT64_MAX);
    gives(&before, 10, fill, 10);
    assert_true(cf_spool_room(spool) == UINT64_MAX);
    cf_reader_open(&after, f.journal, f.exec, NULL, 0, false);
    cf_reader_hold(&after, NULL, NULL);
    assert_true(cf_spool_room(spool) == UINT64_MAX);
    cf_reader_close(&before);
    cf_reader_close(&after);
    close_journal(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "the beginning of a character waits for its rest", .test_func = rests_wait },
        { .name = "when nothing more comes it is given as it is", .test_func = rests_at_the_end_come_as_they_are },
        { .name = "bytes that begin no character do not wait", .test_func = what_is_no_text_does_not_wait },
        { .name = "the beginning of a character before another stream's bytes does not wait", .test_func = rests_before_another_stream_do_not_wait },
        { .name = "a limit ends between characters, behind one at least", .test_func = limits_end_between_characters },
        { .name = "bytes are cut anywhere", .test_func = bytes_are_cut_anywhere },
        { .name = "characters across the ring's end are whole", .test_func = characters_across_the_rings_end },
        { .name = "of a command whose output is all gone a gap of the right size is left", .test_func = gaps_of_all_that_is_gone },
        { .name = "a reader of one stream, of a command or of the session has its own offsets and end", .test_func = one_stream_or_all },
        { .name = "it is over when the command has ended, or the session", .test_func = over_when },
        { .name = "a reader keeps its command's record", .test_func = readers_pin },
        { .name = "a reader that holds does so from the first byte that it wants", .test_func = holding_counts_from_the_first_byte },
        { .name = "a reader that waits for the rest of a character holds up nobody", .test_func = a_torn_character_holds_up_nobody },
        { .name = "a reader that passes what it does not want tells who was held up", .test_func = who_passes_tells_the_writer },
        { .name = "readers of a command that has ended hold up nobody", .test_func = ended_commands_hold_up_nobody },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
