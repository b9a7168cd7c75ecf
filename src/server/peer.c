#include "server/peer.h"

#include "base/fd.h"
#include "base/log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

/* What the kernel answers for a uid that the server's user namespace does not know; it names nobody in particular. */
#define OVERFLOW_UID 65534u

enum cf_peer cf_peer_judge(const struct cf_peer_answer *answer, uid_t own_uid)
{
    if (answer->state != TCP_ESTABLISHED || answer->inode == 0)
        return CF_PEER_UNKNOWN;
    if (answer->uid == OVERFLOW_UID)
        return CF_PEER_OTHER;
    return answer->uid == own_uid ? CF_PEER_SAME_UID : CF_PEER_OTHER;
}

enum cf_peer cf_peer_judge_unix(uid_t uid, uid_t own_uid)
{
    if (uid == OVERFLOW_UID)
        return CF_PEER_OTHER;
    return uid == own_uid || uid == 0 ? CF_PEER_SAME_UID : CF_PEER_OTHER;
}

void cf_peers_init(struct cf_peers *peers)
{
    *peers = (struct cf_peers){ .netlink_fd = -1, .sequence = 1, .own_uid = geteuid() };
    peers->netlink_fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (peers->netlink_fd < 0)
        cf_log(CF_LOG_WARNING, "no NETLINK_SOCK_DIAG here (%s): every caller on TCP needs the token", strerror(errno));
}

void cf_peers_free(struct cf_peers *peers)
{
    cf_fd_close(&peers->netlink_fd);
}

static bool is_mapped_loopback(const struct in6_addr *address)
{
    return IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == 127;
}

bool cf_peer_is_loopback(const struct sockaddr_storage *address)
{
    if (address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    if (address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr) || is_mapped_loopback(&in6->sin6_addr);
    }
    return false;
}

/* Writes one end of the four-tuple; an IPv4 address that is mapped into IPv6 is asked for as IPv4, whatever
 * family the client's own socket has. */
static void put_end(const struct sockaddr_storage *from, __be32 ret_address[4], __be16 *ret_port, uint8_t *ret_family)
{
    if (from->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)from;
        ret_address[0] = in->sin_addr.s_addr;
        *ret_port = in->sin_port;
        *ret_family = AF_INET;
        return;
    }
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
    *ret_port = in6->sin6_port;
    if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
        memcpy(ret_address, &in6->sin6_addr.s6_addr[12], 4);
        *ret_family = AF_INET;
    } else {
        memcpy(ret_address, &in6->sin6_addr, 16);
        *ret_family = AF_INET6;
    }
}

struct question {
    struct nlmsghdr head;
    struct inet_diag_req_v2 body;
};

/* The client's socket has its own address as source and ours as destination. */
static bool question_fill(struct question *q, uint32_t sequence, const struct sockaddr_storage *client,
                          const struct sockaddr_storage *own)
{
    uint8_t client_family = 0, own_family = 0;
    memset(q, 0, sizeof *q);
    q->head = (struct nlmsghdr){ .nlmsg_len = sizeof *q, .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                                 .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = sequence };
    q->body.sdiag_protocol = IPPROTO_TCP;
    q->body.idiag_states = ~0u;
    q->body.id.idiag_cookie[0] = q->body.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    put_end(client, q->body.id.idiag_src, &q->body.id.idiag_sport, &client_family);
    put_end(own, q->body.id.idiag_dst, &q->body.id.idiag_dport, &own_family);
    q->body.sdiag_family = client_family;
    return client_family == own_family;
}

/* Reads answers until the one to `q`; the kernel has queued it before send(2) returned. */
static bool answer_read(int fd, const struct question *q, struct cf_peer_answer *ret)
{
    union {
        struct nlmsghdr head;
        char bytes[1024];
    } in;
    for (int tries = 0; tries < 8; tries++) {
        ssize_t len = recv(fd, &in, sizeof in, MSG_DONTWAIT);
        if (len < 0 && errno == EINTR)
            continue;
        if (len < (ssize_t)sizeof in.head)
            return false;
        if (in.head.nlmsg_seq != q->head.nlmsg_seq)
            continue;
        if (in.head.nlmsg_type != SOCK_DIAG_BY_FAMILY || in.head.nlmsg_len > (size_t)len ||
            in.head.nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
            return false;
        struct inet_diag_msg found;
        memcpy(&found, NLMSG_DATA(&in.head), sizeof found);
        if (found.id.idiag_sport != q->body.id.idiag_sport || found.id.idiag_dport != q->body.id.idiag_dport)
            return false;
        *ret = (struct cf_peer_answer){ found.idiag_state, found.idiag_uid, found.idiag_inode };
        return true;
    }
    return false;
}

enum cf_peer cf_peers_tcp(struct cf_peers *peers, int fd, const struct sockaddr_storage *from)
{
    if (!cf_peer_is_loopback(from))
        return CF_PEER_OTHER;
    if (peers->netlink_fd < 0)
        return CF_PEER_UNKNOWN;
    struct sockaddr_storage own;
    socklen_t own_len = sizeof own;
    struct question q;
    struct cf_peer_answer answer;
    if (getsockname(fd, (struct sockaddr *)&own, &own_len) < 0 || !question_fill(&q, ++peers->sequence, from, &own) ||
        send(peers->netlink_fd, &q, sizeof q, MSG_DONTWAIT) != (ssize_t)sizeof q ||
        !answer_read(peers->netlink_fd, &q, &answer))
        return CF_PEER_UNKNOWN;
    return cf_peer_judge(&answer, peers->own_uid);
}

enum cf_peer cf_peers_unix(const struct cf_peers *peers, int fd)
{
    struct ucred who;
    socklen_t len = sizeof who;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || len != sizeof who)
        return CF_PEER_UNKNOWN;
    return cf_peer_judge_unix(who.uid, peers->own_uid);
}
