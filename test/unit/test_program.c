/* A process with pipes, as the server has it: the test is keeper and program at once. */
#include "base/fd.h"
#include "base/packet.h"
#include "server/journal.h"
#include "server/keep.h"
#include "server/pace.h"
#include "server/program.h"
#include "server/shells.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_MAX 4096
#define TURNS 2000                      /* of the loop, 10 ms each at most: for what has to come */

struct fixture {
    struct cf_settings settings;
    struct cf_shell_host host;
    struct cf_shells *shells;
    struct cf_shell *shell;
    int keeper_fd, folder_fd;
    int in, out, err;                   /* the program's own */
    struct cf_wire_spawn asked;
    char arguments[8192];
    struct cf_keep keep;                /* for the next server; where a test wants one */
    struct cf_heir heir;                /* what it has given into the keeper's hand */
    unsigned ready, left, ended, failed;
    int wait_status;
    char why[384];
    char path[64];
};

/* ---- the server's side ---- */

static void on_ready(struct cf_shell *shell, void *arg)
{
    ((struct fixture *)arg)->ready++;
}

static void on_left(struct cf_shell *shell, void *arg, int wait_status)
{
    struct fixture *f = arg;
    f->left++;
    f->wait_status = wait_status;
}

static void on_ended(struct cf_shell *shell, void *arg, const struct cf_wire_ended *report)
{
    ((struct fixture *)arg)->ended++;
}

static void on_failed(struct cf_shell *shell, void *arg, const struct cf_error *why)
{
    struct fixture *f = arg;
    f->failed++;
    snprintf(f->why, sizeof f->why, "%s", why->text);
}

static const struct cf_shell_events events = { .ready = on_ready, .left = on_left, .ended = on_ended, .failed = on_failed };

static void on_spawned(void *arg, const struct cf_wire_spawned *r) { cf_shells_on_spawned(((struct fixture *)arg)->shells, r); }
static void on_signaled(void *arg, const struct cf_wire_signaled *r) { cf_shells_on_signaled(((struct fixture *)arg)->shells, r); }
static void on_gone(void *arg, const struct cf_wire_left *r) { cf_shells_on_left(((struct fixture *)arg)->shells, r); }
static void on_over(void *arg, const struct cf_wire_ended *r) { cf_shells_on_ended(((struct fixture *)arg)->shells, r); }
static void on_lost(void *arg, const char *why) { fail_msg("the keeper %s", why); }

static void turn(struct fixture *f)
{
    const struct timeval tv = { .tv_usec = 10000 };
    event_base_loopexit(f->host.loop, &tv);
    event_base_loop(f->host.loop, EVLOOP_ONCE);
}

/* ---- the keeper's side ---- */

static void report(struct fixture *f, const void *packet, size_t len)
{
    assert_int_equal(cf_packet_send(f->keeper_fd, packet, len, NULL, 0), 0);
}

static uint32_t take(struct fixture *f, void *packet, size_t size)
{
    int fds[CF_WIRE_FDS_MAX];
    size_t count = 0;
    ssize_t n = cf_packet_recv(f->keeper_fd, packet, size, fds, CF_WIRE_FDS_MAX, &count);
    for (size_t i = 0; i < count; i++)
        cf_fd_close(&fds[i]);
    return n < (ssize_t)sizeof(uint32_t) ? 0 : *(uint32_t *)packet;
}

