#include "cli/client.h"

#include "base/clock.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CONNECTIONS_MAX 32L
#define CONNECT_MS 10000L
#define ANSWER_MS 60000L                /* for what needs no grace and waits for no command */
#define BUFFER_BYTES 262144L            /* of a transfer; libcurl's 16 KiB take a third longer for 1 GiB */
#define FDS_MAX 8

struct cf_client {
    CURLM *multi;
    struct cf_where where;
};

struct cf_client *cf_client_new(const struct cf_where_flags *flags, struct cf_error *error)
{
    struct cf_client *client = calloc(1, sizeof *client);

    if (!client || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(client->multi = curl_multi_init())) {
        free(client);
        cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
        return NULL;
    }
    curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, CONNECTIONS_MAX);
    if (cf_where_find(&client->where, flags, error) < 0)
        cf_client_free(&client);
    return client;
}

void cf_client_free(struct cf_client **client)
{
    if (!*client)
        return;
    curl_multi_cleanup((*client)->multi);
    free(*client);
    *client = NULL;
    curl_global_cleanup();
}

const char *cf_client_name(const struct cf_client *client)
{
    return client->where.name;
}

const struct cf_where *cf_client_where(const struct cf_client *client)
{
    return &client->where;
}

/* To the sink goes only what was asked for; a refusal is an envelope. */
static bool goes_to_sink(struct cf_exchange *x)
{
    const char *type = NULL;
    long http = 0;

    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &http);
    curl_easy_getinfo(x->easy, CURLINFO_CONTENT_TYPE, &type);
    return x->sink && http == 200 && type && strncasecmp(type, x->accept, strlen(x->accept)) == 0;
}

static size_t take(char *data, size_t size, size_t count, void *user)
{
    struct cf_exchange *x = user;

    if (x->streamed || (x->reply.len == 0 && goes_to_sink(x))) {
        x->streamed = true;
        x->paused = !x->sink(x->sink_arg, data, size * count);
        return x->paused ? CURL_WRITEFUNC_PAUSE : size * count;
    }
    cf_buf_append(&x->reply, data, size * count);
    return x->reply.failed ? 0 : size * count;
}

static size_t take_header(char *data, size_t size, size_t count, void *user)
{
    static const char offset[] = "X-Curfew-Offset:", next[] = "X-Curfew-Next:";
    struct cf_exchange *x = user;
    size_t len = size * count;

    if (len > sizeof offset && strncasecmp(data, offset, sizeof offset - 1) == 0)
        x->offset = strtoll(data + sizeof offset - 1, NULL, 10);
    if (len > sizeof next && strncasecmp(data, next, sizeof next - 1) == 0)
        x->next = strtoll(data + sizeof next - 1, NULL, 10);
    return len;
}

static bool waits_long(enum cf_op op)
{
    return op == CF_OP_exec || op == CF_OP_exec_show || op == CF_OP_exec_cancel || op == CF_OP_output ||
           op == CF_OP_end || op == CF_OP_cleanup;
}

/* "Expect:" keeps libcurl from asking whether a large body is welcome; "Content-Type:" from naming a form. */
static struct curl_slist *headers(const struct cf_where *where, const struct cf_exchange *x)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    char line[128];

    snprintf(line, sizeof line, "Accept: %s%s", x->accept ? x->accept : "",
             x->accept ? ", application/json;q=0.1" : "application/json");
    list = curl_slist_append(list, line);
    if (x->content || x->body.len > 0)
        snprintf(line, sizeof line, "Content-Type: %s", x->content ? x->content : "application/json");
    else
        snprintf(line, sizeof line, "Content-Type:");
    list = curl_slist_append(list, line);
    return *where->token ? curl_slist_append(list, where->token) : list;
}

/* A connection is used once: libcurl sends a request again when a kept one turns out to be dead, and a command must not
 * run twice.  Proxies are left out, since they would be handed commands and the token. */
