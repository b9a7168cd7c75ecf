/* (c) heartbeats against a constant from nginx, one core each. */
#include "bench/daemon.h"
#include "bench/http.h"
#include "bench/load.h"
#include "bench/measures.h"
#include "bench/process.h"
#include "bench/sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct side {
    const char *name;
    pid_t pid;
    int port;
    const char *path;
    struct sample per_second, cpu_us;
};

static int take(const struct bench *b, struct side *side, int ms)
{
    struct load load;
    int64_t before = process_cpu_ns(side->pid);
    if (load_run(b->wrk, b->folder, side->port, side->path, ms, &load) != 0)
        return -1;
    sample_add(&side->per_second, (double)load.requests / load.seconds);
    sample_add(&side->cpu_us, (double)(process_cpu_ns(side->pid) - before) / 1e3 / (double)load.requests);
    return 0;
}

static int rounds(const struct bench *b, struct side *sides, size_t count)
{
    int cpus = process_cpus();
    for (size_t i = 0; i < count; i++)
        process_pin(sides[i].pid, cpus > 1 ? 1 : 0);
    process_pin(0, 0);
    int result = 0;
    for (int round = 0; round < (b->quick ? 2 : 7) && result == 0; round++)
        for (size_t i = 0; i < count && result == 0; i++)
            result = take(b, &sides[i], b->quick ? 1000 : 2000);
    process_pin(0, -1);
    return result;
}

static void show(const struct bench *b, struct side *sides, size_t count)
{
    struct side *curfew = &sides[0], *nginx = count > 1 ? &sides[1] : NULL;
    sample_title_rate("c", "heartbeats over keep-alive", "requests/s");
    if (nginx != NULL)
        sample_row(nginx->name, &nginx->per_second, &nginx->per_second, NULL);
    sample_row(curfew->name, &curfew->per_second, nginx == NULL ? NULL : &nginx->per_second, NULL);
    sample_title("c", "CPU of the server process for each request", "us");
    if (nginx != NULL)
        sample_row(nginx->name, &nginx->cpu_us, &nginx->cpu_us, NULL);
    sample_row(curfew->name, &curfew->cpu_us, nginx == NULL ? NULL : &nginx->cpu_us, &(struct bar){BAR_AT_MOST, 1.3});
    sample_note("load by %s on CPU 0, %d connections; the server on %s", b->wrk ? "wrk" : "a loop of our own",
                LOAD_CONNECTIONS, process_cpus() > 1 ? "CPU 1" : "the same CPU, since there is but one");
    if (nginx == NULL)
        sample_note("nginx is not installed or did not start: nothing to compare with");
}

int measure_heartbeat(const struct bench *b)
{
    static struct side sides[2] = {{.name = "curfew: POST heartbeat"}, {.name = "nginx: a constant of the same size"}};
    struct daemon d;
    struct nginx n = {.master = -1};
    struct http h = {.fd = -1};
    struct reply reply;
    char id[128], path[256];
    int result = daemon_start(&d, b->folder, "heartbeat", 100, NULL);
    if (result != 0 || (result = http_open(&h, d.port)) != 0 || (result = http_create(&h, "w", id, sizeof id)) != 0)
        goto out;
    snprintf(path, sizeof path, "/v1/sessions/%s/heartbeat", id);
    if ((result = http_must(&h, "POST", path, NULL, &reply)) != 0)
        goto out;
    sides[0].pid = d.server;
    sides[0].port = d.port;
    sides[0].path = sides[1].path = path;
    size_t count = 1;
    if (b->nginx && nginx_start(&n, b->folder, reply.body) == 0) {
        sides[1].pid = n.worker;
        sides[1].port = n.port;
        count = 2;
    }
    if ((result = rounds(b, sides, count)) == 0)
        show(b, sides, count);
out:
    http_close(&h);
    nginx_stop(&n);
    daemon_stop(&d);
    return result;
}
