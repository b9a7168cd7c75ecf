/* workspace.c: openat2 with RESOLVE_BENEATH; nothing here trusts a path twice. */
#include "server/workspace.h"

#include "base/fd.h"
#include "server/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

bool cf_workspace_name_ok(const char *name)
{
    size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return len >= 1 && len <= 64 && name[len] == '\0' && name[0] != '.';
}

int cf_workspace_root(const char *path, int *ret_fd, struct cf_error *error)
{
    int fd = -1;
    if (cf_folder_above(path, 0755) == 0 && (mkdir(path, 0755) == 0 || errno == EEXIST))
        fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return cf_error_set(error, CF_E_WORKSPACE, "workspace_dir", "cannot use the workspace folder %s: %s", path, strerror(errno));
    *ret_fd = fd;
    return 0;
}

static bool may_pass(const struct stat *st, uid_t uid, gid_t gid)
{
    return (st->st_mode & (st->st_uid == uid ? S_IXUSR : st->st_gid == gid ? S_IXGRP : S_IXOTH)) != 0;
}

bool cf_workspace_way(const char *root, const char *own, uid_t uid, gid_t gid, char *ret_closed)
{
    char part[PATH_MAX];
    struct stat st;
    size_t len = strlen(root);
    for (size_t at = 1; at <= len && at < sizeof part; at++) {
        if (root[at] != '/' && root[at] != '\0')
            continue;
        memcpy(part, root, at);
        part[at] = '\0';
        if (stat(part, &st) < 0 || may_pass(&st, uid, gid))
            continue;
        if (strcmp(part, own) == 0 && st.st_uid == geteuid() && chmod(part, (st.st_mode & 07777) | S_IXGRP | S_IXOTH) == 0)
            continue;
        memcpy(ret_closed, part, at + 1);
        return false;
    }
    return true;
}

static int open_beneath(int dir_fd, const char *path, uint64_t resolve)
{
    struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = resolve };
    return (int)syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
}

static const char *explain(int code)
{
    switch (code) {
    case EXDEV: return "it leads out of the workspace";
    case ELOOP: return "it is a link";
    case ENOTDIR: return "it is not a folder";
    default: return strerror(code);
    }
}

/* Being out of descriptors says nothing about the folder. */
static int code_of(int error, int otherwise)
{
    return error == EMFILE || error == ENFILE ? CF_E_UNAVAILABLE : otherwise;
}

/* The workspace itself may not be a link at all: two names for one folder would also be two limits for it. */
static int open_workspace(int root_fd, const char *name, uid_t uid, gid_t gid, bool *ret_made)
{
    uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
    *ret_made = mkdirat(root_fd, name, 0755) == 0;
    if (!*ret_made && errno != EEXIST)
        return -1;
    int fd = open_beneath(root_fd, name, resolve);
    if (fd >= 0 && *ret_made && uid != geteuid() && fchownat(fd, "", uid, gid, AT_EMPTY_PATH) < 0)
        cf_fd_close(&fd);
    return fd;
}

int cf_workspace_open(int root_fd, const char *name, const char *cwd, uid_t uid, gid_t gid, int *ret_fd,
                      struct cf_error *error)
{
    if (!cf_workspace_name_ok(name))
        return cf_error_set(error, CF_E_INVALID, "workspace",
                            "\"workspace\" must be 1 to 64 of A-Z a-z 0-9 . _ - and must not begin with a dot");
    bool made;
    int fd = open_workspace(root_fd, name, uid, gid, &made);
    if (fd < 0)
        return cf_error_set(error, code_of(errno, CF_E_WORKSPACE), "workspace", "cannot use workspace %s: %s", name, explain(errno));
    if (cwd != NULL) {
        int inner = open_beneath(fd, cwd, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
        int saved = errno;
        cf_fd_close(&fd);
        if (inner < 0) {
            if (made)                   /* a refused request changes nothing */
                (void)unlinkat(root_fd, name, AT_REMOVEDIR);
            return cf_error_set(error, code_of(saved, saved == ENOENT || saved == ENOTDIR ? CF_E_INVALID : CF_E_WORKSPACE), "cwd",
                                "cannot use \"cwd\" in workspace %s: %s", name, explain(saved));
        }
        fd = inner;
    }
    *ret_fd = fd;
    return 0;
}

int cf_workspace_path(int fd, char *ret_path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, ret_path, PATH_MAX - 1);
    if (n <= 0 || ret_path[0] != '/')
        return -1;
    ret_path[n] = '\0';
    return 0;
}

bool cf_workspace_stands_in(int fd, int pid)
{
    char link[64];
    struct stat want, have;
    snprintf(link, sizeof link, "/proc/%d/cwd", pid);
    if (stat(link, &have) < 0)
        return errno == ENOENT || errno == ESRCH;
    return fstat(fd, &want) == 0 && want.st_dev == have.st_dev && want.st_ino == have.st_ino;
}
