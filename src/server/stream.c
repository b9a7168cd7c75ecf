/* stream.c: what a reader gives, record by record, into the body of an answer. */
#include "server/stream.h"

#include "base/error.h"
#include "server/body.h"
#include "server/server.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Of one record, when it can be lent to the socket as it lies in the spool, and when it is copied. */
#define LENT_BYTES (256u << 10)
#define COPIED_BYTES (64u << 10)
/* A proxy or a client that hears nothing for long gives up: so a stream of events says something. */
#define COMMENT_S 15

enum record { RECORD_START, RECORD_PIECE, RECORD_GAP, RECORD_RESULT, RECORD_ERROR };
enum phase { PHASE_START, PHASE_OUTPUT, PHASE_OVER };

struct stream;

/* One form: its media type, and how it puts a record into a part.  `json` is the record's, for a piece NULL: that is in `bytes`. */
struct form {
    const char *type;
    bool json;                          /* pieces are JSON, so text */
    void (*put)(struct stream *s, struct cf_body_part *part, enum record record, const struct cf_buf *json);
};

struct stream {
    struct cf_reader reader;
    const struct form *form;
    struct cf_body *body;
    struct cf_watch watch;
    struct event *comments;             /* NULL: none are sent */
    struct cf_stream_spec spec;
    enum phase phase;
    bool comment_due;
    uint64_t left;                      /* of the limit */
    char id[128];
    /* The record in hand: */
    struct cf_piece piece;              /* len 0: none */
    size_t piece_len;
    const char *bytes;
    uint64_t offset, gap;
};

/* ---- forms ---- */

static const char *record_name(const struct stream *s, enum record record)
{
    static const char *const names[] = { [RECORD_START] = "start", [RECORD_GAP] = "gap", [RECORD_RESULT] = "result", [RECORD_ERROR] = "error" };
    return record == RECORD_PIECE ? cf_stream_name((enum cf_stream)s->piece.stream) : names[record];
}

static void put_piece_json(struct stream *s, struct cf_buf *out)
{
    struct cf_jsonw w;
    cf_jsonw_init(&w, out);
    cf_piece_json(&s->piece, s->offset, s->bytes, s->piece_len, s->spec.encoding, s->spec.exec == NULL, &w);
}

static void put_ndjson(struct stream *s, struct cf_body_part *part, enum record record, const struct cf_buf *json)
{
    if (record == RECORD_PIECE)
        put_piece_json(s, &part->head);
    else if (record == RECORD_GAP)
        cf_buf_append(&part->head, json->data, json->len);
    else
        cf_buf_printf(&part->head, "{\"%s\":%s}", record_name(s, record), json->data);
    cf_buf_putc(&part->head, '\n');
}

/* A client that comes again sends the last id that it saw. */
static void put_sse(struct stream *s, struct cf_body_part *part, enum record record, const struct cf_buf *json)
{
    uint64_t next = record == RECORD_PIECE ? s->offset + s->piece_len : s->reader.cursor.since;
    cf_buf_printf(&part->head, "id: %" PRIu64 "\nevent: %s\ndata: ", next, record_name(s, record));
    if (record == RECORD_PIECE)
        put_piece_json(s, &part->head);
    else
        cf_buf_append(&part->head, json->data, json->len);
    cf_buf_puts(&part->head, "\n\n");
}

static void put_big(char *to, uint64_t value, int bytes)
{
    while (bytes-- > 0) {
        to[bytes] = (char)(value & 0xff);
        value >>= 8;
    }
}

/* A header of 16 bytes: type, three of 0, length, offset, both big-endian. */
static void put_frame(struct stream *s, struct cf_body_part *part, enum record record, const struct cf_buf *json)
{
    static const char piece_types[CF_STREAMS] = { [CF_STREAM_OUT] = 1, [CF_STREAM_ERR] = 2, [CF_STREAM_TERMINAL] = 3 };
    static const char types[] = { [RECORD_GAP] = 4, [RECORD_RESULT] = 5, [RECORD_ERROR] = 6, [RECORD_START] = 7 };
    char header[16] = { record == RECORD_PIECE ? piece_types[s->piece.stream] : types[record] }, gap[8];
    size_t len = record == RECORD_PIECE ? s->piece_len : record == RECORD_GAP ? sizeof gap : json->len;
    put_big(header + 4, len, 4);
    put_big(header + 8, record == RECORD_PIECE || record == RECORD_GAP ? s->offset : s->reader.cursor.since, 8);
    cf_buf_append(&part->head, header, sizeof header);
    put_big(gap, s->gap, sizeof gap);
    if (record == RECORD_GAP)
        cf_buf_append(&part->head, gap, sizeof gap);
    else if (record != RECORD_PIECE)
        cf_buf_append(&part->head, json->data, json->len);
    else {
        part->data = s->bytes;
        part->len = len;
    }
}

