/* What stands on a terminal's screen, drawn for someone who comes later.  The judge is libvterm: it is fed the drawing.
 */
#include "screen_judge.h"
#include "screen_once.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What was drawn last, and who looks at it. */
struct scene {
    struct cf_buf drawing;
    struct cf_screen *screen;
    struct judge judge;
};

static void play(struct scene *scene, int cols, int rows, const char *bytes, size_t len)
{
    cf_buf_init(&scene->drawing, 64 << 20);
    assert_int_equal(cf_screen_new(cols, rows, &scene->screen, NULL), 0);
    cf_screen_feed(scene->screen, bytes, len);
    assert_int_equal(cf_screen_paint(scene->screen, &scene->drawing, NULL), 0);
    assert_true(scene->drawing.len <= CF_SCREEN_DRAW_MAX(cols, rows));
    judge_harmless(scene->drawing.data, scene->drawing.len);
    judge_open(&scene->judge, cols, rows);
    judge_feed(&scene->judge, scene->drawing.data, scene->drawing.len);
    assert_int_equal(scene->judge.answers.len, 0);
    assert_int_equal(scene->judge.bells, 0);
    judge_agrees(&scene->judge, scene->screen);
}

static void end(struct scene *scene)
{
    judge_close(&scene->judge);
    cf_screen_free(&scene->screen);
    cf_buf_free(&scene->drawing);
}

static void play_text(struct scene *scene, int cols, int rows, const char *text)
{
    play(scene, cols, rows, text, strlen(text));
}

static void expect_row(const struct scene *scene, int row, const char *want)
{
    char text[8192];
    assert_string_equal(judge_row(&scene->judge, row, text), want);
}

static void expect_cursor(const struct scene *scene, int row, int col)
{
    VTermPos at;
    vterm_state_get_cursorpos(scene->judge.state, &at);
    assert_int_equal(at.row, row);
    assert_int_equal(at.col, col);
}

static VTermScreenCell cell_at(const struct scene *scene, int row, int col)
{
    VTermScreenCell cell;
    vterm_screen_get_cell(scene->judge.screen, (VTermPos){ .row = row, .col = col }, &cell);
    return cell;
}

/* ---- text */

static void text_stands_where_it_stood(void **state)
{
    struct scene s;
    play_text(&s, 20, 5, "one\r\n  two\tx\r\n\r\nfour");
    expect_row(&s, 0, "one");
    expect_row(&s, 1, "  two   x");
    expect_row(&s, 2, "");
    expect_row(&s, 3, "four");
    expect_cursor(&s, 3, 4);
    end(&s);
}

static void a_blank_screen_is_cleared(void **state)
{
    struct scene s;
    play_text(&s, 20, 5, "");
    judge_puts(&s.judge, "\033[?7hold text");
    judge_feed(&s.judge, s.drawing.data, s.drawing.len);
    expect_row(&s, 0, "");
    expect_cursor(&s, 0, 0);
    end(&s);
}

static void long_lines_wrap_and_scroll(void **state)
{
    struct scene s;
    play_text(&s, 5, 3, "abcdefghijklmnopq");
    expect_row(&s, 0, "fghij");
    expect_row(&s, 1, "klmno");
    expect_row(&s, 2, "pq");
    end(&s);
}

static void the_cursor_waits_behind_the_last_column(void **state)
{
    struct scene s;
    play_text(&s, 5, 3, "abcde");
    expect_cursor(&s, 0, 4);
    judge_puts(&s.judge, "f");
    expect_row(&s, 0, "abcde");
    expect_row(&s, 1, "f");
    end(&s);
    play_text(&s, 6, 3, "abcd\xe6\xbc\xa2");           /* behind a wide character */
    judge_puts(&s.judge, "f");
    expect_row(&s, 0, "abcd\xe6\xbc\xa2");
    expect_row(&s, 1, "f");
    end(&s);
}

static void carriage_return_overwrites(void **state)
{
    struct scene s;
    play_text(&s, 20, 2, "progress 10%\rprogress 90%\rp");
    expect_row(&s, 0, "progress 90%");
    expect_cursor(&s, 0, 1);
    end(&s);
}

