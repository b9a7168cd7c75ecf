/* where.h: which server, and with which token. */
#ifndef CURFEW_CLI_WHERE_H
#define CURFEW_CLI_WHERE_H

#include "base/error.h"
#include "base/settings.h"

/* What the flags said about the server; NULL where they said nothing.  Borrowed. */
struct cf_where_flags {
    const char *socket, *url, *token_file;
};

struct cf_where {
    char socket[sizeof ((struct cf_settings *)0)->socket];      /* "": TCP */
    char base[1024];                    /* what paths are appended to */
    char name[1100];                    /* "unix:/run/curfew/curfew.sock" or the URL */
    char token[4200];                   /* the Authorization header's line, or "" */
};

/* Flags, then CURFEW_URL, then the socket of the settings (file and environment), and the token.  0, or an error when a
 * token file cannot be read or the address is of no known form.  Nothing is connected. */
int cf_where_find(struct cf_where *where, const struct cf_where_flags *flags, struct cf_error *error);

#endif
