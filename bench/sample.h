/* sample.h: measured values and the table that shows them. */
#ifndef CURFEW_BENCH_SAMPLE_H
#define CURFEW_BENCH_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SAMPLE_MAX 4096

struct sample {
    size_t count;
    bool sorted;
    double values[SAMPLE_MAX];
};

int64_t sample_now_ns(void);                            /* CLOCK_MONOTONIC */
void sample_sleep_ms(int ms);
/* Values past SAMPLE_MAX are dropped: no measure takes so many. */
void sample_add(struct sample *s, double value);
/* The value below which `share` of the values lie; 0.5 is the median.  NaN when there are none. */
double sample_quantile(struct sample *s, double share);

/* A measure's table, in the unit of its values: a title, then one row for each way of doing it.  `base` is what the ratio is taken
 * against: median to median.  `bar` may be NULL. */
enum bar_kind { BAR_AT_MOST, BAR_AT_LEAST };
struct bar {
    enum bar_kind kind;
    double limit;
};
void sample_title(const char *letter, const char *title, const char *unit);
/* The same for rates, of which more is better: the tail that it shows is the slowest hundredth. */
void sample_title_rate(const char *letter, const char *title, const char *unit);
void sample_row(const char *name, struct sample *s, struct sample *base, const struct bar *bar);
/* A row that is one figure, judged as it is. */
void sample_figure(const char *name, double value, const struct bar *bar);
void sample_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* How many bars were not met so far. */
unsigned sample_bars_missed(void);

#endif
