#include "server/peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHER_UID 12345

static enum cf_peer judge(uint8_t tcp_state, uint32_t uid, uint32_t inode, uid_t own)
{
    const struct cf_peer_answer answer = { tcp_state, uid, inode };
    return cf_peer_judge(&answer, own);
}

static void same_uid(void **state)
{
    assert_int_equal(judge(TCP_ESTABLISHED, 1000, 77, 1000), CF_PEER_SAME_UID);
    assert_int_equal(judge(TCP_ESTABLISHED, 0, 77, 0), CF_PEER_SAME_UID);
}

static void other_uid(void **state)
{
    assert_int_equal(judge(TCP_ESTABLISHED, 1001, 77, 1000), CF_PEER_OTHER);
    assert_int_equal(judge(TCP_ESTABLISHED, 0, 77, 1000), CF_PEER_OTHER);
    assert_int_equal(judge(TCP_ESTABLISHED, 65534, 77, 65534), CF_PEER_OTHER);
}

static void ownerless_is_never_root(void **state)
{
    for (unsigned tcp_state = 0; tcp_state < 16; tcp_state++) {
        assert_int_equal(judge((uint8_t)tcp_state, 0, 0, 0), CF_PEER_UNKNOWN);
        assert_int_equal(judge((uint8_t)tcp_state, 0, 0, 1000), CF_PEER_UNKNOWN);
        if (tcp_state != TCP_ESTABLISHED)
            assert_int_equal(judge((uint8_t)tcp_state, 0, 77, 0), CF_PEER_UNKNOWN);
    }
    assert_int_equal(judge(TCP_ESTABLISHED, 1000, 0, 1000), CF_PEER_UNKNOWN);
}

static void unix_uids(void **state)
{
    assert_int_equal(cf_peer_judge_unix(1000, 1000), CF_PEER_SAME_UID);
    assert_int_equal(cf_peer_judge_unix(0, 1000), CF_PEER_SAME_UID);
    assert_int_equal(cf_peer_judge_unix(1000, 0), CF_PEER_OTHER);
    assert_int_equal(cf_peer_judge_unix(65534, 65534), CF_PEER_OTHER);
}

static void loopback(void **state)
{
    struct sockaddr_storage a = { .ss_family = AF_INET };
    struct sockaddr_in *v4 = (struct sockaddr_in *)&a;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&a;
    const struct { int family; const char *text; bool want;
    } cases[] = {
        { AF_INET, "127.0.0.1", true },
        { AF_INET, "127.255.0.3", true },
        { AF_INET, "128.0.0.1", false },
        { AF_INET, "0.0.0.0", false },
        { AF_INET6, "::1", true },
        { AF_INET6, "::", false },
        { AF_INET6, "::ffff:127.0.0.1", true },
        { AF_INET6, "::ffff:10.0.0.1", false },
        { AF_INET6, "fe80::1", false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        a.ss_family = (sa_family_t)cases[i].family;
        void *to = cases[i].family == AF_INET ? (void *)&v4->sin_addr : (void *)&v6->sin6_addr;
        assert_int_equal(inet_pton(cases[i].family, cases[i].text, to), 1);
        assert_int_equal(cf_peer_is_loopback(&a), cases[i].want);
    }
    a.ss_family = AF_UNIX;
    assert_false(cf_peer_is_loopback(&a));
}

/* ---- with real sockets ---- */

struct live {
    struct cf_peers peers;
    int listen_fd;
    struct sockaddr_storage at;
    socklen_t at_len;
};

static bool live_open(struct live *l, const char *v4, const char *v6)
{
    const int off = 0;
    memset(l, 0, sizeof *l);
    l->at.ss_family = v4 ? AF_INET : AF_INET6;
    l->at_len = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    inet_pton(l->at.ss_family, v4 ? v4 : v6, v4 ? (void *)&((struct sockaddr_in *)&l->at)->sin_addr
                                                : (void *)&((struct sockaddr_in6 *)&l->at)->sin6_addr);
    l->listen_fd = socket(l->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (l->at.ss_family == AF_INET6)
        setsockopt(l->listen_fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (l->listen_fd < 0 || bind(l->listen_fd, (struct sockaddr *)&l->at, l->at_len) < 0 ||
        listen(l->listen_fd, 8) < 0 || getsockname(l->listen_fd, (struct sockaddr *)&l->at, &l->at_len) < 0) {
        close(l->listen_fd);
        return false;
    }
    cf_peers_init(&l->peers);
    if (l->peers.netlink_fd < 0) {
        close(l->listen_fd);
        return false;
    }
    return true;
}

static void live_close(struct live *l)
{
    cf_peers_free(&l->peers);
    close(l->listen_fd);
}

static enum cf_peer live_ask(struct live *l)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof from;
    int fd = accept(l->listen_fd, (struct sockaddr *)&from, &len);
    assert_true(fd >= 0);
    enum cf_peer peer = cf_peers_tcp(&l->peers, fd, &from);
    close(fd);
    return peer;
}

static int dial(const struct sockaddr_storage *at, socklen_t len)
{
    int fd = socket(at->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)at, len) < 0)
        return -1;
    return fd;
}

