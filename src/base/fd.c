/* fd.c: the few calls around descriptors. */
#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define FIRST_READ_BYTES 4096

#ifdef __SANITIZE_ADDRESS__
#define CF_FD_STRAY abort
#else
#define CF_FD_STRAY() ((void)0)
#endif

void cf_fd_close(int *fd)
{
    if (*fd < 0)
        return;
    int saved = errno;
    /* On Linux the descriptor is gone whatever close says; but one that was not open may by now be somebody else's the next time. */
    if (close(*fd) != 0 && errno == EBADF)
        CF_FD_STRAY();
    *fd = -1;
    errno = saved;
}

int cf_fd_nonblock(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0)
        return -1;
    return fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -1 : 0;
}

int cf_fd_write_all(int fd, const void *data, size_t len)
{
    const char *at = data;

    while (len > 0) {
        ssize_t wrote = write(fd, at, len);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0)
            return -1;
        at += wrote;
        len -= (size_t)wrote;
    }
    return 0;
}

/* Reads until the end or until `cap` bytes are there; the count, or -1 and errno. */
static ssize_t read_up_to(int fd, char *data, size_t cap)
{
    size_t len = 0;

    while (len < cap) {
        ssize_t got = read(fd, data + len, cap - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        len += (size_t)got;
    }
    return (ssize_t)len;
}

int cf_fd_read_file(int dirfd, const char *path, size_t max, char **ret_data, size_t *ret_len)
{
    CF_FD_AUTO fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    char *data = NULL;
    size_t len = 0, cap = 0;

    if (fd < 0)
        return -1;
    /* Sizes from stat mean nothing for FIFOs and /proc, so the buffer grows until the end shows. */
    while (len == cap) {
        size_t next = cap == 0 ? FIRST_READ_BYTES : cap * 2;
        if (next > max + 1)
            next = max + 1;     /* one more than allowed: filling it means too large */
        if (cap == next) {
            errno = EFBIG;
            goto fail;
        }
        char *grown = realloc(data, next + 1);
        if (grown == NULL)
            goto fail;
        data = grown;
        cap = next;
        ssize_t got = read_up_to(fd, data + len, cap - len);
        if (got < 0)
            goto fail;
        len += (size_t)got;
    }
    data[len] = '\0';
    *ret_data = data;
    if (ret_len != NULL)
        *ret_len = len;
    return 0;

fail:;
    int saved = errno;
    free(data);
    errno = saved;
    return -1;
}
