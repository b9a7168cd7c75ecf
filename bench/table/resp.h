/* resp.h: as much of Redis's protocol as the benchmark speaks: requests in one buffer, replies one after another. */
#ifndef CURFEW_BENCH_TABLE_RESP_H
#define CURFEW_BENCH_TABLE_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct resp {
    int fd;
    char *out;
    size_t out_len;
    char *in;
    size_t in_at, in_len;
};

struct resp_reply {
    char kind;                          /* '+', '-', ':', '$', '*' */
    int64_t number;                     /* of ':', the length of '$' or '*'; -1: none */
    const char *text;                   /* of '+', '-', '$'; borrowed until the next read */
};

int resp_open(struct resp *resp, const char *socket_path);
void resp_close(struct resp *resp);
/* Adds a request of these words; what is collected goes out at resp_send. */
void resp_add(struct resp *resp, unsigned words, ...);
int resp_send(struct resp *resp);
/* The next reply, or the next element of an array. */
int resp_read(struct resp *resp, struct resp_reply *ret_reply);

#endif
