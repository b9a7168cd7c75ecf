/* identity.c: the user and the environment of sessions. */
#include "server/identity.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENV_MAX 256

/* Whether the comma-separated `list` names the first `len` bytes of `name`. */
static bool listed(const char *list, const char *name, size_t len)
{
    while (*list != '\0') {
        list += strspn(list, ", ");
        size_t word = strcspn(list, ", ");
        if (word == len && strncmp(list, name, len) == 0)
            return true;
        list += word;
    }
    return false;
}

static int add(struct cf_identity *id, size_t *count, const char *name, const char *value)
{
    char *text;
    if (*count >= ENV_MAX)
        return 0;
    if (asprintf(&text, "%s%s%s", name, value != NULL ? "=" : "", value != NULL ? value : "") < 0)
        return -1;
    id->env[(*count)++] = text;
    return 0;
}

static const struct passwd *look_up(const struct cf_settings *settings, struct cf_error *error)
{
    errno = 0;
    const struct passwd *user = getpwnam(settings->user);
    if (user == NULL)
        cf_error_set(error, CF_E_INVALID, "user", "there is no user %s%s%s", settings->user, errno ? ": " : "",
                     errno ? strerror(errno) : "");
    else if (geteuid() != 0 && user->pw_uid != geteuid()) {
        cf_error_set(error, CF_E_INVALID, "user", "only root can run sessions as another user (%s)", settings->user);
        return NULL;
    }
    return user;
}

static int fill_env(struct cf_identity *id, const struct cf_settings *settings, char *const *environment, const struct passwd *user)
{
    static const char *const own[] = { "HOME", "USER", "LOGNAME", "SHELL" };
    size_t count = 0;
    int failed = 0;
    for (; *environment != NULL; environment++) {
        size_t len = strcspn(*environment, "=");
        bool users = false;
        for (size_t i = 0; i < 4; i++)
            users |= user != NULL && strlen(own[i]) == len && strncmp(own[i], *environment, len) == 0;
        if (listed(settings->env_pass, *environment, len) && !users)
            failed |= add(id, &count, *environment, NULL);
    }
    if (user != NULL) {
        failed |= add(id, &count, "HOME", user->pw_dir);
        failed |= add(id, &count, "USER", user->pw_name);
        failed |= add(id, &count, "LOGNAME", user->pw_name);
        failed |= add(id, &count, "SHELL", settings->shell);
    }
    failed |= add(id, &count, "HISTFILE", "/dev/null");     /* an interactive bash would read the user's own; the driver unsets it */
    return failed;
}

int cf_identity_make(const struct cf_settings *settings, char *const *environment, struct cf_identity *ret, struct cf_error *error)
{
    struct cf_identity id = { .uid = geteuid(), .gid = getegid(), .env = calloc(ENV_MAX + 1, sizeof(char *)) };
    const struct passwd *user = NULL;
    if (id.env == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    if (settings->user[0] != '\0') {
        user = look_up(settings, error);
        if (user == NULL) {
            cf_identity_free(&id);
            return CF_E_INVALID;
        }
        id.uid = user->pw_uid;
        id.gid = user->pw_gid;
    }
    if (fill_env(&id, settings, environment, user) != 0) {
        cf_identity_free(&id);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    *ret = id;
    return 0;
}

void cf_identity_free(struct cf_identity *identity)
{
    for (char **e = identity->env; e != NULL && *e != NULL; e++)
        free(*e);
    free(identity->env);
    identity->env = NULL;
}
