#include "cli/handshake.h"

#include "base/clock.h"

#include <curl/curl.h>
#include <errno.h>
#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define ANSWER_NS (10 * CF_NS_PER_S)
#define HEAD_BYTES ((size_t)16 << 10)
#define BODY_BYTES ((size_t)1 << 20)

static int failed(struct cf_exchange *x, const struct cf_where *where, const char *words)
{
    return cf_error_set(&x->error, CF_E_UNAVAILABLE, NULL, "the server at %s %s", where->name, words);
}

long cf_handshake_receive(struct cf_exchange *x, char *data, size_t size)
{
    size_t got = 0;
    CURLcode code = curl_easy_recv(x->easy, data, size, &got);

    if (code == CURLE_AGAIN)
        return 0;
    return code == CURLE_OK && got > 0 ? (long)got : -1;
}

static bool wait_for(struct cf_exchange *x, short events, int64_t until_ns)
{
    int64_t left_ms = (until_ns - cf_clock_now().mono_ns) / CF_NS_PER_MS;
    curl_socket_t fd = -1;

    curl_easy_getinfo(x->easy, CURLINFO_ACTIVESOCKET, &fd);
    if (fd < 0 || left_ms <= 0)
        return false;
    return poll(&(struct pollfd){.fd = fd, .events = events}, 1, (int)left_ms) > 0 || errno == EINTR;
}

static bool send_all(struct cf_exchange *x, const char *data, size_t len, int64_t until_ns)
{
    while (len > 0) {
        size_t sent = 0;
        CURLcode code = curl_easy_send(x->easy, data, len, &sent);

        if (code != CURLE_OK && code != CURLE_AGAIN)
            return false;
        data += sent;
        len -= sent;
        if (code == CURLE_AGAIN && !wait_for(x, POLLOUT, until_ns))
            return false;
    }
    return true;
}

/* One read more into `in`.  1, 0: the other side has closed, or -1: too late or too much. */
static int read_more(struct cf_exchange *x, struct cf_buf *in, int64_t until_ns)
{
    char piece[4096];
    long got;

    while ((got = cf_handshake_receive(x, piece, sizeof piece)) == 0)
        if (!wait_for(x, POLLIN, until_ns))
            return -1;
    if (got < 0)
        return 0;
    cf_buf_append(in, piece, (size_t)got);
    return in->failed ? -1 : 1;
}

void cf_handshake_accept(const char *key, char *text)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";     /* RFC 6455, 1.3 */
    unsigned char digest[SHA1_DIGEST_SIZE];
    struct sha1_ctx sha;

    sha1_init(&sha);
    sha1_update(&sha, strlen(key), (const unsigned char *)key);
    sha1_update(&sha, sizeof guid - 1, (const unsigned char *)guid);
    sha1_digest(&sha, sizeof digest, digest);
    base64_encode_raw(text, sizeof digest, digest);
    text[BASE64_ENCODE_RAW_LENGTH(sizeof digest)] = '\0';
}

/* Host, port and the path before ours stand in the server's address. */
static bool request_make(const struct cf_where *where, const char *path, const char *key, struct cf_buf *out)
{
    char *host = NULL, *port = NULL, *before = NULL;
    CURLU *url = curl_url();
    bool good = url && curl_url_set(url, CURLUPART_URL, where->base, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_PATH, &before, 0) == CURLUE_OK;

    if (good) {
        curl_url_get(url, CURLUPART_PORT, &port, 0);
        cf_buf_printf(out, "GET %s%s HTTP/1.1\r\nHost: %s%s%s\r\n", strcmp(before, "/") == 0 ? "" : before, path, host,
                      port ? ":" : "", port ? port : "");
        cf_buf_printf(out, "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                      "Sec-WebSocket-Key: %s\r\nAccept: application/json\r\n%s%s\r\n", key, where->token,
                      *where->token ? "\r\n" : "");
    }
    curl_free(host);
    curl_free(port);
    curl_free(before);
    curl_url_cleanup(url);
    return good && !out->failed;
}

