#include "server/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TOKEN "0123456789abcdef0123456789abcdef"

static const struct cf_auth auth = {
    .host = "192.0.2.7",
    .allowed_hosts = "box.example, other.example",
    .allowed_origins = "https://tools.example",
    .token = TOKEN,
};
static struct cf_error error;

static int host(const char *text)
{
    const struct cf_auth_request r = { .peer = CF_PEER_SAME_UID, .host = text };
    return cf_auth_check(&auth, &r, &error);
}

static int origin(const char *text, const char *at)
{
    const struct cf_auth_request r = { .peer = CF_PEER_SAME_UID, .host = at, .origin = text };
    return cf_auth_check(&auth, &r, &error);
}

static int token(enum cf_peer peer, const char *authorization)
{
    const struct cf_auth_request r = { .peer = peer, .host = "localhost", .authorization = authorization };
    return cf_auth_check(&auth, &r, &error);
}

static void own_hosts(void **state)
{
    const char *names[] = { "localhost",      "LOCALHOST:8000", "localhost:",     "127.0.0.1",
                            "127.0.0.1:8000", "127.9.9.9",      "[::1]",          "[::1]:80",
                            "192.0.2.7:8000", "box.example",    "OTHER.example:1" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(host(names[i]), 0);
}

static void foreign_hosts(void **state)
{
    const char *names[] = { "evil.example",
                            "127.0.0.1.evil.example",
                            "localhost.evil.example",
                            "box.example.evil",
                            "box",
                            "example",
                            "192.0.2.8",
                            "[::2]",
                            "0.0.0.0",
                            "2130706433",
                            "0x7f.1",
                            "127.1",
                            "xlocalhost" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(host(names[i]), CF_E_MISDIRECTED);
}

static void broken_hosts(void **state)
{
    const char *names[] = { "",
                            ":",
                            ":80",
                            "a b",
                            "localhost:80x",
                            "localhost:123456",
                            "[::1",
                            "[::1]x",
                            "[]",
                            "a@localhost",
                            "localhost/",
                            "box.example,other.example",
                            "[localhost]",
                            "localhost\t" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(host(names[i]), CF_E_MALFORMED);
}

static void unix_hosts(void **state)
{
    const struct cf_auth_request any = { .peer = CF_PEER_SAME_UID, .unix_socket = true, .host = "whatever" };
    const struct cf_auth_request broken = { .peer = CF_PEER_SAME_UID, .unix_socket = true, .host = "a b" };
    assert_int_equal(cf_auth_check(&auth, &any, &error), 0);
    assert_int_equal(cf_auth_check(&auth, &broken, &error), CF_E_MALFORMED);
}

static void origins(void **state)
{
    assert_int_equal(origin("https://tools.example", "localhost:8000"), 0);
    assert_int_equal(origin("http://localhost:8000", "localhost:8000"), 0);
    const char *foreign[] = { "http://evil.example",
                              "null",
                              "",
                              "http://localhost:3000",
                              "http://localhost",
                              "https://localhost:8000",
                              "http://127.0.0.1:8000",
                              "https://tools.example.evil",
                              "https://tools.example:444",
                              "http://tools.example" };
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++)
        assert_int_equal(origin(foreign[i], "localhost:8000"), CF_E_FORBIDDEN);
    assert_int_equal(origin("http://evil.example", "evil.example"), CF_E_MISDIRECTED);
}

static void tokens(void **state)
{
    assert_int_equal(token(CF_PEER_SAME_UID, NULL), 0);
    assert_int_equal(token(CF_PEER_OTHER, NULL), CF_E_UNAUTHORIZED);
    assert_int_equal(token(CF_PEER_UNKNOWN, NULL), CF_E_UNAUTHORIZED);
    for (enum cf_peer peer = CF_PEER_UNKNOWN; peer <= CF_PEER_SAME_UID; peer++) {
        assert_int_equal(token(peer, "Bearer " TOKEN), 0);
        assert_int_equal(token(peer, "bearer  " TOKEN), 0);
        const char *bad[] = { "",
                              "Bearer",
                              "Bearer ",
                              "Bearer " TOKEN "0",
                              "Bearer 0123456789abcdef0123456789abcde",
                              TOKEN,
                              "Basic " TOKEN,
                              "Bearer 0123456789abcdef0123456789abcdeF",
                              "Bearer x" };
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
            assert_int_equal(token(peer, bad[i]), CF_E_UNAUTHORIZED);
    }
}

static void required(void **state)
{
    struct cf_auth strict = auth;
    strict.token_required = true;
    struct cf_auth_request r = { .peer = CF_PEER_SAME_UID, .host = "localhost" };
    assert_int_equal(cf_auth_check(&strict, &r, &error), CF_E_UNAUTHORIZED);
    r.open = true;
    assert_int_equal(cf_auth_check(&strict, &r, &error), 0);
    r.origin = "http://evil.example";
    assert_int_equal(cf_auth_check(&strict, &r, &error), CF_E_FORBIDDEN);
}

static void empty_token(void **state)
{
    struct cf_auth none = auth;
    none.token[0] = '\0';
    const struct cf_auth_request r = { .peer = CF_PEER_OTHER, .host = "localhost", .authorization = "Bearer " };
    assert_int_equal(cf_auth_check(&none, &r, &error), CF_E_UNAUTHORIZED);
}

/* ---- the file ---- */

struct place {
    char dir[64], path[128];
};

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    snprintf(p->dir, sizeof p->dir, "/tmp/curfew-auth-XXXXXX");
    if (!p || !mkdtemp(p->dir))
        return -1;
    snprintf(p->path, sizeof p->path, "%s/token", p->dir);
    *state = p;
    return 0;
}

static int drop_place(void **state)
{
    struct place *p = *state;
    unlink(p->path);
    rmdir(p->dir);
    free(p);
    return 0;
}

static void put(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
}

static void made(void **state)
{
    struct place *p = *state;
    char token_text[CF_TOKEN_MAX + 1], again[CF_TOKEN_MAX + 1];
    struct stat st;
    assert_int_equal(cf_auth_token(p->path, token_text, &error), 0);
    assert_int_equal(strlen(token_text), 64);
    assert_int_equal(strspn(token_text, "0123456789abcdef"), 64);
    assert_int_equal(stat(p->path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(cf_auth_token(p->path, again, &error), 0);
    assert_string_equal(token_text, again);
}

static void made_in_new_folders(void **state)
{
    struct place *p = *state;
    char deep[256], token_text[CF_TOKEN_MAX + 1];
    struct stat st;
    snprintf(deep, sizeof deep, "%s/a/b/token", p->dir);
    assert_int_equal(cf_auth_token(deep, token_text, &error), 0);
    unlink(deep);
    snprintf(deep, sizeof deep, "%s/a/b", p->dir);
    assert_int_equal(stat(deep, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    rmdir(deep);
    snprintf(deep, sizeof deep, "%s/a", p->dir);
    rmdir(deep);
}

static void open_file(void **state)
{
    struct place *p = *state;
    char token_text[CF_TOKEN_MAX + 1] = "kept";
    const mode_t modes[] = { 0604, 0640, 0644, 0666, 0602, 0610 };
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        put(p->path, TOKEN "\n", modes[i]);
        assert_int_equal(cf_auth_token(p->path, token_text, &error), CF_E_INVALID);
        assert_string_equal(token_text, "kept");
    }
    put(p->path, TOKEN "\n", 0400);
    assert_int_equal(cf_auth_token(p->path, token_text, &error), 0);
    assert_string_equal(token_text, TOKEN);
}

static void foreign_file(void **state)
{
    struct place *p = *state;
    char token_text[CF_TOKEN_MAX + 1];
    if (geteuid() != 0)
        skip();
    put(p->path, TOKEN "\n", 0600);
    assert_int_equal(chown(p->path, 12345, 0), 0);
    assert_int_equal(cf_auth_token(p->path, token_text, &error), CF_E_INVALID);
    assert_non_null(strstr(error.text, "belongs to uid 12345"));
}

static void not_a_file(void **state)
{
    struct place *p = *state;
    char token_text[CF_TOKEN_MAX + 1], target[160];
    snprintf(target, sizeof target, "%s/target", p->dir);
    put(target, TOKEN "\n", 0600);
    assert_int_equal(symlink(target, p->path), 0);
    assert_int_equal(cf_auth_token(p->path, token_text, &error), CF_E_SYSTEM);
    unlink(p->path);
    unlink(target);
    assert_int_equal(symlink("/nonexistent/x", p->path), 0);
    assert_int_equal(cf_auth_token(p->path, token_text, &error), CF_E_SYSTEM);
    unlink(p->path);
    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_int_equal(cf_auth_token(p->path, token_text, &error), CF_E_INVALID);
    unlink(p->path);
    assert_int_equal(mkdir(p->path, 0700), 0);
    assert_int_equal(cf_auth_token(p->path, token_text, &error), CF_E_INVALID);
    rmdir(p->path);
}

static void bad_content(void **state)
{
    struct place *p = *state;
    char token_text[CF_TOKEN_MAX + 1], longer[CF_TOKEN_MAX + 64];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    const char *bad[] = { "",
                          "\n",
                          "short\n",
                          "0123456789 abcdef0123\n",
                          "0123456789abcdef\n0123456789abcdef\n",
                          "0123456789abcdef\x01\n",
                          longer };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put(p->path, bad[i], 0600);
        assert_int_equal(cf_auth_token(p->path, token_text, &error), CF_E_INVALID);
    }
}

int main(void)
{
#define FILE_TEST(title, func)                                                                                         \
    {                                                                                                                  \
        .name = title, .test_func = func, .setup_func = make_place, .teardown_func = drop_place                        \
    }
    const struct CMUnitTest tests[] = {
        { .name = "Host may be localhost, a loopback address, the setting's host or an allowed one",
          .test_func = own_hosts },
        { .name = "a foreign Host is misdirected, also one that looks like ours", .test_func = foreign_hosts },
        { .name = "a Host that is no host and port is malformed", .test_func = broken_hosts },
        { .name = "on the Unix socket any well-formed Host will do", .test_func = unix_hosts },
        { .name = "any Origin that is not listed or our own is forbidden", .test_func = origins },
        { .name = "same uid needs no token, others do, and a wrong one is refused from anyone", .test_func = tokens },
        { .name = "token_required holds for the same uid too, and not for healthz", .test_func = required },
        { .name = "without a token of our own no token fits", .test_func = empty_token },
        FILE_TEST("a missing token file is made with 32 random bytes and mode 0600, and kept", made),
        FILE_TEST("missing folders above the token file are made for the owner only", made_in_new_folders),
        FILE_TEST("a token file that others can read is refused", open_file),
        FILE_TEST("a token file of another uid is refused", foreign_file),
        FILE_TEST("a link, a pipe or a folder in the token file's place is refused", not_a_file),
        FILE_TEST("an empty, short, long or spaced token is refused", bad_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
