#include "keeper/hold.h"
#include "base/fd.h"
#include "base/packet.h"
#include "keeper/init.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIAL_MS 5000                   /* for a child that has nothing to do */

/* Strongest first. */
static const uint32_t preferred[] = {
    CF_HOLD_CGROUP | CF_HOLD_PIDNS, CF_HOLD_CGROUP, CF_HOLD_PIDNS, CF_HOLD_SUBREAPER,
};

const char *cf_hold_format(uint32_t hold, char *buf, size_t size)
{
    snprintf(buf, size, "%s%s%s%s", (hold & CF_HOLD_CGROUP) != 0 ? "+cgroup" : "",
             (hold & CF_HOLD_PIDNS) != 0 ? "+pidns" : "", (hold & CF_HOLD_SUBREAPER) != 0 ? "+subreaper" : "",
             hold == 0 ? "+auto" : "");
    memmove(buf, buf + 1, strlen(buf));
    return buf;
}

int cf_hold_parse(const char *text, uint32_t *ret_hold)
{
    char word[32];

    if (strcmp(text, "auto") == 0) {
        *ret_hold = 0;
        return 0;
    }
    for (size_t i = 0; i < sizeof preferred / sizeof preferred[0]; i++)
        if (strcmp(text, cf_hold_format(preferred[i], word, sizeof word)) == 0) {
            *ret_hold = preferred[i];
            return 0;
        }
    return -1;
}

/* Waits for a trial's child, and kills one that does not come to its end.  0 when it exited with status 0. */
static int await(pid_t pid)
{
    CF_FD_AUTO pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd gone = { .fd = pidfd, .events = POLLIN };
    int status = -1;

    if (pidfd < 0 || poll(&gone, 1, TRIAL_MS) != 1)
        kill(pid, SIGKILL);             /* our child, not reaped */
    if (waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -1;
}

/* An init that sets itself up as for a session and is told to end it before there is one. */
static int try_init(struct cf_keeper *k, uint32_t hold, int cgroup_fd, bool user_namespace)
{
    struct cf_init_birth birth = { .hold = hold, .user = k->config.user, .uid = geteuid(), .gid = getegid(),
                                   .user_namespace = user_namespace };
    struct cf_init_order order = { .type = CF_INIT_KILL };
    struct cf_init_word word;
    CF_FD_AUTO control_fd = -1;
    struct pollfd said;
    pid_t pid = cf_init_spawn(&birth, cgroup_fd, &control_fd), as;
    int error = EIO;

    if (pid < 0)
        return errno;
    (void)cf_packet_send(control_fd, &order, sizeof order, NULL, 0);
    said = (struct pollfd){ .fd = control_fd, .events = POLLIN };
    if (poll(&said, 1, TRIAL_MS) == 1 && cf_init_read(control_fd, &word, &as) == 1)
        error = word.type == CF_INIT_KILLED ? 0 : word.type == CF_INIT_FAILED ? word.value : EIO;
    if (await(pid) != 0 && error == 0)
        error = EIO;
    return error;
}

static int try_leader(struct cf_keeper *k, int cgroup_fd)
{
    pid_t pid = cf_spawn_leader(NULL, NULL, NULL, &k->config.user, cgroup_fd);

    if (pid < 0)
        return errno;
    return await(pid) == 0 ? 0 : EIO;
}

/* 0, or the errno that came up.  The cgroup is killed before it is removed, to see that it can be. */
static int try(struct cf_keeper *k, uint32_t hold, bool user_namespace)
{
    CF_FD_AUTO cgroup_fd = -1;
    int error;

    if ((hold & CF_HOLD_CGROUP) == 0)
        return try_init(k, hold, -1, user_namespace);
    if (k->cgroups.dir_fd < 0)
        return ENOENT;
    cgroup_fd = cf_cgroup_make(&k->cgroups, ++k->last_cgroup);
    if (cgroup_fd < 0)
        return errno;
    error = (hold & CF_HOLD_PIDNS) != 0 ? try_init(k, hold, cgroup_fd, user_namespace) : try_leader(k, cgroup_fd);
    if (cf_cgroup_kill(&k->cgroups, k->last_cgroup) != 0 && error == 0)
        error = errno;
    for (int tries = 0; cf_cgroup_remove(&k->cgroups, k->last_cgroup) != 0 && tries < 100; tries++)
        (void)poll(NULL, 0, 1);         /* at start, before there is a loop that could be held up */
    return error;
}

/* Without the right to make a PID namespace, a user namespace of our own gives it. */
static int try_either(struct cf_keeper *k, uint32_t hold)
{
    int error = try(k, hold, k->user_namespace);

    if ((hold & CF_HOLD_PIDNS) == 0 || error != EPERM || k->user_namespace)
        return error;
    error = try(k, hold, true);
    k->user_namespace = error == 0;
    return error;
}

int cf_hold_probe(struct cf_keeper *k, struct cf_error *error)
{
    uint32_t wanted = k->config.hold;
    char word[32];

    k->hold_offered = 0;
    k->hold_default = 0;
    for (size_t i = 0; i < sizeof preferred / sizeof preferred[0]; i++) {
        int why = try_either(k, preferred[i]);

        if (why != 0 && preferred[i] == wanted)
            return cf_error_set(error, CF_E_UNAVAILABLE, "containment", "%s does not work here: %s",
                                cf_hold_format(wanted, word, sizeof word),
                                why == ENOENT && k->cgroups.dir_fd < 0 ? "no cgroup of version 2 can be used"
                                                                       : strerror(why));
        if (why != 0)
            continue;
        k->hold_offered |= preferred[i];
        if (k->hold_default == 0)
            k->hold_default = preferred[i];
    }
    if (wanted != 0)
        k->hold_default = wanted;
    if (k->hold_default == 0)
        return cf_error_set(error, CF_E_UNAVAILABLE, "containment", "no containment works here, not even a subreaper");
    return 0;
}
