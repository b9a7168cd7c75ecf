#include "edge_fixture.h"
#include "server/body.h"

#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* ---- a source that does as the test says ---- */

static struct script {
    struct cf_body *body;
    bool running;                       /* `done` was not called */
    size_t head_bytes, part_bytes;      /* of each part */
    uint64_t parts;                     /* that are left */
    uint64_t sent;                      /* bytes that were given */
    bool stop_with_wait;                /* after the last part: wait, not end */
    enum cf_body_step last;             /* what `next` says after the last part otherwise */
    unsigned waits, nexts, dones, complete;
    char data[1 << 20];
} script;

static char byte_at(uint64_t at)
{
    return (char)(at % 251);
}

static enum cf_body_step next(void *arg, struct cf_body_part *part)
{
    struct script *s = arg;
    assert_true(s->running);
    assert_int_equal(part->head.len, 0);
    s->nexts++;
    if (s->parts == 0 && s->stop_with_wait) {
        s->waits++;
        return CF_BODY_WAIT;
    }
    if (s->parts == 0)
        return s->last;
    s->parts--;
    for (size_t i = 0; i < s->head_bytes; i++)
        cf_buf_putc(&part->head, byte_at(s->sent + i));
    s->sent += s->head_bytes;
    for (size_t i = 0; i < s->part_bytes; i++)
        s->data[i] = byte_at(s->sent + i);
    part->data = s->data;
    part->len = s->part_bytes;
    s->sent += s->part_bytes;
    return CF_BODY_MORE;
}

static void done(void *arg, bool complete)
{
    struct script *s = arg;
    assert_true(s->running);
    s->running = false;
    s->body = NULL;
    s->dones++;
    s->complete += complete;
}

static const struct cf_body_source source = { .next = next, .done = done };

/* ---- handlers ---- */

static struct cf_call *parked;

static void stream(struct cf_call *call)
{
    if (script.running) {
        cf_call_fail_code(call, CF_E_BUSY, NULL, "one at a time");
        return;
    }
    script.running = true;
    cf_call_header(call, "X-Curfew-Offset", "%d", 42);
    cf_call_stream(call, "application/x-test", &source, &script, &script.body);
}

void cf_calls_flow(struct cf_call *call)
{
    stream(call);
}

void cf_calls_launch(struct cf_call *call)
{
    stream(call);
}

void cf_calls_park(struct cf_call *call)
{
    parked = call;
}

/* ---- before and after each ---- */

static struct edge edge;
static struct client client;
static struct cf_buf head, body;

static int setup(void **state)
{
    memset(&script, 0, sizeof script);
    script.last = CF_BODY_END;
    parked = NULL;
    cf_buf_init(&head, 1 << 20);
    cf_buf_init(&body, 1u << 30);
    edge_setup(&edge);
    client_open(&client, false);
    return 0;
}

static int teardown(void **state)
{
    client_close(&client);
    int code = edge_teardown();
    cf_buf_free(&head);
    cf_buf_free(&body);
    assert_false(script.running);
    return code;
}

static void wake(void)
{
    if (script.body)
        cf_body_wake(script.body);
}

static bool body_complete(void)
{
    return client_take_chunks(&client, &body);
}

static void check_bytes(const struct cf_buf *got, uint64_t want)
{
    assert_true(got->len == want);
    for (uint64_t i = 0; i < want; i++)
        if (got->data[i] != byte_at(i))
            fail_msg("byte %llu is wrong", (unsigned long long)i);
}

/* ---- cases ---- */

