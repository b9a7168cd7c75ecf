/* metrics.h: the text in which Prometheus reads numbers (its exposition format 0.0.4), and the histograms.
 *
 * Counters are rows of tables/counters.def and live in core; histograms are rows of tables/histograms.def and live
 * here. */
#ifndef CURFEW_SERVER_METRICS_H
#define CURFEW_SERVER_METRICS_H

#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

struct cf_counts;

#define CF_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum cf_histogram_id {
#define HISTOGRAM(name, ...) CF_HISTOGRAM_##name,
#include "tables/histograms.def"
#undef HISTOGRAM
    CF_HISTOGRAMS
};
#define CF_HISTOGRAM_BOUNDS_MAX 16

struct cf_histogram {
    uint64_t between[CF_HISTOGRAM_BOUNDS_MAX + 1];  /* how many up to each bound and above the one before; the last:
                                                     * above all */
    uint64_t sum_ns;
};

struct cf_metrics {                     /* all zero at first */
    struct cf_histogram histograms[CF_HISTOGRAMS];
    int64_t started_wall_ns;            /* when the server's process did */
};

/* A value below 0 counts as 0. */
void cf_metrics_observe(struct cf_metrics *metrics, enum cf_histogram_id id, int64_t ns);
/* How many were observed. */
uint64_t cf_metrics_observed(const struct cf_metrics *metrics, enum cf_histogram_id id);

struct cf_metrics_label {
    const char *name, *value;           /* the value may hold any UTF-8 */
};

/* Begins a metric: its HELP and TYPE lines.  Its samples come next, all of them. */
void cf_metrics_begin(struct cf_buf *out, const char *name, const char *type, const char *help);
/* One sample, with `count` labels. */
void cf_metrics_number(struct cf_buf *out, const char *name, const struct cf_metrics_label *labels, size_t count,
                       uint64_t value);
/* One sample in seconds, exact to the nanosecond. */
void cf_metrics_seconds(struct cf_buf *out, const char *name, const struct cf_metrics_label *labels, size_t count,
                        int64_t ns);

/* Each row of counters.def as curfew_NAME_total, a gauge as curfew_NAME. */
void cf_metrics_counters(struct cf_buf *out, const struct cf_counts *counts);
/* Each row of histograms.def as curfew_NAME_UNIT. */
void cf_metrics_histograms(struct cf_buf *out, const struct cf_metrics *metrics);

#endif
