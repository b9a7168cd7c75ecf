/* record.h: a session as a user of a library of containers would declare it, and what those users share. */
#ifndef CURFEW_BENCH_TABLE_RECORD_H
#define CURFEW_BENCH_TABLE_RECORD_H

#include "bench/table/adapter.h"

#include <string.h>

#define WORKSPACES 64

struct workspace {
    char name[16];
    uint32_t count;                     /* sessions in it: whoever has a limit for that must know */
};

/* The workspaces in use, by name; a user of it has few, so this is small and always in the cache. */
struct workspaces {
    struct workspace list[WORKSPACES * 4];      /* by hash, open addressing */
};

enum record_state { RECORD_ACTIVE = 1, RECORD_CLOSED };

/* Last in a struct, after whatever links the competitor needs. */
#define RECORD_FIELDS               \
    struct workspace *workspace;    \
    int64_t created_ns;             \
    int64_t last_used_ns;           \
    void *user;                     \
    uint32_t messages;              \
    uint8_t state;                  \
    char id[]

/* What stands in every record once it is made. */
#define RECORD_FILL(record, id_text, id_bytes, in, now)         \
    do {                                                        \
        (record)->workspace = (in);                             \
        (record)->created_ns = (record)->last_used_ns = (now);  \
        (record)->user = (record);                              \
        (record)->messages = 0;                                 \
        (record)->state = RECORD_ACTIVE;                        \
        memcpy((record)->id, (id_text), (id_bytes));            \
    } while (0)

#define RECORD_DUE(record, now)                                                             \
    ((now) - (record)->last_used_ns > IDLE_NS || (now) - (record)->created_ns > AGE_NS ||   \
     (record)->state == RECORD_CLOSED)

/* The workspace that the session of this id lies in, as text: a request would name it. */
const char *record_workspace(const char *id);
/* Counts one in, making it when it is new. */
struct workspace *record_workspace_join(struct workspaces *all, const char *name);

#endif
