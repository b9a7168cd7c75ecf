#include "bench/stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END, CHUNK_TRAILER, CHUNK_OVER, CHUNK_BAD };
enum { FRAME_STDOUT = 1, FRAME_STDERR, FRAME_TERMINAL, FRAME_GAP, FRAME_RESULT, FRAME_ERROR, FRAME_START };

static uint64_t big(const unsigned char *at, int bytes)
{
    uint64_t value = 0;
    while (bytes-- > 0)
        value = value << 8 | *at++;
    return value;
}

static void keep(struct stream *s, const char *data, size_t len)
{
    size_t room = sizeof s->result - 1 - s->result_len;
    memcpy(s->result + s->result_len, data, len < room ? len : room);
    s->result_len += len < room ? len : room;
    s->result[s->result_len] = '\0';
}

/* One piece of a frame's payload. */
static void take_payload(struct stream *s, const char *data, size_t len)
{
    int type = s->header[0];
    if (type <= FRAME_TERMINAL)
        s->bytes += len;
    else if (type == FRAME_RESULT || type == FRAME_ERROR)
        keep(s, data, len);
    else if (type == FRAME_GAP)
        s->lost++;
}

static void take_frames(struct stream *s, const char *data, size_t len)
{
    while (len > 0) {
        size_t part;
        if (s->header_len < sizeof s->header) {
            part = sizeof s->header - s->header_len < len ? sizeof s->header - s->header_len : len;
            memcpy(s->header + s->header_len, data, part);
            s->header_len += part;
            s->frame_left = s->header_len == sizeof s->header ? big(s->header + 4, 4) : 0;
        } else {
            part = s->frame_left < len ? (size_t)s->frame_left : len;
            take_payload(s, data, part);
            s->frame_left -= part;
        }
        if (s->header_len == sizeof s->header && s->frame_left == 0)
            s->header_len = 0;
        data += part;
        len -= part;
    }
}

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c == '\0' ? NULL : strchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c);
    return at == NULL ? -1 : (int)(at - digits);
}

/* One byte of what stands between chunks. */
static int next_state(struct stream *s, char c)
{
    switch (s->chunk_state) {
    case CHUNK_SIZE:
        if (digit(c) >= 0) {
            s->chunk_left = s->chunk_left * 16 + (uint64_t)digit(c);
            return CHUNK_SIZE;
        }
        return c == '\r' || c == ';' ? CHUNK_EXTENSION : CHUNK_BAD;
    case CHUNK_EXTENSION:
        return c != '\n' ? CHUNK_EXTENSION : s->chunk_left > 0 ? CHUNK_DATA : CHUNK_TRAILER;
    case CHUNK_END:
        return c == '\r' ? CHUNK_END : c == '\n' ? CHUNK_SIZE : CHUNK_BAD;
    case CHUNK_TRAILER:
        return c == '\r' ? CHUNK_TRAILER : c == '\n' ? CHUNK_OVER : CHUNK_BAD;
    default:
        return CHUNK_BAD;
    }
}

static void take_chunks(struct stream *s, const char *data, size_t len)
{
    while (len > 0 && s->chunk_state < CHUNK_BAD) {
        size_t part = 1;
        if (s->chunk_state != CHUNK_DATA) {
            s->chunk_state = next_state(s, *data);
        } else {
            part = s->chunk_left < len ? (size_t)s->chunk_left : len;
            if (s->frames)
                take_frames(s, data, part);
            else
                s->bytes += part;
            s->chunk_left -= part;
            s->chunk_state = s->chunk_left == 0 ? CHUNK_END : CHUNK_DATA;
        }
        data += part;
        len -= part;
    }
}

int stream_open(struct stream *s, struct http *h, bool frames, const char *method, const char *path, const char *body)
{
    const char *accept = frames ? "Accept: application/vnd.curfew.frames\r\n" : "Accept: application/octet-stream\r\n";
    size_t at;
    int status;
    *s = (struct stream){.http = h, .frames = frames};
    if (http_send(h, method, path, accept, body) != 0 || http_receive_head(h, &status, &at) != 0)
        return -1;
    if (status != 200 || strcasestr(h->data, "\r\nTransfer-Encoding: chunked\r\n") == NULL) {
        fprintf(stderr, "bench: %s %s is not answered by a stream: %.300s\n", method, path, h->data);
        return -1;
    }
    take_chunks(s, h->data + at, h->len - at);
    h->len = 0;
    return 0;
}

int stream_drain(struct stream *s, char *piece, size_t size)
{
    while (s->chunk_state < CHUNK_OVER) {
        ssize_t n = recv(s->http->fd, piece, size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            fprintf(stderr, "bench: a stream was cut after %llu bytes\n", (unsigned long long)s->bytes);
            return -1;
        }
        take_chunks(s, piece, (size_t)n);
    }
    if (s->chunk_state == CHUNK_OVER && s->lost == 0)
        return 0;
    fprintf(stderr, "bench: a stream is malformed or has gaps, after %llu bytes\n", (unsigned long long)s->bytes);
    return -1;
}
