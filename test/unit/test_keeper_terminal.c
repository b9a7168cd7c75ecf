/* test_keeper_terminal.c: a leader with a controlling terminal, under each containment that this machine offers. */
#include "keeper_holds.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define NOBODY 65534

/* The leader says what it has: a controlling terminal, that its own group is in front, and the word. */
#define SAYS_READY "exec 4</dev/tty && read -r _ _ _ _ group _ _ front _ </proc/self/stat && " \
                   "[ \"$group\" = \"$front\" ] && echo ready; "

static void open_terminal(int *ret_master_fd, int *ret_slave_fd)
{
    int master_fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

    assert_true(master_fd >= 0);
    assert_int_equal(unlockpt(master_fd), 0);
    *ret_slave_fd = ioctl(master_fd, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(*ret_slave_fd >= 0);
    *ret_master_fd = master_fd;
}

/* SPAWN with `input_fd` as 0, 1 and 2 and as the terminal; the answer's status. */
static int spawn_on(struct peer *p, uint64_t key, const char *script, int input_fd, pid_t *ret_pid)
{
    struct cf_wire_spawn spawn = { .type = CF_WIRE_SPAWN, .key = key, .lease_ms = LEASE_MS, .fd_count = 3,
                                   .fd_targets = { 0, 1, 2 }, .flags = CF_SPAWN_TERMINAL };
    CF_FD_AUTO folder = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    CF_FD_AUTO block = peer_block(p, script, &spawn);
    int fds[5] = { folder, block, input_fd, input_fd, input_fd };
    union report report;

    peer_send(p, &spawn, sizeof spawn, fds, 5);
    assert_true(peer_await(p, CF_WIRE_SPAWNED, key, &report));
    if (ret_pid != NULL)
        *ret_pid = report.spawned.pid;
    return report.spawned.status;
}

static int start_terminal(struct peer *p, const char *script, pid_t *ret_pid)
{
    int master_fd, slave_fd;

    open_terminal(&master_fd, &slave_fd);
    assert_int_equal(spawn_on(p, 1, script, slave_fd, ret_pid), 0);
    close(slave_fd);
    assert_true(peer_await_text(master_fd, "ready"));
    return master_fd;
}

static void the_leader_has_its_terminal(void **state)
{
    struct peer p;
    struct winsize size = { .ws_row = 7, .ws_col = 70 };

    peer_open(&p, hold_of(state));
    CF_FD_AUTO master_fd = start_terminal(&p, "trap 'stty size' WINCH; " SAYS_READY "sleep 1000 & while :; do wait; done", NULL);
    assert_int_equal(ioctl(master_fd, TIOCSWINSZ, &size), 0);
    assert_true(peer_await_text(master_fd, "7 70"));
    bye(&p);
}

static void ctrl_c_reaches_the_group_in_front(void **state)
{
    struct peer p;
    pid_t leader, front = 0;

    peer_open(&p, hold_of(state));
    CF_FD_AUTO master_fd = start_terminal(&p, "set -m; trap 'echo the shell too' INT; " SAYS_READY
                                          "bash -c 'trap \"echo interrupted; exit 3\" INT; echo front; "
                                          "while :; do sleep 0.01; done'; echo status $?; read -r line", &leader);
    assert_int_equal(ioctl(master_fd, TIOCGPGRP, &front), 0);
    assert_true(peer_await_text(master_fd, "front"));
    assert_int_equal(ioctl(master_fd, TIOCGPGRP, &front), 0);
    assert_true(front > 1 && front != leader);  /* the number that this process knows it by */
    assert_int_equal(kill(-front, 0), 0);
    assert_int_equal(write(master_fd, "\3", 1), 1);
    assert_true(peer_await_text(master_fd, "status 3"));
    bye(&p);
}

static void a_hang_up_ends_the_leader(void **state)
{
    struct peer p;
    union report report;

    peer_open(&p, hold_of(state));
    int master_fd = start_terminal(&p, SAYS_READY "exec sleep 1000", NULL);
    close(master_fd);
    assert_true(peer_await(&p, CF_WIRE_LEFT, 1, &report));
    assert_true(WIFSIGNALED(report.left.wait_status));
    assert_int_equal(WTERMSIG(report.left.wait_status), SIGHUP);
    bye(&p);
}

static void another_user_has_the_terminal(void **state)
{
    struct peer p;
    int slave_fd, master_fd;

    if (geteuid() != 0)
        skip();
    peer_open_as(&p, &(struct peer_birth){ .hold = hold_of(state), .uid = NOBODY });
    peer_hello(&p);
    open_terminal(&master_fd, &slave_fd);
    assert_int_equal(fchown(slave_fd, NOBODY, (gid_t)-1), 0);
    assert_int_equal(spawn_on(&p, 1, SAYS_READY "id -u; read -r line", slave_fd, NULL), 0);
    close(slave_fd);
    assert_true(peer_await_text(master_fd, "ready\r\n65534"));
    close(master_fd);
    bye(&p);
}

static void what_is_no_free_terminal_is_refused(void **state)
{
    struct peer p;
    int master_fd, slave_fd;
    CF_FD_AUTO null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    peer_open(&p, hold_of(state));
    assert_int_equal(spawn_on(&p, 1, "sleep 1000", null_fd, NULL), ENOTTY);
    open_terminal(&master_fd, &slave_fd);
    assert_int_equal(spawn_on(&p, 1, SAYS_READY "exec sleep 1000", slave_fd, NULL), 0);
    assert_true(peer_await_text(master_fd, "ready"));
    assert_int_equal(spawn_on(&p, 2, "sleep 1000", slave_fd, NULL), EPERM);     /* it is the other session's */
    assert_true(peer_await_exactly(&p, 1));
    close(slave_fd);
    close(master_fd);
    bye(&p);
}

static const struct behaviour behaviours[] = {
    { "the leader has a controlling terminal, its group in front, and hears of its size", the_leader_has_its_terminal },
    { "Ctrl-C reaches the group in front, which the server sees by a number of its own", ctrl_c_reaches_the_group_in_front },
    { "a terminal that is hung up ends its leader by SIGHUP", a_hang_up_ends_the_leader },
    { "so it is for a session that runs as another user", another_user_has_the_terminal },
    { "what is no terminal, or another session's, is refused and leaves no process", what_is_no_free_terminal_is_refused },
};

int main(int argc, char **argv)
{
    return run_holds(argc, argv, behaviours, sizeof behaviours / sizeof behaviours[0]);
}
