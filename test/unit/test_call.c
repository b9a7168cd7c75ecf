/* What a handler gets to know of a request, through the whole edge. */
#include "edge_fixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct edge edge;
static struct client client;
static struct cf_buf head;

/* Answers with what the call holds, as text. */
static void tell(struct cf_call *call)
{
    unsigned cols = 0, rows = 0;
    struct cf_buf *out = cf_call_plain(call, "text/plain");
    cf_buf_printf(out, "id=%s number=%" PRIu32 " accept=%d", call->id, call->number, (int)call->accept);
    if (call->has_last_event)
        cf_buf_printf(out, " last=%" PRIu64, call->last_event);
    if (call->raw)
        cf_buf_printf(out, " raw=%zu:%.*s", call->raw_len, (int)call->raw_len, call->raw);
    if (cf_call_screen(call, "screen", &cols, &rows))
        cf_buf_printf(out, " screen=%ux%u", cols, rows);
    cf_buf_printf(out, " count=%" PRId64 " seq=%" PRId64 " deep=%" PRId64 " eof=%d text=%s.", cf_call_int(call, "count", 99),
                  cf_call_int(call, "seq", -1), cf_call_int(call, "deep", -1), cf_call_bool(call, "eof", false),
                  cf_call_text(call, "text", "none"));
    cf_call_header(call, "X-Curfew-Offset", "%" PRIu64, UINT64_MAX);
    cf_call_header(call, "X-Curfew-Next", "%d", 7);
    cf_call_reply(call, 200);
}

void cf_calls_step(struct cf_call *call)
{
    tell(call);
}

void cf_calls_input(struct cf_call *call)
{
    tell(call);
}

void cf_calls_park(struct cf_call *call)
{
    tell(call);
}

static int setup(void **state)
{
    cf_buf_init(&head, 1 << 20);
    edge_setup(&edge);
    client_open(&client, true);
    return 0;
}

static int teardown(void **state)
{
    client_close(&client);
    cf_buf_free(&head);
    return edge_teardown();
}

/* Sends one request and expects the answer's status and what is in its body. */
static void ask(const char *request, const char *headers, const char *body, size_t len, const char *status,
                const char *answer)
{
    char text[4096];
    snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n", request, headers, len);
    client_puts(&client, text);
    client_send(&client, body, len);
    UNTIL(client_take_head(&client, &head));
    assert_memory_equal(head.data + 9, status, 3);
    const char *length = strstr(head.data, "Content-Length: ");
    assert_non_null(length);
    size_t want = strtoul(length + 16, NULL, 10);
    UNTIL(client.in.len >= want);
    if (!client_has(&client, answer))
        fail_msg("%s: no \"%s\" in \"%s\"", request, answer, client.in.data);
    cf_buf_reset(&client.in);
}

#define STEP "GET /v1/sessions/a.b/steps/"
#define INPUT "POST /v1/sessions/x/input"
#define RAW "Content-Type: application/octet-stream\r\n"
#define JSON "Content-Type: application/json\r\n"

static void paths(void **state)
{
    ask(STEP "7", "", "", 0, "200", "id=a.b number=7 accept=0 count=99");
    assert_non_null(strstr(head.data, "\r\nX-Curfew-Offset: 18446744073709551615\r\n"));
    assert_non_null(strstr(head.data, "\r\nX-Curfew-Next: 7\r\n"));
    ask(STEP "4294967295?count=-5", "", "", 0, "200", "number=4294967295 accept=0 count=-5");
    ask(STEP "4294967296", "", "", 0, "404", "not_found");
    ask(STEP "0", "", "", 0, "404", "not_found");
    ask(STEP "07", "", "", 0, "404", "not_found");
    ask("POST /v1/sessions/a/steps/7", "", "", 0, "405", "method_not_allowed");
    assert_non_null(strstr(head.data, "\r\nAllow: GET, HEAD\r\n"));
    assert_null(strstr(head.data, "X-Curfew"));
    ask(INPUT "?seq=1", RAW, "", 0, "200", "id=x number=0");
}

static void headers(void **state)
{
    ask(STEP "1", "Accept: text/html, text/event-stream\r\nLast-Event-ID: 18446744073709551615\r\n", "", 0, "200",
        "accept=2 last=18446744073709551615 ");
    ask(STEP "1", "Accept: text/html\r\nAccept: application/vnd.curfew.frames\r\nAccept: */*\r\n", "", 0, "200", "accept=3 count");
    ask(STEP "1", "Accept: text/html\r\nLast-Event-ID: -1\r\n", "", 0, "200", "accept=0 count");
    ask(STEP "1", "Last-Event-ID:\r\n", "", 0, "200", "accept=0 count");
}

