#include "server/listen.h"

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "server/folder.h"
#include "server/peer.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define ACCEPT_BATCH 64                 /* connections a wake-up; then the open ones have their turn */
#define PAUSE_US 100000                 /* without a free descriptor: how long accepting rests */
#define COMPLAIN_NS (60 * CF_NS_PER_S)  /* from one log line about it to the next */
#define DESCRIPTORS_ASIDE 256           /* beside connections: sessions' pipes, files, netlink, the loop */

struct listener {
    struct cf_listen *owner;
    struct event *event;
    int fd;
};

struct cf_listen {
    struct listener sockets[CF_LISTEN_MAX];
    unsigned count;
    struct event *resume;               /* ends a pause */
    int reserve_fd;                     /* given up to accept and close one connection when no other is free */
    int64_t complained_ns;              /* when it was logged last; 0: never */
    cf_listen_accepted *accepted;
    cf_listen_shed *shed;
    void *arg;
    char address[INET6_ADDRSTRLEN + 16];
    char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    dev_t socket_dev;                   /* which file at socket_path is ours */
    ino_t socket_ino;
};

/* ---- accepting ---- */

static void pause_all(struct cf_listen *l)
{
    const struct timeval wait = { .tv_usec = PAUSE_US };
    for (unsigned i = 0; i < l->count; i++)
        event_del(l->sockets[i].event);
    event_add(l->resume, &wait);
}

static void resume_all(evutil_socket_t fd, short what, void *arg)
{
    struct cf_listen *l = arg;
    for (unsigned i = 0; i < l->count; i++)
        event_add(l->sockets[i].event, NULL);
}

/* No descriptor is free: tell one caller by closing its connection, then rest instead of spinning on a
 * listener that stays readable. */
static void starve(struct cf_listen *l, int listen_fd)
{
    int64_t now_ns = cf_clock_now().mono_ns;
    if (l->complained_ns == 0 || now_ns - l->complained_ns > COMPLAIN_NS) {
        cf_log(CF_LOG_ERROR, "no free descriptor for a connection: %s; raise the limit of open files", strerror(errno));
        l->complained_ns = now_ns;
    }
    cf_fd_close(&l->reserve_fd);
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
        close(fd);
        l->shed(l->arg);
    }
    l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    pause_all(l);
}

static void accept_some(evutil_socket_t listen_fd, short what, void *arg)
{
    struct cf_listen *l = ((struct listener *)arg)->owner;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage from = { .ss_family = AF_UNSPEC };
        socklen_t from_len = sizeof from;
        int fd = accept4((int)listen_fd, (struct sockaddr *)&from, &from_len, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            l->accepted(l->arg, fd, &from, from_len);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            starve(l, (int)listen_fd);
            return;
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED && errno != EPROTO && errno != EPERM) {
            cf_log(CF_LOG_ERROR, "accept: %s", strerror(errno));
            pause_all(l);
            return;
        }
    }
}

static int add(struct cf_listen *l, struct event_base *loop, int fd)
{
    struct listener *one = &l->sockets[l->count];
    one->owner = l;
    one->fd = fd;
    one->event = event_new(loop, fd, EV_READ | EV_PERSIST, accept_some, one);
    if (!one->event || event_add(one->event, NULL) < 0) {
        if (one->event)
            event_free(one->event);
        one->event = NULL;
        return -1;
    }
    l->count++;
    return 0;
}

/* ---- TCP ---- */

