/* http.h: the smallest HTTP client that can hold a connection open and stay out of the way of what it measures. */
#ifndef CURFEW_BENCH_HTTP_H
#define CURFEW_BENCH_HTTP_H

#include <stdbool.h>
#include <stddef.h>

struct http {
    int fd;
    int port;
    char *data;             /* the last reply: headers, body, NUL */
    size_t len, cap;
};

struct reply {
    int status;
    const char *body;       /* borrowed from the connection until the next request; NUL-terminated */
    size_t body_len;
};

/* All give 0, or -1 after telling standard error what went wrong. */
int http_open(struct http *h, int port);
void http_close(struct http *h);
/* One request and its reply.  `body` may be NULL. */
int http_ask(struct http *h, const char *method, const char *path, const char *body, struct reply *ret_reply);
/* The same, and a status other than 2xx is a failure as well. */
int http_must(struct http *h, const char *method, const char *path, const char *body, struct reply *ret_reply);
/* Writes the request as http_ask sends it, with further header lines (each ended by CR LF; may be NULL); its length,
 * 0 when it does not fit. */
size_t http_request(char *buf, size_t size, int port, const char *method, const char *path, const char *headers,
                    const char *body);
/* The halves of http_ask, for many requests in flight. */
int http_send(struct http *h, const char *method, const char *path, const char *headers, const char *body);
int http_receive(struct http *h, struct reply *ret_reply);
/* The status and headers of an answer whose body is no reply of known length.  What came after them stays in h->data:
 * `ret_at` is the place of the first such byte, h->len that behind the last. */
int http_receive_head(struct http *h, int *ret_status, size_t *ret_at);
/* Bytes of the first whole reply in `data`, 0 when it is not complete, with status and place of the body. */
size_t http_parse(const char *data, size_t len, struct reply *ret_reply);

/* Calls of curfew's API. */
int http_create(struct http *h, const char *workspace, char *ret_id, size_t size);
/* With a terminal of 80 by 24. */
int http_create_terminal(struct http *h, const char *workspace, char *ret_id, size_t size);
/* Starts a command that is not waited for; `input`: what it reads comes later.  Its number. */
int http_detach(struct http *h, const char *id, const char *command, bool input, long *ret_exec);
/* The body of an exec request, for who sends it himself; its length. */
size_t http_exec_body(char *buf, size_t size, const char *command);
int http_exec(struct http *h, const char *id, const char *command, struct reply *ret_reply);
int http_end(struct http *h, const char *id);

#endif
