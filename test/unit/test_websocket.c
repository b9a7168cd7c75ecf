#include "edge_fixture.h"
#include "server/edge.h"
#include "server/websocket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="          /* RFC 6455, 1.3 */
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, CONTINUED = 0, FIN = 0x80 };

/* ---- the server's side: it does as the test says ---- */

static struct {
    struct cf_ws *ws;
    bool echo;
    bool pause;                         /* at each message */
    bool running;                       /* `closed` was not called */
    unsigned opens, wants, closes, messages, code;
    bool binary;                        /* of the last message */
    struct cf_buf last;
    uint64_t bytes;                     /* of all messages */
    size_t pump_bytes;                  /* sent at each `want` */
    unsigned pumps;                     /* that are left */
} peer;

static void on_open(void *arg, struct cf_ws *ws)
{
    assert_ptr_equal(arg, &peer);
    assert_true(peer.running && peer.opens == 0);
    peer.opens++;
    peer.ws = ws;
}

static void on_message(void *arg, bool binary, const char *data, size_t len)
{
    assert_true(peer.running && peer.opens == 1);
    peer.messages++;
    peer.binary = binary;
    peer.bytes += len;
    cf_buf_reset(&peer.last);
    cf_buf_append(&peer.last, data, len);
    if (peer.echo)
        assert_int_equal(cf_ws_send(peer.ws, binary, data, len), 0);
    if (peer.pause)
        cf_ws_pause(peer.ws, true);
}

static void pump(void)
{
    static char data[CF_WS_QUEUE_MAX];
    if (peer.pumps == 0)
        return;
    peer.pumps--;
    memset(data, 'p', peer.pump_bytes);
    assert_int_equal(cf_ws_send(peer.ws, true, data, peer.pump_bytes), 0);
}

static void on_want(void *arg)
{
    assert_true(peer.running && cf_ws_idle(peer.ws));
    peer.wants++;
    pump();
}

static void on_closed(void *arg, unsigned code)
{
    assert_true(peer.running);
    peer.running = false;
    peer.ws = NULL;
    peer.closes++;
    peer.code = code;
}

static const struct cf_ws_events events = { on_open, on_message, on_want, on_closed };
static struct cf_call *parked;

void cf_calls_socket(struct cf_call *call)
{
    assert_false(peer.running);
    peer.running = true;
    peer.opens = 0;
    cf_call_upgrade(call, &events, &peer);
}

void cf_calls_park(struct cf_call *call)
{
    parked = call;
}

/* ---- the client's side ---- */

static struct edge edge;
static struct client client;
static struct cf_buf head;

static int setup(void **state)
{
    memset(&peer, 0, sizeof peer);
    cf_buf_init(&peer.last, 1 << 20);
    cf_buf_init(&head, 1 << 20);
    edge_setup(&edge);
    edge.http->ws_close_ns = CF_NS_PER_S / 2;
    client_open(&client, false);
    return 0;
}

static int teardown(void **state)
{
    client_close(&client);
    int code = edge_teardown();
    cf_buf_free(&head);
    cf_buf_free(&peer.last);
    assert_false(peer.running);
    return code;
}

static void handshake(const char *more)
{
    char headers[1024];
    snprintf(headers, sizeof headers,
             "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n%s",
             more);
    client_get(&client, "/v1/sessions/a/socket", headers);
}

static void connected(void)
{
    handshake("");
    UNTIL(client_take_head(&client, &head));
    assert_non_null(strstr(head.data, "HTTP/1.1 101 "));
    UNTIL(peer.opens == 1);
}

