#include "server/call.h"

#include "base/error.h"
#include "server/params.h"
#include "server/request.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* ---- parameters ---- */

const char *cf_call_text(const struct cf_call *call, const char *name, const char *fallback)
{
    const char *text = json_string_value(json_object_get(call->params, name));
    return text ? text : fallback;
}

int64_t cf_call_duration_ns(const struct cf_call *call, const char *name, int64_t fallback_ns)
{
    int64_t ns;
    const json_t *value = json_object_get(call->params, name);
    return value && cf_params_duration(value, &ns) == 0 ? ns : fallback_ns;
}

bool cf_call_bool(const struct cf_call *call, const char *name, bool fallback)
{
    const json_t *value = json_object_get(call->params, name);
    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

int64_t cf_call_int(const struct cf_call *call, const char *name, int64_t fallback)
{
    const json_t *value = json_object_get(call->params, name);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

bool cf_call_screen(const struct cf_call *call, const char *name, unsigned *ret_cols, unsigned *ret_rows)
{
    const json_t *value = json_object_get(call->params, name);
    if (!json_is_object(value))
        return false;
    *ret_cols = (unsigned)json_integer_value(json_object_get(value, "cols"));
    *ret_rows = (unsigned)json_integer_value(json_object_get(value, "rows"));
    return true;
}

bool cf_call_has(const struct cf_call *call, const char *name)
{
    return json_object_get(call->params, name) != NULL;
}

/* ---- answers ---- */

struct cf_jsonw *cf_call_data(struct cf_call *call)
{
    cf_buf_reset(&call->body);
    cf_buf_puts(&call->body, "{\"status\":\"success\",\"data\":");
    cf_jsonw_init(&call->json, &call->body);
    return &call->json;
}

struct cf_jsonw *cf_call_data_of(struct cf_call *call, const char *session_id)
{
    cf_buf_reset(&call->body);
    cf_buf_printf(&call->body, "{\"status\":\"success\",\"session_id\":\"%s\",\"data\":", session_id);
    cf_jsonw_init(&call->json, &call->body);
    return &call->json;
}

struct cf_buf *cf_call_plain(struct cf_call *call, const char *type)
{
    cf_buf_reset(&call->body);
    call->type = type;
    return &call->body;
}

void cf_call_header(struct cf_call *call, const char *name, const char *fmt, ...)
{
    assert(call->header_count < CF_CALL_HEADERS);
    va_list args;
    va_start(args, fmt);
    vsnprintf(call->headers[call->header_count].value, sizeof call->headers[0].value, fmt, args);
    va_end(args);
    call->headers[call->header_count++].name = name;
}

void cf_call_reply(struct cf_call *call, int http_status)
{
    assert(!call->answered);
    if (call->type == NULL)
        cf_buf_putc(&call->body, '}');
    if (call->body.failed) {
        cf_call_fail_code(call, CF_E_NO_MEMORY, NULL, "the answer is larger than there is room for");
        return;
    }
    call->answered = true;
    cf_request_answer(call->edge, http_status);
}

void cf_call_fail(struct cf_call *call, const struct cf_error *error, const struct cf_buf *tombstone)
{
    assert(!call->answered);
    struct cf_jsonw *w = &call->json;
    call->type = NULL;
    call->header_count = 0;
    cf_buf_reset(&call->body);
    cf_jsonw_init(w, &call->body);
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "status", "error");
    cf_jsonw_object(w, "error");
    cf_jsonw_str(w, "code", cf_error_name(error->code));
    cf_jsonw_str(w, "message", *error->text ? error->text : cf_error_text(error->code));
    if (*error->field)
        cf_jsonw_str(w, "field", error->field);
    if (tombstone && tombstone->len > 0)
        cf_jsonw_raw(w, "session", tombstone->data, tombstone->len);
    cf_jsonw_object_end(w);
    cf_jsonw_object_end(w);
    call->answered = true;
    cf_request_answer(call->edge, cf_error_http(error->code));
}

void cf_call_fail_code(struct cf_call *call, int code, const char *field, const char *fmt, ...)
{
    struct cf_error error = { .code = code };
    va_list args;
    va_start(args, fmt);
    vsnprintf(error.text, sizeof error.text, fmt, args);
    va_end(args);
    if (field)
        snprintf(error.field, sizeof error.field, "%s", field);
    cf_call_fail(call, &error, NULL);
}
