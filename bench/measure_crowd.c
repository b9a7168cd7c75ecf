/* (h) many sessions at once against one, (j) one beside others that print without end. */
#include "bench/daemon.h"
#include "bench/http.h"
#include "bench/load.h"
#include "bench/measures.h"
#include "bench/sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CROWD 100
#define FLOODERS 16
/* What a quiet session's 99th percentile is to its median on a machine that does little else: 1.3 to 2.5. */
#define BUSY_RATIO 4
#define REQUEST_MAX 1024

/* ---- (h) ---- */

struct crowd {
    struct load_lane lanes[CROWD];
    char requests[CROWD][REQUEST_MAX];
    struct sample one, all, least;      /* commands a second; the slowest session's share of the mean */
};

static int open_lane(struct crowd *c, size_t i, int port)
{
    struct load_lane *lane = &c->lanes[i];
    char id[128], path[256], workspace[32], body[256];
    struct reply reply;
    snprintf(workspace, sizeof workspace, "w%zu", i);
    if (http_open(&lane->http, port) != 0 || http_create(&lane->http, workspace, id, sizeof id) != 0 ||
        http_exec(&lane->http, id, "true", &reply) != 0)
        return -1;
    snprintf(path, sizeof path, "/v1/sessions/%s/exec", id);
    http_exec_body(body, sizeof body, "true");
    lane->request = c->requests[i];
    lane->len = http_request(c->requests[i], REQUEST_MAX, port, "POST", path, NULL, body);
    return lane->len == 0 ? -1 : 0;
}

static int run_lanes(struct crowd *c, size_t count, int ms, struct sample *rate)
{
    struct load load;
    if (load_lanes(c->lanes, count, "\"exit_code\":0", ms, &load) != 0) {
        fprintf(stderr, "bench: %zu sessions at once: not every command ended with 0\n", count);
        return -1;
    }
    sample_add(rate, (double)load.requests / load.seconds);
    uint64_t least = c->lanes[0].done;
    for (size_t i = 1; i < count; i++)
        least = c->lanes[i].done < least ? c->lanes[i].done : least;
    if (count > 1)
        sample_add(&c->least, (double)least * (double)count / (double)load.requests);
    return 0;
}

static int crowd_rounds(const struct bench *b, struct crowd *c, int port)
{
    int result = 0;
    for (size_t i = 0; i < CROWD && result == 0; i++)
        result = open_lane(c, i, port);
    for (int round = 0; round < (b->quick ? 3 : 15) && result == 0; round++) {
        /* Another one each time, since where the scheduler puts a shell is part of its rate. */
        struct load_lane first = c->lanes[0];
        size_t chosen = (size_t)(round * 7 % CROWD);
        c->lanes[0] = c->lanes[chosen];
        c->lanes[chosen] = first;
        result = run_lanes(c, 1, b->quick ? 300 : 1000, &c->one);
        if (result == 0)
            result = run_lanes(c, CROWD, b->quick ? 300 : 1000, &c->all);
    }
    for (size_t i = 0; i < CROWD; i++)
        http_close(&c->lanes[i].http);
    return result;
}

int measure_crowd(const struct bench *b)
{
    struct daemon d;
    struct crowd *c = calloc(1, sizeof *c);
    int result = c == NULL ? -1 : daemon_start(&d, b->folder, "crowd", CROWD + 10, NULL);
    if (result == 0) {
        result = crowd_rounds(b, c, d.port);
        daemon_stop(&d);
    }
    if (result == 0) {
        sample_title_rate("h", "true in a loop, over HTTP keep-alive", "commands/s");
        sample_row("one session, 100 are there", &c->one, &c->one, NULL);
        sample_row("100 sessions at once, together", &c->all, &c->one, &(struct bar){BAR_AT_LEAST, 0.9});
        sample_note("the slowest of the 100 ran %.2f of the mean (median of the rounds; the worst round %.2f)",
                    sample_quantile(&c->least, 0.5), sample_quantile(&c->least, 0));
    }
    free(c);
    return result;
}

/* ---- (j) ---- */

