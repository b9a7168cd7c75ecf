#include "keeper/cgroup.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define DEPTH_MAX 32                    /* folders in folders that a session may have made */
#define FILE_MAX (64u * 1024u * 1024u)  /* of a cgroup's list of processes, far above what pids can fill */

/* FNV-1a: tells keepers with different state folders apart, no more. */
static uint32_t hash(const char *text)
{
    uint32_t value = 2166136261u;

    for (const char *c = text; *c != '\0'; c++)
        value = (value ^ (unsigned char)*c) * 16777619u;
    return value;
}

/* Finds where cgroup2 is mounted and which part of it is shown there ("/" nearly always). */
static int find_mount(char *ret_point, size_t point_size, char *ret_shown, size_t shown_size)
{
    char *text, *save = NULL;
    size_t length;
    int found = -1;

    if (cf_fd_read_file(AT_FDCWD, "/proc/self/mountinfo", 4u << 20, &text, &length) != 0)
        return -1;
    for (char *line = strtok_r(text, "\n", &save); line != NULL && found != 0; line = strtok_r(NULL, "\n", &save)) {
        char shown[256], point[256];

        if (strstr(line, " - cgroup2 ") == NULL || sscanf(line, "%*d %*d %*s %255s %255s", shown, point) != 2)
            continue;
        snprintf(ret_point, point_size, "%s", point);
        snprintf(ret_shown, shown_size, "%s", shown);
        found = 0;
    }
    free(text);
    return found;
}

/* The caller's own cgroup as a path. */
static int find_own(char *ret_path, size_t size)
{
    char point[256], shown[256], *text, *line, *own;
    size_t skip, bytes;
    int length = -1;

    if (find_mount(point, sizeof point, shown, sizeof shown) != 0)
        return -1;
    if (cf_fd_read_file(AT_FDCWD, "/proc/self/cgroup", 65536, &text, &bytes) != 0)
        return -1;
    line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (line != NULL) {
        own = strchr(line, '/');
        skip = strcmp(shown, "/") == 0 ? 0 : strlen(shown);
        if (own != NULL) {
            own[strcspn(own, "\n")] = '\0';
            /* A path that leaves what is mounted here cannot be used from here. */
            if (strncmp(own, shown, skip) == 0 && strstr(own + skip, "/..") == NULL)
                length = snprintf(ret_path, size, "%s%s", point, strcmp(own + skip, "/") == 0 ? "" : own + skip);
        }
    }
    free(text);
    return length > 0 && (size_t)length < size ? 0 : -1;
}

static void name_for(const char *state_dir, char *name, size_t size)
{
    snprintf(name, size, "curfew-%08x", hash(state_dir));
}

int cf_cgroups_open(struct cf_cgroups *ret_cgroups, const char *root, const char *state_dir, struct cf_error *error)
{
    struct cf_cgroups cgroups = { .dir_fd = -1 };
    char parent[sizeof cgroups.path - sizeof cgroups.name - 1];

    if (root[0] == '\0' ? find_own(parent, sizeof parent) != 0
                        : (size_t)snprintf(parent, sizeof parent, "%s", root) >= sizeof parent)
        return cf_error_set(error, CF_E_UNAVAILABLE, "cgroup_root",
                            "no cgroup of version 2 is mounted where it can be reached");
    name_for(state_dir, cgroups.name, sizeof cgroups.name);
    snprintf(cgroups.path, sizeof cgroups.path, "%s/%s", parent, cgroups.name);
    if (mkdir(cgroups.path, 0755) != 0 && errno != EEXIST)
        return cf_error_set(error, CF_E_UNAVAILABLE, "cgroup_root", "cannot make the cgroup %s: %s", cgroups.path,
                            strerror(errno));
    cgroups.dir_fd = open(cgroups.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroups.dir_fd < 0 || faccessat(cgroups.dir_fd, "cgroup.procs", F_OK, 0) != 0) {
        cf_fd_close(&cgroups.dir_fd);
        (void)rmdir(cgroups.path);
        return cf_error_set(error, CF_E_UNAVAILABLE, "cgroup_root", "%s is not a folder of cgroup version 2", parent);
    }
    *ret_cgroups = cgroups;
    return 0;
}