static void prepare_connection(const struct cf_where *where, CURL *easy)
{
    if (*where->socket)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, where->socket);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
}

static int prepare(struct cf_client *client, struct cf_exchange *x)
{
    char url[8192];
    CURL *easy = curl_easy_init();
    const char *method = cf_ops_row(x->op)->method;
    bool post = strcmp(method, "POST") == 0;

    x->easy = easy;
    x->headers = headers(&client->where, x);
    x->offset = x->next = -1;
    if (!easy || !x->headers || x->path.failed || x->body.failed)
        return cf_error_set(&x->error, CF_E_NO_MEMORY, NULL, "out of memory");
    if (snprintf(url, sizeof url, "%s%s", client->where.base, x->path.data) >= (int)sizeof url)
        return cf_error_set(&x->error, CF_E_INVALID, NULL, "the session id or another argument is too long");
    prepare_connection(&client->where, easy);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, waits_long(x->op) ? 0L : ANSWER_MS);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->trouble);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, x);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, x);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->headers);
    if (x->sink)
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, BUFFER_BYTES);
    if (x->body.len > 0 || post) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)x->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, x->body.len > 0 ? x->body.data : "");
    }
    if (!post || x->body.len > 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
    return 0;
}

/* The system's words, else libcurl's. */
static const char *words(const struct cf_exchange *x, CURLcode code, long number)
{
    if (number > 0)
        return strerror((int)number);
    return *x->trouble ? x->trouble : curl_easy_strerror(code);
}

static void explain(struct cf_client *client, struct cf_exchange *x, CURLcode code)
{
    const char *name = client->where.name;
    long number = 0;
    struct stat st;

    curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &number);
    if (code == CURLE_WRITE_ERROR)
        cf_error_set(&x->error, CF_E_TOO_LARGE, NULL, "the answer is larger than %zu MiB", CF_REPLY_MAX >> 20);
    else if (code == CURLE_COULDNT_CONNECT && *client->where.socket && stat(client->where.socket, &st) < 0)
        cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "no server answers at %s (%s); start one with: curfew serve",
                     name, strerror(errno));
    else if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
        cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "no server answers at %s (%s); start one with: curfew serve",
                     name, words(x, code, number));
    else if (code == CURLE_OPERATION_TIMEDOUT)
        cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "the server at %s did not answer in time", name);
    else
        cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "the server at %s broke off without an answer (%s)", name,
                     words(x, code, 0));
}

static void release(struct cf_client *client, struct cf_exchange *x)
{
    if (x->running)
        curl_multi_remove_handle(client->multi, x->easy);
    if (x->easy)
        curl_easy_cleanup(x->easy);
    curl_slist_free_all(x->headers);
    x->easy = x->headers = NULL;
    x->running = x->paused = false;
}

static void done(struct cf_client *client, struct cf_exchange *x, CURLcode code)
{
    const char *type = NULL;

    x->error.code = 0;
    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &x->http);
    curl_easy_getinfo(x->easy, CURLINFO_CONTENT_TYPE, &type);
    if (code != CURLE_OK) {
        x->http = 0;
        explain(client, x, code);
    } else if (goes_to_sink(x)) {
        x->streamed = true;             /* also when it was empty */
    } else {
        cf_exchange_understand(x, client->where.name, type);
    }
    release(client, x);
}

static void collect(struct cf_client *client)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(client->multi, &left))) {
        struct cf_exchange *x = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &x);
        done(client, x, message->data.result);
    }
}

void cf_client_start(struct cf_client *client, struct cf_exchange *x)
{
    if (prepare(client, x) < 0) {
        release(client, x);
        return;
    }
    cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "given up before an answer came");
    x->running = curl_multi_add_handle(client->multi, x->easy) == CURLM_OK;
    if (!x->running)
        release(client, x);
}

void cf_client_stop(struct cf_client *client, struct cf_exchange *x)
{
    release(client, x);
}

