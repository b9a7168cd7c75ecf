#include "keeper/spare.h"
#include "base/fd.h"
#include "base/log.h"
#include "keeper/init.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HAS_INIT (CF_HOLD_PIDNS | CF_HOLD_SUBREAPER)
/* From a start until the next one's containment is made: the session gets the processors for its first command. */
#define AHEAD_NS (5 * CF_NS_PER_MS)
#define RETRY_NS (5 * CF_NS_PER_S)
#define DROP_TRIES 100                  /* a millisecond each, for a cgroup that is busy after its last process went */

static const struct cf_berth none = { .control_fd = -1, .cgroup_fd = -1 };

static int build(struct cf_keeper *k, uint32_t hold, struct cf_berth *ret_berth)
{
    struct cf_init_birth birth = { .hold = hold, .user = k->config.user, .uid = geteuid(), .gid = getegid(),
                                   .user_namespace = (hold & CF_HOLD_PIDNS) != 0 && k->user_namespace };
    struct cf_berth berth = none;
    int error = 0;

    berth.hold = hold;
    if ((hold & CF_HOLD_CGROUP) != 0) {
        berth.cgroup_fd = cf_cgroup_make(&k->cgroups, ++k->last_cgroup);
        if (berth.cgroup_fd < 0)
            return errno;
        berth.cgroup = k->last_cgroup;
    }
    if ((hold & HAS_INIT) != 0) {
        berth.init_pid = cf_init_spawn(&birth, berth.cgroup_fd, &berth.control_fd);
        if (berth.init_pid < 0)
            error = errno;
        cf_fd_close(&berth.cgroup_fd);
    }
    if (error != 0 && berth.cgroup != 0)
        (void)cf_cgroup_remove(&k->cgroups, berth.cgroup);
    if (error == 0)
        *ret_berth = berth;
    return error;
}

/* Its init says nothing before it is told to start somebody: a word or the end of file means that it has failed, or was
 * killed and is not reaped yet. */
static bool sound(const struct cf_berth *spare)
{
    struct pollfd said = { .fd = spare->control_fd, .events = POLLIN };

    return spare->init_pid == 0 || poll(&said, 1, 0) == 0;
}

int cf_spare_take(struct cf_keeper *k, uint32_t hold, struct cf_berth *ret_berth)
{
    k->spare_due_ns = k->now_ns + AHEAD_NS;
    if (k->spare.hold != hold || !sound(&k->spare))
        return build(k, hold, ret_berth);
    *ret_berth = k->spare;
    k->spare = none;
    return 0;
}

/* What is left of a spare whose init is reaped, or that never had one.  false: its cgroup is busy yet. */
static bool remove_rest(struct cf_keeper *k)
{
    cf_fd_close(&k->spare.control_fd);
    cf_fd_close(&k->spare.cgroup_fd);
    k->spare.hold = 0;
    k->spare.init_pid = 0;
    if (k->spare.cgroup != 0 && cf_cgroup_remove(&k->cgroups, k->spare.cgroup) != 0)
        return false;
    k->spare = none;
    return true;
}

void cf_spare_turn(struct cf_keeper *k)
{
    int error;

    if (k->spare_due_ns > k->now_ns)
        return;
    k->spare_due_ns = CF_NEVER_NS;
    if (k->spare.hold == 0 && k->spare.cgroup != 0 && !remove_rest(k)) {
        k->spare_due_ns = k->now_ns + RETRY_NS;
        return;
    }
    if (k->spare.hold != 0 || k->phase != CF_PHASE_SERVING || k->link.state != CF_WIRE_C_READY)
        return;
    error = build(k, k->hold_default, &k->spare);
    if (error == 0)
        return;
    k->spare = none;
    k->spare_due_ns = k->now_ns + RETRY_NS;     /* a session that needs one meets the error itself */
}

void cf_spare_lost(struct cf_keeper *k)
{
    (void)remove_rest(k);               /* else when the next one is due */
    k->spare_due_ns = k->now_ns + RETRY_NS;
}

void cf_spare_drop(struct cf_keeper *k)
{
    CF_FD_AUTO pidfd = -1;
    siginfo_t info;

    k->spare_due_ns = CF_NEVER_NS;
    if (k->spare.init_pid != 0) {
        cf_fd_close(&k->spare.control_fd);      /* which ends it, too, and leaves a number for the pidfd */
        /* Our child and not reaped, so the number means it; with nothing inside it goes at once. */
        pidfd = (int)syscall(SYS_pidfd_open, k->spare.init_pid, 0);
        if (pidfd >= 0)
            (void)syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
        (void)waitid(P_PID, (id_t)k->spare.init_pid, &info, WEXITED);
    }
    for (int tries = 0; !remove_rest(k) && tries < DROP_TRIES; tries++)
        (void)poll(NULL, 0, 1);
    if (k->spare.cgroup != 0)
        cf_log(CF_LOG_WARNING, "the spare cgroup s%u stays until the next start", k->spare.cgroup);
    k->spare = none;
}