int cf_cgroups_reopen(struct cf_cgroups *ret_cgroups, const char *path, const char *state_dir)
{
    struct cf_cgroups cgroups = { .dir_fd = -1 };
    const char *last = strrchr(path, '/');
    struct statfs system;

    name_for(state_dir, cgroups.name, sizeof cgroups.name);
    if (path[0] != '/' || strcmp(last + 1, cgroups.name) != 0 || strlen(path) >= sizeof cgroups.path)
        return -1;
    strcpy(cgroups.path, path);
    cgroups.dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (cgroups.dir_fd < 0)
        return -1;
    if (fstatfs(cgroups.dir_fd, &system) != 0 || system.f_type != CGROUP2_SUPER_MAGIC) {
        cf_fd_close(&cgroups.dir_fd);
        return -1;
    }
    *ret_cgroups = cgroups;
    return 0;
}

void cf_cgroups_close(struct cf_cgroups *cgroups)
{
    if (cgroups->dir_fd < 0)
        return;
    cf_fd_close(&cgroups->dir_fd);
    (void)rmdir(cgroups->path);
}

static const char *name_of(uint32_t number, const char *file, char *buf, size_t size)
{
    snprintf(buf, size, "s%u%s%s", number, file[0] != '\0' ? "/" : "", file);
    return buf;
}

static int kill_at(int dir_fd, const char *path)
{
    CF_FD_AUTO fd = openat(dir_fd, path, O_WRONLY | O_CLOEXEC);

    return fd >= 0 && write(fd, "1", 1) == 1 ? 0 : -1;
}

int cf_cgroup_make(const struct cf_cgroups *cgroups, uint32_t number)
{
    char path[64];
    int fd, saved;

    if (mkdirat(cgroups->dir_fd, name_of(number, "", path, sizeof path), 0755) != 0)
        return -1;
    fd = openat(cgroups->dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        saved = errno;
        (void)unlinkat(cgroups->dir_fd, path, AT_REMOVEDIR);
        errno = saved;
    }
    return fd;
}

int cf_cgroup_kill(const struct cf_cgroups *cgroups, uint32_t number)
{
    char path[64];

    return kill_at(cgroups->dir_fd, name_of(number, "cgroup.kill", path, sizeof path));
}

static int procs_at(int dir_fd, const char *path, void (*each)(pid_t, void *), void *context)
{
    char *text, *at, *end;
    size_t length;
    int count = 0;

    if (cf_fd_read_file(dir_fd, path, FILE_MAX, &text, &length) != 0)
        return -1;
    for (at = text;; at = end) {
        long pid = strtol(at, &end, 10);

        if (end == at)
            break;
        count++;
        if (each != NULL && pid > 0)
            each((pid_t)pid, context);
    }
    free(text);
    return count;
}

int cf_cgroup_procs(const struct cf_cgroups *cgroups, uint32_t number, void (*each)(pid_t, void *), void *context)
{
    char path[64];

    return procs_at(cgroups->dir_fd, name_of(number, "cgroup.procs", path, sizeof path), each, context);
}

int cf_cgroup_events_open(const struct cf_cgroups *cgroups, uint32_t number)
{
    char path[64];

    return openat(cgroups->dir_fd, name_of(number, "cgroup.events", path, sizeof path), O_RDONLY | O_CLOEXEC);
}

/* A file that cannot be read belongs to a cgroup that is gone: only an empty one can be removed. */
bool cf_cgroup_events_populated(int events_fd)
{
    char text[256];
    ssize_t length = pread(events_fd, text, sizeof text - 1, 0);

    if (length < 0)
        return errno != ENODEV;
    text[length] = '\0';
    return strstr(text, "populated 0") == NULL;
}

static int remove_at(int dir_fd, const char *name, int depth)
{
    struct dirent *entry;
    DIR *dir;
    int fd;

    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
    if (errno != EBUSY || depth == 0)
        return -1;
    fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL) {
        cf_fd_close(&fd);
        return -1;
    }
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            (void)remove_at(fd, entry->d_name, depth - 1);
    closedir(dir);
    return unlinkat(dir_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -1;
}

int cf_cgroup_remove(const struct cf_cgroups *cgroups, uint32_t number)
{
    char path[64];

    return remove_at(cgroups->dir_fd, name_of(number, "", path, sizeof path), DEPTH_MAX);
}

