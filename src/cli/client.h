/* client.h: the HTTP API through libcurl, over the Unix socket or TCP. */
#ifndef CURFEW_CLI_CLIENT_H
#define CURFEW_CLI_CLIENT_H

#include "base/buf.h"
#include "base/error.h"
#include "cli/ops.h"
#include "cli/where.h"

#include <jansson.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>

/* The largest answer that is taken: above two streams of 256 MiB, the most that max_output_bytes allows, as plain
 * text. */
#define CF_REPLY_MAX ((size_t)1 << 30)

#define CF_TYPE_BYTES "application/octet-stream"
#define CF_TYPE_FRAMES "application/vnd.curfew.frames"
#define CF_TYPE_LINES "application/x-ndjson"

/* Takes a part of an answer as it comes.  False: not now; the transfer stands still, and the same bytes are offered
 * again after cf_client_resume. */
typedef bool cf_sink_fn(void *arg, const char *data, size_t len);

/* One request and its answer. */
struct cf_exchange {
    enum cf_op op;
    struct cf_buf path;                 /* with its query */
    struct cf_buf body;
    const char *content;                /* type of the body; NULL: JSON, and no body when it is empty */
    const char *accept;                 /* type of a success that goes to `sink`; NULL: our envelope of JSON */
    cf_sink_fn *sink;
    void *sink_arg;
    struct cf_buf reply;                /* as it came, but for what `sink` took */
    char trouble[256];                  /* libcurl's words */
    long http;                          /* status; 0: no answer */
    json_t *root;                       /* the reply, NULL when it is no envelope of ours */
    json_t *data;                       /* borrowed from root; set when it succeeded, but for text and streams */
    struct cf_error error;              /* code 0 when it succeeded */
    bool answered_error;                /* the error is the server's own, with an object in the reply */
    bool streamed;                      /* the answer is what `accept` says, and goes to `sink` */
    bool paused;                        /* `sink` said: not now */
    bool running;                       /* between cf_client_start and its end */
    int64_t offset, next;               /* X-Curfew-Offset and X-Curfew-Next; -1: not said */
    void *easy, *headers;
};

struct cf_client;

/* Finds the server (see where.h).  NULL and an error when that fails.  Nothing is connected yet. */
struct cf_client *cf_client_new(const struct cf_where_flags *flags, struct cf_error *error);
void cf_client_free(struct cf_client **client);
/* "unix:/run/curfew/curfew.sock" or the URL; borrowed. */
const char *cf_client_name(const struct cf_client *client);
/* Where requests go; borrowed. */
const struct cf_where *cf_client_where(const struct cf_client *client);

/* Starts a request: fills the path with the id (NULL where there is none) and a command's number (0: none). */
void cf_exchange_init(struct cf_exchange *x, enum cf_op op, const char *id, uint32_t number);
void cf_exchange_query(struct cf_exchange *x, const char *name, const char *value);
void cf_exchange_query_int(struct cf_exchange *x, const char *name, int64_t value);
void cf_exchange_free(struct cf_exchange *x);
/* The bytes of the envelope's member `name` as they came, borrowed from the reply; NULL when there is none. */
const char *cf_exchange_raw(const struct cf_exchange *x, const char *name, size_t *ret_len);
/* Reads what the server at `name` answered (http, reply, content type or NULL) into root, data and error. */
void cf_exchange_understand(struct cf_exchange *x, const char *name, const char *type);

/* For loops that do more than to wait for an answer.  A request that was started belongs to the client until it no
 * longer runs; then it has an answer or an error.  A request is sent at most once: no retry on a connection that
 * broke. */
void cf_client_start(struct cf_client *client, struct cf_exchange *x);
/* Gives up a request that runs: its error says that no answer came.  Does nothing to one that does not run. */
void cf_client_stop(struct cf_client *client, struct cf_exchange *x);
/* Connects only, for 10 s at most: x->easy is a connection then, to be given back by cf_client_stop.  0, or -1 and
 * x->error. */
int cf_client_open(struct cf_client *client, struct cf_exchange *x);
/* Lets a transfer go on whose sink did not take. */
void cf_client_resume(struct cf_exchange *x);
/* One turn: waits until something happens to a request or to one of `fds`, or `timeout_ms` have passed (-1: any
 * time), and moves all requests on.  May return early; `fds` have their revents then. */
void cf_client_turn(struct cf_client *client, struct pollfd *fds, size_t count, int timeout_ms);

/* Sends all of them side by side (at most 32 connections at a time) and waits for all answers; each has its own error
 * then. Stops early when `cancel_fd` (-1: none) becomes readable: returns true then, and exchanges without an answer
 * have CF_E_UNAVAILABLE. */
bool cf_client_perform(struct cf_client *client, struct cf_exchange *exchanges, size_t count, int cancel_fd);
/* The same for one, which gets `patience_ms` more to be answered once `cancel_fd` is readable; that is left unread. */
void cf_client_perform_patiently(struct cf_client *client, struct cf_exchange *x, int cancel_fd, int patience_ms);

#endif
