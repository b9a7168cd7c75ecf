/* shell_exec.c: one command after the other in a shell. */
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
#include <unistd.h>

/* From the last signal until the driver must have answered a probe. */
#define SYNC_TIMEOUT_S 30

static void free_texts(struct run *r)
{
    free(r->text);
    free(r->stdin_text);
    r->text = r->stdin_text = NULL;
}

void cf_shell_run_free(struct cf_shell *s)
{
    cf_shell_input_close(s);
    free_texts(&s->run);
    s->run = (struct run){ .input = { .write_fd = -1, .read_fd = -1 } };
}

/* Text that is too long for the pipe goes through the file c. */
static int write_request(struct cf_shell *s, const char *text, size_t len, char mode, struct cf_error *error)
{
    struct cf_buf header;
    cf_buf_init(&header, 128);
    char kind = cf_driver_kind(text, len);
    cf_driver_request(&header, s->token, kind, len, cf_channel_pair(s->channel), mode);
    bool by_file = kind == CF_DRIVER_TEXT_FILE;
    int code = by_file ? cf_channel_write_file(s->channel, "c", text, len, error) : 0;
    if (code == 0) {
        /* writev(2) only reads what an iovec names, whatever its type says. */
        size_t inline_len = by_file ? 0 : len + (kind == CF_DRIVER_TEXT_BYTES ? 1 : 0);
        struct iovec parts[2] = { { header.data, header.len }, { (void *)(uintptr_t)text, inline_len } };
        ssize_t want = (ssize_t)(header.len + inline_len);
        if (s->request_fd < 0 || writev(s->request_fd, parts, by_file ? 1 : 2) != want)
            code = cf_error_set(error, CF_E_SHELL_DIED, NULL, "the shell does not take commands any more");
    }
    cf_buf_free(&header);
    return code;
}

/* All that the next server needs to go on with it, before it is written. */
static void keep_begun(struct cf_shell *s)
{
    struct run *r = &s->run;
    int64_t now_ns = cf_clock_now().mono_ns;
    r->active = r->written = true;
    r->by_file = r->len > CF_DRIVER_INLINE_MAX;
    r->stdin_by_file = r->stdin_text != NULL && !r->input_open;
    s->state = CF_SHELL_RUNNING;
    if (s->terminal.pty != NULL) {
        r->request = s->terminal.requests + 1;
        r->until_ns = now_ns + CF_SHELL_BEGIN_NS;
    } else {
        r->until_ns = r->timeout_ns > 0 ? now_ns + r->timeout_ns : 0;
    }
    cf_shell_keep(s);
}

static int begin(struct cf_shell *s, struct cf_error *error)
{
    struct run *r = &s->run;
    char mode;
    int64_t wait_ns = s->terminal.pty == NULL ? cf_shell_jobs_wait_ns(s) : 0;
    if (wait_ns > 0) {                  /* the timer comes back here */
        cf_shell_arm(s, wait_ns);
        return 0;
    }
    int code = cf_shell_input_open(s, &mode, error);
    if (code != 0)
        return code;
    cf_channel_begin(s->channel, r->exec->number);
    r->since_ticks = cf_shell_ticks();  /* before the shell can start anything for it */
    keep_begun(s);                      /* the next server finds out whether it was written */
    code = s->terminal.pty != NULL ? cf_shell_terminal_exec(s, mode, error) : write_request(s, r->text, r->len, mode, error);
    if (code != 0) {
        r->written = false;
        s->state = CF_SHELL_READY;
        cf_channel_begin(s->channel, 0);
        return code;
    }
    free_texts(r);
    if (s->terminal.pty == NULL) {
        evtimer_del(s->timer);          /* of a command that was waited for, and cancelled */
        cf_shell_arm_running(s);
    }
    return 0;
}

static char *copy(const char *data, size_t len)
{
    char *text = malloc(len + 1);
    if (text != NULL) {
        memcpy(text, data, len);
        text[len] = '\0';
    }
    return text;
}

