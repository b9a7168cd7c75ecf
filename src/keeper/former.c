#include "keeper/former.h"
#include "base/fd.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMER_MAX 16                   /* folders that are remembered; each would need a keeper that could not sweep */
#define FILE_MAX 32768u

struct list {
    char text[FORMER_MAX * sizeof ((struct cf_cgroups *)0)->path + 1];
    size_t length;
    unsigned count;
};

static void add(struct list *list, const char *path)
{
    int length;

    if (list->count == FORMER_MAX) {
        cf_log(CF_LOG_WARNING, "too many cgroups of earlier keepers do not empty; %s is forgotten", path);
        return;
    }
    length = snprintf(list->text + list->length, sizeof list->text - list->length, "%s\n", path);
    list->length += (size_t)length;     /* that many paths of a struct cf_cgroups always fit */
    list->count++;
}

/* By a new file in its place, so that no crash leaves half of one.  Not synced: what it is about does not outlive the
 * machine either. */
static int store(const char *state_dir, const struct list *list)
{
    char path[4096], fresh[4096];
    CF_FD_AUTO fd = -1;

    snprintf(path, sizeof path, "%s/cgroup", state_dir);
    snprintf(fresh, sizeof fresh, "%s/cgroup.new", state_dir);
    if (list->count == 0)
        return unlink(path) == 0 || errno == ENOENT ? 0 : -1;
    fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || fchmod(fd, 0600) != 0 || cf_fd_write_all(fd, list->text, list->length) != 0)
        return -1;
    return rename(fresh, path);
}

/* What is no folder of cgroup version 2 any more, or none of this keeper's, is forgotten. */
static uint32_t sweep(const char *path, const char *state_dir, int64_t wait_ms, struct list *keep)
{
    struct cf_error why = { 0 };
    struct cf_cgroups former;
    uint32_t killed = 0;

    if (cf_cgroups_reopen(&former, path, state_dir) != 0)
        return 0;
    if (cf_cgroups_sweep(&former, wait_ms, &killed, &why) != 0) {
        cf_log(CF_LOG_WARNING, "%s; they are killed again at the next start", why.text);
        add(keep, path);
    }
    cf_cgroups_close(&former);
    return killed;
}

uint32_t cf_former_sweep(const char *state_dir, const struct cf_cgroups *present, int64_t wait_ms)
{
    struct list keep = { .length = 0 };
    char path[4096], *text = NULL, *save = NULL;
    size_t length;
    uint32_t killed = 0;

    if (present->dir_fd >= 0)
        add(&keep, present->path);
    snprintf(path, sizeof path, "%s/cgroup", state_dir);
    if (cf_fd_read_file(AT_FDCWD, path, FILE_MAX, &text, &length) == 0)
        for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
            if (present->dir_fd < 0 || strcmp(line, present->path) != 0)
                killed += sweep(line, state_dir, wait_ms, &keep);
    free(text);
    if (store(state_dir, &keep) != 0)
        cf_log(CF_LOG_WARNING, "cannot write %s: %s; should this keeper be killed, one that is started in another "
               "cgroup will not find what it leaves", path, strerror(errno));
    return killed;
}
