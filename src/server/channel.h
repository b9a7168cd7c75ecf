/* channel.h: the FIFOs through which a shell's commands print and read.
 *
 * A pair (stdout, stderr) serves one command after the other as long as nobody keeps it open: when a command has
 * ended and a background job of it still holds the pair, the pair is set aside for that job and the next command gets a fresh
 * one.  So a reply never waits for a background job, and what such a job prints later is never taken for the output of a
 * later command: it goes to the journal as late output of the command that started it. */
#ifndef CURFEW_SERVER_CHANNEL_H
#define CURFEW_SERVER_CHANNEL_H

#include "base/error.h"
#include "server/journal.h"
#include "server/keep.h"
#include "server/pace.h"

#include <event2/event.h>
#include <sys/types.h>

/* Set-aside pairs of one shell; beyond it the oldest is closed, and its writers meet SIGPIPE. */
#define CF_CHANNEL_LATE_MAX 32

struct cf_channel;

/* What the next server has to know of one. */
struct cf_channel_kept {
    uint32_t next_pair;
    uint32_t pairs;                     /* the current one first */
    struct {
        uint32_t number, exec;
        uint8_t late, pad[3];
    } pair[CF_CHANNEL_LATE_MAX + 1];
};

/* Makes the folder `path` (which must not exist), and the first pair in it, for `uid`.  What is printed goes to `journal`, of which
 * the channel holds a reference, at the pace that `pace` allows (borrowed). */
int cf_channel_open(struct event_base *loop, const char *path, uid_t uid, gid_t gid, struct cf_journal *journal, struct cf_pace *pace,
                    struct cf_channel **ret, struct cf_error *error);
/* From now on its descriptors are in the keeper's hand as well, under `key`. */
void cf_channel_hold(struct cf_channel *channel, const struct cf_keep *keep, uint64_t key);
void cf_channel_keep(const struct cf_channel *channel, struct cf_channel_kept *ret);
/* The channel of an earlier server, which held its descriptors under `key`: takes those that it has out of `heir`.  As cf_channel_open, but the folder must be there. */
int cf_channel_restore(struct event_base *loop, const char *path, uid_t uid, gid_t gid, struct cf_journal *journal, struct cf_pace *pace,
                       const struct cf_keep *keep, const struct cf_channel_kept *kept, struct cf_heir *heir, struct cf_channel **ret, struct cf_error *error);
/* Closes every descriptor and removes the folder with what is in it. */
void cf_channel_close(struct cf_channel **channel);
/* Removes such a folder, of whatever is in it one level deep. */
void cf_channel_discard(const char *path);
/* Closes the read ends, so that who still writes learns of it; the folder stays until cf_channel_close. */
void cf_channel_hang_up(struct cf_channel *channel);

const char *cf_channel_path(const struct cf_channel *channel);
struct cf_journal *cf_channel_journal(const struct cf_channel *channel);
/* What is printed goes to another journal from now on. */
void cf_channel_set_journal(struct cf_channel *channel, struct cf_journal *journal);
/* The number of the pair that the next command prints to. */
unsigned cf_channel_pair(const struct cf_channel *channel);
/* The current pair's output is that of command `exec` from now on; 0: of none. */
void cf_channel_begin(struct cf_channel *channel, uint32_t exec);
/* Takes all that the current pair holds, then sets the pair aside when somebody still
 * holds it.  0, or an error when a fresh pair was needed and could not be made (the old one then stays in use). */
int cf_channel_finish(struct cf_channel *channel, struct cf_error *error);

/* Makes a file in the folder that the shell can read, anew, so that nothing which the session put there under that name (a link, a FIFO) is
 * followed or truncated. */
int cf_channel_write_file(struct cf_channel *channel, const char *name, const char *data, size_t len, struct cf_error *error);
/* Makes the FIFO `name` and opens it for writing (non-blocking); until *ret_read_fd is closed nobody has to read from it. */
int cf_channel_make_input(struct cf_channel *channel, const char *name, int *ret_write_fd, int *ret_read_fd, struct cf_error *error);
/* Makes the FIFO `name` and opens it (non-blocking) for both, so that what is in it stays whoever else has it open; closing it is
 * the end of input for who reads.  ret_read_fd: NULL, or a blocking read end for a shell. */
int cf_channel_make_fifo(struct cf_channel *channel, const char *name, int *ret_fd, int *ret_read_fd, struct cf_error *error);
/* Opens the current pair for writing, blocking, for a program that has it as its stdout and stderr. */
int cf_channel_open_writers(struct cf_channel *channel, int *ret_out_fd, int *ret_err_fd, struct cf_error *error);
/* Removes a name from the folder. */
void cf_channel_remove(struct cf_channel *channel, const char *name);

#endif
