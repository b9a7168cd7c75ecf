#include "cli/client.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/settings.h"

#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONNECTIONS_MAX 32L
#define CONNECT_MS 10000L
#define ANSWER_MS 60000L                /* for what needs no grace and runs no command */

struct cf_client {
    CURLM *multi;
    struct curl_slist *headers, *headers_json;
    char socket[sizeof ((struct cf_settings *)0)->socket];
    char base[1024];                    /* what paths are appended to */
    char name[1100];
};

static int token_add(struct cf_client *client, const char *token, struct cf_error *error)
{
    char line[4200];
    size_t len = strcspn(token, "\r\n");

    if (len == 0 || len > 4096 || token[len + strspn(token + len, "\r\n")] != '\0')
        return cf_error_set(error, CF_E_INVALID, "token", "the token must be one line of 1 to 4096 bytes");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)token[i] <= ' ' || (unsigned char)token[i] > '~')
            return cf_error_set(error, CF_E_INVALID, "token", "the token has a byte that no token may have");
    snprintf(line, sizeof line, "Authorization: Bearer %.*s", (int)len, token);
    client->headers = curl_slist_append(client->headers, line);
    client->headers_json = curl_slist_append(client->headers_json, line);
    return 0;
}

static int token_read(struct cf_client *client, const char *path, struct cf_error *error)
{
    char *text;
    size_t len;
    int rc;

    if (cf_fd_read_file(AT_FDCWD, path, 4200, &text, &len) < 0)
        return cf_error_set(error, CF_E_UNAUTHORIZED, "token_file", "the token file %s cannot be read: %s", path,
                            strerror(errno));
    rc = token_add(client, text, error);
    free(text);
    return rc;
}

/* The server's own token file is offered only to the server that the same settings describe. */
static int token_find(struct cf_client *client, const struct cf_client_where *where, const struct cf_settings *settings,
                      bool local, struct cf_error *error)
{
    const char *token = getenv("CURFEW_TOKEN"), *file = getenv("CURFEW_TOKEN_FILE");

    if (where->token_file)
        return token_read(client, where->token_file, error);
    if (token && *token)
        return token_add(client, token, error);
    if (file && *file)
        return token_read(client, file, error);
    if (local && settings->token_required)
        return token_read(client, settings->token_file, error);
    return 0;
}

static int address_url(struct cf_client *client, const char *url, struct cf_error *error)
{
    size_t len = strlen(url);

    while (len > 0 && url[len - 1] == '/')
        len--;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return cf_error_set(error, CF_E_INVALID, "url", "the address must begin with http:// or https://, not \"%s\"",
                            url);
    if (len >= sizeof client->base)
        return cf_error_set(error, CF_E_INVALID, "url", "the address is longer than %zu bytes",
                            sizeof client->base - 1);
    snprintf(client->base, sizeof client->base, "%.*s", (int)len, url);
    snprintf(client->name, sizeof client->name, "%s", client->base);
    return 0;
}

static int address_socket(struct cf_client *client, const char *path, struct cf_error *error)
{
    if (*path == '\0' || strlen(path) >= sizeof client->socket)
        return cf_error_set(error, CF_E_INVALID, "socket", "the socket's path must have 1 to %zu bytes",
                            sizeof client->socket - 1);
    snprintf(client->socket, sizeof client->socket, "%s", path);
    snprintf(client->base, sizeof client->base, "http://localhost");
    snprintf(client->name, sizeof client->name, "unix:%s", path);
    return 0;
}

static int address_find(struct cf_client *client, const struct cf_client_where *where,
                        const struct cf_settings *settings,
                        bool *ret_local, struct cf_error *error)
{
    const char *url = where->url ? where->url : where->socket ? NULL : getenv("CURFEW_URL");
    char text[300];

    *ret_local = false;
    if (url && *url)
        return address_url(client, url, error);
    if (where->socket)
        return address_socket(client, where->socket, error);
    *ret_local = true;
    if (strcmp(settings->socket, "none") != 0)
        return address_socket(client, settings->socket, error);
    snprintf(text, sizeof text, strchr(settings->host, ':') ? "http://[%s]:%d" : "http://%s:%d", settings->host,
             (int)settings->port);
    return address_url(client, text, error);
}

