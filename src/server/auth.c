#include "server/auth.h"

#include "base/fd.h"
#include "server/folder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN_BYTES 32

/* ---- the token file ---- */

static int make_token(const char *path, struct cf_error *error)
{
    unsigned char random[TOKEN_BYTES];
    char line[2 * TOKEN_BYTES + 2];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return cf_error_set(error, CF_E_SYSTEM, "token_file", "no random bytes for a token: %s", strerror(errno));
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(line + 2 * i, 3, "%02x", random[i]);
    line[2 * TOKEN_BYTES] = '\n';

    CF_FD_AUTO fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return cf_error_set(error, CF_E_SYSTEM, "token_file", "cannot make the token file %s: %s", path,
                            strerror(errno));
    if (fchmod(fd, 0600) < 0 || cf_fd_write_all(fd, line, 2 * TOKEN_BYTES + 1) < 0) {
        int failed = errno;
        unlink(path);
        return cf_error_set(error, CF_E_SYSTEM, "token_file", "cannot write the token file %s: %s", path,
                            strerror(failed));
    }
    return 0;
}

static int check_file(int fd, const char *path, struct cf_error *error)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return cf_error_set(error, CF_E_SYSTEM, "token_file", "cannot look at %s: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return cf_error_set(error, CF_E_INVALID, "token_file", "the token file %s is not a regular file", path);
    if (st.st_uid != geteuid())
        return cf_error_set(error, CF_E_INVALID, "token_file", "the token file %s belongs to uid %u, not to %u", path,
                            (unsigned)st.st_uid, (unsigned)geteuid());
    if (st.st_mode & 077)
        return cf_error_set(error, CF_E_INVALID, "token_file", "the token file %s is open to others (mode %04o): "
                            "make it 0600, or remove it to have a new one made", path, (unsigned)st.st_mode & 07777);
    return 0;
}

static int read_token(int fd, const char *path, char ret_token[CF_TOKEN_MAX + 1], struct cf_error *error)
{
    char text[CF_TOKEN_MAX + 3];
    ssize_t len = read(fd, text, sizeof text);
    if (len < 0)
        return cf_error_set(error, CF_E_SYSTEM, "token_file", "cannot read %s: %s", path, strerror(errno));
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    bool plain = len >= CF_TOKEN_MIN && len <= CF_TOKEN_MAX;
    for (ssize_t i = 0; plain && i < len; i++)
        plain = text[i] > ' ' && text[i] < 0x7f;
    if (!plain)
        return cf_error_set(error, CF_E_INVALID, "token_file", "the token file %s must hold one line of %d to %d "
                            "printable characters without spaces", path, CF_TOKEN_MIN, CF_TOKEN_MAX);
    memcpy(ret_token, text, (size_t)len);
    ret_token[len] = '\0';
    return 0;
}

int cf_auth_token(const char *path, char ret_token[CF_TOKEN_MAX + 1], struct cf_error *error)
{
    CF_FD_AUTO fd = -1;
    for (int tries = 0; fd < 0 && tries < 2; tries++) {
        /* NONBLOCK: a FIFO in its place must not hold the start. */
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0 || errno != ENOENT || tries > 0)
            break;
        if (cf_folder_above(path, 0700) < 0)
            return cf_error_set(error, CF_E_SYSTEM, "token_file", "cannot make the folder of %s: %s", path,
                                strerror(errno));
        int code = make_token(path, error);
        if (code < 0)
            return code;
    }
    if (fd < 0)
        return cf_error_set(error, CF_E_SYSTEM, "token_file", "cannot open the token file %s: %s", path,
                            errno == ELOOP ? "it is a symbolic link" : strerror(errno));
    int code = check_file(fd, path, error);
    return code < 0 ? code : read_token(fd, path, ret_token, error);
}

/* ---- Host and Origin ---- */

/* Splits "name", "name:port", "[v6]" or "[v6]:port"; the name comes back without brackets. */
static bool split_host(const char *host, char *ret_name, size_t size)
{
    const char *name = host, *end;
    if (*host == '[') {
        name = host + 1;
        end = name + strspn(name, "0123456789abcdefABCDEF:.");
        if (*end != ']')
            return false;
    } else {
        end = name + strcspn(name, ":");
        for (const char *c = name; c < end; c++)
            if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", *c))
                return false;
    }
    size_t len = (size_t)(end - name);
    if (len == 0 || len >= size)
        return false;
    const char *port = end + (*host == '[');
    if (*port == ':') {
        size_t digits = strspn(port + 1, "0123456789");
        if (digits > 5)
            return false;
        port += 1 + digits;
    }
    if (*port)
        return false;
    memcpy(ret_name, name, len);
    ret_name[len] = '\0';
    return true;
}

