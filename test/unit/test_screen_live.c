/* The screen of a terminal, followed while it prints: what it shows, and what that costs. */
#include "server/screen_live.h"
#include "screen_once.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#define SPOOL CF_SPOOL_BYTES_MIN
#define COLS 40
#define ROWS 10

static const struct cf_journal_limits limits = { .spool_bytes = SPOOL, .execs_kept = 3, .retention_ns = 100 * CF_NS_PER_S, .head_bytes = 100 };

struct fixture {
    struct cf_spool_budget budget;
    struct cf_journal *journal;
    struct event_base *loop;
    struct cf_screen_live *live;
    uint64_t bytes;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){ .budget = { .max_bytes = UINT64_MAX } };
    f->journal = cf_journal_new(&limits, &f->budget);
    f->loop = event_base_new();
    assert_int_equal(event_base_priority_init(f->loop, 3), 0);
    f->live = cf_screen_live_new(f->loop, f->journal, COLS, ROWS);
    assert_non_null(f->live);
}

static void end(struct fixture *f)
{
    cf_screen_live_free(&f->live);
    cf_screen_live_free(&f->live);
    cf_journal_unref(&f->journal);
    event_base_free(f->loop);
}

static void print(struct fixture *f, const char *bytes, size_t len)
{
    cf_journal_terminal(f->journal, bytes, len);
    f->bytes += len;
}

static void say(struct fixture *f, const char *text)
{
    print(f, text, strlen(text));
}

/* What is drawn is what another screen draws that was fed these bytes. */
static void shows(struct fixture *f, const char *text)
{
    struct cf_buf drawing, want;
    uint64_t bytes;
    cf_buf_init(&drawing, 1 << 20);
    cf_buf_init(&want, 1 << 20);
    assert_int_equal(cf_screen_live_paint(f->live, &drawing, &bytes, NULL), 0);
    assert_int_equal(bytes, f->bytes);
    assert_int_equal(draw_once(text, strlen(text), false, COLS, ROWS, &want, NULL), 0);
    assert_int_equal(drawing.len, want.len);
    assert_memory_equal(drawing.data, want.data, want.len);
    cf_buf_free(&drawing);
    cf_buf_free(&want);
}

/* Runs the loop until nothing of it is left to do. */
static void rest(struct fixture *f)
{
    while (event_base_loop(f->loop, EVLOOP_ONCE) == 0)
        ;
}

static void follows(void **state)
{
    struct fixture f;
    begin(&f);
    shows(&f, "");
    say(&f, "\033[31mred\033");
    shows(&f, "\033[31mred\033");
    say(&f, "[m plain\r\n");
    shows(&f, "\033[31mred\033[m plain\r\n");
    rest(&f);
    say(&f, "next");
    shows(&f, "\033[31mred\033[m plain\r\nnext");
    end(&f);
}

/* Printed by somebody else in the session, who makes the ring lose all that the terminal was sent. */
static void others_print(struct fixture *f, size_t len)
{
    struct cf_piece source = { .exec = 1 };
    char *bytes = calloc(1, len);
    cf_spool_add(cf_journal_spool(f->journal), &source, bytes, len);
    cf_journal_wake(f->journal);
    free(bytes);
}

static void outlives_the_ring(void **state)
{
    struct fixture f;
    begin(&f);
    say(&f, "\033[?1049h\033[3;3Hhere");
    others_print(&f, 2 * SPOOL);
    shows(&f, "\033[?1049h\033[3;3Hhere");
    rest(&f);
    say(&f, "\033[4;4Hthere");
    others_print(&f, 2 * SPOOL);
    shows(&f, "\033[?1049h\033[3;3Hhere\033[4;4Hthere");
    end(&f);
}

/* Of a flood the last is seen, behind the modes of before, whatever it is made of. */
static void floods_are_skipped(void **state)
{
    static const char *const costly[] = { "y\r\n", "\033[@", "\033[1;1H\033[J" };
    for (size_t i = 0; i < sizeof costly / sizeof *costly; i++) {
        struct fixture f;
        begin(&f);
        say(&f, "\033[?1049h");
        for (size_t sent = 0; sent < 64u << 20; sent += 4096) {
            char block[4096];
            for (size_t at = 0; at < sizeof block; at++)
                block[at] = costly[i][at % strlen(costly[i])];
            print(&f, block, sizeof block);
            event_base_loop(f.loop, EVLOOP_NONBLOCK);
        }
        say(&f, "\033[m\033[2J\033[2;2Hthe last");
        shows(&f, "\033[?1049h\033[2J\033[2;2Hthe last");
        rest(&f);
        assert_int_equal(event_base_get_num_events(f.loop, EVENT_BASE_COUNT_ADDED), 0);    /* an idle terminal wakes nobody */
        end(&f);
    }
}

static void another_size(void **state)
{
    struct fixture f;
    struct cf_buf drawing;
    uint64_t bytes;
    begin(&f);
    say(&f, "first\r\n");
    cf_screen_live_resize(f.live, 20, 5);
    say(&f, "0123456789012345678901");
    cf_buf_init(&drawing, 1 << 20);
    assert_int_equal(cf_screen_live_paint(f.live, &drawing, &bytes, NULL), 0);
    assert_non_null(memmem(drawing.data, drawing.len, "first", 5));
    assert_null(memmem(drawing.data, drawing.len, "012345678901234567890", 21));    /* the line is 20 wide */
    cf_buf_free(&drawing);
    end(&f);
}

static void size_after_size(void **state)
{
    struct fixture f;
    struct cf_buf drawing;
    uint64_t bytes;
    begin(&f);
    say(&f, "kept\r\n");
    for (unsigned i = 0; i < 100000; i++)
        cf_screen_live_resize(f.live, 1 + i % 1000, 1 + i % 60);
    cf_screen_live_resize(f.live, COLS, ROWS);
    shows(&f, "kept\r\n");
    /* Too large to be followed all the time: drawn from what the journal has. */
    cf_screen_live_resize(f.live, 1000, 1000);
    say(&f, "\033[900;900Hfar");
    rest(&f);
    cf_buf_init(&drawing, CF_SCREEN_DRAW_MAX(1000, 1000));
    assert_int_equal(cf_screen_live_paint(f.live, &drawing, &bytes, NULL), 0);
    assert_int_equal(bytes, f.bytes);
    assert_non_null(memmem(drawing.data, drawing.len, "kept", 4));
    assert_non_null(memmem(drawing.data, drawing.len, "far", 3));
    cf_buf_free(&drawing);
    cf_screen_live_resize(f.live, COLS, ROWS);
    say(&f, "\033[2J\033[Hback");
    rest(&f);
    shows(&f, "\033[2J\033[Hback");
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "it shows what was printed, also in the middle of a sequence", .test_func = follows },
        { .name = "what others in the session print does not make it forget", .test_func = outlives_the_ring },
        { .name = "of a flood the last is shown, in the modes of before, and nothing is left to do", .test_func = floods_are_skipped },
        { .name = "sizes that nothing was printed in cost nothing; one too large to be followed is drawn all the same", .test_func = size_after_size },
        { .name = "another size holds from the bytes on that come then", .test_func = another_size },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
