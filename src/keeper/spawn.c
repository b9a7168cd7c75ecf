#include "keeper/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES (64u * 1024u)       /* of a leader between clone and exec; only touched pages exist */

/* The child borrows its parent's memory and never returns from its frames, which would leave marks of the
 * address sanitizer on a stack that the next child uses. */
#define IN_CHILD __attribute__((no_sanitize("address")))

int cf_spawn_plan_check(const struct cf_spawn_plan *plan)
{
    uint64_t strings = (uint64_t)plan->argc + plan->envc;
    bool input = false;

    if (plan->argc == 0 || strings > CF_SPAWN_STRINGS_MAX || strings > plan->args_bytes)
        return EINVAL;
    if (plan->args_bytes > CF_WIRE_ARGS_MAX || plan->fd_count > CF_SPAWN_TARGETS_MAX)
        return E2BIG;
    for (uint32_t i = 0; i < plan->fd_count; i++) {
        if (plan->targets[i] < 0 || plan->targets[i] > CF_SPAWN_TARGET_LAST)
            return EBADF;
        for (uint32_t j = 0; j < i; j++)
            if (plan->targets[i] == plan->targets[j])
                return EBADF;
        input |= plan->targets[i] == 0;
    }
    if ((plan->flags & ~CF_SPAWN_FLAGS) != 0 || ((plan->flags & CF_SPAWN_TERMINAL) != 0 && !input))
        return EINVAL;
    return 0;
}

/* Points `strings` at the strings of the block.  They have to fill it to its last byte. */
static int cut(char *block, const struct cf_spawn_plan *plan, char **strings)
{
    char *at = block, *end = block + plan->args_bytes;
    uint32_t count = plan->argc + plan->envc;

    for (uint32_t i = 0; i < count; i++) {
        char *nul = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;

        if (nul == NULL)
            return EINVAL;
        if (i == plan->argc)
            strings++;                  /* past argv's NULL */
        *strings++ = at;
        at = nul + 1;
    }
    return at == end ? 0 : EINVAL;
}

int cf_spawn_args_load(int args_fd, const struct cf_spawn_plan *plan, struct cf_spawn_args *ret_args)
{
    struct cf_spawn_args args = { 0 };
    size_t table = ((size_t)plan->argc + plan->envc + 2) * sizeof(char *);
    struct stat status;
    char *block;

    /* Only memory files have seals: what passes here can neither block a reader nor fault. */
    if (fcntl(args_fd, F_GET_SEALS) < 0 || fstat(args_fd, &status) != 0 || status.st_size < plan->args_bytes)
        return EINVAL;
    args.bytes = STACK_BYTES + table + plan->args_bytes;
    args.memory = mmap(NULL, args.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (args.memory == MAP_FAILED)
        return ENOMEM;
    args.stack_top = (char *)args.memory + STACK_BYTES;
    args.argv = (char **)(void *)args.stack_top;
    args.envp = args.argv + plan->argc + 1;
    block = args.stack_top + table;
    if (pread(args_fd, block, plan->args_bytes, 0) != (ssize_t)plan->args_bytes || cut(block, plan, args.argv) != 0) {
        cf_spawn_args_free(&args);
        return EINVAL;
    }
    *ret_args = args;
    return 0;
}

void cf_spawn_args_free(struct cf_spawn_args *args)
{
    if (args->memory != NULL)
        munmap(args->memory, args->bytes);
    *args = (struct cf_spawn_args){ 0 };
}

struct birth {
    const struct cf_spawn_plan *plan;   /* NULL: trial */
    const struct cf_spawn_args *args;
    const int *fds;
    struct cf_spawn_user user;          /* a copy: a child of the keeper does not inherit its context */
    pid_t parent;
    int *error;                         /* seen by the parent: its own memory, or a shared page */
};

/* Moves every descriptor above all targets first, so that placing one cannot overwrite another. */
IN_CHILD static int place(const struct cf_spawn_plan *plan, const int *fds)
{
    int moved[CF_SPAWN_TARGETS_MAX];
    bool given[3] = { false, false, false };
    int null_fd;

    for (uint32_t i = 0; i < plan->fd_count; i++) {
        moved[i] = fcntl(fds[2 + i], F_DUPFD_CLOEXEC, CF_SPAWN_TARGET_LAST + 1);
        if (moved[i] < 0)
            return -1;
    }
    null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0)
        return -1;
    null_fd = fcntl(null_fd, F_DUPFD_CLOEXEC, CF_SPAWN_TARGET_LAST + 1);
    if (null_fd < 0)
        return -1;
    (void)close_range(3, ~0U, CLOSE_RANGE_CLOEXEC);
    for (uint32_t i = 0; i < plan->fd_count; i++) {
        if (dup2(moved[i], plan->targets[i]) < 0)
            return -1;
        if (plan->targets[i] < 3)
            given[plan->targets[i]] = true;
    }
    for (int fd = 0; fd < 3; fd++)
        if (!given[fd] && dup2(null_fd, fd) < 0)
            return -1;
    return 0;
}

