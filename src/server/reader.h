/* reader.h: reading a journal piece by piece, as bytes or as text. */
#ifndef CURFEW_SERVER_READER_H
#define CURFEW_SERVER_READER_H

#include "server/journal.h"

struct cf_reader {
    struct cf_journal *journal;         /* a reference */
    struct cf_exec *exec;               /* pinned; NULL: the whole session */
    struct cf_cursor cursor;
    bool text;                          /* characters are not torn where it can be helped */
    bool holds;
    char small[4];                      /* a character that lies at the ring's end and its beginning */
};

/* Reads from `since` on; with `exec` what it printed, with `stream` (a name of exec_json.h's; NULL: both) one stream of it.  The reader must not move. */
void cf_reader_open(struct cf_reader *reader, struct cf_journal *journal, struct cf_exec *exec, const enum cf_stream *stream,
                    uint64_t since, bool text);
void cf_reader_close(struct cf_reader *reader);
/* From now on who prints waits for it, but for a terminal, and for what a command leaves in its pipes when it ends: that may overtake a reader
 * that is most of a ring behind.  `overtaken` is called when what it was given and has not taken must be copied now, or is lost.  A reader of one
 * command holds until that has ended. */
void cf_reader_hold(struct cf_reader *reader, void (*overtaken)(void *arg), void *arg);

/* What comes next, at most `most` bytes; as text at least one character.  BYTES: *ret_bytes are *ret_len of them, borrowed until more is printed, or while it
 * holds until it takes them or is overtaken.  GAP: *ret_gap are gone, and counted.  NONE: nothing has come yet. */
enum cf_next cf_reader_next(struct cf_reader *reader, size_t most, struct cf_piece *ret_piece, const char **ret_bytes, size_t *ret_len,
                            uint64_t *ret_gap);
void cf_reader_take(struct cf_reader *reader, const struct cf_piece *piece, size_t len);
/* Goes on at `to`, which is behind where it is; what lies between is as read. */
void cf_reader_skip(struct cf_reader *reader, uint64_t to);
/* Whether nothing will come any more once NONE was said: the command has ended, or the session. */
bool cf_reader_over(const struct cf_reader *reader);
/* The offset of the next byte. */
uint64_t cf_reader_offset(const struct cf_reader *reader);
/* The offset behind all that it could have read up to now, kept or gone. */
uint64_t cf_reader_end(const struct cf_reader *reader);

#endif