/* One frame, masked; `first` is its first byte. */
static void frame(int first, const void *data, size_t len)
{
    static const unsigned char mask[4] = { 0x11, 0x22, 0x33, 0x44 };
    unsigned char *bytes = malloc(len + 14);
    size_t at = 0;
    bytes[at++] = (unsigned char)first;
    if (len < 126) {
        bytes[at++] = (unsigned char)(0x80 | len);
    } else if (len < 65536) {
        bytes[at++] = 0x80 | 126;
        bytes[at++] = (unsigned char)(len >> 8);
        bytes[at++] = (unsigned char)len;
    } else {
        bytes[at++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            bytes[at++] = (unsigned char)((uint64_t)len >> shift);
    }
    memcpy(bytes + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < len; i++)
        bytes[at++] = (unsigned char)(((const unsigned char *)data)[i] ^ mask[i % 4]);
    client_send(&client, bytes, at);
    free(bytes);
}

static void text(const char *data)
{
    frame(FIN | TEXT, data, strlen(data));
}

/* Takes one frame off the front: its first byte and payload; false: it is not complete. */
static bool take_frame(int *ret_first, struct cf_buf *ret)
{
    const unsigned char *in = (const unsigned char *)client.in.data;
    size_t have = client.in.len, skip = 2;
    if (have < 2)
        return false;
    uint64_t len = in[1];
    assert_true(len < 128);             /* a server does not mask */
    if (len >= 126) {
        size_t bytes = len == 126 ? 2 : 8;
        if (have < 2 + bytes)
            return false;
        len = 0;
        for (size_t i = 0; i < bytes; i++)
            len = len << 8 | in[2 + i];
        skip += bytes;
    }
    if (have < skip + len)
        return false;
    *ret_first = in[0];
    cf_buf_reset(ret);
    cf_buf_append(ret, in + skip, len);
    memmove(client.in.data, in + skip + len, have - skip - len + 1);
    client.in.len -= skip + len;
    return true;
}

static void expect(int first, const void *data, size_t len)
{
    struct cf_buf got;
    int got_first = 0;
    cf_buf_init(&got, 1u << 30);
    UNTIL(take_frame(&got_first, &got));
    assert_int_equal(got_first, first);
    assert_int_equal(got.len, len);
    if (len > 0)
        assert_memory_equal(got.data, data, len);
    cf_buf_free(&got);
}

/* 1005: without a code. */
static void expect_close(unsigned code)
{
    struct cf_buf got;
    int first = 0;
    cf_buf_init(&got, 1u << 30);
    UNTIL(take_frame(&first, &got));
    assert_int_equal(first, FIN | CLOSE);
    if (code == 1005)
        assert_int_equal(got.len, 0);
    else
        assert_int_equal((unsigned char)got.data[0] << 8 | (unsigned char)got.data[1], code);
    cf_buf_free(&got);
}

static void send_close(unsigned code)
{
    const unsigned char data[] = { (unsigned char)(code >> 8), (unsigned char)code };
    frame(FIN | CLOSE, data, 2);
}

static void expect_end(unsigned code)
{
    UNTIL(peer.closes == 1);
    assert_int_equal(peer.code, code);
    UNTIL(client.ended);
    UNTIL(cf_http_connections(edge.http) == 0);
    assert_int_equal(cf_http_pending(edge.http), 0);
}

/* ---- cases ---- */

static void opens(void **state)
{
    connected();
    assert_non_null(strstr(head.data, "\r\nSec-WebSocket-Accept: " ACCEPT "\r\n"));
    assert_non_null(strstr(head.data, "\r\nUpgrade: websocket\r\n"));
    assert_non_null(strstr(head.data, "\r\nConnection: Upgrade\r\n"));
    assert_int_equal(cf_http_connections(edge.http), 1);
    peer.echo = true;
    text("hello");
    expect(FIN | TEXT, "hello", 5);
    assert_false(peer.binary);
    frame(FIN | BINARY, "\0\xff\1", 3);
    expect(FIN | BINARY, "\0\xff\1", 3);
    assert_true(peer.binary);
    frame(FIN | BINARY, "", 0);
    expect(FIN | BINARY, "", 0);
    send_close(1000);
    expect_close(1000);
    expect_end(1000);
}

static void on_unix(void **state)
{
    client_close(&client);
    client_open(&client, true);
    peer.echo = true;
    connected();
    text("hello");
    expect(FIN | TEXT, "hello", 5);
    send_close(4321);
    expect_close(4321);
    expect_end(4321);
}

static void refused(void **state)
{
    static const struct {
        const char *headers, *status, *field;
    } cases[] = {
#define UPGRADE "Upgrade: websocket\r\n"
#define CONNECTION "Connection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define KEY_LINE "Sec-WebSocket-Key: " KEY "\r\n"
        { "", "400", "Upgrade" },
        { CONNECTION VERSION KEY_LINE, "400", "Upgrade" },
        { "Upgrade: h2c\r\n" CONNECTION VERSION KEY_LINE, "400", "Upgrade" },
        { UPGRADE UPGRADE CONNECTION VERSION KEY_LINE, "400", "Upgrade" },
        { UPGRADE VERSION KEY_LINE, "400", "Connection" },
        { UPGRADE "Connection: keep-alive\r\n" VERSION KEY_LINE, "400", "Connection" },
        { UPGRADE CONNECTION KEY_LINE, "400", "Sec-WebSocket-Version" },
        { UPGRADE CONNECTION "Sec-WebSocket-Version: 8\r\n" KEY_LINE, "426", "Sec-WebSocket-Version" },
        { UPGRADE CONNECTION "Sec-WebSocket-Version: 013\r\n" KEY_LINE, "426", "Sec-WebSocket-Version" },
        { UPGRADE CONNECTION VERSION VERSION KEY_LINE, "400", "Sec-WebSocket-Version" },
        { UPGRADE CONNECTION VERSION, "400", "Sec-WebSocket-Key" },
        { UPGRADE CONNECTION VERSION KEY_LINE KEY_LINE, "400", "Sec-WebSocket-Key" },
        { UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: short\r\n", "400", "Sec-WebSocket-Key" },
        { UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n", "400", "Sec-WebSocket-Key" },
        { UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTEx\r\n", "400", "Sec-WebSocket-Key" },
        { UPGRADE CONNECTION VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZTE=\r\n", "400", "Sec-WebSocket-Key" },
    };
    char want[128];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        client_get(&client, "/v1/sessions/a/socket", cases[i].headers);
        UNTIL(client_take_head(&client, &head));
        snprintf(want, sizeof want, "HTTP/1.1 %s ", cases[i].status);
        assert_memory_equal(head.data, want, strlen(want));
        snprintf(want, sizeof want, "\"field\":\"%s\"}}", cases[i].field);
        UNTIL(client_has(&client, want));
        assert_true(client_has(&client, "\"code\":\"malformed\""));
        if (strcmp(cases[i].status, "426") == 0)
            assert_true(strstr(head.data, "\r\nSec-WebSocket-Version: 13\r\n") &&
                        strstr(head.data, "\r\nUpgrade: websocket\r\n"));
        assert_int_equal(peer.closes, i + 1);
        assert_int_equal(peer.opens, 0);
        client_close(&client);
        client_open(&client, i % 2);
    }
    client_puts(&client, "GET /v1/sessions/a/socket HTTP/1.0\r\nHost: localhost\r\n" UPGRADE CONNECTION VERSION KEY_LINE "\r\n");
    UNTIL(client_has(&client, "HTTP/1.1 400 "));
    client_close(&client);
    client_open(&client, false);
    client_puts(&client, "HEAD /v1/sessions/a/socket HTTP/1.1\r\nHost: localhost\r\n" UPGRADE CONNECTION VERSION KEY_LINE "\r\n");
    UNTIL(client_has(&client, "HTTP/1.1 400 "));
    assert_int_equal(peer.opens, 0);
}

static void lists(void **state)
{
    char headers[512];
    snprintf(headers, sizeof headers, "%s", "upgrade: foo, WebSocket\r\nConnection: keep-alive,UPGRADE\r\n" VERSION KEY_LINE
             "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Protocol: chat\r\n");
    client_get(&client, "/v1/sessions/a/socket", headers);
    UNTIL(client_take_head(&client, &head));
    assert_non_null(strstr(head.data, ACCEPT));
    assert_null(strstr(head.data, "Sec-WebSocket-Extensions"));
    assert_null(strstr(head.data, "Sec-WebSocket-Protocol"));
}

static void foreign(void **state)
{
    handshake("Origin: https://evil.example\r\n");
    UNTIL(client_has(&client, "HTTP/1.1 403 "));
    UNTIL(client_has(&client, "\"code\":\"forbidden\""));
    assert_int_equal(peer.opens + peer.closes, 0);
    client_close(&client);
    client_open(&client, false);
    client_puts(&client, "GET /v1/sessions/a/socket HTTP/1.1\r\nHost: evil.example\r\n" UPGRADE CONNECTION VERSION KEY_LINE "\r\n");
    UNTIL(client_has(&client, "HTTP/1.1 421 "));
    client_close(&client);
    edge.settings.token_required = true;
    edge_restart();
    client_open(&client, false);
    handshake("");
    UNTIL(client_has(&client, "HTTP/1.1 401 "));
    assert_int_equal(peer.opens + peer.closes, 0);
}

static void sent_ahead(void **state)
{
    /* Frames in one packet with the handshake, one of them in halves. */
    char bytes[2048];
    static const char frames[] = "\x82\x82\0\0\0\0AB\x82\x83\0\0\0\0CD";
    int len = snprintf(bytes, sizeof bytes, "GET /v1/sessions/a/socket HTTP/1.1\r\nHost: localhost\r\n" UPGRADE CONNECTION
                       VERSION KEY_LINE "\r\n");
    memcpy(bytes + len, frames, sizeof frames - 1);
    peer.echo = true;
    client_send(&client, bytes, (size_t)len + sizeof frames - 1);
    UNTIL(client_take_head(&client, &head));
    expect(FIN | BINARY, "AB", 2);
    client_puts(&client, "E");
    expect(FIN | BINARY, "CDE", 3);
}

static void fragments(void **state)
{
    peer.echo = true;
    connected();
    frame(TEXT, "one ", 4);
    frame(CONTINUED, "", 0);
    frame(FIN | PING, "between", 7);
    frame(CONTINUED, "two \xe2", 5);     /* a character in two frames */
    frame(FIN | CONTINUED, "\x82\xac", 2);
    expect(FIN | PONG, "between", 7);
    expect(FIN | TEXT, "one two \xe2\x82\xac", 11);
    assert_int_equal(peer.messages, 1);
}

static void bytewise(void **state)
{
    static const char bytes[] = "\x81\x85\x01\x02\x03\x04\x69\x67\x6f\x68\x6e";      /* "hello" */
    peer.echo = true;
    connected();
    for (size_t i = 0; i + 1 < sizeof bytes; i++) {
        client_send(&client, bytes + i, 1);
        edge_turn();
    }
    expect(FIN | TEXT, "hello", 5);
}

static void pings(void **state)
{
    char data[125];
    memset(data, 'x', sizeof data);
    connected();
    frame(FIN | PING, "", 0);
    frame(FIN | PING, data, sizeof data);
    frame(FIN | PONG, "nobody asked", 12);
    expect(FIN | PONG, "", 0);
    expect(FIN | PONG, data, sizeof data);
    assert_int_equal(peer.messages, 0);
}

static void ping_flood(void **state)
{
    /* A client that asks for answers and reads none makes the server stop reading, not grow. */
    const int little = 4096;
    static char many[6 * 100000];
    client_close(&client);
    client_open(&client, true);
    connected();
    client_read(&client, false);
    for (size_t i = 0; i < sizeof many; i += 6)
        memcpy(many + i, "\x89\x80\0\0\0\0", 6);
    setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    size_t sent = 0;
    for (int quiet = 0; quiet < 20;) {
        ssize_t len = send(client.fd, many, sizeof many, MSG_DONTWAIT | MSG_NOSIGNAL);
        quiet = len > 0 ? 0 : quiet + 1;
        sent += len > 0 ? (size_t)len : 0;
        assert_true(sent < 64u << 20);
        edge_turn();
    }
    client_close(&client);
    UNTIL(peer.closes == 1);
}

static void failures(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        unsigned code;
    } cases[] = {
        { "\x81\x05hello", 7, 1002 },                                   /* not masked */
        { "\xc1\x80\0\0\0\0", 6, 1002 },                                /* a reserved bit */
        { "\x83\x80\0\0\0\0", 6, 1002 },                                /* no such opcode */
        { "\x80\x80\0\0\0\0", 6, 1002 },                                /* continues nothing */
        { "\x01\x80\0\0\0\0\x81\x80\0\0\0\0", 12, 1002 },               /* begins within another */
        { "\x09\x80\0\0\0\0", 6, 1002 },                                /* a ping in fragments */
        { "\x89\xfe\x00\x7e\0\0\0\0", 8, 1002 },                        /* a ping of 126 bytes */
        { "\x81\x82\0\0\0\0\xc0\x80", 8, 1007 },                        /* overlong UTF-8 */
        { "\x81\x83\0\0\0\0\xed\xa0\x80", 9, 1007 },                    /* a surrogate */
        { "\x81\x81\0\0\0\0\xe2", 7, 1007 },                            /* an unfinished character */
        { "\x82\xff\0\0\0\0\0\1\0\1\0\0\0\0", 14, 1009 },               /* 65537 bytes */
        { "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0", 14, 1009 },
        { "\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0", 14, 1002 },             /* a negative length */
        { "\x88\x81\0\0\0\0x", 7, 1005 },                               /* a close with half a code: as with none */
        { "\x88\x80\0\0\0\0", 6, 1005 },                                /* a close without code */
        { "\x88\x82\0\0\0\0\x03\xed", 8, 1002 },                        /* 1005, which is never sent */
    };
    static char more[300000];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        connected();
        text("good");
        client_send(&client, cases[i].bytes, cases[i].len);
        client_send(&client, more, sizeof more);     /* of no use any more, but no reason for a reset either */
        expect_close(cases[i].code);
        expect_end(cases[i].code);
        assert_false(client.reset);
        assert_int_equal(peer.messages, 1);
        peer.closes = peer.messages = 0;
        client_close(&client);
        client_open(&client, i % 2);
    }
}

static void longest(void **state)
{
    static char data[CF_WS_MESSAGE_MAX + 1];
    memset(data, 'a', sizeof data);
    peer.echo = true;
    connected();
    frame(FIN | TEXT, data, CF_WS_MESSAGE_MAX);
    expect(FIN | TEXT, data, CF_WS_MESSAGE_MAX);
    frame(BINARY, data, CF_WS_MESSAGE_MAX);
    frame(FIN | CONTINUED, data, 1);
    expect_close(1009);
    expect_end(1009);
}

static void server_closes(void **state)
{
    char long_reason[300];
    memset(long_reason, 'x', sizeof long_reason);
    strcpy(long_reason + 121, "\xc3\xa4 and more");  /* the cut must not split it */
    connected();
    assert_int_equal(cf_ws_send(peer.ws, false, "last words", 10), 0);
    cf_ws_close(peer.ws, 4001, long_reason);
    cf_ws_close(peer.ws, 1000, "later");
    assert_int_equal(cf_ws_send(peer.ws, false, "x", 1), -1);
    expect(FIN | TEXT, "last words", 10);
    char want[123] = "\x0f\xa1";
    memcpy(want + 2, long_reason, 121);
    expect(FIN | CLOSE, want, 123);
    text("too late");
    assert_true(peer.running);
    send_close(4001);
    expect_end(4001);
    assert_int_equal(peer.messages, 0);
}

static void unanswered_close(void **state)
{
    connected();
    int64_t start_ns = cf_clock_now().mono_ns;
    cf_ws_close(peer.ws, 1000, NULL);
    expect_close(1000);
    assert_true(peer.running);
    expect_end(1000);
    assert_true(cf_clock_now().mono_ns - start_ns >= edge.http->ws_close_ns);
}

static void close_in_callback(void **state)
{
    connected();
    peer.pumps = 1;
    peer.pump_bytes = 10;
    pump();
    UNTIL(peer.wants > 0);
    client.in.len = 0;
    cf_ws_close(peer.ws, 1000, "done");
    client_close(&client);              /* at once */
    UNTIL(peer.closes == 1);
    UNTIL(cf_http_connections(edge.http) == 0);
}

static void peer_gone(void **state)
{
    for (int round = 0; round < 6; round++) {
        client_close(&client);
        client_open(&client, round % 2);
        connected();
        if (round / 2 == 1)
            cf_ws_pause(peer.ws, true);
        if (round / 2 == 2) {
            client_read(&client, false);
            peer.pumps = 1;
            peer.pump_bytes = CF_WS_QUEUE_MAX;
            pump();
            edge_turn();
        }
        round % 3 == 0 ? client_close(&client) : client_reset(&client);
        UNTIL(peer.closes == 1);
        assert_int_equal(peer.code, CF_WS_GONE);
        peer.closes = 0;
        UNTIL(cf_http_connections(edge.http) == 0);
    }
}

static void slow_peer(void **state)
{
    const int little = 65536;
    static char data[100000];
    setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    connected();
    client_read(&client, false);
    unsigned sent = 0;
    while (cf_ws_send(peer.ws, true, data, sizeof data) == 0) {
        sent++;
        for (int i = 0; i < 3; i++)
            edge_turn();
        assert_true(sent < 1000);
    }
    assert_false(cf_ws_idle(peer.ws));
    assert_true(sent * sizeof data >= CF_WS_QUEUE_MAX - sizeof data);
    assert_int_equal(cf_ws_send(peer.ws, true, data, CF_WS_QUEUE_MAX + 1), -1);
    cf_ws_close(peer.ws, 4001, "fell behind");
    client_read(&client, true);
    for (unsigned i = 0; i < sent; i++)
        expect(FIN | BINARY, data, sizeof data);
    expect_close(4001);
    send_close(4001);
    expect_end(4001);
}

static void many_messages(void **state)
{
    connected();
    client_read(&client, false);
    unsigned sent = 0;
    while (cf_ws_send(peer.ws, true, "", 0) == 0)
        assert_true(++sent <= CF_WS_QUEUE_MESSAGES);
    assert_int_equal(sent, CF_WS_QUEUE_MESSAGES);
}

static void pumped(void **state)
{
    connected();
    client.drop = true;
    client.total = 0;
    peer.pumps = 200;
    peer.pump_bytes = 1 << 20;
    pump();
    UNTIL(client.total == 200 * ((1 << 20) + 10));
    UNTIL(peer.wants == 200);
    assert_true(cf_ws_idle(peer.ws));
}

static void paused(void **state)
{
    connected();
    cf_ws_pause(peer.ws, true);
    static char data[60000];
    size_t sent = 0;
    for (int quiet = 0; quiet < 20;) {
        ssize_t len = send(client.fd, "\x82\x84\0\0\0\0abcd", 10, MSG_DONTWAIT | MSG_NOSIGNAL);
        quiet = len == 10 ? 0 : quiet + 1;
        sent += len == 10;
        if (len > 0 && len < 10)
            fail();
        if (sent == 1000)
            break;
        (void)data;
    }
    for (int i = 0; i < 10; i++)
        edge_turn();
    assert_int_equal(peer.messages, 0);
    assert_int_equal(cf_ws_send(peer.ws, true, "still", 5), 0);
    expect(FIN | BINARY, "still", 5);
    cf_ws_pause(peer.ws, false);
    UNTIL(peer.messages == sent);
    assert_int_equal(peer.bytes, 4 * sent);
}

static void paused_gone(void **state)
{
    edge.http->ws_ping_ns = CF_NS_PER_S;
    connected();
    cf_ws_pause(peer.ws, true);
    text("not read");
    shutdown(client.fd, SHUT_WR);       /* it may still wait for what we say */
    for (int i = 0; i < 2; i++)
        expect(FIN | PING, "", 0);
    assert_true(peer.running);
    cf_ws_pause(peer.ws, false);
    UNTIL(peer.messages == 1);
    expect_end(CF_WS_GONE);
    peer.closes = 0;
    client_close(&client);
    client_open(&client, false);
    connected();
    cf_ws_pause(peer.ws, true);
    static const char much[1 << 16];
    while (send(client.fd, much, sizeof much, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    client_close(&client);              /* its FIN is behind what nobody reads */
    UNTIL(peer.closes == 1);
    assert_int_equal(peer.code, CF_WS_GONE);
    UNTIL(cf_http_connections(edge.http) == 0);
}

/* Also where no acknowledgements tell. */
static void paused_full(void **state)
{
    edge.http->ws_silence_ns = CF_NS_PER_S / 2;
    for (int round = 0; round < 2; round++) {
        client_close(&client);
        client_open(&client, round);
        connected();
        cf_ws_pause(peer.ws, true);
        client_read(&client, false);
        static const char much[1 << 16];
        /* As much as it takes, until it is gone. */
        UNTIL(peer.closes == 1 || cf_ws_send(peer.ws, true, much, sizeof much) > 0);
        peer.closes = 0;
    }
}

static void paused_goodbye(void **state)
{
    for (int round = 0; round < 2; round++) {
        client_close(&client);
        client_open(&client, round);
        connected();
        peer.pause = true;
        peer.messages = 0;
        text("one");
        UNTIL(peer.messages == 1);
        static const char more[] = "\x81\x83\0\0\0\0two\x81\x85\0\0\0\0three\x88\x82\0\0\0\0\x03\xe8";
        client_send(&client, more, sizeof more - 1);
        cf_ws_pause(peer.ws, false);
        UNTIL(peer.messages == 3);      /* "three" and the close were read along with "two" */
        for (int i = 0; i < 10; i++)
            edge_turn();
        assert_true(peer.running && cf_ws_leaving(peer.ws));
        assert_int_equal(client.in.len, 0);
        cf_ws_pause(peer.ws, false);
        expect_close(1000);
        expect_end(1000);
        peer.closes = 0;
    }
}

static void long_goodbye(void **state)
{
    edge.http->ws_silence_ns = CF_NS_PER_S / 2;
    connected();
    peer.pause = true;
    client_send(&client, "\x81\x83\0\0\0\0one\x88\x80\0\0\0\0", 15);
    UNTIL(peer.messages == 1);
    int64_t start_ns = cf_clock_now().mono_ns;
    expect_end(1005);
    assert_true(cf_clock_now().mono_ns - start_ns < 5 * CF_NS_PER_S);
    peer.closes = 0;
    client_close(&client);
    client_open(&client, true);
    edge.http->ws_silence_ns = 3600 * CF_NS_PER_S;
    connected();
    client_send(&client, "\x81\x83\0\0\0\0one\x88\x80\0\0\0\0", 15);
    UNTIL(peer.messages == 2);
    client_close(&client);              /* without waiting for the answer */
    UNTIL(peer.closes == 1);
}

static void heartbeat(void **state)
{
    edge.http->ws_ping_ns = CF_NS_PER_S / 10;
    edge.http->ws_silence_ns = CF_NS_PER_S * 2 / 5;
    connected();
    int64_t start_ns = cf_clock_now().mono_ns;
    for (int i = 0; i < 8; i++) {
        expect(FIN | PING, "", 0);
        frame(FIN | PONG, "", 0);
    }
    assert_true(cf_clock_now().mono_ns - start_ns >= 8 * edge.http->ws_ping_ns);
    assert_true(peer.running);
    cf_ws_pause(peer.ws, true);          /* what is not read is not missed; but the client hears of us */
    start_ns = cf_clock_now().mono_ns;
    for (int i = 0; i < 2; i++)
        expect(FIN | PING, "", 0);
    assert_true(cf_clock_now().mono_ns - start_ns > edge.http->ws_silence_ns);
    assert_true(peer.running);
    cf_ws_pause(peer.ws, false);
    expect(FIN | PING, "", 0);
    start_ns = cf_clock_now().mono_ns;
    expect_end(CF_WS_GONE);
    assert_true(cf_clock_now().mono_ns - start_ns < 5 * CF_NS_PER_S);
}

static void silent_reader(void **state)
{
    /* It talks, but never takes its close. */
    edge.http->ws_silence_ns = CF_NS_PER_S / 2;
    client_close(&client);
    client_open(&client, true);
    connected();
    client_read(&client, false);
    peer.pumps = 1;
    peer.pump_bytes = CF_WS_QUEUE_MAX;
    pump();
    cf_ws_close(peer.ws, 1000, NULL);
    UNTIL((frame(FIN | PONG, "", 0), peer.closes == 1));
    assert_int_equal(peer.code, CF_WS_GONE);
}

static void stopped(void **state)
{
    connected();
    edge_stop();
    assert_int_equal(peer.closes, 1);
    assert_int_equal(peer.code, 1001);
    expect_close(1001);
    UNTIL(client.ended);
    client_close(&client);
    edge_restart();
    peer.closes = 0;
    client_open(&client, false);
    connected();
    client_read(&client, false);
    peer.pumps = 1;
    peer.pump_bytes = CF_WS_QUEUE_MAX;
    pump();
    edge_turn();
    edge_stop();
    assert_int_equal(peer.closes, 1);
    edge_restart();
    client_close(&client);
    client_open(&client, false);
    peer.closes = 0;
    handshake("");
    UNTIL(peer.running);                /* answered, hardly more */
    edge_stop();
    assert_int_equal(peer.closes, 1);
    edge_restart();
}

static void limit(void **state)
{
    struct client other;
    client_close(&client);
    edge.settings.max_connections = 1;
    edge_restart();
    client_open(&client, false);
    connected();
    client_open(&other, false);
    UNTIL(other.ended);
    client_close(&other);
    send_close(1000);
    expect_close(1000);
    UNTIL(cf_http_connections(edge.http) == 0);
    client_open(&other, false);
    client_get(&other, "/healthz", "");
    UNTIL(client_has(&other, "200 OK"));
    client_close(&other);
}

static void no_deadline(void **state)
{
    struct cf_error error;
    client_close(&client);
    assert_int_equal(cf_settings_set(&edge.settings, "keepalive_timeout", "1", &error), 0);
    edge_restart();
    client_open(&client, false);
    connected();
    int64_t start_ns = cf_clock_now().mono_ns;
    UNTIL(cf_clock_now().mono_ns - start_ns > 3 * CF_NS_PER_S / 2);
    peer.echo = true;
    text("here");
    expect(FIN | TEXT, "here", 4);
}

int main(void)
{
#define CASE(text, function) { .name = text, .test_func = function, .setup_func = setup, .teardown_func = teardown }
    const struct CMUnitTest tests[] = {
        CASE("a client upgrades, messages go both ways, and it closes", opens),
        CASE("likewise on the Unix socket", on_unix),
        CASE("a handshake that is not one is refused with the header's name", refused),
        CASE("Upgrade and Connection may be lists; nothing is agreed on that is not offered here", lists),
        CASE("a foreign origin, a foreign host and a caller without token cannot upgrade", foreign),
        CASE("what is sent together with the handshake is not lost", sent_ahead),
        CASE("a message in fragments is one message", fragments),
        CASE("a message that comes byte by byte is one message", bytewise),
        CASE("pings are answered", pings),
        CASE("pings without end whose answers nobody reads make the server wait", ping_flood),
        CASE("what is against the protocol closes with the code for it", failures),
        CASE("64 KiB are taken, a byte more is too large", longest),
        CASE("the server's close comes after what it has sent", server_closes),
        CASE("a client that does not answer a close is cut", unanswered_close),
        CASE("a client may go while it is closed", close_in_callback),
        CASE("a client that goes is noticed, also while it is paused or full", peer_gone),
        CASE("what a slow client does not take is bounded, and it gets all of that", slow_peer),
        CASE("so is the number of messages", many_messages),
        CASE("200 MiB go as fast as they are taken", pumped),
        CASE("a paused client waits and loses nothing", paused),
        CASE("a client that goes while it is paused is noticed, one that only sends no more is not taken for gone", paused_gone),
        CASE("a paused client that takes nothing is let go", paused_full),
        CASE("a paused client's close is answered when what came before it may come", paused_goodbye),
        CASE("but not for ever, and one that does not wait for the answer is noticed", long_goodbye),
        CASE("a client that answers no ping is closed, a paused one is only pinged", heartbeat),
        CASE("a client that takes nothing is closed although it talks", silent_reader),
        CASE("the edge's stop closes with 1001", stopped),
        CASE("a WebSocket counts as a connection", limit),
        CASE("a WebSocket has no deadline", no_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
