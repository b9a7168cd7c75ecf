/* lib_fixture.h: what the tests of libcurfew share: a table on a clock that the test moves, callbacks that note what
 * they were told and do what the test wants, and an allocator that counts and can fail. */
#ifndef CURFEW_TEST_LIB_FIXTURE_H
#define CURFEW_TEST_LIB_FIXTURE_H

#include "curfew.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define S CURFEW_S_NS
#define T0 (1000000 * S)                /* when each test begins */
#define IDLE (3600 * S)
#define AGE (86400 * S)
#define NOTES_MAX 16384
#define BOUND_NS (30 * S)               /* for what must come; a busy machine needs a fraction of it */

struct note {                           /* one call of before_end or after_end */
    bool after;
    struct curfew_info info;
};

struct world {
    struct curfew_table *table;
    _Atomic int64_t now_ns;
    struct note notes[NOTES_MAX];
    size_t note_count;
    int before_answer, after_answer;
    /* What the test does inside a callback; NULL: nothing. */
    void (*in_before)(struct world *w, const struct curfew_info *info);
    void (*in_after)(struct world *w, const struct curfew_info *info);
    char log[8192];                     /* "level text\n" for each line */
    size_t log_bytes;
    void *any;                          /* the test's own */
    curfew_session other;
};

static inline int64_t world_clock(void *context)
{
    struct world *w = context;
    return w->now_ns;
}

static inline void world_note(struct world *w, bool after, const struct curfew_info *info)
{
    assert_true(w->note_count < NOTES_MAX);
    w->notes[w->note_count++] = (struct note){ after, *info };
}

static inline int world_before(void *context, const struct curfew_info *info)
{
    struct world *w = context;
    world_note(w, false, info);
    if (w->in_before != NULL)
        w->in_before(w, info);
    return w->before_answer;
}

static inline int world_after(void *context, const struct curfew_info *info)
{
    struct world *w = context;
    world_note(w, true, info);
    if (w->in_after != NULL)
        w->in_after(w, info);
    return w->after_answer;
}

static inline void world_log(void *context, int level, const char *text)
{
    struct world *w = context;
    assert_null(strchr(text, '\n'));
    int bytes = snprintf(w->log + w->log_bytes, sizeof w->log - w->log_bytes, "%d %s\n", level, text);
    assert_true((size_t)bytes < sizeof w->log - w->log_bytes);
    w->log_bytes += (size_t)bytes;
}

/* Standard options, on the world's clock, with no limits but those that the test sets, and a seed of its own. */
static inline struct curfew_options world_options(struct world *w)
{
    struct curfew_options options;
    curfew_options_init(&options, sizeof options);
    options.clock = world_clock;
    options.clock_context = w;
    options.limits = (struct curfew_limits){ UINT32_MAX, UINT32_MAX, UINT32_MAX };
    options.seed = 7;
    return options;
}

static inline void world_make(struct world *w, const struct curfew_options *options)
{
    struct curfew_error error;
    if (curfew_table_new(options, &w->table, &error) != 0)
        fail_msg("%s: %s", error.field, error.text);
}

static inline struct world *world_new(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->now_ns = T0;
    return w;
}

/* Without callbacks. */
static inline int begin(void **state)
{
    struct world *w = world_new();
    struct curfew_options options = world_options(w);
    world_make(w, &options);
    *state = w;
    return 0;
}

static inline int begin_told(void **state)
{
    struct world *w = world_new();
    struct curfew_options options = world_options(w);
    options.callbacks = (struct curfew_callbacks){ world_before, world_after, NULL, w };
    world_make(w, &options);
    *state = w;
    return 0;
}

static inline int begin_logged(void **state)
{
    struct world *w = world_new();
    struct curfew_options options = world_options(w);
    options.callbacks = (struct curfew_callbacks){ .log = world_log, .context = w };
    world_make(w, &options);
    *state = w;
    return 0;
}

