/* shell_kept.c: a shell as the next server finds it.
 *
 * One record, written anew whenever something in it has changed, and always before the shell is asked for something that only it explains.  What came
 * from the shell and was not understood yet lies in the vault's hand; what has not been read lies in FIFOs that the keeper holds open. */
#include "server/shell_private.h"

#include <stdlib.h>
#include <string.h>

/* Behind it: path, cwd, input that waits, a program's name, text and stdin of a command that waits; each as long as said here. */
struct kept_shell {
    uint64_t journal, session;
    int64_t timeout_ns, until_ns, end_grace_ns;
    uint64_t since_ticks, input_seq, typed_seq, program_seq;
    uint32_t state, hold;
    int32_t pid, wait_status;
    uint32_t cols, rows, requests;
    uint32_t exec, request;             /* of the command that runs; 0: none does */
    uint8_t stage, active, written, timed_out, cancelled, by_file, stdin_by_file, input_open, input_begun, input_eof, begun, answering;
    uint8_t listens, ending, left, preparing, terminal, closed, pad[2];
    uint32_t path_len, cwd_len, input_len, program_len, text_len, stdin_len;
    uint32_t input_sent;                /* of what waits, since the record was written; changes in place */
    uint8_t has_stdin, pad2[3];
    char token[CF_DRIVER_TOKEN + 7];
    struct cf_channel_kept channel;
};

static void describe(const struct cf_shell *s, struct kept_shell *k)
{
    const struct run *r = &s->run;
    *k = (struct kept_shell){
        .journal = cf_journal_number(cf_shell_journal(s)), .session = s->session, .timeout_ns = r->timeout_ns, .until_ns = r->until_ns,
        .since_ticks = r->since_ticks, .input_seq = r->input.last_seq, .typed_seq = s->terminal.last_seq, .state = s->state, .hold = s->hold,
        .pid = s->pid, .wait_status = s->wait_status, .cols = s->terminal.cols, .rows = s->terminal.rows, .requests = s->terminal.requests,
        .exec = r->active && r->exec != NULL ? r->exec->number : 0, .request = r->request, .stage = (uint8_t)r->stage, .active = r->active,
        .written = r->written, .timed_out = r->timed_out, .cancelled = r->cancelled, .by_file = r->by_file, .stdin_by_file = r->stdin_by_file,
        .input_open = r->input_open, .input_begun = r->input.begun, .input_eof = r->input.eof, .begun = r->begun, .answering = r->answering,
        .listens = s->listens, .ending = s->ending, .left = s->left, .preparing = s->preparing, .terminal = s->terminal.cols > 0, .closed = s->closed,
        .program_seq = s->program.last_seq, .program_len = s->program.name != NULL ? (uint32_t)strlen(s->program.name) : 0,
        .path_len = (uint32_t)strlen(cf_channel_path(s->channel)), .cwd_len = s->cwd != NULL ? (uint32_t)strlen(s->cwd) : 0,
        .input_len = r->active || s->program.name != NULL ? (uint32_t)r->input.queue.len : 0,
    };
    if (r->active && !r->written) {     /* the next server begins it */
        k->text_len = (uint32_t)r->len;
        k->stdin_len = r->stdin_text != NULL ? (uint32_t)r->stdin_len : 0;
        k->has_stdin = r->stdin_text != NULL;
    }
    k->end_grace_ns = s->end_grace_ns;
    memcpy(k->token, s->token, CF_DRIVER_TOKEN);
    cf_channel_keep(s->channel, &k->channel);
}

void cf_shell_keep(struct cf_shell *s)
{
    struct cf_vault *vault = cf_keep_vault(s->host->keep);
    struct kept_shell k;
    struct cf_buf whole;
    if (vault == NULL || s->key == 0 || s->disowned)
        return;
    describe(s, &k);
    cf_buf_init(&whole, sizeof k + k.path_len + k.cwd_len + k.input_len + k.program_len + k.text_len + k.stdin_len + 1);
    cf_buf_append(&whole, (const char *)&k, sizeof k);
    cf_buf_append(&whole, cf_channel_path(s->channel), k.path_len);
    cf_buf_append(&whole, s->cwd != NULL ? s->cwd : "", k.cwd_len);
    if (k.input_len > 0)
        cf_buf_append(&whole, s->run.input.queue.data, k.input_len);
    if (k.program_len > 0)
        cf_buf_append(&whole, s->program.name, k.program_len);
    if (k.text_len > 0)
        cf_buf_append(&whole, s->run.text, k.text_len);
    if (k.stdin_len > 0)
        cf_buf_append(&whole, s->run.stdin_text, k.stdin_len);
    if (!whole.failed)
        (void)cf_vault_put(vault, &s->kept, CF_VAULT_SHELL, s->key, 0, whole.data, whole.len);
    cf_buf_free(&whole);
}

