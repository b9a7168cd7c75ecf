/* fuzz_frames.c: whatever a server sends as frames, and however it is cut, no more is taken than came, and the same
 * bytes in other pieces are the same stream. */
#include "cli/frames.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t sum;               /* of all that came, in its order */
    size_t bytes;
};

static void add(struct seen *seen, const void *data, size_t len)
{
    const unsigned char *bytes = data;

    for (size_t i = 0; i < len; i++)
        seen->sum = (seen->sum ^ bytes[i]) * 1099511628211u;
    seen->bytes += len;
}

/* Each byte with its offset, so that it makes no difference how output is cut. */
static size_t on_output(void *arg, enum cf_frame_type type, int64_t offset, const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int64_t at = offset + (int64_t)i;

        add(arg, &type, sizeof type);
        add(arg, &at, sizeof at);
        add(arg, data + i, 1);
    }
    return len;
}

static void on_gap(void *arg, int64_t offset, int64_t lost)
{
    if (offset < 0 || lost < 0 || lost > INT64_MAX - offset)
        abort();
    add(arg, &offset, sizeof offset);
    add(arg, &lost, sizeof lost);
}

static void on_record(void *arg, enum cf_frame_type type, const char *json, size_t len)
{
    if (json[len] != '\0')
        abort();
    add(arg, &type, sizeof type);
    add(arg, json, len);
}

static struct seen run(const char *data, size_t size, size_t piece, bool *ret_bad)
{
    static const struct cf_frames_events events = {.output = on_output, .gap = on_gap, .record = on_record};
    struct seen seen = {.sum = 14695981039346656037u};
    struct cf_frames frames;

    cf_frames_init(&frames, &events, &seen);
    for (size_t at = 0; at < size; at += piece) {
        size_t len = size - at < piece ? size - at : piece, taken = cf_frames_feed(&frames, data + at, len);

        if (taken > len || (taken < len && !frames.bad))
            abort();
    }
    *ret_bad = frames.bad;
    cf_frames_free(&frames);
    return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool bad, bad_too;
    struct seen whole = run((const char *)data, size, size + 1, &bad);
    struct seen bytes = run((const char *)data, size, 1, &bad_too);

    if (whole.sum != bytes.sum || whole.bytes != bytes.bytes || bad != bad_too)
        abort();
    return 0;
}
