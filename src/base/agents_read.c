/* agents_read.c: tables [agents.NAME] and [agents.NAME.env], line by line beside settings_file.c, which looks at all other lines and at the
 * form of every line: what is not clean was complained about there and is passed over here. */
#include "base/agents.h"

#include "base/clock.h"
#include "base/text.h"
#include "base/toml.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TIME_MAX_S 315360000
#define BACKOFF_MIN_NS (10 * CF_NS_PER_MS)
#define BACKOFF_MAX_NS (3600 * CF_NS_PER_S)
#define FOLDER_MAX 4095

enum key { KEY_COMMAND, KEY_ENV, KEY_WORKSPACE, KEY_CWD, KEY_RESTART, KEY_LIMIT, KEY_BACKOFF, KEY_IDLE, KEY_AGE, KEYS };

struct reader {
    struct cf_agents *agents;
    struct cf_complaints *c;
    const char *file;
    unsigned line;
    struct cf_agent *agent;             /* whose table this is; NULL: no agent's, or not to be judged */
    bool env;                           /* it is the agent's [agents.NAME.env] */
    unsigned table_line[CF_AGENTS_MAX][2];      /* of an agent's table and of its env's; 0: not seen */
    unsigned key_line[CF_AGENTS_MAX][KEYS];
    bool no_memory;
};

__attribute__((format(printf, 3, 4)))
static void complain(struct reader *r, const char *key, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cf_complaints_add(r->c, "%.200s:%u: agents.%s: %s%s%s", r->file, r->line, r->agent != NULL ? r->agent->name : "", key, *key ? " " : "", text);
}

/* ---- lists ---- */

/* False: out of memory. */
static bool words_add(struct cf_words *w, const char *text, size_t len)
{
    char **grown = realloc(w->list, (w->count + 2) * sizeof *grown);
    if (grown == NULL)
        return false;
    w->list = grown;
    w->list[w->count + 1] = NULL;
    w->list[w->count] = strndup(text, len);
    return w->list[w->count] != NULL && ++w->count > 0;
}

/* NULL, or what is wrong with it. */
static const char *add_word(struct reader *r, struct cf_words *w, const char *text, size_t len)
{
    if (memchr(text, '\0', len) != NULL)
        return "a word has a NUL in it";
    if (w->count == CF_AGENT_WORDS_MAX)
        return "there are more than 256";
    r->no_memory |= !words_add(w, text, len);
    return NULL;
}

static bool is_name(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return len > 0;
}

/* A later one of a name takes the place of an earlier one nowhere: it is a mistake. */
static const char *add_variable(struct reader *r, const char *text, size_t len)
{
    struct cf_words *env = &r->agent->env;
    const char *equals = memchr(text, '=', len);
    size_t name = equals != NULL ? (size_t)(equals - text) : 0;
    if (!is_name(text, name))
        return "a variable is NAME=value, and a name is of the form [A-Za-z_][A-Za-z0-9_]*";
    for (size_t i = 0; i < env->count; i++)
        if (strncmp(env->list[i], text, name + 1) == 0)
            return "a variable is there twice";
    return add_word(r, env, text, len);
}

static const char *add_pair(struct reader *r, const char *key, size_t key_len, const struct cf_toml_value *value)
{
    char text[2 * CF_TOML_LINE_BYTES + 2];
    memcpy(text, key, key_len);
    text[key_len] = '=';
    memcpy(text + key_len + 1, value->text, value->len);
    return add_variable(r, text, key_len + 1 + value->len);
}

/* ["a", "b"] from behind the bracket. */
static const char *read_list(struct reader *r, struct cf_toml_cursor *at, bool variables)
{
    struct cf_toml_value item;
    while (!cf_toml_take(at, ']')) {
        const char *problem = cf_toml_text(at, &item);
        if (problem == NULL)
            problem = variables ? add_variable(r, item.text, item.len) : add_word(r, &r->agent->command, item.text, item.len);
        if (problem != NULL)
            return problem;
        if (!cf_toml_take(at, ',') && (cf_toml_at_end(at) || *at->p != ']'))
            return "the list does not end on its line, or lacks a comma";
    }
    return NULL;
}

/* { A = "b", C = "d" } from behind the brace. */
static const char *read_pairs(struct reader *r, struct cf_toml_cursor *at)
{
    struct cf_toml_value value;
    bool first = true;
    while (!cf_toml_take(at, '}')) {
        size_t len;
        if (!first && !cf_toml_take(at, ','))
            return "the table does not end on its line, or lacks a comma";
        first = false;
        const char *key = cf_toml_key(at, &len), *problem = NULL;
        if (key == NULL || !cf_toml_equals(at))
            return "a variable is written NAME = \"value\"";
        problem = cf_toml_text(at, &value);
        if (problem == NULL)
            problem = add_pair(r, key, len, &value);
        if (problem != NULL)
            return problem;
    }
    return NULL;
}

