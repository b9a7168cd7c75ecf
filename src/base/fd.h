/* fd.h: descriptors that close when they leave their scope, and the few calls around them. */
#ifndef CURFEW_BASE_FD_H
#define CURFEW_BASE_FD_H

#include <stddef.h>

/* Closes *fd when it is not negative and sets it to -1.  Keeps errno. */
void cf_fd_close(int *fd);
#define CF_FD_AUTO __attribute__((cleanup(cf_fd_close))) int

int cf_fd_nonblock(int fd);                                   /* 0 or -1 and errno */
int cf_fd_write_all(int fd, const void *data, size_t len);    /* retries EINTR and short writes; 0 or -1 and errno */
/* Reads a whole file of at most `max` bytes (it may be a FIFO or /proc file).  Returns 0 and an owned,
 * NUL-terminated buffer, or -1 and errno (EFBIG when it is larger). */
int cf_fd_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len);

#endif
