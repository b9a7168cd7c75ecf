/* (i) one key, typed until it is back: a terminal over a WebSocket against a bare pseudo-terminal. */
#include "bench/daemon.h"
#include "bench/driver.h"
#include "bench/http.h"
#include "bench/measures.h"
#include "bench/place.h"
#include "bench/sample.h"
#include "bench/websocket.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Typed into both.  What is typed is not what is printed, so the echo of the typing cannot be taken for the output. */
static const char program[] = "stty raw -echo; printf 'rea''dy'; cat\n";
static const char ready[] = "ready";

/* One way to a terminal. */
struct line {
    struct typist typist;
    struct websocket ws;            /* ws.http is NULL: it is the typist */
};

static int type(struct line *l, const char *data, size_t len)
{
    if (l->ws.http != NULL)
        return websocket_send(&l->ws, data, len);
    return write(l->typist.master_fd, data, len) == (ssize_t)len ? 0 : -1;
}

/* What the terminal prints next; its length, or -1. */
static ssize_t hear(struct line *l, char *ret, size_t size)
{
    struct message m;
    if (l->ws.http == NULL)
        return read(l->typist.master_fd, ret, size);
    do
        if (websocket_receive(&l->ws, &m) != 0)
            return -1;
    while (!m.binary);
    size_t len = m.len < size ? m.len : size;
    memcpy(ret, m.data, len);
    return (ssize_t)len;
}

/* Types the program's line and waits until it runs. */
static int begin(struct line *l)
{
    char text[65536];
    size_t at = 0;
    if (type(l, program, sizeof program - 1) != 0)
        return -1;
    while (at < sizeof ready - 1) {
        ssize_t n = hear(l, text, sizeof text);
        if (n <= 0) {
            fprintf(stderr, "bench: a terminal did not run what was typed\n");
            return -1;
        }
        for (ssize_t i = 0; i < n && at < sizeof ready - 1; i++)
            at = text[i] == ready[at] ? at + 1 : text[i] == ready[0];
    }
    return 0;
}

static int key(struct line *l, char c, struct sample *ms)
{
    char back[16];
    int64_t start = sample_now_ns();
    if (type(l, &c, 1) != 0)
        return -1;
    ssize_t n = hear(l, back, sizeof back);
    int64_t end = sample_now_ns();
    if (n != 1 || back[0] != c) {
        fprintf(stderr, "bench: a key typed into a terminal did not come back as it was\n");
        return -1;
    }
    if (ms != NULL)
        sample_add(ms, (double)(end - start) / 1e6);
    return 0;
}

struct attach_times {
    struct sample bare, curfew;
};

/* Both anew each time, since where the scheduler puts their processes is part of the figures. */
static int round_of(struct http *h, struct http *ask, enum place place, int keys, struct attach_times *t)
{
    static struct line bare, attached;
    char id[128], path[256];
    bare = attached = (struct line){.ws = {0}};
    attached.ws.http = h;
    if (typist_start(&bare.typist) != 0 || http_create_terminal(ask, "w", id, sizeof id) != 0)
        return -1;
    place_server(place, bare.typist.pid);
    snprintf(path, sizeof path, "/v1/sessions/%s/attach?cols=80&rows=24", id);
    int result = websocket_open(&attached.ws, path) != 0 || begin(&bare) != 0 || begin(&attached) != 0 ? -1 : 0;
    for (int i = 0; i < keys && result == 0; i++) {
        char c = (char)('a' + i % 26);
        /* The first ones wake what slept. */
        result = key(&bare, c, i < 10 ? NULL : &t->bare);
        if (result == 0)
            result = key(&attached, c, i < 10 ? NULL : &t->curfew);
    }
    typist_stop(&bare.typist);
    return http_end(ask, id) != 0 ? -1 : result;
}

static void show(struct attach_times *t)
{
    char name[80];
    sample_title("i", "one key typed to `cat` in a terminal, until it is back", "ms");
    for (int place = 0; place < place_count(); place++) {
        snprintf(name, sizeof name, "a bare pseudo-terminal%s", place_name((enum place)place));
        sample_row(name, &t[place].bare, &t[place].bare, NULL);
        snprintf(name, sizeof name, "curfew, by WebSocket%s", place_name((enum place)place));
        sample_row(name, &t[place].curfew, &t[place].bare, place == PLACE_ANY ? &(struct bar){BAR_AT_MOST, 3} : NULL);
    }
}

int measure_attach(const struct bench *b)
{
    static struct attach_times t[PLACES];
    struct daemon d;
    struct http ask = {.fd = -1}, h = {.fd = -1};
    int result = daemon_start(&d, b->folder, "attach", 100, NULL);
    if (result != 0)
        return -1;
    result = http_open(&ask, d.port);
    int rounds = b->quick ? 2 : 10;
    for (int round = 0; round < rounds * place_count() && result == 0; round++) {
        enum place place = (enum place)(round / rounds);
        if (round % rounds == 0) {
            place_client(place);
            place_daemon(place, &d);
        }
        if ((result = http_open(&h, d.port)) == 0)
            result = round_of(&h, &ask, place, b->quick ? 110 : 310, &t[place]);
        http_close(&h);
    }
    place_client(PLACE_ANY);
    http_close(&ask);
    daemon_stop(&d);
    if (result == 0)
        show(t);
    return result;
}
