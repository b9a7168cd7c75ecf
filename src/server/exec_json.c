/* exec_json.c: writing records and pieces. */
#include "server/exec_json.h"

#include <errno.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>

static const char *const stream_names[CF_STREAMS] = {
    [CF_STREAM_OUT] = "stdout", [CF_STREAM_ERR] = "stderr", [CF_STREAM_TERMINAL] = "terminal"
};

const char *cf_stream_name(enum cf_stream stream)
{
    return stream_names[stream];
}

bool cf_stream_named(const char *name, enum cf_stream *ret_stream)
{
    for (int i = 0; i < CF_STREAMS; i++)
        if (strcmp(name, stream_names[i]) == 0) {
            *ret_stream = (enum cf_stream)i;
            return true;
        }
    return false;
}

static double milliseconds(int64_t ns)
{
    return (double)(ns / 1000) / 1000.0;
}

static void write_how(const struct cf_exec *e, struct cf_jsonw *w)
{
    if (e->ended && !e->lost)
        cf_jsonw_int(w, "exit_code", e->exit_code);
    else
        cf_jsonw_null(w, "exit_code");
}

void cf_exec_json(const struct cf_exec *e, int64_t now_mono_ns, struct cf_jsonw *w)
{
    cf_jsonw_int(w, "exec", e->number);
    cf_jsonw_str(w, "state", e->ended ? "ended" : "running");
    cf_jsonw_bytes(w, "command", e->command, e->command_len);
    cf_jsonw_seconds(w, "started_at", e->started_wall_ns);
    cf_jsonw_double(w, "duration_ms", milliseconds((e->ended ? e->ended_mono_ns : now_mono_ns) - e->started_mono_ns));
    write_how(e, w);
    cf_jsonw_bool(w, "timed_out", e->timed_out);
    cf_jsonw_bool(w, "cancelled", e->cancelled);
    cf_jsonw_str(w, "cwd", e->cwd);
    cf_jsonw_int(w, "stdout_bytes", (int64_t)e->stream_bytes[CF_STREAM_OUT]);
    cf_jsonw_int(w, "stderr_bytes", (int64_t)e->stream_bytes[CF_STREAM_ERR]);
    cf_jsonw_int(w, "late_bytes", (int64_t)e->late_bytes);
    cf_jsonw_bool(w, "shell_left", e->shell_left);
    cf_jsonw_str(w, "session_state", e->session_state);
    cf_jsonw_str(w, "lost", !e->lost ? NULL : e->refused != NULL ? e->refused->text : CF_SESSION_ENDED);
}

void cf_exec_result_json(const struct cf_exec *e, struct cf_jsonw *w)
{
    write_how(e, w);
    cf_jsonw_double(w, "duration_ms", milliseconds(e->ended_mono_ns - e->started_mono_ns));
    cf_jsonw_str(w, "cwd", e->cwd != NULL ? e->cwd : "");
    cf_jsonw_bool(w, "timed_out", e->timed_out);
    cf_jsonw_bool(w, "cancelled", e->cancelled);
    cf_jsonw_int(w, "stdout_bytes", (int64_t)e->stream_bytes[CF_STREAM_OUT]);
    cf_jsonw_int(w, "stderr_bytes", (int64_t)e->stream_bytes[CF_STREAM_ERR]);
    cf_jsonw_bool(w, "shell_left", e->shell_left);
    cf_jsonw_str(w, "session_state", e->session_state);
    cf_jsonw_int(w, "exec", e->number);
}

static void write_base64(struct cf_jsonw *w, const char *bytes, size_t len)
{
    char *text = malloc(BASE64_ENCODE_RAW_LENGTH(len) + 1);
    if (text == NULL) {
        w->out->failed = true;
        return;
    }
    base64_encode_raw(text, len, (const uint8_t *)bytes);
    cf_jsonw_bytes(w, "base64", text, BASE64_ENCODE_RAW_LENGTH(len));
    free(text);
}

void cf_piece_json(const struct cf_piece *p, uint64_t offset, const char *bytes, size_t len, enum cf_encoding encoding,
                   bool of_session, struct cf_jsonw *w)
{
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "stream", cf_stream_name((enum cf_stream)p->stream));
    cf_jsonw_int(w, "offset", (int64_t)offset);
    cf_jsonw_int(w, "bytes", (int64_t)len);
    if (of_session && p->exec != 0)
        cf_jsonw_int(w, "exec", p->exec);
    if (of_session && p->late && p->exec != 0)
        cf_jsonw_bool(w, "late", true);
    if (encoding == CF_ENCODING_BASE64)
        write_base64(w, bytes, len);
    else
        cf_jsonw_bytes(w, "text", bytes, len);
    cf_jsonw_object_end(w);
}

void cf_gap_json(uint64_t offset, uint64_t bytes, struct cf_jsonw *w)
{
    cf_jsonw_object(w, NULL);
    cf_jsonw_int(w, "gap", (int64_t)bytes);
    cf_jsonw_int(w, "offset", (int64_t)offset);
    cf_jsonw_object_end(w);
}

char *cf_base64_decode(const char *text, size_t len, size_t *ret_len)
{
    struct base64_decode_ctx ctx;
    size_t bytes = BASE64_DECODE_LENGTH(len);
    char *data = malloc(bytes + 1);
    if (data == NULL)
        return NULL;
    base64_decode_init(&ctx);
    if (base64_decode_update(&ctx, &bytes, (uint8_t *)data, len, text) == 0 || base64_decode_final(&ctx) == 0) {
        free(data);
        errno = EINVAL;
        return NULL;
    }
    data[bytes] = '\0';
    *ret_len = bytes;
    return data;
}
