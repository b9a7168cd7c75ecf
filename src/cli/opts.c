#include "cli/opts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAG_NAME_MAX (int)sizeof ((struct cf_flag_name *)0)->text

struct cf_flag_name cf_opts_dashes(const char *name)
{
    struct cf_flag_name flag;

    snprintf(flag.text, sizeof flag.text, "%s", name);
    for (char *c = flag.text; *c; c++)
        *c = *c == '_' ? '-' : *c;
    return flag;
}

/* Whether `name` is one of the words of `list`. */
static bool hidden(const char *list, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = list; (at = strstr(at, name)); at += len)
        if ((at == list || at[-1] == ' ') && (at[len] == ' ' || at[len] == '\0'))
            return true;
    return false;
}

bool cf_opts_is_flag(const struct cf_verb *verb, const struct cf_param_row *param)
{
    if (verb->hides && hidden(verb->hides, param->name))
        return false;
    for (int i = 0; i < CF_VERB_OPS; i++)
        if (verb->ops[i] == (int)param->op)
            return true;
    return false;
}

/* --idle-timeout and --idle_timeout are the row idle_timeout. */
static bool same_name(const char *flag, const char *row)
{
    for (; *flag && *row; flag++, row++)
        if (*flag != *row && !(*flag == '-' && *row == '_'))
            return false;
    return *flag == *row;
}

static const struct cf_param_row *param_find(const struct cf_verb *verb, const char *name)
{
    const struct cf_param_row *param;

    for (size_t i = 0; (param = cf_ops_param(i)); i++)
        if (cf_opts_is_flag(verb, param) && same_name(name, param->name))
            return param;
    return NULL;
}

/* The last one counts, except for maps, of which each gives an entry (and the last of one NAME counts). */
static bool replaces(const struct cf_flag *old, const struct cf_param_row *param, const char *text)
{
    size_t name;

    if (old->param != param)
        return false;
    if (param->type != CF_PARAM_MAP)
        return true;
    name = strcspn(text, "=") + 1;
    return strncmp(old->text, text, name) == 0;
}

static int flag_add(struct cf_cli *cli, const struct cf_param_row *param, const char *text, struct cf_error *error)
{
    struct cf_flag flag = {.param = param, .text = text};
    size_t at = 0, entries = 0;
    int rc = cf_opts_read(param, text, &flag.number, error);

    if (rc < 0)
        return rc;
    while (at < cli->flag_count && !replaces(&cli->flags[at], param, text)) {
        entries += cli->flags[at].param == param;
        at++;
    }
    if (param->type == CF_PARAM_MAP && entries >= (size_t)param->max)
        return cf_error_set(error, CF_E_INVALID, param->name, "--%s may be given %lld times",
                            cf_opts_dashes(param->name).text, (long long)param->max);
    cli->flags[at] = flag;
    if (at == cli->flag_count)
        cli->flag_count++;
    return 0;
}

static const char *const global_names[] = {"help", "json", "socket", "url", "token-file"};

/* --help, --json and where the server is.  Returns 1 when it was none of them. */
static int global_take(struct cf_cli *cli, const char *name, const char *value, bool *ret_value_taken,
                       struct cf_error *error)
{
    const char **text = strcmp(name, "socket") == 0 ? &cli->where.socket : strcmp(name, "url") == 0 ? &cli->where.url :
                        strcmp(name, "token-file") == 0 ? &cli->where.token_file : NULL;
    bool *yes = strcmp(name, "help") == 0 ? &cli->help : strcmp(name, "json") == 0 ? &cli->json : NULL;

    *ret_value_taken = text != NULL;
    if (yes)
        *yes = true;
    else if (text && !value)
        return cf_error_set(error, CF_E_INVALID, name, "--%s needs a value", name);
    else if (text)
        *text = value;
    else
        return 1;
    return 0;
}

static void consider(const char *word, const char *known, unsigned *best, const char **ret)
{
    unsigned distance = cf_ops_distance(word, known);

    if (distance < *best) {
        *best = distance;
        *ret = known;
    }
}