static void line_feed_alone_keeps_the_column(void **state)
{
    struct scene s;
    play_text(&s, 20, 3, "ab\ncd\ne");
    expect_row(&s, 1, "  cd");
    expect_row(&s, 2, "    e");
    end(&s);
}

static void tab_stops_are_kept(void **state)
{
    struct scene s;
    play_text(&s, 40, 3, "\033[3g\033[5G\033H\033[20G\033H\r\tx\ty\r\n");
    expect_row(&s, 0, "    x              y");
    judge_puts(&s.judge, "\tz");
    expect_row(&s, 1, "    z");
    end(&s);
}

static void nuls_and_delete_are_nothing(void **state)
{
    struct scene s;
    play(&s, 20, 2, "a\0b\x7f\0c", 6);
    expect_row(&s, 0, "abc");
    end(&s);
}

static void backspace_and_repetition(void **state)
{
    struct scene s;
    play_text(&s, 20, 2, "abc\b\bX-\033[3b+\033[999999b");
    expect_row(&s, 0, "aX----++++++++++++++");
    end(&s);
    play_text(&s, 20, 2, "\033[5b");                   /* nothing to repeat */
    expect_row(&s, 0, "");
    end(&s);
    play_text(&s, 10, 2, "abc\r\033[4hx\033[2b");
    expect_row(&s, 0, "xxxabc");
    end(&s);
}

/* ---- wide characters, combining ones, broken ones */

static void wide_characters_and_the_margin(void **state)
{
    struct scene s;
    play_text(&s, 5, 3, "\xe6\xbc\xa2\xe5\xad\x97\xe6\xbc\xa2x");        /* the third does not fit into what is left */
    expect_row(&s, 0, "\xe6\xbc\xa2\xe5\xad\x97");
    expect_row(&s, 1, "\xe6\xbc\xa2x");
    end(&s);
    play_text(&s, 6, 2, "\xe6\xbc\xa2\xe5\xad\x97\033[2Gx");              /* half a character is none */
    expect_row(&s, 0, " x\xe5\xad\x97");
    end(&s);
    play_text(&s, 1, 2, "\xe6\xbc\xa2");
    expect_row(&s, 0, "\xef\xbf\xbd");
    end(&s);
}

static void combining_characters_stay_with_theirs(void **state)
{
    struct scene s;
    play_text(&s, 20, 2, "e\xcc\x81\xcc\xa3 x\xcc\x82y");
    expect_row(&s, 0, "e\xcc\x81\xcc\xa3 x\xcc\x82y");
    end(&s);
    play_text(&s, 20, 2, "\xcc\x81\x61");                                 /* of nobody */
    expect_row(&s, 0, "a");
    end(&s);
}

static void a_flood_of_combining_characters_is_cut(void **state)
{
    struct cf_buf flood;
    struct scene s;
    cf_buf_init(&flood, 1 << 20);
    cf_buf_puts(&flood, "e");
    for (int i = 0; i < 50000; i++)
        cf_buf_puts(&flood, "\xcc\x81");
    play(&s, 20, 2, flood.data, flood.len);
    assert_true(s.drawing.len < 400);
    expect_row(&s, 0, "e\xcc\x81\xcc\x81\xcc\x81");
    end(&s);
    cf_buf_free(&flood);
}

static void what_is_no_utf8_shows_as_such(void **state)
{
    struct scene s;
    play_text(&s, 20, 2, "a\xff\xc3(\xe2\x82|\xed\xa0\x80.");
    expect_row(&s, 0, "a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd.");
    end(&s);
}

static void line_drawing_is_drawn(void **state)
{
    struct scene s;
    play_text(&s, 20, 3, "\033(0lqqk\033(B lqqk\r\n\033)0\016x\017x\033*0\033Nxx\r\n\033(0");
    expect_row(&s, 0, "\xe2\x94\x8c\xe2\x94\x80\xe2\x94\x80\xe2\x94\x90 lqqk");
    expect_row(&s, 1, "\xe2\x94\x82x\xe2\x94\x82x");
    judge_puts(&s.judge, "q");                                            /* still in that charset */
    expect_row(&s, 2, "\xe2\x94\x80");
    end(&s);
}

