/* packet.h: one packet with descriptors over a SOCK_SEQPACKET socket. */
#ifndef CURFEW_BASE_PACKET_H
#define CURFEW_BASE_PACKET_H

#include <stddef.h>
#include <sys/types.h>

#define CF_PACKET_FDS_MAX 16            /* descriptors that one packet may carry at most */

/* Sends one packet with `nfds` descriptors, which stay the caller's.  Retries EINTR, never raises SIGPIPE.
 * Returns 0, or -1 and errno: EAGAIN when a non-blocking peer does not read, EINVAL when `nfds` is over the
 * maximum, EPIPE or ECONNRESET when it is gone. */
int cf_packet_send(int fd, const void *data, size_t len, const int *fds, size_t nfds);

/* Receives one packet of at most `cap` bytes with at most `max_fds` descriptors (which are the caller's then and
 * CLOEXEC).  Returns the length, 0 when the peer is gone, or -1 and errno: EAGAIN when nothing is there, EMSGSIZE
 * when the packet or its descriptors were more than fit, EMFILE when this process had no number free for a
 * descriptor (the packet's bytes are in `buf` even so, so that its sender can be answered).  On -1 and 0 every
 * descriptor that came is closed and *ret_nfds is 0. */
ssize_t cf_packet_recv(int fd, void *buf, size_t cap, int *ret_fds, size_t max_fds, size_t *ret_nfds);

#endif
