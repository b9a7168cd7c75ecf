/* ops.h: operations.def as rows that the command line can look through. */
#ifndef CURFEW_CLI_OPS_H
#define CURFEW_CLI_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum cf_op {
#define OPERATION(name, ...) CF_OP_##name,
#include "tables/operations.def"
#undef OPERATION
    CF_OPS
};

enum cf_param_where { CF_PARAM_BODY, CF_PARAM_QUERY };
enum cf_param_type { CF_PARAM_TEXT, CF_PARAM_INT, CF_PARAM_DURATION, CF_PARAM_BOOL, CF_PARAM_MAP,
                     CF_PARAM_SCREEN };

struct cf_op_row {
    const char *name, *method, *path;
    const char *verb;                   /* the subcommand that calls it, or "" */
    const char *help;
};

struct cf_param_row {
    enum cf_op op;
    const char *name;
    enum cf_param_where where;
    enum cf_param_type type;
    bool required;
    int64_t min, max;                   /* TEXT bytes, INT value, DURATION seconds, MAP entries, SCREEN cols and rows */
    const char *help;
};

const struct cf_op_row *cf_ops_row(enum cf_op op);
/* Walks the parameters of all operations: 0, 1, … until NULL. */
const struct cf_param_row *cf_ops_param(size_t index);
/* Whether the operation's path names a session. */
bool cf_ops_takes_id(enum cf_op op);

/* How many single-character changes lie between two words; for suggestions. */
unsigned cf_ops_distance(const char *a, const char *b);

#endif
