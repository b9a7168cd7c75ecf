/* stream.h: a session's output as an answer that is written as it comes, in one of four forms. */
#ifndef CURFEW_SERVER_STREAM_H
#define CURFEW_SERVER_STREAM_H

#include "server/call.h"
#include "server/exec_json.h"
#include "server/reader.h"

struct cf_stream_spec {
    struct cf_exec *exec;               /* NULL: the whole session */
    const enum cf_stream *stream;       /* NULL: all */
    uint64_t since;
    uint64_t limit;                     /* bytes; UINT64_MAX: none */
    bool follow;                        /* until the command or the session ends, else what is there now */
    bool holds;                         /* who prints waits for it */
    enum cf_encoding encoding;          /* of the forms in JSON */
};

/* Answers `call` in the form that it accepts.  The call is gone afterwards. */
void cf_stream_answer(struct cf_call *call, struct cf_journal *journal, const struct cf_stream_spec *spec);

#endif
