/* core_fixture.h: what the tests of the session table share: a table of the standard settings and a clock at T0. */
#ifndef CURFEW_TEST_CORE_FIXTURE_H
#define CURFEW_TEST_CORE_FIXTURE_H

#include "core/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S CF_NS_PER_S
#define T0 (1000 * S)                   /* when each test begins */
#define IDLE (3600 * S)
#define AGE (86400 * S)

static const struct cf_limits standard_limits = { 1000, UINT32_MAX, 5, { 300 * S, 3600 * S } };
static const struct cf_policy standard_policies[CF_KINDS] = { { IDLE, AGE }, { IDLE, AGE }, { IDLE, AGE } };

static inline struct cf_core *new_core(const struct cf_limits *limits, bool shared,
                                       const struct cf_core_allocator *allocator)
{
    struct cf_core_options options = {
        .limits = *limits, .policies = standard_policies, .kinds = CF_KINDS, .seed = 1, .shared = shared,
        .allocator = allocator,
    };
    return cf_core_new(&options);
}

static inline int begin(void **state)
{
    *state = new_core(&standard_limits, false, NULL);
    return *state ? 0 : -1;
}

static inline int begin_shared(void **state)
{
    *state = new_core(&standard_limits, true, NULL);
    return *state ? 0 : -1;
}

static inline int finish(void **state)
{
    struct cf_core *core = *state;
    cf_core_free(&core);
    return core ? -1 : 0;
}

static inline cf_handle admit_with(struct cf_core *core, const char *id, const char *workspace, int64_t idle_ns,
                            int64_t age_ns, int64_t now_ns)
{
    struct cf_admission want = { id, workspace, CF_KIND_BASH, idle_ns, age_ns, NULL };
    struct cf_error error;
    cf_handle handle = 0;
    assert_int_equal(cf_core_admit(core, &want, now_ns, &handle, &error), 0);
    assert_true(handle != 0);
    return handle;
}

static inline cf_handle start(struct cf_core *core, const char *id, int64_t now_ns)
{
    cf_handle handle = admit_with(core, id, id, 0, 0, now_ns);
    cf_core_started(core, handle, now_ns);
    return handle;
}

static inline int refusal(struct cf_core *core, const char *id, const char *workspace, struct cf_error *error)
{
    struct cf_admission want = { id, workspace, CF_KIND_BASH, 0, 0, NULL };
    cf_handle handle = 77;
    int rc = cf_core_admit(core, &want, T0, &handle, error);
    assert_int_not_equal(rc, 0);
    assert_true(handle == 77);
    return rc;
}

static inline struct cf_session get(const struct cf_core *core, cf_handle handle, int64_t now_ns)
{
    struct cf_session session;
    assert_true(cf_core_get(core, handle, now_ns, &session));
    return session;
}

static inline void expect_nobody(struct cf_core *core, int64_t now_ns)
{
    struct cf_due due[4];
    assert_int_equal(cf_core_due(core, now_ns, due, 4), 0);
}

static inline struct cf_due expect_one(struct cf_core *core, int64_t now_ns, cf_handle handle,
                                       enum cf_reason reason)
{
    struct cf_due due[4];
    assert_int_equal(cf_core_due(core, now_ns, due, 4), 1);
    assert_true(due[0].handle == handle);
    assert_string_equal(cf_reason_name(due[0].reason), cf_reason_name(reason));
    return due[0];
}

#define TEST_SHARED(title, function) \
    { .name = title, .test_func = function, .setup_func = begin_shared, .teardown_func = finish }
#define TEST(title, function) { .name = title, .test_func = function, .setup_func = begin, .teardown_func = finish }

#endif