/* Copies the texts, since the command may have to wait, and opens its record. */
static int take(struct cf_shell *s, const struct cf_exec_spec *spec, struct cf_now now)
{
    struct run *r = &s->run;
    r->len = spec->len;
    r->text = copy(spec->text, spec->len);
    r->stdin_len = spec->input_len;
    r->stdin_text = spec->input != NULL && !spec->input_open ? copy(spec->input, spec->input_len) : NULL;
    r->input_open = spec->input_open;
    r->timeout_ns = spec->timeout_ns;
    if (r->text == NULL || (spec->input != NULL && !spec->input_open && r->stdin_text == NULL))
        return -1;
    if (spec->input_open && !cf_shell_input_queue(s, spec->input, spec->input_len))
        return -1;
    r->exec = cf_journal_begin(cf_shell_journal(s), spec->text, spec->len, now);
    return r->exec != NULL ? 0 : -1;
}

int cf_shell_exec(struct cf_shell *s, const struct cf_exec_spec *spec, struct cf_now now, cf_exec_done *done, void *arg,
                  struct cf_exec **ret_exec, struct cf_error *error)
{
    struct run *r = &s->run;
    int code = 0;
    if (r->active)
        return cf_error_set(error, CF_E_BUSY, NULL, "a command is running in this session");
    if (s->ending || s->state == CF_SHELL_RUNNING || s->state == CF_SHELL_DEAD)
        return cf_error_set(error, CF_E_NOT_READY, NULL, "the session's shell is not ready");
    cf_shell_run_free(s);
    r->done = done;
    r->arg = arg;
    if (take(s, spec, now) < 0)
        code = cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the command");
    else if (s->state == CF_SHELL_READY)
        code = begin(s, error);         /* else cf_shell_run_begin does, once it is */
    if (code != 0) {
        if (r->exec != NULL)
            cf_journal_forget(cf_shell_journal(s), r->exec);
        cf_shell_run_free(s);
        cf_shell_keep(s);
        return code;
    }
    r->active = true;
    *ret_exec = r->exec;
    cf_shell_keep(s);
    return 0;
}

static void finish(struct cf_shell *s, int exit_code, bool wedged, const struct cf_error *refused)
{
    struct cf_error error;
    struct run *r = &s->run;
    struct cf_exec *e = r->exec;
    cf_shell_input_close(s);
    if (r->by_file)
        cf_channel_remove(s->channel, "c");
    if (r->stdin_by_file)
        cf_channel_remove(s->channel, "s");
    if (cf_channel_finish(s->channel, &error) != 0)
        cf_log(CF_LOG_WARNING, "shell %llx: a background job keeps the output pipes, and no fresh pair could be made: %s",
               (unsigned long long)s->key, error.text);
    e->ended_mono_ns = cf_clock_now().mono_ns;
    e->exit_code = exit_code;
    e->timed_out = r->timed_out;
    e->cancelled = r->cancelled;
    e->cwd = s->cwd != NULL ? strdup(s->cwd) : NULL;
    s->last_ticks = cf_shell_ticks();
    r->doubted = false;
    struct cf_exec_result result = { .exec = e, .shell_left = s->left, .wedged = wedged, .refused = refused, .wait_status = s->wait_status };
    cf_exec_done *done = r->done;
    r->active = false;
    r->exec = NULL;
    r->done = NULL;
    if (done != NULL)
        done(r->arg, &result);
}

void cf_shell_run_finish(struct cf_shell *s, int exit_code, bool wedged)
{
    finish(s, exit_code, wedged, NULL);
}

void cf_shell_run_refuse(struct cf_shell *s, const struct cf_error *why)
{
    s->state = CF_SHELL_READY;
    finish(s, 0, false, why);
}

struct cf_exec *cf_shell_running(const struct cf_shell *s)
{
    return s->run.active ? s->run.exec : NULL;
}

/* Each server counts in a range of its own: an answer to an earlier one's probe is none to this. */
void cf_shell_probe(struct cf_shell *s)
{
    struct cf_buf text;
    cf_buf_init(&text, 128);
    s->probe = (s->host->servers & 0xffff) << 16 | (++s->probes & 0xffff);
    if (s->probe == 0)
        s->probe = ++s->probes;
    cf_driver_probe(&text, s->token, s->probe);
    (void)cf_shell_write(s, s->request_fd, &text);
    cf_buf_free(&text);
}

