/* jsonw.h: an append-only JSON writer.
 *
 * Keys and values go straight into a cf_buf.  Strings may hold any bytes: control characters and
 * quotes are escaped, and each longest piece that is not valid UTF-8 becomes one U+FFFD, so that
 * what a terminal printed can always be answered as JSON.  `key` is NULL inside an array and for the
 * outermost value. */
#ifndef CURFEW_BASE_JSONW_H
#define CURFEW_BASE_JSONW_H

#include "base/buf.h"
#include <stdint.h>

struct cf_jsonw {
    struct cf_buf *out;
    bool comma;     /* the next value needs one before it */
};

void cf_jsonw_init(struct cf_jsonw *w, struct cf_buf *out);
void cf_jsonw_object(struct cf_jsonw *w, const char *key);
void cf_jsonw_object_end(struct cf_jsonw *w);
void cf_jsonw_array(struct cf_jsonw *w, const char *key);
void cf_jsonw_array_end(struct cf_jsonw *w);
void cf_jsonw_str(struct cf_jsonw *w, const char *key, const char *value);     /* NULL writes null */
void cf_jsonw_bytes(struct cf_jsonw *w, const char *key, const char *data, size_t len);
void cf_jsonw_int(struct cf_jsonw *w, const char *key, int64_t value);
void cf_jsonw_bool(struct cf_jsonw *w, const char *key, bool value);
void cf_jsonw_null(struct cf_jsonw *w, const char *key);
/* A nanosecond count as seconds with a fraction (1500000000 → 1.5); always has a decimal point;
 * at least one and at most nine decimals.  Negative values keep their sign. */
void cf_jsonw_seconds(struct cf_jsonw *w, const char *key, int64_t ns);
/* A nanosecond count as seconds: a whole number when it is one (3600), else with a fraction.
 * For settings, which the documents print without one. */
void cf_jsonw_duration(struct cf_jsonw *w, const char *key, int64_t ns);
void cf_jsonw_double(struct cf_jsonw *w, const char *key, double value);       /* NaN and infinities write null */
void cf_jsonw_raw(struct cf_jsonw *w, const char *key, const char *json, size_t len);

#endif
