/* journal_kept.c: what the next server finds of a journal: one small record of itself, and one of each command. */
#include "server/journal_kept.h"

#include "server/journal_private.h"

#include <stdlib.h>
#include <string.h>

struct cf_kept_journal {
    uint64_t terminal_bytes, program_bytes[CF_STREAMS];
    uint32_t last_number, of_program;
};

/* Behind it: the command, its folder, why it was refused; each as long as said here. */
struct kept_exec {
    int64_t started_wall_ns, started_mono_ns, ended_mono_ns;
    uint64_t bytes, stream_bytes[CF_STREAMS], late_bytes;
    int32_t exit_code, refused_code;
    uint8_t ended, timed_out, cancelled, shell_left, lost, has_cwd, refused, pad;
    uint32_t command_len, cwd_len, refused_len;
    char session_state[12];
};

/* Of one command a head is one record for each stream. */
static uint32_t head_number(const struct cf_exec *e, enum cf_stream stream)
{
    return e->number * CF_STREAMS + (uint32_t)stream;
}

void cf_journal_keep(struct cf_journal *j)
{
    struct cf_vault *vault = cf_keep_vault(j->keep);
    struct cf_kept_journal *kept = cf_vault_data(vault, j->kept);
    if (kept == NULL && cf_vault_make(vault, &j->kept, CF_VAULT_JOURNAL, j->number, 0, sizeof *kept))
        kept = cf_vault_data(vault, j->kept);
    if (kept == NULL)
        return;
    __atomic_store_n(&kept->terminal_bytes, j->terminal_bytes, __ATOMIC_RELEASE);
    for (int i = 0; i < CF_STREAMS; i++)
        __atomic_store_n(&kept->program_bytes[i], j->program_bytes[i], __ATOMIC_RELEASE);
    __atomic_store_n(&kept->last_number, j->last_number, __ATOMIC_RELEASE);
    __atomic_store_n(&kept->of_program, (uint32_t)j->of_program, __ATOMIC_RELEASE);
}

void cf_journal_keep_exec(const struct cf_journal *j, struct cf_exec *e)
{
    struct cf_vault *vault = cf_keep_vault(j->keep);
    struct cf_buf text;
    if (vault == NULL)
        return;
    struct kept_exec kept = {
        .started_wall_ns = e->started_wall_ns, .started_mono_ns = e->started_mono_ns, .ended_mono_ns = e->ended_mono_ns,
        .bytes = e->bytes, .late_bytes = e->late_bytes, .exit_code = e->exit_code, .ended = e->ended, .timed_out = e->timed_out,
        .cancelled = e->cancelled, .shell_left = e->shell_left, .lost = e->lost, .has_cwd = e->cwd != NULL, .refused = e->refused != NULL,
        .refused_code = e->refused != NULL ? e->refused->code : 0, .command_len = (uint32_t)e->command_len,
        .cwd_len = e->cwd != NULL ? (uint32_t)strlen(e->cwd) : 0, .refused_len = e->refused != NULL ? (uint32_t)strlen(e->refused->text) : 0,
    };
    memcpy(kept.stream_bytes, e->stream_bytes, sizeof kept.stream_bytes);
    if (e->session_state != NULL)
        strncpy(kept.session_state, e->session_state, sizeof kept.session_state - 1);
    cf_buf_init(&text, sizeof kept + kept.command_len + kept.cwd_len + kept.refused_len + 1);
    cf_buf_append(&text, (const char *)&kept, sizeof kept);
    cf_buf_append(&text, e->command, e->command_len);
    cf_buf_append(&text, e->cwd != NULL ? e->cwd : "", kept.cwd_len);
    cf_buf_append(&text, e->refused != NULL ? e->refused->text : "", kept.refused_len);
    if (!text.failed)
        (void)cf_vault_put(vault, &e->kept, CF_VAULT_EXEC, j->number, e->number, text.data, text.len);
    cf_buf_free(&text);
}

