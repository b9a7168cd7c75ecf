/* result.h: how a command ended, as an exit status and in words. */
#ifndef CURFEW_CLI_RESULT_H
#define CURFEW_CLI_RESULT_H

#include <jansson.h>
#include <stdbool.h>

/* The command's exit status, or those of cli.h. */
int cf_result_status(const json_t *result);
bool cf_result_cancelled(const json_t *result);
/* What the exit status does not say, on standard error. */
void cf_result_notes(const json_t *result);

#endif
