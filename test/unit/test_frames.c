/* test_frames.c: a stream of frames, cut anywhere, is what was sent; what is none is refused. */
#include "cli/frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What came, as text: "1@0:ab" for output, "gap@2:5;", "7{…}" for records. */
struct heard {
    struct cf_buf text;
    size_t room;                /* bytes of output that are still taken */
    unsigned last_type;
    int64_t last_end;
};

static size_t on_output(void *arg, enum cf_frame_type type, int64_t offset, const char *data, size_t len)
{
    struct heard *heard = arg;
    size_t taken = len < heard->room ? len : heard->room;

    if (taken > 0 && (heard->last_type != type || heard->last_end != offset))
        cf_buf_printf(&heard->text, "%d@%lld:", (int)type, (long long)offset);
    cf_buf_append(&heard->text, data, taken);
    if (taken > 0) {
        heard->last_type = type;
        heard->last_end = offset + (int64_t)taken;
    }
    heard->room -= taken;
    return taken;
}

static void on_gap(void *arg, int64_t offset, int64_t lost)
{
    struct heard *heard = arg;

    cf_buf_printf(&heard->text, "gap@%lld:%lld;", (long long)offset, (long long)lost);
    heard->last_type = 0;
}

static void on_record(void *arg, enum cf_frame_type type, const char *json, size_t len)
{
    struct heard *heard = arg;

    cf_buf_printf(&heard->text, "%d", (int)type);
    cf_buf_append(&heard->text, json, len);
    heard->last_type = 0;
}

static const struct cf_frames_events events = {.output = on_output, .gap = on_gap, .record = on_record};

static void frame(struct cf_buf *out, unsigned type, const char *payload, size_t len, uint64_t offset)
{
    unsigned char head[CF_FRAME_HEAD] = {(unsigned char)type};

    for (int i = 0; i < 4; i++)
        head[4 + i] = (unsigned char)(len >> (24 - 8 * i));
    for (int i = 0; i < 8; i++)
        head[8 + i] = (unsigned char)(offset >> (56 - 8 * i));
    cf_buf_append(out, head, sizeof head);
    cf_buf_append(out, payload, len);
}

static void heard_init(struct heard *heard, size_t room)
{
    memset(heard, 0, sizeof *heard);
    cf_buf_init(&heard->text, 65536);
    heard->room = room;
}

static const char expected[] = "7{\"exec\":1}1@0:hello2@5:worldgap@10:2;3@12:!5{}";

static void stream_make(struct cf_buf *out)
{
    cf_buf_init(out, 65536);
    frame(out, CF_FRAME_START, "{\"exec\":1}", 10, 0);
    frame(out, CF_FRAME_STDOUT, "hel", 3, 0);
    frame(out, CF_FRAME_STDOUT, "lo", 2, 3);
    frame(out, 200, "from the future", 15, 3);
    frame(out, 201, "", 0, 0);
    frame(out, CF_FRAME_STDERR, "world", 5, 5);
    frame(out, CF_FRAME_STDERR, "", 0, 10);
    frame(out, CF_FRAME_GAP, "\0\0\0\0\0\0\0\2", 8, 10);
    frame(out, CF_FRAME_TERMINAL, "!", 1, 12);
    frame(out, CF_FRAME_RESULT, "{}", 2, 0);
}

static void cut_anywhere(void **state)
{
    struct cf_buf stream;

    stream_make(&stream);
    for (size_t piece = 1; piece <= stream.len; piece++) {
        struct cf_frames frames;
        struct heard heard;

        heard_init(&heard, SIZE_MAX);
        cf_frames_init(&frames, &events, &heard);
        for (size_t at = 0; at < stream.len; at += piece) {
            size_t len = stream.len - at < piece ? stream.len - at : piece;

            assert_int_equal(cf_frames_feed(&frames, stream.data + at, len), len);
        }
        assert_false(frames.bad);
        assert_string_equal(heard.text.data, expected);
        cf_frames_free(&frames);
        cf_buf_free(&heard.text);
    }
    cf_buf_free(&stream);
}

