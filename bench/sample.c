#include "bench/sample.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static unsigned bars_missed;
static double tail = 0.99;     /* of the table that is being printed */

int64_t sample_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void sample_sleep_ms(int ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0) {
    }
}

void sample_add(struct sample *s, double value)
{
    if (s->count == SAMPLE_MAX)
        return;
    s->values[s->count++] = value;
    s->sorted = false;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double sample_quantile(struct sample *s, double share)
{
    if (s->count == 0)
        return NAN;
    if (!s->sorted)
        qsort(s->values, s->count, sizeof s->values[0], compare);
    s->sorted = true;
    double place = share * (double)(s->count - 1);
    size_t below = (size_t)place;
    size_t above = below + 1 < s->count ? below + 1 : below;
    return s->values[below] + (place - (double)below) * (s->values[above] - s->values[below]);
}

/* Three digits that matter, so that 0.019 and 1234 both fit a column. */
static const char *figure(double value, char *buf, size_t size)
{
    if (isnan(value))
        snprintf(buf, size, "-");
    else
        snprintf(buf, size, value < 1 ? "%.4f" : value < 10 ? "%.3f" : value < 100 ? "%.2f" : "%.0f", value);
    return buf;
}

static void judge(double value, const struct bar *bar)
{
    if (bar == NULL || isnan(value)) {
        printf("\n");
        return;
    }
    bool met = bar->kind == BAR_AT_MOST ? value <= bar->limit : value >= bar->limit;
    bars_missed += !met;
    printf("   bar: at %s %g, %s\n", bar->kind == BAR_AT_MOST ? "most" : "least", bar->limit, met ? "met" : "NOT MET");
}

static void title_line(const char *letter, const char *title, const char *unit, double new_tail)
{
    tail = new_tail;
    printf("\n(%s) %-58s %6s %10s %10s %8s   [%s]\n", letter, title, "runs", "median", tail > 0.5 ? "p99" : "p1", "ratio", unit);
}

void sample_title(const char *letter, const char *title, const char *unit)
{
    title_line(letter, title, unit, 0.99);
}

void sample_title_rate(const char *letter, const char *title, const char *unit)
{
    title_line(letter, title, unit, 0.01);
}

void sample_row(const char *name, struct sample *s, struct sample *base, const struct bar *bar)
{
    char median[32], at_tail[32], shown[32];
    double ratio = base == NULL ? NAN : sample_quantile(s, 0.5) / sample_quantile(base, 0.5);
    printf("    %-58s %6zu %10s %10s %8s", name, s->count, figure(sample_quantile(s, 0.5), median, sizeof median),
           figure(sample_quantile(s, tail), at_tail, sizeof at_tail), figure(ratio, shown, sizeof shown));
    judge(ratio, bar);
    fflush(stdout);
}

void sample_figure(const char *name, double value, const struct bar *bar)
{
    char shown[32];
    printf("    %-58s %6s %10s %10s %8s", name, "", "", "", figure(value, shown, sizeof shown));
    judge(value, bar);
    fflush(stdout);
}

void sample_note(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    printf("    ");
    vprintf(fmt, args);
    printf("\n");
    va_end(args);
    fflush(stdout);
}

unsigned sample_bars_missed(void)
{
    return bars_missed;
}
