/* settings_args.c: flags, and the whole reading in order of rank. */
#include "base/agents.h"
#include "base/settings.h"
#include "base/settings_row.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_FILE "/etc/curfew.conf"
#define FLAG_BYTES 80

/* A flag taken apart: "--name=value". */
struct flag {
    char name[FLAG_BYTES];              /* as the table spells it, with underscores */
    char label[FLAG_BYTES + 4];         /* as the person wrote it, without the value */
    const char *value;                  /* after "="; NULL: none */
};

static bool split(const char *arg, struct flag *ret_flag)
{
    size_t len = strcspn(arg, "=");

    if (strncmp(arg, "--", 2) != 0 || len <= 2 || len - 2 >= sizeof ret_flag->name)
        return false;
    (void)snprintf(ret_flag->label, sizeof ret_flag->label, "%.*s", (int)len, arg);
    (void)snprintf(ret_flag->name, sizeof ret_flag->name, "%s", ret_flag->label + 2);
    for (char *p = ret_flag->name; *p != '\0'; p++)
        if (*p == '-')
            *p = '_';
    ret_flag->value = arg[len] == '=' ? arg + len + 1 : NULL;
    return true;
}

/* The value of the flag at argv[*i]: behind "=" or the next argument, which it steps over.  A value
 * that begins with "--" has to be written behind "=", so that a forgotten one is noticed. */
static const char *take_value(const struct flag *flag, int argc, char *const *argv, int *i)
{
    if (flag->value != NULL)
        return flag->value;
    if (*i + 1 >= argc || strncmp(argv[*i + 1], "--", 2) == 0)
        return NULL;
    return argv[++*i];
}

static void complain_unknown(const struct flag *flag, struct cf_complaints *c)
{
    const struct cf_setting *row = cf_setting_nearest(flag->name, strlen(flag->name));
    char near[FLAG_BYTES] = "";

    if (row != NULL) {
        (void)snprintf(near, sizeof near, "; did you mean --%s?", row->name);
        for (char *p = near + strlen("; did you mean --"); *p != '\0'; p++)
            if (*p == '_')
                *p = '-';
    }
    cf_complaints_add(c, "%s: there is no such flag%s", flag->label, near);
}

/* --flag, --no-flag and --flag=false; true when the flag was one of these. */
static bool read_switch(struct cf_settings *s, const struct flag *flag, struct cf_complaints *c)
{
    bool no = strncmp(flag->name, "no_", 3) == 0;
    const struct cf_setting *row = cf_setting_find(no ? flag->name + 3 : flag->name);
    struct cf_error error;

    if (row == NULL || row->type != CF_SETTING_BOOL)
        return false;
    if (no && flag->value != NULL) {
        cf_complaints_add(c, "%s: takes no value", flag->label);
        return true;
    }
    const char *value = flag->value != NULL ? flag->value : no ? "false" : "true";
    if (cf_setting_parse(s, row, flag->label, value, strlen(value), &error) < 0)
        cf_complaints_add(c, "%s", error.text);
    return true;
}

static void read_flag(struct cf_settings *s, const struct flag *flag, int argc, char *const *argv, int *i,
                      struct cf_complaints *c)
{
    char range[CF_SETTING_RANGE_BYTES];
    struct cf_error error;

    if (read_switch(s, flag, c))
        return;
    const struct cf_setting *row = cf_setting_find(flag->name);
    if (row == NULL)
        complain_unknown(flag, c);
    const char *value = take_value(flag, argc, argv, i);    /* an unknown flag's too: it is no stray word */
    if (row == NULL)
        return;
    if (value == NULL)
        cf_complaints_add(c, "%s: the value is missing; it must be %s", flag->label,
                          cf_setting_range(row, range, sizeof range));
    else if (cf_setting_parse(s, row, flag->label, value, strlen(value), &error) < 0)
        cf_complaints_add(c, "%s", error.text);
}

/* Flags that are no settings: true when argv[*i] was one, stepped over with its value. */
static bool read_own(struct cf_settings_args *args, const struct flag *flag, int argc, char *const *argv, int *i,
                     struct cf_complaints *c)
{
    if (strcmp(flag->name, "config") == 0) {
        const char *value = take_value(flag, argc, argv, i);
        if (value == NULL || *value == '\0')
            cf_complaints_add(c, "--config: the file's name is missing");
        else
            args->config = value;
        return true;
    }
    bool check = strcmp(flag->name, "check_config") == 0;
    if (!check && strcmp(flag->name, "help") != 0)
        return false;
    if (flag->value != NULL)
        cf_complaints_add(c, "%s: takes no value", flag->label);
    *(check ? &args->check_only : &args->help) = true;
    return true;
}

/* One pass over the arguments.  The file ranks below the flags but is named among them, so that
 * there are two passes: with `s` NULL for what is no setting, then for the settings. */
static void read_args(struct cf_settings *s, struct cf_settings_args *args, int argc, char *const *argv,
                      struct cf_complaints *c)
{
    struct cf_settings_args ignored = { 0 };
    struct cf_complaints quiet;
    struct flag flag;

    cf_complaints_init(&quiet);
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0) {
            args->help = true;
        } else if (!split(argv[i], &flag)) {
            if (s != NULL)
                cf_complaints_add(c, "%.128s: expected a flag, --name or --name=value", argv[i]);
        } else if (!read_own(s != NULL ? &ignored : args, &flag, argc, argv, &i, s != NULL ? &quiet : c)) {
            if (s != NULL)
                read_flag(s, &flag, argc, argv, &i, c);
        }
    }
    cf_complaints_free(&quiet);
}

/* Here, since any rank may name one. */
static void check_agent(const struct cf_settings *s, const char *file, struct cf_complaints *c)
{
    char names[512];
    struct cf_complaints told;

    cf_complaints_init(&told);          /* when the file was read */
    struct cf_agents *agents = cf_agents_read_file(file, &told);
    if (agents != NULL && cf_agents_find(agents, s->agent) == NULL)
        cf_complaints_add(c, "settings: agent: there is no agent %s; there are %s", s->agent,
                          cf_agents_names(agents, names, sizeof names));
    cf_agents_free(&agents);
    cf_complaints_free(&told);
}

void cf_settings_load(struct cf_settings *s, int argc, char *const *argv, char *const *env,
                      struct cf_settings_args *ret_args, struct cf_complaints *c)
{
    struct cf_settings_args args = { 0 };

    read_args(NULL, &args, argc, argv, c);
    cf_settings_default(s);
    const char *file = args.config != NULL ? args.config : cf_settings_env_get(env, "CURFEW_CONFIG");
    if (file == NULL && access(DEFAULT_FILE, F_OK) == 0)
        file = DEFAULT_FILE;
    if (file != NULL)
        cf_settings_read_file(s, file, c);
    cf_settings_read_env(s, env, c);
    read_args(s, &args, argc, argv, c);
    cf_settings_settle(s, env, c);
    check_agent(s, file, c);
    args.file = file;
    *ret_args = args;
}
