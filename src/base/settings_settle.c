/* settings_settle.c: what depends on the machine, and what spans rows. */
#include "base/settings.h"
#include "base/settings_row.h"

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NONE "none"

/* Gives a TEXT row that is empty a path made of up to three parts. */
static void fill(struct cf_settings *s, const struct cf_setting *row, struct cf_complaints *c,
                 const char *base, const char *rest)
{
    char *member = cf_setting_at(s, row), path[PATH_MAX];

    if (*member != '\0')
        return;
    int len = snprintf(path, sizeof path, "%s/%s", base, rest);
    if (len < 0 || len > row->max || (size_t)len >= sizeof path) {
        cf_complaints_add(c, "settings: %s: %s/%s is longer than %d bytes; set %s", row->name, base, rest,
                          (int)row->max, row->name);
        return;
    }
    memcpy(member, path, (size_t)len + 1);
}

/* Drops "." and empty parts from an absolute path, in place.  ".." stays: only the kernel knows where
 * it leads when the part before it is a symbolic link. */
static void simplify(char *path)
{
    char *out = path;

    for (const char *in = path; *in != '\0';) {
        in += strspn(in, "/");
        size_t len = strcspn(in, "/");
        if (len > 0 && !(len == 1 && *in == '.')) {
            *out++ = '/';
            memmove(out, in, len);
            out += len;
        }
        in += len;
    }
    if (out == path)
        *out++ = '/';
    *out = '\0';
}

static void make_absolute(struct cf_settings *s, const struct cf_setting *row, struct cf_complaints *c)
{
    char *member = cf_setting_at(s, row), cwd[PATH_MAX], path[2 * PATH_MAX];

    if (*member == '\0')
        return;
    if (*member == '/') {
        simplify(member);
        return;
    }
    if (getcwd(cwd, sizeof cwd) == NULL) {
        cf_complaints_add(c, "settings: %s: %s is relative, and the working folder is not known: %s", row->name,
                          member, strerror(errno));
        return;
    }
    (void)snprintf(path, sizeof path, "%s/%s", cwd, member);
    simplify(path);
    size_t len = strlen(path);
    if (len > (size_t)row->max) {
        cf_complaints_add(c, "settings: %s: %s is longer than %d bytes", row->name, path, (int)row->max);
        return;
    }
    memcpy(member, path, len + 1);
}

/* A variable of the XDG Base Directory Specification, which has relative ones ignored. */
static const char *xdg(char *const *env, const char *name)
{
    const char *value = cf_settings_env_get(env, name);
    return value != NULL && *value == '/' ? value : NULL;
}

static void settle_state_dir(struct cf_settings *s, const struct cf_setting *row, char *const *env,
                             struct cf_complaints *c)
{
    const char *state = xdg(env, "XDG_STATE_HOME"), *home = cf_settings_env_get(env, "HOME");

    if (s->state_dir[0] != '\0')
        return;
    if (state != NULL)
        fill(s, row, c, state, "curfew");
    else if (geteuid() == 0)
        fill(s, row, c, "/var/lib", "curfew");
    else if (home != NULL)
        fill(s, row, c, home, ".local/state/curfew");
    else
        cf_complaints_add(c, "settings: state_dir: neither XDG_STATE_HOME nor HOME is set; set state_dir");
}

static void settle_runtime_dir(struct cf_settings *s, const struct cf_setting *row, char *const *env,
                               struct cf_complaints *c)
{
    const char *runtime = xdg(env, "XDG_RUNTIME_DIR");

    if (runtime != NULL)
        fill(s, row, c, runtime, "curfew");
    else if (geteuid() == 0)
        fill(s, row, c, "/run", "curfew");
    else
        fill(s, row, c, s->state_dir, "run");
}

static bool is_loopback(const char *host)
{
    struct in6_addr six;
    struct in_addr four;

    if (strcmp(host, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, host, &four) == 1)
        return ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET;
    if (inet_pton(AF_INET6, host, &six) == 1)
        return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == IN_LOOPBACKNET);
    return false;
}

static void check(const struct cf_settings *s, struct cf_complaints *c)
{
    if (!is_loopback(s->host) && !s->token_required)
        cf_complaints_add(c, "settings: host: %s is reachable from elsewhere than this machine, where no uid can be "
                          "checked; set token_required = true, or host = \"127.0.0.1\"", s->host);
    if (s->shell[0] != '/')
        cf_complaints_add(c, "settings: shell: %s is not an absolute path", s->shell);
}

void cf_settings_settle(struct cf_settings *s, char *const *env, struct cf_complaints *c)
{
    const struct cf_setting *state_dir = cf_setting_row(CF_SETTING_INDEX_state_dir);
    const struct cf_setting *runtime_dir = cf_setting_row(CF_SETTING_INDEX_runtime_dir);
    const struct cf_setting *workspace_dir = cf_setting_row(CF_SETTING_INDEX_workspace_dir);
    const struct cf_setting *token_file = cf_setting_row(CF_SETTING_INDEX_token_file);
    const struct cf_setting *socket = cf_setting_row(CF_SETTING_INDEX_socket);
    const struct cf_setting *ledger_file = cf_setting_row(CF_SETTING_INDEX_ledger_file);

    settle_state_dir(s, state_dir, env, c);
    make_absolute(s, state_dir, c);
    settle_runtime_dir(s, runtime_dir, env, c);
    make_absolute(s, runtime_dir, c);
    fill(s, workspace_dir, c, s->state_dir, "workspaces");
    make_absolute(s, workspace_dir, c);
    fill(s, token_file, c, s->state_dir, "token");
    make_absolute(s, token_file, c);
    if (strcmp(s->ledger_file, NONE) != 0) {
        fill(s, ledger_file, c, s->state_dir, "ledger.db");
        make_absolute(s, ledger_file, c);
    }
    if (strcmp(s->socket, NONE) != 0) {
        fill(s, socket, c, s->runtime_dir, "curfew.sock");
        make_absolute(s, socket, c);
    }
    make_absolute(s, cf_setting_row(CF_SETTING_INDEX_cgroup_root), c);
    check(s, c);
}
