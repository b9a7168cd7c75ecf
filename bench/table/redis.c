/* Redis on a Unix socket: a hash for each session with a time to live, requests in pipelines.
 *
 * The last use is not stored a second time: it is the end of the time to live less the idle limit.  So a touch is
 * PEXPIRE, and HINCRBY when it counts a message. Redis ends keys by its own clock and mostly when somebody asks for
 * them, so a sweep that wants all of them ended is a SCAN, which looks at every key.  Its own cycle is switched off
 * while that is measured; alone it takes minutes for the rare expired one. */
#include "bench/process.h"
#include "bench/sample.h"
#include "bench/table/record.h"
#include "bench/table/resp.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIPELINE 512                    /* requests without waiting for an answer */
#define START_MS 10000
#define SCAN_COUNT "1000"
#define PAST_MS 2                       /* a time to live that is over by the next sweep */

struct store {
    struct resp resp;
    char socket_path[120];
    pid_t pid;                          /* 0: attached to another store's server */
    const struct name *ids;             /* as they were created: a reference is a pointer to one */
    int64_t now_ns;                     /* the latest that was heard of */
    bool expiring;
};

/* The Debian package redis-tools has the server under another name, and it goes by the name that it is called by. */
static const char *const programs[] = {
    "/usr/bin/redis-server", "/usr/local/bin/redis-server", "/usr/bin/redis-check-rdb",
};

static pid_t start(const char *folder, const char *socket_path)
{
    pid_t parent = getpid(), pid = fork();
    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || freopen("/dev/null", "w", stdout) == NULL)
        _exit(1);
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++)
        execl(programs[i], "redis-server", "--port", "0", "--unixsocket", socket_path, "--dir", folder, "--save", "",
              "--appendonly", "no", "--daemonize", "no", "--enable-debug-command", "yes", "--maxclients", "16",
              (char *)NULL);
    _exit(127);
}

static int64_t ask(struct store *store, const char *what, const char *with, const char *value)
{
    struct resp_reply reply = {.kind = '-'};
    if (value != NULL)
        resp_add(&store->resp, 3, what, with, value);
    else
        resp_add(&store->resp, with == NULL ? 1 : 2, what, with);
    if (resp_send(&store->resp) != 0 || resp_read(&store->resp, &reply) != 0 || reply.kind == '-') {
        fprintf(stderr, "bench: redis: %s: %s\n", what, reply.text == NULL ? "no answer" : reply.text);
        return -1;
    }
    return reply.number;
}

static void close_store(struct store *store)
{
    resp_close(&store->resp);
    if (store->pid > 0) {
        kill(store->pid, SIGKILL);
        waitpid(store->pid, NULL, 0);
        unlink(store->socket_path);
    }
    free(store);
}

static struct store *open_store(const char *folder, size_t max, int64_t now_ns)
{
    struct store *store = calloc(1, sizeof *store);
    if (store == NULL)
        abort();
    store->resp.fd = -1;
    snprintf(store->socket_path, sizeof store->socket_path, "%s/redis.%d", folder, (int)getpid());
    store->pid = start(folder, store->socket_path);
    for (int64_t until = sample_now_ns() + START_MS * INT64_C(1000000); sample_now_ns() < until; sample_sleep_ms(5)) {
        if (resp_open(&store->resp, store->socket_path) == 0)
            break;
        if (waitpid(store->pid, NULL, WNOHANG) != 0) {
            store->pid = 0;
            break;
        }
    }
    if (store->resp.fd < 0 || ask(store, "DEBUG", "SET-ACTIVE-EXPIRE", "0") < 0) {
        fprintf(stderr, "bench: redis-server did not start\n");
        close_store(store);
        return NULL;
    }
    store->now_ns = now_ns;
    return store;
}

static struct store *attach(struct store *store)
{
    struct store *other = calloc(1, sizeof *other);
    if (other == NULL || resp_open(&other->resp, store->socket_path) != 0)
        abort();
    other->now_ns = store->now_ns;
    return other;
}

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Reads `count` replies; how many were numbers above 0, or texts. */
static size_t replies(struct store *store, size_t count)
{
    size_t good = 0;
    struct resp_reply reply;
    for (size_t i = 0; i < count; i++) {
        if (resp_read(&store->resp, &reply) != 0)
            return good;
        good += reply.kind == ':' ? reply.number > 0 : reply.kind == '$' && reply.number >= 0;
    }
    return good;
}

static void milliseconds(char *buf, size_t size, const struct store *store, int64_t used_ns)
{
    int64_t left_ns = used_ns + IDLE_NS - store->now_ns;
    snprintf(buf, size, "%lld", left_ns <= 0 ? PAST_MS : (long long)(left_ns / 1000000));
}

static size_t create(struct store *store, const struct name *ids, size_t count, int64_t now_ns, uint64_t *ret_refs)
{
    size_t done = 0;
    char created[24], ttl[24], user[24];
    store->now_ns = now_ns > store->now_ns ? now_ns : store->now_ns;
    snprintf(created, sizeof created, "%lld", (long long)now_ns);
    snprintf(user, sizeof user, "%llu", (unsigned long long)(uintptr_t)store);
    milliseconds(ttl, sizeof ttl, store, now_ns);
    for (size_t at = 0; at < count;) {
        size_t here = min_size(PIPELINE / 2, count - at);
        for (size_t i = 0; i < here; i++, at++) {
            const char *id = ids[at].text;
            /* HSET answers how many fields are new: all five when the session is. */
            resp_add(&store->resp, 12, "HSET", id, "w", record_workspace(id), "c", created, "m", "0", "s", "1", "u",
                     user);
            resp_add(&store->resp, 3, "PEXPIRE", id, ttl);
            ret_refs[at] = (uintptr_t)&ids[at];
        }
        resp_send(&store->resp);
        done += replies(store, here * 2) / 2;
    }
    return done;
}

