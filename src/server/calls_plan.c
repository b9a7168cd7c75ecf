/* calls_plan.c: who would end, when and why, by the limits in force or by others that are only tried; nobody ends
 * by it. */
#include "core/plan.h"
#include "server/call.h"
#include "server/server.h"

#define LIST_DEFAULT 100
#define LIST_MAX 1000                   /* the limit's maximum in operations.def; 32 KiB of stack */

struct question {
    struct cf_policy policies[CF_KINDS];        /* in force, or those to try */
    bool proposed;                      /* to try */
    int64_t within_ns;
    size_t limit;
};

static void read_question(const struct cf_call *call, struct question *ret)
{
    bool idle = cf_call_has(call, "session_timeout"), age = cf_call_has(call, "max_age");
    const json_t *limit = json_object_get(call->params, "limit");
    int64_t age_ns = cf_call_duration_ns(call, "max_age", 0);
    for (unsigned kind = 0; kind < CF_KINDS; kind++) {
        struct cf_policy *policy = &ret->policies[kind];
        *policy = *cf_core_policy(call->server->core, kind);
        if (kind != CF_KIND_AGENT)      /* which session_timeout is not for */
            policy->idle_ns = cf_call_duration_ns(call, "session_timeout", policy->idle_ns);
        if (age)
            policy->age_ns = age_ns > 0 ? age_ns : CF_NEVER_NS;
    }
    ret->proposed = idle || age;
    ret->within_ns = cf_call_duration_ns(call, "within", 0);
    ret->limit = limit != NULL ? (size_t)json_integer_value(limit) : LIST_DEFAULT;
    if (ret->limit > LIST_MAX)
        ret->limit = LIST_MAX;
}

static void write_one(const struct cf_call *call, struct cf_jsonw *w, const struct cf_due *due)
{
    struct cf_session row;
    int64_t due_in_ns = due->when_ns - call->now.mono_ns;
    if (!cf_core_get(call->server->core, due->handle, call->now.mono_ns, &row))
        return;
    cf_jsonw_object(w, NULL);
    cf_jsonw_str(w, "session_id", row.id);
    cf_jsonw_str(w, "workspace_name", row.workspace);
    cf_jsonw_str(w, "kind", cf_kind_name(row.kind));
    cf_jsonw_str(w, "reason", cf_reason_name(due->reason));
    cf_jsonw_seconds(w, "due_in", due_in_ns);
    cf_jsonw_seconds(w, "due_at", call->now.wall_ns + due_in_ns);
    cf_jsonw_seconds(w, "inactive_time", call->now.mono_ns - row.last_used_ns);
    cf_jsonw_bool(w, "busy", row.busy);
    cf_jsonw_object_end(w);
}

static void write_limits(struct cf_jsonw *w, const struct cf_policy *policy)
{
    cf_jsonw_object(w, "limits");
    cf_jsonw_duration(w, "session_timeout", policy->idle_ns);
    if (policy->age_ns == CF_NEVER_NS)
        cf_jsonw_null(w, "max_age");
    else
        cf_jsonw_duration(w, "max_age", policy->age_ns);
    cf_jsonw_object_end(w);
}

void cf_calls_plan(struct cf_call *call)
{
    struct question q;
    struct cf_due best[LIST_MAX];
    read_question(call, &q);
    struct cf_plan plan = { .best = best, .max = q.limit };
    const struct cf_judge judge = {
        .now_ns = call->now.mono_ns + q.within_ns, .policies = q.proposed ? q.policies : NULL,
    };
    cf_plan_scan(&plan, call->server->core, &judge, call->now.mono_ns);
    cf_plan_sort(&plan);

    struct cf_jsonw *w = cf_call_data(call);
    cf_jsonw_object(w, NULL);
    cf_jsonw_array(w, "plan");
    for (size_t i = 0; i < plan.count; i++)
        write_one(call, w, &plan.best[i]);
    cf_jsonw_array_end(w);
    cf_jsonw_int(w, "total", (int64_t)plan.total);
    cf_jsonw_duration(w, "within", q.within_ns);
    write_limits(w, &q.policies[CF_KIND_BASH]);
    cf_jsonw_bool(w, "proposed", q.proposed);
    cf_jsonw_object_end(w);
    cf_call_reply(call, 200);
}
