/* route.h: which row of operations.def a method and a path are. */
#ifndef CURFEW_SERVER_ROUTE_H
#define CURFEW_SERVER_ROUTE_H

#include "server/call.h"

#include <stdbool.h>

#define CF_ROUTES_MAX 96
#define CF_ROUTE_ID_MAX 95              /* bytes of an {id} */

struct cf_route {
    enum cf_operation operation;
    char method[8];
    const char *path;                   /* points into the table */
    size_t len;                         /* of the path */
};

/* The table unrolled, aliases too. */
struct cf_routes {
    struct cf_route rows[CF_ROUTES_MAX];
    unsigned count;
};
void cf_routes_init(struct cf_routes *routes);

struct cf_route_match {
    enum cf_operation operation;
    char id[CF_ROUTE_ID_MAX + 1];       /* "" when the path has none */
    uint32_t number;                    /* the {n}; 0 when the path has none */
    char allow[64];                     /* after CF_E_METHOD: what the path does take, for the Allow header */
};

/* `path` is as sent: percent-encoded, without the query.  HEAD is taken as GET.
 * 0, CF_E_NOT_FOUND (also for an {id} that no session and an {n} that no command can have), or CF_E_METHOD. */
int cf_routes_match(const struct cf_routes *routes, const char *method, const char *path, struct cf_route_match *ret)
    __attribute__((warn_unused_result));

/* The operation's name in the table. */
const char *cf_route_name(enum cf_operation operation);
/* Replaces %XX by the byte in place.  False: a broken escape, or a NUL. */
bool cf_route_unescape(char *text);

#endif
