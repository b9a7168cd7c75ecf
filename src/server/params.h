/* params.h: a request's parameters against the PARAM rows of operations.def.
 *
 * All or nothing: a handler gets an object with known, checked members only.  Values stay as they were sent
 * (a duration is a number or a text); text of the query becomes the JSON value that its row asks for. */
#ifndef CURFEW_SERVER_PARAMS_H
#define CURFEW_SERVER_PARAMS_H

#include "base/error.h"
#include "server/call.h"

#include <jansson.h>
#include <stddef.h>

/* Reads and checks a body; an empty one is an empty object.  Duplicate keys, bad UTF-8, numbers that fit no
 * type, NaN and more than 2048 levels (jansson's own bound) are CF_E_MALFORMED; CF_E_UNKNOWN_FIELD and CF_E_INVALID
 * name the field and what it may be.  Gives a new reference. */
int cf_params_body(enum cf_operation operation, const char *data, size_t len, json_t **ret_params,
                   struct cf_error *error) __attribute__((warn_unused_result));

/* Adds one argument of the query; `name` and `value` (NULL: it had no "=") are as sent, percent-encoded, and are
 * decoded in place.  An argument given twice is CF_E_INVALID. */
int cf_params_query(enum cf_operation operation, json_t *params, char *name, char *value, struct cf_error *error)
    __attribute__((warn_unused_result));

/* Likewise beside a body that is taken as it is: what would be a member of a JSON body may then stand in the query. */
int cf_params_query_all(enum cf_operation operation, json_t *params, char *name, char *value, struct cf_error *error)
    __attribute__((warn_unused_result));
/* Whether the operation takes such a body: a RAW_BODY row. */
bool cf_params_raw(enum cf_operation operation);

/* Every required parameter is there. */
int cf_params_complete(enum cf_operation operation, const json_t *params, struct cf_error *error)
    __attribute__((warn_unused_result));

/* A duration as nanoseconds, from a number of seconds or text; -1 when it is neither or does not fit. */
int cf_params_duration(const json_t *value, int64_t *ret_ns);

#endif
