/* calls_output.c: what was run and what it printed: the list, one command, the output from an offset on. */
#include "server/archive.h"
#include "server/calls.h"
#include "server/exec_json.h"
#include "server/sessions.h"
#include "server/stream.h"
#include "server/wait.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of output in one answer in JSON, unless told otherwise. */
#define LIMIT_BYTES (64u << 10)
/* Records in one answer. */
#define EXECS_MAX 1000

/* A request for output, while it waits. */
struct ask {
    struct cf_call *call;
    struct cf_reader reader;            /* of answers in JSON, and to see whether there is anything */
    struct cf_stream_spec spec;
    enum cf_stream stream;
    bool of_exec;                       /* the answer describes the command as well */
};

/* The journal of the session that the path names, also when that has ended; or an answer, and NULL. */
static struct cf_journal *find_journal(struct cf_call *call)
{
    struct cf_server *server = call->server;
    const struct cf_tomb *tomb = NULL;
    struct cf_error error;
    struct cf_journal *journal = NULL;
    cf_handle handle;
    int code = cf_sessions_find(server->sessions, call->id, call->now, &handle, &tomb, &error);
    if (code == 0 && (journal = cf_sessions_journal(server->sessions, handle)) == NULL)
        cf_error_set(&error, CF_E_NOT_READY, NULL, "the session is starting");
    if (code == CF_E_GONE)
        journal = cf_archive_find(server->archive, call->id);
    if (journal == NULL)
        cf_calls_fail(call, &error, tomb);
    else
        cf_journal_prune(journal, call->now.mono_ns);
    return journal;
}

void cf_calls_execs(struct cf_call *call)
{
    struct cf_journal *journal = find_journal(call);
    if (journal == NULL)
        return;
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_array(w, "execs");
    int64_t since = cf_call_int(call, "since", 0), left = cf_call_int(call, "limit", EXECS_MAX);
    const struct cf_exec *e = cf_journal_next(journal, NULL);
    for (; e != NULL && left > 0; e = cf_journal_next(journal, e)) {
        if (e->number < since)
            continue;
        cf_jsonw_object(w, NULL);
        cf_exec_json(e, call->now.mono_ns, w);
        cf_jsonw_object_end(w);
        left--;
    }
    cf_jsonw_array_end(w);
    cf_jsonw_bool(w, "more", e != NULL);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}

/* ---- answers in JSON ---- */

/* Writes pieces until the limit, and what comes after them.  The limit is passed by a character only when that is all there is. */
static void write_output(struct ask *a, struct cf_jsonw *w)
{
    struct cf_piece piece;
    const char *bytes;
    size_t len;
    uint64_t gap, left = a->spec.limit;
    enum cf_next next = CF_NEXT_NONE;
    cf_jsonw_array(w, "output");
    bool full = false;
    while (!full && !w->out->failed) {
        next = cf_reader_next(&a->reader, (size_t)left, &piece, &bytes, &len, &gap);
        uint64_t offset = cf_reader_offset(&a->reader);
        if (next == CF_NEXT_NONE)
            break;
        if (next == CF_NEXT_GAP) {
            cf_gap_json(offset - gap, gap, w);
            continue;
        }
        if (len <= left || left == a->spec.limit) {
            cf_piece_json(&piece, offset, bytes, len, a->spec.encoding, a->spec.exec == NULL, w);
            cf_reader_take(&a->reader, &piece, len);
        }
        full = len >= left;
        left -= full ? left : len;
    }
    cf_jsonw_array_end(w);
    cf_jsonw_int(w, "next", (int64_t)cf_reader_offset(&a->reader));
    cf_jsonw_bool(w, "more", full && cf_reader_next(&a->reader, 5, &piece, &bytes, &len, &gap) != CF_NEXT_NONE);
}

static void answer_json(struct ask *a)
{
    struct cf_jsonw *w = cf_call_data(a->call);
    cf_jsonw_object(w, NULL);
    if (a->of_exec)
        cf_exec_json(a->spec.exec, cf_clock_now().mono_ns, w);
    write_output(a, w);
    cf_jsonw_object_end(w);
    cf_call_reply(a->call, 200);
}

/* The bytes as they are; what comes before the first that is kept shows in the header. What is there now has an end that is known, however much is
 * printed meanwhile. */
static void answer_raw(struct ask *a)
{
    struct cf_journal *journal = a->reader.journal;
    struct cf_piece piece;
    const char *bytes;
    size_t len;
    uint64_t gap;
    while (cf_reader_next(&a->reader, 5, &piece, &bytes, &len, &gap) == CF_NEXT_GAP)
        a->spec.since = cf_reader_offset(&a->reader);
    a->spec.holds = a->spec.exec != NULL || !a->spec.follow;    /* what is only read to its end now must not lose its middle */
    cf_call_header(a->call, "X-Curfew-Offset", "%llu", (unsigned long long)a->spec.since);
    if (!a->spec.follow) {
        uint64_t end = cf_reader_end(&a->reader), there = end > a->spec.since ? end - a->spec.since : 0;
        if (there < a->spec.limit)
            a->spec.limit = there;
        cf_call_header(a->call, "X-Curfew-Next", "%llu", (unsigned long long)(a->spec.since + a->spec.limit));
    }
    cf_stream_answer(a->call, journal, &a->spec);
}