/* The id that a reference stands for. */
static const char *named(uint64_t ref)
{
    return ((const struct name *)(uintptr_t)ref)->text;
}

struct touches {
    const uint64_t *refs;               /* these, or by id: */
    const struct name *ids;
    size_t count;
    bool message;
};

static size_t touch_some(struct store *store, const struct touches *what, int64_t now_ns)
{
    size_t done = 0;
    unsigned requests = what->message ? 2 : 1;
    char ttl[24];
    store->now_ns = now_ns > store->now_ns ? now_ns : store->now_ns;
    milliseconds(ttl, sizeof ttl, store, now_ns);
    for (size_t at = 0; at < what->count;) {
        size_t here = min_size(PIPELINE / requests, what->count - at);
        for (size_t i = 0; i < here; i++, at++) {
            const char *id = what->refs != NULL ? named(what->refs[at]) : what->ids[at].text;
            resp_add(&store->resp, 3, "PEXPIRE", id, ttl);
            if (what->message)
                resp_add(&store->resp, 4, "HINCRBY", id, "m", "1");
        }
        resp_send(&store->resp);
        done += replies(store, here * requests) / requests;
    }
    if (now_ns + IDLE_NS <= store->now_ns)
        sample_sleep_ms(PAST_MS * 2);
    return done;
}

static size_t touch(struct store *store, const uint64_t *refs, size_t count, int64_t now_ns)
{
    return touch_some(store, &(struct touches){.refs = refs, .count = count}, now_ns);
}

static size_t touch_message(struct store *store, const uint64_t *refs, size_t count, int64_t now_ns)
{
    return touch_some(store, &(struct touches){.refs = refs, .count = count, .message = true}, now_ns);
}

static size_t touch_id(struct store *store, const struct name *ids, size_t count, int64_t now_ns)
{
    return touch_some(store, &(struct touches){.ids = ids, .count = count}, now_ns);
}

static size_t lookup(struct store *store, const struct name *ids, size_t count)
{
    size_t done = 0;
    for (size_t at = 0; at < count;) {
        size_t here = min_size(PIPELINE, count - at);
        for (size_t i = 0; i < here; i++, at++)
            resp_add(&store->resp, 3, "HGET", ids[at].text, "u");
        resp_send(&store->resp);
        done += replies(store, here);
    }
    return done;
}

static size_t end(struct store *store, const uint64_t *refs, size_t count)
{
    size_t done = 0;
    for (size_t at = 0; at < count;) {
        size_t here = min_size(PIPELINE, count - at);
        for (size_t i = 0; i < here; i++, at++)
            resp_add(&store->resp, 2, "DEL", named(refs[at]));
        resp_send(&store->resp);
        done += replies(store, here);
    }
    return done;
}

/* One step of SCAN: the cursor of the next into `cursor`; false when the connection broke. */
static bool scan(struct store *store, char *cursor, size_t size)
{
    struct resp_reply reply;
    resp_add(&store->resp, 4, "SCAN", cursor, "COUNT", SCAN_COUNT);
    if (resp_send(&store->resp) != 0 || resp_read(&store->resp, &reply) != 0 || reply.kind != '*' ||
        resp_read(&store->resp, &reply) != 0)
        return false;
    snprintf(cursor, size, "%s", reply.text);
    if (resp_read(&store->resp, &reply) != 0 || reply.kind != '*')
        return false;
    for (int64_t keys = reply.number; keys > 0; keys--)
        if (resp_read(&store->resp, &reply) != 0)
            return false;
    return true;
}

static size_t sweep(struct store *store, int64_t now_ns)
{
    char cursor[32] = "0";
    int64_t before = ask(store, "DBSIZE", NULL, NULL);
    store->now_ns = now_ns > store->now_ns ? now_ns : store->now_ns;
    do {
        if (!scan(store, cursor, sizeof cursor))
            return SIZE_MAX;
    } while (strcmp(cursor, "0") != 0);
    return (size_t)(before - ask(store, "DBSIZE", NULL, NULL));
}

static size_t bytes(struct store *store)
{
    struct resp_reply reply;
    resp_add(&store->resp, 2, "INFO", "memory");
    if (resp_send(&store->resp) != 0 || resp_read(&store->resp, &reply) != 0 || reply.kind != '$')
        return 0;
    const char *at = strstr(reply.text, "used_memory:");
    return at == NULL ? 0 : strtoull(at + 12, NULL, 10);
}

static pid_t process(struct store *store)
{
    return store->pid;
}

const struct adapter adapter_redis = {
    .name = "Redis",
    .what = "a hash with PEXPIRE for each session, pipelines of 512 on a Unix socket; a sweep is a SCAN",
    .slow = true, .external = true, .many_threads = true,
    .open = open_store, .close = close_store, .create = create, .touch = touch, .touch_message = touch_message,
    .touch_id = touch_id, .lookup = lookup, .end = end, .sweep = sweep, .bytes = bytes, .process = process,
    .attach = attach, .detach = close_store,
};
