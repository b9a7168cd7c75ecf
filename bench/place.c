#include "bench/place.h"
#include "bench/process.h"

#define TREE_MAX 256

static const struct {
    const char *name;
    int client, server;             /* CPUs; -1: any */
} places[PLACES] = {
    [PLACE_ANY] = {"", -1, -1},
    [PLACE_ONE] = {", all on one CPU", 0, 0},
    [PLACE_APART] = {", client on a CPU of its own", 0, 1},
};

int place_count(void)
{
    static int count;               /* of the whole run: a client that was placed has fewer CPUs */
    if (count == 0)
        count = process_cpus() > 1 ? PLACES : 1;
    return count;
}

const char *place_name(enum place place)
{
    return places[place].name;
}

void place_client(enum place place)
{
    process_pin(0, places[place].client);
}

void place_server(enum place place, pid_t pid)
{
    process_pin(pid, places[place].server);
}

void place_daemon(enum place place, const struct daemon *d)
{
    static struct process list[TREE_MAX];
    size_t count = process_tree(d->keeper, list, TREE_MAX);
    for (size_t i = 0; i < count; i++)
        place_server(place, list[i].pid);
}
