/* exec_json.h: commands and what they printed, as the API shows them. */
#ifndef CURFEW_SERVER_EXEC_JSON_H
#define CURFEW_SERVER_EXEC_JSON_H

#include "base/jsonw.h"
#include "server/journal.h"

/* How bytes become JSON: as text, in which what is not UTF-8 is U+FFFD, or as base64. */
enum cf_encoding { CF_ENCODING_TEXT, CF_ENCODING_BASE64 };

/* "stdout", "stderr", "terminal". */
const char *cf_stream_name(enum cf_stream stream);
/* False when there is no stream of that name. */
bool cf_stream_named(const char *name, enum cf_stream *ret_stream);

/* The members that describe a command, into an object that is open. */
void cf_exec_json(const struct cf_exec *exec, int64_t now_mono_ns, struct cf_jsonw *w);
/* The members that tell how it went; it has ended. */
void cf_exec_result_json(const struct cf_exec *exec, struct cf_jsonw *w);
/* A piece as an object: `offset` is that of its first byte for who asked. */
void cf_piece_json(const struct cf_piece *piece, uint64_t offset, const char *bytes, size_t len, enum cf_encoding encoding,
                   bool of_session, struct cf_jsonw *w);
/* Bytes that were wanted and are gone; `offset` is that of the first of them. */
void cf_gap_json(uint64_t offset, uint64_t bytes, struct cf_jsonw *w);

/* Bytes of base64; NULL and errno EINVAL or ENOMEM.  Owned, with a NUL behind them. */
char *cf_base64_decode(const char *text, size_t len, size_t *ret_len);

#endif
