#include "cli/out.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* A pipe or a terminal that polls as writable has room for as many bytes (PIPE_BUF), so that a write does not block. */
#define PIECE_BYTES 4096u

static ssize_t no_room(ssize_t wrote)
{
    return wrote < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : wrote;
}

ssize_t cf_out_try(int fd, const char *data, size_t len)
{
    struct iovec whole = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct pollfd room = {.fd = fd, .events = POLLOUT};
    ssize_t wrote = pwritev2(fd, &whole, 1, -1, RWF_NOWAIT);
    struct stat st;

    /* Pipes and sockets know how not to wait; what does not, says so. */
    if (wrote >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINVAL && errno != EAGAIN))
        return no_room(wrote);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
        return no_room(write(fd, data, len));
    if (poll(&room, 1, 0) <= 0 || !(room.revents & (POLLOUT | POLLERR | POLLHUP | POLLNVAL)))
        return 0;
    return no_room(write(fd, data, len < PIECE_BYTES ? len : PIECE_BYTES));
}