/* ---- colours */

static void colours_and_attributes(void **state)
{
    struct scene s;
    play_text(&s, 40, 3,
              "\033[1;31mb\033[22;3;4mi\033[0;7mr\033[27;5;9ms\033[m.\033[38;5;200;48;5;17mi\033[38;2;1;2;3;48;2;250;"
              "251;252mR"
              "\033[39;49m\033[94;103mB\033[4:3mu\033[21md\033[38:2::9:8:7mc\033[0;2;8;53mx");
    VTermScreenCell b = cell_at(&s, 0, 0), i = cell_at(&s, 0, 1), indexed = cell_at(&s, 0, 5), rgb = cell_at(&s, 0, 6);
    assert_true(b.attrs.bold && b.fg.indexed.idx == 1);
    assert_true(!i.attrs.bold && i.attrs.italic && i.attrs.underline == 1);
    assert_true(cell_at(&s, 0, 2).attrs.reverse && cell_at(&s, 0, 3).attrs.blink && cell_at(&s, 0, 3).attrs.strike);
    assert_true(indexed.fg.indexed.idx == 200 && indexed.bg.indexed.idx == 17);
    assert_true(VTERM_COLOR_IS_RGB(&rgb.fg) && rgb.fg.rgb.red == 1 && rgb.bg.rgb.blue == 252);
    assert_int_equal(cell_at(&s, 0, 7).fg.indexed.idx, 12);
    assert_int_equal(cell_at(&s, 0, 8).attrs.underline, 3);
    assert_int_equal(cell_at(&s, 0, 9).attrs.underline, 2);
    assert_int_equal(cell_at(&s, 0, 10).fg.rgb.red, 9);
    assert_non_null(strstr(s.drawing.data, "2;8;53m"));                   /* those that the judge does not know */
    end(&s);
}

static void only_changes_of_colour_are_written(void **state)
{
    struct scene s;
    play_text(&s, 40, 3,
              "\033[1;31mbold and red\033[0;1;31m still\033[1m so\r\n\033[31mnext\033[39m bold\033[m\r\nplain");
    int sequences = 0;
    for (const char *c = strstr(s.drawing.data, "\033[2J") + 4; *c && c < strstr(s.drawing.data, "plain"); c++)
        sequences += *c == 'm' && (c[-1] == '[' || (c[-1] >= '0' && c[-1] <= '9'));
    assert_int_equal(sequences, 3);
    end(&s);
}

static void a_coloured_blank_is_coloured(void **state)
{
    struct scene s;
    play_text(&s, 10, 4, "\033[44m\033[2J\033[m\033[2;3Hx\033[41m\033[K\033[3;1H\033[42m\033[2X\033[m\033[1;2H\033[1K");
    assert_int_equal(cell_at(&s, 3, 9).bg.indexed.idx, 4);
    assert_int_equal(cell_at(&s, 1, 9).bg.indexed.idx, 1);
    assert_int_equal(cell_at(&s, 2, 1).bg.indexed.idx, 2);
    VTermScreenCell erased = cell_at(&s, 0, 1);
    assert_true(VTERM_COLOR_IS_DEFAULT_BG(&erased.bg));
    end(&s);
}

static void the_pen_goes_on(void **state)
{
    struct scene s;
    play_text(&s, 20, 2, "\033[1;35mab");
    judge_puts(&s.judge, "c");
    assert_true(cell_at(&s, 0, 2).attrs.bold && cell_at(&s, 0, 2).fg.indexed.idx == 5);
    end(&s);
}

static void no_sequence_has_many_parameters(void **state)
{
    struct scene s;
    play_text(&s, 20, 2,
              "\033[1;2;3;4:3;5;7;8;9;53m\033[38;2;100;101;102m\033[48;2;103;104;105mx"); /* judge_harmless counts */
    VTermScreenCell cell = cell_at(&s, 0, 0);
    assert_true(VTERM_COLOR_IS_RGB(&cell.bg));
    end(&s);
}

