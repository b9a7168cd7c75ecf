/* options.c: what a table is made with. */
#include "lib/lib.h"

#include <stdio.h>
#include <string.h>

#define FIRST_SIZE sizeof(struct curfew_options)        /* of the first version that there was */
#define INTERVAL_MIN_NS CF_NS_PER_MS

static const struct curfew_kind standard_kind = { "session", { 3600 * CURFEW_S_NS, 86400 * CURFEW_S_NS } };

static struct curfew_options standard(void)
{
    return (struct curfew_options){
        .size = sizeof(struct curfew_options),
        .kinds = &standard_kind,
        .kind_count = 1,
        .limits = { 1000, 1000, UINT32_MAX },
        .emergency = { 300 * CURFEW_S_NS, 3600 * CURFEW_S_NS },
        .sweep_interval_ns = 60 * CURFEW_S_NS,
        .cleanup_on_shutdown = true,
    };
}

void curfew_options_init(struct curfew_options *options, size_t size)
{
    struct curfew_options ours = standard();
    ours.size = size;
    memset(options, 0, size);
    memcpy(options, &ours, size < sizeof ours ? size : sizeof ours);
}

int cf_options_check_policy(const struct curfew_policy *policy, const char *name, struct curfew_error *error)
{
    char field[64];

    if (policy->idle_ns >= 0 && policy->age_ns >= 0)
        return 0;
    (void)snprintf(field, sizeof field, "%s.%s", name, policy->idle_ns < 0 ? "idle_ns" : "age_ns");
    return cf_error_set(cf_lib_error(error), CF_E_INVALID, field, "%s must not be negative", field);
}

/* A caller who was built with a later header may have more members, as long as it does not use them. */
static int copy(const struct curfew_options *given, struct curfew_options *ours, struct curfew_error *error)
{
    if (given->size < FIRST_SIZE)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "size",
                            "size must be sizeof(struct curfew_options), %zu", sizeof *ours);
    const unsigned char *bytes = (const unsigned char *)given;
    for (size_t i = sizeof *ours; i < given->size; i++)
        if (bytes[i] != 0)
            return cf_error_set(cf_lib_error(error), CF_E_INVALID, "size",
                                "the options hold a member that this version of the library does not know");
    memcpy(ours, given, given->size < sizeof *ours ? given->size : sizeof *ours);
    return 0;
}

static int check_kind(const struct curfew_kind *kind, size_t at, struct curfew_error *error)
{
    char field[48];
    size_t len = kind->name != NULL ? strnlen(kind->name, CF_LIB_KIND_NAME_SIZE) : 0;

    if (len == 0 || len == CF_LIB_KIND_NAME_SIZE) {
        (void)snprintf(field, sizeof field, "kinds[%zu].name", at);
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, field, "%s must have 1 to %d bytes", field,
                            CF_LIB_KIND_NAME_SIZE - 1);
    }
    (void)snprintf(field, sizeof field, "kinds[%zu].policy", at);
    return cf_options_check_policy(&kind->policy, field, error);
}

static int check_kinds(const struct curfew_options *ours, struct curfew_error *error)
{
    if (ours->kinds == NULL)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "kinds", "kinds must be given when kind_count is %zu",
                            ours->kind_count);
    if (ours->kind_count == 0 || ours->kind_count > CURFEW_KINDS_MAX)
        return cf_error_set(cf_lib_error(error), CF_E_INVALID, "kind_count", "kind_count must be 1 to %d",
                            CURFEW_KINDS_MAX);
    for (size_t i = 0; i < ours->kind_count; i++) {
        int rc = check_kind(&ours->kinds[i], i, error);
        if (rc != 0)
            return rc;
    }
    return 0;
}

static int check_callbacks(const struct curfew_callbacks *callbacks, struct curfew_error *error)
{
    for (size_t i = 0; i < sizeof callbacks->reserved / sizeof *callbacks->reserved; i++)
        if (callbacks->reserved[i] != NULL)
            return cf_error_set(cf_lib_error(error), CF_E_INVALID, "callbacks.reserved",
                                "callbacks.reserved must be NULL");
    return 0;
}

int cf_options_read(const struct curfew_options *given, struct curfew_options *ret_options, struct curfew_error *error)
{
    struct curfew_options ours = standard();
    int rc = given != NULL ? copy(given, &ours, error) : 0;
    if (rc == 0 && ours.kinds == NULL && ours.kind_count == 0) {
        ours.kinds = &standard_kind;
        ours.kind_count = 1;
    }
    if (rc == 0)
        rc = check_kinds(&ours, error);
    if (rc == 0)
        rc = check_callbacks(&ours.callbacks, error);
    if (rc == 0)
        rc = cf_options_check_policy(&ours.emergency, "emergency", error);
    if (rc == 0 && ours.sweep_interval_ns < INTERVAL_MIN_NS)
        rc = cf_error_set(cf_lib_error(error), CF_E_INVALID, "sweep_interval_ns",
                          "sweep_interval_ns must be at least %lld (1 ms)", INTERVAL_MIN_NS);
    if (rc == 0 && ours.allocator.take != NULL && ours.allocator.give == NULL)
        rc = cf_error_set(cf_lib_error(error), CF_E_INVALID, "allocator.give", "an allocator needs take and give");
    if (rc == 0)
        *ret_options = ours;
    return rc;
}
