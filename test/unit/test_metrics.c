/* The text that Prometheus reads, byte by byte where it matters. */
#include "base/clock.h"
#include "core/core.h"
#include "server/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct known {
    const char *name, *unit, *help;
    double bounds[CF_HISTOGRAM_BOUNDS_MAX + 1];     /* 0 behind the last */
} known[] = {
#define HISTOGRAM(name, unit, help, ...) { "curfew_" #name "_" #unit, #unit, help, { __VA_ARGS__ } },
#include "tables/histograms.def"
#undef HISTOGRAM
};

static struct cf_buf out;

static int fresh(void **state)
{
    cf_buf_init(&out, 1 << 20);
    return 0;
}

static int drop(void **state)
{
    cf_buf_free(&out);
    return 0;
}

/* The value of the one line that begins with `sample` and a blank. */
static double value_of(const char *sample)
{
    const char *found = NULL;
    size_t len = strlen(sample);
    for (const char *line = out.data; line != NULL && *line != '\0'; line = strchr(line, '\n'), line += line != NULL)
        if (strncmp(line, sample, len) == 0 && line[len] == ' ') {
            assert_null(found);
            found = line + len + 1;
        }
    if (found == NULL)
        fail_msg("no line %s in:\n%s", sample, out.data);
    return strtod(found, NULL);
}

static double bucket(const struct known *h, double bound)
{
    char sample[120];
    snprintf(sample, sizeof sample, "%s_bucket{le=\"%.9g\"}", h->name, bound);
    return value_of(sample);
}

static double part(const struct known *h, const char *which)
{
    char sample[120];
    snprintf(sample, sizeof sample, "%s%s", h->name, which);
    return value_of(sample);
}

static size_t bounds_of(const struct known *h)
{
    size_t n = 0;
    while (h->bounds[n] > 0)
        n++;
    return n;
}

static void heads_and_labels_are_escaped(void **state)
{
    const struct cf_metrics_label labels[] = { { "path", "C:\\new\"s\nline" }, { "empty", "" } };
    cf_metrics_begin(&out, "some_files", "gauge", "One \"line\" with \\ and\na second");
    cf_metrics_number(&out, "some_files", labels, 2, UINT64_MAX);
    cf_metrics_number(&out, "some_files", labels, 0, 0);
    assert_string_equal(out.data, "# HELP some_files One \"line\" with \\\\ and\\na second\n"
                                  "# TYPE some_files gauge\n"
                                  "some_files{path=\"C:\\\\new\\\"s\\nline\",empty=\"\"} 18446744073709551615\n"
                                  "some_files 0\n");
}

static void seconds_are_exact(void **state)
{
    cf_metrics_seconds(&out, "a", NULL, 0, 1795151749681167994);
    cf_metrics_seconds(&out, "b", NULL, 0, 1);
    cf_metrics_seconds(&out, "c", NULL, 0, -1500000000);
    cf_metrics_seconds(&out, "d", NULL, 0, INT64_MIN);
    assert_string_equal(out.data, "a 1795151749.681167994\nb 0.000000001\nc -1.500000000\nd -9223372036.854775808\n");
}

static void each_counter_has_its_line(void **state)
{
    struct cf_counts counts;
    uint64_t *each = (uint64_t *)&counts, n = 0;
    for (size_t i = 0; i < sizeof counts / sizeof *each; i++)
        each[i] = 100 + i;
    cf_metrics_counters(&out, &counts);
    assert_non_null(strstr(out.data, "# HELP curfew_sessions_created_total Sessions that were started\n"
                                     "# TYPE curfew_sessions_created_total counter\n"
                                     "curfew_sessions_created_total 100\n"));
    assert_non_null(strstr(out.data, "# TYPE curfew_sessions_active gauge\ncurfew_sessions_active "));
#define SUFFIX_counter "_total"
#define SUFFIX_gauge ""
#define COUNTER(name, kind, unit, help) assert_int_equal((uint64_t)value_of("curfew_" #name SUFFIX_##kind), 100 + n++);
#include "tables/counters.def"
#undef COUNTER
    assert_int_equal(n, sizeof counts / sizeof *each);
}

static void names_are_as_they_have_to_be(void **state)
{
    static const char *const kept[] = { "_total", "_count", "_sum", "_bucket", "_info" };
    static const struct { const char *name, *help; } all[] = {
#define COUNTER(name, kind, unit, help) { #name, help },
#include "tables/counters.def"
#undef COUNTER
#define HISTOGRAM(name, unit, help, ...) { #name, help },
#include "tables/histograms.def"
#undef HISTOGRAM
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        size_t len = strlen(all[i].name);
        for (size_t c = 0; c < len; c++)
            assert_true(islower((unsigned char)all[i].name[c]) || all[i].name[c] == '_');
        assert_true(len < 40 && all[i].help[0] != '\0');
        for (size_t e = 0; e < sizeof kept / sizeof *kept; e++)
            assert_false(len > strlen(kept[e]) && strcmp(all[i].name + len - strlen(kept[e]), kept[e]) == 0);
    }
}

static void the_table_of_histograms_is_sound(void **state)
{
    for (size_t i = 0; i < CF_HISTOGRAMS; i++) {
        size_t n = bounds_of(&known[i]);
        assert_string_equal(known[i].unit, "seconds");
        assert_in_range(n, 1, CF_HISTOGRAM_BOUNDS_MAX);
        for (size_t b = 1; b < n; b++)
            assert_true(known[i].bounds[b] > known[i].bounds[b - 1]);
    }
}

