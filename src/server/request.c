#include "server/request.h"

#include "base/log.h"
#include "core/core.h"
#include "server/body_edge.h"
#include "server/head.h"
#include "server/params.h"
#include "server/websocket_edge.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cf_handler *const handlers[] = {
#define OPERATION(name, ...) cf_calls_##name,
#include "tables/operations.def"
#undef OPERATION
};

/* ---- beginning ---- */

static void free_request(struct cf_request *r)
{
    cf_buf_free(&r->in);
    cf_buf_free(&r->call.body);
    json_decref(r->call.params);
    free(r);
}

static struct cf_request *new_request(struct cf_conn *conn)
{
    struct cf_request *r = malloc(sizeof *r);
    if (!r)
        return NULL;
    r->call = (struct cf_call){ .server = conn->http->server, .edge = r };
    r->conn = conn;
    r->status = 0;
    r->state = CF_REQUEST_READING;
    r->body = NULL;
    r->ws = NULL;
    r->dispatching = r->suspended = r->close = r->raw = r->http10 = r->head_only = r->upgrade_required = false;
    r->allow[0] = '\0';
    cf_buf_init(&r->in, (size_t)conn->http->settings->max_body_bytes);
    cf_buf_init(&r->call.body, conn->http->reply_max_bytes);
    conn->request = r;
    return r;
}

static int match(struct cf_request *r, const char *method, const char *url, struct cf_error *error)
{
    struct cf_route_match found;
    int code = cf_routes_match(&r->conn->http->routes, method, url, &found);
    if (code == CF_E_METHOD) {
        memcpy(r->allow, found.allow, sizeof r->allow);
        return cf_error_set(error, code, NULL, "this path takes %s only", found.allow);
    }
    if (code < 0)
        return cf_error_set(error, code, NULL, "there is nothing at this path");
    r->call.operation = found.operation;
    r->call.number = found.number;
    memcpy(r->call.id, found.id, sizeof found.id);
    return 0;
}

/* In this order: what it means, whether it may, where it goes, what it carries. */
static int judge(struct cf_request *r, const struct cf_head *h, const char *method, const char *url,
                 const char *version, uint64_t *ret_length, struct cf_error *error)
{
    struct cf_conn *conn = r->conn;
    struct cf_http *http = conn->http;
    struct cf_error routed = { 0 };
    if (h->bytes > (size_t)http->settings->max_header_bytes)
        return cf_error_set(error, CF_E_TOO_LARGE, NULL, "the headers are larger than max_header_bytes, which is %lld",
                            (long long)http->settings->max_header_bytes);
    int code = cf_head_framing(h, version, ret_length, error);
    if (code < 0)
        return code;
    int route = match(r, method, url, &routed);
    const struct cf_auth_request who = {
        .peer = (enum cf_peer)conn->peer,
        .unix_socket = conn->unix_socket,
        .open = route == 0 && r->call.operation == CF_OP_healthz,
        .host = h->value[CF_HEAD_HOST],
        .origin = h->value[CF_HEAD_ORIGIN],
        .authorization = h->value[CF_HEAD_AUTHORIZATION],
    };
    code = cf_auth_check(&http->auth, &who, error);
    if (code < 0)
        return code;
    if (route < 0) {
        *error = routed;
        return route;
    }
    return cf_head_body(h, http->settings, method, cf_params_raw(r->call.operation), *ret_length, error);
}

/* What a handler may know of the headers. */
static void take_head(struct cf_request *r, const struct cf_head *h, uint64_t length)
{
    struct cf_call *call = &r->call;
    const char *last = h->value[CF_HEAD_LAST_EVENT_ID];
    call->accept = h->accept == CF_ACCEPT_NONE ? CF_ACCEPT_JSON : h->accept;
    call->has_last_event = last && cf_head_number(last, &call->last_event);
    r->raw = cf_params_raw(call->operation) && cf_head_is_raw(h, length);
    if (h->args == 0 && length == 0)
        call->params = json_incref(r->conn->http->no_params);
}

/* Puts the refusal where the answer would be. */
static void refuse(struct cf_request *r, const struct cf_error *error)
{
    r->state = CF_REQUEST_WORKING;
    r->dispatching = true;
    cf_call_fail(&r->call, error, NULL);
    r->dispatching = false;
}

static enum MHD_Result respond(struct cf_request *r);