static void format_address(struct cf_listen *l, const struct sockaddr *address, socklen_t len)
{
    char host[INET6_ADDRSTRLEN + 4], port[8];
    if (getnameinfo(address, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    snprintf(l->address, sizeof l->address, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void put_port(struct sockaddr_storage *address, in_port_t port)
{
    if (address->ss_family == AF_INET6)
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    else
        ((struct sockaddr_in *)address)->sin_port = htons(port);
}

static in_port_t get_port(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

/* The listening descriptor, with the address as bound in *address; or -1 and errno. */
static int listen_at(struct sockaddr_storage *address, socklen_t len, bool only_v6)
{
    const int on = 1, v6_only = only_v6;
    CF_FD_AUTO fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6_only, sizeof v6_only);
    socklen_t bound_len = sizeof *address;
    if (bind(fd, (struct sockaddr *)address, len) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)address, &bound_len) < 0)
        return -1;
    int kept = fd;
    fd = -1;
    return kept;
}

static int open_one(struct cf_listen *l, struct event_base *loop, const struct cf_settings *s,
                    const struct addrinfo *at, bool alone, in_port_t *port, struct cf_error *error)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    memcpy(&address, at->ai_addr, at->ai_addrlen);
    if (!cf_peer_is_loopback(&address) && !s->token_required)
        return cf_error_set(error, CF_E_INVALID, "host",
                            "\"host\" is %s, which is not loopback: that needs token_required", s->host);
    put_port(&address, *port);
    int fd = listen_at(&address, at->ai_addrlen, !alone);
    if (fd < 0)
        return cf_error_set(error, errno == EADDRNOTAVAIL || errno == EAFNOSUPPORT ? CF_E_UNAVAILABLE : CF_E_SYSTEM,
                            "port", "cannot listen on %s port %u: %s", s->host, (unsigned)*port,
                            errno == EADDRINUSE ? "the port is in use; the setting port chooses another"
                                                : strerror(errno));
    if (add(l, loop, fd) < 0) {
        close(fd);
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for a listener");
    }
    *port = get_port(&address);
    if (!*l->address)
        format_address(l, (struct sockaddr *)&address, at->ai_addrlen);
    return 0;
}

static int open_tcp(struct cf_listen *l, struct event_base *loop, const struct cf_settings *s, struct cf_error *error)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
    struct addrinfo *found = NULL;
    int fault = getaddrinfo(s->host, NULL, &hints, &found);
    if (fault != 0)
        return cf_error_set(error, CF_E_INVALID, "host", "\"host\" is %s, which has no address: %s", s->host,
                            gai_strerror(fault));
    in_port_t port = (in_port_t)s->port;
    int code = 0;
    for (const struct addrinfo *at = found; at && l->count + 1 < CF_LISTEN_MAX; at = at->ai_next) {
        code = open_one(l, loop, s, at, !found->ai_next, &port, error);
        /* One address of a name may be missing on this machine (::1 without IPv6), not all of them. */
        if (code < 0 && code != CF_E_UNAVAILABLE)
            break;
    }
    freeaddrinfo(found);
    return code == CF_E_UNAVAILABLE && l->count > 0 ? 0 : code;
}

/* ---- Unix ---- */

/* Removes a socket file that its server left behind.  Anything else in its place stays, and is an error. */
static int clear_stale(const struct sockaddr_un *address, struct cf_error *error)
{
    struct stat st;
    if (lstat(address->sun_path, &st) < 0)
        return errno == ENOENT ? 0
            : cf_error_set(error, CF_E_SYSTEM, "socket", "cannot look at %s: %s", address->sun_path, strerror(errno));
    if (!S_ISSOCK(st.st_mode))
        return cf_error_set(error, CF_E_INVALID, "socket", "%s is there already and is not a socket",
                            address->sun_path);
    CF_FD_AUTO fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 || errno != ECONNREFUSED)
        return cf_error_set(error, CF_E_SYSTEM, "socket", "another server answers on %s", address->sun_path);
    if (unlink(address->sun_path) < 0 && errno != ENOENT)
        return cf_error_set(error, CF_E_SYSTEM, "socket", "cannot replace %s: %s", address->sun_path, strerror(errno));
    return 0;
}

static void remember_file(struct cf_listen *l, const char *path)
{
    struct stat st;
    memcpy(l->socket_path, path, strlen(path) + 1);
    if (lstat(path, &st) == 0) {
        l->socket_dev = st.st_dev;
        l->socket_ino = st.st_ino;
    }
}

