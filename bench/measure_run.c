/* (a) create until the first output, (b) one command in a live session. */
#include "bench/daemon.h"
#include "bench/driver.h"
#include "bench/http.h"
#include "bench/measures.h"
#include "bench/place.h"
#include "bench/sample.h"

#include <stdio.h>
#include <string.h>

/* Long enough for the warm pool to be full again and for the processes of the last round to be gone.  The time is filled
 * with requests: on a machine that slept a round would measure how fast its processors wake, four times for a session that
 * client, server, keeper and shell hand to each other, once for a bare spawn. */
#define BETWEEN_ROUNDS_MS 30

static int idle(struct http *a, struct http *b)
{
    int64_t until = sample_now_ns() + BETWEEN_ROUNDS_MS * 1000000LL;
    struct reply reply;
    int result = 0;
    while (result == 0 && sample_now_ns() < until) {
        result = http_must(a, "GET", "/healthz", NULL, &reply);
        if (result == 0)
            result = http_must(b, "GET", "/healthz", NULL, &reply);
    }
    return result;
}

struct create_times {
    struct sample create, whole;
};

static int create_once(struct http *h, unsigned round, struct create_times *t)
{
    char workspace[32], id[128];
    struct reply reply;
    snprintf(workspace, sizeof workspace, "w%u", round % 50);
    int64_t start = sample_now_ns();
    if (http_create(h, workspace, id, sizeof id) != 0)
        return -1;
    int64_t created = sample_now_ns();
    if (http_exec(h, id, "echo hi", &reply) != 0)
        return -1;
    sample_add(&t->create, (double)(created - start) / 1e6);
    sample_add(&t->whole, (double)(sample_now_ns() - start) / 1e6);
    return http_end(h, id);
}

static int create_rounds(struct http *cold, struct http *warm, unsigned rounds)
{
    static struct sample bare_ms;
    static struct create_times cold_ms, warm_ms;
    for (unsigned i = 0; i < rounds; i++) {
        double ns = driver_bash_ns("echo hi", 0);
        if (ns < 0)
            return -1;
        sample_add(&bare_ms, ns / 1e6);
        if (idle(cold, warm) != 0 || create_once(cold, i, &cold_ms) != 0)
            return -1;
        if (idle(warm, cold) != 0 || create_once(warm, i, &warm_ms) != 0 || idle(cold, warm) != 0)
            return -1;
    }
    sample_title("a", "create a session until its first output is here", "ms");
    sample_row("posix_spawn of bash -c 'echo hi'", &bare_ms, &bare_ms, NULL);
    sample_row("curfew, warm_pool = 0: POST sessions, POST exec", &cold_ms.whole, &bare_ms, &(struct bar){BAR_AT_MOST, 1.5});
    sample_row("    POST sessions alone", &cold_ms.create, &bare_ms, NULL);
    sample_row("curfew, warm_pool as by default", &warm_ms.whole, &bare_ms, &(struct bar){BAR_AT_MOST, 0.3});
    sample_row("    POST sessions alone", &warm_ms.create, &bare_ms, NULL);
    return 0;
}

int measure_create(const struct bench *b)
{
    struct daemon cold, warm = {.keeper = -1};
    struct http cold_http = {.fd = -1}, warm_http = {.fd = -1};
    const char *no_pool[] = {"--warm-pool", "0", NULL};
    int result = daemon_start(&cold, b->folder, "cold", 100, no_pool);
    if (result == 0)
        result = daemon_start(&warm, b->folder, "warm", 100, NULL);
    if (result == 0 && (result = http_open(&cold_http, cold.port)) == 0 && (result = http_open(&warm_http, warm.port)) == 0)
        result = create_rounds(&cold_http, &warm_http, b->quick ? 20 : 200);
    http_close(&cold_http);
    http_close(&warm_http);
    daemon_stop(&warm);
    daemon_stop(&cold);
    return result;
}

struct exec_times {
    struct sample bare_true, bare_echo, curfew_true, curfew_echo, bash, tmux;
};

