#include "server/metrics.h"

#include "base/clock.h"
#include "core/core.h"

#include <stdio.h>

/* ---- histograms ---- */

#define COUNT(array) (sizeof array / sizeof *array)

#define HISTOGRAM(name, unit, help, ...) static const double bounds_##name[] = { __VA_ARGS__ };
#include "tables/histograms.def"
#undef HISTOGRAM

static const struct row {
    const char *name, *help;
    const double *bounds;
    size_t count;
} rows[CF_HISTOGRAMS] = {
#define HISTOGRAM(name, unit, help, ...) \
    [CF_HISTOGRAM_##name] = { "curfew_" #name "_" #unit, help, bounds_##name, COUNT(bounds_##name) },
#include "tables/histograms.def"
#undef HISTOGRAM
};

#define HISTOGRAM(name, ...) \
    _Static_assert(COUNT(bounds_##name) <= CF_HISTOGRAM_BOUNDS_MAX, #name " has too many bounds");
#include "tables/histograms.def"
#undef HISTOGRAM

/* Rounded: 0.0025 is a little more or less than that in binary, and a value that is equal belongs into the bucket. */
static int64_t bound_ns(double seconds)
{
    return (int64_t)(seconds * (double)CF_NS_PER_S + 0.5);
}

void cf_metrics_observe(struct cf_metrics *metrics, enum cf_histogram_id id, int64_t ns)
{
    const struct row *row = &rows[id];
    struct cf_histogram *h = &metrics->histograms[id];
    size_t i = 0;
    if (ns < 0)
        ns = 0;
    while (i < row->count && ns > bound_ns(row->bounds[i]))
        i++;
    h->between[i == row->count ? CF_HISTOGRAM_BOUNDS_MAX : i]++;
    h->sum_ns += (uint64_t)ns;
}

uint64_t cf_metrics_observed(const struct cf_metrics *metrics, enum cf_histogram_id id)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= CF_HISTOGRAM_BOUNDS_MAX; i++)
        count += metrics->histograms[id].between[i];
    return count;
}

/* ---- text ---- */

/* In a HELP line a quote stands for itself; in a label's value it ends it. */
static void escape(struct cf_buf *out, const char *text, bool quoted)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n')
            cf_buf_puts(out, "\\n");
        else if (*text == '\\' || (quoted && *text == '"'))
            cf_buf_printf(out, "\\%c", *text);
        else
            cf_buf_putc(out, *text);
    }
}

void cf_metrics_begin(struct cf_buf *out, const char *name, const char *type, const char *help)
{
    cf_buf_printf(out, "# HELP %s ", name);
    escape(out, help, false);
    cf_buf_printf(out, "\n# TYPE %s %s\n", name, type);
}

static void write_labels(struct cf_buf *out, const struct cf_metrics_label *labels, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        cf_buf_printf(out, "%c%s=\"", i == 0 ? '{' : ',', labels[i].name);
        escape(out, labels[i].value, true);
        cf_buf_putc(out, '"');
    }
    cf_buf_puts(out, count > 0 ? "} " : " ");
}

void cf_metrics_number(struct cf_buf *out, const char *name, const struct cf_metrics_label *labels, size_t count,
                       uint64_t value)
{
    cf_buf_puts(out, name);
    write_labels(out, labels, count);
    cf_buf_printf(out, "%llu\n", (unsigned long long)value);
}

static void write_seconds(struct cf_buf *out, uint64_t ns)
{
    cf_buf_printf(out, "%llu.%09llu\n", (unsigned long long)(ns / CF_NS_PER_S), (unsigned long long)(ns % CF_NS_PER_S));
}

void cf_metrics_seconds(struct cf_buf *out, const char *name, const struct cf_metrics_label *labels, size_t count,
                        int64_t ns)
{
    cf_buf_puts(out, name);
    write_labels(out, labels, count);
    if (ns < 0)
        cf_buf_putc(out, '-');
    write_seconds(out, ns < 0 ? -(uint64_t)ns : (uint64_t)ns);
}

/* ---- the tables' rows ---- */

#define SUFFIX_counter "_total"
#define SUFFIX_gauge ""

void cf_metrics_counters(struct cf_buf *out, const struct cf_counts *counts)
{
#define COUNTER(name, kind, unit, help) \
    cf_metrics_begin(out, "curfew_" #name SUFFIX_##kind, #kind, help); \
    cf_metrics_number(out, "curfew_" #name SUFFIX_##kind, NULL, 0, counts->name);
#include "tables/counters.def"
#undef COUNTER
}

static void write_histogram(struct cf_buf *out, const struct row *row, const struct cf_histogram *h)
{
    char name[80], le[32];
    struct cf_metrics_label label = { "le", le };
    uint64_t sum = 0;
    cf_metrics_begin(out, row->name, "histogram", row->help);
    snprintf(name, sizeof name, "%s_bucket", row->name);
    for (size_t i = 0; i < row->count; i++) {
        snprintf(le, sizeof le, "%.9g", row->bounds[i]);
        cf_metrics_number(out, name, &label, 1, sum += h->between[i]);
    }
    snprintf(le, sizeof le, "+Inf");
    sum += h->between[CF_HISTOGRAM_BOUNDS_MAX];
    cf_metrics_number(out, name, &label, 1, sum);
    cf_buf_printf(out, "%s_sum ", row->name);
    write_seconds(out, h->sum_ns);
    cf_buf_printf(out, "%s_count %llu\n", row->name, (unsigned long long)sum);
}

void cf_metrics_histograms(struct cf_buf *out, const struct cf_metrics *metrics)
{
    for (size_t i = 0; i < CF_HISTOGRAMS; i++)
        write_histogram(out, &rows[i], &metrics->histograms[i]);
}
