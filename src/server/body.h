/* body.h: an answer that is written as it comes.
 *
 * libmicrohttpd sends the headers and the last chunk; what lies between goes from its source straight to the socket,
 * since its own way moves some 4 KB a call through the connection's pool.  To clients of HTTP/1.0 the body is sent
 * without chunks, and its end is that of the connection. */
#ifndef CURFEW_SERVER_BODY_H
#define CURFEW_SERVER_BODY_H

#include "base/buf.h"
#include "server/call.h"

#include <stdbool.h>
#include <stddef.h>

/* Of one part's head; a longer one is as ABORT. */
#define CF_BODY_HEAD_MAX (4u << 20)
/* Written for one client in one turn of the loop, about; then the others have theirs. */
#define CF_BODY_TURN_BYTES (256u << 10)

struct cf_body;

enum cf_body_step {
    CF_BODY_MORE,                       /* the part is filled */
    CF_BODY_WAIT,                       /* nothing now; cf_body_wake follows */
    CF_BODY_END,                        /* that was all */
    CF_BODY_ABORT,                      /* cut the connection, so that the client sees that it is not complete */
};

/* Becomes one chunk: head, then data.  An empty one is skipped. */
struct cf_body_part {
    struct cf_buf head;                 /* empty when `next` is called */
    const char *data;                   /* borrowed until the next call of `next` or `done` */
    size_t len;
};

struct cf_body_source {
    /* Called when the socket takes more and everything before was handed to the kernel.  Not called again after END
     * or ABORT. */
    enum cf_body_step (*next)(void *arg, struct cf_body_part *part);
    /* The last call, exactly once; frees `arg`.  `complete`: the kernel has all of it; otherwise the client went away,
     * took nothing for stream_stall_timeout, or was cut.  The body is gone afterwards. */
    void (*done)(void *arg, bool complete);
};

/* Answers `call` with 200 and a body of this media type, with the headers of cf_call_header.  The call is gone
 * afterwards.  `*ret_body` (`ret_body` may be NULL) is for cf_body_wake until `done`; NULL when the answer has failed at
 * once and `done` was called already.  To HEAD the headers are answered, `next` is never called, and the
 * connection ends. */
void cf_call_stream(struct cf_call *call, const char *type, const struct cf_body_source *source, void *arg,
                    struct cf_body **ret_body);
/* Copies what is still lent of the part in hand: its place is about to be used for something else.  Without memory for that the client is cut. */
void cf_body_keep(struct cf_body *body);
/* The source may have more.  Cheap; from anywhere in the loop but `next`; the work runs in the loop, later. */
void cf_body_wake(struct cf_body *body);

#endif