/* The value of a header in a head that ends with an empty line, up to the end of its line; NULL: there is none. */
static const char *header(const char *head, const char *name, size_t *ret_len)
{
    size_t len = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line && line[2] != '\r'; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, len) == 0 && line[2 + len] == ':') {
            const char *value = line + 3 + len;

            value += strspn(value, " \t");
            *ret_len = strcspn(value, "\r");
            return value;
        }
    return NULL;
}

static bool header_is(const char *head, const char *name, const char *wanted)
{
    size_t len;
    const char *value = header(head, name, &len);

    return value && len == strlen(wanted) && strncasecmp(value, wanted, len) == 0;
}

/* The server said no, and why in the body. */
static int refused(const struct cf_where *where, struct cf_exchange *x, const char *head, struct cf_buf *in,
                   int64_t until_ns)
{
    size_t len, have = in->len - (size_t)(strstr(in->data, "\r\n\r\n") + 4 - in->data);
    const char *length = header(head, "Content-Length", &len);
    size_t want = length ? (size_t)strtoul(length, NULL, 10) : BODY_BYTES;
    size_t body = in->len - have;

    while (in->len - body < want)
        if (read_more(x, in, until_ns) <= 0)
            break;
    cf_buf_append(&x->reply, in->data + body, in->len - body);
    cf_exchange_understand(x, where->name, NULL);
    if (x->error.code == 0)
        failed(x, where, "answers as if nothing had been asked");
    return -1;
}

static int answer_read(const struct cf_where *where, struct cf_exchange *x, const char *key, struct cf_buf *in,
                       int64_t until_ns)
{
    char accept[BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE) + 1], *end;
    int got = 1, rc;

    while (!in->data || !(end = strstr(in->data, "\r\n\r\n"))) {
        got = in->len > HEAD_BYTES || (in->data && strlen(in->data) < in->len) ? -2 : read_more(x, in, until_ns);
        if (got <= 0)
            return failed(x, where, got == 0 ? "broke off without an answer" : got == -1 ?
                          "did not answer in time" : "is no curfew server");
    }
    if (sscanf(in->data, "HTTP/1.%*1[01] %3ld", &x->http) != 1)
        return failed(x, where, "is no curfew server");
    char *head = strndup(in->data, (size_t)(end - in->data) + 4);

    if (!head)
        return cf_error_set(&x->error, CF_E_NO_MEMORY, NULL, "out of memory");
    cf_handshake_accept(key, accept);
    if (x->http != 101)
        rc = refused(where, x, head, in, until_ns);
    else if (!header_is(head, "Upgrade", "websocket") || !header_is(head, "Sec-WebSocket-Accept", accept))
        rc = failed(x, where, "answers with no WebSocket");
    else
        rc = 0;
    free(head);
    return rc;
}

int cf_handshake(const struct cf_where *where, struct cf_exchange *x, struct cf_buf *ret_early)
{
    int64_t until_ns = cf_clock_now().mono_ns + ANSWER_NS;
    char key[BASE64_ENCODE_RAW_LENGTH(16) + 1] = "";
    unsigned char random[16];
    struct cf_buf out, in;
    int rc;

    cf_buf_init(&out, HEAD_BYTES);
    cf_buf_init(&in, BODY_BYTES + HEAD_BYTES);
    if (getrandom(random, sizeof random, 0) == (ssize_t)sizeof random)
        base64_encode_raw(key, sizeof random, random);
    if (!*key || !request_make(where, x->path.data, key, &out))
        rc = cf_error_set(&x->error, CF_E_SYSTEM, NULL, "the request cannot be made");
    else if (!send_all(x, out.data, out.len, until_ns))
        rc = failed(x, where, "broke off without an answer");
    else
        rc = answer_read(where, x, key, &in, until_ns);
    if (rc == 0) {
        const char *rest = strstr(in.data, "\r\n\r\n") + 4;

        cf_buf_append(ret_early, rest, in.len - (size_t)(rest - in.data));
    }
    cf_buf_free(&out);
    cf_buf_free(&in);
    return rc < 0 ? -1 : 0;
}
