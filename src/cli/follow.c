#include "cli/follow.h"

#include "base/clock.h"
#include "cli/out.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HELD_BYTES ((size_t)1 << 20)    /* one part of an answer; libcurl's are of 256 KiB at most */
#define TRIES 7
#define LASTED_NS (10 * CF_NS_PER_S)            /* a connection that lasted so long was a good one */
#define RETRY_FIRST_NS (100 * CF_NS_PER_MS)     /* doubled each time: some 6 s until the last */

static void fail(struct cf_follow *f, const struct cf_error *error, bool answered)
{
    f->over = true;
    f->error = *error;
    f->answered_error = answered;
}

static void tell_gap(const struct cf_follow *f, int64_t lost)
{
    if (!f->cli->json)
        fprintf(stderr, "curfew: %" PRId64 " bytes of the output are missing here: the server keeps the last part only "
                "(spool_bytes)\n", lost);
}

static void move_to(struct cf_follow *f, int64_t offset)
{
    if (f->next >= 0 && offset > f->next)
        tell_gap(f, offset - f->next);
    if (offset > f->next)
        f->next = offset;
}

static void cannot_write(struct cf_follow *f, int fd)
{
    f->output_status = cf_cli_cannot_write(f->cli, fd);
    f->over = true;
}

/* What a resumed stream repeats is left out. */
static size_t on_output(void *arg, enum cf_frame_type type, int64_t offset, const char *data, size_t len)
{
    struct cf_follow *f = arg;
    int fd = type == CF_FRAME_STDERR && f->split ? STDERR_FILENO : STDOUT_FILENO;
    size_t skip;
    ssize_t wrote;

    if (f->next < 0)
        f->next = offset;
    move_to(f, offset);
    skip = (uint64_t)(f->next - offset) < len ? (size_t)(f->next - offset) : len;
    if (skip == len)
        return len;
    wrote = cf_out_try(fd, data + skip, len - skip);
    if (wrote < 0)
        cannot_write(f, fd);
    if (wrote < 0 || (size_t)wrote < len - skip)
        f->blocked_fd = fd;
    if (wrote <= 0)
        return skip;
    f->next += wrote;
    f->tries = 0;
    return skip + (size_t)wrote;
}

static void on_gap(void *arg, int64_t offset, int64_t lost)
{
    struct cf_follow *f = arg;

    if (f->next < 0)
        f->next = offset;
    move_to(f, offset + lost);
}

static void on_error_record(struct cf_follow *f, json_t *record)
{
    const char *code = json_string_value(json_object_get(record, "code"));
    const char *message = json_string_value(json_object_get(record, "message"));
    int known = code ? cf_error_from_name(code) : CF_E_INTERNAL;
    struct cf_error error;

    cf_error_set(&error, known, NULL, "%s", message ? message : cf_error_text(known));
    fail(f, &error, true);
}

static void on_record(void *arg, enum cf_frame_type type, const char *json, size_t len)
{
    struct cf_follow *f = arg;
    json_t *record = json_loadb(json, len, JSON_ALLOW_NUL, NULL);
    json_int_t exec = json_integer_value(json_object_get(record, "exec"));

    if (!json_is_object(record)) {
        f->frames.bad = true;
    } else if (type == CF_FRAME_START) {
        f->started = true;
        if (!f->exec && exec > 0 && exec <= UINT32_MAX && f->x.op == CF_OP_exec)
            f->exec = (uint32_t)exec;
        f->next = f->next < 0 && f->exec ? 0 : f->next;
    } else if (type == CF_FRAME_RESULT) {
        f->over = true;
        f->result = json_incref(record);
    } else {
        on_error_record(f, record);
    }
    json_decref(record);
}

static const struct cf_frames_events events = {.output = on_output, .gap = on_gap, .record = on_record};

/* Feeds until the reader of our output takes no more; the rest is held. */
static bool sink(void *arg, const char *data, size_t len)
{
    struct cf_follow *f = arg;
    size_t used;

    if (f->held_at < f->held.len)
        return false;
    cf_buf_reset(&f->held);
    f->held_at = 0;
    used = f->over ? len : cf_frames_feed(&f->frames, data, len);
    if (used < len && !f->frames.bad && !f->over)
        cf_buf_append(&f->held, data + used, len - used);
    return true;
}

