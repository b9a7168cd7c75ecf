#include "cli/request.h"

#include "base/jsonw.h"

#include <stdlib.h>
#include <string.h>

static bool has_body(enum cf_op op)
{
    const struct cf_param_row *param;

    for (size_t i = 0; (param = cf_ops_param(i)); i++)
        if (param->op == op && param->where == CF_PARAM_BODY)
            return true;
    return false;
}

static void write_value(struct cf_jsonw *json, const char *key, const struct cf_flag *flag)
{
    switch (flag->param->type) {
    case CF_PARAM_TEXT:
        cf_jsonw_str(json, key, flag->text);
        break;
    case CF_PARAM_INT:
        cf_jsonw_int(json, key, flag->number);
        break;
    case CF_PARAM_BOOL:
        cf_jsonw_bool(json, key, flag->number != 0);
        break;
    case CF_PARAM_DURATION:
        cf_jsonw_duration(json, key, flag->number);
        break;
    case CF_PARAM_SCREEN:
        cf_jsonw_object(json, key);
        cf_jsonw_int(json, "cols", flag->number >> 32);
        cf_jsonw_int(json, "rows", flag->number & 0xffffffff);
        cf_jsonw_object_end(json);
        break;
    case CF_PARAM_MAP:
        break;
    }
}

/* All entries of one map, from each of its flags. */
static void write_map(const struct cf_cli *cli, struct cf_jsonw *json, const struct cf_param_row *param)
{
    cf_jsonw_object(json, param->name);
    for (size_t i = 0; i < cli->flag_count; i++) {
        const char *text = cli->flags[i].text;
        char *name;

        if (cli->flags[i].param != param || !(name = strndup(text, strcspn(text, "="))))
            continue;
        cf_jsonw_str(json, name, text + strlen(name) + 1);
        free(name);
    }
    cf_jsonw_object_end(json);
}

static void write_query(struct cf_exchange *x, const struct cf_flag *flag)
{
    struct cf_buf text;
    struct cf_jsonw json;

    if (flag->param->type == CF_PARAM_TEXT) {
        cf_exchange_query(x, flag->param->name, flag->text);
        return;
    }
    cf_buf_init(&text, 64);
    cf_jsonw_init(&json, &text);
    write_value(&json, NULL, flag);
    if (text.len > 0)
        cf_exchange_query(x, flag->param->name, text.data);
    cf_buf_free(&text);
}

static void write_extra(struct cf_jsonw *json, const struct cf_extra *extra)
{
    for (; extra && extra->name; extra++) {
        if (extra->text)
            cf_jsonw_str(json, extra->name, extra->text);
        else if (extra->yes)
            cf_jsonw_bool(json, extra->name, true);
        else
            cf_jsonw_int(json, extra->name, extra->number);
    }
}

void cf_request_make(const struct cf_cli *cli, enum cf_op op, const char *id, uint32_t number,
                     const struct cf_extra *extra, struct cf_exchange *ret)
{
    struct cf_jsonw json;
    const struct cf_param_row *map = NULL;

    cf_exchange_init(ret, op, id, number);
    if (has_body(op)) {
        cf_jsonw_init(&json, &ret->body);
        cf_jsonw_object(&json, NULL);
    }
    for (size_t i = 0; i < cli->flag_count; i++) {
        const struct cf_flag *flag = &cli->flags[i];

        if (flag->param->op != op)
            continue;
        if (flag->param->where == CF_PARAM_QUERY)
            write_query(ret, flag);
        else if (flag->param->type != CF_PARAM_MAP)
            write_value(&json, flag->param->name, flag);
        else if (map != flag->param)
            write_map(cli, &json, map = flag->param);
    }
    if (!has_body(op))
        return;
    write_extra(&json, extra);
    cf_jsonw_object_end(&json);
}

void cf_request_make_bytes(const struct cf_cli *cli, enum cf_op op, const char *id, struct cf_exchange *ret)
{
    cf_exchange_init(ret, op, id, 0);
    ret->content = CF_TYPE_BYTES;
    for (size_t i = 0; i < cli->flag_count; i++)
        if (cli->flags[i].param->op == op)
            write_query(ret, &cli->flags[i]);
}
