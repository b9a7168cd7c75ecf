/* opts_value.c: what a flag was given, read by the type of its row. */
#include "cli/opts.h"

#include "base/clock.h"
#include "base/text.h"
#include "cli/tty.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

bool cf_opts_is_screen(const char *text, int *ret_cols, int *ret_rows)
{
    int end = 0;

    return *text >= '0' && *text <= '9' && sscanf(text, "%5d%*1[xX]%5d%n", ret_cols, ret_rows, &end) == 2 && end > 0 &&
           text[end] == '\0';
}

/* Without a text the size of our own terminal. */
static int read_screen(const struct cf_param_row *param, const char *text, int64_t *ret, struct cf_error *error)
{
    int cols, rows;

    if (!text)
        cf_tty_size(&cols, &rows);
    else if (!cf_opts_is_screen(text, &cols, &rows) || cols < param->min || cols > param->max || rows < param->min ||
             rows > param->max)
        return cf_error_set(error, CF_E_INVALID, param->name,
                            "--%s must be COLSxROWS, such as 80x24, each from %lld to %lld, not \"%s\"",
                            cf_opts_dashes(param->name).text, (long long)param->min, (long long)param->max, text);
    *ret = (int64_t)cols << 32 | rows;
    return 0;
}

int cf_opts_read(const struct cf_param_row *param, const char *text, int64_t *ret, struct cf_error *error)
{
    size_t len = text ? strlen(text) : 0;
    char *end;

    if (text && !cf_text_is_utf8(text, len))
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
