/* journal.c: records of commands beside the spool of their output. */
#include "server/journal_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of a running command the first bytes are kept, however much follows: its answer shows head and tail. */
static void rescue_head(void *arg, const struct cf_piece *piece)
{
    struct cf_journal *j = arg;
    struct cf_exec *e = piece->late ? NULL : cf_journal_find(j, piece->exec);
    struct cf_piece rest = *piece;
    uint64_t have = e != NULL ? e->head[rest.stream].len : 0, twice = have > rest.stream_at ? have - rest.stream_at : 0;
    if (e == NULL || e->ended || have < rest.stream_at || twice >= rest.len)
        return;
    rest.at += twice;                   /* what an earlier server had rescued and not yet dropped */
    rest.stream_at += twice;
    rest.len -= (uint32_t)twice;
    while (rest.len > 0 && rest.stream_at < j->limits.head_bytes) {
        size_t len, want = j->limits.head_bytes - (size_t)rest.stream_at;
        const char *bytes = cf_spool_bytes(j->spool, rest.at, rest.len < want ? rest.len : want, &len);
        cf_buf_append(&e->head[rest.stream], bytes, len);
        rest.at += len;
        rest.stream_at += len;
        rest.len -= (uint32_t)len;
    }
    cf_journal_keep_head(j, e, (enum cf_stream)piece->stream);
}

/* One that has a number already has a record as well. */
struct cf_journal *cf_journal_make(const struct cf_journal_limits *limits, struct cf_spool_budget *budget, uint64_t number)
{
    struct cf_journal *j = calloc(1, sizeof *j);
    if (j == NULL)
        return NULL;
    j->refs = 1;
    j->limits = *limits;
    j->keep = budget->keep;
    j->number = number != 0 ? number : cf_vault_number(cf_keep_vault(j->keep));
    TAILQ_INIT(&j->execs);
    LIST_INIT(&j->watches);
    j->spool = cf_spool_new(limits->spool_bytes, budget, j->number, rescue_head, j);
    if (j->spool == NULL) {
        free(j);
        return NULL;
    }
    return j;
}

struct cf_journal *cf_journal_new(const struct cf_journal_limits *limits, struct cf_spool_budget *budget)
{
    struct cf_journal *j = cf_journal_make(limits, budget, 0);
    if (j != NULL)
        cf_journal_keep(j);
    return j;
}

uint64_t cf_journal_number(const struct cf_journal *j)
{
    return j->number;
}

struct cf_journal *cf_journal_ref(struct cf_journal *j)
{
    j->refs++;
    return j;
}

static void free_heads(struct cf_exec *e)
{
    for (int i = 0; i < CF_STREAMS; i++)
        cf_buf_free(&e->head[i]);
}

void cf_journal_forget(struct cf_journal *j, struct cf_exec *e)
{
    TAILQ_REMOVE(&j->execs, e, link);
    j->count--;
    cf_journal_keep_no_more(j, e);
    free_heads(e);
    free(e->command);
    free(e->cwd);
    free(e->refused);
    free(e);
}

void cf_journal_unref(struct cf_journal **journal)
{
    struct cf_journal *j = *journal;
    *journal = NULL;
    if (j == NULL || --j->refs > 0)
        return;
    while (!TAILQ_EMPTY(&j->execs))
        cf_journal_forget(j, TAILQ_FIRST(&j->execs));
    cf_spool_free(&j->spool);
    cf_vault_drop(cf_keep_vault(j->keep), &j->kept);
    cf_buf_free(&j->tombstone);
    free(j);
}

struct cf_spool *cf_journal_spool(const struct cf_journal *j)
{
    return j->spool;
}

/* ---- records ---- */

void cf_journal_prune(struct cf_journal *j, int64_t now_mono_ns)
{
    for (struct cf_exec *e = TAILQ_FIRST(&j->execs), *next; e != NULL; e = next) {
        next = TAILQ_NEXT(e, link);
        bool old = e->ended && now_mono_ns - e->ended_mono_ns > j->limits.retention_ns;
        if (!old && j->count <= j->limits.execs_kept)
            return;                     /* they ended in this order: what follows is younger */
        if (e->ended && e->pins == 0)
            cf_journal_forget(j, e);
    }
}

