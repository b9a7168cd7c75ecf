/* calls_history.c: what is on record: sessions that have ended, and who asked for what. */
#include "server/calls.h"
#include "server/ledger.h"
#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_DEFAULT 100
/* Unix seconds whose nanoseconds are a number of 64 bits; the year 2255. */
#define SECONDS_MAX 9000000000.0

void cf_calls_by(const struct cf_call *call)
{
    char by[CF_CALLER_MAX];
    cf_ledger_by(call->server->ledger, cf_call_caller(call, by));
}

void cf_calls_note(const struct cf_call *call, const char *action, const char *detail)
{
    struct cf_audit entry = { 0 };
    char by[CF_CALLER_MAX];
    snprintf(entry.action, sizeof entry.action, "%s", action);
    snprintf(entry.by, sizeof entry.by, "%s", cf_call_caller(call, by));
    snprintf(entry.detail, sizeof entry.detail, "%s", detail);
    cf_ledger_audit(call->server->ledger, &entry);
}

void cf_calls_ledger(struct cf_jsonw *w, struct cf_ledger *ledger)
{
    struct cf_ledger_status status;
    cf_ledger_status(ledger, &status);
    cf_jsonw_object(w, "ledger");
    cf_jsonw_str(w, "state", status.state);
    cf_jsonw_int(w, "queued", (int64_t)status.queued);
    cf_jsonw_str(w, "error", status.error[0] != '\0' ? status.error : NULL);
    cf_jsonw_object_end(w);
}

static bool moment(const struct cf_call *call, const char *text, int64_t *ret_ns)
{
    char *end;
    int64_t ago_ns;
    double seconds = strtod(text, &end);
    if (*end == '\0') {
        if (strspn(text, "0123456789.") != strlen(text) || seconds > SECONDS_MAX)
            return false;
        *ret_ns = (int64_t)(seconds * (double)CF_NS_PER_S);
        return true;
    }
    if (cf_duration_parse(text, &ago_ns) != 0 || ago_ns > call->now.wall_ns)
        return false;
    *ret_ns = call->now.wall_ns - ago_ns;
    return true;
}

/* A plain number is Unix seconds, a duration with its unit is so long before now. */
static int read_moment(const struct cf_call *call, const char *name, int64_t *ret_ns, struct cf_error *error)
{
    const char *text = cf_call_text(call, name, NULL);
    if (text == NULL || moment(call, text, ret_ns))
        return 0;
    return cf_error_set(error, CF_E_INVALID, name,
                        "\"%s\" must be Unix seconds from 0 to %.0f, or how long ago, such as 90m", name, SECONDS_MAX);
}

/* A word of a table; the message lists them. */
static int read_word(const struct cf_call *call, const char *name, const char *const *words, size_t count,
                     const char **ret, struct cf_error *error)
{
    const char *text = cf_call_text(call, name, NULL);
    char list[256] = "";
    if (text == NULL)
        return 0;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(list);
        if (strcmp(words[i], text) == 0) {
            *ret = text;
            return 0;
        }
        snprintf(list + len, sizeof list - len, "%s%s", i == 0 ? "" : i + 1 < count ? ", " : " or ", words[i]);
    }
    return cf_error_set(error, CF_E_INVALID, name, "\"%s\" must be %s", name, list);
}

static int read_query(const struct cf_call *call, struct cf_ledger_query *ret, struct cf_error *error)
{
    *ret = (struct cf_ledger_query){ .until_ns = INT64_MAX, .before = cf_call_int(call, "before", INT64_MAX),
                                     .limit = (size_t)cf_call_int(call, "limit", LIMIT_DEFAULT),
                                     .workspace = cf_call_text(call, "workspace", NULL),
                                     .session_id = cf_call_text(call, "session_id", NULL) };
    int code = read_moment(call, "since", &ret->since_ns, error);
    return code == 0 ? read_moment(call, "until", &ret->until_ns, error) : code;
}

static void begin(struct cf_call *call, const char *list)
{
    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_array(w, list);
}

static void finish(struct cf_call *call, int code, int64_t next, const struct cf_error *error)
{
    struct cf_jsonw *w = &call->json;
    if (code != 0) {
        cf_call_fail(call, error, NULL);
        return;
    }
    cf_jsonw_array_end(w);
    if (next > 0)
        cf_jsonw_int(w, "next", next);
    else
        cf_jsonw_null(w, "next");
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}

/* ---- sessions ---- */

static void write_tomb(void *arg, int64_t number, const struct cf_tomb *tomb)
{
    struct cf_jsonw *w = arg;
    cf_jsonw_object(w, NULL);
    cf_jsonw_int(w, "number", number);
    cf_tomb_fields(tomb, w);
    cf_jsonw_object_end(w);
}

static int read_history(const struct cf_call *call, struct cf_ledger_query *ret, struct cf_error *error)
{
    const char *kinds[CF_KINDS], *reasons[CF_REASONS];
    for (unsigned i = 0; i < CF_KINDS; i++)
        kinds[i] = cf_kind_name((enum cf_kind)i);
    for (unsigned i = 1; i < CF_REASONS; i++)
        reasons[i - 1] = cf_reason_name((enum cf_reason)i);
    int code = read_query(call, ret, error);
    if (code == 0)
        code = read_word(call, "kind", kinds, CF_KINDS, &ret->kind, error);
    if (code == 0)
        code = read_word(call, "reason", reasons, CF_REASONS - 1, &ret->reason, error);
    return code;
}

void cf_calls_history(struct cf_call *call)
{
    struct cf_ledger_query query;
    struct cf_error error;
    int64_t next = 0;
    int code = read_history(call, &query, &error);
    begin(call, "sessions");
    if (code == 0)
        code = cf_ledger_history(call->server->ledger, &query, write_tomb, &call->json, &next, &error);
    finish(call, code, next, &error);
}

/* ---- audit ---- */

static void write_text(struct cf_jsonw *w, const char *key, const char *text)
{
    cf_jsonw_str(w, key, text[0] != '\0' ? text : NULL);
}

static void write_entry(void *arg, int64_t number, const struct cf_audit *entry)
{
    struct cf_jsonw *w = arg;
    cf_jsonw_object(w, NULL);
    cf_jsonw_int(w, "number", number);
    cf_jsonw_seconds(w, "recorded_at", entry->at_wall_ns);
    cf_jsonw_str(w, "action", entry->action);
    cf_jsonw_str(w, "by", entry->by);
    write_text(w, "session_id", entry->session_id);
    write_text(w, "setting", entry->name);
    write_text(w, "old", entry->old);
    write_text(w, "new", entry->value);
    write_text(w, "detail", entry->detail);
    cf_jsonw_object_end(w);
}

void cf_calls_audit(struct cf_call *call)
{
    static const char *const actions[] = {
        "end", "setting", "cleanup", "cleanup_start", "cleanup_stop", "start", "stop"
    };
    struct cf_ledger_query query;
    struct cf_error error;
    int64_t next = 0;
    int code = read_query(call, &query, &error);
    if (code == 0)
        code = read_word(call, "action", actions, sizeof actions / sizeof *actions, &query.action, &error);
    begin(call, "entries");
    if (code == 0)
        code = cf_ledger_audits(call->server->ledger, &query, write_entry, &call->json, &next, &error);
    finish(call, code, next, &error);
}
