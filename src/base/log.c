/* log.c: one line an event, by one write. */
#include "base/log.h"
#include "base/clock.h"
#include "base/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES 1024

static struct {
    const char *process;
    enum cf_log_level level;
} state = { .process = "curfew", .level = CF_LOG_INFO };

void cf_log_init(const char *process, enum cf_log_level level)
{
    state.process = process;
    state.level = level;
}

void cf_log_level_set(enum cf_log_level level)
{
    state.level = level;
}

static size_t write_prefix(char *line, size_t size, enum cf_log_level level)
{
    static const char *const names[] = {
        [CF_LOG_ERROR] = "error", [CF_LOG_WARNING] = "warning", [CF_LOG_INFO] = "info", [CF_LOG_DEBUG] = "debug",
    };
    int64_t wall_ns = cf_clock_now().wall_ns;
    time_t seconds = (time_t)(wall_ns / CF_NS_PER_S);
    struct tm utc;
    char when[32];

    (void)gmtime_r(&seconds, &utc);
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    int len = snprintf(line, size, "%s.%03dZ %s %.64s: ", when, (int)(wall_ns % CF_NS_PER_S / CF_NS_PER_MS),
                       names[level], state.process);
    return (size_t)len;
}

void cf_log(enum cf_log_level level, const char *fmt, ...)
{
    if (level > state.level)
        return;

    int saved = errno;
    char line[LINE_MAX_BYTES], text[LINE_MAX_BYTES];
    size_t len = write_prefix(line, sizeof line, level);
    va_list args;
    va_start(args, fmt);
    errno = saved;              /* for %m */
    int wrote = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (wrote >= 0) {
        len += cf_text_escape(line + len, sizeof line - len, text, strnlen(text, sizeof text));
        line[len++] = '\n';     /* where the NUL stood */
        /* A line that cannot be written has nobody to be told to. */
        ssize_t ignored = write(STDERR_FILENO, line, len);
        (void)ignored;
    }
    errno = saved;
}
