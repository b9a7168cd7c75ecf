/* reader.c: a cursor with the rules around it. */
#include "server/reader.h"

#include "base/text.h"

#include <string.h>

void cf_reader_open(struct cf_reader *r, struct cf_journal *journal, struct cf_exec *exec, const enum cf_stream *stream,
                    uint64_t since, bool text)
{
    *r = (struct cf_reader){ .journal = cf_journal_ref(journal), .exec = exec, .text = text,
                             .cursor = { .exec = exec != NULL ? exec->number : 0, .one_stream = stream != NULL,
                                         .stream = stream != NULL ? (uint8_t)*stream : 0, .since = since } };
    if (exec != NULL)
        exec->pins++;
}

void cf_reader_hold(struct cf_reader *r, void (*overtaken)(void *arg), void *arg)
{
    if (r->exec != NULL && r->exec->ended)
        return;
    /* From what it wants first, which may be kept no longer when it comes to look. */
    struct cf_cursor first = r->cursor;
    struct cf_piece piece;
    uint64_t gap;
    (void)cf_cursor_next(&first, cf_journal_spool(r->journal), 1, &piece, &gap);
    r->cursor.passed = first.passed;
    r->cursor.piece = first.piece;
    r->cursor.overtaken = overtaken;
    r->cursor.arg = arg;
    r->holds = true;
    cf_spool_hold(cf_journal_spool(r->journal), &r->cursor);
}

static void let_go(struct cf_reader *r)
{
    if (!r->holds)
        return;
    r->holds = false;
    cf_spool_release(cf_journal_spool(r->journal), &r->cursor);
    cf_journal_moved(r->journal);
}

void cf_reader_close(struct cf_reader *r)
{
    if (r->journal == NULL)
        return;
    let_go(r);
    if (r->exec != NULL)
        r->exec->pins--;
    cf_journal_unref(&r->journal);
}

/* Bytes at the end that begin a character and do not end it. */
static size_t torn(const char *bytes, size_t len)
{
    for (size_t back = 1; back <= 3 && back <= len; back++) {
        unsigned char c = (unsigned char)bytes[len - back];
        if ((c & 0xC0) == 0x80)
            continue;
        size_t want = c >= 0xF0 && c <= 0xF4 ? 4 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xC2 && c < 0xE0 ? 2 : 1;
        return want > back ? back : 0;
    }
    return 0;
}

uint64_t cf_reader_end(const struct cf_reader *r)
{
    if (r->exec == NULL && r->cursor.one_stream)
        return r->cursor.stream == CF_STREAM_TERMINAL ? cf_journal_terminal_bytes(r->journal)
                                                      : cf_journal_program_bytes(r->journal, (enum cf_stream)r->cursor.stream);
    if (r->exec == NULL)
        return cf_spool_end(cf_journal_spool(r->journal));
    return r->cursor.one_stream ? r->exec->stream_bytes[r->cursor.stream] : r->exec->bytes;
}

static const char *gather(struct cf_reader *r, const struct cf_piece *p, size_t *ret_len)
{
    size_t done = 0;
    while (done < sizeof r->small && done < p->len) {
        size_t len;
        const char *bytes = cf_spool_bytes(cf_journal_spool(r->journal), p->at + done, sizeof r->small - done, &len);
        if (len > p->len - done)
            len = p->len - done;
        memcpy(r->small + done, bytes, len);
        done += len;
    }
    int step = cf_text_utf8_step(r->small, done);
    *ret_len = (size_t)(step < 0 ? -step : step);
    return r->small;
}

static enum cf_next next_piece(struct cf_reader *r, size_t most, struct cf_piece *p, const char **ret_bytes, size_t *ret_len,
                               uint64_t *ret_gap)
{
    const struct cf_spool *spool = cf_journal_spool(r->journal);
    enum cf_next next = cf_cursor_next(&r->cursor, spool, SIZE_MAX, p, ret_gap);
    if (next == CF_NEXT_NONE && r->cursor.since < cf_reader_end(r)) {
        *ret_gap = cf_reader_end(r) - r->cursor.since;
        r->cursor.since = cf_reader_end(r);
        next = CF_NEXT_GAP;
    }
    if (next != CF_NEXT_BYTES)
        return next;
    *ret_bytes = cf_spool_bytes(spool, p->at, p->len < most ? p->len : most, ret_len);
    size_t tail = r->text ? torn(*ret_bytes, *ret_len) : 0;
    bool more = *ret_len < p->len || (p->at + p->len == cf_spool_end(spool) && !cf_reader_over(r));
    if (tail == 0 || !more)
        return next;
    if (tail < *ret_len)
        *ret_len -= tail;
    else if (*ret_len < p->len)
        *ret_bytes = gather(r, p, ret_len);
    else
        return CF_NEXT_NONE;            /* the rest of the character is still to come */
    return next;
}

enum cf_next cf_reader_next(struct cf_reader *r, size_t most, struct cf_piece *p, const char **ret_bytes, size_t *ret_len,
                            uint64_t *ret_gap)
{
    if (r->exec != NULL && r->exec->ended)
        let_go(r);
    enum cf_next next = next_piece(r, most, p, ret_bytes, ret_len, ret_gap);
    if (r->holds)                       /* it may have passed what it does not want */
        cf_journal_moved(r->journal);
    return next;
}

void cf_reader_take(struct cf_reader *r, const struct cf_piece *piece, size_t len)
{
    cf_cursor_take(&r->cursor, piece, len);
    if (r->holds)
        cf_journal_moved(r->journal);
}

void cf_reader_skip(struct cf_reader *r, uint64_t to)
{
    r->cursor.since = to;
}

bool cf_reader_over(const struct cf_reader *r)
{
    return cf_journal_closed(r->journal) || (r->exec != NULL && r->exec->ended);
}

uint64_t cf_reader_offset(const struct cf_reader *r)
{
    return r->cursor.since;
}
