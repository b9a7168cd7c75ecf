/* One round on sessions that are there: touches, look-ups, sweeps that find nobody, sweeps that end 1 %. */
#include "bench/table/worker.h"

#define PAUSE_NS (60 * SECOND_NS)       /* between two sweeps */
#define PASSES_OF 300000                /* operations that make a time long enough to be measured */
#define SHARE 100                       /* one of so many ends */

static bool all_worked(const struct bench *b, size_t done, size_t count, const char *what, struct answer *ret_answer)
{
    return done == count ? true : worker_fail(ret_answer, "%s worked for %zu of %zu", what, done, count);
}

/* Times how long `work` takes over the round's sample, after a pass that is not timed; ns each. */
static bool time_passes(struct bench *b, size_t (*work)(struct bench *b), const char *what, double *ret_ns,
                        struct answer *ret_answer)
{
    size_t passes = b->sample < PASSES_OF && !b->adapter->slow ? PASSES_OF / b->sample + 1 : 1, done = 0;
    if (!b->adapter->slow && !all_worked(b, work(b), b->sample, what, ret_answer))
        return false;
    int64_t start = worker_clock_ns(b->adapter);
    for (size_t pass = 0; pass < passes; pass++) {
        b->now_ns += SECOND_NS / 10;
        done += work(b);
    }
    int64_t took = worker_clock_ns(b->adapter) - start;
    *ret_ns = (double)took / (double)(b->sample * passes);
    return all_worked(b, done, b->sample * passes, what, ret_answer);
}

static size_t touch_sample(struct bench *b)
{
    return b->adapter->touch(b->store, b->refs + b->from, b->sample, b->now_ns);
}

static size_t message_sample(struct bench *b)
{
    return b->adapter->touch_message(b->store, b->refs + b->from, b->sample, b->now_ns);
}

static size_t touch_id_sample(struct bench *b)
{
    return b->adapter->touch_id(b->store, b->names->shuffled + b->from, b->sample, b->now_ns);
}

static size_t lookup_sample(struct bench *b)
{
    return b->adapter->lookup(b->store, b->names->shuffled + b->from, b->sample);
}

static bool timed_sweep(struct bench *b, size_t expected, double *ret_ns, struct answer *ret_answer)
{
    int64_t start = worker_clock_ns(b->adapter);
    size_t ended = b->adapter->sweep(b->store, b->now_ns);
    *ret_ns = (double)(worker_clock_ns(b->adapter) - start);
    return ended == expected ? true : worker_fail(ret_answer, "a sweep ended %zu instead of %zu", ended, expected);
}

/* The sessions from `at` in the shuffled order are created again. */
static bool create_again(struct bench *b, size_t at, size_t count, struct answer *ret_answer)
{
    const struct adapter *a = b->adapter;
    if (a->lookup(b->store, b->names->shuffled + at, count) != 0)
        return worker_fail(ret_answer, "who has ended is found");
    size_t done = a->create(b->store, b->names->shuffled + at, count, b->now_ns, b->refs + at);
    return all_worked(b, done, count, "create again", ret_answer);
}

/* Ends who lies at `at`: all are touched, time goes by, all others are touched, and time goes by again. */
static bool sweep_some(struct bench *b, size_t at, size_t count, bool sweep_before, double *ret_ns,
                       struct answer *ret_answer)
{
    const struct adapter *a = b->adapter;
    size_t after = at + count, done;
    double ignored;
    done = a->touch(b->store, b->refs, b->names->count, b->now_ns);
    if (!all_worked(b, done, b->names->count, "touch", ret_answer))
        return false;
    b->now_ns += IDLE_NS / 4 * 3;
    done = a->touch(b->store, b->refs, at, b->now_ns) + count;
    done += a->touch(b->store, b->refs + after, b->names->count - after, b->now_ns);
    if (!all_worked(b, done, b->names->count, "touch", ret_answer))
        return false;
    if (sweep_before && !timed_sweep(b, 0, &ignored, ret_answer))
        return false;
    b->now_ns += IDLE_NS / 2;
    if (!timed_sweep(b, count, ret_ns, ret_answer))
        return false;
    *ret_ns /= (double)count;
    return create_again(b, at, count, ret_answer);
}