void cf_journal_keep_counts(const struct cf_journal *j, const struct cf_exec *e)
{
    struct kept_exec *kept = cf_vault_data(cf_keep_vault(j->keep), e->kept);
    if (kept == NULL)
        return;
    __atomic_store_n(&kept->bytes, e->bytes, __ATOMIC_RELEASE);
    for (int i = 0; i < CF_STREAMS; i++)
        __atomic_store_n(&kept->stream_bytes[i], e->stream_bytes[i], __ATOMIC_RELEASE);
    __atomic_store_n(&kept->late_bytes, e->late_bytes, __ATOMIC_RELEASE);
}

void cf_journal_keep_head(const struct cf_journal *j, struct cf_exec *e, enum cf_stream stream)
{
    const struct cf_buf *head = &e->head[stream];
    (void)cf_vault_put(cf_keep_vault(j->keep), &e->heads_kept[stream], CF_VAULT_HEAD, j->number, head_number(e, stream), head->data, head->len);
}

void cf_journal_keep_no_more(const struct cf_journal *j, struct cf_exec *e)
{
    struct cf_vault *vault = cf_keep_vault(j->keep);
    cf_vault_drop(vault, &e->kept);
    for (int i = 0; i < CF_STREAMS; i++)
        cf_vault_drop(vault, &e->heads_kept[i]);
}

/* ---- the next server ---- */

struct cf_journal *cf_journal_restore(const struct cf_vault_record *record, const struct cf_journal_limits *limits, struct cf_spool_budget *budget)
{
    const struct cf_kept_journal *kept = record->data;
    struct cf_journal *j = record->len == sizeof *kept ? cf_journal_make(limits, budget, record->key) : NULL;
    if (j == NULL)
        return NULL;
    j->kept = record->ref;
    j->last_number = kept->last_number;
    j->terminal_bytes = kept->terminal_bytes;
    j->of_program = kept->of_program != 0;
    memcpy(j->program_bytes, kept->program_bytes, sizeof j->program_bytes);
    return j;
}

/* What a program printed belongs to no command. */
static void recount_program(struct cf_journal *j)
{
    struct cf_cursor cursor = { 0 };
    struct cf_piece piece;
    uint64_t gap;
    enum cf_next next;
    while ((next = cf_cursor_next(&cursor, j->spool, SIZE_MAX, &piece, &gap)) != CF_NEXT_NONE) {
        if (next != CF_NEXT_BYTES)
            continue;
        if (piece.stream_at + piece.len > j->program_bytes[piece.stream])
            j->program_bytes[piece.stream] = piece.stream_at + piece.len;
        cf_cursor_take(&cursor, &piece, piece.len);
    }
}

void cf_journal_restore_spool(struct cf_journal *j, const struct cf_vault_record *record, int fd)
{
    struct cf_cursor cursor = { .one_stream = true, .stream = CF_STREAM_TERMINAL };
    struct cf_piece piece;
    uint64_t gap;
    enum cf_next next;
    if (!cf_spool_restore(j->spool, record, fd))
        return;
    if (j->of_program)
        recount_program(j);
    /* What the dead had printed but not counted. */
    while ((next = cf_cursor_next(&cursor, j->spool, SIZE_MAX, &piece, &gap)) != CF_NEXT_NONE)
        if (next == CF_NEXT_BYTES) {
            if (piece.stream_at + piece.len > j->terminal_bytes)
                j->terminal_bytes = piece.stream_at + piece.len;
            cf_cursor_take(&cursor, &piece, piece.len);
        }
}

/* The state is one of a few literals, as everywhere. */
static const char *state_named(const char *name)
{
    static const char *const names[] = { "starting", "active", "closed", "failed", "ending", "ended" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], name) == 0)
            return names[i];
    return NULL;
}

