#include "bench/table/record.h"

#include <stdio.h>

const char *record_workspace(const char *id)
{
    static char names[WORKSPACES][16];
    if (names[0][0] == '\0')
        for (unsigned i = WORKSPACES; i-- > 0;)
            snprintf(names[i], sizeof names[i], "workspace-%02u", i);
    /* The two last of the ten digits that every id has after "s-". */
    return names[((unsigned)(id[10] - '0') * 10 + (unsigned)(id[11] - '0')) % WORKSPACES];
}

struct workspace *record_workspace_join(struct workspaces *all, const char *name)
{
    uint32_t hash = 2166136261u;
    for (const char *c = name; *c != '\0'; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    for (uint32_t i = hash;; i++) {
        struct workspace *at = &all->list[i % (WORKSPACES * 4)];
        if (at->name[0] == '\0')
            snprintf(at->name, sizeof at->name, "%s", name);
        else if (strcmp(at->name, name) != 0)
            continue;
        at->count++;
        return at;
    }
}