/* ---- moving and erasing */

static void lines_and_characters_are_inserted_and_deleted(void **state)
{
    struct scene s;
    play_text(&s, 10, 5, "1\r\n2\r\n3\r\n4\r\n5\033[2;1H\033[2L\033[4;1Habcdef\033[4;2H\033[2P\033[3@X");
    expect_row(&s, 0, "1");
    expect_row(&s, 1, "");
    expect_row(&s, 3, "aX  def");
    expect_row(&s, 4, "3");
    end(&s);
    play_text(&s, 10, 4, "1\r\n2\r\n3\r\n4\033[2;1H\033[M");
    expect_row(&s, 1, "3");
    expect_row(&s, 3, "");
    end(&s);
}

static void a_scroll_region_scrolls_alone_and_stays(void **state)
{
    struct scene s;
    play_text(&s, 10, 6, "top\033[6;1Hend\033[2;4r\033[4;1Ha\r\nb\r\nc\r\nd");
    expect_row(&s, 0, "top");
    expect_row(&s, 1, "b");
    expect_row(&s, 3, "d");
    expect_row(&s, 5, "end");
    judge_puts(&s.judge, "\r\ne");
    expect_row(&s, 3, "e");
    expect_row(&s, 5, "end");
    end(&s);
}

static void origin_mode_counts_from_the_region(void **state)
{
    struct scene s;
    play_text(&s, 10, 6, "\033[3;5r\033[?6h\033[2;2Hx");
    expect_row(&s, 3, " x");
    expect_cursor(&s, 3, 2);
    judge_puts(&s.judge, "\033[1;1Hy");
    expect_row(&s, 2, "y");
    end(&s);
}

static void index_and_reverse_index(void **state)
{
    struct scene s;
    play_text(&s, 10, 3, "a\033Mb\033[3;1Hc\033Dd\033Ee");
    expect_row(&s, 0, "c");
    expect_row(&s, 1, " d");
    expect_row(&s, 2, "e");
    end(&s);
}

static void the_alignment_screen(void **state)
{
    struct scene s;
    play_text(&s, 4, 3, "\033#8\033[2;2H \033[K");
    expect_row(&s, 0, "EEEE");
    expect_row(&s, 1, "E");
    end(&s);
}

/* ---- modes */

static void keys_will_send_what_the_program_expects(void **state)
{
    struct scene s;
    play_text(&s, 20, 3, "\033[?1h\033=\033[?2004h\033[?1004h\033[?1002;1006h");
    assert_true(judge_mode(&s.judge, 1) && judge_keypad(&s.judge) && judge_mode(&s.judge, 2004) &&
                judge_mode(&s.judge, 1004));
    assert_true(judge_mode(&s.judge, 1002) && judge_mode(&s.judge, 1006));
    end(&s);
    play_text(&s, 20, 3, "\033[?1h\033=\033[?2004h\033[?1000h\033[?1l\033>\033[?2004l\033[?1000l");
    judge_puts(&s.judge, "\033[?1;h\033[?2004h\033[?1003h\033=");
    judge_feed(&s.judge, s.drawing.data, s.drawing.len);                  /* and takes back what another had set */
    assert_false(judge_mode(&s.judge, 1) || judge_keypad(&s.judge) || judge_mode(&s.judge, 2004) ||
                 judge_mode(&s.judge, 1003));
    end(&s);
}

static void the_cursor_looks_the_same(void **state)
{
    struct scene s;
    play_text(&s, 20, 3, "\033[?25l\033[4 q");
    assert_false(s.judge.visible || s.judge.blink);
    assert_int_equal(s.judge.shape, VTERM_PROP_CURSORSHAPE_UNDERLINE);
    end(&s);
    play_text(&s, 20, 3, "\033[?25l\033[?25h");
    assert_true(s.judge.visible);
    assert_null(strstr(s.drawing.data, " q"));                            /* nobody asked for a shape */
    end(&s);
}