static int open_unix(struct cf_listen *l, struct event_base *loop, const char *path, struct cf_error *error)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof address.sun_path)
        return cf_error_set(error, CF_E_INVALID, "socket", "the socket's path %s is longer than %zu bytes", path,
                            sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (cf_folder_above(path, 0755) < 0)
        return cf_error_set(error, CF_E_SYSTEM, "socket", "cannot make the folder of %s: %s", path, strerror(errno));
    int code = clear_stale(&address, error);
    if (code < 0)
        return code;
    CF_FD_AUTO fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    /* Open to every uid: SO_PEERCRED tells who calls, and others need the token. */
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || chmod(path, 0666) < 0 ||
        listen(fd, BACKLOG) < 0)
        return cf_error_set(error, CF_E_SYSTEM, "socket", "cannot listen on %s: %s", path, strerror(errno));
    if (add(l, loop, fd) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for a listener");
    fd = -1;
    remember_file(l, path);
    return 0;
}

/* ---- all ---- */

static int adopt(struct cf_listen *l, struct event_base *loop, const struct cf_settings *s, const struct cf_listeners *from, struct cf_error *error)
{
    int code = 0;
    for (unsigned i = 0; i < from->count; i++) {
        struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
        socklen_t len = sizeof address;
        int fd = from->fds[i];
        if (code != 0 || add(l, loop, fd) < 0) {
            cf_fd_close(&fd);
            code = cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for a listener");
        } else if (getsockname(fd, (struct sockaddr *)&address, &len) == 0 && address.ss_family == AF_UNIX) {
            remember_file(l, s->socket);
        } else if (!*l->address) {
            format_address(l, (struct sockaddr *)&address, len);
        }
    }
    return code;
}

/* Takes what the hard limit gives towards `connections`. */
static void make_room(int64_t connections)
{
    struct rlimit limit;
    rlim_t want = (rlim_t)connections + DESCRIPTORS_ASIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= want)
        return;
    limit.rlim_cur = limit.rlim_max < want ? limit.rlim_max : want;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur < want)
        cf_log(CF_LOG_WARNING, "%llu open files are allowed, which is too few for %lld connections",
               (unsigned long long)limit.rlim_cur, (long long)connections);
}

int cf_listen_open(struct event_base *loop, const struct cf_settings *settings, const struct cf_listeners *from, cf_listen_accepted *accepted,
                   cf_listen_shed *shed, void *arg, struct cf_listen **ret_listen, struct cf_error *error)
{
    struct cf_listen *l = calloc(1, sizeof *l);
    if (!l)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the listeners");
    l->accepted = accepted;
    l->shed = shed;
    l->arg = arg;
    l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    l->resume = evtimer_new(loop, resume_all, l);
    make_room(settings->max_connections);
    int code = l->resume ? 0 : cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    if (code == 0 && from != NULL && from->count > 0)
        code = adopt(l, loop, settings, from, error);
    else if (code == 0)
        code = open_tcp(l, loop, settings, error);
    if (code == 0 && (from == NULL || from->count == 0) && settings->socket[0] && strcmp(settings->socket, "none") != 0)
        code = open_unix(l, loop, settings->socket, error);
    if (code < 0)
        cf_listen_close(&l);
    else
        *ret_listen = l;
    return code;
}

void cf_listen_close(struct cf_listen **listen)
{
    struct cf_listen *l = *listen;
    struct stat st;
    if (!l)
        return;
    for (unsigned i = 0; i < l->count; i++) {
        event_free(l->sockets[i].event);
        cf_fd_close(&l->sockets[i].fd);
    }
    if (*l->socket_path && lstat(l->socket_path, &st) == 0 && st.st_dev == l->socket_dev && st.st_ino == l->socket_ino)
        unlink(l->socket_path);
    if (l->resume)
        event_free(l->resume);
    cf_fd_close(&l->reserve_fd);
    free(l);
    *listen = NULL;
}

void cf_listen_list(const struct cf_listen *l, struct cf_listeners *ret)
{
    ret->count = l->count;
    for (unsigned i = 0; i < l->count; i++)
        ret->fds[i] = l->sockets[i].fd;
}

const char *cf_listen_address(const struct cf_listen *listen)
{
    return listen->address;
}