void cf_shell_give(const struct cf_shell *s)
{
    const struct cf_keep_fd fds[] = {
        { CF_TAG_BOOT, 0, s->boot_fd }, { CF_TAG_REQUESTS, 0, s->request_fd }, { CF_TAG_STATUSES, 0, s->status_fd },
        { CF_TAG_PTY, 0, s->terminal.pty != NULL ? cf_pty_master_fd(s->terminal.pty) : -1 }, { CF_TAG_STATUSES_END, 0, s->terminal.status_hold_fd },
        { CF_TAG_ANSWERS, 0, s->terminal.answer_fd }, { CF_TAG_ANSWERS_END, 0, s->terminal.answer_hold_fd },
        { CF_TAG_INPUT, 0, s->program.name != NULL ? s->run.input.write_fd : -1 },
    };
    cf_keep_hold(s->host->keep, s->key, fds, sizeof fds / sizeof *fds);
    cf_channel_hold(s->channel, s->host->keep, s->key);
}

void cf_shell_belongs(struct cf_shell *s, uint64_t session)
{
    s->session = session;
    cf_shell_keep(s);
}

void cf_shell_disown(struct cf_shell *s)
{
    s->disowned = true;
    s->kept = 0;
}

void cf_shell_forget(struct cf_shell *s)
{
    s->disowned = true;
    cf_vault_drop(cf_keep_vault(s->host->keep), &s->kept);
}

int64_t cf_shell_end_grace(const struct cf_shell *s, int64_t otherwise)
{
    return s->ending ? s->end_grace_ns : otherwise;
}

void cf_shell_keep_sent(const struct cf_shell *s, size_t len)
{
    struct kept_shell *k = cf_vault_data(cf_keep_vault(s->host->keep), s->kept);
    if (k != NULL)
        __atomic_store_n(&k->input_sent, k->input_sent + (uint32_t)len, __ATOMIC_RELEASE);
}

uint64_t cf_shell_session(const struct cf_shell *s)
{
    return s->session;
}

/* ---- the next server ---- */

static bool fits(const struct cf_vault_record *record)
{
    const struct kept_shell *k = record->data;
    return record->len >= sizeof *k && record->len == sizeof *k + k->path_len + k->cwd_len + k->input_len + k->program_len + k->text_len + k->stdin_len;
}

/* What has not been written of the input that waits. */
static const char *waiting(const struct kept_shell *k, size_t *ret_len)
{
    uint32_t sent = k->input_sent < k->input_len ? k->input_sent : k->input_len;
    *ret_len = k->input_len - sent;
    return (const char *)(k + 1) + k->path_len + k->cwd_len + sent;
}

/* A command that waits for the shell. */
static int restore_texts(struct cf_shell *s, const struct kept_shell *k, struct cf_error *error)
{
    struct run *r = &s->run;
    const char *text = (const char *)(k + 1) + k->path_len + k->cwd_len + k->input_len + k->program_len;
    r->text = strndup(text, k->text_len);
    r->len = k->text_len;
    r->stdin_text = k->has_stdin ? calloc(1, k->stdin_len + 1) : NULL;
    r->stdin_len = k->stdin_len;
    if (r->text == NULL || (k->has_stdin && r->stdin_text == NULL))
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the command");
    if (k->has_stdin)
        memcpy(r->stdin_text, text + k->text_len, k->stdin_len);
    return 0;
}

bool cf_shell_kept_path(const struct cf_vault_record *record, char *ret, size_t size)
{
    const struct kept_shell *k = record->data;
    if (!fits(record) || k->path_len >= size)
        return false;
    memcpy(ret, k + 1, k->path_len);
    ret[k->path_len] = '\0';
    return true;
}

