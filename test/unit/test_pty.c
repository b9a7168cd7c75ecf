/* test_pty.c: the server's end of a terminal, with processes at the other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "base/fd.h"
#include "server/pty.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define WAIT_S 20                       /* for anything that has to come */
#define QUEUE_MAX 100000

struct fixture {
    struct event_base *loop;
    struct cf_pty *pty;
    pid_t leader;
    struct cf_buf output;
    unsigned written, hung_up;
    const char *awaited;                /* text that ends the loop */
    char scratch[65536];
};

static bool has_come(const struct fixture *f, const char *text)
{
    return f->output.len > 0 && strstr(f->output.data, text) != NULL;
}

static void on_output(void *arg, const char *bytes, size_t len)
{
    struct fixture *f = arg;
    cf_buf_append(&f->output, bytes, len);
    if (f->awaited != NULL && has_come(f, f->awaited))
        event_base_loopbreak(f->loop);
}

static void on_written(void *arg)
{
    struct fixture *f = arg;
    f->written++;
    event_base_loopbreak(f->loop);
}

static void on_hung_up(void *arg)
{
    struct fixture *f = arg;
    f->hung_up++;
    event_base_loopbreak(f->loop);
}

static const struct cf_pty_events events = { .output = on_output, .written = on_written, .hung_up = on_hung_up };

static void open_pty(struct fixture *f, unsigned cols, unsigned rows)
{
    struct cf_error error = { 0 };
    struct cf_pty_options options = { .cols = cols, .rows = rows, .uid = geteuid(), .gid = getegid(), .queue_max = QUEUE_MAX,
                                      .scratch = f->scratch, .scratch_bytes = sizeof f->scratch };
    f->loop = event_base_new();
    assert_non_null(f->loop);
    cf_buf_init(&f->output, 16u << 20);
    assert_int_equal(cf_pty_open(f->loop, &options, &f->pty, &error), 0);
}

/* The keeper's part: a leader that has the terminal runs `script`. */
static void begin(struct fixture *f, const char *script)
{
    struct cf_error error;
    int slave_fd = cf_pty_slave_fd(f->pty);
    f->leader = fork();
    assert_true(f->leader >= 0);
    if (f->leader == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (setsid() < 0 || dup2(slave_fd, 0) < 0 || dup2(slave_fd, 1) < 0 || dup2(slave_fd, 2) < 0 || ioctl(0, TIOCSCTTY, 0) < 0)
            _exit(120);
        execl("/bin/bash", "bash", "-c", script, (char *)NULL);
        _exit(121);
    }
    assert_int_equal(cf_pty_begin(f->pty, &events, f, &error), 0);
    assert_int_equal(cf_pty_slave_fd(f->pty), -1);
}

static struct fixture *start(const char *script)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    open_pty(f, 80, 24);
    begin(f, script);
    return f;
}

/* Turns the loop until something breaks it; false when nothing has within WAIT_S. */
static bool turn(struct fixture *f)
{
    struct timeval most = { .tv_sec = WAIT_S };
    event_base_loopexit(f->loop, &most);
    event_base_dispatch(f->loop);
    return event_base_got_break(f->loop);
}

static void await_text(struct fixture *f, const char *text)
{
    f->awaited = text;
    while (!has_come(f, text) && turn(f))
        ;
    f->awaited = NULL;
    if (!has_come(f, text))
        print_message("waited for \"%s\", have: %s\n", text, f->output.len > 0 ? f->output.data : "nothing");
    assert_true(has_come(f, text));
    cf_buf_reset(&f->output);
}

static void stop(struct fixture *f)
{
    cf_pty_free(&f->pty);
    assert_null(f->pty);
    cf_pty_free(&f->pty);
    if (f->leader > 0) {
        (void)kill(f->leader, SIGKILL); /* our child, not reaped */
        (void)waitpid(f->leader, NULL, 0);
    }
    event_base_free(f->loop);
    cf_buf_free(&f->output);
    free(f);
}

static void type(struct fixture *f, const char *text)
{
    struct cf_error error;
    assert_int_equal(cf_pty_write(f->pty, text, strlen(text), &error), 0);
}

