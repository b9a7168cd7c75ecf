/* attach.h: the viewers of a session's terminal.
 *
 * A viewer is a WebSocket that shows what the terminal prints and types what it sends.  Each reads the journal at its own pace; one that
 * falls behind by more than viewer_lag_bytes is dropped and told so, so that no viewer slows the terminal or another viewer.  What one
 * types and the terminal has no room for is held, and nothing more is read from it until that is typed: a paste waits in the viewer. */
#ifndef CURFEW_SERVER_ATTACH_H
#define CURFEW_SERVER_ATTACH_H

#include "server/call.h"
#include "server/journal.h"

struct cf_shell;

/* What the viewers of one terminal share; it lives as long as its session. */
struct cf_viewers;

/* What viewers may do to a terminal. */
struct cf_viewers_events {
    /* What there is room for of it, which may be nothing; cf_viewers_room follows when that is not all. */
    int (*type)(void *arg, const char *bytes, size_t len, size_t *ret_typed, struct cf_error *error);
    int (*resize)(void *arg, unsigned cols, unsigned rows, struct cf_error *error);
};

struct cf_viewers_options {
    struct event_base *loop;
    struct cf_journal *journal;         /* referenced by each viewer */
    unsigned cols, rows;
    unsigned max;                       /* at a time */
    uint64_t lag_bytes;
    bool single;                        /* one types at a time: the first who does, until it leaves */
};

/* NULL: out of memory. */
struct cf_viewers *cf_viewers_new(const struct cf_viewers_options *options, const struct cf_viewers_events *events, void *arg);
/* The session is gone: each viewer is told why, when it has seen all. */
void cf_viewers_free(struct cf_viewers **viewers);
unsigned cf_viewers_count(const struct cf_viewers *viewers);
/* The terminal has another size now: all are told. */
void cf_viewers_resized(struct cf_viewers *viewers, unsigned cols, unsigned rows);
/* The terminal may take more now, or takes nothing any more. */
void cf_viewers_room(struct cf_viewers *viewers);
/* Makes the call a viewer, or answers it with what is wrong.  The call is gone afterwards. */
void cf_viewers_add(struct cf_viewers *viewers, struct cf_call *call);

#endif
