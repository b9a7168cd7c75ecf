/* table.c: a table's making and end, its limits and rules, and what becomes of memory that somebody may still read. */
#include "lib/forks.h"
#include "lib/lib.h"
#include "lib/readers.h"

#include <string.h>
#include <sys/random.h>
#include <time.h>

/* A grace period costs some microseconds, so freed rows are gathered first: an eighth of the table, which bounds what
 * they waste, but enough to be worth it, and no more than that. */
#define LIMBO_MIN 64
#define LIMBO_MAX 4096
#define LIMBO_SHARE 8

static int64_t standard_clock(void *context)
{
    struct timespec now = { 0 };

    (void)context;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);  /* fails only for a clock that does not exist */
    return (int64_t)now.tv_sec * CF_NS_PER_S + now.tv_nsec;
}

static uint64_t random_seed(const void *salt)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        struct cf_now now = cf_clock_now();     /* a machine that has just started has no better */
        seed = (uint64_t)now.mono_ns * 0x9e3779b97f4a7c15u ^ (uint64_t)now.wall_ns ^ (uint64_t)(uintptr_t)salt;
    }
    return seed;
}

struct cf_policy cf_table_policy(const struct curfew_policy *policy)
{
    return (struct cf_policy){ .idle_ns = policy->idle_ns, .age_ns = policy->age_ns };
}

static struct cf_core *make_core(const struct curfew_table *table, const struct curfew_options *options)
{
    struct cf_policy policies[CURFEW_KINDS_MAX];
    for (size_t i = 0; i < options->kind_count; i++)
        policies[i] = cf_table_policy(&options->kinds[i].policy);
    struct cf_core_options want = {
        .limits = {
            .max_sessions = options->limits.max_sessions,
            .max_active = options->limits.max_active,
            .max_per_workspace = options->limits.max_per_workspace,
            .emergency = cf_table_policy(&options->emergency),
        },
        .policies = policies,
        .kinds = (unsigned)options->kind_count,
        .seed = options->seed != 0 ? options->seed : random_seed(table),
        .shared = true,
        .allocator = &table->allocator,
    };
    return cf_core_new(&want);
}

static void fill(struct curfew_table *table, const struct curfew_options *options)
{
    table->clock = options->clock != NULL ? options->clock : standard_clock;
    table->clock_context = options->clock_context;
    table->callbacks = options->callbacks;
    table->kinds = (unsigned)options->kind_count;
    for (size_t i = 0; i < options->kind_count; i++)
        memcpy(table->kind_names[i], options->kinds[i].name, strlen(options->kinds[i].name));
    table->cleanup_on_shutdown = options->cleanup_on_shutdown;
    table->own_bytes = sizeof *table;
}

int curfew_table_new(const struct curfew_options *options, struct curfew_table **ret_table, struct curfew_error *error)
{
    struct curfew_options ours;
    struct cf_core_allocator allocator = cf_core_allocator_standard();
    int rc = cf_options_read(options, &ours, error);
    if (rc != 0)
        return rc;
    if (ours.allocator.take != NULL)
        allocator = (struct cf_core_allocator){ ours.allocator.take, ours.allocator.give, ours.allocator.context };

    struct curfew_table *table = allocator.take(allocator.context, sizeof *table);
    if (table != NULL) {
        memset(table, 0, sizeof *table);
        table->allocator = allocator;
        table->core = make_core(table, &ours);
    }
    if (table == NULL || table->core == NULL) {
        if (table != NULL)
            allocator.give(allocator.context, table);
        return cf_error_set(cf_lib_error(error), CF_E_NO_MEMORY, NULL, "no memory for a table");
    }
    fill(table, &ours);
    cf_lock_init(&table->lock);
    cf_sweeper_init(&table->sweeper, ours.sweep_interval_ns);
    cf_forks_add(table);
    *ret_table = table;
    return 0;
}

void curfew_table_free(struct curfew_table **table)
{
    struct curfew_table *old = table != NULL ? *table : NULL;
    if (old == NULL)
        return;
    (void)curfew_shutdown(old, NULL);
    *table = NULL;
    cf_forks_remove(old);
    cf_sweeper_destroy(&old->sweeper);
    cf_lock_destroy(&old->lock);
    cf_core_free(&old->core);
    struct cf_core_allocator allocator = old->allocator;
    allocator.give(allocator.context, old);
}

int64_t curfew_now(struct curfew_table *table)
{
    return cf_lib_now(table);
}

int curfew_limits_set(struct curfew_table *table, const struct curfew_limits *limits, struct curfew_error *error)
{
    if (limits == NULL)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "limits", "limits must be given");
    cf_lock_take(&table->lock);
    struct cf_limits next = *cf_core_limits(table->core);
    next.max_sessions = limits->max_sessions;
    next.max_active = limits->max_active;
    next.max_per_workspace = limits->max_per_workspace;
    cf_core_limits_set(table->core, &next);
    cf_lock_give(&table->lock);
    return 0;
}

int curfew_emergency_set(struct curfew_table *table, const struct curfew_policy *emergency, struct curfew_error *error)
{
    if (emergency == NULL)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "emergency", "emergency must be given");
    int rc = cf_options_check_policy(emergency, "emergency", error);
    if (rc != 0)
        return rc;
    cf_lock_take(&table->lock);
    struct cf_limits next = *cf_core_limits(table->core);
    next.emergency = cf_table_policy(emergency);
    cf_core_limits_set(table->core, &next);
    cf_lock_give(&table->lock);
    return 0;
}

int curfew_policy_set(struct curfew_table *table, unsigned kind, const struct curfew_policy *policy,
                      struct curfew_error *error)
{
    if (kind >= table->kinds)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "kind", "kind must be below %u", table->kinds);
    if (policy == NULL)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "policy", "policy must be given");
    int rc = cf_options_check_policy(policy, "policy", error);
    if (rc != 0)
        return rc;
    struct cf_policy next = cf_table_policy(policy);
    cf_lock_take(&table->lock);
    cf_core_policy_set(table->core, kind, &next);
    cf_lock_give(&table->lock);
    return 0;
}

int curfew_policy_get(struct curfew_table *table, unsigned kind, struct curfew_policy *ret_policy)
{
    if (kind >= table->kinds)
        return CF_E_INVALID;
    cf_lock_take(&table->lock);
    struct cf_policy now = *cf_core_policy(table->core, kind);
    cf_lock_give(&table->lock);
    *ret_policy = (struct curfew_policy){ .idle_ns = now.idle_ns, .age_ns = now.age_ns };
    return 0;
}

static bool worth_it(const struct curfew_table *table, bool all)
{
    size_t enough = cf_core_count(table->core) / LIMBO_SHARE;
    enough = enough < LIMBO_MIN ? LIMBO_MIN : enough > LIMBO_MAX ? LIMBO_MAX : enough;
    return cf_core_limbo_collected(table->core) >= (all ? 1 : enough);
}

bool cf_table_reclaim(struct curfew_table *table, size_t pieces, bool all)
{
    if (!cf_core_limbo_waiting(table->core)) {
        if (!worth_it(table, all))
            return false;
        cf_core_limbo_close(table->core);
        table->limbo_label = cf_readers_retire();
        table->limbo_passed = false;
    }
    table->limbo_passed = table->limbo_passed || cf_readers_passed(table->limbo_label);
    if (!table->limbo_passed || pieces == 0)
        return false;
    return !cf_core_limbo_free(table->core, pieces) || worth_it(table, all);
}
