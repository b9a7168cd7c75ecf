/* agents.h: the agents of the configuration file, each a table [agents.NAME].
 *
 * What can be started by its name: a program with arguments, its environment, where it stands and what becomes of it when it
 * goes by itself.  Read once, at start. */
#ifndef CURFEW_BASE_AGENTS_H
#define CURFEW_BASE_AGENTS_H

#include "base/buf.h"
#include "base/complaints.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CF_AGENTS_MAX 64                /* agents in one file */
#define CF_AGENT_NAME_MAX 64            /* bytes of a name, of A-Z a-z 0-9 _ - */
#define CF_AGENT_WORDS_MAX 256          /* words of a command, and variables of an environment */
#define CF_AGENT_LIMIT_MAX 1000000      /* of restart_limit */
#define CF_AGENT_BUILT_IN "cursor-agent"    /* what is there also when the file does not have it: its command is its name */

/* A list that ends in NULL. */
struct cf_words {
    char **list;
    size_t count;
};

enum cf_agent_restart { CF_AGENT_RESTART_NEVER, CF_AGENT_RESTART_ON_FAILURE };

struct cf_agent {
    char name[CF_AGENT_NAME_MAX + 1];
    struct cf_words command;            /* a program without a slash is looked for in PATH */
    struct cf_words env;                /* NAME=value */
    char *workspace, *cwd;              /* NULL: not given */
    enum cf_agent_restart restart;
    int64_t restart_limit;              /* of one session */
    int64_t restart_backoff_ns;         /* before the first one; doubles with each */
    int64_t idle_ns, age_ns;            /* 0: those of the kind */
};

struct cf_agents {
    struct cf_agent list[CF_AGENTS_MAX + 1];
    size_t count;
};

/* Reads the tables of a file's text and leaves all else of it alone; complaints name file, line, agent and key.  A complaint does not
 * stop it.  NULL: out of memory, which is a complaint as well.  `name` is the file's name for messages. */
struct cf_agents *cf_agents_read_text(const char *name, const char *text, size_t len, struct cf_complaints *c);
/* The same of a file; `path` NULL: there is none, and the built-in one is all. */
struct cf_agents *cf_agents_read_file(const char *path, struct cf_complaints *c);
void cf_agents_free(struct cf_agents **agents);
/* NULL: there is none of that name. */
const struct cf_agent *cf_agents_find(const struct cf_agents *agents, const char *name);
/* "a, b, c"; what does not fit is left out. */
const char *cf_agents_names(const struct cf_agents *agents, char *buf, size_t size);
const char *cf_agent_restart_name(enum cf_agent_restart restart);

/* For another process of the same build: appends all of it to `to`; makes the same of that.  NULL: it is none such, or out of memory. */
void cf_agents_pack(const struct cf_agents *agents, struct cf_buf *to);
struct cf_agents *cf_agents_unpack(const char *packed, size_t len);

/* Whether a line of a file begins such a table, [agents.…. */
bool cf_agents_claim(const char *line, size_t len);

#endif