/* By bare system calls: the library's wrappers would tell threads that do not exist here. */
IN_CHILD static int become(const struct cf_spawn_user *user)
{
    if (!user->set)
        return 0;
    if (syscall(SYS_setgroups, user->group_count, user->groups) != 0)
        return -1;
    if (syscall(SYS_setresgid, user->gid, user->gid, user->gid) != 0)
        return -1;
    return (int)syscall(SYS_setresuid, user->uid, user->uid, user->uid);
}

/* The folder's descriptor comes from the server's mount namespace; in another one the kernel calls such a folder
 * unreachable, and a shell takes longer to find out where it is than to start.  So it is entered once more, by its
 * path, if that leads to the same folder. */
IN_CHILD static int enter(int folder)
{
    char link[32], path[PATH_MAX];
    struct stat want, have;
    ssize_t length;

    snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    length = readlink(link, path, sizeof path - 1);
    if (fchdir(folder) != 0 || fstat(folder, &want) != 0)
        return -1;
    if (length <= 0)
        return 0;
    path[length] = '\0';
    if (chdir(path) != 0 || stat(".", &have) != 0 || have.st_dev != want.st_dev || have.st_ino != want.st_ino)
        return fchdir(folder);
    return 0;
}

/* What uses select() cannot live with the keeper's raised limit.  After the last new descriptor: those that lie above
 * the limit stay open. */
IN_CHILD static int restore_limit(uint64_t open_files)
{
    struct rlimit files;

    if (open_files == 0)
        return 0;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        return -1;
    files.rlim_cur = open_files < files.rlim_max ? open_files : files.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &files);
}

IN_CHILD static int live(void *context)
{
    const struct birth *birth = context;
    int folder;
    sigset_t none;

    if (birth->plan == NULL)
        _exit(0);
    if (setsid() < 0)
        goto fail;
    folder = fcntl(birth->fds[0], F_DUPFD_CLOEXEC, CF_SPAWN_TARGET_LAST + 1);
    if (folder < 0 || place(birth->plan, birth->fds) != 0)
        goto fail;
    /* 0: not to be taken from a session that has it. */
    if ((birth->plan->flags & CF_SPAWN_TERMINAL) != 0 && ioctl(0, TIOCSCTTY, 0) != 0)
        goto fail;
    umask(022);
    /* The folder and the program are opened as the session's user: what he may not enter stays shut. */
    if (become(&birth->user) != 0 || enter(folder) != 0 || restore_limit(birth->user.open_files) != 0)
        goto fail;
    /* After the change of user, which clears it.  A parent that died before was missed, so look. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        goto fail;
    if (getppid() != birth->parent)
        _exit(127);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(birth->args->argv[0], birth->args->argv, birth->args->envp);
fail:
    *birth->error = errno;
    _exit(127);
}

/* In an init, which nothing else runs beside: share memory, so that no page is copied. */
static pid_t clone_sharing(struct birth *birth, char *stack_top)
{
    return clone(live, stack_top, CLONE_VM | CLONE_VFORK | SIGCHLD, birth);
}

/* In the keeper.  clone3 alone knows CLONE_INTO_CGROUP, and shares memory only with an assembly stub for each
 * machine; from a process of the keeper's size that would save 0.08 of 0.98 ms, so it copies. */
static pid_t clone_copying(struct birth *birth, int cgroup_fd)
{
    struct clone_args how = {
        .flags = CLONE_VFORK | CLONE_CLEAR_SIGHAND | (cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
        .exit_signal = SIGCHLD,
        .cgroup = cgroup_fd >= 0 ? (uint64_t)cgroup_fd : 0,
    };
    pid_t pid = (pid_t)syscall(SYS_clone3, &how, sizeof how);

    if (pid == 0)
        live(birth);
    return pid;
}

pid_t cf_spawn_leader(const struct cf_spawn_plan *plan, const struct cf_spawn_args *args, const int *fds,
                      const struct cf_spawn_user *user, int cgroup_fd)
{
    struct birth birth = { .plan = plan, .args = args, .fds = fds, .user = *user, .parent = getpid() };
    pid_t pid;
    int error;

    birth.error = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (birth.error == MAP_FAILED)
        return -1;
    *birth.error = 0;
    pid = cgroup_fd < 0 && args != NULL ? clone_sharing(&birth, args->stack_top) : clone_copying(&birth, cgroup_fd);
    error = pid < 0 ? errno : *birth.error;
    munmap(birth.error, sizeof(int));
    if (error != 0) {
        if (pid > 0)
            (void)waitpid(pid, NULL, 0);
        errno = error;
        return -1;
    }
    return pid;
}

