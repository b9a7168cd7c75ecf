#include "cli/opts.h"

#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
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

bool cf_opts_is_flag(const struct cf_verb *verb, const struct cf_param_row *param)
{
    if (verb->command && param->op == CF_OP_exec && strcmp(param->name, "command") == 0)
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

static int out_of_range(const struct cf_param_row *param, const char *text, const char *what, struct cf_error *error)
{
    return cf_error_set(error, CF_E_INVALID, param->name, "--%s must be %s from %lld to %lld, not \"%s\"",
                        cf_opts_dashes(param->name).text, what,
                        (long long)param->min, (long long)param->max, text);
}

static int read_bool(const struct cf_param_row *param, const char *text, int64_t *ret, struct cf_error *error)
{
    static const char *const words[][2] = {{"true", "false"}, {"1", "0"}, {"yes", "no"}, {"on", "off"}};

    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        for (int j = 0; j < 2; j++)
            if (strcmp(text, words[i][j]) == 0) {
                *ret = j == 0;
                return 0;
            }
    return cf_error_set(error, CF_E_INVALID, param->name, "--%s must be true or false, not \"%s\"",
                        cf_opts_dashes(param->name).text, text);
}

static int read_map(const struct cf_param_row *param, const char *text, struct cf_error *error)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text)
        return cf_error_set(error, CF_E_INVALID, param->name, "--%s must be NAME=VALUE, not \"%s\"",
                            cf_opts_dashes(param->name).text, text);
    return 0;
}

/* COLSxROWS; both become one number, the columns in its upper half. */
static int read_screen(const struct cf_param_row *param, const char *text, int64_t *ret, struct cf_error *error)
{
    char *cols_end, *rows_end;
    long long cols = strtoll(text, &cols_end, 10), rows = 0;

    if (*cols_end == 'x')
        rows = strtoll(cols_end + 1, &rows_end, 10);
    if (*cols_end != 'x' || *rows_end || text[strspn(text, "0123456789x")] || cols < param->min || cols > param->max ||
        rows < param->min || rows > param->max)
        return out_of_range(param, text, "COLSxROWS, such as 80x24, each", error);
    *ret = cols << 32 | rows;
    return 0;
}

static int read_value(const struct cf_param_row *param, const char *text, int64_t *ret, struct cf_error *error)
{
    size_t len = strlen(text);
    char *end;

    if (!cf_text_is_utf8(text, len))
        return cf_error_set(error, CF_E_INVALID, param->name, "--%s must be UTF-8 text",
                            cf_opts_dashes(param->name).text);
    switch (param->type) {
    case CF_PARAM_BOOL:
        return read_bool(param, text, ret, error);
    case CF_PARAM_MAP:
        return read_map(param, text, error);
    case CF_PARAM_SCREEN:
        return read_screen(param, text, ret, error);
    case CF_PARAM_TEXT:
        if (len < (size_t)param->min || len > (size_t)param->max)
            return out_of_range(param, text, "text with a length in bytes", error);
        return 0;
    case CF_PARAM_DURATION:
        if (cf_duration_parse(text, ret) < 0 || *ret < param->min * CF_NS_PER_S || *ret > param->max * CF_NS_PER_S)
            return out_of_range(param, text, "a duration (90, 10m, 1h30m) in seconds", error);
        return 0;
    case CF_PARAM_INT:
        errno = 0;
        *ret = strtoll(text, &end, 10);
        if (errno || end == text || *end || *ret < param->min || *ret > param->max)
            return out_of_range(param, text, "a number", error);
        return 0;
    }
    return cf_error_set(error, CF_E_INTERNAL, param->name, "unknown type");
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
    int rc = read_value(param, text, &flag.number, error);

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
    if (!near)
        return cf_error_set(error, CF_E_INVALID, NULL, "unknown option --%s", name);
    return cf_error_set(error, CF_E_INVALID, NULL, "unknown option --%s; did you mean --%s?", name,
                        cf_opts_dashes(near).text);
}

/* One flag of the verb.  `next` is the word that follows, which *ret_value_taken says was used. */
static int verb_take(struct cf_cli *cli, const char *name, const char *value, bool *ret_value_taken,
                     struct cf_error *error)
{
    const struct cf_param_row *param = cli->verb ? param_find(cli->verb, name) : NULL;

    *ret_value_taken = false;
    if (cli->verb && cli->verb->keep && strcmp(name, "keep") == 0) {
        cli->keep = true;
        return 0;
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
    *ret_value_taken = true;
    if (!value)
        return cf_error_set(error, CF_E_INVALID, param->name, "--%s needs a value", name);
    return flag_add(cli, param, value, error);
}

static int equals_take(struct cf_cli *cli, const char *name, const char *value, struct cf_error *error)
{
    const struct cf_param_row *param = cli->verb ? param_find(cli->verb, name) : NULL;
    bool taken;
    int rc = global_take(cli, name, value, &taken, error);

    if (rc <= 0 && taken)
        return rc;
    if (param)
        return flag_add(cli, param, value, error);
    if (rc == 0 || strcmp(name, "keep") == 0)
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

    if (cli->help)
        return 0;
    if (cli->where.url && cli->where.socket)
        return cf_error_set(error, CF_E_INVALID, NULL, "--url and --socket exclude each other");
    if (cli->word_count < verb->ids_min)
        return cf_error_set(error, CF_E_INVALID, NULL, "a session id is missing");
    if (verb->command && cli->word_count == verb->ids_min)
        return cf_error_set(error, CF_E_INVALID, NULL, "a command is missing");
    if (!verb->command && verb->ids_max >= 0 && cli->word_count > verb->ids_max)
        return cf_error_set(error, CF_E_INVALID, NULL, "\"%s\" is one argument too many", cli->words[verb->ids_max]);
    for (int i = 0; i < cli->word_count && (!verb->command || i < verb->ids_max); i++)
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
