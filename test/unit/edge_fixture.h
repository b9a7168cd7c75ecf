/* edge_fixture.h: the edge in the test's own thread, and clients of it in the same loop.
 *
 * What a test waits for it writes as UNTIL(condition): the loop turns until it holds, or the test fails after WAIT_S. */
#ifndef CURFEW_TEST_EDGE_FIXTURE_H
#define CURFEW_TEST_EDGE_FIXTURE_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/settings.h"
#include "core/core.h"
#include "server/call.h"
#include "server/http.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <event2/event.h>
#include <stdbool.h>

#define WAIT_S 20

struct edge {
    struct event_base *loop;
    struct event *tick;                 /* a turn takes no longer than this */
    struct cf_http *http;
    struct cf_settings settings;
    struct cf_counts counts;
    char folder[64];
};

/* Before and after each test.  `edge` is the test's own, and what the other functions work with until the tear-down,
 * which gives 0 when nothing is left over. */
void edge_setup(struct edge *edge);
int edge_teardown(void);
/* Starts it anew, as edge_setup has, after the test changed edge.settings. */
void edge_restart(void);
void edge_stop(void);

/* One turn of the loop, at most some milliseconds. */
void edge_turn(void);
#define UNTIL(condition)                                                                                              \
    for (int64_t until_ns = cf_clock_now().mono_ns + WAIT_S * CF_NS_PER_S; !(condition); edge_turn())                  \
        assert_true(cf_clock_now().mono_ns < until_ns)

struct client {
    int fd;
    struct event *readable;
    struct cf_buf in;                   /* what came, as long as `reading` */
    size_t total;                       /* bytes that came, also those that were dropped */
    bool drop;                          /* count only */
    bool ended;                         /* end of file or an error … */
    bool reset;                         /* … and it was an error */
    bool reading;
};

/* Connected to the edge, by TCP or its Unix socket. */
void client_open(struct client *c, bool unix_socket);
void client_close(struct client *c);
/* Closes by a reset. */
void client_reset(struct client *c);
void client_read(struct client *c, bool on);
void client_send(struct client *c, const void *data, size_t len);
void client_puts(struct client *c, const char *text);
/* "GET /path HTTP/1.1" with Host and these further header lines, each with its line end. */
void client_get(struct client *c, const char *path, const char *headers);
/* Whether what came holds this text. */
bool client_has(const struct client *c, const char *text);
/* Takes one answer's headers off the front of what came; false: they are not complete yet. */
bool client_take_head(struct client *c, struct cf_buf *ret_head);
/* Takes the chunked body that stands at the front, appends it to `ret`, and says whether it was complete;
 * what is there of an incomplete one is taken too. */
bool client_take_chunks(struct client *c, struct cf_buf *ret);

#endif