/* What SPAWN brings: becomes the program's own descriptors and its arguments. */
static void take_spawn(struct fixture *f)
{
    int fds[CF_WIRE_FDS_MAX];
    size_t count = 0;
    assert_int_equal(cf_packet_recv(f->keeper_fd, &f->asked, sizeof f->asked, fds, CF_WIRE_FDS_MAX, &count), sizeof f->asked);
    assert_int_equal(f->asked.type, CF_WIRE_SPAWN);
    assert_int_equal(count, 5);
    assert_int_equal(f->asked.fd_count, 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(f->asked.fd_targets[i], i);
    assert_true(pread(fds[1], f->arguments, sizeof f->arguments, 0) == (ssize_t)f->asked.args_bytes);
    cf_fd_close(&fds[0]);
    cf_fd_close(&fds[1]);
    f->in = fds[2];
    f->out = fds[3];
    f->err = fds[4];
}

static void spawned(struct fixture *f, int status)
{
    const struct cf_wire_spawned r = { .type = CF_WIRE_SPAWNED, .status = status, .key = f->asked.key, .pid = status == 0 ? 4711 : 0, .hold = CF_HOLD_PIDNS };
    report(f, &r, sizeof r);
    for (int i = 0; i < TURNS && f->ready + f->failed == 0; i++)
        turn(f);
}

static void start(struct fixture *f)
{
    const char *const argv[] = { "/bin/agent", "one", "", NULL }, *const env[] = { "A=b", NULL };
    const struct cf_program program = { .argv = argv, .env = env };
    struct cf_error error;
    assert_int_equal(cf_shells_start_program(f->shells, f->folder_fd, &program, &events, f, &f->shell, &error), 0);
    take_spawn(f);
}

static int setup(void **state)
{
    static const struct cf_link_reports reports = { .spawned = on_spawned, .signaled = on_signaled, .left = on_gone, .ended = on_over, .lost = on_lost };
    struct fixture *f = *state = calloc(1, sizeof *f);
    const struct cf_wire_welcome welcome = { .type = CF_WIRE_WELCOME, .version = CF_WIRE_VERSION };
    struct cf_heirs heirs = { 0 };
    struct cf_wire_hello hello;
    struct cf_error error;
    char folder[128];
    int pair[2];
    signal(SIGPIPE, SIG_IGN);
    cf_settings_default(&f->settings);
    strcpy(f->path, "/tmp/cf-program-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    snprintf(folder, sizeof folder, "%s/sessions", f->path);
    assert_int_equal(mkdir(folder, 0700), 0);
    snprintf(f->settings.runtime_dir, sizeof f->settings.runtime_dir, "%s", f->path);
    f->settings.max_input_bytes = INPUT_MAX;
    f->in = f->out = f->err = -1;
    f->folder_fd = open("/", O_PATH | O_CLOEXEC);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    f->keeper_fd = pair[1];
    assert_int_equal(cf_fd_nonblock(f->keeper_fd), 0);
    report(f, &welcome, sizeof welcome);
    f->host = (struct cf_shell_host){ .loop = event_base_new(), .settings = &f->settings, .uid = geteuid(), .gid = getegid(), .args = { .fd = -1 },
                                      .driver_path = f->path, .locale = f->path + strlen(f->path), /* "" */
                                      .limits = { .spool_bytes = 1 << 20, .execs_kept = 1, .head_bytes = 1024 }, .budget = { .max_bytes = 1 << 24 } };
    assert_int_equal(event_base_priority_init(f->host.loop, 4), 0);
    f->host.pace = cf_pace_new(f->host.loop);
    assert_int_equal(cf_link_open(pair[0], &heirs, &f->host.link, &error), 0);
    assert_int_equal(cf_link_listen(f->host.link, f->host.loop, &reports, f, &error), 0);
    assert_int_equal(take(f, &hello, sizeof hello), CF_WIRE_HELLO);
    f->shells = cf_shells_new(&f->host);
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char folder[128];
    int *fds[] = { &f->in, &f->out, &f->err, &f->folder_fd };
    f->keep.leaving = true;             /* what is freed here stays, as with one that is dead */
    cf_shells_free(&f->shells);
    cf_vault_free(&f->keep.vault);
    for (uint32_t i = 0; i < f->heir.count; i++)
        cf_fd_close(&f->heir.fds[i].fd);
    free(f->heir.fds);
    cf_link_close(&f->host.link);
    cf_pace_free(&f->host.pace);
    event_base_free(f->host.loop);
    cf_fd_close(&f->keeper_fd);
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        cf_fd_close(fds[i]);
    snprintf(folder, sizeof folder, "%s/sessions", f->path);
    assert_int_equal(rmdir(folder), 0);                 /* nothing of a program's pipes is left */
    assert_int_equal(rmdir(f->path), 0);
    free(f);
    return 0;
}

/* ---- tests ---- */

static void input_of(struct fixture *f, const char *text, uint64_t seq, bool eof, int want, bool want_repeated, bool want_open)
{
    const struct cf_input input = { .data = text, .len = strlen(text), .seq = seq, .eof = eof };
    struct cf_error error = { 0 };
    bool repeated = false, open = false;
    assert_int_equal(cf_shell_input(f->shell, &input, &repeated, &open, &error), want);
    assert_int_equal(repeated, want_repeated);
    if (want == 0)
        assert_int_equal(open, want_open);
}

static const char *read_in(struct fixture *f, size_t len)
{
    static char text[1 << 17];
    size_t done = 0;
    assert_true(len < sizeof text);
    for (int i = 0; i < TURNS && done < len; i++) {
        struct pollfd p = { .fd = f->in, .events = POLLIN };
        if (poll(&p, 1, 0) > 0) {
            ssize_t n = read(f->in, text + done, len - done);
            assert_true(n > 0);
            done += (size_t)n;
        } else {
            turn(f);
        }
    }
    assert_int_equal(done, len);
    text[len] = '\0';
    return text;
}

static void wait_bytes(struct fixture *f, uint64_t bytes)
{
    struct cf_spool *spool = cf_journal_spool(cf_shell_journal(f->shell));
    for (int i = 0; i < TURNS && cf_spool_end(spool) < bytes; i++)
        turn(f);
    assert_int_equal(cf_spool_end(spool), bytes);
}

static void it_gets_its_arguments_and_three_pipes(void **state)
{
    static const char want[] = "/bin/agent\0one\0\0A=b";
    struct fixture *f = *state;
    struct stat st;
    start(f);
    assert_int_equal(f->asked.argc, 3);
    assert_int_equal(f->asked.envc, 1);
    assert_int_equal(f->asked.args_bytes, sizeof want);
    assert_memory_equal(f->arguments, want, sizeof want);
    assert_int_equal(f->ready, 0);
    spawned(f, 0);
    assert_int_equal(f->ready, 1);
    assert_int_equal(cf_shell_pid(f->shell), 4711);
    assert_true(fstat(f->in, &st) == 0 && S_ISFIFO(st.st_mode));
    assert_int_equal(fcntl(f->in, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDONLY);      /* a program that reads shall wait */
    assert_int_equal(fcntl(f->out, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_WRONLY);
    assert_int_equal(fcntl(f->err, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_WRONLY);
}

static void it_is_fed_in_order_and_once(void **state)
{
    struct fixture *f = *state;
    start(f);
    input_of(f, "early ", 1, false, 0, false, true);    /* before it has started */
    spawned(f, 0);
    input_of(f, "early ", 1, false, 0, true, true);
    input_of(f, "late", 2, false, 0, false, true);
    input_of(f, "", 3, true, 0, false, false);
    assert_string_equal(read_in(f, 10), "early late");
    char byte;
    assert_int_equal(read(f->in, &byte, 1), 0);         /* the end of its input */
    input_of(f, "x", 4, false, CF_E_NOT_READING, false, false);
    input_of(f, "", 3, false, 0, true, false);
}

static void what_waits_is_bounded_and_goes_out_when_it_reads(void **state)
{
    struct fixture *f = *state;
    char text[INPUT_MAX + 2];
    size_t taken = 0;
    start(f);
    spawned(f, 0);
    memset(text, 'x', sizeof text);
    text[INPUT_MAX + 1] = '\0';
    input_of(f, text, 0, false, CF_E_TOO_LARGE, false, true);
    text[INPUT_MAX] = '\0';
    const struct cf_input input = { .data = text, .len = INPUT_MAX };
    struct cf_error error;
    bool repeated, open;
    while (cf_shell_input(f->shell, &input, &repeated, &open, &error) == 0)
        assert_true(++taken < 1000);
    assert_int_equal(error.code, CF_E_TOO_MANY);
    assert_int_equal(taken, 65536 / INPUT_MAX + 1);     /* the pipe and one queue */
    input_of(f, "", 0, true, 0, false, false);          /* the end has room, and comes behind all of it */
    assert_int_equal(strspn(read_in(f, taken * INPUT_MAX), "x"), taken * INPUT_MAX);
    char byte;
    for (int i = 0; i < 20; i++)
        turn(f);
    assert_int_equal(read(f->in, &byte, 1), 0);
}

static void a_closed_stdin_is_told(void **state)
{
    struct fixture *f = *state;
    start(f);
    spawned(f, 0);
    cf_fd_close(&f->in);
    input_of(f, "x", 1, false, CF_E_NOT_READING, false, false);
    input_of(f, "x", 1, false, CF_E_NOT_READING, false, false);         /* it was not taken, so it is no repetition */
}

static void what_it_prints_is_counted_by_stream(void **state)
{
    struct fixture *f = *state;
    struct cf_piece piece;
    uint64_t gap;
    start(f);
    struct cf_journal *j = cf_shell_journal(f->shell);
    assert_true(cf_journal_of_program(j));
    assert_int_equal(write(f->out, "out", 3), 3);       /* also before the keeper's word has come */
    wait_bytes(f, 3);
    spawned(f, 0);
    assert_int_equal(write(f->err, "error", 5), 5);
    wait_bytes(f, 8);
    assert_int_equal(write(f->out, "more", 4), 4);
    wait_bytes(f, 12);
    assert_int_equal(cf_journal_program_bytes(j, CF_STREAM_OUT), 7);
    assert_int_equal(cf_journal_program_bytes(j, CF_STREAM_ERR), 5);
    struct cf_cursor cursor = { .one_stream = true, .stream = CF_STREAM_OUT, .since = 3 };
    assert_int_equal(cf_cursor_next(&cursor, cf_journal_spool(j), 100, &piece, &gap), CF_NEXT_BYTES);
    assert_int_equal(piece.len, 4);
    assert_int_equal(piece.stream_at, 3);
    assert_false(piece.late);
    size_t len;
    assert_memory_equal(cf_spool_bytes(cf_journal_spool(j), piece.at, 4, &len), "more", 4);
}

static void it_goes_by_itself(void **state)
{
    struct fixture *f = *state;
    start(f);
    spawned(f, 0);
    assert_int_equal(write(f->out, "last", 4), 4);
    const struct cf_wire_left gone = { .type = CF_WIRE_LEFT, .wait_status = 3 << 8, .key = f->asked.key };
    report(f, &gone, sizeof gone);
    for (int i = 0; i < TURNS && f->left == 0; i++)
        turn(f);
    assert_int_equal(f->left, 1);
    assert_int_equal(f->wait_status, 3 << 8);
    input_of(f, "x", 0, false, CF_E_NOT_READING, false, false);
    struct cf_error error;
    assert_int_equal(cf_shell_signal(f->shell, SIGINT, &error), CF_E_NOT_READY);
    cf_shell_end(f->shell, 5 * CF_NS_PER_S);
    assert_int_equal(cf_spool_end(cf_journal_spool(cf_shell_journal(f->shell))), 4);    /* its last word was not lost */
    assert_false(cf_shell_was_closed(f->shell));
}

static void its_end_closes_the_pipes_before_the_keeper_is_asked(void **state)
{
    struct fixture *f = *state;
    struct cf_wire_end end;
    char byte;
    start(f);
    spawned(f, 0);
    cf_shell_end(f->shell, 5 * CF_NS_PER_S);
    assert_true(cf_shell_was_closed(f->shell));
    assert_int_equal(take(f, &end, sizeof end), CF_WIRE_END);
    assert_true(end.key == f->asked.key && end.grace_ms == 5000);
    assert_int_equal(read(f->in, &byte, 1), 0);
    assert_true(write(f->out, "x", 1) < 0 && errno == EPIPE);
    assert_true(write(f->err, "x", 1) < 0 && errno == EPIPE);
    const struct cf_wire_ended ended = { .type = CF_WIRE_ENDED, .cause = CF_CAUSE_ASKED, .key = end.key, .rung = CF_RUNG_CLOSED };
    report(f, &ended, sizeof ended);
    for (int i = 0; i < TURNS && f->ended == 0; i++)
        turn(f);
    assert_int_equal(f->ended, 1);
    assert_int_equal(f->left, 0);
}

static void a_signal_goes_to_its_group(void **state)
{
    struct fixture *f = *state;
    struct cf_wire_signal asked;
    struct cf_error error;
    start(f);
    assert_int_equal(cf_shell_signal(f->shell, SIGUSR1, &error), CF_E_NOT_READY);       /* not before it runs */
    spawned(f, 0);
    assert_int_equal(cf_shell_signal(f->shell, SIGUSR1, &error), 0);
    assert_int_equal(take(f, &asked, sizeof asked), CF_WIRE_SIGNAL);
    assert_true(asked.signo == SIGUSR1 && asked.scope == CF_SCOPE_GROUP && asked.key == f->asked.key);
}

static void a_start_that_fails_names_the_program(void **state)
{
    struct fixture *f = *state;
    start(f);
    spawned(f, ENOENT);
    assert_int_equal(f->ready, 0);
    assert_int_equal(f->failed, 1);
    assert_string_equal(f->why, "cannot start /bin/agent: No such file or directory");
}

/* ---- the next server ---- */

static void begin_kept(struct fixture *f)
{
    f->keep = (struct cf_keep){ .vault = cf_vault_new(), .link = f->host.link };
    assert_non_null(f->keep.vault);
    f->host.keep = &f->keep;
    start(f);
    spawned(f, 0);
}

/* Three descriptors, in as many packets as it takes. */
static void take_held(struct fixture *f)
{
    f->heir = (struct cf_heir){ .key = f->asked.key, .hold = CF_HOLD_PIDNS, .pid = 4711, .fds = calloc(3, sizeof *f->heir.fds), .room = 3 };
    while (f->heir.count < 3) {
        struct cf_wire_hold packet;
        int fds[CF_WIRE_FDS_MAX];
        size_t count = 0;
        assert_int_equal(cf_packet_recv(f->keeper_fd, &packet, sizeof packet, fds, CF_WIRE_FDS_MAX, &count), sizeof packet);
        assert_true(packet.type == CF_WIRE_HOLD && packet.key == f->asked.key && packet.count == count && f->heir.count + count <= 3);
        for (size_t i = 0; i < count; i++)
            f->heir.fds[f->heir.count++] = (struct cf_keep_fd){ .tag = (enum cf_tag)(packet.tags[i] >> 32), .number = (uint32_t)packet.tags[i], .fd = fds[i] };
    }
}

/* As the next server has it: by its record, and what the keeper holds. */
static struct cf_shell *taken_over(struct fixture *f, struct cf_heir *heir)
{
    struct cf_vault_record r;
    struct cf_shell *shell = NULL;
    struct cf_error error;
    uint64_t cursor = 0;
    bool found = false;
    while (!found && cf_vault_next(f->keep.vault, &cursor, &r))
        found = r.kind == CF_VAULT_SHELL && r.key == f->asked.key;
    assert_true(found);
    f->keep.leaving = true;
    assert_int_equal(cf_shell_restore(&f->host, &r, heir, cf_shell_journal(f->shell), &events, NULL, f, &shell, &error), 0);
    assert_non_null(shell);
    cf_shell_resume(shell);
    return shell;
}

static void the_next_server_feeds_it_on(void **state)
{
    struct fixture *f = *state;
    begin_kept(f);
    take_held(f);
    input_of(f, "one", 7, false, 0, false, true);
    f->shell = taken_over(f, &f->heir);
    assert_int_equal(f->heir.count, 0);
    assert_int_equal(f->failed, 0);
    assert_int_equal(cf_shell_pid(f->shell), 4711);
    input_of(f, "one", 7, false, 0, true, true);        /* it was taken, by the dead */
    input_of(f, "two", 8, false, 0, false, true);
    assert_string_equal(read_in(f, 6), "onetwo");
    input_of(f, "", 9, true, 0, false, false);
    cf_shell_free(&f->shell);
}

static void pipes_that_the_keeper_could_not_hold_are_missed(void **state)
{
    struct fixture *f = *state;
    begin_kept(f);
    struct cf_heir none = { .key = f->asked.key, .hold = CF_HOLD_PIDNS, .pid = 4711 };
    f->shell = taken_over(f, &none);
    assert_int_equal(f->failed, 1);
    assert_string_equal(f->why, "its pipes were lost with an earlier server");
    input_of(f, "x", 1, false, CF_E_NOT_READING, false, false);
    cf_shell_free(&f->shell);
}

static void one_that_is_ending_misses_nothing(void **state)
{
    struct fixture *f = *state;
    begin_kept(f);
    struct cf_heir none = { .key = f->asked.key, .hold = CF_HOLD_PIDNS, .pid = 4711 };
    cf_shell_end(f->shell, CF_NS_PER_S);
    f->shell = taken_over(f, &none);
    assert_int_equal(f->failed, 0);
    assert_true(cf_shell_was_closed(f->shell));
    cf_shell_free(&f->shell);
}

static void a_program_is_found_in_path(void **state)
{
    struct fixture *f = *state;
    char variable[256], path[PATH_MAX], want[128], file[128];
    const char *env[] = { "A=b", variable, NULL };
    struct cf_error error;
    snprintf(variable, sizeof variable, "PATH=/nowhere::%s:/bin:/usr/bin", f->path);
    assert_int_equal(cf_program_find("sh", env, path, &error), 0);
    assert_true(strcmp(path, "/bin/sh") == 0 || strcmp(path, "/usr/bin/sh") == 0);
    assert_int_equal(cf_program_find("./sh", env, path, &error), 0);
    assert_string_equal(path, "./sh");
    assert_int_equal(cf_program_find("sessions", env, path, &error), CF_E_SPAWN);       /* a folder */
    snprintf(file, sizeof file, "%s/mine", f->path);
    CF_FD_AUTO fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(cf_program_find("mine", env, path, &error), CF_E_SPAWN);           /* not to be run */
    assert_non_null(strstr(error.text, "cannot start mine"));
    assert_int_equal(fchmod(fd, 0700), 0);
    assert_int_equal(cf_program_find("mine", env, path, &error), 0);
    snprintf(want, sizeof want, "%s/mine", f->path);
    assert_string_equal(path, want);
    assert_int_equal(unlink(file), 0);
    char longest[PATH_MAX + 10];
    memset(longest, 'a', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(cf_program_find(longest, env, path, &error), CF_E_SPAWN);
    longest[0] = '/';
    assert_int_equal(cf_program_find(longest, env, path, &error), CF_E_SPAWN);
}

#define TEST(title, func) { .name = title, .test_func = func, .setup_func = setup, .teardown_func = teardown }

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST("a program gets its arguments, its environment and three pipes that wait", it_gets_its_arguments_and_three_pipes),
        TEST("it is fed in order, nothing twice, and its input ends by eof", it_is_fed_in_order_and_once),
        TEST("what it has not read yet is bounded, and goes out when it reads", what_waits_is_bounded_and_goes_out_when_it_reads),
        TEST("one that has closed its stdin takes nothing, and who writes is told", a_closed_stdin_is_told),
        TEST("what it prints is counted for the session and by stream", what_it_prints_is_counted_by_stream),
        TEST("one that goes by itself is told with its status, and its last word is kept", it_goes_by_itself),
        TEST("S1.2: its stdin and stdout are closed before the keeper is asked to end it", its_end_closes_the_pipes_before_the_keeper_is_asked),
        TEST("a signal goes to its process group, and only while it runs", a_signal_goes_to_its_group),
        TEST("a start that fails says which program and why", a_start_that_fails_names_the_program),
        TEST("the next server feeds it on, and knows what was taken", the_next_server_feeds_it_on),
        TEST("the next server says that its pipes are missing when the keeper could not hold them", pipes_that_the_keeper_could_not_hold_are_missed),
        TEST("the next server misses no pipes of one that is ending", one_that_is_ending_misses_nothing),
        TEST("a program without a slash is found in PATH, if it can be run", a_program_is_found_in_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
