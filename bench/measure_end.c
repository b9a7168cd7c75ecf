/* (d) the end of sessions with grace 0 against bare cgroup.kill. */
#include "bench/daemon.h"
#include "bench/http.h"
#include "bench/measures.h"
#include "bench/process.h"
#include "bench/sample.h"
#include "bench/sets.h"

#include <stdio.h>
#include <stdlib.h>

#define SETTLE_MS 30

struct held {
    struct http http;           /* its own connection, so that all can be ended at once */
    char id[128];
};

static int hold(struct held *s, int port, size_t number, unsigned each)
{
    char workspace[32], command[4352];
    struct reply reply;
    snprintf(workspace, sizeof workspace, "w%zu", number % 100);
    snprintf(command, sizeof command, "%s --hold %u", process_self(), each);
    return http_open(&s->http, port) != 0 || http_create(&s->http, workspace, s->id, sizeof s->id) != 0 ||
           http_exec(&s->http, s->id, command, &reply) != 0 ? -1 : 0;
}

/* Ends all side by side; nanoseconds until the last is reported ended, or -1. */
static double end_all_ns(struct held *list, size_t count)
{
    char path[256];
    struct reply reply;
    int64_t start = sample_now_ns();
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "/v1/sessions/%s?grace=0", list[i].id);
        if (http_send(&list[i].http, "DELETE", path, NULL, NULL) != 0)
            return -1;
    }
    for (size_t i = 0; i < count; i++) {
        if (http_receive(&list[i].http, &reply) != 0)
            return -1;
        if (reply.status / 100 != 2) {
            fprintf(stderr, "bench: DELETE answered %d: %.300s\n", reply.status, reply.body);
            return -1;
        }
    }
    return (double)(sample_now_ns() - start);
}

static int end_curfew(int port, size_t count, unsigned each, struct sample *times)
{
    struct held *list = calloc(count, sizeof *list);
    int result = list == NULL ? -1 : 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = hold(&list[i], port, i, each);
    sample_sleep_ms(SETTLE_MS);
    double ns = result == 0 ? end_all_ns(list, count) : -1;
    if (ns >= 0)
        sample_add(times, ns / 1e6);
    for (size_t i = 0; i < count && list != NULL; i++)
        http_close(&list[i].http);
    free(list);
    return ns >= 0 ? 0 : -1;
}

/* false when this machine does not let us; says so. */
static bool end_bare(size_t count, unsigned each, struct sample *times)
{
    char why[512] = "";
    struct sets *sets = NULL;
    if (sets_make(count, each, &sets, why, sizeof why) != 0) {
        sample_note("no bare cgroup.kill to compare with: %s", why);
        return false;
    }
    sample_sleep_ms(SETTLE_MS);
    double ns = sets_kill_ns(sets);
    if (ns >= 0)
        sample_add(times, ns / 1e6);
    sets_free(&sets);
    return ns >= 0;
}

static int compare(int port, const char *title, size_t count, unsigned each, int rounds, struct sample *curfew,
                   struct sample *bare)
{
    bool able = true;
    for (int i = 0; i < rounds; i++) {
        able = able && end_bare(count, each, bare);
        if (end_curfew(port, count, each, curfew) != 0)
            return -1;
        sample_sleep_ms(SETTLE_MS);
    }
    sample_title("d", title, "ms");
    if (able)
        sample_row("bare cgroup.kill until cgroup.events says empty", bare, bare, NULL);
    sample_row("curfew: DELETE with grace=0 until all have ended", curfew, able ? bare : NULL,
               able ? &(struct bar){BAR_AT_MOST, 1.5} : NULL);
    return 0;
}

int measure_end(const struct bench *b)
{
    static struct sample one_curfew, one_bare, many_curfew, many_bare;
    struct daemon d;
    size_t many = b->quick ? 100 : 1000;
    char title[80];
    snprintf(title, sizeof title, "end %zu sessions of 10 processes each, side by side", many);
    int result = daemon_start(&d, b->folder, "end", (int)many + 10, NULL);
    /* The shell is one of the ten; the fifty are beside it. */
    if (result == 0)
        result = compare(d.port, "end one session of a shell and 50 processes", 1, 50,
                         b->quick ? 10 : 50, &one_curfew, &one_bare);
    if (result == 0)
        result = compare(d.port, title, many, 9, 3, &many_curfew, &many_bare);
    if (result == 0)
        sample_note("every second process in a session of its own, with SIGHUP, SIGINT and SIGTERM ignored");
    daemon_stop(&d);
    return result;
}