/* Nothing but the bytes: what is gone shows in the offsets of the headers only. */
static void put_raw(struct stream *s, struct cf_body_part *part, enum record record, const struct cf_buf *json)
{
    (void)json;
    if (record != RECORD_PIECE)
        return;
    part->data = s->bytes;
    part->len = s->piece_len;
}

static const struct form forms[] = {
    [CF_ACCEPT_JSON] = { "application/x-ndjson", true, put_ndjson },
    [CF_ACCEPT_NDJSON] = { "application/x-ndjson", true, put_ndjson },
    [CF_ACCEPT_SSE] = { "text/event-stream", true, put_sse },
    [CF_ACCEPT_FRAMES] = { "application/vnd.curfew.frames", false, put_frame },
    [CF_ACCEPT_RAW] = { "application/octet-stream", false, put_raw },
};

/* ---- records ---- */

#define RECORD_BYTES (64u << 10)        /* of one in JSON that is no piece: a tombstone is the largest */

static void put_start(struct stream *s, struct cf_body_part *part)
{
    struct cf_buf json;
    struct cf_jsonw w;
    cf_buf_init(&json, RECORD_BYTES);
    cf_jsonw_init(&w, &json);
    cf_jsonw_object(&w, NULL);
    cf_jsonw_str(&w, "session_id", s->id);
    if (s->spec.exec != NULL)
        cf_jsonw_int(&w, "exec", s->spec.exec->number);
    cf_jsonw_object_end(&w);
    s->form->put(s, part, RECORD_START, &json);
    cf_buf_free(&json);
}

static void put_gap(struct stream *s, struct cf_body_part *part)
{
    struct cf_buf json;
    struct cf_jsonw w;
    cf_buf_init(&json, RECORD_BYTES);
    cf_jsonw_init(&w, &json);
    s->offset = cf_reader_offset(&s->reader) - s->gap;
    cf_gap_json(s->offset, s->gap, &w);
    s->form->put(s, part, RECORD_GAP, &json);
    cf_buf_free(&json);
}

/* The end: how the command went, or that the session is gone, and why. */
static void put_end(struct stream *s, struct cf_body_part *part)
{
    const struct cf_exec *e = s->spec.exec;
    const struct cf_buf *tombstone = cf_journal_tombstone(s->reader.journal);
    bool lost = e == NULL || e->lost;
    struct cf_buf json;
    struct cf_jsonw w;
    cf_buf_init(&json, RECORD_BYTES);
    cf_jsonw_init(&w, &json);
    cf_jsonw_object(&w, NULL);
    if (e != NULL && !lost)
        cf_exec_result_json(e, &w);
    if (e != NULL && lost) {
        cf_jsonw_str(&w, "code", cf_error_name(e->refused != NULL ? e->refused->code : CF_E_GONE));
        cf_jsonw_str(&w, "message", e->refused != NULL ? e->refused->text : CF_SESSION_ENDED);
    }
    if (lost && tombstone->len > 0)
        cf_jsonw_raw(&w, "session", tombstone->data, tombstone->len);
    cf_jsonw_object_end(&w);
    s->form->put(s, part, e != NULL && lost ? RECORD_ERROR : RECORD_RESULT, &json);
    cf_buf_free(&json);
}

/* ---- the body's source ---- */

/* What was lent before has been handed to the kernel. */
static void take(struct stream *s)
{
    if (s->piece.len == 0)
        return;
    cf_reader_take(&s->reader, &s->piece, s->piece_len);
    s->left -= s->piece_len;
    s->piece.len = 0;
}

static void on_overtaken(void *arg)
{
    struct stream *s = arg;
    if (s->piece.len > 0 && s->body != NULL)
        cf_body_keep(s->body);
}

static void put_piece(struct stream *s, struct cf_body_part *part)
{
    s->offset = cf_reader_offset(&s->reader);
    s->form->put(s, part, RECORD_PIECE, NULL);
    if (part->data != NULL && !s->reader.holds) {  /* they may be overwritten while the socket has them in hand */
        cf_buf_append(&part->head, part->data, part->len);
        part->data = NULL;
        part->len = 0;
    }
}