struct cf_exec *cf_journal_begin(struct cf_journal *j, const char *text, size_t len, struct cf_now now)
{
    struct cf_exec *e = calloc(1, sizeof *e);
    size_t kept = len < CF_EXEC_COMMAND_MAX ? len : CF_EXEC_COMMAND_MAX;
    if (e == NULL || (e->command = strndup(text, kept)) == NULL) {
        free(e);
        return NULL;
    }
    cf_journal_prune(j, now.mono_ns);
    e->number = ++j->last_number;
    e->command_len = kept;
    e->started_wall_ns = now.wall_ns;
    e->started_mono_ns = now.mono_ns;
    for (int i = 0; i < CF_STREAMS; i++)
        cf_buf_init(&e->head[i], j->limits.head_bytes + 1);
    TAILQ_INSERT_TAIL(&j->execs, e, link);
    j->count++;
    cf_journal_keep(j);
    cf_journal_keep_exec(j, e);
    return e;
}

void cf_journal_finish(struct cf_journal *j, struct cf_exec *e)
{
    e->ended = true;
    cf_journal_keep_exec(j, e);
    cf_spool_loosen(j->spool, e->number);
    cf_journal_moved(j);
    cf_journal_wake(j);
}

struct cf_exec *cf_journal_find(struct cf_journal *j, uint32_t number)
{
    struct cf_exec *e;
    if (number == 0)
        return NULL;
    TAILQ_FOREACH_REVERSE(e, &j->execs, cf_execs, link)
        if (e->number <= number)
            return e->number == number ? e : NULL;
    return NULL;
}

struct cf_exec *cf_journal_next(const struct cf_journal *j, const struct cf_exec *after)
{
    return after == NULL ? TAILQ_FIRST(&j->execs) : TAILQ_NEXT(after, link);
}

/* ---- output ---- */

static void count(const struct cf_journal *j, struct cf_exec *e, bool late, enum cf_stream stream, size_t n)
{
    if (late) {
        e->late_bytes += n;
    } else {
        e->bytes += n;
        e->stream_bytes[stream] += n;
    }
    cf_journal_keep_counts(j, e);
}

static void count_program(struct cf_journal *j, enum cf_stream stream, size_t len)
{
    j->program_bytes[stream] += len;
    if (j->of_program)
        cf_journal_keep(j);
}

ssize_t cf_journal_splice(struct cf_journal *j, int fd, const struct cf_origin *o, size_t most, bool force)
{
    struct cf_exec *e = cf_journal_find(j, o->exec);
    struct cf_piece source = { .exec = o->exec, .stream = (uint8_t)o->stream, .late = o->late };
    if (e != NULL && !o->late) {
        source.exec_at = e->bytes;
        source.stream_at = e->stream_bytes[o->stream];
    } else if (j->of_program) {
        source.exec_at = cf_spool_end(j->spool);
        source.stream_at = j->program_bytes[o->stream];
    }
    ssize_t n = cf_spool_splice(j->spool, fd, &source, most, force);
    if (n < 0 && errno == ENOBUFS)
        j->held = true;
    if (n <= 0)
        return n;
    if (e != NULL)
        count(j, e, o->late, o->stream, (size_t)n);
    else
        count_program(j, o->stream, (size_t)n);
    cf_journal_wake(j);
    return n;
}

void cf_journal_terminal(struct cf_journal *j, const char *data, size_t len)
{
    const struct cf_piece source = { .stream = CF_STREAM_TERMINAL, .exec_at = j->terminal_bytes, .stream_at = j->terminal_bytes };
    cf_spool_add(j->spool, &source, data, len);
    j->terminal_bytes += len;
    cf_journal_keep(j);
    cf_journal_wake(j);
}

uint64_t cf_journal_terminal_bytes(const struct cf_journal *j)
{
    return j->terminal_bytes;
}

void cf_journal_set_program(struct cf_journal *j)
{
    j->of_program = true;
    cf_journal_keep(j);
}

bool cf_journal_of_program(const struct cf_journal *j)
{
    return j->of_program;
}

uint64_t cf_journal_program_bytes(const struct cf_journal *j, enum cf_stream stream)
{
    return j->program_bytes[stream];
}

/* ---- those who wait ---- */

void cf_journal_watch(struct cf_journal *j, struct cf_watch *w)
{
    LIST_INSERT_HEAD(&j->watches, w, link);
}

void cf_journal_unwatch(struct cf_journal *j, struct cf_watch *w)
{
    (void)j;
    LIST_REMOVE(w, link);
}

void cf_journal_wake(struct cf_journal *j)
{
    struct cf_watch *w;
    LIST_FOREACH(w, &j->watches, link)
        w->wake(w->arg);
}

void cf_journal_set_writer(struct cf_journal *j, struct cf_watch *writer)
{
    j->writer = writer;
    j->held = false;
}

void cf_journal_drop_writer(struct cf_journal *j, const struct cf_watch *writer)
{
    if (j->writer == writer)
        cf_journal_set_writer(j, NULL);
}

