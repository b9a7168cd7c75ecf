/* agents_pack.c: agents as one text that another process of the same build takes apart: texts that end in NUL, in a fixed order. */
#include "base/agents.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put_text(struct cf_buf *to, const char *text)
{
    cf_buf_append(to, text != NULL ? text : "", text != NULL ? strlen(text) + 1 : 1);
}

static void put_number(struct cf_buf *to, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRId64, number);
    put_text(to, text);
}

static void put_words(struct cf_buf *to, const struct cf_words *words)
{
    put_number(to, (int64_t)words->count);
    for (size_t i = 0; i < words->count; i++)
        put_text(to, words->list[i]);
}

void cf_agents_pack(const struct cf_agents *agents, struct cf_buf *to)
{
    put_number(to, (int64_t)agents->count);
    for (size_t i = 0; i < agents->count; i++) {
        const struct cf_agent *a = &agents->list[i];
        put_text(to, a->name);
        put_words(to, &a->command);
        put_words(to, &a->env);
        put_text(to, a->workspace);
        put_text(to, a->cwd);
        put_number(to, a->restart);
        put_number(to, a->restart_limit);
        put_number(to, a->restart_backoff_ns);
        put_number(to, a->idle_ns);
        put_number(to, a->age_ns);
    }
}

/* What is left of the text; `failed` once something did not fit. */
struct rest {
    const char *at, *end;
    bool failed;
};

static const char *take_text(struct rest *r)
{
    const char *text = r->at, *nul = r->failed ? NULL : memchr(r->at, '\0', (size_t)(r->end - r->at));
    if (nul == NULL) {
        r->failed = true;
        return "";
    }
    r->at = nul + 1;
    return text;
}

static int64_t take_number(struct rest *r, int64_t max)
{
    char *stop;
    const char *text = take_text(r);
    int64_t number = strtoll(text, &stop, 10);
    if (*text == '\0' || *stop != '\0' || number < 0 || number > max)
        r->failed = true;
    return r->failed ? 0 : number;
}

/* An empty text is none. */
static char *take_copy(struct rest *r)
{
    const char *text = take_text(r);
    char *copy = *text != '\0' ? strdup(text) : NULL;
    r->failed = r->failed || (copy == NULL && *text != '\0');
    return copy;
}

static void take_words(struct rest *r, struct cf_words *ret)
{
    size_t count = (size_t)take_number(r, CF_AGENT_WORDS_MAX);
    ret->list = calloc(count + 1, sizeof *ret->list);
    r->failed = r->failed || ret->list == NULL;
    for (size_t i = 0; i < count && !r->failed; i++) {
        ret->list[i] = strdup(take_text(r));
        r->failed = r->failed || ret->list[i] == NULL;
        ret->count += ret->list[i] != NULL;
    }
}

static void take_agent(struct rest *r, struct cf_agent *ret)
{
    snprintf(ret->name, sizeof ret->name, "%s", take_text(r));
    take_words(r, &ret->command);
    take_words(r, &ret->env);
    ret->workspace = take_copy(r);
    ret->cwd = take_copy(r);
    ret->restart = (enum cf_agent_restart)take_number(r, CF_AGENT_RESTART_ON_FAILURE);
    ret->restart_limit = take_number(r, CF_AGENT_LIMIT_MAX);
    ret->restart_backoff_ns = take_number(r, INT64_MAX);
    ret->idle_ns = take_number(r, INT64_MAX);
    ret->age_ns = take_number(r, INT64_MAX);
    r->failed = r->failed || ret->name[0] == '\0' || ret->command.count == 0;
}

struct cf_agents *cf_agents_unpack(const char *packed, size_t len)
{
    struct rest r = { .at = packed, .end = packed + len };
    struct cf_agents *agents = calloc(1, sizeof *agents);
    if (agents == NULL)
        return NULL;
    size_t count = (size_t)take_number(&r, sizeof agents->list / sizeof agents->list[0]);
    while (agents->count < count && !r.failed)
        take_agent(&r, &agents->list[agents->count++]);
    if (r.failed || r.at != r.end)
        cf_agents_free(&agents);
    return agents;
}