static void wrapping_inserting_reversing(void **state)
{
    struct scene s;
    play_text(&s, 5, 3, "\033[?7labcdefg");
    expect_row(&s, 0, "abcdg");
    assert_false(judge_mode(&s.judge, 7));
    end(&s);
    play_text(&s, 10, 3, "abc\r\033[4hxy\033[?5h");
    expect_row(&s, 0, "xyabc");
    assert_true(s.judge.reverse);
    judge_puts(&s.judge, "z");
    expect_row(&s, 0, "xyzabc");
    end(&s);
}

static void a_reset_resets(void **state)
{
    struct scene s;
    play_text(&s, 10, 3, "\033[?1049h\033[?1h\033[?25l\033[31mx\033[2;3r\033(0\033cy");
    expect_row(&s, 0, "y");
    assert_true(s.judge.visible && !s.judge.alternate && !judge_mode(&s.judge, 1));
    end(&s);
    play_text(&s, 10, 3, "\033[?1h\033[?25l\033[31;1m\033[2;3r\033(0\033[!pq");
    expect_row(&s, 0, "q");
    assert_true(s.judge.visible && !judge_mode(&s.judge, 1));
    end(&s);
}

static void the_title_is_cleaned(void **state)
{
    struct scene s;
    play_text(&s, 20, 3, "\033]0;a\xc3\xbc\xc2\x9b\x01\xff z\a");
    assert_string_equal(s.judge.title, "a\xc3\xbc z");
    end(&s);
    play_text(&s, 20, 3, "\033]2;x\033\\\033]52;c;aGk=\a\033]10;?\a\033]8;;http://a\a");
    assert_string_equal(s.judge.title, "x");
    end(&s);
}

/* ---- the alternate screen */

static void leaving_the_alternate_screen_shows_the_shell(void **state)
{
    struct scene s;
    play_text(&s, 20, 5, "$ vim\r\n\033[33mx\033[?1049h\033[m\033[H\033[2J~\r\n~\033[5;1H-- INSERT --");
    assert_true(s.judge.alternate);
    expect_row(&s, 0, "~");
    expect_row(&s, 4, "-- INSERT --");
    judge_puts(&s.judge, "\033[?1049lq");
    assert_false(s.judge.alternate);
    expect_row(&s, 0, "$ vim");
    expect_row(&s, 1, "xq");
    assert_int_equal(cell_at(&s, 1, 1).fg.indexed.idx, 3);
    end(&s);
}

static void after_the_alternate_screen_nothing_of_it_is_left(void **state)
{
    struct scene s;
    play_text(&s, 20, 5, "$ vim\r\n\033[?1047hinside\033[?1047l$ ");
    assert_false(s.judge.alternate);
    expect_row(&s, 0, "$ vim");
    expect_row(&s, 1, "      $");                                         /* this mode keeps the cursor */
    end(&s);
}

static void saved_cursors_come_back(void **state)
{
    struct scene s;
    play_text(&s, 20, 5, "\033[3;4H\033[1;32m\0337\033[H\033[mhome");
    judge_puts(&s.judge, "\0338x");
    expect_row(&s, 2, "   x");
    assert_true(cell_at(&s, 2, 3).attrs.bold && cell_at(&s, 2, 3).fg.indexed.idx == 2);
    end(&s);
}

/* ---- cut ends */

static void draw(int cols, int rows, const char *text, bool cut, struct scene *scene)
{
    cf_buf_init(&scene->drawing, 1 << 20);
    scene->screen = NULL;
    assert_int_equal(draw_once(text, strlen(text), cut, cols, rows, &scene->drawing, NULL), 0);
    judge_open(&scene->judge, cols, rows);
    judge_feed(&scene->judge, scene->drawing.data, scene->drawing.len);
}

