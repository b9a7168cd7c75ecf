/* spool_model.h: all that was ever printed, kept in plain arrays, to compare a spool and its cursors with. */
#ifndef CURFEW_TEST_SPOOL_MODEL_H
#define CURFEW_TEST_SPOOL_MODEL_H

#include "server/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define MODEL_BYTES (8u << 20)
#define MODEL_EXECS 12                  /* number 0: no command's */

/* What a cursor can want, with the session's offset of each of its bytes. */
struct model_view {
    uint64_t *at;
    uint64_t len;
};

struct model {
    char *bytes;                        /* by the session's offset */
    uint64_t end;
    uint64_t dropped;                   /* bytes before this one were told to be dropped, or lost */
    struct model_view all[MODEL_EXECS], streams[MODEL_EXECS][CF_STREAMS];
};

static struct model *model_new(void)
{
    struct model *m = calloc(1, sizeof *m);
    assert_non_null(m);
    m->bytes = malloc(MODEL_BYTES);
    assert_non_null(m->bytes);
    return m;
}

static void model_free(struct model *m)
{
    for (int e = 0; e < MODEL_EXECS; e++) {
        free(m->all[e].at);
        for (int s = 0; s < CF_STREAMS; s++)
            free(m->streams[e][s].at);
    }
    free(m->bytes);
    free(m);
}

static void view_add(struct model_view *v, uint64_t at, size_t len)
{
    for (size_t i = 0; i < len; i++, v->len++) {
        if ((v->len & (v->len - 1)) == 0)
            v->at = realloc(v->at, (v->len > 0 ? v->len * 2 : 1) * sizeof *v->at);
        v->at[v->len] = at + i;
    }
}

/* The offsets that the next bytes of this source have. */
static void model_offsets(const struct model *m, struct cf_piece *source)
{
    source->exec_at = source->late ? 0 : m->all[source->exec].len;
    source->stream_at = source->late ? 0 : m->streams[source->exec][source->stream].len;
}

static void model_add(struct model *m, const struct cf_piece *source, const char *data, size_t len)
{
    assert_true(m->end + len <= MODEL_BYTES);
    memcpy(m->bytes + m->end, data, len);
    if (!source->late) {
        view_add(&m->all[source->exec], m->end, len);
        view_add(&m->streams[source->exec][source->stream], m->end, len);
    }
    m->end += len;
}

static uint64_t model_total(const struct model *m, const struct cf_cursor *c)
{
    return c->exec == 0 ? m->end : c->one_stream ? m->streams[c->exec][c->stream].len : m->all[c->exec].len;
}

/* The session's offset of byte `n` of what the cursor wants. */
static uint64_t model_at(const struct model *m, const struct cf_cursor *c, uint64_t n)
{
    return c->exec == 0 ? n : c->one_stream ? m->streams[c->exec][c->stream].at[n] : m->all[c->exec].at[n];
}

/* cf_spool_dropping: what goes can still be read, and goes in order. */
static void model_dropping(void *arg, const struct cf_piece *piece);

/* One step of a cursor, compared; returns what it was.  `most` bounds what is asked, `part` what is
 * taken of it; 0: it only looks. */
static enum cf_next model_step(struct model *m, const struct cf_spool *spool, struct cf_cursor *c, size_t most, size_t part)
{
    struct cf_piece piece = { 0 };
    uint64_t gap = 0, before = c->since, begin = cf_spool_begin(spool), total = model_total(m, c);
    enum cf_next next = cf_cursor_next(c, spool, most, &piece, &gap);
    if (next == CF_NEXT_NONE) {
        assert_int_equal(c->since, before);
        for (uint64_t n = before; n < total; n++)       /* its owner knows the total: these are a gap at the end */
            assert_true(c->exec != 0 && model_at(m, c, n) < begin);
        return next;
    }
    if (next == CF_NEXT_GAP) {
        assert_true(gap > 0 && before + gap <= total);
        assert_int_equal(c->since, before + gap);
        assert_true(model_at(m, c, c->since - 1) < begin);
        assert_true(c->since == total || model_at(m, c, c->since) >= begin);
        return next;
    }
    assert_true(piece.len > 0 && piece.len <= most);
    assert_int_equal(cf_cursor_offset(c, &piece), before);
    assert_true(before + piece.len <= total);
    assert_int_equal(piece.at, model_at(m, c, before));
    assert_int_equal(piece.at + piece.len - 1, model_at(m, c, before + piece.len - 1));
    assert_true(piece.at >= begin);
    size_t want = part < piece.len ? part : piece.len, got;
    if (want == 0)
        return next;
    const char *bytes = cf_spool_bytes(spool, piece.at, want, &got);
    assert_true(got > 0 && got <= want);
    assert_memory_equal(bytes, m->bytes + piece.at, got);
    cf_cursor_take(c, &piece, got);
    assert_int_equal(c->since, before + got);
    return next;
}

static void model_read_all(struct model *m, const struct cf_spool *spool, struct cf_cursor *c)
{
    while (model_step(m, spool, c, SIZE_MAX, SIZE_MAX) != CF_NEXT_NONE)
        ;
}

#endif
