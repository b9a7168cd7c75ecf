/* clock.c: the two clocks, and durations as text. */
#include "base/clock.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int64_t read_ns(clockid_t id)
{
    struct timespec t = { 0 };
    (void)clock_gettime(id, &t);        /* fails only for a clock that does not exist */
    return (int64_t)t.tv_sec * CF_NS_PER_S + t.tv_nsec;
}

struct cf_now cf_clock_now(void)
{
    return (struct cf_now){ .mono_ns = read_ns(CLOCK_MONOTONIC), .wall_ns = read_ns(CLOCK_REALTIME) };
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const struct unit {
    const char *name;
    int64_t ns;
} units[] = {   /* a unit that begins with another one stands before it */
    { "ns", 1 }, { "us", 1000 }, { "\xc2\xb5s", 1000 }, { "\xce\xbcs", 1000 },
    { "ms", CF_NS_PER_MS }, { "s", CF_NS_PER_S }, { "m", 60 * CF_NS_PER_S }, { "h", 3600 * CF_NS_PER_S },
};

/* Moves *at past the unit that stands there; a number that ends the text alone is seconds. */
static int64_t read_unit(const char **at, bool only)
{
    if (only && **at == '\0')
        return CF_NS_PER_S;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t len = strlen(units[i].name);
        if (strncmp(*at, units[i].name, len) == 0) {
            *at += len;
            return units[i].ns;
        }
    }
    return 0;
}

/* Reads one "12.5h" and adds it to *sum; false for no number, no unit, or more than fits. */
static bool read_part(const char **at, bool only, int64_t *sum)
{
    int64_t whole = 0, fraction = 0, scale = 1, more;
    const char *p = *at, *start = *at;

    for (; is_digit(*p); p++)
        if (__builtin_mul_overflow(whole, 10, &whole) || __builtin_add_overflow(whole, *p - '0', &whole))
            return false;
    bool digits = p > start;
    if (*p == '.') {
        for (p++; is_digit(*p); p++) {
            digits = true;
            if (scale < INT64_C(1000000000000000)) {    /* what a double holds exactly; the rest is below 1 ns */
                fraction = fraction * 10 + (*p - '0');
                scale *= 10;
            }
        }
    }
    if (!digits)
        return false;
    int64_t unit = read_unit(&p, only);
    if (unit == 0 || __builtin_mul_overflow(whole, unit, &whole))
        return false;
    more = (int64_t)((double)fraction * ((double)unit / (double)scale) + 0.5);
    if (__builtin_add_overflow(whole, more, &whole) || __builtin_add_overflow(*sum, whole, sum))
        return false;
    *at = p;
    return true;
}

/* "1e3", "2.5E-1": digits, then an exponent.  strtod alone would also take hex, spaces and "inf". */
static int read_exponent(const char *text, int64_t *ret_ns)
{
    char *end;

    if (!is_digit(text[0]) || strspn(text, "0123456789.eE+-") != strlen(text))
        return -1;
    double ns = strtod(text, &end) * (double)CF_NS_PER_S;
    if (*end != '\0' || !isfinite(ns) || ns < 0 || ns >= (double)INT64_MAX)
        return -1;
    *ret_ns = (int64_t)(ns + 0.5);
    return 0;
}

int cf_duration_parse(const char *text, int64_t *ret_ns)
{
    int64_t sum = 0;
    bool first = true;

    if (*text == '+')
        text++;
    if (strpbrk(text, "eE") != NULL)
        return read_exponent(text, ret_ns);
    do {
        if (!read_part(&text, first, &sum))
            return -1;
        first = false;
    } while (*text != '\0');
    if (sum == CF_NEVER_NS)
        return -1;
    *ret_ns = sum;
    return 0;
}

/* "1.5s" from 1500000000 and a unit of 1000000000: no trailing zeros, no point without decimals. */
static void format_unit(char *out, size_t size, uint64_t ns, uint64_t unit, const char *name)
{
    char fraction[24] = "";
    uint64_t rest = ns % unit;
    int len = 0;

    for (uint64_t place = unit / 10; rest > 0; place /= 10) {
        fraction[len++] = (char)('0' + rest / place);
        rest %= place;
    }
    fraction[len] = '\0';
    (void)snprintf(out, size, "%" PRIu64 "%s%s%s", ns / unit, len > 0 ? "." : "", fraction, name);
}

const char *cf_duration_format(int64_t ns, char *buf, size_t size)
{
    uint64_t left = ns < 0 ? 0 - (uint64_t)ns : (uint64_t)ns;
    char hours[16] = "", minutes[8] = "", rest[32] = "";

    if (left == 0 || left >= CF_NS_PER_S) {
        uint64_t hour = left / (3600 * (uint64_t)CF_NS_PER_S), minute = left / (60 * (uint64_t)CF_NS_PER_S) % 60;
        left %= 60 * (uint64_t)CF_NS_PER_S;
        if (hour > 0)
            (void)snprintf(hours, sizeof hours, "%" PRIu64 "h", hour);
        if (minute > 0)
            (void)snprintf(minutes, sizeof minutes, "%" PRIu64 "m", minute);
        if (left > 0 || (hour == 0 && minute == 0))
            format_unit(rest, sizeof rest, left, CF_NS_PER_S, "s");
    } else if (left >= CF_NS_PER_MS) {
        format_unit(rest, sizeof rest, left, CF_NS_PER_MS, "ms");
    } else if (left >= 1000) {
        format_unit(rest, sizeof rest, left, 1000, "us");
    } else {
        format_unit(rest, sizeof rest, left, 1, "ns");
    }
    (void)snprintf(buf, size, "%s%s%s%s", ns < 0 ? "-" : "", hours, minutes, rest);
    return buf;
}