/* What a command printed is at least what the pieces say. */
static void recount(const struct cf_journal *j, struct cf_exec *e)
{
    struct cf_cursor cursor = { .exec = e->number };
    struct cf_piece piece;
    uint64_t gap;
    enum cf_next next;
    while ((next = cf_cursor_next(&cursor, j->spool, SIZE_MAX, &piece, &gap)) != CF_NEXT_NONE) {
        if (next != CF_NEXT_BYTES)
            continue;
        if (piece.exec_at + piece.len > e->bytes)
            e->bytes = piece.exec_at + piece.len;
        if (piece.stream_at + piece.len > e->stream_bytes[piece.stream])
            e->stream_bytes[piece.stream] = piece.stream_at + piece.len;
        cf_cursor_take(&cursor, &piece, piece.len);
    }
}

static struct cf_error *refusal(const struct kept_exec *kept, const char *text)
{
    struct cf_error *error = malloc(sizeof *error);
    if (error != NULL)
        cf_error_set(error, kept->refused_code, NULL, "%.*s", (int)kept->refused_len, text);
    return error;
}

bool cf_journal_restore_exec(struct cf_journal *j, const struct cf_vault_record *record)
{
    const struct kept_exec *kept = record->data;
    if (record->len < sizeof *kept || record->len != sizeof *kept + kept->command_len + kept->cwd_len + kept->refused_len)
        return false;
    const char *text = (const char *)(kept + 1);
    struct cf_exec *e = calloc(1, sizeof *e);
    if (e == NULL || (e->command = strndup(text, kept->command_len)) == NULL) {
        free(e);
        return false;
    }
    e->number = record->number;
    e->kept = record->ref;
    e->command_len = kept->command_len;
    e->started_wall_ns = kept->started_wall_ns;
    e->started_mono_ns = kept->started_mono_ns;
    e->ended_mono_ns = kept->ended_mono_ns;
    e->ended = kept->ended;
    e->exit_code = kept->exit_code;
    e->timed_out = kept->timed_out;
    e->cancelled = kept->cancelled;
    e->shell_left = kept->shell_left;
    e->lost = kept->lost;
    e->session_state = state_named(kept->session_state);
    e->cwd = kept->has_cwd ? strndup(text + kept->command_len, kept->cwd_len) : NULL;
    e->refused = kept->refused ? refusal(kept, text + kept->command_len + kept->cwd_len) : NULL;
    e->bytes = kept->bytes;
    memcpy(e->stream_bytes, kept->stream_bytes, sizeof e->stream_bytes);
    e->late_bytes = kept->late_bytes;
    for (int i = 0; i < CF_STREAMS; i++)
        cf_buf_init(&e->head[i], j->limits.head_bytes + 1);
    TAILQ_INSERT_TAIL(&j->execs, e, link);
    j->count++;
    if (e->number > j->last_number)
        j->last_number = e->number;
    recount(j, e);
    return true;
}

void cf_journal_restore_head(struct cf_journal *j, const struct cf_vault_record *record)
{
    struct cf_exec *e = cf_journal_find(j, record->number / CF_STREAMS);
    unsigned stream = record->number % CF_STREAMS;
    if (e == NULL || e->head[stream].len > 0)
        return;
    cf_buf_append(&e->head[stream], record->data, record->len);
    e->heads_kept[stream] = record->ref;
}

void cf_journal_lose(struct cf_journal *j, const struct cf_exec *running)
{
    struct cf_exec *e;
    TAILQ_FOREACH(e, &j->execs, link) {
        if (e->ended || e == running)
            continue;
        e->ended_mono_ns = cf_clock_now().mono_ns;
        e->session_state = "active";
        e->lost = true;
        e->refused = malloc(sizeof *e->refused);
        if (e->refused != NULL)
            cf_error_set(e->refused, CF_E_UNAVAILABLE, NULL, CF_NOT_BEGUN);
        cf_journal_finish(j, e);
    }
}