void cf_journal_moved(struct cf_journal *j)
{
    if (!j->held || cf_spool_room(j->spool) == 0)
        return;
    j->held = false;
    if (j->writer != NULL)
        j->writer->wake(j->writer->arg);
}

void cf_journal_close(struct cf_journal *j, const struct cf_buf *tombstone)
{
    struct cf_exec *e = TAILQ_LAST(&j->execs, cf_execs);
    cf_buf_init(&j->tombstone, tombstone->len + 1);
    if (tombstone->len > 0)
        cf_buf_append(&j->tombstone, tombstone->data, tombstone->len);
    if (e != NULL && !e->ended) {
        e->lost = e->ended = true;
        e->ended_mono_ns = cf_clock_now().mono_ns;
        e->session_state = "ended";
        cf_journal_keep_exec(j, e);
    }
    j->closed = true;
    cf_journal_wake(j);
}

bool cf_journal_closed(const struct cf_journal *j)
{
    return j->closed;
}

const struct cf_buf *cf_journal_tombstone(const struct cf_journal *j)
{
    return &j->tombstone;
}

/* ---- a stream as one text ---- */

/* Appends what is kept of a stream's bytes from `from` to `to`, and returns how many those were. */
static uint64_t append_range(const struct cf_journal *j, const struct cf_exec *e, enum cf_stream stream, uint64_t from, uint64_t to,
                             struct cf_buf *out)
{
    const struct cf_buf *head = &e->head[stream];
    struct cf_cursor cursor = { .exec = e->number, .one_stream = true, .stream = (uint8_t)stream, .since = from };
    struct cf_piece piece;
    uint64_t done = 0, gap;
    enum cf_next next;
    if (from < head->len) {
        size_t len = (size_t)((to < head->len ? to : head->len) - from);
        cf_buf_append(out, head->data + from, len);
        cursor.since += len;
        done = len;
    }
    while (cursor.since < to && (next = cf_cursor_next(&cursor, j->spool, SIZE_MAX, &piece, &gap)) != CF_NEXT_NONE) {
        if (next == CF_NEXT_GAP)
            continue;
        size_t len, want = to - cursor.since < piece.len ? (size_t)(to - cursor.since) : piece.len;
        const char *bytes = cf_spool_bytes(j->spool, piece.at, want, &len);
        cf_buf_append(out, bytes, len);
        cf_cursor_take(&cursor, &piece, len);
        done += len;
    }
    return done;
}

bool cf_journal_text(const struct cf_journal *j, const struct cf_exec *e, enum cf_stream stream, size_t max, struct cf_buf *out)
{
    uint64_t total = e->stream_bytes[stream], head = total, tail = 0;
    if (total > max) {
        head = max - max / 2;
        tail = max / 2;
    }
    uint64_t done = append_range(j, e, stream, 0, head, out);
    if (total <= max && done == total)
        return false;
    struct cf_buf last;
    cf_buf_init(&last, max + 1);
    uint64_t kept = tail > 0 ? append_range(j, e, stream, total - tail, total, &last) : 0;
    cf_buf_printf(out, "\n[curfew: %llu bytes left out]\n", (unsigned long long)(total - done - kept));
    if (kept > 0)
        cf_buf_append(out, last.data, last.len);
    cf_buf_free(&last);
    return true;
}

/* Appends the bytes of [from, end) that a terminal or a background job printed. */
static void append_others(const struct cf_journal *j, uint64_t from, struct cf_buf *out)
{
    struct cf_cursor cursor = { .since = from };
    struct cf_piece piece;
    uint64_t gap;
    enum cf_next next;
    while ((next = cf_cursor_next(&cursor, j->spool, SIZE_MAX, &piece, &gap)) != CF_NEXT_NONE) {
        if (next == CF_NEXT_GAP)
            continue;
        size_t len;
        const char *bytes = cf_spool_bytes(j->spool, piece.at, piece.len, &len);
        if (piece.late || piece.exec == 0)
            cf_buf_append(out, bytes, len);
        cf_cursor_take(&cursor, &piece, len);
    }
}

void cf_journal_last(const struct cf_journal *j, size_t max, struct cf_buf *out)
{
    const struct cf_exec *e = TAILQ_LAST(&j->execs, cf_execs);
    uint64_t end = cf_spool_end(j->spool), others = e == NULL ? max : max / 4;
    for (int i = CF_STREAM_OUT; e != NULL && i <= CF_STREAM_ERR; i++) {
        uint64_t total = e->stream_bytes[i], most = i == CF_STREAM_OUT ? max / 2 : max / 4;
        (void)append_range(j, e, (enum cf_stream)i, total > most ? total - most : 0, total, out);
    }
    append_others(j, end > others ? end - others : 0, out);
}
