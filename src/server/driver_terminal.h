/* driver_terminal.h: the words between the server and terminal.bash, the driver of a shell that has a terminal.
 *
 * Its statuses are those of driver.h, read by cf_driver_parse; terminal.bash says what they mean and in which order they come. */
#ifndef CURFEW_SERVER_DRIVER_TERMINAL_H
#define CURFEW_SERVER_DRIVER_TERMINAL_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define CF_DRIVER_TERMINAL_BOOT_FD 19   /* as terminal.bash has it: where the shell reads what cf_driver_terminal_boot makes */
/* In the session's folder: a file, and two FIFOs. */
#define CF_DRIVER_TERMINAL_REQUEST "q"
#define CF_DRIVER_TERMINAL_STATUS "r"
#define CF_DRIVER_TERMINAL_ANSWER "a"
/* A request or an answer without its text. */
#define CF_DRIVER_TERMINAL_HEADER_MAX 128

enum cf_driver_terminal_kind { CF_DRIVER_TERMINAL_EXEC = 'x', CF_DRIVER_TERMINAL_LEAVE = 'k', CF_DRIVER_TERMINAL_PROBE = 'p' };

/* The texts of terminal.bash and terminal_run.bash. */
const char *cf_driver_terminal_text(void);
const char *cf_driver_terminal_run_text(void);

/* The options of the bash, behind its path and before the NULL. */
#define CF_DRIVER_TERMINAL_OPTIONS "--norc", "--noprofile", "--posix", "-i"

/* Appends the variable, with its name, by which that bash sources terminal.bash as it starts. */
void cf_driver_terminal_variable(struct cf_buf *out, const char *terminal_path);
/* Appends what the shell reads once from its boot descriptor.  `late` is bash text that it runs before its first status. */
void cf_driver_terminal_boot(struct cf_buf *out, const char *folder, const char *token, const char *run_path, const char *late);
/* Appends the content of the request file.  `number` counts the requests of a shell, of all kinds.  `pair` and `input` (a name
 * in the folder, or "-": nothing to read) matter to EXEC, as does `text`, whose NULs are left out as bash would. */
void cf_driver_terminal_request(struct cf_buf *out, const char *token, enum cf_driver_terminal_kind kind, unsigned number,
                                unsigned pair, const char *input, const char *text, size_t len);
/* Appends the answer to a B or an S of request `number`. */
void cf_driver_terminal_answer(struct cf_buf *out, unsigned number, bool go);

#endif