static enum MHD_Result begin(struct cf_http *http, struct MHD_Connection *mhd, const char *url, const char *method,
                             const char *version, void **state)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct cf_conn *conn = info ? info->socket_context : NULL;
    struct cf_request *r = conn ? new_request(conn) : NULL;
    if (!r)
        return MHD_NO;
    *state = conn;
    r->http10 = strcmp(version, "HTTP/1.0") == 0;
    r->head_only = strcmp(method, "HEAD") == 0;
    http->pending++;
    struct cf_head h;
    struct cf_error error = { 0 };
    uint64_t length = 0;
    cf_head_read(mhd, method, url, version, &h);
    int code = judge(r, &h, method, url, version, &length, &error);
    bool body = h.padded || length > 0 || h.times[CF_HEAD_TRANSFER_ENCODING] || h.times[CF_HEAD_CONTENT_LENGTH] > 1;
    cf_deadline_set(&http->deadlines, &conn->deadline, body && code == 0 ? CF_PHASE_BODY : CF_PHASE_WORK,
                    cf_clock_now().mono_ns);
    if (code == 0) {
        take_head(r, &h, length);
        return MHD_YES;
    }
    if (code != CF_E_NOT_FOUND && code != CF_E_METHOD)
        http->counts->requests_refused++;
    refuse(r, &error);
    if (h.bytes > (size_t)http->settings->max_header_bytes)
        r->status = MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE;
    /* A body that is not read would be taken for the next request. */
    r->close = body || code == CF_E_MALFORMED || code == CF_E_TOO_LARGE;
    conn->linger = body;
    return r->close ? respond(r) : MHD_YES;
}

/* ---- the handler's turn ---- */

struct arguments {
    struct cf_request *request;
    struct cf_error *error;
    int code;
};

static enum MHD_Result argument(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len,
                                const char *value, size_t len)
{
    struct arguments *a = cls;
    struct cf_call *call = &a->request->call;
    char *name_copy = strndup(name, name_len), *value_copy = value ? strndup(value, len) : NULL;
    a->code = name_copy && (value_copy || !value)
        ? (a->request->raw ? cf_params_query_all : cf_params_query)(call->operation, call->params, name_copy, value_copy,
                                                                    a->error)
        : cf_error_set(a->error, CF_E_NO_MEMORY, NULL, "out of memory");
    free(name_copy);
    free(value_copy);
    return a->code == 0 ? MHD_YES : MHD_NO;
}

static int read_body(struct cf_request *r, struct cf_error *error)
{
    struct cf_call *call = &r->call;
    if (r->in.failed)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the body");
    if (!r->raw)
        return cf_params_body(call->operation, r->in.data, r->in.len, &call->params, error);
    call->params = json_object();
    return call->params ? 0 : cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
}

static int read_params(struct cf_request *r, struct cf_error *error)
{
    if (!r->call.params) {
        int code = read_body(r, error);
        if (code < 0)
            return code;
        struct arguments a = { r, error, 0 };
        MHD_get_connection_values_n(r->conn->mhd, MHD_GET_ARGUMENT_KIND, argument, &a);
        if (a.code < 0)
            return a.code;
        if (!r->raw)
            cf_buf_free(&r->in);
    }
    if (r->raw) {
        r->call.raw = r->in.data ? r->in.data : "";
        r->call.raw_len = r->in.len;
    }
    return cf_params_complete(r->call.operation, r->call.params, error);
}

static void dispatch(struct cf_request *r)
{
    struct cf_http *http = r->conn->http;
    struct cf_error error = { 0 };
    r->call.now = cf_clock_now();
    cf_deadline_set(&http->deadlines, &r->conn->deadline, CF_PHASE_WORK, r->call.now.mono_ns);
    if (http->draining) {
        cf_error_set(&error, CF_E_SHUTTING_DOWN, NULL, "%s", cf_error_text(CF_E_SHUTTING_DOWN));
        r->close = true;
        refuse(r, &error);
    } else if (read_params(r, &error) < 0) {
        refuse(r, &error);
    } else {
        r->state = CF_REQUEST_WORKING;
        r->dispatching = true;
        handlers[r->call.operation](&r->call);
        r->dispatching = false;
    }
}

/* Answered later: libmicrohttpd rests the connection until cf_request_answer wakes it. */
static void suspend(struct cf_request *r)
{
    struct cf_http *http = r->conn->http;
    const struct timeval second = { .tv_sec = 1 };
    r->suspended = true;
    TAILQ_INSERT_TAIL(&http->suspended, r, link);
    MHD_suspend_connection(r->conn->mhd);
    if (!event_pending(http->watch, EV_TIMEOUT, NULL))
        event_add(http->watch, &second);
}

/* ---- answering ---- */

