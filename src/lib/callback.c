/* callback.c: calling the owner's functions, and the lines for its log. */
#include "lib/lib.h"

#include "base/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 512

/* Read by what must not happen inside a callback, such as a second emergency cleanup. */
static _Thread_local unsigned depth;

unsigned cf_callback_depth(void)
{
    return depth;
}

int cf_callback_before(const struct curfew_table *table, const struct curfew_info *info)
{
    depth++;
    int answer = table->callbacks.before_end(table->callbacks.context, info);
    depth--;
    return answer;
}

int cf_callback_after(const struct curfew_table *table, const struct curfew_info *info)
{
    depth++;
    int answer = table->callbacks.after_end(table->callbacks.context, info);
    depth--;
    return answer;
}

void cf_callback_log(const struct curfew_table *table, enum cf_log_level level, const char *fmt, ...)
{
    char line[LINE_BYTES];
    va_list args;

    if (table->callbacks.log == NULL)
        return;
    va_start(args, fmt);
    (void)vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    depth++;
    table->callbacks.log(table->callbacks.context, (int)level, line);
    depth--;
}

void cf_went_add(struct cf_went *went, const char *id, enum cf_reason reason)
{
    char text[CF_ID_MAX * 4];           /* each byte may become \xNN */

    went->count++;
    went->by[reason]++;
    if (id == NULL || went->more) {
        went->more = true;
        return;
    }
    size_t bytes = cf_text_escape(text, sizeof text, id, strlen(id));
    const char *comma = went->ids_bytes > 0 ? ", " : "";
    if (went->ids_bytes + strlen(comma) + bytes >= sizeof went->ids) {
        went->more = true;
        return;
    }
    char *end = went->ids + went->ids_bytes;
    went->ids_bytes += (size_t)snprintf(end, sizeof went->ids - went->ids_bytes, "%s%s", comma, text);
}

static const char *plural(size_t count)
{
    return count == 1 ? "" : "s";
}

/* "2 idle, 1 closed" */
static void write_reasons(const struct cf_went *went, char *out, size_t size)
{
    size_t used = 0;
    for (int reason = CF_REASON_NONE + 1; reason < CF_REASONS && used < size; reason++)
        if (went->by[reason] > 0)
            used += (size_t)snprintf(out + used, size - used, "%s%zu %s", used > 0 ? ", " : "", went->by[reason],
                                     cf_reason_name((enum cf_reason)reason));
}

void cf_went_log(struct curfew_table *table, const struct cf_went *went, const char *what)
{
    char reasons[160] = "";

    if (table->callbacks.log == NULL)
        return;
    if (went->count > 0) {
        write_reasons(went, reasons, sizeof reasons);
        cf_callback_log(table, CF_LOG_LEVEL_INFO, "%s: ended %zu session%s (%s)%s%s%s", what, went->count,
                        plural(went->count), reasons, went->ids_bytes > 0 ? ": " : "", went->ids,
                        went->more && went->ids_bytes > 0 ? ", and more" : "");
    }
    cf_lock_take(&table->lock);
    uint32_t left = cf_core_count(table->core);
    cf_lock_give(&table->lock);
    cf_callback_log(table, CF_LOG_LEVEL_DEBUG, "%s: %u session%s left", what, left, plural(left));
}
