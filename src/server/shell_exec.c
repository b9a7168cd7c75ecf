/* shell_exec.c: one command after the other in a shell, and getting it back from those that do not end.
 *
 * A command that runs over its time is interrupted (SIGINT to the shell's process group, where background jobs ignore it);
 * what still runs of it after exec_kill_grace is killed; a shell that has not come back after that again is wedged. */
#include "base/fd.h"
#include "base/log.h"
#include "server/shell_private.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* From the last signal until the driver must have answered a probe. */
#define SYNC_TIMEOUT_S 30
/* While what runs is being killed: from an interrupt to the next kill, and at least from a kill to the next interrupt. */
#define AGAIN_NS (40 * CF_NS_PER_MS)
/* Of each stream, kept after a command has ended. */
#define LAST_BYTES 1024
#define SOON_NS (5 * CF_NS_PER_MS)

/* Now, in the unit of field 22 of /proc/PID/stat. */
static uint64_t boot_ticks(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
    return (uint64_t)t.tv_sec * hz + (uint64_t)t.tv_nsec * hz / CF_NS_PER_S;
}

void cf_shell_run_free(struct cf_shell *s)
{
    free(s->run.text);
    cf_capture_free(&s->run.out);
    cf_capture_free(&s->run.err);
    s->run = (struct run){ 0 };
}

/* Text that is too long for the pipe goes through the file c, made anew so that nothing which the session put there
 * under that name (a link, a FIFO) is followed or truncated. */