static void screens(void **state)
{
    const char *bad[] = { "{\"screen\":{\"cols\":80}}",
                          "{\"screen\":{\"cols\":80,\"rows\":0}}",
                          "{\"screen\":{\"cols\":1001,\"rows\":1}}",
                          "{\"screen\":{\"cols\":80,\"rows\":24,\"depth\":1}}",
                          "{\"screen\":{\"cols\":80,\"lines\":24}}",
                          "{\"screen\":{\"cols\":80.0,\"rows\":24}}",
                          "{\"screen\":\"80x24\"}",
                          "{\"screen\":[80,24]}",
                          "{\"screen\":null}" };
    ask("POST /park", JSON, "{\"screen\":{\"rows\":24,\"cols\":1000}}", 34, "200", " screen=1000x24 ");
    ask("POST /park", "", "", 0, "200", "accept=0 count");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ask("POST /park", JSON, bad[i], strlen(bad[i]), "400",
            "\"\\\"screen\\\" must be an object of \\\"cols\\\" and \\\"rows\\\", whole numbers from 1 to 1000\"");
    ask(STEP "1?screen=80x24", "", "", 0, "400", "\"field\":\"screen\"");
    ask(STEP "1?count=6", "", "", 0, "400", "\"\\\"count\\\" must be a whole number from -5 to 5\"");
}

static void raw(void **state)
{
    ask(INPUT "?seq=5&eof=true&text=a%20b&deep=3", RAW, "by\0tes", 6, "200", " raw=6:by");
    ask(INPUT "?seq=5&eof=true&text=a%20b&deep=3", RAW, "bytes", 5, "200",
        " raw=5:bytes count=99 seq=5 deep=3 eof=1 text=a b.");
    ask(INPUT "?seq=5", "Content-Type: application/octet-stream; x=y\r\n", "{\"seq\":6}", 9, "200", " raw=9:{\"seq\":6} ");
    ask(INPUT "?seq=5", RAW, "", 0, "200", " raw=0: count=99 seq=5");
    ask(INPUT "?seq=5&eof=1", "", "", 0, "200", " raw=0: count=99 seq=5 deep=-1 eof=1");
    ask(INPUT "?deep=2", JSON, "{\"seq\":6,\"text\":\"t\"}", 20, "200", "accept=0 count=99 seq=6 deep=2 eof=0 text=t.");
}

static void raw_refused(void **state)
{
    ask(INPUT, RAW, "bytes", 5, "400", "\"\\\"seq\\\" is required\"");
    ask(INPUT, RAW, "", 0, "400", "\"\\\"seq\\\" is required\"");
    ask(INPUT "?seq=1001", RAW, "bytes", 5, "400", "\"field\":\"seq\"");
    ask(INPUT "?seq=1&seq=1", RAW, "bytes", 5, "400", "more than once");
    ask(INPUT "?seq=1&other=1", RAW, "bytes", 5, "400", "it knows text, eof, seq, deep");
    ask(INPUT "?seq=1", JSON, "{}", 2, "400", "query parameter \\\"seq\\\"; it knows deep");
    ask(INPUT, JSON, "{\"seq\":1,\"deep\":1}", 18, "400", "unknown_field");
    ask("POST /park", RAW, "", 0, "200", "accept=0 count");
    char many[101];
    memset(many, 'x', sizeof many);
    client_close(&client);
    client_open(&client, true);
    ask("POST /park", RAW, many, sizeof many, "415", "Content-Type: application/json\"");
    client_close(&client);
    client_open(&client, true);
    ask(INPUT, "Content-Type: text/plain\r\n", many, sizeof many, "415", "application/json or application/octet-stream\"");
    client_close(&client);
    client_open(&client, true);
    ask(INPUT, "", many, sizeof many, "415", "application/json or application/octet-stream\"");
}

static void raw_large(void **state)
{
    /* Whole, up to max_body_bytes, and taken as it is. */
    static char data[4u << 20];
    memset(data, '\xff', sizeof data);
    ask(INPUT "?seq=1", RAW, data, sizeof data, "200", " raw=4194304:\xff\xff");
}

int main(void)
{
#define CASE(text, function) { .name = text, .test_func = function, .setup_func = setup, .teardown_func = teardown }
    const struct CMUnitTest tests[] = {
        CASE("a handler gets the id and the number of the path, and adds headers", paths),
        CASE("a handler gets what Accept and Last-Event-ID ask for", headers),
        CASE("a screen is columns and rows within their range", screens),
        CASE("a raw body comes as it was sent, and its parameters in the query", raw),
        CASE("a raw body's parameters are checked as others are", raw_refused),
        CASE("a raw body may be as large as any", raw_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
