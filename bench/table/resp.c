#include "bench/table/resp.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BUFFER_BYTES (1u << 20)         /* a batch of requests, or the longest reply, with room to spare */
#define REQUEST_BYTES 1024

int resp_open(struct resp *resp, const char *socket_path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    snprintf(to.sun_path, sizeof to.sun_path, "%s", socket_path);
    memset(resp, 0, sizeof *resp);
    resp->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (resp->fd < 0 || connect(resp->fd, (struct sockaddr *)&to, sizeof to) != 0) {
        close(resp->fd);
        resp->fd = -1;
        return -1;
    }
    resp->out = malloc(BUFFER_BYTES);
    resp->in = malloc(BUFFER_BYTES);
    if (resp->out == NULL || resp->in == NULL)
        abort();
    return 0;
}

void resp_close(struct resp *resp)
{
    if (resp->fd >= 0)
        close(resp->fd);
    free(resp->out);
    free(resp->in);
}

static char *put_number(char *at, size_t number)
{
    char digits[24];
    size_t count = 0;
    do
        digits[count++] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    while (count > 0)
        *at++ = digits[--count];
    *at++ = '\r';
    *at++ = '\n';
    return at;
}

void resp_add(struct resp *resp, unsigned words, ...)
{
    va_list args;
    if (BUFFER_BYTES - resp->out_len < REQUEST_BYTES && resp_send(resp) != 0)
        return;
    char *at = resp->out + resp->out_len;
    *at++ = '*';
    at = put_number(at, words);
    va_start(args, words);
    for (unsigned i = 0; i < words; i++) {
        const char *word = va_arg(args, const char *);
        size_t len = strlen(word);
        *at++ = '$';
        at = put_number(at, len);
        memcpy(at, word, len);
        at += len;
        *at++ = '\r';
        *at++ = '\n';
    }
    va_end(args);
    resp->out_len = (size_t)(at - resp->out);
}

int resp_send(struct resp *resp)
{
    for (size_t done = 0; done < resp->out_len;) {
        ssize_t n = send(resp->fd, resp->out + done, resp->out_len - done, MSG_NOSIGNAL);
        if (n <= 0)
            return -1;
        done += (size_t)n;
    }
    resp->out_len = 0;
    return 0;
}

/* Reads on until `bytes` more are there. */
static int need(struct resp *resp, size_t bytes)
{
    while (resp->in_len - resp->in_at < bytes) {
        if (resp->in_at > 0) {
            memmove(resp->in, resp->in + resp->in_at, resp->in_len - resp->in_at);
            resp->in_len -= resp->in_at;
            resp->in_at = 0;
        }
        if (resp->in_len == BUFFER_BYTES)
            return -1;
        ssize_t n = recv(resp->fd, resp->in + resp->in_len, BUFFER_BYTES - resp->in_len, 0);
        if (n <= 0)
            return -1;
        resp->in_len += (size_t)n;
    }
    return 0;
}

/* A line without its end; NULL when the connection is gone. */
static const char *line(struct resp *resp, size_t *ret_len)
{
    for (size_t looked = 0;;) {
        size_t here = resp->in_len - resp->in_at;
        char *end = here == looked ? NULL : memchr(resp->in + resp->in_at + looked, '\n', here - looked);
        if (end != NULL) {
            const char *start = resp->in + resp->in_at;
            *ret_len = (size_t)(end - start) - 1;
            end[-1] = '\0';
            resp->in_at += *ret_len + 2;
            return start;
        }
        looked = here;
        if (need(resp, here + 1) != 0)
            return NULL;
    }
}

int resp_read(struct resp *resp, struct resp_reply *ret_reply)
{
    size_t len;
    const char *text = line(resp, &len);
    if (text == NULL)
        return -1;
    struct resp_reply reply = {.kind = text[0], .text = text + 1};
    if (reply.kind == ':' || reply.kind == '$' || reply.kind == '*')
        reply.number = strtoll(text + 1, NULL, 10);
    if (reply.kind == '$' && reply.number >= 0) {
        if (need(resp, (size_t)reply.number + 2) != 0)
            return -1;
        reply.text = resp->in + resp->in_at;
        resp->in[resp->in_at + (size_t)reply.number] = '\0';
        resp->in_at += (size_t)reply.number + 2;
    }
    *ret_reply = reply;
    return 0;
}