/* ---- values ---- */

/* Text becomes words at its blanks; what a shell would take apart otherwise has to be a list, so that nobody is surprised. */
static const char *read_words(struct reader *r, const struct cf_toml_value *v)
{
    if (strcspn(v->text, "\"'\\$`|&;<>()*?[]{}~#\n") != v->len)
        return "text with quotes or other characters of a shell is taken apart by no shell here; write a list: [\"program\", \"argument\"]";
    for (size_t at = 0, len; at < v->len; at += len) {
        at += strspn(v->text + at, " \t");
        len = strcspn(v->text + at, " \t");
        const char *problem = len > 0 ? add_word(r, &r->agent->command, v->text + at, len) : NULL;
        if (problem != NULL)
            return problem;
    }
    return NULL;
}

static const char *read_command(struct reader *r, struct cf_toml_cursor *at)
{
    struct cf_toml_value v;
    const char *problem;
    if (cf_toml_take(at, '['))
        problem = read_list(r, at, false);
    else if ((problem = cf_toml_text(at, &v)) == NULL)
        problem = read_words(r, &v);
    if (problem == NULL && !r->no_memory && (r->agent->command.count == 0 || *r->agent->command.list[0] == '\0'))
        problem = "the program's name is missing";
    return problem;
}

static const char *read_env(struct reader *r, struct cf_toml_cursor *at)
{
    if (cf_toml_take(at, '['))
        return read_list(r, at, true);
    if (cf_toml_take(at, '{'))
        return read_pairs(r, at);
    return "it is neither";
}

static const char *read_text(struct reader *r, struct cf_toml_cursor *at, char **ret)
{
    struct cf_toml_value v;
    const char *problem = cf_toml_text(at, &v);
    if (problem != NULL)
        return problem;
    if (v.len == 0 || v.len > FOLDER_MAX || strlen(v.text) != v.len)
        return "it is empty, too long or has a NUL in it";
    *ret = strdup(v.text);
    r->no_memory |= *ret == NULL;
    return NULL;
}

static const char *read_workspace(struct reader *r, struct cf_toml_cursor *at)
{
    const char *problem = read_text(r, at, &r->agent->workspace), *name = r->agent->workspace;
    if (problem != NULL || name == NULL)
        return problem;
    size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return len > CF_AGENT_NAME_MAX || name[len] != '\0' || name[0] == '.' ? "it is not of that form" : NULL;
}

static const char *read_cwd(struct reader *r, struct cf_toml_cursor *at)
{
    const char *problem = read_text(r, at, &r->agent->cwd);
    return problem == NULL && r->agent->cwd != NULL && r->agent->cwd[0] == '/' ? "it begins with a slash" : problem;
}

static const char *read_restart(struct reader *r, struct cf_toml_cursor *at)
{
    struct cf_toml_value v;
    const char *problem = cf_toml_text(at, &v);
    if (problem != NULL)
        return problem;
    bool yes = strcmp(v.text, cf_agent_restart_name(CF_AGENT_RESTART_ON_FAILURE)) == 0;
    r->agent->restart = yes ? CF_AGENT_RESTART_ON_FAILURE : CF_AGENT_RESTART_NEVER;
    return strcmp(v.text, cf_agent_restart_name(r->agent->restart)) == 0 ? NULL : "it is neither";
}

static const char *read_limit(struct reader *r, struct cf_toml_cursor *at)
{
    struct cf_toml_value v;
    const char *problem = cf_toml_value(at, &v);
    if (problem != NULL)
        return problem;
    char *end;
    errno = 0;
    r->agent->restart_limit = strtoll(v.text, &end, 10);
    return v.kind != CF_TOML_INT || errno != 0 || *end != '\0' || r->agent->restart_limit < 0 || r->agent->restart_limit > CF_AGENT_LIMIT_MAX
               ? "it is not" : NULL;
}

static const char *read_span(struct cf_toml_cursor *at, int64_t min_ns, int64_t max_ns, int64_t *ret)
{
    struct cf_toml_value v;
    int64_t ns;
    const char *problem = cf_toml_value(at, &v);
    if (problem != NULL)
        return problem;
    bool fits = (v.kind == CF_TOML_TEXT || v.kind == CF_TOML_INT || v.kind == CF_TOML_FLOAT) && strlen(v.text) == v.len &&
                cf_duration_parse(v.text, &ns) == 0 && ns >= min_ns && ns <= max_ns;
    if (!fits)
        return "it is not";
    *ret = ns;
    return NULL;
}