int cf_client_open(struct cf_client *client, struct cf_exchange *x)
{
    CURLcode code;

    if (!(x->easy = curl_easy_init()) || x->path.failed) {
        cf_error_set(&x->error, CF_E_NO_MEMORY, NULL, "out of memory");
        release(client, x);
        return -1;
    }
    prepare_connection(&client->where, x->easy);
    curl_easy_setopt(x->easy, CURLOPT_URL, client->where.base);
    curl_easy_setopt(x->easy, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(x->easy, CURLOPT_FORBID_REUSE, 0L);      /* what is forbidden to be used again is closed */
    curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, x->trouble);
    code = curl_easy_perform(x->easy);
    curl_easy_setopt(x->easy, CURLOPT_ERRORBUFFER, NULL);
    if (code == CURLE_OK)
        return 0;
    explain(client, x, code);
    release(client, x);
    return -1;
}

void cf_client_resume(struct cf_exchange *x)
{
    if (!x->paused || !x->running)
        return;
    x->paused = false;
    curl_easy_pause(x->easy, CURLPAUSE_CONT);
}

/* Waits first: what a transfer does may change what the caller has to wait for.  One that was just started or resumed
 * has a timer in libcurl that has run out, so it is not waited for.  curl_waitfd knows no POLLERR, so what it waited
 * for is asked again. */
void cf_client_turn(struct cf_client *client, struct pollfd *fds, size_t count, int timeout_ms)
{
    struct curl_waitfd waits[FDS_MAX];
    int running;

    count = count < FDS_MAX ? count : FDS_MAX;
    for (size_t i = 0; i < count; i++) {
        fds[i].revents = 0;
        waits[i] = (struct curl_waitfd){.fd = fds[i].fd, .events = (short)
            ((fds[i].events & POLLIN ? CURL_WAIT_POLLIN : 0) | (fds[i].events & POLLOUT ? CURL_WAIT_POLLOUT : 0))};
    }
    curl_multi_poll(client->multi, waits, (unsigned)count, timeout_ms < 0 ? 60000 : timeout_ms, NULL);
    if (count > 0)
        poll(fds, count, 0);
    curl_multi_perform(client->multi, &running);
    collect(client);
}

static bool any_running(const struct cf_exchange *exchanges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (exchanges[i].running)
            return true;
    return false;
}

/* Until all are answered or `cancel_fd` is readable (true), or `limit_ms` have passed (0: no limit). */
static bool wait_answers(struct cf_client *client, struct cf_exchange *exchanges, size_t count, int cancel_fd,
                         int limit_ms)
{
    struct pollfd cancel = {.fd = cancel_fd, .events = POLLIN};
    int64_t end_ns = cf_clock_now().mono_ns + limit_ms * CF_NS_PER_MS;

    while (any_running(exchanges, count)) {
        int64_t left_ns = end_ns - cf_clock_now().mono_ns;

        if (limit_ms > 0 && left_ns <= 0)
            break;
        cf_client_turn(client, &cancel, cancel_fd >= 0, limit_ms > 0 ? (int)(left_ns / CF_NS_PER_MS) + 1 : -1);
        if (cancel.revents != 0 && any_running(exchanges, count))
            return true;
    }
    return false;
}

bool cf_client_perform(struct cf_client *client, struct cf_exchange *exchanges, size_t count, int cancel_fd)
{
    bool cancelled;

    for (size_t i = 0; i < count; i++)
        cf_client_start(client, &exchanges[i]);
    cancelled = wait_answers(client, exchanges, count, cancel_fd, 0);
    for (size_t i = 0; i < count; i++)
        cf_client_stop(client, &exchanges[i]);
    return cancelled;
}

void cf_client_perform_patiently(struct cf_client *client, struct cf_exchange *x, int cancel_fd, int patience_ms)
{
    cf_client_start(client, x);
    if (wait_answers(client, x, 1, cancel_fd, 0))
        wait_answers(client, x, 1, -1, patience_ms);
    cf_client_stop(client, x);
}
