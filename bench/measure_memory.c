/* (e) memory of an idle session and of an idle connection. */
#include "bench/daemon.h"
#include "bench/http.h"
#include "bench/measures.h"
#include "bench/process.h"
#include "bench/sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TREE_MAX 4096
#define SETTLE_MS 500

/* Pss in KiB of the keeper, the server, and whatever else runs that is not a session's shell (a PID namespace's init). */
struct memory {
    double keeper, server, others;
    size_t other_count;
};

static struct memory look(const struct daemon *d)
{
    static struct process list[TREE_MAX];
    struct memory m = {0};
    size_t count = process_tree(d->keeper, list, TREE_MAX);
    for (size_t i = 0; i < count; i++) {
        double kib = (double)process_pss_bytes(list[i].pid) / 1024;
        if (list[i].pid == d->keeper) {
            m.keeper += kib;
        } else if (list[i].pid == d->server) {
            m.server += kib;
        } else if (strcmp(list[i].name, "bash") != 0) {
            m.others += kib;
            m.other_count++;
        }
    }
    return m;
}

static int make_sessions(struct http *h, int count, char (*ids)[128])
{
    char workspace[32];
    struct reply reply;
    for (int i = 0; i < count; i++) {
        snprintf(workspace, sizeof workspace, "w%d", i % 20);
        if (http_create(h, workspace, ids[i], sizeof ids[i]) != 0 || http_exec(h, ids[i], "echo hi", &reply) != 0)
            return -1;
    }
    return 0;
}

static int sessions(const struct daemon *d, struct http *h, int count)
{
    char (*ids)[128] = calloc((size_t)count, sizeof *ids);
    /* A few first, so that what is allocated once does not count. */
    int result = ids == NULL ? -1 : make_sessions(h, 5, ids);
    for (int i = 0; i < 5 && result == 0; i++)
        result = http_end(h, ids[i]);
    sample_sleep_ms(SETTLE_MS);
    struct memory before = look(d);
    if (result == 0)
        result = make_sessions(h, count, ids);
    sample_sleep_ms(SETTLE_MS);
    struct memory after = look(d);
    free(ids);
    if (result != 0)
        return -1;
    double keeper = (after.keeper - before.keeper) / count, server = (after.server - before.server) / count;
    double others = (after.others - before.others) / count;
    printf("\n(e) memory beside the shell, KB (proportional set size)\n");
    sample_note("before: keeper %.0f, server %.0f; with %d idle sessions: keeper %.0f, server %.0f, %zu further processes %.0f",
                before.keeper, before.server, count, after.keeper, after.server, after.other_count, after.others);
    sample_figure("an idle session: keeper", keeper, NULL);
    sample_figure("an idle session: server", server, NULL);
    sample_figure("an idle session: further processes (init of a namespace)", others, NULL);
    sample_figure("an idle session: together", keeper + server + others, &(struct bar){BAR_AT_MOST, 20});
    return 0;
}

static int connections(const struct daemon *d, int count)
{
    struct http *list = calloc((size_t)count, sizeof *list);
    struct reply reply;
    sample_sleep_ms(SETTLE_MS);
    struct memory before = look(d);
    int opened = 0, result = list == NULL ? -1 : 0;
    for (; opened < count && result == 0; opened++) {
        result = http_open(&list[opened], d->port) != 0 ? -1 : http_must(&list[opened], "GET", "/healthz", NULL, &reply);
        /* The buffers of this side are not what is measured, but they need not be there either. */
        free(list[opened].data);
        list[opened].data = NULL;
        list[opened].cap = list[opened].len = 0;
    }
    sample_sleep_ms(SETTLE_MS);
    struct memory after = look(d);
    for (int i = 0; i < opened; i++)
        http_close(&list[i]);
    free(list);
    if (result != 0)
        return -1;
    sample_note("%d connections that made one request and stay open", count);
    sample_figure("an idle connection", (after.keeper + after.server - before.keeper - before.server) / count,
                  &(struct bar){BAR_AT_MOST, 6});
    return 0;
}

int measure_memory(const struct bench *b)
{
    struct daemon d;
    struct http h = {.fd = -1};
    int count = b->quick ? 50 : 200;
    const char *no_pool[] = {"--warm-pool", "0", NULL};
    int result = daemon_start(&d, b->folder, "memory", count + 10, no_pool);
    if (result == 0 && (result = http_open(&h, d.port)) == 0 && (result = sessions(&d, &h, count)) == 0)
        result = connections(&d, b->quick ? 500 : 2000);
    http_close(&h);
    daemon_stop(&d);
    return result;
}