static int unknown_flag(const struct cf_cli *cli, const char *name, struct cf_error *error)
{
    unsigned best = strlen(name) > 3 ? 3 : 2;
    const char *near = NULL;
    const struct cf_param_row *param;

    for (size_t i = 0; i < sizeof global_names / sizeof *global_names; i++)
        consider(name, global_names[i], &best, &near);
    for (size_t i = 0; cli->verb && (param = cf_ops_param(i)); i++)
        if (cf_opts_is_flag(cli->verb, param))
            consider(name, param->name, &best, &near);
    for (const struct cf_own_flag *own = cli->verb ? cli->verb->own : NULL; own && own->name; own++)
        consider(name, own->name, &best, &near);
    if (!near)
        return cf_error_set(error, CF_E_INVALID, NULL, "unknown option --%s", name);
    return cf_error_set(error, CF_E_INVALID, NULL, "unknown option --%s; did you mean --%s?", name,
                        cf_opts_dashes(near).text);
}

static const struct cf_own_flag *own_find(const struct cf_verb *verb, const char *name)
{
    for (const struct cf_own_flag *own = verb ? verb->own : NULL; own && own->name; own++)
        if (same_name(name, own->name))
            return own;
    return NULL;
}

static int own_add(struct cf_cli *cli, const struct cf_own_flag *own, const char *value, struct cf_error *error)
{
    if (!value)
        return cf_error_set(error, CF_E_INVALID, own->name, "--%s needs a value", own->name);
    cli->own[own - cli->verb->own] = value;
    return 0;
}

const char *cf_opts_own(const struct cf_cli *cli, const char *name)
{
    const struct cf_own_flag *own = own_find(cli->verb, name);

    return own ? cli->own[own - cli->verb->own] : NULL;
}

/* One flag of the verb.  `next` is the word that follows, which *ret_value_taken says was used. */
static int verb_take(struct cf_cli *cli, const char *name, const char *value, bool *ret_value_taken,
                     struct cf_error *error)
{
    const struct cf_param_row *param = cli->verb ? param_find(cli->verb, name) : NULL;

    const struct cf_own_flag *own = own_find(cli->verb, name);
    int cols, rows;

    *ret_value_taken = false;
    if (own) {
        *ret_value_taken = own->value != NULL;
        return own_add(cli, own, own->value ? value : "", error);
    }
    if (!param && cli->verb && strncmp(name, "no-", 3) == 0) {
        param = param_find(cli->verb, name + 3);
        if (param && param->type == CF_PARAM_BOOL)
            return flag_add(cli, param, "false", error);
        param = NULL;
    }
    if (!param)
        return unknown_flag(cli, name, error);
    if (param->type == CF_PARAM_BOOL)
        return flag_add(cli, param, "true", error);
    *ret_value_taken = param->type != CF_PARAM_SCREEN || (value && cf_opts_is_screen(value, &cols, &rows));
    if (!*ret_value_taken)
        return flag_add(cli, param, NULL, error);
    if (!value)
        return cf_error_set(error, CF_E_INVALID, param->name, "--%s needs a value", name);
    return flag_add(cli, param, value, error);
}

static int equals_take(struct cf_cli *cli, const char *name, const char *value, struct cf_error *error)
{
    const struct cf_param_row *param = cli->verb ? param_find(cli->verb, name) : NULL;
    const struct cf_own_flag *own = own_find(cli->verb, name);
    bool taken;
    int rc = global_take(cli, name, value, &taken, error);

    if (rc <= 0 && taken)
        return rc;
    if (param)
        return flag_add(cli, param, value, error);
    if (own && own->value)
        return own_add(cli, own, value, error);
    if (rc == 0 || own)
        return cf_error_set(error, CF_E_INVALID, NULL, "--%s takes no value", name);
    return unknown_flag(cli, name, error);
}

/* argv[*at] is an option: takes it and its value. */
static int option_take(struct cf_cli *cli, int argc, char **argv, int *at, struct cf_error *error)
{
    const char *word = argv[(*at)++], *equals = strchr(word, '='), *next = *at < argc ? argv[*at] : NULL;
    char name[FLAG_NAME_MAX];
    bool taken = false;
    int rc;

    if (strcmp(word, "-h") == 0)
        word = "--help";
    if (strcmp(word, "-i") == 0 && cli->verb && param_find(cli->verb, "input"))
        word = "--input";
    if (word[1] != '-')
        return cf_error_set(error, CF_E_INVALID, NULL, "unknown option %s", word);
    if (snprintf(name, sizeof name, "%.*s", equals ? (int)(equals - word - 2) : (int)strlen(word),
                 word + 2) >= FLAG_NAME_MAX)
        return cf_error_set(error, CF_E_INVALID, NULL, "unknown option %.40s…", word);
    if (equals)
        return equals_take(cli, name, equals + 1, error);
    rc = global_take(cli, name, next, &taken, error);
    if (rc > 0)
        rc = verb_take(cli, name, next, &taken, error);
    if (rc == 0 && taken)
        (*at)++;
    return rc;
}