static inline int finish(void **state)
{
    struct world *w = *state;
    w->in_before = w->in_after = NULL;
    w->note_count = 0;
    curfew_table_free(&w->table);
    free(w);
    return 0;
}

static inline void advance(struct world *w, int64_t by_ns)
{
    w->now_ns += by_ns;
}

static inline curfew_session create_with(struct world *w, const struct curfew_new *want)
{
    curfew_session session = 0;
    struct curfew_error error;
    if (curfew_session_create(w->table, want, &session, &error) != 0)
        fail_msg("%s: %s", error.field, error.text);
    assert_true(session != 0);
    return session;
}

static inline curfew_session create(struct world *w, const char *id)
{
    const struct curfew_new want = { .id = id };
    return create_with(w, &want);
}

static inline int create_fails(struct world *w, const char *id, struct curfew_error *error)
{
    const struct curfew_new want = { .id = id };
    curfew_session session = 77;
    int rc = curfew_session_create(w->table, &want, &session, error);
    assert_true(session == 77 || rc == 0);
    return rc;
}

static inline struct curfew_info get(struct world *w, curfew_session session)
{
    struct curfew_info info;
    assert_int_equal(curfew_session_get(w->table, session, &info, sizeof info), 0);
    return info;
}

static inline bool is_here(struct world *w, curfew_session session)
{
    struct curfew_info info;
    int rc = curfew_session_get(w->table, session, &info, sizeof info);
    assert_true(rc == 0 || rc == CURFEW_E_GONE);
    return rc == 0;
}

static inline size_t sweep(struct world *w)
{
    size_t ended = 999;
    assert_int_equal(curfew_sweep(w->table, &ended), 0);
    return ended;
}

/* Sums hold in every snapshot. */
static inline struct curfew_counts counts(struct world *w)
{
    struct curfew_counts now;
    uint64_t ended = 0;
    curfew_counts_get(w->table, &now, sizeof now);
    assert_true(now.sessions_created == now.sessions_cleaned + now.sessions_active - now.sessions_starting);
    for (int reason = 0; reason < CURFEW_REASONS; reason++)
        ended += now.ended[reason];
    assert_true(ended == now.sessions_cleaned);
    return now;
}

/* ── real time ── */

static inline int64_t real_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * S + now.tv_nsec;
}

/* Looks every millisecond until it is so. */
#define AWAIT(condition) do { \
        int64_t begun_ns = real_now(); \
        while (!(condition)) { \
            if (real_now() - begun_ns > BOUND_NS) \
                fail_msg("waited in vain for: %s", #condition); \
            nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL); \
        } \
    } while (0)

/* When a wait that is given a moment of CLOCK_REALTIME must end. */
static inline struct timespec bound(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (struct timespec){ .tv_sec = now.tv_sec + BOUND_NS / S, .tv_nsec = now.tv_nsec };
}

/* ── memory ── */

struct meter {
    _Atomic long taken;                 /* calls of take so far */
    _Atomic long fail_at;               /* which of them fails; 0: none */
    _Atomic bool fail_on;               /* and all that follow */
    _Atomic long outstanding;
    _Atomic size_t bytes;
};

union meter_head {
    size_t bytes;
    max_align_t aligned;
};

static inline void *meter_take(void *context, size_t bytes)
{
    struct meter *meter = context;
    long number = ++meter->taken;
    if (meter->fail_at != 0 && (number == meter->fail_at || (meter->fail_on && number > meter->fail_at)))
        return NULL;
    union meter_head *head = malloc(sizeof *head + bytes);
    if (head == NULL)
        return NULL;
    memset(head, 0xa5, sizeof *head + bytes);   /* nobody may rely on zeros */
    head->bytes = bytes;
    meter->outstanding++;
    meter->bytes += bytes;
    return head + 1;
}

static inline void meter_give(void *context, void *memory)
{
    struct meter *meter = context;
    if (memory == NULL)
        return;
    union meter_head *head = (union meter_head *)memory - 1;
    meter->outstanding--;
    meter->bytes -= head->bytes;
    free(head);
}

#endif