static void empty_histograms_are_there(void **state)
{
    const struct cf_metrics none = { 0 };
    cf_metrics_histograms(&out, &none);
    for (size_t i = 0; i < CF_HISTOGRAMS; i++) {
        char head[300];
        snprintf(head, sizeof head, "# HELP %s %s\n# TYPE %s histogram\n%s_bucket{le=", known[i].name, known[i].help,
                 known[i].name, known[i].name);
        assert_non_null(strstr(out.data, head));
        for (size_t b = 0; b < bounds_of(&known[i]); b++)
            assert_true(bucket(&known[i], known[i].bounds[b]) == 0);
        assert_true(part(&known[i], "_bucket{le=\"+Inf\"}") == 0);
        assert_true(part(&known[i], "_count") == 0 && part(&known[i], "_sum") == 0);
    }
}

/* The nanosecond that a bound is belongs into its bucket, the next one does not; for every bound of the table. */
static void a_bound_belongs_to_its_bucket(void **state)
{
    for (size_t i = 0; i < CF_HISTOGRAMS; i++) {
        for (size_t b = 0; b < bounds_of(&known[i]); b++) {
            struct cf_metrics m = { 0 };
            int64_t ns = (int64_t)(known[i].bounds[b] * 1e9 + 0.5);
            cf_metrics_observe(&m, (enum cf_histogram_id)i, ns);
            cf_metrics_observe(&m, (enum cf_histogram_id)i, ns + 1);
            cf_buf_reset(&out);
            cf_metrics_histograms(&out, &m);
            assert_true(bucket(&known[i], known[i].bounds[b]) == 1);
            assert_true(b == 0 || bucket(&known[i], known[i].bounds[b - 1]) == 0);
            assert_true(part(&known[i], "_bucket{le=\"+Inf\"}") == 2 && part(&known[i], "_count") == 2);
        }
    }
}

static void buckets_add_up(void **state)
{
    const struct known *h = &known[CF_HISTOGRAM_exec_duration];
    static const int64_t values_ns[] = { 0, 500000, 2 * CF_NS_PER_MS, 2 * CF_NS_PER_MS, 700 * CF_NS_PER_MS,
                                         7000 * CF_NS_PER_S };
    struct cf_metrics m = { 0 };
    for (size_t i = 0; i < sizeof values_ns / sizeof *values_ns; i++)
        cf_metrics_observe(&m, CF_HISTOGRAM_exec_duration, values_ns[i]);
    cf_metrics_histograms(&out, &m);
    double before = 0;
    for (size_t b = 0; b < bounds_of(h); b++) {
        double expected = 0;
        for (size_t i = 0; i < sizeof values_ns / sizeof *values_ns; i++)
            expected += (double)values_ns[i] / 1e9 <= h->bounds[b];
        assert_true(bucket(h, h->bounds[b]) == expected);
        assert_true(expected >= before);
        before = expected;
    }
    assert_true(before == 5);           /* 7000 s lies above the last bound */
    assert_true(part(h, "_bucket{le=\"+Inf\"}") == 6);
    assert_non_null(strstr(out.data, "curfew_exec_duration_seconds_sum 7000.704500000\n"
                                     "curfew_exec_duration_seconds_count 6\n"));
    assert_int_equal(cf_metrics_observed(&m, CF_HISTOGRAM_exec_duration), 6);
    assert_int_equal(cf_metrics_observed(&m, CF_HISTOGRAM_end_duration), 0);
    assert_true(part(&known[CF_HISTOGRAM_end_duration], "_count") == 0);
}

static void strange_values_do_no_harm(void **state)
{
    const struct known *h = &known[CF_HISTOGRAM_sweep_duration];
    struct cf_metrics m = { 0 };
    cf_metrics_observe(&m, CF_HISTOGRAM_sweep_duration, -5);
    cf_metrics_observe(&m, CF_HISTOGRAM_sweep_duration, INT64_MAX);
    cf_metrics_histograms(&out, &m);
    assert_true(bucket(h, h->bounds[0]) == 1);
    assert_true(part(h, "_count") == 2);
    assert_non_null(strstr(out.data, "curfew_sweep_duration_seconds_sum 9223372036.854775807\n"));
}

static void a_full_buffer_says_so(void **state)
{
    const struct cf_metrics none = { 0 };
    struct cf_buf small;
    cf_buf_init(&small, 500);
    cf_metrics_histograms(&small, &none);
    assert_true(small.failed);
    assert_true(small.len <= 500);
    cf_buf_free(&small);
}

#define TEST(title, function) { .name = title, .test_func = function, .setup_func = fresh, .teardown_func = drop }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("help and labels are escaped, each in its way", heads_and_labels_are_escaped),
        TEST("seconds are exact to the nanosecond", seconds_are_exact),
        TEST("S3.7: each counter has one line, with _total where it only grows", each_counter_has_its_line),
        TEST("no row of the tables has a name that Prometheus keeps for itself", names_are_as_they_have_to_be),
        TEST("the bounds of each histogram rise", the_table_of_histograms_is_sound),
        TEST("histograms are there before anything was measured", empty_histograms_are_there),
        TEST("a value that is equal to a bound lies below it", a_bound_belongs_to_its_bucket),
        TEST("buckets hold what the ones before them hold; +Inf is the count; the sum is exact", buckets_add_up),
        TEST("values below nothing and beyond all measure are counted", strange_values_do_no_harm),
        TEST("text that does not fit its buffer is not taken for complete", a_full_buffer_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
