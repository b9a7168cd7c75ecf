/* attach.c: one WebSocket a viewer. */
#include "server/attach.h"

#include "base/jsonw.h"
#include "core/core.h"
#include "server/priority.h"
#include "server/reader.h"
#include "server/screen.h"
#include "server/screen_live.h"
#include "server/websocket.h"

#include <event2/event.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of one message to a viewer. */
#define MESSAGE_BYTES (32u << 10)
#define TEXT_BYTES (64u << 10)          /* of one in JSON: a tombstone is the largest */
#define CLOSE_BEHIND 4001
/* Of what one viewer has sent: the message for which there was no room, and what was read along with it. */
#define HELD_BYTES (CF_WS_MESSAGE_MAX + CF_WS_BEHIND_MAX)

struct viewer {
    LIST_ENTRY(viewer) link;
    struct cf_viewers *all;             /* NULL: the session is gone */
    struct cf_ws *ws;
    struct cf_reader reader;
    struct cf_watch watch;
    struct event *news;
    TAILQ_ENTRY(viewer) turn;           /* in `waiting`, while something is held */
    struct cf_buf held;                 /* what it has sent and is not typed yet */
    unsigned cols, rows;                /* that it asked for; 0: it did not */
    char id[CF_ID_MAX];                 /* of the session */
    bool greeted;
    bool over;                          /* the last message is out */
};

struct cf_viewers {
    struct cf_viewers_options options;
    const struct cf_viewers_events *events;
    void *arg;
    LIST_HEAD(, viewer) list;
    TAILQ_HEAD(, viewer) waiting;       /* for room in the terminal, in the order in which they came */
    unsigned count;
    struct viewer *writer;              /* of `single` */
    struct cf_screen_live *screen;
};

/* ---- messages ---- */

/* One for which there is no room is one for a viewer that takes nothing. */
static void deliver(struct viewer *v, bool binary, const char *data, size_t len)
{
    if (v->over || cf_ws_send(v->ws, binary, data, len) == 0)
        return;
    v->over = true;
    cf_ws_close(v->ws, CLOSE_BEHIND, "does not take what it is sent");
}

static struct cf_jsonw *begin_text(struct cf_buf *text, struct cf_jsonw *w, const char *type)
{
    cf_buf_init(text, TEXT_BYTES);
    cf_jsonw_init(w, text);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "type", type);
    return w;
}

static void send_text(struct viewer *v, struct cf_buf *text, struct cf_jsonw *w)
{
    cf_jsonw_object_end(w);
    if (!text->failed)
        deliver(v, false, text->data, text->len);
    cf_buf_free(text);
}

/* Whether what it types is typed. */
static bool may_write(const struct viewer *v)
{
    return !v->all->options.single || v->all->writer == NULL || v->all->writer == v;
}

static void say_hello(struct viewer *v)
{
    const struct cf_viewers *all = v->all;
    struct cf_buf text;
    struct cf_jsonw w;
    begin_text(&text, &w, "hello");
    cf_jsonw_str(&w, "session_id", v->id);
    cf_jsonw_int(&w, "cols", all->options.cols);
    cf_jsonw_int(&w, "rows", all->options.rows);
    cf_jsonw_str(&w, "input", all->options.single ? "single" : "shared");
    cf_jsonw_bool(&w, "writer", may_write(v));
    send_text(v, &text, &w);
    v->greeted = true;
}

static void say_writer(struct viewer *v)
{
    struct cf_buf text;
    struct cf_jsonw w;
    begin_text(&text, &w, "writer");
    cf_jsonw_bool(&w, "writer", may_write(v));
    send_text(v, &text, &w);
}

/* Another one writes, or nobody any more, so that the next who types does: all are told what that is for them. */
static void set_writer(struct cf_viewers *all, struct viewer *writer)
{
    struct viewer *v;
    all->writer = writer;
    LIST_FOREACH(v, &all->list, link)
        if (v->greeted)
            say_writer(v);
}

static void say_error(struct viewer *v, const char *code, const char *message)
{
    struct cf_buf text;
    struct cf_jsonw w;
    begin_text(&text, &w, "error");
    cf_jsonw_str(&w, "code", code);
    cf_jsonw_str(&w, "message", message);
    send_text(v, &text, &w);
}

static void say_ended(struct viewer *v)
{
    const struct cf_buf *tombstone = cf_journal_tombstone(v->reader.journal);
    struct cf_buf text;
    struct cf_jsonw w;
    begin_text(&text, &w, "ended");
    if (tombstone->len > 0)
        cf_jsonw_raw(&w, "session", tombstone->data, tombstone->len);
    send_text(v, &text, &w);
}

/* All that it has sent is typed, or will not be.  The answer to its close would say that it was. */
static void release(struct viewer *v, bool typed)
{
    bool dropped = v->held.len > 0 && !typed;
    if (v->held.len > 0)
        TAILQ_REMOVE(&v->all->waiting, v, turn);
    cf_buf_free(&v->held);
    if (v->ws != NULL && dropped && cf_ws_leaving(v->ws))
        cf_ws_drop(v->ws);
    else if (v->ws != NULL)
        cf_ws_pause(v->ws, false);
}

