/* stream.h: reads an answer that comes in chunks for as long as it lasts, and counts instead of keeping. */
#ifndef CURFEW_BENCH_STREAM_H
#define CURFEW_BENCH_STREAM_H

#include "bench/http.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct stream {
    struct http *http;              /* borrowed */
    bool frames;                    /* application/vnd.curfew.frames, else application/octet-stream */
    uint64_t bytes;                 /* of output, so far */
    uint64_t lost;                  /* as the gaps say */
    char result[1024];              /* of frames: the result's JSON, cut */
    /* The decoder's: */
    int chunk_state;
    uint64_t chunk_left;
    unsigned char header[16];
    size_t header_len, result_len;
    uint64_t frame_left;
};

/* Sends the request and waits for the headers of its answer.  0, or -1 after telling why. */
int stream_open(struct stream *s, struct http *h, bool frames, const char *method, const char *path, const char *body);
/* Reads to the end, in pieces of `size` bytes.  0, or -1 after telling why: cut, malformed, or with gaps. */
int stream_drain(struct stream *s, char *piece, size_t size);

#endif
