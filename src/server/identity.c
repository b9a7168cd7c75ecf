/* identity.c: the user and the environment of sessions. */
#include "server/identity.h"

#include "server/driver.h"

#include <errno.h>
#include <pwd.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENV_MAX 256
#define LOCALE_VARIABLES 32
#define LOCALE_MAX 4096                 /* bytes of the text that sets it */

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

static bool is_locale(const char *name, size_t len)
{
    return (len == 4 && strncmp(name, "LANG", 4) == 0) || (len == 8 && strncmp(name, "LANGUAGE", 8) == 0) ||
           (len > 3 && strncmp(name, "LC_", 3) == 0);
}

static void add_locale(struct cf_buf *text, const char *entry, size_t name_len)
{
    cf_buf_puts(text, text->len == 0 ? "\\builtin export " : " ");
    cf_buf_append(text, entry, name_len + 1);
    cf_driver_quote(text, entry + name_len + 1);
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

/* The user that the setting names; without one the caller's own, or NULL where no name belongs to its uid. */
static const struct passwd *look_up(const struct cf_settings *settings, struct cf_error *error)
{
    errno = 0;
    if (settings->user[0] == '\0')
        return getpwuid(geteuid());
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

static bool has(const struct cf_identity *id, size_t count, const char *name)
{
    size_t len = strlen(name);
    for (size_t i = 0; i < count; i++)
        if (strncmp(id->env[i], name, len) == 0 && id->env[i][len] == '=')
            return true;
    return false;
}

/* What env_pass names, and the four variables that say who one is: those of the user that the setting names, else the
 * inherited ones, else the caller's own.  Without them a bash looks the user up at each start. */
static int fill_env(struct cf_identity *id, const struct cf_settings *settings, char *const *environment, const struct passwd *user)
{
    const char *const own[][2] = { { "HOME", user != NULL ? user->pw_dir : "/" }, { "USER", user != NULL ? user->pw_name : NULL },
                                   { "LOGNAME", user != NULL ? user->pw_name : NULL }, { "SHELL", settings->shell } };
    size_t count = 0, locales = 0;
    int failed = 0;
    struct cf_buf locale;
    cf_buf_init(&locale, LOCALE_MAX);
    for (; *environment != NULL; environment++) {
        size_t len = strcspn(*environment, "=");
        bool users = false;
        for (size_t i = 0; i < 4; i++)
            users |= settings->user[0] != '\0' && strlen(own[i][0]) == len && strncmp(own[i][0], *environment, len) == 0;
        if (!listed(settings->env_pass, *environment, len) || users || (*environment)[len] != '=')
            continue;
        if (is_locale(*environment, len)) {
            add_locale(&locale, *environment, len);
            if (locales < LOCALE_VARIABLES && (id->locale_env[locales++] = strdup(*environment)) == NULL)
                failed = -1;
        }
        else
            failed |= add(id, &count, *environment, NULL);
    }
    for (size_t i = 0; i < 4; i++)
        if (own[i][1] != NULL && !has(id, count, own[i][0]))
            failed |= add(id, &count, own[i][0], own[i][1]);
    failed |= add(id, &count, "HISTFILE", "/dev/null");     /* an interactive bash would read the user's own; the driver unsets it */
    id->locale = locale.len > 0 && !locale.failed ? cf_buf_take(&locale, NULL) : strdup("");
    cf_buf_free(&locale);
    return failed | (id->locale == NULL ? -1 : 0);
}

int cf_identity_make(const struct cf_settings *settings, char *const *environment, struct cf_identity *ret, struct cf_error *error)
{
    struct cf_identity id = { .uid = geteuid(), .gid = getegid(), .env = calloc(ENV_MAX + 1, sizeof(char *)),
                              .locale_env = calloc(LOCALE_VARIABLES + 1, sizeof(char *)) };
    if (id.env == NULL || id.locale_env == NULL) {
        cf_identity_free(&id);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    const struct passwd *user = look_up(settings, error);
    if (settings->user[0] != '\0') {
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
    for (char **e = identity->locale_env; e != NULL && *e != NULL; e++)
        free(*e);
    free(identity->env);
    free(identity->locale_env);
    free(identity->locale);
    identity->env = identity->locale_env = NULL;
    identity->locale = NULL;
}