/* It is none of the terminal's viewers any more. */
static void leave(struct viewer *v)
{
    struct cf_viewers *all = v->all;
    if (all == NULL)
        return;
    LIST_REMOVE(v, link);
    all->count--;
    release(v, false);                  /* what it still sends goes nowhere */
    v->all = NULL;
    if (all->writer == v)
        set_writer(all, NULL);
}

/* ---- from the terminal to the viewer ---- */

static void fell_behind(struct viewer *v, uint64_t bytes)
{
    char reason[96];
    snprintf(reason, sizeof reason, "fell behind by %llu bytes", (unsigned long long)bytes);
    v->over = true;
    leave(v);                           /* its place is free at once, however long the close takes to reach it */
    cf_ws_close(v->ws, CLOSE_BEHIND, reason);
}

static uint64_t behind(const struct viewer *v)
{
    return cf_journal_terminal_bytes(v->reader.journal) - cf_reader_offset(&v->reader);
}

/* Sends what the socket takes; what it does not take waits in the journal. */
static void pump(struct viewer *v)
{
    struct cf_piece piece;
    const char *bytes;
    size_t len;
    uint64_t gap;
    if (v->over || cf_ws_leaving(v->ws))
        return;
    if (v->all != NULL && behind(v) > v->all->options.lag_bytes) {
        fell_behind(v, behind(v));
        return;
    }
    while (cf_ws_idle(v->ws)) {
        enum cf_next next = cf_reader_next(&v->reader, MESSAGE_BYTES, &piece, &bytes, &len, &gap);
        if (next == CF_NEXT_GAP) {
            fell_behind(v, gap + behind(v));
            return;
        }
        if (next == CF_NEXT_NONE)
            break;
        deliver(v, true, bytes, len);
        if (v->over)
            return;
        cf_reader_take(&v->reader, &piece, len);
    }
    if (cf_journal_closed(v->reader.journal) && cf_ws_idle(v->ws)) {
        say_ended(v);
        v->over = true;
        cf_ws_close(v->ws, CF_WS_NORMAL, "the session has ended");
    }
}

static void on_news(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    pump(arg);
}

static void on_wake(void *arg)
{
    struct viewer *v = arg;
    event_active(v->news, EV_READ, 0);
}

/* The screen as it is, and the reader behind that. */
static void draw(struct viewer *v)
{
    static const enum cf_stream stream = CF_STREAM_TERMINAL;
    const struct cf_viewers_options *o = &v->all->options;
    struct cf_buf drawing;
    struct cf_error error;
    uint64_t bytes;
    cf_buf_init(&drawing, CF_SCREEN_DRAW_MAX(o->cols, o->rows));
    if (cf_screen_live_paint(v->all->screen, &drawing, &bytes, &error) == 0)
        deliver(v, true, drawing.data != NULL ? drawing.data : "", drawing.len);
    cf_buf_free(&drawing);
    cf_reader_open(&v->reader, o->journal, NULL, &stream, bytes, false);
}

/* ---- from the viewer to the terminal ---- */

/* Until there is room for it, and its turn has come: no other viewer's comes between two parts of a message. */
static void hold(struct viewer *v, const char *data, size_t len)
{
    bool first = v->held.len == 0;
    cf_buf_append(&v->held, data, len);
    if (v->held.failed) {
        v->held.failed = false;
        say_error(v, cf_error_name(CF_E_NO_MEMORY), "out of memory for what was typed");
    } else if (first) {
        TAILQ_INSERT_TAIL(&v->all->waiting, v, turn);
        cf_ws_pause(v->ws, true);
    }
}

static void type(struct viewer *v, const char *data, size_t len)
{
    struct cf_viewers *all = v->all;
    struct cf_error error;
    size_t typed;
    if (all->options.single && all->writer == NULL)
        set_writer(all, v);
    if (!may_write(v))
        say_writer(v);
    else if (len > 0 && !TAILQ_EMPTY(&all->waiting))
        hold(v, data, len);
    else if (all->events->type(all->arg, data, len, &typed, &error) != 0)
        say_error(v, cf_error_name(error.code), error.text);
    else if (typed < len)
        hold(v, data + typed, len - typed);
}

void cf_viewers_room(struct cf_viewers *all)
{
    struct viewer *v;
    struct cf_error error;
    size_t typed;
    while ((v = TAILQ_FIRST(&all->waiting)) != NULL) {
        int code = all->events->type(all->arg, v->held.data, v->held.len, &typed, &error);
        if (code == 0 && typed < v->held.len) {
            v->held.len -= typed;
            memmove(v->held.data, v->held.data + typed, v->held.len);
            return;
        }
        release(v, code == 0);
        if (code != 0)
            say_error(v, cf_error_name(error.code), error.text);
    }
}

static void resize(struct viewer *v, unsigned cols, unsigned rows)
{
    struct cf_error error;
    if (v->all->events->resize(v->all->arg, cols, rows, &error) != 0)
        say_error(v, cf_error_name(error.code), error.text);
}