uint32_t cf_cgroup_of(const struct cf_cgroups *cgroups, int proc_fd, pid_t pid)
{
    char path[32], text[4096], *at;
    CF_FD_AUTO fd = -1;
    ssize_t length;

    snprintf(path, sizeof path, "%d/cgroup", (int)pid);
    fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
    length = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (length <= 0)
        return 0;
    text[length] = '\0';
    at = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    at = at != NULL ? strstr(at, cgroups->name) : NULL;
    if (at == NULL || strncmp(at + strlen(cgroups->name), "/s", 2) != 0)
        return 0;
    return (uint32_t)strtoul(at + strlen(cgroups->name) + 2, NULL, 10);
}

/* Waits for one leftover cgroup to empty, then removes it. */
static int await(const struct cf_cgroups *cgroups, const char *name, int64_t until_ns)
{
    char path[300];
    CF_FD_AUTO events_fd = -1;

    snprintf(path, sizeof path, "%s/cgroup.events", name);
    events_fd = openat(cgroups->dir_fd, path, O_RDONLY | O_CLOEXEC);
    if (events_fd < 0)
        return errno == ENOENT ? 0 : -1;
    for (;;) {
        struct pollfd changed = { .fd = events_fd, .events = POLLPRI };
        int64_t left_ms = (until_ns - cf_clock_now().mono_ns) / CF_NS_PER_MS;

        if (!cf_cgroup_events_populated(events_fd) && remove_at(cgroups->dir_fd, name, DEPTH_MAX) == 0)
            return 0;
        if (left_ms <= 0)
            return -1;
        (void)poll(&changed, 1, left_ms < 20 ? (int)left_ms : 20);
    }
}

/* Calls `each` for every session's folder that is there. */
static void leftovers(const struct cf_cgroups *cgroups, int (*each)(const struct cf_cgroups *, const char *, void *),
                      void *context, int *failures)
{
    int fd = openat(cgroups->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        cf_fd_close(&fd);
        ++*failures;
        return;
    }
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            *failures += each(cgroups, entry->d_name, context) != 0;
    closedir(dir);
}

struct waiting {
    int64_t until_ns;
    uint32_t killed;
};

static int kill_leftover(const struct cf_cgroups *cgroups, const char *name, void *context)
{
    struct waiting *waiting = context;
    char path[300];
    int count;

    snprintf(path, sizeof path, "%s/cgroup.procs", name);
    count = procs_at(cgroups->dir_fd, path, NULL, NULL);
    waiting->killed += count > 0 ? (uint32_t)count : 0;
    snprintf(path, sizeof path, "%s/cgroup.kill", name);
    return kill_at(cgroups->dir_fd, path) == 0 || errno == ENOENT ? 0 : -1;
}

static int await_leftover(const struct cf_cgroups *cgroups, const char *name, void *context)
{
    struct waiting *waiting = context;

    return await(cgroups, name, waiting->until_ns);
}

/* A keeper that runs in one of the cgroups, since it was started by what an earlier one left would kill
 * itself. */
static bool holds_us(const struct cf_cgroups *cgroups)
{
    char own[sizeof cgroups->path];
    size_t length = strlen(cgroups->path);

    return find_own(own, sizeof own) == 0 && strncmp(own, cgroups->path, length) == 0 && own[length] == '/';
}

int cf_cgroups_sweep(const struct cf_cgroups *cgroups, int64_t wait_ms, uint32_t *ret_killed, struct cf_error *error)
{
    struct waiting waiting = { .until_ns = cf_clock_now().mono_ns + wait_ms * CF_NS_PER_MS };
    int failures = 0;

    *ret_killed = 0;
    if (holds_us(cgroups))
        return cf_error_set(error, CF_E_SYSTEM, NULL, "this keeper was started by a process that an earlier one left "
                            "under %s", cgroups->path);
    /* All first, so that they die side by side. */
    leftovers(cgroups, kill_leftover, &waiting, &failures);
    failures = 0;
    leftovers(cgroups, await_leftover, &waiting, &failures);
    *ret_killed = waiting.killed;
    if (failures != 0)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "%d cgroups of an earlier keeper under %s do not empty", failures,
                            cgroups->path);
    return 0;
}