static bool look(void *arg, bool last)
{
    struct ask *a = arg;
    struct cf_piece piece;
    const char *bytes;
    size_t len;
    uint64_t gap;
    struct cf_cursor before = a->reader.cursor;
    bool any = cf_reader_next(&a->reader, 5, &piece, &bytes, &len, &gap) != CF_NEXT_NONE;
    a->reader.cursor = before;          /* a gap that was seen is told in the answer */
    if (!any && !last && !cf_reader_over(&a->reader) && !a->call->abandoned)
        return false;
    if (a->call->accept == CF_ACCEPT_RAW)
        answer_raw(a);
    else
        answer_json(a);
    cf_reader_close(&a->reader);
    free(a);
    return true;
}

/* ---- what was asked ---- */

static int read_encoding(const struct cf_call *call, enum cf_encoding *ret, struct cf_error *error)
{
    const char *name = cf_call_text(call, "encoding", "text");
    *ret = strcmp(name, "base64") == 0 ? CF_ENCODING_BASE64 : CF_ENCODING_TEXT;
    if (*ret == CF_ENCODING_TEXT && strcmp(name, "text") != 0)
        return cf_error_set(error, CF_E_INVALID, "encoding", "\"encoding\" must be text or base64");
    return 0;
}

static int find_exec(struct cf_journal *journal, uint32_t number, struct cf_exec **ret, struct cf_error *error)
{
    *ret = cf_journal_find(journal, number);
    if (*ret != NULL)
        return 0;
    return cf_error_set(error, CF_E_NOT_FOUND, "exec", "there is no command %u in this session, or its record is not kept any more", number);
}

/* Everything but the session. */
static int read_ask(struct ask *a, struct cf_journal *journal, struct cf_error *error)
{
    struct cf_call *call = a->call;
    const char *stream = cf_call_text(call, "stream", NULL);
    uint32_t number = a->of_exec ? call->number : (uint32_t)cf_call_int(call, "exec", 0);
    int64_t max = call->server->settings.max_output_bytes, least = LIMIT_BYTES < max ? LIMIT_BYTES : max;
    int code = read_encoding(call, &a->spec.encoding, error);
    if (code == 0 && number != 0)
        code = find_exec(journal, number, &a->spec.exec, error);
    if (code != 0)
        return code;
    bool program = cf_journal_of_program(journal);
    if (stream != NULL && (!cf_stream_named(stream, &a->stream) || (a->stream == CF_STREAM_TERMINAL) != (number == 0 && !program)))
        return cf_error_set(error, CF_E_INVALID, "stream", program ? "\"stream\" must be stdout or stderr"
                            : "\"stream\" must be stdout or stderr, with \"exec\", or terminal, without it");
    a->spec.stream = stream != NULL ? &a->stream : NULL;
    a->spec.since = (uint64_t)cf_call_int(call, "since", 0);
    if (call->accept == CF_ACCEPT_SSE && call->has_last_event)
        a->spec.since = call->last_event;
    a->spec.follow = cf_call_bool(call, "follow", false);
    bool page = call->accept == CF_ACCEPT_JSON && !a->spec.follow;
    if (!page && call->accept != CF_ACCEPT_RAW && cf_call_has(call, "wait"))
        return cf_error_set(error, CF_E_INVALID, "wait", "\"wait\" is for answers that come at once, not for streams");
    a->spec.limit = !page && !cf_call_has(call, "limit") ? UINT64_MAX : (uint64_t)cf_call_int(call, "limit", least);
    if (page && a->spec.limit > (uint64_t)max)
        return cf_error_set(error, CF_E_INVALID, "limit", "\"limit\" must be 1 to %lld, which is max_output_bytes", (long long)max);
    return 0;
}

static void answer_output(struct cf_call *call, bool of_exec)
{
    struct cf_journal *journal = find_journal(call);
    struct cf_error error;
    int code = 0;
    if (journal == NULL)
        return;
    struct ask *a = calloc(1, sizeof *a);
    if (a == NULL)
        code = cf_error_set(&error, CF_E_NO_MEMORY, NULL, "out of memory");
    else {
        a->call = call;
        a->of_exec = of_exec;
        code = read_ask(a, journal, &error);
    }
    if (code != 0) {
        free(a);
        cf_calls_fail(call, &error, NULL);
        return;
    }
    if (call->accept != CF_ACCEPT_RAW && (call->accept != CF_ACCEPT_JSON || a->spec.follow)) {
        a->spec.follow = true;
        a->spec.holds = a->spec.exec != NULL;
        cf_stream_answer(call, journal, &a->spec);
        free(a);
        return;
    }
    cf_reader_open(&a->reader, journal, a->spec.exec, a->spec.stream, a->spec.since, call->accept == CF_ACCEPT_JSON && a->spec.encoding == CF_ENCODING_TEXT);
    if (cf_wait(call->server->loop, journal, cf_call_duration_ns(call, "wait", 0), look, a) == 0)
        return;
    cf_reader_close(&a->reader);
    free(a);
    cf_call_fail_code(call, CF_E_NO_MEMORY, NULL, "out of memory");
}

void cf_calls_exec_show(struct cf_call *call)
{
    answer_output(call, true);
}

void cf_calls_output(struct cf_call *call)
{
    answer_output(call, false);
}
