#include "bench/load.h"
#include "bench/http.h"
#include "bench/process.h"
#include "bench/sample.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_MAX 4096

struct line {
    struct http http;
    char data[REPLY_MAX];
    size_t len;
};

/* Reads what came; 1 when the reply is complete, 0 when not yet, -1 when it is not what was hoped for. */
static int take(struct line *line)
{
    struct reply reply;
    ssize_t n = recv(line->http.fd, line->data + line->len, sizeof line->data - 1 - line->len, 0);
    if (n <= 0)
        return -1;
    line->len += (size_t)n;
    line->data[line->len] = '\0';
    if (http_parse(line->data, line->len, &reply) == 0)
        return line->len + 1 == sizeof line->data ? -1 : 0;
    line->len = 0;
    return reply.status / 100 == 2 ? 1 : -1;
}

static int run_own(struct line *lines, const char *request, size_t len, int ms, struct load *ret_load)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int64_t start = sample_now_ns(), until = start + (int64_t)ms * 1000000, now = start;
    uint64_t count = 0;
    bool failed = epoll < 0;
    for (int i = 0; i < LOAD_CONNECTIONS && !failed; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &lines[i]};
        failed = epoll_ctl(epoll, EPOLL_CTL_ADD, lines[i].http.fd, &event) != 0 ||
                 send(lines[i].http.fd, request, len, MSG_NOSIGNAL) != (ssize_t)len;
    }
    while (!failed && now < until) {
        struct epoll_event events[LOAD_CONNECTIONS];
        int ready = epoll_wait(epoll, events, LOAD_CONNECTIONS, 1000);
        failed = ready <= 0;
        for (int i = 0; i < ready && !failed; i++) {
            struct line *line = events[i].data.ptr;
            int got = take(line);
            count += got > 0;
            failed = got < 0 || (got > 0 && send(line->http.fd, request, len, MSG_NOSIGNAL) != (ssize_t)len);
        }
        now = sample_now_ns();
    }
    if (epoll >= 0)
        close(epoll);
    ret_load->requests = count;
    ret_load->seconds = (double)(now - start) / 1e9;
    return failed ? -1 : 0;
}

static int own(int port, const char *path, int ms, struct load *ret_load)
{
    char request[1024];
    size_t len = http_request(request, sizeof request, port, "POST", path, NULL);
    struct line *lines = calloc(LOAD_CONNECTIONS, sizeof *lines);
    int result = lines == NULL || len == 0 ? -1 : 0;
    for (int i = 0; i < LOAD_CONNECTIONS && result == 0; i++)
        result = http_open(&lines[i].http, port);
    if (result == 0)
        result = run_own(lines, request, len, ms, ret_load);
    for (int i = 0; i < LOAD_CONNECTIONS && lines != NULL; i++)
        http_close(&lines[i].http);
    free(lines);
    return result;
}

static int by_wrk(const char *folder, int port, const char *path, int ms, struct load *ret_load)
{
    char script[300], url[512], seconds[16], connections[16], output[8192];
    snprintf(script, sizeof script, "%s/post.lua", folder);
    FILE *file = fopen(script, "we");
    if (file == NULL)
        return -1;
    fprintf(file, "wrk.method = 'POST'\nwrk.headers['Content-Type'] = 'application/json'\nwrk.headers['Content-Length'] = '0'\n"
                  "function done(s, l, r)\n io.write(string.format('totals: %%d %%d %%d\\n', s.requests, s.duration,\n"
                  "  s.errors.status + s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout))\nend\n");
    fclose(file);
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", port, path);
    snprintf(seconds, sizeof seconds, "%ds", (ms + 999) / 1000);
    snprintf(connections, sizeof connections, "-c%d", LOAD_CONNECTIONS);
    const char *argv[] = {"wrk", "-t1", connections, "-d", seconds, "-s", script, url, NULL};
    if (process_run(argv, output, sizeof output) != 0)
        return -1;
    unsigned long long requests, duration_us, errors;
    const char *at = strstr(output, "totals: ");
    if (at == NULL || sscanf(at, "totals: %llu %llu %llu", &requests, &duration_us, &errors) != 3 || errors > 0 || requests == 0)
        return -1;
    ret_load->requests = requests;
    ret_load->seconds = (double)duration_us / 1e6;
    return 0;
}

int load_run(bool wrk, const char *folder, int port, const char *path, int ms, struct load *ret_load)
{
    int result = wrk ? by_wrk(folder, port, path, ms, ret_load) : own(port, path, ms, ret_load);
    if (result != 0)
        fprintf(stderr, "bench: POST %s on port %d under load: not every answer was a 2xx\n", path, port);
    return result;
}
