#include "cli/signals.h"

#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

void cf_signals_ending(sigset_t *ret_set)
{
    static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction now;

    sigemptyset(ret_set);
    for (size_t i = 0; i < sizeof ending / sizeof *ending; i++)
        if (sigaction(ending[i], NULL, &now) == 0 && now.sa_handler != SIG_IGN)
            sigaddset(ret_set, ending[i]);
}

int cf_signals_take(const sigset_t *set, sigset_t *ret_old)
{
    if (sigprocmask(SIG_BLOCK, set, ret_old) < 0)
        return -1;
    return signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int cf_signals_read(int fd)
{
    struct signalfd_siginfo info;

    return read(fd, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

void cf_signals_release(const sigset_t *old, int signo)
{
    if (signo) {
        signal(signo, SIG_DFL);
        raise(signo);                   /* comes when it is unblocked */
    }
    sigprocmask(SIG_SETMASK, old, NULL);
}