static void feed_held(struct cf_follow *f)
{
    f->blocked_fd = -1;
    f->held_at += cf_frames_feed(&f->frames, f->held.data + f->held_at, f->held.len - f->held_at);
    if (f->held_at == f->held.len || f->frames.bad || f->over) {
        cf_buf_reset(&f->held);
        f->held_at = 0;
        cf_client_resume(&f->x);
    }
}

void cf_follow_init(struct cf_follow *f, struct cf_cli *cli, const char *id)
{
    memset(f, 0, sizeof *f);
    f->cli = cli;
    f->id = id;
    f->blocked_fd = -1;
    f->next = -1;
    cf_buf_init(&f->held, HELD_BYTES);
    cf_frames_init(&f->frames, &events, f);
}

void cf_follow_free(struct cf_follow *f)
{
    if (f->cli->client)
        cf_client_stop(f->cli->client, &f->x);
    cf_exchange_free(&f->x);
    cf_frames_free(&f->frames);
    cf_buf_free(&f->held);
    json_decref(f->result);
    f->result = NULL;
}

void cf_follow_start(struct cf_follow *f)
{
    if (!f->plain) {
        f->x.accept = CF_TYPE_FRAMES;
        f->x.sink = sink;
        f->x.sink_arg = f;
    }
    f->retry_ns = 0;
    f->begun_ns = cf_clock_now().mono_ns;
    cf_client_start(f->cli->client, &f->x);
}

void cf_follow_resume(struct cf_follow *f)
{
    cf_exchange_free(&f->x);
    cf_exchange_init(&f->x, CF_OP_output, f->id, 0);
    if (f->exec)
        cf_exchange_query_int(&f->x, "exec", f->exec);
    if (f->stream)
        cf_exchange_query(&f->x, "stream", f->stream);
    if (f->next >= 0)
        cf_exchange_query_int(&f->x, "since", f->next);
    cf_frames_restart(&f->frames);
    cf_follow_start(f);
}

static void give_up(struct cf_follow *f)
{
    struct cf_error error;
    char exec[24] = "", stream[32] = "";

    if (f->exec)
        snprintf(exec, sizeof exec, " --exec %" PRIu32, f->exec);
    if (f->stream)
        snprintf(stream, sizeof stream, " --stream %s", f->stream);
    cf_error_set(&error, CF_E_UNAVAILABLE, NULL, "the connection to the server was lost; to go on: "
                 "curfew output %.127s%s%s --since %" PRId64 " --follow", f->id, exec, stream,
                 f->next < 0 ? 0 : f->next);
    fail(f, &error, false);
}

static void not_ours(struct cf_follow *f)
{
    struct cf_error error;

    cf_client_stop(f->cli->client, &f->x);
    cf_error_set(&error, CF_E_UNAVAILABLE, NULL, "what the server at %s answers is no stream of output",
                 cf_client_name(f->cli->client));
    fail(f, &error, false);
}

/* The answer has come to its end without a result. */
static void ended_early(struct cf_follow *f, int64_t now_ns)
{
    const struct cf_error *error = &f->x.error;
    bool later = error->code == CF_E_UNAVAILABLE || error->code == CF_E_TOO_MANY || error->code == CF_E_SHUTTING_DOWN;

    if (now_ns - f->begun_ns >= LASTED_NS)
        f->tries = 0;
    if (error->code < 0 && (!f->started || !later || f->plain)) {
        fail(f, error, f->x.answered_error);
    } else if (!f->plain && !f->started) {
        not_ours(f);
    } else if (f->plain) {
        f->over = true;
        f->result = json_incref(f->x.data);
    } else if (f->last || f->tries == TRIES) {
        give_up(f);
    } else {
        f->retry_ns = now_ns + (RETRY_FIRST_NS << f->tries);
        f->tries++;
    }
}

void cf_follow_want(struct cf_follow *f, struct cf_loop *loop)
{
    if (f->over)
        return;
    cf_loop_fd(loop, f->blocked_fd, POLLOUT);
    if (f->retry_ns)
        cf_loop_until(loop, f->retry_ns);
}

void cf_follow_turn(struct cf_follow *f, const struct cf_loop *loop)
{
    if (f->over)
        return;
    if (f->blocked_fd >= 0 && cf_loop_revents(loop, f->blocked_fd))
        feed_held(f);
    if (f->over)
        return;
    if (f->frames.bad)
        not_ours(f);
    else if (f->retry_ns && loop->now_ns >= f->retry_ns)
        cf_follow_resume(f);
    else if (!f->retry_ns && !f->x.running && f->blocked_fd < 0)
        ended_early(f, loop->now_ns);
}
