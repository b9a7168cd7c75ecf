#include "base/packet.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Control space for one SCM_RIGHTS message, aligned as the kernel wants it. */
union control {
    char space[CMSG_SPACE(sizeof(int) * CF_PACKET_FDS_MAX)];
    struct cmsghdr align;
};

int cf_packet_send(int fd, const void *data, size_t len, const int *fds, size_t nfds)
{
    union control control;
    struct iovec iov;
    struct msghdr message;
    ssize_t sent;

    if (nfds > CF_PACKET_FDS_MAX) {
        errno = EINVAL;
        return -1;
    }
    memset(&message, 0, sizeof message);
    memcpy(&iov.iov_base, &data, sizeof data);
    iov.iov_len = len;
    message.msg_iov = &iov;
    message.msg_iovlen = 1;
    if (nfds != 0) {
        struct cmsghdr *header;

        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * nfds);
    }
    do {
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return -1;
    if ((size_t)sent != len) {
        errno = EMSGSIZE;
        return -1;
    }
    return 0;
}

static void close_all(const int *fds, size_t count)
{
    int saved = errno;

    for (size_t i = 0; i < count; i++)
        close(fds[i]);
    errno = saved;
}

/* Copies the descriptors of a message out.  The control space holds CF_PACKET_FDS_MAX at most, so does `out`. */
static size_t collect(struct msghdr *message, int *out)
{
    size_t count = 0;

    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
        size_t here;

        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        here = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        if (here > CF_PACKET_FDS_MAX - count)
            here = CF_PACKET_FDS_MAX - count;
        memcpy(out + count, CMSG_DATA(header), here * sizeof(int));
        count += here;
    }
    return count;
}

ssize_t cf_packet_recv(int fd, void *buf, size_t cap, int *ret_fds, size_t max_fds, size_t *ret_nfds)
{
    union control control;
    struct iovec iov = { .iov_base = buf, .iov_len = cap };
    struct msghdr message;
    int fds[CF_PACKET_FDS_MAX];
    size_t count;
    ssize_t length;

    *ret_nfds = 0;
    do {
        memset(&message, 0, sizeof message);
        message.msg_iov = &iov;
        message.msg_iovlen = 1;
        message.msg_control = control.space;
        message.msg_controllen = sizeof control.space;
        length = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    } while (length < 0 && errno == EINTR);
    if (length < 0)
        return -1;
    count = collect(&message, fds);
    if (length == 0) {
        close_all(fds, count);
        return 0;
    }
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 || count > max_fds) {
        /* The kernel cuts descriptors short of our room only when it finds no free number for the next one. */
        bool full = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == MSG_CTRUNC && count < CF_PACKET_FDS_MAX;

        close_all(fds, count);
        errno = full ? EMFILE : EMSGSIZE;
        return -1;
    }
    if (count != 0)
        memcpy(ret_fds, fds, count * sizeof fds[0]);
    *ret_nfds = count;
    return length;
}