static enum cf_body_step output(struct stream *s, struct cf_body_part *part)
{
    size_t most = s->reader.holds && !s->form->json ? LENT_BYTES : COPIED_BYTES;
    enum cf_next next = s->left == 0 ? CF_NEXT_NONE
        : cf_reader_next(&s->reader, s->left < most ? (size_t)s->left : most, &s->piece, &s->bytes, &s->piece_len, &s->gap);
    if (next == CF_NEXT_GAP && s->form->put == put_raw)
        return CF_BODY_ABORT;           /* it cannot say so, and must not look whole */
    if (next == CF_NEXT_GAP) {
        put_gap(s, part);
        return CF_BODY_MORE;
    }
    if (next == CF_NEXT_BYTES) {
        put_piece(s, part);
        return CF_BODY_MORE;
    }
    s->piece.len = 0;
    bool over = cf_reader_over(&s->reader);
    if (!over && s->spec.follow && s->left > 0) {
        if (s->comment_due)
            cf_buf_puts(&part->head, ":\n\n");
        bool said = s->comment_due;
        s->comment_due = false;
        return said ? CF_BODY_MORE : CF_BODY_WAIT;
    }
    if (s->form->put == put_raw && s->spec.exec != NULL && s->spec.exec->lost)
        return CF_BODY_ABORT;           /* the session ended under the command, so this is not all of it */
    s->phase = PHASE_OVER;
    if (over && s->spec.follow)
        put_end(s, part);
    return CF_BODY_MORE;
}

static enum cf_body_step on_next(void *arg, struct cf_body_part *part)
{
    struct stream *s = arg;
    take(s);
    switch (s->phase) {
    case PHASE_START:
        s->phase = PHASE_OUTPUT;
        put_start(s, part);
        return CF_BODY_MORE;
    case PHASE_OUTPUT:
        return output(s, part);
    case PHASE_OVER:
        break;
    }
    return CF_BODY_END;
}

static void on_done(void *arg, bool complete)
{
    (void)complete;
    struct stream *s = arg;
    cf_journal_unwatch(s->reader.journal, &s->watch);
    cf_reader_close(&s->reader);
    if (s->comments != NULL)
        event_free(s->comments);
    free(s);
}

static void on_wake(void *arg)
{
    struct stream *s = arg;
    if (s->body != NULL)
        cf_body_wake(s->body);
}

static void on_comment(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct stream *s = arg;
    s->comment_due = true;
    on_wake(s);
}

static struct stream *new_stream(struct cf_call *call, struct cf_journal *journal, const struct cf_stream_spec *spec)
{
    struct stream *s = calloc(1, sizeof *s);
    if (s == NULL)
        return NULL;
    s->form = &forms[call->accept];
    s->spec = *spec;
    s->watch = (struct cf_watch){ .wake = on_wake, .arg = s };
    s->left = spec->limit;
    memcpy(s->id, call->id, sizeof s->id);
    if (call->accept == CF_ACCEPT_SSE) {
        struct timeval every = { .tv_sec = COMMENT_S };
        s->comments = event_new(call->server->loop, -1, EV_PERSIST, on_comment, s);
        if (s->comments == NULL || event_add(s->comments, &every) < 0) {
            if (s->comments != NULL)
                event_free(s->comments);
            free(s);
            return NULL;
        }
    }
    cf_reader_open(&s->reader, journal, spec->exec, spec->stream, spec->since, s->form->json && spec->encoding == CF_ENCODING_TEXT);
    cf_journal_watch(journal, &s->watch);
    if (spec->holds)
        cf_reader_hold(&s->reader, on_overtaken, s);
    return s;
}

void cf_stream_answer(struct cf_call *call, struct cf_journal *journal, const struct cf_stream_spec *spec)
{
    static const struct cf_body_source source = { .next = on_next, .done = on_done };
    struct stream *s = new_stream(call, journal, spec);
    struct cf_body *body = NULL;
    if (s == NULL) {
        cf_call_fail_code(call, CF_E_NO_MEMORY, NULL, "out of memory for the stream");
        return;
    }
    const char *type = s->form->type;
    cf_call_stream(call, type, &source, s, &body);
    if (body != NULL)
        s->body = body;
}
