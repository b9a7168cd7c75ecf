/* call.h: one request as a handler sees it: never HTTP.
 *
 * The edge (http.c) reads a request, decides who sent it and which row of operations.def it is, checks
 * its parameters against the PARAM rows, and hands a call to the row's handler.  A handler answers at
 * once or later, exactly once, with cf_call_reply or cf_call_fail. */
#ifndef CURFEW_SERVER_CALL_H
#define CURFEW_SERVER_CALL_H

#include "base/clock.h"
#include "base/error.h"
#include "base/jsonw.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

enum cf_operation {
#define OPERATION(name, ...) CF_OP_##name,
#include "tables/operations.def"
#undef OPERATION
    CF_OPERATIONS
};

/* What an Accept header asks for; the table of types is in head.c. */
enum cf_accept {
    CF_ACCEPT_JSON,                     /* also without the header, and when nothing in it is known */
    CF_ACCEPT_NDJSON,
    CF_ACCEPT_SSE,
    CF_ACCEPT_FRAMES,
    CF_ACCEPT_RAW,
    CF_ACCEPT_NONE,                     /* never in a call */
};

#define CF_CALL_HEADERS 4               /* that a handler may add to an answer */

struct cf_server;

/* Owned by the edge until it is answered; the edge frees it then.  One that is not answered when the edge stops stays
 * valid: its client was told 503, and answering it (still required) only frees it. */
struct cf_call {
    struct cf_server *server;
    enum cf_operation operation;
    struct cf_now now;                  /* when the request was complete */
    char id[128];                       /* the {id} of the path, "" without one; only bytes of [A-Za-z0-9._-] */
    uint32_t number;                    /* the {n} of the path, 0 without one */
    json_t *params;                     /* an object with only known, checked parameters; borrowed */
    enum cf_accept accept;
    bool has_last_event;
    uint64_t last_event;                /* Last-Event-ID, when it is a plain number */
    const char *raw;                    /* a body that is no JSON, of an operation in RAW_BODY; NULL: none; borrowed */
    size_t raw_len;                     /* bytes */
    struct cf_buf body;                 /* scratch of the reply; cf_call_data starts it */
    struct cf_jsonw json;
    const char *type;                   /* of a reply that is not JSON; NULL: it is */
    struct {
        const char *name;
        char value[64];
    } headers[CF_CALL_HEADERS];         /* of the answer, beside the edge's own */
    unsigned header_count;
    bool answered;
    bool abandoned;                     /* the client went away; answering is still required and frees the call */
    void *edge;                         /* the edge's own */
};

typedef void cf_handler(struct cf_call *call);
/* One function a row, named cf_calls_NAME, in calls_*.c. */
#define OPERATION(name, ...) cf_handler cf_calls_##name;
#include "tables/operations.def"
#undef OPERATION

/* Parameters that were validated already.  Durations come back in nanoseconds. */
const char *cf_call_text(const struct cf_call *call, const char *name, const char *fallback);
int64_t cf_call_duration_ns(const struct cf_call *call, const char *name, int64_t fallback_ns);
bool cf_call_bool(const struct cf_call *call, const char *name, bool fallback);
int64_t cf_call_int(const struct cf_call *call, const char *name, int64_t fallback);
/* A SCREEN; false, and both untouched, when it was not given. */
bool cf_call_screen(const struct cf_call *call, const char *name, unsigned *ret_cols, unsigned *ret_rows);
bool cf_call_has(const struct cf_call *call, const char *name);

#define CF_CALLER_MAX 96
/* Who sent it, for the record: "uid 1000 (socket)", "uid 1000 (tcp)", "token (tcp)". */
const char *cf_call_caller(const struct cf_call *call, char ret[CF_CALLER_MAX]);

/* Starts a success reply: writes {"status":"success","data": and returns the writer, in which the caller then writes
 * exactly one value with key NULL. */
struct cf_jsonw *cf_call_data(struct cf_call *call);
/* The same with "session_id" beside "status", where a seed document's client looks for it. */
struct cf_jsonw *cf_call_data_of(struct cf_call *call, const char *session_id);
/* Starts a success reply of another type, such as "text/plain", into the buffer that it returns. */
struct cf_buf *cf_call_plain(struct cf_call *call, const char *type);
/* Adds a header to the answer, at most CF_CALL_HEADERS of up to 63 bytes; `name` must stay (a literal).  An error
 * answer goes without them. */
void cf_call_header(struct cf_call *call, const char *name, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* Sends what cf_call_data or cf_call_plain began, with `http_status` (200, 201).  The call is gone afterwards. */
void cf_call_reply(struct cf_call *call, int http_status);
/* Sends {"status":"error","error":{"code","message","field"…}} with the code's HTTP status.  When `tombstone` is
 * not NULL it is a JSON object that is added as error.session.  The call is gone afterwards. */
void cf_call_fail(struct cf_call *call, const struct cf_error *error, const struct cf_buf *tombstone);
void cf_call_fail_code(struct cf_call *call, int code, const char *field, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

#endif
