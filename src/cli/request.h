/* request.h: flags become a request. */
#ifndef CURFEW_CLI_REQUEST_H
#define CURFEW_CLI_REQUEST_H

#include "cli/cli.h"

/* Fills `ret` with the request that `op` is, for session `id` (NULL where there is none), from the flags that belong
 * to it.  `command` is the text of exec and NULL for all others.  The caller frees `ret` with cf_exchange_free. */
void cf_request_make(const struct cf_cli *cli, enum cf_op op, const char *id, const char *command,
                     struct cf_exchange *ret);

#endif
