/* out.h: standard output and error, without ever waiting for who reads them. */
#ifndef CURFEW_CLI_OUT_H
#define CURFEW_CLI_OUT_H

#include <stddef.h>
#include <sys/types.h>

/* Writes as much as there is room for.  Returns how many bytes went (0: no room now; POLLOUT tells when), or -1 and
 * errno.  A descriptor that is shared with others is not made non-blocking. */
ssize_t cf_out_try(int fd, const char *data, size_t len);

#endif