uint64_t cf_shell_kept_journal(const struct cf_vault_record *record)
{
    return fits(record) ? ((const struct kept_shell *)record->data)->journal : 0;
}

uint64_t cf_shell_kept_session(const struct cf_vault_record *record)
{
    return fits(record) ? ((const struct kept_shell *)record->data)->session : 0;
}

/* The command that was running. */
static int restore_run(struct cf_shell *s, const struct kept_shell *k, struct cf_heir *heir, struct cf_error *error)
{
    struct run *r = &s->run;
    r->exec = cf_journal_find(cf_shell_journal(s), k->exec);
    if (!k->active || r->exec == NULL)
        return 0;
    r->active = true;
    r->written = k->written;
    r->timed_out = k->timed_out;
    r->cancelled = k->cancelled;
    r->stage = (enum stage)k->stage;
    r->by_file = k->by_file;
    r->stdin_by_file = k->stdin_by_file;
    r->timeout_ns = k->timeout_ns;
    r->until_ns = k->until_ns;
    r->since_ticks = k->since_ticks;
    r->request = k->request;
    r->begun = k->begun;
    r->answering = k->answering;
    r->input_open = k->input_open;
    r->input.begun = k->input_begun;
    r->input.eof = k->input_eof;
    r->input.last_seq = k->input_seq;
    if (!k->written && restore_texts(s, k, error) != 0)
        return error->code;
    if (!k->input_open)
        return 0;
    if (!k->written) {                  /* it gets its FIFO when it begins */
        size_t len;
        const char *waits = waiting(k, &len);
        return cf_shell_input_queue(s, waits, len) ? 0 : cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the command's input");
    }
    snprintf(r->input.name, sizeof r->input.name, "i%u", cf_channel_pair(s->channel));
    size_t waits_len;
    const char *waits = waiting(k, &waits_len);
    int write_fd = cf_heir_take(heir, CF_TAG_INPUT, 0), read_fd = cf_heir_take(heir, CF_TAG_INPUT_END, 0);
    if (!cf_shell_input_queue(s, waits, waits_len) || cf_shell_input_restore(s, write_fd, read_fd) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory for the command's input");
    return 0;
}

static int restore_terminal(struct cf_shell *s, const struct kept_shell *k, struct cf_heir *heir, struct cf_error *error)
{
    struct terminal *t = &s->terminal;
    t->cols = k->cols;
    t->rows = k->rows;
    t->requests = k->requests + 1;      /* the next one's number may be in the shell's hand already */
    t->last_seq = k->typed_seq;
    t->status_hold_fd = cf_heir_take(heir, CF_TAG_STATUSES_END, 0);
    t->answer_fd = cf_heir_take(heir, CF_TAG_ANSWERS, 0);
    t->answer_hold_fd = cf_heir_take(heir, CF_TAG_ANSWERS_END, 0);
    int master_fd = cf_heir_take(heir, CF_TAG_PTY, 0);
    if (master_fd < 0)
        return k->ending || k->left ? 0 : cf_error_set(error, CF_E_SYSTEM, NULL, "the session's terminal is gone");
    return cf_shell_terminal_restore(s, master_fd, error);
}

static int restore_program(struct cf_shell *s, const struct kept_shell *k, struct cf_heir *heir, struct cf_error *error)
{
    size_t waits_len;
    const char *waits = waiting(k, &waits_len);
    const struct cf_program_kept kept = { .name = waits + waits_len, .name_len = k->program_len, .waits = waits, .waits_len = waits_len,
                                          .last_seq = k->program_seq, .eof = k->input_eof };
    return cf_program_restore(s, &kept, heir, error);
}

/* Whatever fails, it is whole enough to be ended; or it is freed. */
static int restore(struct cf_shell **ret_shell, const struct kept_shell *k, struct cf_heir *heir, struct cf_journal *journal, const char *path, struct cf_error *error)
{
    struct cf_shell *s = *ret_shell;
    const struct cf_shell_host *h = s->host;
    s->boot_fd = cf_heir_take(heir, CF_TAG_BOOT, 0);
    s->request_fd = cf_heir_take(heir, CF_TAG_REQUESTS, 0);
    s->status_fd = cf_heir_take(heir, CF_TAG_STATUSES, 0);
    int code = cf_channel_restore(h->loop, path, h->uid, h->gid, journal, h->pace, h->keep, &k->channel, heir, &s->channel, error);
    if (s->channel == NULL || cf_shell_open_events(s, error) != 0) {
        cf_shell_free(ret_shell);
        return CF_E_NO_MEMORY;
    }
    if (k->ending || k->left)
        code = 0;                       /* it needs none of them any more */
    if (k->program_len > 0) {
        s->program.lost = code != 0;
        return restore_program(s, k, heir, error);
    }
    if (code == 0 && k->terminal)
        code = restore_terminal(s, k, heir, error);
    if (code == 0 && s->status_fd < 0 && !k->ending && !k->left)
        code = cf_error_set(error, CF_E_SYSTEM, NULL, "the session's pipes are gone");
    return code == 0 ? restore_run(s, k, heir, error) : code;
}

int cf_shell_restore(const struct cf_shell_host *host, const struct cf_vault_record *record, struct cf_heir *heir, struct cf_journal *journal,
                     const struct cf_shell_events *events, cf_exec_done *done, void *arg, struct cf_shell **ret, struct cf_error *error)
{
    const struct kept_shell *k = record->data;
    struct cf_shell *s = calloc(1, sizeof *s);
    char *path = strndup((const char *)(k + 1), k->path_len);
    if (s == NULL || path == NULL) {
        free(s);
        free(path);
        *ret = NULL;
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    }
    *s = (struct cf_shell){ .host = host, .events = *events, .arg = arg, .key = record->key, .state = (enum cf_shell_state)k->state, .hold = heir->hold != 0 ? heir->hold : k->hold,
                            .pid = heir->pid, .listens = k->listens, .ending = k->ending, .left = k->left, .wait_status = k->wait_status, .request_fd = -1,
                            .boot_fd = -1, .status_fd = -1, .theirs = { -1, -1, -1 }, .last_ticks = cf_shell_ticks(), .init = -1, .preparing = k->preparing, .closed = k->closed, .end_grace_ns = k->end_grace_ns, .program = { .args = { .fd = -1 }, .out_fd = -1, .err_fd = -1 },
                            .terminal = { .status_hold_fd = -1, .answer_fd = -1, .answer_hold_fd = -1, .boot_fd = -1, .args = { .fd = -1 } },
                            .run = { .input = { .write_fd = -1, .read_fd = -1 } }, .kept = record->ref, .session = k->session };
    memcpy(s->token, k->token, CF_DRIVER_TOKEN);
    cf_buf_init(&s->status, CF_STATUS_MAX);
    s->cwd = k->cwd_len > 0 ? strndup((const char *)(k + 1) + k->path_len, k->cwd_len) : NULL;
    *ret = s;
    int code = restore(ret, k, heir, journal, path, error);
    if (*ret != NULL && s->run.active) {
        s->run.done = done;
        s->run.arg = arg;
    }
    free(path);
    return code;
}

void cf_shell_replay(struct cf_shell *s, char *bytes, size_t len)
{
    for (size_t at = 0; at < len && s->state != CF_SHELL_DEAD; at += strnlen(bytes + at, len - at) + 1)
        if (bytes[at] != '\0' && memchr(bytes + at, '\0', len - at) != NULL)
            cf_shell_on_status_text(s, bytes + at);
}

void cf_shell_resume(struct cf_shell *s)
{
    if (s->ending)
        cf_shell_hang_up(s);            /* the dead may not have come so far */
    if (s->ending || s->left)
        return;
    if (s->state == CF_SHELL_BOOTING) {
        cf_shell_arm(s, 30 * CF_NS_PER_S);
        cf_shell_become_ready(s);
    } else if (s->state == CF_SHELL_READY && s->run.active && !s->run.written)
        cf_shell_run_begin(s);
    else if (s->terminal.pty != NULL && s->run.active)
        cf_shell_terminal_resume(s);
    else if (s->terminal.pty == NULL && s->state == CF_SHELL_SYNCING)
        cf_shell_sync_resume(s);
    else if (s->terminal.pty == NULL && s->state == CF_SHELL_RUNNING)
        cf_shell_run_resume(s);
    if (s->program.name != NULL)
        cf_program_resume(s);
    cf_shell_keep(s);
}