static const char *read_backoff(struct reader *r, struct cf_toml_cursor *at)
{
    return read_span(at, BACKOFF_MIN_NS, BACKOFF_MAX_NS, &r->agent->restart_backoff_ns);
}

static const char *read_idle(struct reader *r, struct cf_toml_cursor *at)
{
    return read_span(at, CF_NS_PER_S, TIME_MAX_S * CF_NS_PER_S, &r->agent->idle_ns);
}

static const char *read_age(struct reader *r, struct cf_toml_cursor *at)
{
    return read_span(at, CF_NS_PER_S, TIME_MAX_S * CF_NS_PER_S, &r->agent->age_ns);
}

static const struct {
    const char *name, *range;
    const char *(*read)(struct reader *r, struct cf_toml_cursor *at);   /* NULL, or what is wrong */
} keys[KEYS] = {
    [KEY_COMMAND] = { "command", "a list of texts, the program first, or one text with blanks between", read_command },
    [KEY_ENV] = { "env", "a table of texts, or a list of \"NAME=value\"", read_env },
    [KEY_WORKSPACE] = { "workspace", "1 to 64 of A-Z a-z 0-9 . _ - without a leading dot", read_workspace },
    [KEY_CWD] = { "cwd", "a folder inside the workspace, text of 1 to 4095 bytes", read_cwd },
    [KEY_RESTART] = { "restart", "\"never\" or \"on-failure\"", read_restart },
    [KEY_LIMIT] = { "restart_limit", "a whole number from 0 to 1000000", read_limit },
    [KEY_BACKOFF] = { "restart_backoff", "a duration from 0.01 to 3600 seconds", read_backoff },
    [KEY_IDLE] = { "idle_timeout", "a duration from 1 to 315360000 seconds", read_idle },
    [KEY_AGE] = { "max_age", "a duration from 1 to 315360000 seconds", read_age },
};

/* ---- lines ---- */

bool cf_agents_claim(const char *line, size_t len)
{
    struct cf_toml_cursor at = { line, line + len };
    size_t key_len;
    if (!cf_toml_take(&at, '['))
        return false;
    const char *key = cf_toml_key(&at, &key_len);
    return key != NULL && key_len == 6 && memcmp(key, "agents", 6) == 0 && cf_toml_take(&at, '.');
}

static struct cf_agent *find_or_add(struct reader *r, const char *name, size_t len)
{
    struct cf_agents *all = r->agents;
    for (size_t i = 0; i < all->count; i++)
        if (strlen(all->list[i].name) == len && memcmp(all->list[i].name, name, len) == 0)
            return &all->list[i];
    if (all->count == CF_AGENTS_MAX)
        return NULL;
    struct cf_agent *a = &all->list[all->count++];
    *a = (struct cf_agent){ .restart_limit = 5, .restart_backoff_ns = CF_NS_PER_S };
    memcpy(a->name, name, len);
    return a;
}

static void read_section(struct reader *r, struct cf_toml_cursor *at)
{
    size_t len = 0, rest = 0;
    const char *env = NULL;
    (void)cf_toml_take(at, '[');
    (void)cf_toml_key(at, &len);
    (void)cf_toml_take(at, '.');
    const char *name = cf_toml_key(at, &len);
    r->agent = NULL;
    if (cf_toml_take(at, '.'))
        env = cf_toml_key(at, &rest);
    r->env = env != NULL;
    if (name == NULL || len > CF_AGENT_NAME_MAX || !cf_toml_take(at, ']') || !cf_toml_at_end(at) ||
        (env != NULL && (rest != 3 || memcmp(env, "env", 3) != 0))) {
        cf_complaints_add(r->c, "%.200s:%u: an agent is written [agents.NAME] or [agents.NAME.env], where NAME is 1 to %d of A-Z a-z 0-9 _ -; "
                          "its keys were not looked at", r->file, r->line, CF_AGENT_NAME_MAX);
        return;
    }
    struct cf_agent *a = find_or_add(r, name, len);
    if (a == NULL) {
        cf_complaints_add(r->c, "%.200s:%u: agents.%.*s: there may be %d agents", r->file, r->line, (int)len, name, CF_AGENTS_MAX);
        return;
    }
    r->agent = a;
    unsigned *seen = &r->table_line[a - r->agents->list][r->env];
    if (*seen == 0)
        *seen = r->line;
    else
        complain(r, "", "this table is in line %u already", *seen);
}

