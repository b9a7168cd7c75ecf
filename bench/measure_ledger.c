/* (l) what the ledger adds to a create, an end and a heartbeat: two curfews side by side, one of them without it. */
#include "bench/daemon.h"
#include "bench/http.h"
#include "bench/measures.h"
#include "bench/process.h"
#include "bench/sample.h"

#include <stdio.h>
#include <string.h>

#define SIDES 2                         /* without, with */
#define BEATS 400                       /* in one round */
/* As in (a): the pool is full again, the last round's processes are gone, and no processor has gone to sleep. */
#define BETWEEN_ROUNDS_MS 15

struct side {
    struct daemon daemon;
    struct http http;
    char id[128];                       /* of the session that heartbeats go to */
    struct sample create_ms, end_ms, beat_us, cpu_us;
};

/* The one that comes next is asked last, whichever it is: who was asked last is faster. */
static int keep_awake(struct side *sides, unsigned next)
{
    int64_t until = sample_now_ns() + BETWEEN_ROUNDS_MS * 1000000LL;
    struct reply reply;
    int result = 0;
    while (result == 0 && sample_now_ns() < until)
        for (unsigned i = 1; i <= SIDES && result == 0; i++)
            result = http_must(&sides[(next + i) % SIDES].http, "GET", "/healthz", NULL, &reply);
    return result;
}

static int start_and_end(struct side *side, unsigned round)
{
    char workspace[32], id[128];
    snprintf(workspace, sizeof workspace, "w%u", round % 50);
    int64_t start = sample_now_ns();
    if (http_create(&side->http, workspace, id, sizeof id) != 0)
        return -1;
    int64_t created = sample_now_ns();
    struct reply reply;
    if (http_exec(&side->http, id, "true", &reply) != 0)
        return -1;
    int64_t ending = sample_now_ns();
    if (http_end(&side->http, id) != 0)
        return -1;
    sample_add(&side->create_ms, (double)(created - start) / 1e6);
    sample_add(&side->end_ms, (double)(sample_now_ns() - ending) / 1e6);
    return 0;
}

static int beat(struct side *side)
{
    char path[256];
    struct reply reply;
    int64_t cpu_ns = process_cpu_ns(side->daemon.server), start = sample_now_ns();
    snprintf(path, sizeof path, "/v1/sessions/%s/heartbeat", side->id);
    for (int i = 0; i < BEATS; i++)
        if (http_must(&side->http, "POST", path, NULL, &reply) != 0)
            return -1;
    sample_add(&side->beat_us, (double)(sample_now_ns() - start) / 1e3 / BEATS);
    sample_add(&side->cpu_us, (double)(process_cpu_ns(side->daemon.server) - cpu_ns) / 1e3 / BEATS);
    return 0;
}

/* Who goes first changes from round to round. */
static int rounds(struct side *sides, unsigned count, unsigned beats)
{
    for (unsigned i = 0; i < count; i++)
        for (unsigned j = 0; j < SIDES; j++)
            if (keep_awake(sides, (i + j) % SIDES) != 0 || start_and_end(&sides[(i + j) % SIDES], i) != 0)
                return -1;
    for (unsigned i = 0; i < beats; i++)
        for (unsigned j = 0; j < SIDES; j++)
            if (beat(&sides[(i + j) % SIDES]) != 0)
                return -1;
    return 0;
}

static void row(const char *title, const char *unit, struct sample *without, struct sample *with, double limit)
{
    sample_title("l", title, unit);
    sample_row("curfew, ledger_file = none", without, without, NULL);
    sample_row("curfew, with its ledger", with, without, &(struct bar){BAR_AT_MOST, limit});
}

static void show(struct side *sides)
{
    struct side *without = &sides[0], *with = &sides[1];
    row("create a session: POST sessions", "ms", &without->create_ms, &with->create_ms, 1.05);
    row("end a session: DELETE with grace=0", "ms", &without->end_ms, &with->end_ms, 1.05);
    row("one heartbeat after another", "us", &without->beat_us, &with->beat_us, 1.03);
    row("CPU of the server process for each heartbeat", "us", &without->cpu_us, &with->cpu_us, 1.03);
}

int measure_ledger(const struct bench *b)
{
    static struct side sides[SIDES];
    static const char *const names[SIDES] = {"without", "with"};
    static const char *const none[] = {"--ledger-file", "none", NULL};
    int result = 0;
    for (int i = 0; i < SIDES; i++)
        sides[i] = (struct side){.daemon = {.keeper = -1}, .http = {.fd = -1}};
    for (int i = 0; i < SIDES && result == 0; i++) {
        result = daemon_start(&sides[i].daemon, b->folder, names[i], 100, i == 0 ? none : NULL);
        if (result == 0 && (result = http_open(&sides[i].http, sides[i].daemon.port)) == 0)
            result = http_create(&sides[i].http, "beats", sides[i].id, sizeof sides[i].id);
    }
    if (result == 0)
        result = rounds(sides, b->quick ? 40 : 600, b->quick ? 20 : 300);
    if (result == 0)
        show(sides);
    for (int i = 0; i < SIDES; i++) {
        http_close(&sides[i].http);
        daemon_stop(&sides[i].daemon);
    }
    return result;
}
