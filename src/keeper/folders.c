#include "keeper/folders.h"
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64                    /* folders in folders; deeper ones stay */

static bool trusted(const struct stat *status)
{
    return status->st_uid == geteuid() || status->st_uid == 0;
}

/* Who may write to the folder may put a lock, a token or a socket of his own there. */
static int judge(const char *path, struct cf_error *error)
{
    struct stat link, folder;

    if (lstat(path, &link) != 0 || stat(path, &folder) != 0)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot look at the folder %s: %s", path, strerror(errno));
    if (S_ISLNK(link.st_mode) && !trusted(&link))
        return cf_error_set(error, CF_E_SYSTEM, NULL, "the folder %s is a symbolic link of another user (uid %u)", path,
                            (unsigned)link.st_uid);
    if (!S_ISDIR(folder.st_mode))
        return cf_error_set(error, CF_E_SYSTEM, NULL, "%s is no folder", path);
    if (!trusted(&folder) || (folder.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "the folder %s (owner uid %u, mode %04o) has to be owned by uid "
                            "%u or root and writable by nobody else", path, (unsigned)folder.st_uid,
                            (unsigned)(folder.st_mode & 07777), (unsigned)geteuid());
    return 0;
}

int cf_folder_make(const char *path, mode_t mode, struct cf_error *error)
{
    char part[4096];
    size_t length = strlen(path);

    if (length == 0 || length >= sizeof part)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "the folder name %.80s has no usable length", path);
    memcpy(part, path, length + 1);
    while (length > 1 && part[length - 1] == '/')
        part[--length] = '\0';          /* with a slash behind it a link would not be seen */
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(part, 0755) != 0 && errno != EEXIST && errno != EISDIR)
            return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot make the folder %s: %s", part, strerror(errno));
        *slash = '/';
    }
    if (mkdir(part, mode) != 0 && errno != EEXIST)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot make the folder %s: %s", part, strerror(errno));
    return judge(part, error);
}

int cf_folder_lock(const char *folder, int *ret_lock_fd, struct cf_error *error)
{
    char path[4096], text[32];
    CF_FD_AUTO fd = -1;
    int length;

    snprintf(path, sizeof path, "%s/keeper.lock", folder);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot open %s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        length = (int)pread(fd, text, sizeof text - 1, 0);
        text[length > 0 ? length : 0] = '\0';
        text[strcspn(text, "\n")] = '\0';
        return cf_error_set(error, CF_E_BUSY, NULL, "curfew is running already on %s (process %s)", folder,
                            text[0] != '\0' ? text : "unknown");
    }
    length = snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)length, 0) != length)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot write %s: %s", path, strerror(errno));
    *ret_lock_fd = fd;
    fd = -1;
    return 0;
}

static unsigned empty_at(int fd, int depth)
{
    DIR *dir = fdopendir(fd);
    struct dirent *entry;
    unsigned failures = 0;

    if (dir == NULL) {
        close(fd);
        return 1;
    }
    while ((entry = readdir(dir)) != NULL) {
        int inner;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) == 0)
            continue;
        inner = depth > 0 ? openat(dirfd(dir), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
        if (inner >= 0)
            failures += empty_at(inner, depth - 1);
        failures += unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR) != 0;
    }
    closedir(dir);
    return failures;
}

unsigned cf_folder_empty(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return errno != ENOENT;
    return empty_at(fd, DEPTH_MAX);
}
