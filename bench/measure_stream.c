/* (g) a lot of output, streamed to one reader, against the bare pipe. */
#include "bench/daemon.h"
#include "bench/driver.h"
#include "bench/http.h"
#include "bench/measures.h"
#include "bench/sample.h"
#include "bench/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDE_BYTES (1 << 20)
/* What the readers take at once: as much as the wide pipe holds, and of a socket as much as stays in the processor's
 * cache. */
#define PIPE_PIECE WIDE_BYTES
#define SOCKET_PIECE (256 << 10)

struct flow {
    long bytes;
    char *piece;
    struct driver narrow, wide;
    struct http ask, take;              /* for requests; for the stream that they are about */
    char id[128];
    struct sample narrow_gb, wide_gb, exec_gb, output_gb;
};

static int bare(struct flow *f, struct driver *d, struct sample *gb)
{
    char command[64];
    snprintf(command, sizeof command, "head -c %ld /dev/zero", f->bytes);
    int64_t start = sample_now_ns();
    if (driver_flow(d, command, f->bytes, f->piece, PIPE_PIECE) != 0) {
        fprintf(stderr, "bench: the bare driver loop did not give %ld bytes\n", f->bytes);
        return -1;
    }
    sample_add(gb, (double)f->bytes / (double)(sample_now_ns() - start));
    return 0;
}

/* POST exec, whose answer is the stream. */
static int by_exec(struct flow *f)
{
    char path[256], body[256];
    struct stream s;
    snprintf(path, sizeof path, "/v1/sessions/%s/exec", f->id);
    snprintf(body, sizeof body, "{\"command\":\"head -c %ld /dev/zero\",\"stream\":true}", f->bytes);
    int64_t start = sample_now_ns();
    if (stream_open(&s, &f->take, true, "POST", path, body) != 0 || stream_drain(&s, f->piece, SOCKET_PIECE) != 0)
        return -1;
    int64_t end = sample_now_ns();
    if (s.bytes != (uint64_t)f->bytes || strstr(s.result, "\"exit_code\":0") == NULL) {
        fprintf(stderr, "bench: %llu bytes of %ld were streamed: %s\n", (unsigned long long)s.bytes, f->bytes,
                s.result);
        return -1;
    }
    sample_add(&f->exec_gb, (double)f->bytes / (double)(end - start));
    return 0;
}

/* GET output of a command that was started before, and that prints when it is told to, so that nothing is gone before
 * its reader is there. */
static int by_output(struct flow *f)
{
    char path[256], command[128];
    struct stream s;
    struct reply reply;
    long number;
    snprintf(command, sizeof command, "read -r; head -c %ld /dev/zero", f->bytes);
    if (http_detach(&f->ask, f->id, command, true, &number) != 0)
        return -1;
    snprintf(path, sizeof path, "/v1/sessions/%s/output?exec=%ld&stream=stdout&follow=true", f->id, number);
    if (stream_open(&s, &f->take, false, "GET", path, NULL) != 0)
        return -1;
    snprintf(path, sizeof path, "/v1/sessions/%s/input", f->id);
    int64_t start = sample_now_ns();
    if (http_must(&f->ask, "POST", path, "{\"text\":\"\\n\",\"eof\":true}", &reply) != 0 ||
        stream_drain(&s, f->piece, SOCKET_PIECE) != 0)
        return -1;
    int64_t end = sample_now_ns();
    if (s.bytes != (uint64_t)f->bytes) {
        fprintf(stderr, "bench: %llu bytes of %ld were streamed\n", (unsigned long long)s.bytes, f->bytes);
        return -1;
    }
    sample_add(&f->output_gb, (double)f->bytes / (double)(end - start));
    return 0;
}

static int rounds(const struct bench *b, struct flow *f)
{
    int result = 0;
    for (int i = 0; i < (b->quick ? 3 : 9) && result == 0; i++) {
        result = bare(f, &f->narrow, &f->narrow_gb);
        if (result == 0)
            result = by_exec(f);
        if (result == 0)
            result = bare(f, &f->wide, &f->wide_gb);
        if (result == 0)
            result = by_output(f);
    }
    return result;
}

static void show(const struct bench *b, struct flow *f)
{
    const struct bar bar = {BAR_AT_LEAST, 0.4};
    sample_title_rate("g", b->quick ? "256 MiB streamed to one reader" : "1 GiB streamed to one reader", "GB/s");
    sample_row("bare bash, read from a pipe of the default size", &f->narrow_gb, &f->narrow_gb, NULL);
    sample_row("bare bash, read from a pipe of 1 MiB", &f->wide_gb, &f->narrow_gb, NULL);
    sample_row("curfew: POST exec, stream as frames", &f->exec_gb, &f->narrow_gb, &bar);
    sample_row("curfew: GET output, follow as raw bytes", &f->output_gb, &f->narrow_gb, &bar);
}

int measure_stream(const struct bench *b)
{
    static struct flow f;
    struct daemon d;
    f.bytes = b->quick ? 256l << 20 : 1l << 30;
    if ((f.piece = malloc(PIPE_PIECE)) == NULL || driver_start(&f.narrow) != 0)
        return -1;
    int result = driver_start(&f.wide);
    if (result == 0) {
        if (driver_widen(&f.wide, WIDE_BYTES) != 0)
            sample_note("the bare pipe could not be made 1 MiB large");
        result = daemon_start(&d, b->folder, "stream", 100, NULL);
        if (result == 0 && (result = http_open(&f.ask, d.port)) == 0 && (result = http_open(&f.take, d.port)) == 0 &&
            (result = http_create(&f.ask, "w", f.id, sizeof f.id)) == 0)
            result = rounds(b, &f);
        http_close(&f.ask);
        http_close(&f.take);
        daemon_stop(&d);
        driver_stop(&f.wide);
    }
    driver_stop(&f.narrow);
    free(f.piece);
    if (result == 0)
        show(b, &f);
    return result;
}
