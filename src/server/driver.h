/* driver.h: the words between the server and driver.bash. */
#ifndef CURFEW_SERVER_DRIVER_H
#define CURFEW_SERVER_DRIVER_H

#include "base/buf.h"

#include <stddef.h>

/* FIFOs in the shell's folder, as driver.bash has them: requests, statuses, and what the shell has for standard input. */
#define CF_DRIVER_REQUESTS "q"
#define CF_DRIVER_STATUSES "t"
#define CF_DRIVER_BOOT "b"
#define CF_DRIVER_TOKEN 9               /* 8 characters of 6 random bits, and NUL; the shell reads a byte a system call */
/* Longer text goes by file: a request of at most PIPE_BUF (4096) bytes goes whole or not at all, and fits even the
 * pipe of two pages that a user gets who has many (fs.pipe-user-pages-soft: beside some 200 sessions). */
#define CF_DRIVER_INLINE_MAX 4000
#define CF_DRIVER_BYTES_MAX 256
#define CF_DRIVER_HEADER 32

/* The text of driver.bash, and that of driver_loop.bash, which lies beside it. */
const char *cf_driver_text(void);
const char *cf_driver_loop_text(void);

struct cf_driver_status {
    char word;                          /* S, R, P, B or I */
    long number;                        /* exit code; of P and B the request that is meant */
    const char *cwd;                    /* of all but P; inside the parsed text */
};

/* Fills `token` (CF_DRIVER_TOKEN bytes) with what no command can guess.  0 or -1. */
int cf_driver_token(char *token);
/* Appends `text` in single quotes for bash. */
void cf_driver_quote(struct cf_buf *out, const char *text);
/* Appends the lines that a shell's standard input starts with: what the loop needs, and the first entry.  `late` is bash text that
 * the loop runs once, after it has said that it is there. */
void cf_driver_boot(struct cf_buf *out, const char *driver_path, const char *folder, const char *token, const char *late);
/* Appends the line from which the loop comes back after something unwound it. */
void cf_driver_spare(struct cf_buf *out, const char *driver_path);
/* What a command reads: nothing, the file `s` in the shell's folder, or the FIFO `i` and the pair's number there.  Of the last
 * the loop says B once it has it open, before the command begins; a writer must be there by then. */
#define CF_DRIVER_INPUT_NONE '-'
#define CF_DRIVER_INPUT_FILE 's'
#define CF_DRIVER_INPUT_FIFO 'i'

/* How a request's text comes: right behind the header; the same with a NUL at its end; in the file `c`, which is written before. */
#define CF_DRIVER_TEXT_ASCII 'a'
#define CF_DRIVER_TEXT_BYTES 'b'
#define CF_DRIVER_TEXT_FILE 'f'
char cf_driver_kind(const char *text, size_t len);

/* Appends the header of a request for text of `len` bytes and of a kind (CF_DRIVER_TEXT_*), which prints to `pair` and reads
 * `input` (CF_DRIVER_INPUT_*).  Always CF_DRIVER_HEADER bytes. */
void cf_driver_request(struct cf_buf *out, const char *token, char kind, size_t len, unsigned pair, char input);
/* Appends a question that the loop answers with P `number`, behind newlines which end whatever an interrupt left. */
void cf_driver_probe(struct cf_buf *out, const char *token, unsigned number);
/* Reads one status without its NUL.  0, or -1 when it is none. */
int cf_driver_parse(const char *text, struct cf_driver_status *ret);

#endif
