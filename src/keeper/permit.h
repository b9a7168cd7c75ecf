/* permit.h: which packets of the server are legal, and when. */
#ifndef CURFEW_KEEPER_PERMIT_H
#define CURFEW_KEEPER_PERMIT_H

#include "keeper/wire.h"

#include <stddef.h>

struct cf_permit {
    const char *name;
    uint32_t type;
    size_t size;
    size_t fds_min, fds_max;
    uint32_t connection_states;         /* CF_WIRE_C_* */
    uint32_t session_states;            /* CF_WIRE_S_*; 0: names no session */
};

/* Any request, large and aligned enough for each. */
union cf_request {
    uint32_t type;
#define ROW(name, number, type, ...) struct type name;
    CF_WIRE_REQUESTS(ROW)
#undef ROW
};

/* The row of a packet that may come now, or NULL and in *ret_why what is wrong with it. */
const struct cf_permit *cf_permit_check(const void *data, size_t len, size_t nfds, uint32_t connection_state,
                                        const char **ret_why);

#endif
