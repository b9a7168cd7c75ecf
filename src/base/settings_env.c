/* settings_env.c: the environment. */
#include "base/settings.h"
#include "base/settings_row.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define PREFIX "CURFEW_"
#define NAME_BYTES 80

/* Variables with the prefix that are no settings: which file, and the command line's own. */
static const char other_variables[] = "CURFEW_CONFIG CURFEW_URL CURFEW_TOKEN";

const char *cf_settings_env_get(char *const *env, const char *name)
{
    size_t len = strlen(name);

    for (; *env != NULL; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return (*env)[len + 1] != '\0' ? *env + len + 1 : NULL;
    return NULL;
}

/* "session_timeout" to "CURFEW_SESSION_TIMEOUT". */
static const char *variable(const char *name, char *buf, size_t size)
{
    size_t len = (size_t)snprintf(buf, size, PREFIX "%s", name);

    for (size_t i = sizeof PREFIX - 1; i < len && i < size; i++)
        buf[i] = (char)toupper((unsigned char)buf[i]);
    return buf;
}

static void read_row(struct cf_settings *s, const struct cf_setting *row, char *const *env, struct cf_complaints *c)
{
    char name[NAME_BYTES], label[NAME_BYTES + 16];
    const char *value = cf_settings_env_get(env, variable(row->name, name, sizeof name));
    const char *more = row->environment;
    struct cf_error error;

    while (value == NULL && *more != '\0') {
        size_t len = strcspn(more, " ");
        (void)snprintf(name, sizeof name, "%.*s", (int)len, more);
        value = cf_settings_env_get(env, name);
        more += len;
        more += strspn(more, " ");
    }
    if (value == NULL)
        return;
    (void)snprintf(label, sizeof label, "environment: %s", name);
    /* A variable that several rows read is told once. */
    if (cf_setting_parse(s, row, label, value, strlen(value), &error) < 0 && strstr(cf_complaints_text(c), error.text) == NULL)
        cf_complaints_add(c, "%s", error.text);
}

static bool is_known(const char *name, size_t len)
{
    const struct cf_setting *row;
    char known[NAME_BYTES];

    if (cf_words_have(other_variables, name, len))
        return true;
    for (size_t i = 0; (row = cf_setting_row(i)) != NULL; i++)
        if (cf_words_have(variable(row->name, known, sizeof known), name, len))
            return true;
    return false;
}

/* A typo in a name would be silent otherwise. */
static void check_name(const char *entry, struct cf_complaints *c)
{
    size_t len = strcspn(entry, "=");
    char near[NAME_BYTES];

    if (strncmp(entry, PREFIX, sizeof PREFIX - 1) != 0 || entry[len] == '\0' || entry[len + 1] == '\0')
        return;
    if (is_known(entry, len))
        return;
    const struct cf_setting *row = cf_setting_nearest(entry + sizeof PREFIX - 1, len - (sizeof PREFIX - 1));
    cf_complaints_add(c, "environment: %.*s: there is no such setting%s%s%s", (int)(len < 128 ? len : 128), entry,
                      row != NULL ? "; did you mean " : "", row != NULL ? variable(row->name, near, sizeof near) : "",
                      row != NULL ? "?" : "");
}

void cf_settings_read_env(struct cf_settings *s, char *const *env, struct cf_complaints *c)
{
    const struct cf_setting *row;

    for (size_t i = 0; (row = cf_setting_row(i)) != NULL; i++)
        read_row(s, row, env, c);
    for (char *const *entry = env; *entry != NULL; entry++)
        check_name(*entry, c);
}
