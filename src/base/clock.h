/* clock.h: what time it is, read once and handed down.
 *
 * `mono_ns` is CLOCK_MONOTONIC: idle and age run on it, since no wall-clock step moves it and it
 * does not count the time that the machine slept.  `wall_ns` is only ever shown to people. */
#ifndef CURFEW_BASE_CLOCK_H
#define CURFEW_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define CF_NS_PER_S 1000000000LL
#define CF_NS_PER_MS 1000000LL
#define CF_NEVER_NS INT64_MAX

struct cf_now {
    int64_t mono_ns;
    int64_t wall_ns;
};

struct cf_now cf_clock_now(void);

/* Reads a duration: seconds as a number ("90", "0.5") or Go's text ("1h30m", "10m", "1.5s", "300ms";
 * units ns us µs ms s m h).  Returns 0 and the nanoseconds, or -1: no number, a negative one, NaN,
 * infinity, trailing text, or more than fits. */
int cf_duration_parse(const char *text, int64_t *ret_ns);
/* Writes a duration as people write it: "1h30m", "10m", "1.5s", "300ms".  `buf` holds 32 bytes. */
const char *cf_duration_format(int64_t ns, char *buf, size_t size);

#endif