static void a_new_terminal_is_as_a_login_has_it(void **state)
{
    struct fixture f = { 0 };
    struct termios t;
    struct winsize size;
    struct stat st;
    struct group *tty = getgrnam("tty");
    open_pty(&f, 132, 43);
    int fd = cf_pty_slave_fd(f.pty);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(ioctl(fd, TIOCGWINSZ, &size), 0);
    assert_int_equal(size.ws_col, 132);
    assert_int_equal(size.ws_row, 43);
    assert_int_equal(tcgetattr(fd, &t), 0);
    assert_true((t.c_iflag & (IUTF8 | ICRNL)) == (IUTF8 | ICRNL) && (t.c_oflag & ONLCR) && (t.c_lflag & (ISIG | ICANON)));
    assert_int_equal(t.c_cc[VINTR], 3);
    assert_int_equal(t.c_cc[VSUSP], 26);
    assert_int_equal(t.c_cc[VERASE], 127);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_uid, geteuid());
    assert_int_equal(st.st_mode & 0777, tty != NULL && st.st_gid == tty->gr_gid ? 0620 : 0600);
    if (geteuid() == 0 && tty != NULL)
        assert_int_equal(st.st_gid, tty->gr_gid);
    cf_pty_free(&f.pty);
    event_base_free(f.loop);
    cf_buf_free(&f.output);
}

static void a_terminal_belongs_to_the_sessions_user(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct cf_error error;
    struct stat st;
    if (geteuid() != 0) {
        free(f);
        skip();
    }
    f->loop = event_base_new();
    struct cf_pty_options options = { .cols = 1, .rows = 1, .uid = 65534, .gid = 65534, .queue_max = 1, .scratch = f->scratch,
                                      .scratch_bytes = sizeof f->scratch };
    assert_int_equal(cf_pty_open(f->loop, &options, &f->pty, &error), 0);
    assert_int_equal(fstat(cf_pty_slave_fd(f->pty), &st), 0);
    assert_int_equal(st.st_uid, 65534);
    stop(f);
}

static void what_is_printed_and_typed_comes_through(void **state)
{
    struct cf_error error;
    struct fixture *f = start("echo ready; read -r line; printf '<%s>\\n' \"$line\"; read -r line");
    await_text(f, "ready\r\n");
    type(f, "h\xc3\xa9llo\x7f!\n");     /* with a key taken back, by characters: the terminal knows UTF-8 */
    await_text(f, "<h\xc3\xa9ll!>\r\n");
    assert_int_equal(cf_pty_waiting(f->pty), 0);
    assert_int_equal(f->written, 0);    /* nothing had to wait, so nobody is told that it is over */
    assert_int_equal(cf_pty_write(f->pty, "", 0, &error), 0);
    stop(f);
}

static void a_flood_takes_turns_with_others(void **state)
{
    struct fixture *f = start("stty -opost; echo ready; read -r line; head -c 3000000 /dev/zero | tr '\\0' x; echo end; read -r line");
    await_text(f, "ready");
    type(f, "\n");
    unsigned turns = 0;
    for (; turns < 100000 && (f->output.len < 4 || strstr(f->output.data + f->output.len - 4, "end") == NULL); turns++)
        event_base_loop(f->loop, EVLOOP_ONCE);
    assert_in_range(turns, 2, 99999);
    size_t count = 0;
    for (size_t i = 0; i < f->output.len; i++)
        count += f->output.data[i] == 'x';
    assert_int_equal(count, 3000000);
    stop(f);
}

/* Nobody reads at the other end: what is typed waits, up to the bound, and is then refused as a whole. */
static void input_that_waits_is_bounded(void **state)
{
    static char block[20000];
    struct cf_error error = { 0 };
    size_t typed = 0;
    int code;
    memset(block, 'x', sizeof block);
    struct fixture *f = start("stty raw -echo; echo ready; read -r -N 1 go; head -c 100 >/dev/null; "
                              "kill -STOP $$; exec tr -d '\\n' | wc -c");
    await_text(f, "ready");
    while ((code = cf_pty_write(f->pty, block, sizeof block, &error)) == 0)
        typed += sizeof block;
    assert_int_equal(code, CF_E_TOO_MANY);
    assert_in_range(cf_pty_waiting(f->pty), QUEUE_MAX - sizeof block + 1, QUEUE_MAX);
    assert_true(typed < 10 * QUEUE_MAX);
    /* Small pieces still fit, and the bound is met exactly. */
    size_t room = QUEUE_MAX - cf_pty_waiting(f->pty);
    assert_int_equal(cf_pty_write(f->pty, block, room + 1, &error), CF_E_TOO_MANY);
    assert_int_equal(cf_pty_write(f->pty, block, room, &error), 0);
    assert_int_equal(cf_pty_waiting(f->pty), QUEUE_MAX);
    assert_int_equal(cf_pty_write(f->pty, block, 1, &error), CF_E_TOO_MANY);
    stop(f);
}