static void complain_unknown(struct reader *r, const char *key, size_t len)
{
    char known[160] = "";
    for (size_t i = 0; i < KEYS; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i > 0 ? ", " : "", keys[i].name);
    complain(r, "", "there is no key %.*s; there are %s", (int)(len < 64 ? len : 64), key, known);
}

static void read_variable(struct reader *r, struct cf_toml_cursor *at)
{
    struct cf_toml_value value;
    size_t len;
    const char *key = cf_toml_key(at, &len), *problem = "a variable is written NAME = \"value\"";
    if (key != NULL && cf_toml_equals(at)) {
        problem = cf_toml_text(at, &value);
        if (problem == NULL && !cf_toml_at_end(at))
            problem = "there is text after the value";
        if (problem == NULL)
            problem = add_pair(r, key, len, &value);
    }
    if (problem != NULL)
        complain(r, "env", "must be %s: %s", keys[KEY_ENV].range, problem);
}

static void read_key(struct reader *r, struct cf_toml_cursor *at)
{
    size_t len, k = 0;
    const char *key = cf_toml_key(at, &len);
    while (key != NULL && k < KEYS && (strlen(keys[k].name) != len || memcmp(keys[k].name, key, len) != 0))
        k++;
    if (key == NULL || k == KEYS) {
        if (key == NULL)
            complain(r, "", "expected key = value");
        else
            complain_unknown(r, key, len);
        return;
    }
    unsigned *seen = &r->key_line[r->agent - r->agents->list][k];
    if (*seen != 0) {
        complain(r, keys[k].name, "is set in line %u already", *seen);
        return;
    }
    *seen = r->line;
    const char *problem = !cf_toml_equals(at) ? "there is no = after it" : cf_toml_at_end(at) ? "the value is missing" : keys[k].read(r, at);
    if (problem == NULL && !cf_toml_at_end(at))
        problem = "there is text after the value";
    if (problem != NULL)
        complain(r, keys[k].name, "must be %s: %s", keys[k].range, problem);
}

static bool is_clean(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (((unsigned char)line[i] < 0x20 && line[i] != '\t') || line[i] == 0x7f)
            return false;
    return len <= CF_TOML_LINE_BYTES && cf_text_is_utf8(line, len);
}

static void read_line(struct reader *r, const char *line, size_t len)
{
    if (len > 0 && line[len - 1] == '\r')
        len--;
    struct cf_toml_cursor at = { line, line + len };
    if (!is_clean(line, len) || cf_toml_at_end(&at))
        return;
    if (cf_agents_claim(line, len))
        read_section(r, &at);
    else if (*at.p == '[')
        r->agent = NULL;                /* a section of others */
    else if (r->agent != NULL && r->env)
        read_variable(r, &at);
    else if (r->agent != NULL)
        read_key(r, &at);
}

/* ---- all of it ---- */

/* What seed 001 starts is there without a word of configuration. */
static void add_built_in(struct reader *r)
{
    if (cf_agents_find(r->agents, CF_AGENT_BUILT_IN) != NULL)
        return;
    struct cf_agent *a = &r->agents->list[r->agents->count++];
    *a = (struct cf_agent){ .name = CF_AGENT_BUILT_IN };
    r->no_memory |= !words_add(&a->command, CF_AGENT_BUILT_IN, strlen(CF_AGENT_BUILT_IN));
}

static void check_complete(struct reader *r)
{
    for (size_t i = 0; i < r->agents->count; i++) {
        r->agent = &r->agents->list[i];
        r->line = r->table_line[i][0] != 0 ? r->table_line[i][0] : r->table_line[i][1];
        if (r->key_line[i][KEY_COMMAND] == 0)
            complain(r, "command", "is missing; it must be %s", keys[KEY_COMMAND].range);
    }
}

struct cf_agents *cf_agents_read_text(const char *name, const char *text, size_t len, struct cf_complaints *c)
{
    struct reader r = { .agents = calloc(1, sizeof *r.agents), .c = c, .file = name };
    const char *end = text + len;
    if (r.agents == NULL) {
        cf_complaints_add(c, "agents: out of memory");
        return NULL;
    }
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        text += 3;                      /* a byte order mark */
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text)), *stop = newline != NULL ? newline : end;
        r.line++;
        read_line(&r, text, (size_t)(stop - text));
        text = newline != NULL ? newline + 1 : end;
    }
    check_complete(&r);
    add_built_in(&r);
    if (r.no_memory) {
        cf_complaints_add(c, "agents: out of memory");
        cf_agents_free(&r.agents);
    }
    return r.agents;
}
