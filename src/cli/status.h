/* status.h: the exit statuses and what they mean, from errors.def. */
#ifndef CURFEW_CLI_STATUS_H
#define CURFEW_CLI_STATUS_H

#include "base/buf.h"

typedef void cf_status_fn(struct cf_buf *out, const char *number, const char *text);

/* Every status of the subcommands that do not stand in for a command, in order. */
void cf_status_each(struct cf_buf *out, cf_status_fn *line);
/* Those of exec and run. */
void cf_status_command(struct cf_buf *out, cf_status_fn *line);

#endif
