/* auth.h: may this request be served: Host, Origin, token, in that order. */
#ifndef CURFEW_SERVER_AUTH_H
#define CURFEW_SERVER_AUTH_H

#include "base/error.h"
#include "server/peer.h"

#include <stdbool.h>

#define CF_TOKEN_MIN 16                /* bytes of a token that a person wrote into the file */
#define CF_TOKEN_MAX 128

struct cf_auth {
    const char *host;                   /* settings: the address that was listened on; borrowed, as the next two */
    const char *allowed_hosts;          /* comma-separated */
    const char *allowed_origins;
    bool token_required;
    char token[CF_TOKEN_MAX + 1];
};

/* What a request shows of itself; NULL: it has no such header. */
struct cf_auth_request {
    enum cf_peer peer;
    bool unix_socket;                   /* a browser cannot get there, so Host is held to its form only */
    bool open;                          /* needs no token (healthz) */
    const char *host;
    const char *origin;
    const char *authorization;
};

/* Reads the token, or makes the file (mode 0600, 32 random bytes in hex) and the folders above it.  A file that
 * is not regular, belongs to another uid, can be read by group or others, or holds no token is refused. */
int cf_auth_token(const char *path, char ret_token[CF_TOKEN_MAX + 1], struct cf_error *error)
    __attribute__((warn_unused_result));

/* 0, or CF_E_MALFORMED (Host has no valid form), MISDIRECTED, FORBIDDEN (Origin), UNAUTHORIZED. */
int cf_auth_check(const struct cf_auth *auth, const struct cf_auth_request *request, struct cf_error *error)
    __attribute__((warn_unused_result));

#endif
