/* Creating all sessions: at once, for what each costs and takes; and call by call, for the longest. */
#include "bench/sample.h"
#include "bench/table/worker.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define PART 4096                       /* creations between two looks at the references */
#define CHECK 32                        /* single creations between two readings of the thread's CPU time */

static size_t given_out(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static size_t own_bytes(const struct bench *b)
{
    return b->adapter->bytes != NULL ? b->adapter->bytes(b->store) : given_out();
}

static size_t resident(const struct bench *b)
{
    return worker_resident_bytes(b->adapter->process != NULL ? b->adapter->process(b->store) : 0);
}

/* Creates all; how many worked.  References go to where the shuffled order has the id. */
static size_t create_all(struct bench *b, uint32_t *place, uint64_t *ret_ns)
{
    const struct names *names = b->names;
    uint64_t refs[PART];
    size_t done = 0;
    *ret_ns = 0;
    for (size_t at = 0; at < names->count; at += PART) {
        size_t here = names->count - at < PART ? names->count - at : PART;
        int64_t start = worker_clock_ns(b->adapter);
        done += b->adapter->create(b->store, names->ids + at, here, b->now_ns, refs);
        *ret_ns += (uint64_t)(worker_clock_ns(b->adapter) - start);
        for (size_t i = 0; i < here; i++)
            b->refs[place[at + i]] = refs[i];
    }
    return done;
}

bool worker_create(struct bench *b, struct answer *ret_answer)
{
    size_t count = b->names->count;
    double *values = ret_answer->values;
    uint64_t ns;
    uint32_t *place = malloc(count * sizeof place[0]);
    if (place == NULL)
        return worker_fail(ret_answer, "no memory");
    for (size_t i = 0; i < count; i++)
        place[b->names->order[i]] = (uint32_t)i;
    size_t malloced = given_out(), resident_before = worker_resident_bytes(0);
    b->store = b->adapter->open(b->folder, count, b->now_ns);
    if (b->store == NULL)
        return worker_fail(ret_answer, "could not be opened");
    /* An empty table of curfew's is part of what it takes; an empty server is not part of a table. */
    size_t bytes_before = b->adapter->bytes == NULL ? malloced : b->adapter->external ? own_bytes(b) : 0;
    if (b->adapter->process != NULL)
        resident_before = resident(b);
    size_t done = create_all(b, place, &ns);
    if (done != count)
        return worker_fail(ret_answer, "created %zu of %zu", done, count);
    double each = 1.0 / (double)count;
    if (!b->adapter->floor) {
        values[M_CREATE] = (double)ns * each;
        values[M_BYTES] = (double)(own_bytes(b) - bytes_before) * each;
        values[M_BYTES_BARE] = values[M_BYTES] - b->names->mean_bytes;
        values[M_RESIDENT] = (double)(resident(b) - resident_before) * each;
    }
    free(place);
    /* A second one with the same id must be refused, or what was measured is another function. */
    uint64_t again[1];
    if (b->adapter->lookup != NULL && !b->adapter->external &&
        b->adapter->create(b->store, b->names->ids + count / 2, 1, b->now_ns, again) != 0)
        return worker_fail(ret_answer, "the same id was created twice");
    return true;
}

/* Reading a thread's CPU time costs ten times what a call does, so that is done for every CHECK calls, and after a
 * call that the wall clock calls long: what the thread has used since the last reading is then the call's, and at most
 * CHECK short ones'. */
bool worker_grow(struct bench *b, struct answer *ret_answer)
{
    size_t count = b->names->count;
    double *values = ret_answer->values;
    uint32_t *took = malloc(count * sizeof took[0]);
    int64_t longest = 0;
    b->store = b->adapter->open(b->folder, count, b->now_ns);
    if (took == NULL || b->store == NULL)
        return worker_fail(ret_answer, "could not be opened");
    memset(took, 1, count * sizeof took[0]);
    int64_t checked = worker_clock_ns(b->adapter), start = sample_now_ns();
    for (size_t i = 0; i < count; i++) {
        if (b->adapter->create(b->store, b->names->ids + i, 1, b->now_ns, &b->refs[i]) != 1)
            return worker_fail(ret_answer, "create number %zu failed", i);
        int64_t end = sample_now_ns();
        took[i] = (uint32_t)(end - start);
        if (end - start > longest || i % CHECK == 0) {
            int64_t now = worker_clock_ns(b->adapter);
            if (end - start > longest && now - checked > longest)
                longest = now - checked < end - start ? now - checked : end - start;
            checked = worker_clock_ns(b->adapter);
            end = sample_now_ns();
        }
        start = end;
    }
    worker_sort(took, count);
    values[M_GROW_P99] = took[(count - 1) * 99 / 100] / 1e3;
    values[M_GROW_LONGEST] = (double)longest / 1e3;
    values[M_GROW_WALL] = took[count - 1] / 1e3;
    free(took);
    return true;
}