static bool is_option(const char *word)
{
    return word[0] == '-' && word[1] != '\0';
}

int cf_opts_verb(struct cf_cli *cli, struct cf_verb *verb, int argc, char **argv, int *at, bool *ret_version,
                 struct cf_error *error)
{
    const char *near = NULL;
    unsigned best = 3;

    while (*at < argc && is_option(argv[*at]) && strcmp(argv[*at], "--") != 0) {
        int rc;

        if (strcmp(argv[*at], "--version") == 0) {
            *ret_version = true;
            return 0;
        }
        if ((rc = option_take(cli, argc, argv, at, error)) < 0)
            return rc;
    }
    if (*at == argc)
        return cli->help ? 0 : cf_error_set(error, CF_E_INVALID, NULL, "a subcommand is missing");
    if (cf_verbs_find(argv[*at], verb)) {
        cli->verb = verb;
        (*at)++;
        return 0;
    }
    for (size_t i = 0; i < cf_verbs_count(); i++) {
        struct cf_verb known;

        cf_verbs_get(i, &known);
        consider(argv[*at], known.name, &best, &near);
    }
    if (near)
        return cf_error_set(error, CF_E_INVALID, NULL, "unknown subcommand \"%s\"; did you mean \"%s\"?", argv[*at],
                            near);
    return cf_error_set(error, CF_E_INVALID, NULL, "unknown subcommand \"%s\"", argv[*at]);
}

static int words_check(const struct cf_cli *cli, struct cf_error *error)
{
    const struct cf_verb *verb = cli->verb;
    int most = verb->command || verb->ids_max < 0 ? -1 : verb->ids_max + verb->words_max;

    if (cli->help)
        return 0;
    if (cli->where.url && cli->where.socket)
        return cf_error_set(error, CF_E_INVALID, NULL, "--url and --socket exclude each other");
    if (cli->word_count < verb->ids_min)
        return cf_error_set(error, CF_E_INVALID, NULL, "a session id is missing");
    if (cli->word_count < verb->ids_min + verb->words_min)
        return cf_error_set(error, CF_E_INVALID, NULL, "%s is missing", verb->word);
    if (verb->command && cli->word_count == verb->ids_min)
        return cf_error_set(error, CF_E_INVALID, NULL, "a command is missing");
    if (most >= 0 && cli->word_count > most)
        return cf_error_set(error, CF_E_INVALID, NULL, "\"%s\" is one argument too many", cli->words[most]);
    for (int i = 0; i < cli->word_count && (verb->ids_max < 0 || i < verb->ids_max); i++)
        if (cli->words[i][0] == '\0' || strlen(cli->words[i]) > 127)
            return cf_error_set(error, CF_E_INVALID, NULL, "a session id has 1 to 127 bytes");
    return 0;
}

int cf_opts_rest(struct cf_cli *cli, int argc, char **argv, int *at, struct cf_error *error)
{
    const struct cf_verb *verb = cli->verb;
    bool options = true;

    cli->flags = calloc((size_t)argc + 1, sizeof *cli->flags);
    cli->words = calloc((size_t)argc + 1, sizeof *cli->words);
    if (!cli->flags || !cli->words)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    while (*at < argc) {
        if (options && strcmp(argv[*at], "--") == 0) {
            options = false;
            (*at)++;
        } else if (options && is_option(argv[*at])) {
            int rc = option_take(cli, argc, argv, at, error);

            if (rc < 0)
                return rc;
        } else {
            cli->words[cli->word_count++] = argv[(*at)++];
            if (verb->command && cli->word_count > verb->ids_max)
                options = false;
        }
    }
    return words_check(cli, error);
}

void cf_opts_free(struct cf_cli *cli)
{
    free(cli->flags);
    free(cli->words);
    cli->flags = NULL;
    cli->words = NULL;
}
