/* view.h: the API's values as people read them. */
#ifndef CURFEW_CLI_VIEW_H
#define CURFEW_CLI_VIEW_H

#include "base/buf.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Appends one value: durations (known by the field's name) as 3m12s, moments as local time, booleans as yes and no,
 * null as "-", lists and objects as JSON. */
void cf_view_value(struct cf_buf *out, const char *name, const json_t *value);
/* The same into `text`, cut to fit; returns it. */
const char *cf_view_cell(char *text, size_t size, const char *name, const json_t *value);
/* Seconds as 850ms, 12s, 3m12s, 2h5m, 3d4h. */
void cf_view_seconds(struct cf_buf *out, double seconds);
/* Appends "name: value" lines, the values aligned, each line after `indent` spaces; text of several lines follows its
 * name, indented. */
void cf_view_object(struct cf_buf *out, json_t *object, int indent);
/* Objects and lists of objects inside as sections with a head and tables. */
void cf_view_sections(struct cf_buf *out, json_t *object, bool colours);

#endif
