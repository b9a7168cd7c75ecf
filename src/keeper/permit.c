#include "keeper/permit.h"

#include <string.h>

static const struct cf_permit rows[] = {
#define ROW(name, number, type, min, max, connection, session) \
    { #name, number, sizeof(struct type), min, max, connection, session },
    CF_WIRE_REQUESTS(ROW)
#undef ROW
};

/* The structs go over the wire as they are: none may grow a hole that is not named. */
_Static_assert(sizeof(struct cf_wire_hello) == 8, "cf_wire_hello");
_Static_assert(sizeof(struct cf_wire_spawn) == 80 && CF_WIRE_FDS_MAX == 8, "cf_wire_spawn");
_Static_assert(sizeof(struct cf_wire_renew) == 24, "cf_wire_renew");
_Static_assert(sizeof(struct cf_wire_signal) == 32, "cf_wire_signal");
_Static_assert(sizeof(struct cf_wire_end) == 24, "cf_wire_end");
_Static_assert(sizeof(struct cf_wire_bye) == 16, "cf_wire_bye");
_Static_assert(sizeof(struct cf_wire_hold) == 80 && CF_WIRE_FDS_MAX == 8, "cf_wire_hold");
_Static_assert(sizeof(struct cf_wire_drop) == 24, "cf_wire_drop");
_Static_assert(sizeof(struct cf_wire_forget) == 16, "cf_wire_forget");
_Static_assert(sizeof(struct cf_wire_serving) == 8, "cf_wire_serving");
_Static_assert(sizeof(struct cf_wire_upgrade) == 8, "cf_wire_upgrade");
_Static_assert(sizeof(struct cf_wire_handover) == 8, "cf_wire_handover");
_Static_assert(sizeof(struct cf_wire_leave) == 16, "cf_wire_leave");
_Static_assert(sizeof(struct cf_wire_welcome) == 40, "cf_wire_welcome");
_Static_assert(sizeof(struct cf_wire_held) == 24, "cf_wire_held");
_Static_assert(sizeof(struct cf_wire_kept) == 80, "cf_wire_kept");
_Static_assert(sizeof(struct cf_wire_spawned) == 24, "cf_wire_spawned");
_Static_assert(sizeof(struct cf_wire_left) == 16, "cf_wire_left");
_Static_assert(sizeof(struct cf_wire_ended) == 64, "cf_wire_ended");

const struct cf_permit *cf_permit_check(const void *data, size_t len, size_t nfds, uint32_t connection_state,
                                        const char **ret_why)
{
    uint32_t type;

    if (len < sizeof type) {
        *ret_why = "too short for a type";
        return NULL;
    }
    memcpy(&type, data, sizeof type);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].type != type)
            continue;
        *ret_why = len != rows[i].size ? "wrong size"
            : nfds < rows[i].fds_min || nfds > rows[i].fds_max ? "wrong number of descriptors"
            : (rows[i].connection_states & connection_state) == 0 ? "not legal in this state" : NULL;
        return *ret_why == NULL ? &rows[i] : NULL;
    }
    *ret_why = "unknown type";
    return NULL;
}
