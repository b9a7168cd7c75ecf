/* request.h: flags become a request. */
#ifndef CURFEW_CLI_REQUEST_H
#define CURFEW_CLI_REQUEST_H

#include "cli/cli.h"

/* A member of the body that no flag gives: text, or where `text` is NULL a number, or where `yes` is set `true`. */
struct cf_extra {
    const char *name, *text;
    int64_t number;
    bool yes;
};

/* Fills `ret` with the request that `op` is, for session `id` (NULL where there is none) and its command `number` (0:
 * none), from the flags that belong to it and from `extra`, which ends with a row without a name (NULL: nothing more).
 * The caller frees `ret` with cf_exchange_free. */
void cf_request_make(const struct cf_cli *cli, enum cf_op op, const char *id, uint32_t number,
                     const struct cf_extra *extra, struct cf_exchange *ret);
/* The same, but what stands in the body as JSON otherwise stands in the query, so that the body can be bytes. */
void cf_request_make_bytes(const struct cf_cli *cli, enum cf_op op, const char *id, struct cf_exchange *ret);

#endif
