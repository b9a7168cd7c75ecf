/* capture.h: what one stream printed, kept up to a bound: the first half and the last half of it. */
#ifndef CURFEW_SERVER_CAPTURE_H
#define CURFEW_SERVER_CAPTURE_H

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct cf_capture {
    size_t max_bytes;       /* of head and tail together */
    uint64_t total_bytes;   /* that the stream printed */
    char *head;             /* grows by need up to half of max_bytes */
    size_t head_len, head_cap;
    char *tail;             /* ring of the other half, allocated when the head is full */
    size_t tail_len, tail_at;
    bool lost;              /* memory ran out: bytes were counted but not kept */
};

void cf_capture_init(struct cf_capture *c, size_t max_bytes);
void cf_capture_free(struct cf_capture *c);             /* and leaves it as after init */
void cf_capture_add(struct cf_capture *c, const char *data, size_t len);
/* Whether bytes between head and tail, or all of some chunk, were dropped. */
bool cf_capture_cut(const struct cf_capture *c);
/* Appends head and tail; where bytes were dropped, a line between them says how many. */
void cf_capture_text(const struct cf_capture *c, struct cf_buf *out);
/* Appends the last `max` bytes that are kept. */
void cf_capture_last(const struct cf_capture *c, size_t max, struct cf_buf *out);

#endif