static int write_text_file(struct cf_shell *s, const char *text, size_t len, struct cf_error *error)
{
    CF_FD_AUTO dir_fd = open(cf_channel_path(s->channel), O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    CF_FD_AUTO fd = -1;
    if (dir_fd >= 0) {
        (void)unlinkat(dir_fd, "c", 0);
        fd = openat(dir_fd, "c", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    }
    if (fd < 0 || (s->host->uid != geteuid() && fchown(fd, s->host->uid, s->host->gid) < 0) ||
        cf_fd_write_all(fd, text, len) < 0)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "cannot hand the command to the shell: %s", strerror(errno));
    return 0;
}

static int write_request(struct cf_shell *s, const char *text, size_t len, struct cf_error *error)
{
    struct cf_buf header;
    cf_buf_init(&header, 128);
    cf_driver_request(&header, s->token, len, cf_channel_pair(s->channel), CF_DRIVER_INPUT_NONE);
    bool by_file = len > CF_DRIVER_INLINE_MAX;
    int code = by_file ? write_text_file(s, text, len, error) : 0;
    if (code == 0) {
        /* writev(2) only reads what an iovec names, whatever its type says. */
        struct iovec parts[2] = { { header.data, header.len }, { (void *)(uintptr_t)text, len } };
        ssize_t want = (ssize_t)(header.len + (by_file ? 0 : len));
        if (s->request_fd < 0 || writev(s->request_fd, parts, by_file ? 1 : 2) != want)
            code = cf_error_set(error, CF_E_SHELL_DIED, NULL, "the shell does not take commands any more");
    }
    cf_buf_free(&header);
    return code;
}

static int begin(struct cf_shell *s, struct cf_error *error)
{
    cf_channel_begin(s->channel, &s->run.out, &s->run.err);
    s->run.since_ticks = boot_ticks();  /* before the shell can start anything for it */
    int code = write_request(s, s->run.text, s->run.len, error);
    if (code != 0) {
        cf_channel_begin(s->channel, NULL, NULL);
        return code;
    }
    s->run.written = true;
    s->state = CF_SHELL_RUNNING;
    cf_shell_arm(s, s->run.timeout_ns);
    return 0;
}

int cf_shell_exec(struct cf_shell *s, const char *text, size_t len, int64_t timeout_ns, struct cf_now now,
                  cf_exec_done *done, void *arg, struct cf_error *error)
{
    if (s->run.active)
        return cf_error_set(error, CF_E_BUSY, NULL, "a command is running in this session");
    if (s->ending || (s->state != CF_SHELL_READY && s->state != CF_SHELL_SYNCING))
        return cf_error_set(error, CF_E_NOT_READY, NULL, "the session does not take commands now");
    cf_shell_run_free(s);               /* what the last command left for cf_shell_last_output */
    size_t bound = (size_t)s->host->settings->max_output_bytes;
    s->run = (struct run){ .active = true, .len = len, .since_ns = now.mono_ns, .timeout_ns = timeout_ns,
                           .done = done, .arg = arg, .text = malloc(len + 1) };
    cf_capture_init(&s->run.out, bound);
    cf_capture_init(&s->run.err, bound);
    int code = 0;
    if (s->run.text == NULL) {
        code = cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    } else {
        memcpy(s->run.text, text, len);
        s->run.text[len] = '\0';
        if (s->state == CF_SHELL_READY)
            code = begin(s, error);     /* else synced() does */
    }
    if (code != 0)
        cf_shell_run_free(s);
    return code;
}

/* An idle shell keeps little: of a long output only the end, which a tombstone may want. */
static void shrink(struct cf_capture *c)
{
    struct cf_buf last;
    if (c->head_cap <= LAST_BYTES)
        return;
    cf_buf_init(&last, LAST_BYTES + 1);
    cf_capture_last(c, LAST_BYTES, &last);
    cf_capture_free(c);
    if (last.len > 0)
        cf_capture_add(c, last.data, last.len);
    cf_buf_free(&last);
}

void cf_shell_run_finish(struct cf_shell *s, int exit_code, bool wedged)
{
    struct cf_error error;
    struct run *r = &s->run;
    struct cf_now now = cf_clock_now();
    if (cf_channel_finish(s->channel, &error) != 0)
        cf_log(CF_LOG_WARNING, "shell %llx: a background job keeps the output pipes, and no fresh pair could be made: %s",
               (unsigned long long)s->key, error.text);
    cf_channel_begin(s->channel, NULL, NULL);
    struct cf_exec_result result = {
        .exit_code = exit_code, .timed_out = r->timed_out, .shell_left = s->left, .wedged = wedged,
        .wait_status = s->wait_status, .duration_ns = now.mono_ns - r->since_ns, .out = &r->out, .err = &r->err,
        .cwd = s->cwd != NULL ? s->cwd : "",
    };
    cf_exec_done *done = r->done;
    r->active = false;
    r->done = NULL;
    if (done != NULL)
        done(r->arg, &result);
    if (!r->active) {
        shrink(&r->out);
        shrink(&r->err);
    }
}

void cf_shell_sync(struct cf_shell *s)
{
    struct cf_buf probe;
    s->state = CF_SHELL_SYNCING;
    cf_shell_arm(s, SYNC_TIMEOUT_S * CF_NS_PER_S);
    if (s->signals_pending > 0)
        return;                         /* on_signaled comes back here */
    cf_buf_init(&probe, 128);
    if (++s->probes == 0)
        s->probes = 1;
    s->probe = s->probes;
    cf_driver_probe(&probe, s->token, s->probe);
    (void)cf_shell_write(s, s->request_fd, &probe);
    cf_buf_free(&probe);
}

int cf_shell_prepare(struct cf_shell *s, const char *text, struct cf_error *error)
{
    if (s->ending || s->state != CF_SHELL_READY)
        return cf_error_set(error, CF_E_NOT_READY, NULL, "the shell is not ready");
    int code = write_request(s, text, strlen(text), error);
    if (code != 0)
        return code;
    s->preparing = true;
    s->state = CF_SHELL_SYNCING;
    cf_shell_arm(s, SYNC_TIMEOUT_S * CF_NS_PER_S);
    return 0;
}

static void synced(struct cf_shell *s)
{
    struct cf_error error;
    s->probe = 0;
    s->state = CF_SHELL_READY;
    evtimer_del(s->timer);
    if (s->ending || s->left)
        return;                         /* nobody is to hear of a shell that is on its way out */
    if (s->preparing) {
        s->preparing = false;
        (void)cf_channel_finish(s->channel, &error);    /* it starts nothing that could hold the pair */
        s->events.prepared(s, s->arg, s->prepared_code);
        if (s->ending)
            return;
    }
    if (s->run.active && begin(s, &error) != 0)
        cf_shell_fail(s, error.code, "%s", error.text);
}

void cf_shell_run_on_status(struct cf_shell *s, const struct cf_driver_status *status)
{
    if (status->word == 'P') {
        if (s->state == CF_SHELL_SYNCING && s->probe != 0 && (unsigned long)status->number == s->probe)
            synced(s);
        return;
    }
    if (status->word == 'B')
        return;                         /* no command has the FIFO for its input yet */
    if (s->preparing && s->probe == 0) {
        s->prepared_code = (int)status->number;
        if (status->word == 'S')
            synced(s);
        else
            cf_shell_sync(s);           /* something unwound it: the driver listens when it answers */
        return;
    }
    if (s->state != CF_SHELL_RUNNING)
        return;                         /* the loop came back from an interrupt that met it between two commands */
    bool clean = status->word == 'S' && s->run.stage == STAGE_RUNNING;
    evtimer_del(s->timer);
    s->state = clean ? CF_SHELL_READY : CF_SHELL_SYNCING;
    cf_shell_run_finish(s, (int)status->number, false);
    if (!clean && !s->ending && !s->left)
        cf_shell_sync(s);
}

/* A loop of commands goes on with the next when one is killed.  bash leaves it when a command dies of an interrupt, but
 * overlooks one that meets it while it waits for a command that then ends in another way: so once it has come to killing,
 * kill and interrupt alternate, and the interrupt comes while the next command still starts and cannot ignore it yet. */
static void kill_again(struct cf_shell *s)
{
    struct run *r = &s->run;
    if (s->signals_pending > 0) {
        cf_shell_arm(s, SOON_NS);
        return;
    }
    bool kill = r->attempts++ % 2 != 0;
    s->signals_pending++;
    cf_link_signal(s->host->link, s->key, kill ? SIGKILL : SIGINT, kill ? CF_SCOPE_YOUNG : CF_SCOPE_GROUP,
                   kill ? r->since_ticks : 0);
    /* How soon a bash goes on depends on how busy the machine is: 5, 10, 20, 40 ms. */
    cf_shell_arm(s, kill ? SOON_NS << (r->attempts / 2 % 4) : AGAIN_NS);
}

void cf_shell_run_on_timer(struct cf_shell *s)
{
    struct run *r = &s->run;
    int64_t grace = s->host->settings->exec_kill_grace;
    if (!r->active)
        return;
    switch (r->stage) {
    case STAGE_RUNNING:
        r->timed_out = true;
        r->stage = STAGE_INTERRUPTED;
        s->signals_pending++;
        cf_link_signal(s->host->link, s->key, SIGINT, CF_SCOPE_GROUP, 0);
        cf_shell_arm(s, grace);
        break;
    case STAGE_INTERRUPTED:
        r->stage = STAGE_KILLED;
        r->give_up_ns = cf_clock_now().mono_ns + (grace > CF_NS_PER_S ? grace : CF_NS_PER_S);
        s->signals_pending++;
        cf_link_signal(s->host->link, s->key, SIGKILL, CF_SCOPE_YOUNG, r->since_ticks);
        cf_shell_arm(s, AGAIN_NS);
        break;
    case STAGE_KILLED:
        if (cf_clock_now().mono_ns < r->give_up_ns) {
            kill_again(s);
            break;
        }
        cf_shell_run_finish(s, 128 + SIGKILL, true);
        cf_shell_fail(s, CF_E_SHELL_DIED, "a command could not be interrupted");
        break;
    }
}

const char *cf_shell_command(const struct cf_shell *s, size_t *ret_len, int64_t *ret_since_ns)
{
    if (!s->run.active)
        return NULL;
    *ret_len = s->run.len;
    *ret_since_ns = s->run.since_ns;
    return s->run.text;
}

void cf_shell_last_output(const struct cf_shell *s, size_t max, struct cf_buf *out)
{
    cf_capture_last(&s->run.out, max / 2, out);
    cf_capture_last(&s->run.err, max / 4, out);
    cf_capture_last(cf_channel_late(s->channel), max / 4, out);
}