static void live_same(void **state)
{
    struct live l;
    if (!live_open(&l, "127.0.0.1", NULL))
        skip();
    int fd = dial(&l.at, l.at_len);
    assert_true(fd >= 0);
    assert_int_equal(live_ask(&l), CF_PEER_SAME_UID);
    close(fd);
    live_close(&l);
}

static void live_v6(void **state)
{
    struct live l;
    if (!live_open(&l, NULL, "::1"))
        skip();
    int fd = dial(&l.at, l.at_len);
    assert_true(fd >= 0);
    assert_int_equal(live_ask(&l), CF_PEER_SAME_UID);
    close(fd);
    live_close(&l);
}

static void live_mapped(void **state)
{
    struct live l;
    if (!live_open(&l, NULL, "::"))
        skip();
    struct sockaddr_storage v4 = { .ss_family = AF_INET };
    ((struct sockaddr_in *)&v4)->sin_port = ((struct sockaddr_in6 *)&l.at)->sin6_port;
    ((struct sockaddr_in *)&v4)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = dial(&v4, sizeof(struct sockaddr_in));
    assert_true(fd >= 0);
    assert_int_equal(live_ask(&l), CF_PEER_SAME_UID);
    close(fd);
    struct sockaddr_storage mapped = { .ss_family = AF_INET6 };
    ((struct sockaddr_in6 *)&mapped)->sin6_port = ((struct sockaddr_in6 *)&l.at)->sin6_port;
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &((struct sockaddr_in6 *)&mapped)->sin6_addr);
    fd = dial(&mapped, sizeof(struct sockaddr_in6));
    assert_true(fd >= 0);
    assert_int_equal(live_ask(&l), CF_PEER_SAME_UID);
    close(fd);
    live_close(&l);
}

/* Connects in a child (as `uid` when not 0), sends a request, and stays or exits; the parent asks afterwards. */
static enum cf_peer from_child(uid_t uid, bool stays)
{
    struct live l;
    int ready[2], over[2];
    char byte;
    if (!live_open(&l, "127.0.0.1", NULL))
        skip();
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(over), 0);
    pid_t pid = fork();
    if (pid == 0) {
        static const char request[] = "GET /v1/sessions HTTP/1.1\r\nHost: localhost\r\n\r\n";
        close(over[1]);
        if (uid && setresuid(uid, uid, uid) < 0)
            _exit(1);
        int fd = dial(&l.at, l.at_len);
        if (fd < 0 || write(fd, request, sizeof request - 1) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        if (stays && read(over[0], &byte, 1) < 0)
            _exit(1);
        _exit(0);
    }
    assert_true(pid > 0);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    if (!stays)
        waitpid(pid, NULL, 0);
    enum cf_peer peer = live_ask(&l);
    close(over[0]);
    close(over[1]);
    close(ready[0]);
    close(ready[1]);
    if (stays)
        waitpid(pid, NULL, 0);
    live_close(&l);
    return peer;
}

static void live_exited(void **state)
{
    assert_int_equal(from_child(0, false), CF_PEER_UNKNOWN);
}

static void live_other(void **state)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(from_child(OTHER_UID, true), CF_PEER_OTHER);
    assert_int_equal(from_child(OTHER_UID, false), CF_PEER_UNKNOWN);
}

static void live_unix(void **state)
{
    int pair[2];
    const struct cf_peers peers = { .netlink_fd = -1, .own_uid = geteuid() };
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(cf_peers_unix(&peers, pair[0]), CF_PEER_SAME_UID);
    close(pair[0]);
    close(pair[1]);
}

static void no_sock_diag(void **state)
{
    struct cf_peers peers = { .netlink_fd = -1, .own_uid = geteuid() };
    struct sockaddr_storage from = { .ss_family = AF_INET };
    ((struct sockaddr_in *)&from)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(cf_peers_tcp(&peers, -1, &from), CF_PEER_UNKNOWN);
    ((struct sockaddr_in *)&from)->sin_addr.s_addr = htonl(0xc0000201);
    assert_int_equal(cf_peers_tcp(&peers, -1, &from), CF_PEER_OTHER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "an established connection of the same uid is known, root's own too", .test_func = same_uid },
        { .name = "another uid is another, root's for a server that is not root, and the unmapped one always",
          .test_func = other_uid },
        { .name = "a socket without an owner (uid 0, inode 0) is refused and never root",
          .test_func = ownerless_is_never_root },
        { .name = "on the Unix socket the same uid and root are known", .test_func = unix_uids },
        { .name = "loopback is 127.0.0.0/8, ::1 and the mapped former", .test_func = loopback },
        { .name = "a live client on 127.0.0.1 is known", .test_func = live_same },
        { .name = "a live client on ::1 is known", .test_func = live_v6 },
        { .name = "a live IPv4 client of an IPv6 listener is known", .test_func = live_mapped },
        { .name = "a client that sent its request and exited before it was asked for is unknown, although it was root",
          .test_func = live_exited },
        { .name = "a live client of another uid is another", .test_func = live_other },
        { .name = "a live client on a Unix socket is known", .test_func = live_unix },
        { .name = "without sock_diag every loopback caller is unknown", .test_func = no_sock_diag },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