static bool add_headers(const struct cf_request *r, struct MHD_Response *response)
{
    if (r->ws)
        return true;
    const char *type = r->call.type ? r->call.type : "application/json";
    bool ok = MHD_add_response_header(response, "Content-Type", type) == MHD_YES &&
              MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") == MHD_YES &&
              MHD_add_response_header(response, "Cache-Control", "no-store") == MHD_YES;
    if (r->status == MHD_HTTP_UNAUTHORIZED)
        ok = ok && MHD_add_response_header(response, "WWW-Authenticate", "Bearer realm=\"curfew\"") == MHD_YES;
    if (r->status == MHD_HTTP_UPGRADE_REQUIRED)
        ok = ok && MHD_add_response_header(response, "Upgrade", "websocket") == MHD_YES &&
             MHD_add_response_header(response, "Sec-WebSocket-Version", "13") == MHD_YES;
    for (unsigned i = 0; i < r->call.header_count; i++)
        ok = ok && MHD_add_response_header(response, r->call.headers[i].name, r->call.headers[i].value) == MHD_YES;
    if (*r->allow)
        ok = ok && MHD_add_response_header(response, "Allow", r->allow) == MHD_YES;
    if (r->close)
        ok = ok && MHD_add_response_header(response, "Connection", "close") == MHD_YES;
    return ok;
}

static struct MHD_Response *from_buffer(struct cf_buf *body)
{
    size_t len = 0;
    char *data = cf_buf_take(body, &len);
    struct MHD_Response *response = data ? MHD_create_response_from_buffer(len, data, MHD_RESPMEM_MUST_FREE) : NULL;
    if (!response)
        free(data);
    return response;
}

static enum MHD_Result respond(struct cf_request *r)
{
    struct cf_http *http = r->conn->http;
    struct MHD_Response *response = r->ws ? cf_ws_response(r->ws)
        : r->body ? cf_body_response(r->body) : from_buffer(&r->call.body);
    if (!response)
        return MHD_NO;
    enum MHD_Result result = MHD_NO;
    if (add_headers(r, response))
        result = MHD_queue_response(r->conn->mhd, (unsigned)r->status, response);
    MHD_destroy_response(response);
    http->counts->requests++;
    http->counts->requests_failed += r->status >= MHD_HTTP_INTERNAL_SERVER_ERROR;
    /* The client has as long to take the answer as it would have to send its next request. */
    cf_deadline_set(&http->deadlines, &r->conn->deadline, CF_PHASE_IDLE, cf_clock_now().mono_ns);
    return result;
}

void cf_request_answer(struct cf_request *r, int status)
{
    r->status = r->upgrade_required ? MHD_HTTP_UPGRADE_REQUIRED : status;
    r->state = CF_REQUEST_ANSWERED;
    if (!r->conn) {
        free_request(r);
        return;
    }
    if (r->suspended) {
        r->suspended = false;
        TAILQ_REMOVE(&r->conn->http->suspended, r, link);
        MHD_resume_connection(r->conn->mhd);
        /* It keeps no descriptor that would wake the loop for this. */
        event_active(r->conn->http->again, EV_TIMEOUT, 0);
    }
}

void cf_request_orphan(struct cf_request *r)
{
    struct cf_conn *conn = r->conn;
    struct cf_error error = { 0 };
    TAILQ_REMOVE(&conn->http->suspended, r, link);
    r->suspended = false;
    r->conn = NULL;
    r->call.abandoned = true;
    conn->request = NULL;
    struct cf_request *instead = new_request(conn);
    if (instead) {
        cf_error_set(&error, CF_E_SHUTTING_DOWN, NULL, "%s", cf_error_text(CF_E_SHUTTING_DOWN));
        instead->close = true;
        refuse(instead, &error);
    }
    MHD_resume_connection(conn->mhd);
}

/* ---- libmicrohttpd's callbacks ---- */

/* Called once when the headers are complete, then for each piece of the body, then once at its end; and once more
 * when a suspended request was answered. */
enum MHD_Result cf_request_access(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *data, size_t *len, void **state)
{
    struct cf_conn *conn = *state;
    if (!conn)
        return begin(cls, mhd, url, method, version, state);
    struct cf_request *r = conn->request;
    if (!r)
        return MHD_NO;
    if (*len > 0) {
        cf_buf_append(&r->in, data, *len);
        *len = 0;
        return MHD_YES;
    }
    if (r->state == CF_REQUEST_READING)
        dispatch(r);
    if (r->state == CF_REQUEST_ANSWERED)
        return respond(r);
    suspend(r);
    return MHD_YES;
}

void cf_request_completed(void *cls, struct MHD_Connection *mhd, void **state, enum MHD_RequestTerminationCode why)
{
    struct cf_http *http = cls;
    struct cf_conn *conn = *state;
    if (!conn)
        return;
    *state = NULL;
    http->pending--;
    if (conn->request) {
        cf_body_free(&conn->request->body, why == MHD_REQUEST_TERMINATED_COMPLETED_OK);
        cf_ws_free(&conn->request->ws);
        free_request(conn->request);
    }
    conn->request = NULL;
    cf_deadline_set(&http->deadlines, &conn->deadline, CF_PHASE_IDLE, cf_clock_now().mono_ns);
}
