#include "cli/ops.h"

#include <string.h>

static const struct cf_op_row op_rows[] = {
#define OPERATION(name, method, path, aliases, verb, help) {#name, #method, path, verb, help},
#include "tables/operations.def"
#undef OPERATION
};

static const struct cf_param_row param_rows[] = {
#define PARAM(op, name, where, type, required, min, max, help) \
    {CF_OP_##op, #name, CF_PARAM_##where, CF_PARAM_##type, required, min, max, help},
#include "tables/operations.def"
#undef PARAM
};

const struct cf_op_row *cf_ops_row(enum cf_op op)
{
    return &op_rows[op];
}

const struct cf_param_row *cf_ops_param(size_t index)
{
    return index < sizeof param_rows / sizeof *param_rows ? &param_rows[index] : NULL;
}

bool cf_ops_takes_id(enum cf_op op)
{
    return strstr(op_rows[op].path, "{id}") != NULL;
}

/* Levenshtein's distance by one row; words longer than any of ours are simply far away. */
unsigned cf_ops_distance(const char *a, const char *b)
{
    enum { LONGEST = 48 };
    unsigned row[LONGEST + 1];
    size_t la = strlen(a), lb = strlen(b);

    if (la > LONGEST || lb > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diagonal = row[0];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);

            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[lb];
}
