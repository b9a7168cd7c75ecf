/* status.h: the exit statuses and what they mean, from errors.def. */
#ifndef CURFEW_CLI_STATUS_H
#define CURFEW_CLI_STATUS_H

#include "base/buf.h"
#include "cli/cli.h"

typedef void cf_status_fn(struct cf_buf *out, const char *number, const char *text);

/* Hands each exit status of the kind to `line`, in order. */
void cf_status_list(struct cf_buf *out, enum cf_statuses which, cf_status_fn *line);

#endif