static void a_cut_beginning_is_passed_over(void **state)
{
    static const char *const texts[] = { "5;31mred\r\nwhole", "\x82\xacgh\r\nwhole", "le of a window\a\r\nwhole",
                                         "\x1b\\\r\nwhole" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct scene s;
        draw(20, 3, texts[i], true, &s);
        expect_row(&s, 0, "");
        expect_row(&s, 1, "whole");
        end(&s);
    }
    struct scene s;
    char line[5000] = { 0 };            /* without a control, as far as a sequence may reach */
    memset(line, 'x', 4096);
    memcpy(line + 4096, "shown", 6);
    draw(20, 3, line, true, &s);
    expect_row(&s, 0, "shown");
    end(&s);
    draw(20, 3, "5;31mred\r\nwhole", false, &s);
    expect_row(&s, 0, "5;31mred");
    end(&s);
}

/* Whatever the place at which the drawing is made: what comes after it meets a terminal in the same state. */
static void a_cut_end_goes_on(void **state)
{
    static const char text[] = "ab\033[1;31mc\xe2\x94\x80\xe6\xbc\xa2\033[2;3Hd\033]0;title\a\033(0q\033(B\033P1$"
                               "r0m\033\\e\033[?1049hf\033[2;1Hg";
    struct judge whole;
    judge_open(&whole, 20, 4);
    judge_puts(&whole, text);
    for (size_t at = 0; at < sizeof text; at++) {
        struct scene s;
        play(&s, 20, 4, text, at);
        for (size_t i = at; i < sizeof text - 1; i++)
            judge_feed(&s.judge, text + i, 1);
        judges_agree(&s.judge, &whole);
        end(&s);
    }
    judge_close(&whole);
}

static void questions_are_not_asked_again(void **state)
{
    struct scene s;             /* play() fails when the judge answers anything */
    play_text(&s, 20, 3,
              "\033[6n\033[c\033[>c\033[5n\033]10;?\a\033]4;1;?\033\\\033P$qm\033\\\033[?1$p\033Z\005\033[18t\033[>"
              "q\033[?u\033P+q544e\033\\ok");
    expect_row(&s, 0, "ok");
    end(&s);
}

/* What crashes or hangs other libraries, libvterm 0.1.4 first of all. */
static void hostile_sequences(void **state)
{
    struct cf_buf text;
    struct scene s;
    cf_buf_init(&text, 1 << 20);
    cf_buf_puts(&text, "\033[5b\033[");
    for (int i = 0; i < 4000; i++)
        cf_buf_puts(&text, "4702111234474983745;:");
    cf_buf_puts(&text, "m\033[38m\033[38;2m\033[48:5m\033[4:m\033[999999999999999999999A\033[99999;99999H\033[0;0r\033["
                       "5;2r\033#6\xe6\xbc\xa2\033[b");
    cf_buf_puts(&text, "\033[????h\033[?;;;l\033[1$$$$$$$p\033(((((((B\033]");
    for (int i = 0; i < 4000; i++)
        cf_buf_puts(&text, "long title");
    cf_buf_puts(&text, "\a\033P\033X\033^\033_\030fine");
    play(&s, 2, 2, text.data, text.len);
    end(&s);
    play(&s, 80, 24, text.data, text.len);
    end(&s);
    cf_buf_free(&text);
}

/* ---- sizes */

static void the_smallest_and_the_largest(void **state)
{
    struct scene s;
    play_text(&s, 1, 1, "abc\r\nd\033[5;5H\033[2;3r\033[?6h\033[L\033[M\033[@\033[P\033[X\t\033[Z\xe6\xbc\xa2\xcc\x81");
    end(&s);
    play_text(&s, 1000, 1000, "\033[1000;1000Hx\033[500;1H\033[44m\033[K\033[1;1Hy");
    char text[8192];
    assert_int_equal(strlen(judge_row(&s.judge, 999, text)), 1000);
    assert_int_equal(cell_at(&s, 499, 999).bg.indexed.idx, 4);
    end(&s);
}

static void sizes_out_of_range_are_named(void **state)
{
    static const struct {
        int cols, rows;
        const char *field;
    } wrong[] = {
        { 0, 24, "cols" }, { 1001, 24, "cols" }, { 80, 0, "rows" }, { 80, 1001, "rows" }, { -1, -1, "cols" }
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct cf_error error;
        struct cf_screen *screen = NULL;
        assert_int_equal(cf_screen_new(wrong[i].cols, wrong[i].rows, &screen, &error), CF_E_INVALID);
        assert_null(screen);
        assert_string_equal(error.field, wrong[i].field);
    }
}

