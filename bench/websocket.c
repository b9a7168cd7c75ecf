#include "bench/websocket.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
#define FINAL 0x80
#define MASKED 0x80
#define SHORT_MAX 125

int websocket_open(struct websocket *w, const char *path)
{
    struct http *h = w->http;
    int status;
    /* The key is that of the RFC's example; nobody but a browser has a use for a random one. */
    if (http_send(h, "GET", path,
                  "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", NULL) != 0 ||
        http_receive_head(h, &status, &w->given) != 0)
        return -1;
    if (status == 101 && strstr(h->data, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != NULL)
        return 0;
    fprintf(stderr, "bench: GET %s does not become a WebSocket: %.300s\n", path, h->data);
    return -1;
}

static int send_frame(const struct websocket *w, int type, const char *data, size_t len)
{
    static const unsigned char mask[4] = {0x5a, 0xc3, 0x17, 0x88};
    unsigned char frame[6 + SHORT_MAX] = {(unsigned char)(FINAL | type), (unsigned char)(MASKED | len)};
    if (len > SHORT_MAX)
        return -1;
    memcpy(frame + 2, mask, sizeof mask);
    for (size_t i = 0; i < len; i++)
        frame[6 + i] = (unsigned char)data[i] ^ mask[i % 4];
    if (send(w->http->fd, frame, 6 + len, MSG_NOSIGNAL) == (ssize_t)(6 + len))
        return 0;
    fprintf(stderr, "bench: a WebSocket does not take a key: %s\n", strerror(errno));
    return -1;
}

int websocket_send(struct websocket *w, const char *data, size_t len)
{
    return send_frame(w, BINARY, data, len);
}

/* The first frame of what is there; its length, 0 when it is not complete. */
static size_t parse(const char *data, size_t len, int *ret_type, struct message *ret)
{
    const unsigned char *at = (const unsigned char *)data;
    size_t head = len < 2 ? 2 : at[1] < 126 ? 2 : at[1] == 126 ? 4 : 10;
    if (len < head)
        return 0;
    uint64_t payload = head == 2 ? at[1] : 0;
    for (size_t i = 2; i < head; i++)
        payload = payload << 8 | at[i];
    if (len - head < payload)
        return 0;
    *ret_type = at[0] & 15;
    *ret = (struct message){*ret_type == BINARY, data + head, (size_t)payload};
    return head + (size_t)payload;
}

/* Moves what is left to the front and waits for more. */
static int receive_more(struct websocket *w)
{
    struct http *h = w->http;
    memmove(h->data, h->data + w->given, h->len -= w->given);
    w->given = 0;
    ssize_t n = h->len + 1 < h->cap ? recv(h->fd, h->data + h->len, h->cap - 1 - h->len, 0) : 0;
    if (n > 0) {
        h->len += (size_t)n;
        return 0;
    }
    fprintf(stderr, "bench: a WebSocket ended%s\n", n == 0 ? " or sends too much at once" : "");
    return -1;
}

int websocket_receive(struct websocket *w, struct message *ret_message)
{
    for (;;) {
        int type = 0;
        size_t len = parse(w->http->data + w->given, w->http->len - w->given, &type, ret_message);
        w->given += len;
        if (len > 0 && (type == TEXT || type == BINARY))
            return 0;
        if (len > 0 && type == CLOSE) {
            int reason_len = ret_message->len > 2 ? (int)ret_message->len - 2 : 0;
            fprintf(stderr, "bench: a WebSocket was closed: %.*s\n", reason_len, ret_message->data + 2);
            return -1;
        }
        if (len > 0 && type == PING && send_frame(w, PONG, ret_message->data, ret_message->len) != 0)
            return -1;
        if (len == 0 && receive_more(w) != 0)
            return -1;
    }
}
