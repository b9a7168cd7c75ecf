/* (f) a lot of output through exec against the bare pipe. */
#include "bench/daemon.h"
#include "bench/http.h"
#include "bench/measures.h"
#include "bench/process.h"
#include "bench/sample.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIPE_BYTES (1 << 20)

/* Bytes a second out of `head -c BYTES /dev/zero`, read in pieces as large as the pipe; -1 when it fails. */
static double bare(long bytes, char *piece)
{
    char size[32];
    int ends[2];
    long got = 0;
    ssize_t n;
    snprintf(size, sizeof size, "%ld", bytes);
    const char *argv[] = {"head", "-c", size, "/dev/zero", NULL};
    if (pipe2(ends, O_CLOEXEC) != 0)
        return -1;
    /* Not allowed past pipe-max-size for a plain user; it is then as large as it is. */
    if (fcntl(ends[1], F_SETPIPE_SZ, PIPE_BYTES) < 0)
        sample_note("the bare pipe could not be made 1 MiB large");
    int64_t start = sample_now_ns();
    pid_t pid = process_spawn(argv, -1, ends[1], -1);
    close(ends[1]);
    while ((n = read(ends[0], piece, PIPE_BYTES)) > 0)
        got += n;
    close(ends[0]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    return got == bytes ? (double)bytes * 1e9 / (double)(sample_now_ns() - start) : -1;
}

static int rounds(const struct bench *b, struct http *h, const char *id, char *piece)
{
    static struct sample bare_gb, curfew_gb;
    char command[64];
    struct reply reply;
    long bytes = b->quick ? 256l << 20 : 1l << 30;
    snprintf(command, sizeof command, "head -c %ld /dev/zero", bytes);
    for (int i = 0; i < (b->quick ? 3 : 7); i++) {
        double speed = bare(bytes, piece);
        int64_t start = sample_now_ns();
        if (speed < 0 || http_exec(h, id, command, &reply) != 0)
            return -1;
        sample_add(&bare_gb, speed / 1e9);
        sample_add(&curfew_gb, (double)bytes / (double)(sample_now_ns() - start));
    }
    sample_title_rate("f", b->quick ? "256 MiB of output" : "1 GiB of output", "GB/s");
    sample_row("read from a bare pipe of 1 MiB", &bare_gb, &bare_gb, NULL);
    sample_row("curfew: POST exec until the reply", &curfew_gb, &bare_gb, &(struct bar){BAR_AT_LEAST, 0.5});
    sample_note("the last reply had %zu bytes: output beyond max_output_bytes is counted, not sent", reply.body_len);
    return 0;
}

int measure_output(const struct bench *b)
{
    struct daemon d;
    struct http h = {.fd = -1};
    char id[128], *piece = malloc(PIPE_BYTES);
    int result = piece == NULL ? -1 : daemon_start(&d, b->folder, "output", 100, NULL);
    if (result == 0 && (result = http_open(&h, d.port)) == 0 && (result = http_create(&h, "w", id, sizeof id)) == 0)
        result = rounds(b, &h, id, piece);
    http_close(&h);
    if (piece != NULL)
        daemon_stop(&d);
    free(piece);
    return result;
}