/* A screen of the largest size in which each cell is of two colours of its own. */
static void too_colourful_a_screen_is_drawn_plain(void **state)
{
    struct cf_buf text;
    struct cf_screen *screen;
    struct cf_buf out;
    cf_buf_init(&text, 64 << 20);
    for (int i = 0; i < 400 * 400; i++)
        cf_buf_printf(&text, "\033[38;2;%d;%d;200;48;2;7;%d;%dmx", i & 255, i >> 8 & 255, i * 7 & 255, i * 31 & 255);
    cf_buf_puts(&text, "\033[m\r");
    cf_buf_init(&out, 64 << 20);
    assert_int_equal(cf_screen_new(400, 400, &screen, NULL), 0);
    cf_screen_feed(screen, text.data, text.len);
    assert_int_equal(cf_screen_paint(screen, &out, NULL), 0);
    assert_true(out.len >= 400 * 400 && out.len <= CF_SCREEN_DRAW_MAX(400, 400));
    assert_null(memmem(out.data, out.len, ";2;7;", 5));
    cf_screen_free(&screen);
    cf_buf_free(&out);
    cf_buf_free(&text);
}

static void a_buffer_that_is_too_small_stays_as_it_was(void **state)
{
    struct cf_buf out;
    struct cf_error error;
    cf_buf_init(&out, 100);
    cf_buf_puts(&out, "before");
    assert_int_equal(draw_once("x", 1, false, 80, 24, &out, &error), CF_E_NO_MEMORY);
    assert_string_equal(out.data, "before");
    assert_false(out.failed);
    cf_buf_free(&out);
}

static void another_size_keeps_what_fits(void **state)
{
    struct scene s;
    play_text(&s, 10, 4, "one\r\n\xe6\xbc\xa2 two\r\nthree\r\nfour");
    struct cf_buf out;
    cf_buf_init(&out, 1 << 20);
    assert_int_equal(cf_screen_resize(s.screen, 1001, 4, NULL), CF_E_INVALID);
    assert_int_equal(cf_screen_resize(s.screen, 4, 3, NULL), 0);
    judge_close(&s.judge);
    assert_int_equal(cf_screen_paint(s.screen, &out, NULL), 0);
    judge_open(&s.judge, 4, 3);
    judge_feed(&s.judge, out.data, out.len);
    judge_agrees(&s.judge, s.screen);
    expect_row(&s, 0, "\xe6\xbc\xa2 t");
    expect_row(&s, 2, "four");
    assert_int_equal(cf_screen_resize(s.screen, 1, 3, NULL), 0);          /* half of a wide character */
    assert_int_equal(cf_screen_resize(s.screen, 30, 30, NULL), 0);
    cf_buf_free(&out);
    end(&s);
}

static void a_saved_cursor_fits_into_the_other_size(void **state)
{
    struct scene s;
    play_text(&s, 10, 6, "\033[6;10Hx\0337\033[?1049h\033[6;10Hy\0337\033[H");
    assert_int_equal(cf_screen_resize(s.screen, 4, 2, NULL), 0);
    struct cf_buf out;
    cf_buf_init(&out, 1 << 20);
    assert_int_equal(cf_screen_paint(s.screen, &out, NULL), 0);
    cf_screen_feed(s.screen, "\0338", 2);
    assert_true(s.screen->at.row == 1 && s.screen->at.col == 3);
    cf_screen_feed(s.screen, "\033[?1049l", 8);
    assert_true(s.screen->at.row == 1 && s.screen->at.col == 3);
    cf_buf_free(&out);
    end(&s);
}