struct cf_client *cf_client_new(const struct cf_client_where *where, struct cf_error *error)
{
    struct cf_client *client = calloc(1, sizeof *client);
    struct cf_settings settings;
    struct cf_settings_args args;
    struct cf_complaints complaints;
    char *none[] = {NULL};
    bool local;

    if (!client || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(client->multi = curl_multi_init())) {
        free(client);
        cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
        return NULL;
    }
    /* What is wrong in the settings is the server's to complain about; a row that is wrong keeps its default here. */
    cf_complaints_init(&complaints);
    cf_settings_load(&settings, 0, none, environ, &args, &complaints);
    cf_complaints_free(&complaints);
    client->headers = curl_slist_append(NULL, "Accept: application/json");
    client->headers = curl_slist_append(client->headers, "Content-Type:");    /* libcurl would name a form */
    client->headers_json = curl_slist_append(NULL, "Accept: application/json");
    client->headers_json = curl_slist_append(client->headers_json, "Content-Type: application/json");
    client->headers_json = curl_slist_append(client->headers_json, "Expect:");
    if (address_find(client, where, &settings, &local, error) < 0 ||
        token_find(client, where, &settings, local, error) < 0)
        cf_client_free(&client);
    else
        curl_multi_setopt(client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, CONNECTIONS_MAX);
    return client;
}

void cf_client_free(struct cf_client **client)
{
    if (!*client)
        return;
    curl_multi_cleanup((*client)->multi);
    curl_slist_free_all((*client)->headers);
    curl_slist_free_all((*client)->headers_json);
    free(*client);
    *client = NULL;
    curl_global_cleanup();
}

const char *cf_client_name(const struct cf_client *client)
{
    return client->name;
}

static size_t take(char *data, size_t size, size_t count, void *user)
{
    struct cf_buf *reply = user;

    cf_buf_append(reply, data, size * count);
    return reply->failed ? 0 : size * count;
}

static bool waits_long(enum cf_op op)
{
    return op == CF_OP_exec || op == CF_OP_end || op == CF_OP_cleanup;
}

/* A connection is used once: libcurl sends a request again when a kept one turns out to be dead, and a command must not
 * run twice.  Proxies are left out, since they would be handed commands and the token. */
static int prepare(struct cf_client *client, struct cf_exchange *x)
{
    char url[8192];
    CURL *easy = curl_easy_init();
    const char *method = cf_ops_row(x->op)->method;
    bool post = strcmp(method, "POST") == 0;

    x->easy = easy;
    if (!easy || x->path.failed || x->body.failed)
        return cf_error_set(&x->error, CF_E_NO_MEMORY, NULL, "out of memory");
    if (snprintf(url, sizeof url, "%s%s", client->base, x->path.data) >= (int)sizeof url)
        return cf_error_set(&x->error, CF_E_INVALID, NULL, "the session id or another argument is too long");
    if (*client->socket)
        curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, waits_long(x->op) ? 0L : ANSWER_MS);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, x->trouble);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, x);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, take);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &x->reply);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, x->body.len > 0 ? client->headers_json : client->headers);
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
    long number = 0;
    struct stat st;

    curl_easy_getinfo(x->easy, CURLINFO_OS_ERRNO, &number);
    if (code == CURLE_WRITE_ERROR)
        cf_error_set(&x->error, CF_E_TOO_LARGE, NULL, "the answer is larger than %zu MiB", CF_REPLY_MAX >> 20);
    else if (code == CURLE_COULDNT_CONNECT && *client->socket && stat(client->socket, &st) < 0)
        cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "no server answers at %s (%s); start one with: curfew serve",
                     client->name, strerror(errno));
    else if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
        cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "no server answers at %s (%s); start one with: curfew serve",
                     client->name, words(x, code, number));
    else if (code == CURLE_OPERATION_TIMEDOUT)
        cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "the server at %s did not answer in time", client->name);
    else
        cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "the server at %s broke off without an answer (%s)",
                     client->name, words(x, code, 0));
}

