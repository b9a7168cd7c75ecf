#include "server/head.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *name;
    size_t len;
} names[] = {
#define NAME(field, text) [CF_HEAD_##field] = { text, sizeof(text) - 1 }
    NAME(HOST, "Host"),
    NAME(ORIGIN, "Origin"),
    NAME(AUTHORIZATION, "Authorization"),
    NAME(CONTENT_TYPE, "Content-Type"),
    NAME(CONTENT_LENGTH, "Content-Length"),
    NAME(TRANSFER_ENCODING, "Transfer-Encoding"),
    NAME(ACCEPT, "Accept"),
    NAME(LAST_EVENT_ID, "Last-Event-ID"),
#undef NAME
};

/* ---- reading ---- */

/* RFC 9110, 5.6.2.  libmicrohttpd takes "Content-Length " for a header of another name, and a NUL for the end. */
static bool is_token(const char *name, size_t len)
{
    static const bool other[256] = {
        ['!'] = true, ['#'] = true, ['$'] = true, ['%'] = true, ['&'] = true, ['\''] = true, ['*'] = true, ['+'] = true,
        ['-'] = true, ['.'] = true, ['^'] = true, ['_'] = true, ['`'] = true, ['|'] = true,  ['~'] = true
    };
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9') && !other[c])
            return false;
    }
    return len > 0;
}

static enum MHD_Result note(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len, const char *value,
                            size_t len)
{
    struct cf_head *h = cls;
    h->bytes += name_len + len + 4;
    h->least += name_len + len + (kind == MHD_GET_ARGUMENT_KIND ? 1 : 3);
    if (kind == MHD_GET_ARGUMENT_KIND) {
        h->args++;
        return MHD_YES;
    }
    h->lines++;
    if (!is_token(name, name_len) || (len > 0 && memchr(value, '\0', len))) {
        h->broken = true;
        return MHD_YES;
    }
    for (unsigned i = 0; i < CF_HEAD_FIELDS; i++)
        if (names[i].len == name_len && strncasecmp(names[i].name, name, name_len) == 0) {
            h->value[i] = value ? value : "";
            h->times[i]++;
            /* Several lines are one list. */
            if (i == CF_HEAD_ACCEPT && h->accept == CF_ACCEPT_NONE)
                h->accept = cf_head_accept(h->value[i]);
        }
    return MHD_YES;
}

void cf_head_read(struct MHD_Connection *mhd, const char *method, const char *url, const char *version,
                  struct cf_head *ret)
{
    /* "METHOD URL VERSION\r\n" and the empty line. */
    size_t request_line = strlen(method) + strlen(url) + strlen(version) + 4;
    *ret = (struct cf_head){ .bytes = request_line, .least = request_line + 2, .accept = CF_ACCEPT_NONE };
    MHD_get_connection_values_n(mhd, MHD_HEADER_KIND | MHD_GET_ARGUMENT_KIND, note, ret);
    /* libmicrohttpd 0.9.75 loses a folded header when it is the last one: a Content-Length that way is seen by a proxy
     * and not by us.  The size of what it read tells: beyond the least that it must have been, each header may have one
     * blank after its colon, and each argument an equals sign.  So padded headers are refused, too. */
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    ret->padded = info && info->header_size > ret->least + ret->lines + ret->args;
}

/* ---- judging ---- */

/* Plain digits, at most 19 of them. */
static bool read_length(const char *text, uint64_t *ret)
{
    return strlen(text) <= 19 && cf_head_number(text, ret);
}