static bool in_list(const char *list, const char *want)
{
    size_t want_len = strlen(want);
    for (const char *item = list; *item;) {
        item += strspn(item, ", \t");
        size_t len = strcspn(item, ","), next = len;
        while (len > 0 && (item[len - 1] == ' ' || item[len - 1] == '\t'))
            len--;
        if (len > 0 && len == want_len && strncasecmp(item, want, len) == 0)
            return true;
        item += next;
    }
    return false;
}

static bool is_own_name(const struct cf_auth *auth, const char *name)
{
    struct in_addr v4;
    struct in6_addr v6;
    if (strcasecmp(name, "localhost") == 0 || strcasecmp(name, "localhost.") == 0)
        return true;
    if (inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127)
        return true;
    if (inet_pton(AF_INET6, name, &v6) == 1 && IN6_IS_ADDR_LOOPBACK(&v6))
        return true;
    return strcasecmp(name, auth->host) == 0 || in_list(auth->allowed_hosts, name);
}

/* A page that reaches this server through a name of its own (DNS rebinding) shows that name in Host. */
static int check_host(const struct cf_auth *auth, const struct cf_auth_request *request, struct cf_error *error)
{
    char name[256];
    if (!request->host)
        return 0;                       /* HTTP/1.0; no browser speaks it */
    if (request->unix_socket && request->host[0] == '\0')
        return 0;
    if (!split_host(request->host, name, sizeof name))
        return cf_error_set(error, CF_E_MALFORMED, "Host", "the Host header is not of the form name or name:port");
    if (request->unix_socket || is_own_name(auth, name))
        return 0;
    return cf_error_set(error, CF_E_MISDIRECTED, "Host", "this server does not answer for the host \"%.200s\"; "
                        "the setting allowed_hosts adds names", name);
}

/* Only browsers send Origin.  A page of this server itself has the origin "http://" and the Host that was accepted. */
static int check_origin(const struct cf_auth *auth, const struct cf_auth_request *request, struct cf_error *error)
{
    if (!request->origin || in_list(auth->allowed_origins, request->origin))
        return 0;
    if (request->host && strncasecmp(request->origin, "http://", 7) == 0 &&
        strcasecmp(request->origin + 7, request->host) == 0)
        return 0;
    return cf_error_set(error, CF_E_FORBIDDEN, "Origin", "web pages of the origin \"%.200s\" may not call; "
                        "the setting allowed_origins adds origins", request->origin);
}

/* ---- token ---- */

static bool same_secret(const char *a, const char *b)
{
    size_t len = strlen(a);
    if (len == 0 || strlen(b) != len)
        return false;
    volatile unsigned char differ = 0;
    for (size_t i = 0; i < len; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

static int check_token(const struct cf_auth *auth, const struct cf_auth_request *request, struct cf_error *error)
{
    if (request->open)
        return 0;
    if (request->authorization) {
        if (strncasecmp(request->authorization, "Bearer ", 7) == 0) {
            const char *given = request->authorization + 7;
            if (same_secret(auth->token, given + strspn(given, " ")))
                return 0;
        }
        return cf_error_set(error, CF_E_UNAUTHORIZED, "Authorization", "the bearer token is not this server's");
    }
    if (request->peer == CF_PEER_SAME_UID && !auth->token_required)
        return 0;
    return cf_error_set(error, CF_E_UNAUTHORIZED, "Authorization",
                        "%s: send \"Authorization: Bearer\" with the token of token_file",
                        auth->token_required             ? "a bearer token is required"
                        : request->peer == CF_PEER_OTHER ? "a caller of another user or machine needs the bearer token"
                                                         : "the system cannot say whose connection this is, so it "
                                                           "needs the bearer token");
}

int cf_auth_check(const struct cf_auth *auth, const struct cf_auth_request *request, struct cf_error *error)
{
    int code = check_host(auth, request, error);
    if (code == 0)
        code = check_origin(auth, request, error);
    if (code == 0)
        code = check_token(auth, request, error);
    return code;
}