/* Who takes only so much gets the rest when it is fed again, with its offset. */
static void taken_in_parts(void **state)
{
    struct cf_buf stream;

    stream_make(&stream);
    for (size_t room = 1; room < 12; room++) {
        struct cf_frames frames;
        struct heard heard;
        size_t at = 0;

        heard_init(&heard, room);
        cf_frames_init(&frames, &events, &heard);
        while (at < stream.len) {
            at += cf_frames_feed(&frames, stream.data + at, stream.len - at);
            heard.room = room;
        }
        assert_int_equal(at, stream.len);
        assert_string_equal(heard.text.data, expected);
        cf_frames_free(&frames);
        cf_buf_free(&heard.text);
    }
    cf_buf_free(&stream);
}

static void begun_anew(void **state)
{
    struct cf_buf stream;
    struct cf_frames frames;
    struct heard heard;

    stream_make(&stream);
    for (size_t cut = 0; cut < stream.len; cut++) {
        heard_init(&heard, SIZE_MAX);
        cf_frames_init(&frames, &events, &heard);
        cf_frames_feed(&frames, stream.data, cut);
        cf_frames_restart(&frames);
        cf_buf_reset(&heard.text);
        heard.last_type = 0;
        cf_frames_feed(&frames, stream.data, stream.len);
        assert_string_equal(heard.text.data, expected);
        cf_frames_free(&frames);
        cf_buf_free(&heard.text);
    }
    cf_buf_free(&stream);
}

static void refused(void **state)
{
    static const struct {
        unsigned type;
        const char *payload;
        size_t len;
        uint64_t offset;
    } cases[] = {
        {0, "x", 1, 0},
        {CF_FRAME_STDOUT, "x", 1, UINT64_C(1) << 63},
        {CF_FRAME_STDOUT, "x", 1, INT64_MAX},
        {CF_FRAME_GAP, "1234567", 7, 0},
        {CF_FRAME_GAP, "", 0, 0},
        {CF_FRAME_GAP, "\377\377\377\377\377\377\377\377", 8, 0},
        {CF_FRAME_GAP, "\177\377\377\377\377\377\377\377", 8, 1},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cf_frames frames;
        struct heard heard;
        struct cf_buf stream;

        heard_init(&heard, SIZE_MAX);
        cf_frames_init(&frames, &events, &heard);
        cf_buf_init(&stream, 4096);
        frame(&stream, cases[i].type, cases[i].payload, cases[i].len, cases[i].offset);
        cf_frames_feed(&frames, stream.data, stream.len);
        assert_true(frames.bad);
        assert_int_equal(heard.text.len, 0);
        assert_int_equal(cf_frames_feed(&frames, stream.data, stream.len), 0);
        cf_frames_free(&frames);
        cf_buf_free(&stream);
        cf_buf_free(&heard.text);
    }
}

/* Neither what is reserved, nor a record that nobody could hold. */
static void refused_heads(void **state)
{
    static const char *const heads[] = {
        "\1\1\0\0\0\0\0\1\0\0\0\0\0\0\0\0", "\1\0\0\2\0\0\0\1\0\0\0\0\0\0\0\0",
        "\5\0\0\0\377\377\377\377\0\0\0\0\0\0\0\0", "HTTP/1.1 200 OK\r",
    };

    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct cf_frames frames;
        struct heard heard;

        heard_init(&heard, SIZE_MAX);
        cf_frames_init(&frames, &events, &heard);
        cf_frames_feed(&frames, heads[i], CF_FRAME_HEAD);
        assert_true(frames.bad);
        cf_frames_free(&frames);
        cf_buf_free(&heard.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"a stream that is cut anywhere is what was sent", cut_anywhere, NULL, NULL, NULL},
        {"output that is taken in parts goes on with its offset", taken_in_parts, NULL, NULL, NULL},
        {"a stream that begins anew does not know of what was half read", begun_anew, NULL, NULL, NULL},
        {"lengths and offsets that cannot be are refused", refused, NULL, NULL, NULL},
        {"what is no head of a frame is refused", refused_heads, NULL, NULL, NULL},
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