static void order(struct viewer *v, const char *data, size_t len)
{
    json_t *root = json_loadb(data, len, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(root, "type"));
    json_int_t cols = json_integer_value(json_object_get(root, "cols")), rows = json_integer_value(json_object_get(root, "rows"));
    if (name == NULL || strcmp(name, "resize") != 0)
        say_error(v, cf_error_name(CF_E_INVALID), "a text message must be {\"type\":\"resize\",\"cols\":COLUMNS,\"rows\":ROWS}");
    else if (cols < 1 || cols > 1000 || rows < 1 || rows > 1000)
        say_error(v, cf_error_name(CF_E_INVALID), "\"cols\" and \"rows\" must be 1 to 1000");
    else
        resize(v, (unsigned)cols, (unsigned)rows);
    json_decref(root);
}

/* ---- a viewer's life ---- */

static void on_open(void *arg, struct cf_ws *ws)
{
    struct viewer *v = arg;
    v->ws = ws;
    if (v->all == NULL) {
        v->over = true;
        cf_ws_close(ws, CF_WS_NORMAL, "the session has ended");
        return;
    }
    if (v->cols > 0)
        resize(v, v->cols, v->rows);
    say_hello(v);
    draw(v);
    cf_journal_watch(v->reader.journal, &v->watch);
    pump(v);
}

static void on_message(void *arg, bool binary, const char *data, size_t len)
{
    struct viewer *v = arg;
    if (v->all == NULL || v->over)
        return;
    if (binary)
        type(v, data, len);
    else
        order(v, data, len);
}

static void on_want(void *arg)
{
    pump(arg);
}

static void on_closed(void *arg, unsigned code)
{
    struct viewer *v = arg;
    v->ws = NULL;
    leave(v);
    if (v->reader.journal != NULL) {
        cf_journal_unwatch(v->reader.journal, &v->watch);
        cf_reader_close(&v->reader);
    }
    event_free(v->news);
    free(v);
}

void cf_viewers_add(struct cf_viewers *all, struct cf_call *call)
{
    static const struct cf_ws_events events = { .open = on_open, .message = on_message, .want = on_want, .closed = on_closed };
    if (all->count >= all->options.max) {
        cf_call_fail_code(call, CF_E_TOO_MANY, NULL, "%u viewers are attached to this session, and viewers_max is %u", all->count, all->options.max);
        return;
    }
    struct viewer *v = calloc(1, sizeof *v);
    struct event *news = v != NULL ? event_new(all->options.loop, -1, EV_PERSIST, on_news, v) : NULL;
    if (news == NULL) {
        free(v);
        cf_call_fail_code(call, CF_E_NO_MEMORY, NULL, "out of memory for the viewer");
        return;
    }
    (void)event_priority_set(news, CF_PRIORITY_OUTPUT);
    *v = (struct viewer){ .all = all, .news = news, .watch = { .wake = on_wake, .arg = v },
                          .cols = (unsigned)cf_call_int(call, "cols", 0), .rows = (unsigned)cf_call_int(call, "rows", 0) };
    cf_buf_init(&v->held, HELD_BYTES);
    snprintf(v->id, sizeof v->id, "%.*s", (int)sizeof v->id - 1, call->id);
    LIST_INSERT_HEAD(&all->list, v, link);
    all->count++;
    cf_call_upgrade(call, &events, v);
}

/* ---- all of them ---- */

struct cf_viewers *cf_viewers_new(const struct cf_viewers_options *options, const struct cf_viewers_events *events, void *arg)
{
    struct cf_viewers *all = calloc(1, sizeof *all);
    if (all == NULL)
        return NULL;
    all->screen = cf_screen_live_new(options->loop, options->journal, options->cols, options->rows);
    if (all->screen == NULL) {
        free(all);
        return NULL;
    }
    all->options = *options;
    all->events = events;
    all->arg = arg;
    LIST_INIT(&all->list);
    TAILQ_INIT(&all->waiting);
    return all;
}

void cf_viewers_free(struct cf_viewers **viewers)
{
    if (*viewers == NULL)
        return;
    (*viewers)->writer = NULL;
    while (!LIST_EMPTY(&(*viewers)->list))
        leave(LIST_FIRST(&(*viewers)->list));
    cf_screen_live_free(&(*viewers)->screen);
    free(*viewers);
    *viewers = NULL;
}

unsigned cf_viewers_count(const struct cf_viewers *all)
{
    return all->count;
}

void cf_viewers_resized(struct cf_viewers *all, unsigned cols, unsigned rows)
{
    struct viewer *v;
    all->options.cols = cols;
    all->options.rows = rows;
    cf_screen_live_resize(all->screen, cols, rows);
    LIST_FOREACH(v, &all->list, link) {
        if (!v->greeted || v->over)
            continue;
        struct cf_buf text;
        struct cf_jsonw w;
        begin_text(&text, &w, "resized");
        cf_jsonw_int(&w, "cols", cols);
        cf_jsonw_int(&w, "rows", rows);
        send_text(v, &text, &w);
    }
}