static void what_waited_arrives_whole_and_in_order(void **state)
{
    enum { LINES = 20000 };
    struct cf_error error;
    char line[16];
    struct fixture *f = start("stty raw -echo; echo ready; exec head -c 160000 | cksum; read -r x");
    struct cf_buf all;
    await_text(f, "ready");
    cf_buf_init(&all, 1u << 20);
    for (unsigned i = 0; i < LINES;) {
        snprintf(line, sizeof line, "%07u\n", i);
        if (cf_pty_write(f->pty, line, 8, &error) == 0) {
            cf_buf_append(&all, line, 8);
            i++;
        } else {
            assert_int_equal(error.code, CF_E_TOO_MANY);
            unsigned before = f->written;
            assert_true(turn(f));       /* until it has all gone out */
            assert_int_equal(f->written, before + 1);
            assert_int_equal(cf_pty_waiting(f->pty), 0);
        }
    }
    assert_int_equal(all.len, 160000);
    /* What cksum(1) says about the same bytes here. */
    char path[] = "/tmp/curfew-test-pty-XXXXXX", command[100], want[100] = "";
    CF_FD_AUTO fd = mkostemp(path, O_CLOEXEC);
    assert_int_equal(cf_fd_write_all(fd, all.data, all.len), 0);
    snprintf(command, sizeof command, "cksum <%s", path);
    FILE *sum = popen(command, "re");
    assert_non_null(fgets(want, sizeof want, sum));
    pclose(sum);
    unlink(path);
    want[strcspn(want, "\n")] = '\0';
    await_text(f, want);
    cf_buf_free(&all);
    stop(f);
}

static void a_new_size_is_told(void **state)
{
    struct cf_error error;
    struct fixture *f = start("trap 'echo size $(stty size)' WINCH; echo ready; sleep 1000 & while :; do wait; done");
    await_text(f, "ready");
    assert_int_equal(cf_pty_resize(f->pty, 1000, 1, &error), 0);
    await_text(f, "size 1 1000");
    stop(f);
}

static void the_group_in_front_is_known_and_interrupted(void **state)
{
    /* Input waits unread, ISIG is off, and the shell in the background would say so if it were hit. */
    struct fixture *f = start("set -m; trap 'echo hit' INT; echo ready; "
                              "bash -c 'stty -isig; trap \"echo bye; exit 7\" INT; echo front; while :; do sleep 0.01; done'; "
                              "echo status $?; read -r line");
    await_text(f, "front");
    pid_t front = cf_pty_foreground(f->pty);
    assert_true(front > 0 && front != f->leader);
    assert_int_equal(getpgid(front), front);
    type(f, "\3 typed, not read");
    assert_int_equal(cf_pty_signal(f->pty, SIGINT), 0);
    await_text(f, "status 7");
    assert_int_equal(cf_pty_foreground(f->pty), f->leader);
    assert_int_equal(cf_pty_signal(f->pty, SIGKILL), -1);       /* not one that a key could send */
    assert_int_equal(errno, EINVAL);
    stop(f);
}

static bool is_raw(const struct fixture *f, int fd)
{
    struct termios t;
    assert_int_equal(tcgetattr(fd, &t), 0);
    return (t.c_lflag & ICANON) == 0;
}

