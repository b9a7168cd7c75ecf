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

/* A server that answers nothing for so long has failed. */
#define LOAD_PATIENCE_MS 30000

/* Reads what came; 1 when the reply is complete, 0 when not yet, -1 when it is not what was hoped for. */
static int take(struct load_lane *lane, const char *expected)
{
    struct reply reply;
    ssize_t n = recv(lane->http.fd, lane->data + lane->got, sizeof lane->data - 1 - lane->got, 0);
    if (n <= 0)
        return -1;
    lane->got += (size_t)n;
    lane->data[lane->got] = '\0';
    if (http_parse(lane->data, lane->got, &reply) == 0)
        return lane->got + 1 == sizeof lane->data ? -1 : 0;
    lane->got = 0;
    return reply.status / 100 == 2 && (expected == NULL || strstr(reply.body, expected) != NULL) ? 1 : -1;
}

static bool ask(const struct load_lane *lane)
{
    return send(lane->http.fd, lane->request, lane->len, MSG_NOSIGNAL) == (ssize_t)lane->len;
}

/* Answers are counted, and followed by a next request, until the time is over; then what is still open is awaited. */
static bool turn(struct load_lane *lanes, size_t count, int epoll, const char *expected, int64_t until)
{
    struct epoll_event events[64];
    for (size_t open = count; open > 0;) {
        int ready = epoll_wait(epoll, events, sizeof events / sizeof events[0], LOAD_PATIENCE_MS);
        if (ready <= 0)
            return false;
        bool over = sample_now_ns() >= until;
        for (int i = 0; i < ready; i++) {
            struct load_lane *lane = events[i].data.ptr;
            int got = take(lane, expected);
            if (got < 0 || (got > 0 && !over && !ask(lane)))
                return false;
            lane->done += got > 0 && !over;
            open -= got > 0 && over;
        }
    }
    return true;
}

int load_lanes(struct load_lane *lanes, size_t count, const char *expected, int ms, struct load *ret_load)
{
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    bool fine = epoll >= 0;
    for (size_t i = 0; i < count && fine; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &lanes[i]};
        lanes[i].done = lanes[i].got = 0;
        fine = epoll_ctl(epoll, EPOLL_CTL_ADD, lanes[i].http.fd, &event) == 0;
    }
    int64_t start = sample_now_ns();
    for (size_t i = 0; i < count && fine; i++)
        fine = ask(&lanes[i]);
    fine = fine && turn(lanes, count, epoll, expected, start + (int64_t)ms * 1000000);
    if (epoll >= 0)
        close(epoll);
    *ret_load = (struct load){.seconds = ms / 1e3};
    for (size_t i = 0; i < count; i++)
        ret_load->requests += lanes[i].done;
    return fine ? 0 : -1;
}

static int own(int port, const char *path, int ms, struct load *ret_load)
{
    char request[1024];
    size_t len = http_request(request, sizeof request, port, "POST", path, NULL, NULL);
    struct load_lane *lanes = calloc(LOAD_CONNECTIONS, sizeof *lanes);
    int result = lanes == NULL || len == 0 ? -1 : 0;
    for (int i = 0; i < LOAD_CONNECTIONS && result == 0; i++) {
        lanes[i].request = request;
        lanes[i].len = len;
        result = http_open(&lanes[i].http, port);
    }
    if (result == 0)
        result = load_lanes(lanes, LOAD_CONNECTIONS, NULL, ms, ret_load);
    for (int i = 0; i < LOAD_CONNECTIONS && lanes != NULL; i++)
        http_close(&lanes[i].http);
    free(lanes);
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
