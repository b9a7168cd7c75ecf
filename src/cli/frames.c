#include "cli/frames.h"

#include <string.h>

#define RECORD_BYTES ((size_t)4 << 20)      /* a result has a path and some numbers, an error maybe a tombstone */

void cf_frames_init(struct cf_frames *f, const struct cf_frames_events *events, void *arg)
{
    memset(f, 0, sizeof *f);
    f->events = events;
    f->arg = arg;
    cf_buf_init(&f->payload, RECORD_BYTES);
}

void cf_frames_free(struct cf_frames *f)
{
    cf_buf_free(&f->payload);
}

void cf_frames_restart(struct cf_frames *f)
{
    f->head_len = f->left = 0;
    f->bad = false;
    cf_buf_reset(&f->payload);
}

static uint64_t big_endian(const unsigned char *bytes, int count)
{
    uint64_t value = 0;

    for (int i = 0; i < count; i++)
        value = value << 8 | bytes[i];
    return value;
}

static bool is_output(unsigned type)
{
    return type == CF_FRAME_STDOUT || type == CF_FRAME_STDERR || type == CF_FRAME_TERMINAL;
}

static bool is_known(unsigned type)
{
    return type >= CF_FRAME_STDOUT && type <= CF_FRAME_START;
}

/* A frame that is taken whole is complete. */
static void complete(struct cf_frames *f)
{
    if (f->type == CF_FRAME_GAP) {
        uint64_t lost = big_endian((const unsigned char *)f->payload.data, 8);

        if (lost > INT64_MAX || (int64_t)lost > INT64_MAX - f->offset)
            f->bad = true;
        else
            f->events->gap(f->arg, f->offset, (int64_t)lost);
    } else if (is_known(f->type) && !is_output(f->type)) {
        f->events->record(f->arg, (enum cf_frame_type)f->type, f->payload.data ? f->payload.data : "", f->payload.len);
    }
    cf_buf_reset(&f->payload);
    f->head_len = 0;
}

static void head_read(struct cf_frames *f)
{
    uint64_t offset = big_endian(f->head + 8, 8);

    f->type = f->head[0];
    f->left = (size_t)big_endian(f->head + 4, 4);
    f->offset = (int64_t)offset;
    f->bad = f->type == 0 || big_endian(f->head + 1, 3) != 0 || offset > INT64_MAX - UINT32_MAX ||
             (f->type == CF_FRAME_GAP && f->left != 8) ||
             (is_known(f->type) && !is_output(f->type) && f->left > RECORD_BYTES);
    if (!f->bad && f->left == 0)
        complete(f);
}

static size_t payload_read(struct cf_frames *f, const char *data, size_t len)
{
    size_t taken = len < f->left ? len : f->left;

    if (is_output(f->type))
        taken = f->events->output(f->arg, (enum cf_frame_type)f->type, f->offset, data, taken);
    else if (is_known(f->type))
        cf_buf_append(&f->payload, data, taken);
    if (f->payload.failed)
        f->bad = true;
    f->left -= taken;
    if (is_output(f->type))
        f->offset += (int64_t)taken;
    if (f->left == 0 && !f->bad)
        complete(f);
    return taken;
}

size_t cf_frames_feed(struct cf_frames *f, const char *data, size_t len)
{
    size_t at = 0;

    while (at < len && !f->bad) {
        size_t want, taken;

        if (f->head_len < CF_FRAME_HEAD) {
            taken = len - at < CF_FRAME_HEAD - f->head_len ? len - at : CF_FRAME_HEAD - f->head_len;
            memcpy(f->head + f->head_len, data + at, taken);
            f->head_len += taken;
            at += taken;
            if (f->head_len == CF_FRAME_HEAD)
                head_read(f);
            continue;
        }
        want = len - at < f->left ? len - at : f->left;
        taken = payload_read(f, data + at, want);
        at += taken;
        if (taken < want)
            break;
    }
    return at;
}
