/* peer.h: who is at the other end of a connection, by the kernel's word. */
#ifndef CURFEW_SERVER_PEER_H
#define CURFEW_SERVER_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

enum cf_peer {
    CF_PEER_UNKNOWN,                    /* the kernel could not tell, or its answer means nothing */
    CF_PEER_OTHER,                      /* another uid, or another machine */
    CF_PEER_SAME_UID,                   /* needs no token unless token_required */
};

/* What NETLINK_SOCK_DIAG says of the client's socket. */
struct cf_peer_answer {
    uint8_t state;                      /* TCP_ESTABLISHED, … */
    uint32_t uid;
    uint32_t inode;                     /* 0: no process holds the socket any more, and `uid` says nothing */
};

/* The whole decision for loopback TCP.  A socket whose owner closed it or exited answers uid 0 with
 * inode 0 in FIN_WAIT2: that is UNKNOWN, and never root. */
enum cf_peer cf_peer_judge(const struct cf_peer_answer *answer, uid_t own_uid);
/* The same for SO_PEERCRED on a Unix socket, where root may always call. */
enum cf_peer cf_peer_judge_unix(uid_t uid, uid_t own_uid);

struct cf_peers {
    int netlink_fd;                     /* -1: this machine has no sock_diag, every TCP caller is UNKNOWN */
    uint32_t sequence;
    uid_t own_uid;
};

/* Opens the netlink socket; when there is none that is logged, once, and not an error. */
void cf_peers_init(struct cf_peers *peers);
void cf_peers_free(struct cf_peers *peers);
/* Who made the TCP connection that was accepted as `fd` from `from`.  Not loopback: OTHER.
 * It looks the client's end up by its four-tuple in the kernel's table, which takes some 3 µs. */
enum cf_peer cf_peers_tcp(struct cf_peers *peers, int fd, const struct sockaddr_storage *from);
enum cf_peer cf_peers_unix(const struct cf_peers *peers, int fd);
/* 127.0.0.0/8, ::1, or the former mapped into IPv6. */
bool cf_peer_is_loopback(const struct sockaddr_storage *address);

#endif
