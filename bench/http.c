#include "bench/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_MAX 16384
#define REPLY_MAX (64u << 20)

static int complain(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    return -1;
}

int http_open(struct http *h, int port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    memset(h, 0, sizeof *h);
    h->port = port;
    h->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (h->fd < 0)
        return complain("socket");
    if (connect(h->fd, (struct sockaddr *)&to, sizeof to) != 0) {
        complain("connect");
        http_close(h);
        return -1;
    }
    setsockopt(h->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return 0;
}

void http_close(struct http *h)
{
    if (h->fd > 0)
        close(h->fd);
    free(h->data);
    memset(h, 0, sizeof *h);
}

size_t http_request(char *buf, size_t size, int port, const char *method, const char *path, const char *headers,
                    const char *body)
{
    int len = snprintf(buf, size,
                       "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n%s"
                       "Content-Length: %zu\r\n\r\n%s",
                       method, path, port, headers == NULL ? "" : headers, body == NULL ? 0 : strlen(body),
                       body == NULL ? "" : body);
    return len < 0 || (size_t)len >= size ? 0 : (size_t)len;
}

int http_send(struct http *h, const char *method, const char *path, const char *headers, const char *body)
{
    char request[REQUEST_MAX];
    size_t len = http_request(request, sizeof request, h->port, method, path, headers, body);
    if (len == 0) {
        errno = EMSGSIZE;
        return complain("request");
    }
    for (size_t done = 0; done < len;) {
        ssize_t n = send(h->fd, request + done, len - done, MSG_NOSIGNAL);
        if (n < 0)
            return complain("send");
        done += (size_t)n;
    }
    h->len = 0;
    return 0;
}

size_t http_parse(const char *data, size_t len, struct reply *ret_reply)
{
    const char *end = len == 0 ? NULL : memmem(data, len, "\r\n\r\n", 4);
    if (end == NULL)
        return 0;
    size_t head = (size_t)(end - data) + 4, body = 0;
    for (const char *line = data; line < end; line = strchr(line, '\n') + 1)
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            body = strtoul(line + 15, NULL, 10);
    if (len < head + body)
        return 0;
    ret_reply->status = (int)strtol(data + 9, NULL, 10);
    ret_reply->body = data + head;
    ret_reply->body_len = body;
    return head + body;
}

static int grow(struct http *h)
{
    if (h->cap - h->len > 65536)
        return 0;
    size_t cap = h->cap == 0 ? 1u << 17 : h->cap * 2;
    char *data = cap > REPLY_MAX ? NULL : realloc(h->data, cap);
    if (data == NULL) {
        errno = ENOMEM;
        return complain("reply");
    }
    h->data = data;
    h->cap = cap;
    return 0;
}

/* Waits for more of the reply. */
static int receive_some(struct http *h)
{
    ssize_t n;
    if (grow(h) != 0)
        return -1;
    do
        n = recv(h->fd, h->data + h->len, h->cap - h->len - 1, 0);
    while (n < 0 && errno == EINTR);
    if (n <= 0) {
        errno = n == 0 ? ECONNRESET : errno;
        return complain("reply");
    }
    h->len += (size_t)n;
    h->data[h->len] = '\0';
    return 0;
}

int http_receive(struct http *h, struct reply *ret_reply)
{
    while (receive_some(h) == 0)
        if (http_parse(h->data, h->len, ret_reply) > 0)
            return 0;
    return -1;
}

int http_receive_head(struct http *h, int *ret_status, size_t *ret_at)
{
    const char *end = NULL;
    while (end == NULL) {
        if (receive_some(h) != 0)
            return -1;
        end = memmem(h->data, h->len, "\r\n\r\n", 4);
    }
    *ret_status = (int)strtol(h->data + 9, NULL, 10);
    *ret_at = (size_t)(end - h->data) + 4;
    return 0;
}

int http_ask(struct http *h, const char *method, const char *path, const char *body, struct reply *ret_reply)
{
    return http_send(h, method, path, NULL, body) != 0 ? -1 : http_receive(h, ret_reply);
}

int http_must(struct http *h, const char *method, const char *path, const char *body, struct reply *ret_reply)
{
    if (http_ask(h, method, path, body, ret_reply) != 0)
        return -1;
    if (ret_reply->status / 100 == 2)
        return 0;
    fprintf(stderr, "bench: %s %s answered %d: %.300s\n", method, path, ret_reply->status, ret_reply->body);
    return -1;
}

static int create(struct http *h, const char *body, char *ret_id, size_t size)
{
    struct reply reply;
    if (http_must(h, "POST", "/v1/sessions", body, &reply) != 0)
        return -1;
    static const char key[] = "\"session_id\":\"";
    const char *at = strstr(reply.body, key);
    size_t len = at == NULL ? 0 : strcspn(at + sizeof key - 1, "\"");
    if (len == 0 || len >= size) {
        fprintf(stderr, "bench: no session_id in %.300s\n", reply.body);
        return -1;
    }
    memcpy(ret_id, at + sizeof key - 1, len);
    ret_id[len] = '\0';
    return 0;
}

int http_create(struct http *h, const char *workspace, char *ret_id, size_t size)
{
    char body[256];
    snprintf(body, sizeof body, "{\"workspace\":\"%s\"}", workspace);
    return create(h, body, ret_id, size);
}

int http_create_terminal(struct http *h, const char *workspace, char *ret_id, size_t size)
{
    char body[256];
    snprintf(body, sizeof body, "{\"workspace\":\"%s\",\"terminal\":{\"cols\":80,\"rows\":24}}", workspace);
    return create(h, body, ret_id, size);
}

/* The commands of this program hold no quotes and no backslashes. */
size_t http_exec_body(char *buf, size_t size, const char *command)
{
    int len = snprintf(buf, size, "{\"command\":\"%s\",\"timeout\":60}", command);
    return len < 0 || (size_t)len >= size ? 0 : (size_t)len;
}

int http_detach(struct http *h, const char *id, const char *command, bool input, long *ret_exec)
{
    char path[256], body[REQUEST_MAX / 2];
    struct reply reply;
    snprintf(path, sizeof path, "/v1/sessions/%s/exec", id);
    snprintf(body, sizeof body, "{\"command\":\"%s\",\"detach\":true,\"input\":%s}", command, input ? "true" : "false");
    if (http_must(h, "POST", path, body, &reply) != 0)
        return -1;
    static const char key[] = "\"exec\":";
    const char *at = strstr(reply.body, key);
    *ret_exec = at == NULL ? 0 : strtol(at + sizeof key - 1, NULL, 10);
    if (*ret_exec > 0)
        return 0;
    fprintf(stderr, "bench: no exec in %.300s\n", reply.body);
    return -1;
}

int http_exec(struct http *h, const char *id, const char *command, struct reply *ret_reply)
{
    char path[256], body[REQUEST_MAX / 2];
    snprintf(path, sizeof path, "/v1/sessions/%s/exec", id);
    if (http_exec_body(body, sizeof body, command) == 0)
        return -1;
    if (http_must(h, "POST", path, body, ret_reply) != 0)
        return -1;
    if (strstr(ret_reply->body, "\"exit_code\":0") != NULL)
        return 0;
    fprintf(stderr, "bench: %s: %.300s\n", command, ret_reply->body);
    return -1;
}

int http_end(struct http *h, const char *id)
{
    char path[256];
    struct reply reply;
    snprintf(path, sizeof path, "/v1/sessions/%s?grace=0", id);
    return http_must(h, "DELETE", path, NULL, &reply);
}