static void modes_are_given_back_to_who_reads_keys(void **state)
{
    struct fixture *f = start("stty raw -echo opost; echo keys; read -r -N 1 x; stty sane; echo lines; "
                              "read -r x; stty sane; echo again; read -r x; stty raw; echo end; read -r -N 1 x");
    char path[100];
    await_text(f, "keys");
    snprintf(path, sizeof path, "/proc/%d/fd/0", (int)f->leader);
    CF_FD_AUTO fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(fd >= 0 && is_raw(f, fd));
    cf_pty_keep_modes(f->pty);
    cf_pty_restore_modes(f->pty);           /* nothing has changed */
    assert_true(is_raw(f, fd));
    cf_pty_keep_modes(f->pty);
    type(f, "x");
    await_text(f, "lines");
    assert_false(is_raw(f, fd));
    cf_pty_restore_modes(f->pty);
    assert_true(is_raw(f, fd));
    cf_pty_restore_modes(f->pty);           /* once */
    type(f, "\n");
    await_text(f, "again");
    cf_pty_keep_modes(f->pty);              /* of who reads lines: not to be given back */
    type(f, "\n");
    await_text(f, "end");
    cf_pty_restore_modes(f->pty);
    assert_true(is_raw(f, fd));
    stop(f);
}

static void a_hang_up_is_told_once_after_all_output(void **state)
{
    struct cf_error error;
    struct fixture *f = start("echo ready; read -r line; echo last words");
    await_text(f, "ready");
    type(f, "\n");
    assert_true(turn(f));
    assert_int_equal(f->hung_up, 1);
    assert_non_null(strstr(f->output.data, "last words"));
    assert_int_equal(cf_pty_write(f->pty, "x", 1, &error), CF_E_NOT_READY);
    assert_int_equal(cf_pty_waiting(f->pty), 0);
    cf_pty_drain(f->pty);
    assert_int_equal(f->hung_up, 1);
    assert_int_equal(event_base_loop(f->loop, EVLOOP_NONBLOCK | EVLOOP_NO_EXIT_ON_EMPTY), 0);
    assert_int_equal(cf_pty_foreground(f->pty), 0);
    stop(f);
}

static void what_is_left_can_be_read_without_the_loop(void **state)
{
    struct fixture *f = start("echo some words; kill -STOP $$");
    int status;
    assert_int_equal(waitpid(f->leader, &status, WUNTRACED), f->leader);
    assert_true(WIFSTOPPED(status));
    cf_pty_drain(f->pty);
    assert_non_null(f->output.data);
    assert_string_equal(f->output.data, "some words\r\n");
    assert_int_equal(f->hung_up, 0);
    stop(f);
}

static void closing_it_hangs_up_the_session(void **state)
{
    struct fixture *f = start("echo ready; exec sleep 1000");
    int status;
    await_text(f, "ready");
    cf_pty_free(&f->pty);
    assert_int_equal(waitpid(f->leader, &status, 0), f->leader);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGHUP);
    f->leader = 0;
    stop(f);
}

static void before_the_keeper_has_it_nothing_is_typed(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct cf_error error;
    open_pty(f, 80, 24);
    assert_int_equal(cf_pty_write(f->pty, "x", 1, &error), CF_E_NOT_READY);
    assert_int_equal(cf_pty_foreground(f->pty), 0);
    stop(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "a new terminal has size, modes and owner as a login has them", .test_func = a_new_terminal_is_as_a_login_has_it },
        { .name = "a terminal belongs to the session's user", .test_func = a_terminal_belongs_to_the_sessions_user },
        { .name = "nothing is typed before the keeper has the other end", .test_func = before_the_keeper_has_it_nothing_is_typed },
        { .name = "what is printed and what is typed comes through", .test_func = what_is_printed_and_typed_comes_through },
        { .name = "a flood comes whole, and others get their turn meanwhile", .test_func = a_flood_takes_turns_with_others },
        { .name = "input that nobody reads waits up to the bound, then is refused as a whole", .test_func = input_that_waits_is_bounded },
        { .name = "what had to wait arrives whole and in order, and its end is told", .test_func = what_waited_arrives_whole_and_in_order },
        { .name = "a new size is told to the group in front", .test_func = a_new_size_is_told },
        { .name = "the group in front is known, and interrupted past unread input and stty", .test_func = the_group_in_front_is_known_and_interrupted },
        { .name = "a program that reads keys gets its modes back, one that reads lines does not",
          .test_func = modes_are_given_back_to_who_reads_keys },
        { .name = "a hang-up is told once, after all output", .test_func = a_hang_up_is_told_once_after_all_output },
        { .name = "what is left can be read without the loop", .test_func = what_is_left_can_be_read_without_the_loop },
        { .name = "closing it hangs up the session", .test_func = closing_it_hangs_up_the_session },
    };
    return cmocka_run_group_tests_name("pty", tests, NULL, NULL);
}