void cf_shell_sync(struct cf_shell *s)
{
    s->state = CF_SHELL_SYNCING;
    cf_shell_arm(s, SYNC_TIMEOUT_S * CF_NS_PER_S);
    s->probe = 0;
    if (s->signals_pending == 0)
        cf_shell_probe(s);              /* else on_signaled comes back here */
}

/* What was being prepared for a session of an earlier server has begun, or never will. */
void cf_shell_sync_resume(struct cf_shell *s)
{
    s->unprepared = s->preparing;
    cf_shell_sync(s);
}

int cf_shell_prepare(struct cf_shell *s, const char *text, struct cf_error *error)
{
    if (s->ending || s->state != CF_SHELL_READY)
        return cf_error_set(error, CF_E_NOT_READY, NULL, "the shell is not ready");
    int code = write_request(s, text, strlen(text), CF_DRIVER_INPUT_NONE, error);
    if (code != 0)
        return code;
    s->preparing = true;
    s->state = CF_SHELL_SYNCING;
    cf_shell_arm(s, SYNC_TIMEOUT_S * CF_NS_PER_S);
    cf_shell_keep(s);
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
        s->preparing = s->unprepared = false;
        (void)cf_channel_finish(s->channel, &error);    /* it starts nothing that could hold the pair */
        s->events.prepared(s, s->arg, s->prepared_code);
        if (s->ending)
            return;
    }
    cf_shell_run_begin(s);
}

void cf_shell_run_begin(struct cf_shell *s)
{
    struct cf_error error;
    int code = s->state == CF_SHELL_READY && s->run.active ? begin(s, &error) : 0;
    if (code == CF_E_SHELL_DIED)
        cf_shell_fail(s, code, "%s", error.text);
    else if (code != 0)
        cf_shell_run_refuse(s, &error); /* a full disk, say: the shell is as before */
}

/* The driver listens, and has said nothing about what an earlier server wanted of it: that died before it wrote its request. */
static void never_began(struct cf_shell *s)
{
    struct cf_error why;
    s->probe = 0;
    if (s->unprepared) {
        s->unprepared = s->preparing = false;
        s->state = CF_SHELL_READY;
        s->events.ready(s, s->arg);
        return;
    }
    cf_error_set(&why, CF_E_UNAVAILABLE, NULL, CF_NOT_BEGUN);
    bool interrupted = s->run.stage != STAGE_RUNNING;
    evtimer_del(s->timer);
    cf_shell_run_refuse(s, &why);
    if (interrupted && !s->ending && !s->left)
        cf_shell_sync(s);
}

void cf_shell_run_on_status(struct cf_shell *s, const struct cf_driver_status *status)
{
    if (s->terminal.status_hold_fd >= 0) {
        cf_shell_terminal_on_status(s, status);
        return;
    }
    if (status->word == 'P' && (s->run.doubted || s->unprepared) && (unsigned long)status->number == s->probe) {
        never_began(s);
        return;
    }
    if (status->word == 'P') {
        if (s->state == CF_SHELL_SYNCING && s->probe != 0 && (unsigned long)status->number == s->probe)
            synced(s);
        return;
    }
    if (status->word == 'B') {
        cf_shell_input_begun(s);
        return;
    }
    if (s->preparing && (s->probe == 0 || s->unprepared)) {
        s->unprepared = false;
        s->probe = 0;
        s->prepared_code = (int)status->number;
        if (status->word == 'S')
            synced(s);
        else
            cf_shell_sync(s);           /* something unwound it: the driver listens when it answers */
        return;
    }
    if (s->state != CF_SHELL_RUNNING) {
        /* Something unwound the loop between two commands: it skips requests until it is asked. */
        if (status->word == 'R' && (s->state == CF_SHELL_READY || s->probe != 0))
            cf_shell_sync(s);
        return;
    }
    bool clean = status->word == 'S' && s->run.stage == STAGE_RUNNING && !s->run.interrupted && s->signals_pending == 0;
    evtimer_del(s->timer);
    s->state = clean ? CF_SHELL_READY : CF_SHELL_SYNCING;
    cf_shell_run_finish(s, (int)status->number, false);
    if (!clean && !s->ending && !s->left)
        cf_shell_sync(s);
}