/* One operation answers with text. */
static bool answers_text(enum cf_op op)
{
    return op == CF_OP_metrics;
}

/* Terminal output may hold NULs, which JSON has as \u0000. */
static void understand(struct cf_client *client, struct cf_exchange *x)
{
    const json_t *error;
    const char *status, *code, *message, *field, *type = NULL;

    curl_easy_getinfo(x->easy, CURLINFO_RESPONSE_CODE, &x->http);
    curl_easy_getinfo(x->easy, CURLINFO_CONTENT_TYPE, &type);
    if (answers_text(x->op) && x->http == 200 && type && strncmp(type, "text/plain", 10) == 0)
        return;
    if (x->reply.len > 0)
        x->root = json_loadb(x->reply.data, x->reply.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    status = json_string_value(json_object_get(x->root, "status"));
    x->data = json_object_get(x->root, "data");
    if (status && strcmp(status, "success") == 0 && x->data && x->http >= 200 && x->http < 300)
        return;
    x->data = NULL;
    error = json_object_get(x->root, "error");
    code = json_string_value(json_object_get(error, "code"));
    message = json_string_value(json_object_get(error, "message"));
    field = json_string_value(json_object_get(error, "field"));
    if (!status || !code) {
        cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "what answers at %s with HTTP status %ld is no curfew server",
                     client->name, x->http);
        return;
    }
    x->answered_error = true;
    cf_error_set(&x->error, cf_error_from_name(code), field, "%s",
                 message ? message : cf_error_text(cf_error_from_name(code)));
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
        x->error.code = 0;
        if (message->data.result == CURLE_OK)
            understand(client, x);
        else
            explain(client, x, message->data.result);
    }
}

/* Until all are answered or `cancel_fd` is readable (true), or `limit_ms` have passed (0: no limit). */
static bool wait_answers(struct cf_client *client, int cancel_fd, int limit_ms)
{
    struct curl_waitfd cancel = {.fd = cancel_fd, .events = CURL_WAIT_POLLIN};
    int64_t end_ns = cf_clock_now().mono_ns + limit_ms * CF_NS_PER_MS;
    int running = 1;

    while (curl_multi_perform(client->multi, &running) == CURLM_OK) {
        collect(client);
        if (running == 0 || (limit_ms > 0 && cf_clock_now().mono_ns >= end_ns))
            return false;
        if (curl_multi_poll(client->multi, &cancel, cancel_fd >= 0, limit_ms > 0 ? 100 : 60000, NULL) != CURLM_OK)
            return false;
        if (cancel.revents != 0)
            return true;
    }
    return false;
}

static void begin(struct cf_client *client, struct cf_exchange *exchanges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (prepare(client, &exchanges[i]) < 0)
            continue;
        cf_error_set(&exchanges[i].error, CF_E_UNAVAILABLE, NULL, "given up before an answer came");
        curl_multi_add_handle(client->multi, exchanges[i].easy);
    }
}

static void finish(struct cf_client *client, struct cf_exchange *exchanges, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (exchanges[i].easy) {
            curl_multi_remove_handle(client->multi, exchanges[i].easy);
            curl_easy_cleanup(exchanges[i].easy);
        }
        exchanges[i].easy = NULL;
    }
}

bool cf_client_perform(struct cf_client *client, struct cf_exchange *exchanges, size_t count, int cancel_fd)
{
    bool cancelled;

    begin(client, exchanges, count);
    cancelled = wait_answers(client, cancel_fd, 0);
    finish(client, exchanges, count);
    return cancelled;
}

void cf_client_perform_patiently(struct cf_client *client, struct cf_exchange *x, int cancel_fd, int patience_ms)
{
    begin(client, x, 1);
    if (wait_answers(client, cancel_fd, 0))
        wait_answers(client, -1, patience_ms);
    finish(client, x, 1);
}
