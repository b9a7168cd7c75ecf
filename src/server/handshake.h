/* handshake.h: the opening handshake of a WebSocket (RFC 6455, 4.2). */
#ifndef CURFEW_SERVER_HANDSHAKE_H
#define CURFEW_SERVER_HANDSHAKE_H

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>

#define CF_HANDSHAKE_ACCEPT_BYTES 29    /* the answer to a key, with its NUL */

/* What the request's headers say; NULL: not there. */
struct cf_handshake {
    const char *upgrade, *version, *key;
    unsigned upgrades, versions, keys;  /* how many of each there are */
    bool connection;                    /* a Connection header names upgrade */
};

/* Notes one header. */
void cf_handshake_note(struct cf_handshake *h, const char *name, size_t name_len, const char *value);
/* 0 with the Sec-WebSocket-Accept, or CF_E_MALFORMED with the header as its field. */
int cf_handshake_check(const struct cf_handshake *h, char ret_accept[CF_HANDSHAKE_ACCEPT_BYTES],
                       struct cf_error *error) __attribute__((warn_unused_result));
/* It is fine but for its version, for which HTTP has a status of its own. */
bool cf_handshake_is_other_version(const struct cf_handshake *h);

#endif
