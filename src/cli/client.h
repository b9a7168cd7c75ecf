/* client.h: the HTTP API through libcurl, over the Unix socket or TCP. */
#ifndef CURFEW_CLI_CLIENT_H
#define CURFEW_CLI_CLIENT_H

#include "base/buf.h"
#include "base/error.h"
#include "cli/ops.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* What the flags said about the server; NULL where they said nothing.  Borrowed. */
struct cf_client_where {
    const char *socket, *url, *token_file;
};

/* The largest answer that is taken: above two streams of 256 MiB, the most that max_output_bytes allows, as plain
 * text. */
#define CF_REPLY_MAX ((size_t)1 << 30)

/* One request and its answer. */
struct cf_exchange {
    enum cf_op op;
    struct cf_buf path;                 /* with its query */
    struct cf_buf body;                 /* JSON; not sent when empty */
    struct cf_buf reply;                /* as it came */
    char trouble[256];                  /* libcurl's words */
    long http;                          /* status; 0: no answer */
    json_t *root;                       /* the reply, NULL when it is no envelope of ours */
    json_t *data;                       /* borrowed from root; set when it succeeded, but for text */
    struct cf_error error;              /* code 0 when it succeeded */
    bool answered_error;                /* the error is the server's own, with an object in the reply */
    void *easy;
};

struct cf_client;

/* Finds the server: flags, then CURFEW_URL, then the socket of the settings (file and environment), and the token.
 * NULL and an error when a token file cannot be read or the address is of no known form.  Nothing is connected yet. */
struct cf_client *cf_client_new(const struct cf_client_where *where, struct cf_error *error);
void cf_client_free(struct cf_client **client);
/* "unix:/run/curfew/curfew.sock" or the URL; borrowed. */
const char *cf_client_name(const struct cf_client *client);

/* Starts a request: fills the path with the id (NULL where there is none). */
void cf_exchange_init(struct cf_exchange *x, enum cf_op op, const char *id);
void cf_exchange_query(struct cf_exchange *x, const char *name, const char *value);
void cf_exchange_free(struct cf_exchange *x);
/* The bytes of the envelope's member `name` as they came, borrowed from the reply; NULL when there is none. */
const char *cf_exchange_raw(const struct cf_exchange *x, const char *name, size_t *ret_len);

/* Sends all of them side by side (at most 32 connections at a time) and waits for all answers; each has its own error
 * then. Stops early when `cancel_fd` (-1: none) becomes readable: returns true then, and exchanges without an answer
 * have CF_E_UNAVAILABLE.  A request is sent at most once: no retry on a connection that broke. */
bool cf_client_perform(struct cf_client *client, struct cf_exchange *exchanges, size_t count, int cancel_fd);
/* The same for one, which gets `patience_ms` more to be answered once `cancel_fd` is readable; that is left unread. */
void cf_client_perform_patiently(struct cf_client *client, struct cf_exchange *x, int cancel_fd, int patience_ms);

#endif
