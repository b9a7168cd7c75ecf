/* spool.h: what one session printed: its last bytes in a ring in memory that has no name, and whose they are.
 *
 * Bytes go from a pipe into the ring by splice(2), so none is ever in the server's memory alone, and the descriptor's own
 * position says how far the ring was filled, whatever happened to the server in between.  Readers are served from the ring
 * by offset.  Beyond its bound the oldest bytes go, and a reader that wanted them is told how many.
 *
 * An index of pieces says which bytes are whose.  Every byte has three offsets, all counted from 0: in the session's output, in its
 * command's output (both streams, in the order in which they came), and in its stream of that command.  Late bytes are those that a background
 * job printed when its command had ended: they have the first one only. */
#ifndef CURFEW_SERVER_SPOOL_H
#define CURFEW_SERVER_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

enum cf_stream { CF_STREAM_OUT, CF_STREAM_ERR, CF_STREAM_TERMINAL };
#define CF_STREAMS 3

/* Pieces that the index holds at most: beyond it the oldest go, as if the ring were full.  2.5 MiB. */
#define CF_SPOOL_PIECES_MAX 65536u
/* The least that a ring holds. */
#define CF_SPOOL_BYTES_MIN 65536u

/* Bytes that follow each other and have the same source. */
struct cf_piece {
    uint64_t at;                        /* in the session's output */
    uint64_t exec_at, stream_at;        /* in its command's output, and in that stream of it */
    uint32_t len;
    uint32_t exec;                      /* number of the command; 0: none */
    uint8_t stream;                     /* enum cf_stream */
    bool late;
};

/* What all spools of a server use together. */
struct cf_spool_budget {
    uint64_t max_bytes, used_bytes;
    const struct cf_keep *keep;         /* borrowed; NULL: nothing outlives the server */
};

struct cf_keep;
struct cf_spool;

/* Bytes that are about to be dropped, told while they can still be read; for whoever wants to rescue some. */
typedef void cf_spool_dropping(void *arg, const struct cf_piece *piece);

/* `max_bytes` is the ring's bound; `budget` is borrowed; `number` is its name in the vault.  NULL: out of memory.  No descriptor is opened before something
 * is printed. */
struct cf_spool *cf_spool_new(uint64_t max_bytes, struct cf_spool_budget *budget, uint64_t number, cf_spool_dropping *dropping, void *arg);
struct cf_vault_record;
/* A fresh spool goes on where that of an earlier server stopped, whose record (kind SPOOL) and memfd these are; takes `fd` over.  False, and it is
 * as if nothing had ever been printed: they do not fit each other. */
bool cf_spool_restore(struct cf_spool *spool, const struct cf_vault_record *record, int fd);
void cf_spool_free(struct cf_spool **spool);

/* Takes up to `most` bytes out of the pipe `fd`, which is non-blocking.  `source` says whose they are; its `at` and `len` are not looked at.  Returns how
 * many, 0 when nobody has the pipe open for writing and it is empty, or -1: EAGAIN when it is empty, ENOBUFS when a reader that holds is too far
 * behind.  With `force` nobody is waited for, and who is a whole ring behind is overtaken. */
ssize_t cf_spool_splice(struct cf_spool *spool, int fd, const struct cf_piece *source, size_t most, bool force);
/* The same for bytes that were read already. */
void cf_spool_add(struct cf_spool *spool, const struct cf_piece *source, const char *data, size_t len);

/* Offsets of the first byte that is kept and of the next that will come. */
uint64_t cf_spool_begin(const struct cf_spool *spool);
uint64_t cf_spool_end(const struct cf_spool *spool);
/* The bytes at a session's offset, which must be kept; at most `len` of them, at least one. Borrowed until the next
 * bytes come. */
const char *cf_spool_bytes(const struct cf_spool *spool, uint64_t at, size_t len, size_t *ret_len);

/* What a reader wants: all (exec 0), a command's, or one stream of it; with exec 0 one stream is the terminal's.  Its offsets count what
 * it wants. */
struct cf_cursor {
    uint32_t exec;
    bool one_stream;
    uint8_t stream;
    uint64_t since;                     /* the next byte that it wants */
    uint64_t piece;                     /* serial number of the first piece that may have it; 0 to begin with */
    uint64_t passed;                    /* session's offset before which it wants nothing more */
    LIST_ENTRY(cf_cursor) link;         /* while it holds */
    bool loose;                         /* its command has ended: nobody waits for it */
    /* What it was given and has not taken is about to be overwritten: the last time to copy it.  Called while it holds; may be NULL. */
    void (*overtaken)(void *arg);
    void *arg;
};

enum cf_next { CF_NEXT_NONE, CF_NEXT_BYTES, CF_NEXT_GAP };
/* What comes next for a reader: NONE: nothing has come yet.  BYTES: *ret are the next bytes, at most `most`; with `ret->at` they are had from cf_spool_bytes.  GAP: *ret_gap bytes that it
 * wanted are gone, and they are counted as read.  After BYTES it says how many it took by cf_cursor_take. */
enum cf_next cf_cursor_next(struct cf_cursor *cursor, const struct cf_spool *spool, size_t most, struct cf_piece *ret, uint64_t *ret_gap);
void cf_cursor_take(struct cf_cursor *cursor, const struct cf_piece *piece, size_t len);
/* Where it stands in the order of what it wants. */
uint64_t cf_cursor_offset(const struct cf_cursor *cursor, const struct cf_piece *piece);

/* From now on writers should wait when this reader is too far behind, until release.  The cursor must not move in memory. */
void cf_spool_hold(struct cf_spool *spool, struct cf_cursor *cursor);
void cf_spool_release(struct cf_spool *spool, struct cf_cursor *cursor);
/* What a command printed is all there now: its readers that hold wait for nobody, and nobody who prints after it waits for them. */
void cf_spool_loosen(struct cf_spool *spool, uint32_t exec);
/* How many bytes may be added without a reader that holds being too far behind; UINT64_MAX when none holds. */
uint64_t cf_spool_room(const struct cf_spool *spool);
/* How large a pipe may be for its bytes to fit beside what such a reader has not read yet. */
size_t cf_spool_pipe_bytes(const struct cf_spool *spool);

#endif
