/* log.h: lines on standard error, one event each: "2026-11-20T04:24:23.123Z info server: text". */
#ifndef CURFEW_BASE_LOG_H
#define CURFEW_BASE_LOG_H

enum cf_log_level { CF_LOG_ERROR, CF_LOG_WARNING, CF_LOG_INFO, CF_LOG_DEBUG };

/* Names the process in each line ("keeper", "server") and sets the quietest level that is shown.
 * Call once from main; the name is borrowed.  Before it, everything from info up is shown. */
void cf_log_init(const char *process, enum cf_log_level level);
void cf_log_level_set(enum cf_log_level level);
/* One line, never more than 1024 bytes, written by one write(2); newlines and other control bytes
 * in it are escaped as \xNN, so that no session can forge a line.  Keeps errno. */
void cf_log(enum cf_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