/* The same for slow ones, of which not all can be touched in each round: those who shall end are touched at a time
 * that is long past.  For them that is the same, since they sort by deadline and do not look at the others. */
static bool sweep_some_slowly(struct bench *b, size_t at, size_t count, double *ret_ns, struct answer *ret_answer)
{
    size_t done = b->adapter->touch(b->store, b->refs + at, count, b->now_ns - IDLE_NS / 4 * 5);
    if (!all_worked(b, done, count, "touch", ret_answer) || !timed_sweep(b, count, ret_ns, ret_answer))
        return false;
    *ret_ns /= (double)count;
    return create_again(b, at, count, ret_answer);
}

/* The time of slow ones stands still, likewise. */
static void pass_time(struct bench *b)
{
    b->now_ns += b->adapter->slow ? 0 : PAUSE_NS;
}

static bool measure_sweeps(struct bench *b, struct answer *ret_answer)
{
    double ns;
    if (!b->adapter->slow && b->adapter->touch(b->store, b->refs, b->names->count, b->now_ns) != b->names->count)
        return worker_fail(ret_answer, "a touch failed");
    pass_time(b);
    if (!timed_sweep(b, 0, &ns, ret_answer))
        return false;
    ret_answer->values[M_SWEEP_FRESH] = ns / 1e3;
    pass_time(b);
    if (!timed_sweep(b, 0, &ns, ret_answer))
        return false;
    ret_answer->values[M_SWEEP_STEADY] = ns / 1e3;
    return true;
}

static bool end_some(struct bench *b, size_t at, size_t count, struct answer *ret_answer)
{
    int64_t start = worker_clock_ns(b->adapter);
    size_t done = b->adapter->end(b->store, b->refs + at, count);
    ret_answer->values[M_END] = (double)(worker_clock_ns(b->adapter) - start) / (double)count;
    return all_worked(b, done, count, "end", ret_answer) && create_again(b, at, count, ret_answer);
}

static bool measure_ends(struct bench *b, size_t some, size_t at, size_t next, struct answer *ret_answer)
{
    double *values = ret_answer->values;
    if (b->adapter->slow)
        return sweep_some_slowly(b, at, some, &values[M_ENDED_FRESH], ret_answer) &&
               end_some(b, next, some, ret_answer);
    return sweep_some(b, at, some, false, &values[M_ENDED_FRESH], ret_answer) &&
           sweep_some(b, next, some, true, &values[M_ENDED_STEADY], ret_answer) && end_some(b, at, some, ret_answer);
}

bool worker_round(struct bench *b, struct answer *ret_answer)
{
    const struct adapter *a = b->adapter;
    double *values = ret_answer->values, ns;
    size_t some = b->names->count / SHARE, room = b->names->count - some;
    b->from = b->sample == b->names->count ? 0 : b->round * b->sample % (b->names->count - b->sample);
    if (!time_passes(b, touch_sample, "touch", &ns, ret_answer))
        return false;
    if (a->by_reference)
        values[M_TOUCH] = ns;
    if (!a->reads_clock && !measure_sweeps(b, ret_answer))
        return false;
    if (a->floor)
        return true;
    if (a->by_reference && !time_passes(b, message_sample, "touch", &values[M_MESSAGE], ret_answer))
        return false;
    if (!time_passes(b, touch_id_sample, "touch by id", &values[M_TOUCH_ID], ret_answer) ||
        !time_passes(b, lookup_sample, "lookup", &values[M_LOOKUP], ret_answer))
        return false;
    size_t at = b->round * 2 * some * 7 % room, next = (b->round * 2 + 1) * some * 7 % room;
    return a->reads_clock || measure_ends(b, some, at, next, ret_answer);
}