static int exec_round(struct driver *driver, struct http *h, const char *id, struct exec_times *t)
{
    static const struct { const char *command; size_t bare, curfew; } ways[] = {
        {"true", offsetof(struct exec_times, bare_true), offsetof(struct exec_times, curfew_true)},
        {"echo hi", offsetof(struct exec_times, bare_echo), offsetof(struct exec_times, curfew_echo)},
    };
    char output[64];
    struct reply reply;
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        int64_t start = sample_now_ns();
        if (driver_run(driver, ways[i].command, output, sizeof output) != (i == 0 ? 0 : 3)) {
            fprintf(stderr, "bench: the bare driver loop did not answer as expected\n");
            return -1;
        }
        int64_t between = sample_now_ns();
        if (http_exec(h, id, ways[i].command, &reply) != 0)
            return -1;
        int64_t end = sample_now_ns();
        sample_add((struct sample *)(void *)((char *)t + ways[i].bare), (double)(between - start) / 1e6);
        sample_add((struct sample *)(void *)((char *)t + ways[i].curfew), (double)(end - between) / 1e6);
    }
    return 0;
}

/* Both shells anew, several times in a run: see place.h. */
static int exec_block(struct http *h, enum place place, unsigned rounds, bool tmux, struct exec_times *t)
{
    struct driver driver;
    struct reply reply;
    char id[128], output[64];
    if (driver_start(&driver) != 0)
        return -1;
    place_server(place, driver.pid);
    int result = http_create(h, "w", id, sizeof id);
    if (result == 0 && driver_run(&driver, "true", output, sizeof output) != 0)
        result = -1;
    if (result == 0)
        result = http_exec(h, id, "true", &reply);
    for (unsigned i = 0; i < rounds && result == 0; i++) {
        result = exec_round(&driver, h, id, t);
        if (i % 20 != 19 || place != PLACE_ANY)
            continue;
        /* The slow ones, now and then among the others, so that all see the same machine. */
        sample_add(&t->bash, driver_bash_ns("echo hi", 1) / 1e6);
        double tmux_ns = tmux ? driver_tmux_ns(i) : -1;
        if (tmux_ns > 0)
            sample_add(&t->tmux, tmux_ns / 1e6);
    }
    driver_stop(&driver);
    return result == 0 ? http_end(h, id) : result;
}

static void show_exec(struct exec_times *times, bool tmux)
{
    struct exec_times *t = &times[PLACE_ANY];
    char name[80];
    sample_title("b", "one command in a live session", "ms");
    for (int place = 0; place < place_count(); place++) {
        struct exec_times *p = &times[place];
        snprintf(name, sizeof name, "true, bare driver loop%s", place_name((enum place)place));
        sample_row(name, &p->bare_true, &p->bare_true, NULL);
        snprintf(name, sizeof name, "true, over HTTP%s", place_name((enum place)place));
        sample_row(name, &p->curfew_true, &p->bare_true, place == PLACE_ANY ? &(struct bar){BAR_AT_MOST, 4} : NULL);
    }
    sample_row("echo hi, bare driver loop", &t->bare_echo, &t->bare_echo, NULL);
    sample_row("echo hi, over HTTP", &t->curfew_echo, &t->bare_echo, NULL);
    sample_row("echo hi, a new bash -c", &t->bash, &t->bare_echo, NULL);
    if (!tmux)
        return;
    sample_row("echo hi, tmux send-keys until capture-pane shows it", &t->tmux, &t->bare_echo, NULL);
    sample_figure("times that curfew is faster than tmux",
                  sample_quantile(&t->tmux, 0.5) / sample_quantile(&t->curfew_echo, 0.5), &(struct bar){BAR_AT_LEAST, 20});
}

static int exec_rounds(const struct bench *b, const struct daemon *d, struct http *h, bool tmux)
{
    static struct exec_times t[PLACES];
    int result = 0;
    int blocks = b->quick ? 3 : 12;
    for (int i = 0; i < blocks * place_count() && result == 0; i++) {
        enum place place = (enum place)(i / blocks);
        if (i % blocks == 0) {
            place_client(place);
            place_daemon(place, d);
        }
        result = exec_block(h, place, b->quick ? 60 : 160, tmux, &t[place]);
    }
    place_client(PLACE_ANY);
    if (result == 0)
        show_exec(t, tmux);
    return result;
}

int measure_exec(const struct bench *b)
{
    struct daemon d;
    struct http h = {.fd = -1};
    bool tmux = b->tmux && driver_tmux_start(b->folder) == 0;
    int result = daemon_start(&d, b->folder, "exec", 100, NULL);
    if (result == 0 && (result = http_open(&h, d.port)) == 0)
        result = exec_rounds(b, &d, &h, tmux);
    http_close(&h);
    daemon_stop(&d);
    if (tmux)
        driver_tmux_stop();
    return result;
}
