/* spool_read.c: cursors over a spool's index and ring. */
#include "server/spool_private.h"

uint64_t cf_spool_begin(const struct cf_spool *s)
{
    return s->begin;
}

uint64_t cf_spool_end(const struct cf_spool *s)
{
    return s->end;
}

const char *cf_spool_bytes(const struct cf_spool *s, uint64_t at, size_t len, size_t *ret_len)
{
    size_t place = place_of(s, at);
    uint64_t most = s->end - at < s->size - place ? s->end - at : s->size - place;
    *ret_len = len < most ? len : (size_t)most;
    return s->map + place;
}

static bool wants(const struct cf_cursor *c, const struct cf_piece *p)
{
    if (c->exec == 0)
        return !c->one_stream || p->stream == c->stream;
    return p->exec == c->exec && !p->late && (!c->one_stream || p->stream == c->stream);
}

uint64_t cf_cursor_offset(const struct cf_cursor *c, const struct cf_piece *p)
{
    return c->one_stream ? p->stream_at : c->exec == 0 ? p->at : p->exec_at;
}

enum cf_next cf_cursor_next(struct cf_cursor *c, const struct cf_spool *s, size_t most, struct cf_piece *ret, uint64_t *ret_gap)
{
    uint64_t i = c->piece > s->first ? c->piece : s->first;
    for (; i < s->next; i++) {
        const struct cf_piece *p = piece_at(s, i);
        uint64_t at = cf_cursor_offset(c, p);
        if (!wants(c, p) || at + p->len <= c->since)
            continue;
        c->piece = i;
        if (at > c->since) {
            c->passed = p->at;
            *ret_gap = at - c->since;
            c->since = at;
            return CF_NEXT_GAP;
        }
        uint64_t skip = c->since - at;
        c->passed = p->at + skip;
        *ret = *p;
        ret->at += skip;
        ret->exec_at += skip;
        ret->stream_at += skip;
        ret->len -= (uint32_t)skip;
        if (ret->len > most)
            ret->len = (uint32_t)most;
        return CF_NEXT_BYTES;
    }
    /* The last piece may still grow. */
    c->piece = s->next > s->first ? s->next - 1 : s->next;
    c->passed = s->end;
    if (c->exec == 0 && !c->one_stream && c->since < s->end) {
        *ret_gap = s->end - c->since;
        c->since = s->end;
        return CF_NEXT_GAP;
    }
    return CF_NEXT_NONE;
}

void cf_cursor_take(struct cf_cursor *c, const struct cf_piece *piece, size_t len)
{
    c->since += len;
    c->passed = piece->at + len;
}

void cf_spool_hold(struct cf_spool *s, struct cf_cursor *c)
{
    LIST_INSERT_HEAD(&s->holders, c, link);
}

void cf_spool_loosen(struct cf_spool *s, uint32_t exec)
{
    struct cf_cursor *c;
    LIST_FOREACH(c, &s->holders, link)
        c->loose = c->loose || c->exec == exec;
}

void cf_spool_release(struct cf_spool *s, struct cf_cursor *c)
{
    (void)s;
    LIST_REMOVE(c, link);
}