static void another_size_in_the_alternate_screen(void **state)
{
    struct scene s;
    play_text(&s, 10, 4, "one\r\ntwo\033[?1049h\033[4;10Hx");
    assert_int_equal(cf_screen_resize(s.screen, 5, 2, NULL), 0);
    assert_int_equal(s.screen->at.row, 1);
    cf_screen_feed(s.screen, "\033[?1049l!", 9);
    struct cf_buf out;
    cf_buf_init(&out, 1 << 20);
    assert_int_equal(cf_screen_paint(s.screen, &out, NULL), 0);
    assert_non_null(strstr(out.data, "two!"));
    cf_buf_free(&out);
    end(&s);
}

#define TEST(title, function) { .name = title, .test_func = function }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("text stands where it stood", text_stands_where_it_stood),
        TEST("a blank screen clears what was there", a_blank_screen_is_cleared),
        TEST("long lines wrap, and the screen scrolls", long_lines_wrap_and_scroll),
        TEST("the cursor waits behind the last column", the_cursor_waits_behind_the_last_column),
        TEST("a carriage return overwrites", carriage_return_overwrites),
        TEST("a line feed alone keeps the column", line_feed_alone_keeps_the_column),
        TEST("tab stops are kept", tab_stops_are_kept),
        TEST("NUL and DEL are nothing", nuls_and_delete_are_nothing),
        TEST("backspace, and repetition within the line", backspace_and_repetition),
        TEST("wide characters at the margin, cut in halves, and where none fits", wide_characters_and_the_margin),
        TEST("combining characters stay with theirs", combining_characters_stay_with_theirs),
        TEST("a flood of combining characters is cut at three", a_flood_of_combining_characters_is_cut),
        TEST("what is no UTF-8 shows as replacement characters", what_is_no_utf8_shows_as_such),
        TEST("line drawing is drawn, and goes on", line_drawing_is_drawn),
        TEST("16, 256 and RGB colours, and every attribute", colours_and_attributes),
        TEST("only changes of colour are written", only_changes_of_colour_are_written),
        TEST("a coloured blank is coloured", a_coloured_blank_is_coloured),
        TEST("text that follows has the colour that was set", the_pen_goes_on),
        TEST("no sequence has more parameters than terminals keep", no_sequence_has_many_parameters),
        TEST("lines and characters are inserted and deleted", lines_and_characters_are_inserted_and_deleted),
        TEST("a scroll region scrolls alone, also afterwards", a_scroll_region_scrolls_alone_and_stays),
        TEST("origin mode counts from the region", origin_mode_counts_from_the_region),
        TEST("index and reverse index", index_and_reverse_index),
        TEST("the alignment screen", the_alignment_screen),
        TEST("keys, mouse and paste will send what the program expects", keys_will_send_what_the_program_expects),
        TEST("the cursor looks the same", the_cursor_looks_the_same),
        TEST("wrapping off, inserting, reverse video", wrapping_inserting_reversing),
        TEST("a reset resets, a soft one too", a_reset_resets),
        TEST("the title is cleaned, other strings do nothing", the_title_is_cleaned),
        TEST("leaving the alternate screen shows the shell", leaving_the_alternate_screen_shows_the_shell),
        TEST("after the alternate screen nothing of it is left", after_the_alternate_screen_nothing_of_it_is_left),
        TEST("a saved cursor comes back with its colours", saved_cursors_come_back),
        TEST("a cut beginning is passed over", a_cut_beginning_is_passed_over),
        TEST("drawn at any byte, what follows goes on as if nothing had been", a_cut_end_goes_on),
        TEST("questions are not asked again", questions_are_not_asked_again),
        TEST("hostile sequences do nothing", hostile_sequences),
        TEST("one cell, and 1000 columns by 1000 rows", the_smallest_and_the_largest),
        TEST("sizes out of range are refused by name", sizes_out_of_range_are_named),
        TEST("too colourful a screen is drawn plain, within the bound", too_colourful_a_screen_is_drawn_plain),
        TEST("a buffer that is too small stays as it was", a_buffer_that_is_too_small_stays_as_it_was),
        TEST("another size keeps what fits", another_size_keeps_what_fits),
        TEST("a saved cursor fits into the other size", a_saved_cursor_fits_into_the_other_size),
        TEST("another size in the alternate screen", another_size_in_the_alternate_screen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