int cf_head_framing(const struct cf_head *h, const char *version, uint64_t *ret_length, struct cf_error *error)
{
    if (h->padded)
        return cf_error_set(error, CF_E_MALFORMED, NULL, "a header is folded, or padded with blanks");
    if (h->broken)
        return cf_error_set(error, CF_E_MALFORMED, NULL, "a header's name is not a token, or its value holds a NUL");
    if (h->times[CF_HEAD_TRANSFER_ENCODING])
        return cf_error_set(error, CF_E_MALFORMED, "Transfer-Encoding",
                            "Transfer-Encoding is not taken; send Content-Length");
    if (h->times[CF_HEAD_CONTENT_LENGTH] > 1)
        return cf_error_set(error, CF_E_MALFORMED, "Content-Length", "there is more than one Content-Length");
    if (h->times[CF_HEAD_CONTENT_LENGTH] && !read_length(h->value[CF_HEAD_CONTENT_LENGTH], ret_length))
        return cf_error_set(error, CF_E_MALFORMED, "Content-Length", "Content-Length is not a plain number");
    if (h->times[CF_HEAD_HOST] > 1)
        return cf_error_set(error, CF_E_MALFORMED, "Host", "there is more than one Host header");
    if (h->times[CF_HEAD_HOST] == 0 && strcmp(version, "HTTP/1.0") != 0)
        return cf_error_set(error, CF_E_MALFORMED, "Host", "the Host header is missing");
    if (h->times[CF_HEAD_ORIGIN] > 1 || h->times[CF_HEAD_AUTHORIZATION] > 1 || h->times[CF_HEAD_CONTENT_TYPE] > 1)
        return cf_error_set(error, CF_E_MALFORMED, NULL,
                            "there is more than one Origin, Authorization or Content-Type");
    return 0;
}

static bool is_type(const char *text, const char *type)
{
    size_t len = strlen(type);
    return text && strncasecmp(text, type, len) == 0 && strchr("; \t", text[len]);
}

bool cf_head_is_raw(const struct cf_head *h, uint64_t length)
{
    const char *type = h->value[CF_HEAD_CONTENT_TYPE];
    return type ? is_type(type, "application/octet-stream") : length == 0;
}

int cf_head_body(const struct cf_head *h, const struct cf_settings *s, const char *method, bool raw, uint64_t length,
                 struct cf_error *error)
{
    if (length == 0)
        return 0;
    if (strcmp(method, "POST") != 0 && strcmp(method, "PUT") != 0)
        return cf_error_set(error, CF_E_MALFORMED, NULL, "%s takes no body", method);
    if (length > (uint64_t)s->max_body_bytes)
        return cf_error_set(error, CF_E_TOO_LARGE, NULL, "the body is larger than max_body_bytes, which is %lld",
                            (long long)s->max_body_bytes);
    if (!is_type(h->value[CF_HEAD_CONTENT_TYPE], "application/json") && !(raw && cf_head_is_raw(h, length)))
        return cf_error_set(error, CF_E_MEDIA_TYPE, "Content-Type", "a body must have Content-Type: application/json%s",
                            raw ? " or application/octet-stream" : "");
    return 0;
}

/* ---- values ---- */

static const struct {
    const char *type;
    enum cf_accept accept;
} accepts[] = {
    { "application/json", CF_ACCEPT_JSON },
    { "application/x-ndjson", CF_ACCEPT_NDJSON },
    { "text/event-stream", CF_ACCEPT_SSE },
    { "application/vnd.curfew.frames", CF_ACCEPT_FRAMES },
    { "application/octet-stream", CF_ACCEPT_RAW },
    { "application/*", CF_ACCEPT_JSON },
    { "*/*", CF_ACCEPT_JSON },
};

#define BLANKS " \t"

/* Whether the parameters, which begin at their first semicolon, say q=0, also as 0. or 0.000. */
static bool is_refused(const char *text, size_t len)
{
    for (const char *end = text + len; text < end;) {
        text += strspn(text, ";" BLANKS);
        size_t one = strcspn(text, ";,");
        if (one >= 2 && (text[0] | 0x20) == 'q' && text[1] == '=') {
            size_t zero = 2 + strspn(text + 2, "0.");
            return text[2] == '0' && zero + strspn(text + zero, BLANKS) >= one;
        }
        text += one;
    }
    return false;
}

enum cf_accept cf_head_accept(const char *list)
{
    while (*list) {
        list += strspn(list, "," BLANKS);
        size_t len = strcspn(list, ","), type_len = strcspn(list, ",;" BLANKS);
        for (size_t i = 0; i < sizeof accepts / sizeof accepts[0]; i++)
            if (strlen(accepts[i].type) == type_len && strncasecmp(accepts[i].type, list, type_len) == 0 &&
                !is_refused(list + type_len, len - type_len))
                return accepts[i].accept;
        list += len;
    }
    return CF_ACCEPT_NONE;
}

bool cf_head_number(const char *text, uint64_t *ret)
{
    size_t len = strspn(text, "0123456789");
    if (len == 0 || text[len])
        return false;
    errno = 0;
    unsigned long long number = strtoull(text, NULL, 10);
    if (errno)
        return false;
    *ret = number;
    return true;
}
