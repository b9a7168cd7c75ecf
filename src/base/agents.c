/* agents.c: the list of agents; agents_read.c reads it. */
#include "base/agents.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES (1024 * 1024)

static const char *const restart_names[] = { "never", "on-failure" };

const char *cf_agent_restart_name(enum cf_agent_restart restart)
{
    return restart_names[restart == CF_AGENT_RESTART_ON_FAILURE];
}

static void words_free(struct cf_words *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->list[i]);
    free(w->list);
    *w = (struct cf_words){ 0 };
}

struct cf_agents *cf_agents_read_file(const char *path, struct cf_complaints *c)
{
    char *text = NULL;
    size_t len = 0;
    if (path != NULL && cf_fd_read_file(AT_FDCWD, path, FILE_BYTES, &text, &len) < 0)
        cf_complaints_add(c, "%s: cannot be read: %s", path, strerror(errno));
    struct cf_agents *agents = cf_agents_read_text(path != NULL ? path : "", text != NULL ? text : "", len, c);
    free(text);
    return agents;
}

void cf_agents_free(struct cf_agents **agents)
{
    if (*agents == NULL)
        return;
    for (size_t i = 0; i < (*agents)->count; i++) {
        struct cf_agent *a = &(*agents)->list[i];
        words_free(&a->command);
        words_free(&a->env);
        free(a->workspace);
        free(a->cwd);
    }
    free(*agents);
    *agents = NULL;
}

const struct cf_agent *cf_agents_find(const struct cf_agents *agents, const char *name)
{
    for (size_t i = 0; i < agents->count; i++)
        if (strcmp(agents->list[i].name, name) == 0)
            return &agents->list[i];
    return NULL;
}

const char *cf_agents_names(const struct cf_agents *agents, char *buf, size_t size)
{
    size_t used = 0;
    buf[0] = '\0';
    for (size_t i = 0; i < agents->count && used + strlen(agents->list[i].name) + 3 < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%s", i > 0 ? ", " : "", agents->list[i].name);
    return buf;
}