static void plain(void **state)
{
    script.parts = 3;
    script.head_bytes = 5;
    script.part_bytes = 100;
    client_get(&client, "/flow", "");
    UNTIL(client_take_head(&client, &head));
    UNTIL(body_complete());
    assert_non_null(strstr(head.data, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(head.data, "\r\nTransfer-Encoding: chunked\r\n"));
    assert_non_null(strstr(head.data, "\r\nContent-Type: application/x-test\r\n"));
    assert_non_null(strstr(head.data, "\r\nX-Curfew-Offset: 42\r\n"));
    assert_null(strstr(head.data, "close"));
    check_bytes(&body, 315);
    assert_int_equal(client.in.len, 0);
    UNTIL(!script.running);
    assert_int_equal(script.complete, 1);
    assert_int_equal(script.nexts, 4);
    assert_int_equal(cf_http_pending(edge.http), 0);
}

static void empty(void **state)
{
    client_get(&client, "/flow", "");
    UNTIL(client_take_head(&client, &head));
    UNTIL(body_complete());
    assert_int_equal(body.len, 0);
    UNTIL(script.complete == 1);
}

static void waits(void **state)
{
    script.stop_with_wait = true;
    script.part_bytes = 1000;
    client_get(&client, "/flow", "");
    UNTIL(script.waits == 1);
    UNTIL(client_take_head(&client, &head));         /* before there is a body */
    for (unsigned i = 1; i <= 20; i++) {
        script.parts = i % 2;                        /* a wake-up for nothing, too */
        wake();
        wake();
        UNTIL(script.waits == i + 1);
        uint64_t due = script.sent;
        UNTIL((body_complete(), body.len == due));
    }
    assert_int_equal(script.nexts, 31);
    script.stop_with_wait = false;
    wake();
    UNTIL(body_complete());
    check_bytes(&body, script.sent);
    UNTIL(script.complete == 1);
}

static void keeps_connection(void **state)
{
    script.parts = 2;
    script.part_bytes = 70000;
    client_puts(&client, "GET /flow HTTP/1.1\r\nHost: localhost\r\n\r\n"
                         "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /flow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    UNTIL(client_take_head(&client, &head));
    UNTIL(body_complete());
    check_bytes(&body, 140000);
    UNTIL(client_has(&client, "{\"status\":\"success\",\"data\":true}HTTP/1.1 200 OK\r\n"));
    UNTIL(script.complete == 2);
    UNTIL(client_has(&client, "\r\n\r\n0\r\n\r\n"));
    client_get(&client, "/healthz", "Connection: close\r\n");
    UNTIL(client.ended);
    assert_true(client_has(&client, "Connection: close"));
}

static void closing_client(void **state)
{
    script.parts = 2;
    script.part_bytes = 1000;
    client_get(&client, "/flow", "Connection: close\r\n");
    UNTIL(client_take_head(&client, &head));
    assert_non_null(strstr(head.data, "\r\nTransfer-Encoding: chunked\r\n"));
    UNTIL(body_complete());
    check_bytes(&body, 2000);
    UNTIL(client.ended);
    assert_int_equal(script.complete, 1);
}

static void pipelined_while_waiting(void **state)
{
    script.stop_with_wait = true;
    client_get(&client, "/flow", "");
    UNTIL(script.waits == 1);
    client_get(&client, "/healthz", "");
    edge_turn();
    edge_turn();
    int64_t start_ns = cf_clock_now().mono_ns;
    for (int i = 0; i < 20; i++)        /* one for each tick, not one for each look at the socket */
        edge_turn();
    assert_true(cf_clock_now().mono_ns - start_ns > 100 * CF_NS_PER_MS);
    assert_true(script.running);
    assert_int_equal(script.waits, 1);
    script.stop_with_wait = false;
    wake();
    UNTIL(client_has(&client, "0\r\n\r\nHTTP/1.1 200 OK\r\n"));
    UNTIL(client_has(&client, "\"data\":true"));
    assert_int_equal(script.complete, 1);
}

static void large(void **state)
{
    const bool on_unix = *state;
    client_close(&client);
    client_open(&client, on_unix);
    script.parts = 100;
    script.head_bytes = 17;
    script.part_bytes = sizeof script.data;
    client_get(&client, "/flow", "");
    UNTIL(client_take_head(&client, &head));
    UNTIL(script.dones == 1);
    UNTIL(body_complete());
    check_bytes(&body, 100 * (17 + sizeof script.data));
    assert_int_equal(script.complete, 1);
}

static void large_tcp(void **state)
{
    *state = NULL;
    large(state);
}

static void large_unix(void **state)
{
    *state = &client;
    large(state);
    *state = NULL;
}

static void small_parts(void **state)
{
    script.parts = 200000;
    script.head_bytes = 1;
    script.part_bytes = 2;
    client_get(&client, "/flow", "");
    UNTIL(client_take_head(&client, &head));
    UNTIL(script.dones == 1);
    UNTIL(body_complete());
    check_bytes(&body, 600000);
}

static void no_delay(void **state)
{
    struct client other;
    int64_t start_ns = cf_clock_now().mono_ns;
    script.stop_with_wait = true;
    script.head_bytes = 1;
    script.part_bytes = 10;
    client_open(&other, true);
    client_close(&other);
    client_get(&client, "/flow", "");
    UNTIL(script.waits == 1);
    /* Three small parts a round; were one held back, it would be for 40 ms or more. */
    for (unsigned i = 1; i <= 200; i++) {
        script.parts = 3;
        wake();
        UNTIL(script.waits == i + 1);
        UNTIL((client_take_head(&client, &head), body_complete(), body.len == i * 33));
    }
    assert_true(cf_clock_now().mono_ns - start_ns < 4 * CF_NS_PER_S);
    script.stop_with_wait = false;
    wake();
    UNTIL(script.complete == 1);
}

static void empty_parts(void **state)
{
    script.parts = 100000;              /* of nothing: the loop must not be held, and no chunk may end the body */
    client_get(&client, "/flow", "");
    struct client other;
    client_open(&other, false);
    client_get(&other, "/healthz", "");
    unsigned most = 0;
    while (script.dones == 0) {
        unsigned nexts = script.nexts;
        edge_turn();
        most = script.nexts - nexts > most ? script.nexts - nexts : most;
    }
    assert_true(most > 0 && most < 10000);
    UNTIL(client_has(&other, "\"data\":true"));
    client_close(&other);
    assert_int_equal(script.complete, 1);
    UNTIL(client_has(&client, "\r\n\r\n0\r\n\r\n"));
}

static void fair(void **state)
{
    struct client other;
    script.parts = UINT64_MAX;
    script.part_bytes = 30000;
    client.drop = true;
    client_get(&client, "/flow", "");
    UNTIL(client.total > 100);
    uint64_t most = 0;
    for (int i = 0; i < 200; i++) {
        uint64_t sent = script.sent;
        edge_turn();
        if (script.sent - sent > most)
            most = script.sent - sent;
    }
    assert_true(most > 30000 && most <= CF_BODY_TURN_BYTES + 30000);
    client_open(&other, false);
    client_get(&other, "/healthz", "");
    size_t before = client.total;
    UNTIL(client_has(&other, "\"data\":true"));
    assert_true(client.total - before < 100 * CF_BODY_TURN_BYTES);
    client_close(&other);
    client_close(&client);
    UNTIL(script.dones == 1);
    assert_int_equal(script.complete, 0);
}

static void slow_reader(void **state)
{
    const int little = 65536;
    setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    client_read(&client, false);
    script.parts = 100;
    script.part_bytes = 100000;
    client_get(&client, "/flow", "");
    UNTIL(script.nexts > 1);
    for (int i = 0; i < 10; i++)
        edge_turn();
    assert_true(script.parts > 0);      /* the source is not asked for what the socket does not take */
    char data[3000];
    while (script.running || body.len == 0) {
        ssize_t len = recv(client.fd, data, sizeof data, MSG_DONTWAIT);
        if (len > 0)
            cf_buf_append(&client.in, data, (size_t)len);
        if (head.len == 0)
            client_take_head(&client, &head);
        else if (body_complete())
            break;
        event_base_loop(edge.loop, EVLOOP_NONBLOCK);
    }
    client_read(&client, true);
    UNTIL(script.dones == 1);
    while (!body_complete())
        edge_turn();
    check_bytes(&body, 10000000);
    assert_int_equal(script.complete, 1);
}

static void stalled(void **state)
{
    struct cf_error error;
    client_close(&client);
    assert_int_equal(cf_settings_set(&edge.settings, "stream_stall_timeout", "1", &error), 0);
    for (int on_unix = 0; on_unix < 2; on_unix++) {
        client_open(&client, on_unix);
        client_read(&client, false);
        script.parts = UINT64_MAX;
        script.part_bytes = 100000;
        client_get(&client, "/flow", "");
        UNTIL(script.running);
        UNTIL(!script.running);
        assert_int_equal(script.complete, 0);
        UNTIL(cf_http_connections(edge.http) == 0);
        client_close(&client);
    }
}

static void reads_now_and_then(void **state)
{
    /* Takes little at a time, by far too little for the socket to be writable, but never nothing for a second. */
    struct cf_error error;
    const int little = 65536;
    char data[20000];
    assert_int_equal(cf_settings_set(&edge.settings, "stream_stall_timeout", "1", &error), 0);
    setsockopt(client.fd, SOL_SOCKET, SO_RCVBUF, &little, sizeof little);
    client_read(&client, false);
    script.parts = UINT64_MAX;
    script.part_bytes = 100000;
    client_get(&client, "/flow", "");
    UNTIL(script.running);
    int64_t start_ns = cf_clock_now().mono_ns, last_ns = 0;
    while (cf_clock_now().mono_ns - start_ns < 4 * CF_NS_PER_S) {
        edge_turn();
        if (cf_clock_now().mono_ns - last_ns < 200 * CF_NS_PER_MS)
            continue;
        last_ns = cf_clock_now().mono_ns;
        assert_true(recv(client.fd, data, sizeof data, MSG_DONTWAIT) > 0);
    }
    assert_true(script.running);
    client_close(&client);
    UNTIL(!script.running);
}

static void goes_away(bool reset, bool on_unix)
{
    /* While it waits and is silent. */
    unsigned before = script.dones;
    client_close(&client);
    client_open(&client, on_unix);
    script.stop_with_wait = true;
    script.parts = 1;
    script.part_bytes = 10;
    unsigned waited = script.waits;
    client_get(&client, "/flow", "");
    UNTIL(script.waits == waited + 1);
    reset ? client_reset(&client) : client_close(&client);
    UNTIL(script.dones == before + 1);
    /* With a next request unread. */
    client_open(&client, on_unix);
    waited = script.waits;
    client_get(&client, "/flow", "");
    UNTIL(script.waits == waited + 1);
    client_get(&client, "/healthz", "");
    edge_turn();
    reset ? client_reset(&client) : client_close(&client);
    UNTIL(script.dones == before + 2);
    /* While its socket is full. */
    client_open(&client, on_unix);
    script.parts = UINT64_MAX;
    client_read(&client, false);
    client_get(&client, "/flow", "");
    unsigned nexts = script.nexts;
    UNTIL(script.nexts > nexts);
    for (int i = 0; i < 5; i++)
        edge_turn();
    reset ? client_reset(&client) : client_close(&client);
    UNTIL(script.dones == before + 3);
    /* Before the edge has read a byte. */
    client_open(&client, on_unix);
    client_get(&client, "/flow", "");
    reset ? client_reset(&client) : client_close(&client);
    UNTIL(cf_http_connections(edge.http) == 0);
    assert_false(script.running);
    assert_int_equal(script.complete, 0);
}

static void gone_by_fin(void **state)
{
    goes_away(false, false);
}

static void gone_by_reset(void **state)
{
    goes_away(true, false);
}

static void gone_on_unix(void **state)
{
    goes_away(false, true);
}

static void aborted(void **state)
{
    script.parts = 2;
    script.part_bytes = 10;
    script.last = CF_BODY_ABORT;
    client_get(&client, "/flow", "");
    UNTIL(client.ended);
    assert_true(client_take_head(&client, &head));
    assert_false(body_complete());
    check_bytes(&body, 20);
    UNTIL(script.dones == 1);
    assert_int_equal(script.complete, 0);
}

static void head_too_long(void **state)
{
    script.parts = 1;
    script.head_bytes = CF_BODY_HEAD_MAX + 1;
    client_get(&client, "/flow", "");
    UNTIL(client.ended);
    UNTIL(script.dones == 1);
    assert_int_equal(script.complete, 0);
}

static void stopped(void **state)
{
    struct client others[3];
    client_close(&client);
    for (int stage = 0; stage < 4; stage++) {
        client_open(&client, stage % 2);
        script.stop_with_wait = stage != 1;
        script.parts = stage == 1 ? UINT64_MAX : 1;
        script.part_bytes = 1000;
        unsigned nexts = script.nexts;
        client_read(&client, stage != 1);
        client_get(&client, "/flow", "");
        if (stage == 3)
            edge_turn();                /* maybe accepted, hardly more */
        else
            UNTIL(script.nexts > nexts + 1);
        if (stage == 2)
            cf_http_drain(edge.http);
        edge_stop();
        assert_false(script.running);
        assert_int_equal(script.complete, 0);
        edge_restart();
        client_close(&client);
    }
    for (int i = 0; i < 3; i++)
        client_open(&others[i], false);
    client_get(&others[0], "/healthz", "");
    UNTIL(client_has(&others[0], "true"));
    for (int i = 0; i < 3; i++)
        client_close(&others[i]);
}

static void drained(void **state)
{
    /* What is under way goes on to its end. */
    script.stop_with_wait = true;
    client_get(&client, "/flow", "");
    UNTIL(script.waits == 1);
    cf_http_drain(edge.http);
    assert_int_equal(cf_http_pending(edge.http), 1);
    script.stop_with_wait = false;
    script.parts = 1;
    script.part_bytes = 7;
    wake();
    UNTIL(client_take_head(&client, &head));
    UNTIL(body_complete());
    check_bytes(&body, 7);
    UNTIL(cf_http_pending(edge.http) == 0);
    assert_int_equal(script.complete, 1);
}

static void old_client(void **state)
{
    script.parts = 3;
    script.head_bytes = 1;
    script.part_bytes = 100000;
    client_puts(&client, "GET /flow HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n");
    UNTIL(client.ended);
    assert_true(client_take_head(&client, &head));
    assert_null(strstr(head.data, "chunked"));
    assert_non_null(strstr(head.data, "Connection: close"));
    check_bytes(&client.in, 300003);
    UNTIL(script.complete == 1);
}

static void head_request(void **state)
{
    script.parts = 3;
    client_puts(&client, "HEAD /flow HTTP/1.1\r\nHost: localhost\r\n\r\n");
    UNTIL(script.dones == 1);
    UNTIL(client_take_head(&client, &head));
    assert_non_null(strstr(head.data, "200 OK"));
    assert_int_equal(script.nexts, 0);
    assert_int_equal(script.complete, 1);
    UNTIL(client.ended);
    assert_int_equal(client.in.len, 0);
}

static void later(void **state)
{
    client_puts(&client, "POST /park HTTP/1.1\r\nHost: localhost\r\n\r\n");
    UNTIL(parked);
    script.parts = 1;
    script.part_bytes = 9;
    script.running = true;
    cf_call_stream(parked, "text/plain", &source, &script, &script.body);
    assert_non_null(script.body);
    UNTIL(client_take_head(&client, &head));
    UNTIL(body_complete());
    check_bytes(&body, 9);
    UNTIL(script.complete == 1);
}

static void after_stop(void **state)
{
    client_puts(&client, "POST /park HTTP/1.1\r\nHost: localhost\r\n\r\n");
    UNTIL(parked);
    edge_stop();
    script.running = true;
    cf_call_stream(parked, "text/plain", &source, &script, &script.body);
    assert_null(script.body);
    assert_int_equal(script.dones, 1);
    assert_int_equal(script.complete, 0);
    edge_restart();
}

static void longest_headers(void **state)
{
    /* The connection's pool holds request, answer and one buffer for the chunks' frame. */
    char text[4200] = "X-Filler: ";
    memset(text + 10, 'x', 3960);
    strcpy(text + 3970, "\r\n");
    script.parts = 5;
    script.part_bytes = 10000;
    client_get(&client, "/flow", text);
    UNTIL(client_take_head(&client, &head));
    UNTIL(body_complete());
    check_bytes(&body, 50000);
}

static void deadlines(void **state)
{
    struct cf_error error;
    client_close(&client);
    assert_int_equal(cf_settings_set(&edge.settings, "keepalive_timeout", "1", &error), 0);
    assert_int_equal(cf_settings_set(&edge.settings, "header_timeout", "1", &error), 0);
    edge_restart();
    client_open(&client, false);
    script.stop_with_wait = true;
    client_get(&client, "/flow", "");
    int64_t start_ns = cf_clock_now().mono_ns;
    UNTIL(cf_clock_now().mono_ns - start_ns > 2 * CF_NS_PER_S + CF_NS_PER_S / 2);
    assert_true(script.running && !client.ended);
    script.stop_with_wait = false;
    wake();
    UNTIL(script.complete == 1);
    UNTIL(client.ended);                /* and now the connection is idle */
    assert_true(client_has(&client, "\r\n\r\n0\r\n\r\n"));
}

int main(void)
{
#define CASE(text, function) { .name = text, .test_func = function, .setup_func = setup, .teardown_func = teardown }
    const struct CMUnitTest tests[] = {
        CASE("a body comes in the chunks in which it is given", plain),
        CASE("a body may be empty", empty),
        CASE("headers and what there is come at once, while more is waited for", waits),
        CASE("the connection goes on after a stream, also with requests that were sent ahead", keeps_connection),
        CASE("a client that wants the connection closed gets chunks as well", closing_client),
        CASE("a request that is sent during a stream waits for its turn and wakes nobody", pipelined_while_waiting),
        CASE("100 MiB come byte for byte by TCP", large_tcp),
        CASE("100 MiB come byte for byte by the Unix socket", large_unix),
        CASE("many small parts come complete", small_parts),
        CASE("small parts are not held back", no_delay),
        CASE("empty parts are no chunks and do not hold the loop", empty_parts),
        CASE("one that reads fast leaves others their turn", fair),
        CASE("a slow reader gets all of it, and the source waits for it", slow_reader),
        CASE("a reader that takes nothing is closed", stalled),
        CASE("a reader that takes a little now and then is not", reads_now_and_then),
        CASE("a client that closes is noticed at once, whatever the stream does", gone_by_fin),
        CASE("a client that resets is noticed at once, whatever the stream does", gone_by_reset),
        CASE("a client of the Unix socket likewise", gone_on_unix),
        CASE("a stream that is aborted ends without its last chunk", aborted),
        CASE("a part with too long a head aborts the stream", head_too_long),
        CASE("the edge's stop ends streams at every stage", stopped),
        CASE("a stream goes on while the edge drains", drained),
        CASE("HTTP/1.0 gets the body without chunks", old_client),
        CASE("HEAD gets the headers only", head_request),
        CASE("a call that waited may be answered with a stream", later),
        CASE("a stream for a client of a stopped edge fails at once", after_stop),
        CASE("the longest headers leave room for a stream", longest_headers),
        CASE("a stream has no deadline, the connection after it does", deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