struct flood {
    struct http http;
    char ids[FLOODERS][128], id[128];
    long execs[FLOODERS];
    struct sample quiet, loud;
    double worst_ratio, least_ratio;
};

static int echoes(struct flood *f, int count, struct sample *all, struct sample *round)
{
    struct reply reply;
    for (int i = 0; i < count; i++) {
        int64_t start = sample_now_ns();
        if (http_exec(&f->http, f->id, "echo hi", &reply) != 0)
            return -1;
        double ms = (double)(sample_now_ns() - start) / 1e6;
        sample_add(all, ms);
        sample_add(round, ms);
    }
    return 0;
}

static int start_flood(struct flood *f)
{
    int result = 0;
    for (int i = 0; i < FLOODERS && result == 0; i++)
        result = http_detach(&f->http, f->ids[i], "yes", false, &f->execs[i]);
    return result;
}

static int stop_flood(struct flood *f)
{
    char path[256];
    struct reply reply;
    int result = 0;
    for (int i = 0; i < FLOODERS && result == 0; i++) {
        snprintf(path, sizeof path, "/v1/sessions/%s/execs/%ld", f->ids[i], f->execs[i]);
        result = http_must(&f->http, "DELETE", path, NULL, &reply);
        /* What printed too little has not flooded anybody. */
        const char *at = result == 0 ? strstr(reply.body, "\"stdout_bytes\":") : NULL;
        if (result == 0 && (at == NULL || strtoull(at + strlen("\"stdout_bytes\":"), NULL, 10) < 1000000)) {
            fprintf(stderr, "bench: a session that prints without end printed little: %.300s\n", reply.body);
            result = -1;
        }
    }
    return result;
}

static int flood_round(struct flood *f, int count)
{
    static struct sample quiet, loud;
    quiet.count = loud.count = 0;
    int result = echoes(f, count, &f->quiet, &quiet);
    if (result == 0 && (result = start_flood(f)) == 0) {
        result = echoes(f, count, &f->loud, &loud);
        result = stop_flood(f) != 0 ? -1 : result;
    }
    double ratio = sample_quantile(&loud, 0.99) / sample_quantile(&quiet, 0.5);
    f->worst_ratio = ratio > f->worst_ratio ? ratio : f->worst_ratio;
    f->least_ratio = f->least_ratio == 0 || ratio < f->least_ratio ? ratio : f->least_ratio;
    return result;
}

static int flood_rounds(const struct bench *b, struct flood *f, int port)
{
    int result = http_open(&f->http, port);
    for (int i = 0; i < FLOODERS && result == 0; i++)
        result = http_create(&f->http, "flood", f->ids[i], sizeof f->ids[i]);
    if (result == 0)
        result = http_create(&f->http, "w", f->id, sizeof f->id);
    for (int round = 0; round < (b->quick ? 3 : 8) && result == 0; round++)
        result = flood_round(f, b->quick ? 200 : 500);
    return result;
}

int measure_flood(const struct bench *b)
{
    static struct flood f;
    struct daemon d;
    int result = daemon_start(&d, b->folder, "flood", FLOODERS + 10, NULL);
    if (result == 0) {
        result = flood_rounds(b, &f, d.port);
        http_close(&f.http);
        daemon_stop(&d);
    }
    if (result != 0)
        return -1;
    sample_title("j", "echo hi beside 16 sessions that run `yes`", "ms");
    sample_row("quiet: the 16 are idle", &f.quiet, &f.quiet, NULL);
    sample_row("the 16 print without end", &f.loud, &f.quiet, NULL);
    sample_figure("99th percentile beside them, to the quiet median",
                  sample_quantile(&f.loud, 0.99) / sample_quantile(&f.quiet, 0.5), &(struct bar){BAR_AT_MOST, 5});
    sample_note("round by round between %.2f and %.2f", f.least_ratio, f.worst_ratio);
    double alone = sample_quantile(&f.quiet, 0.99) / sample_quantile(&f.quiet, 0.5);
    if (alone > BUSY_RATIO)
        sample_note("the machine has other work: also without the 16 the 99th percentile is %.1f times the median", alone);
    return 0;
}
