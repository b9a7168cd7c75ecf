/* identity.h: who sessions run as and what they inherit of the environment. */
#ifndef CURFEW_SERVER_IDENTITY_H
#define CURFEW_SERVER_IDENTITY_H

#include "base/error.h"
#include "base/settings.h"

#include <sys/types.h>

struct cf_identity {
    uid_t uid;
    gid_t gid;
    char **env;             /* NULL-terminated, owned; without the locale's variables */
    char *locale;           /* bash text that exports those, owned; may be empty */
    char **locale_env;      /* the same as `env` has the others, for what is no bash; owned */
};

/* Reads settings->user (only root may set one) and picks the variables that env_pass names out of `environ`; HOME, USER, LOGNAME and
 * SHELL are those of the user when there is one. */
int cf_identity_make(const struct cf_settings *settings, char *const *environment, struct cf_identity *ret, struct cf_error *error);
void cf_identity_free(struct cf_identity *identity);

#endif
