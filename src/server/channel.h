/* channel.h: the FIFOs through which a shell's commands print.
 *
 * A pair (stdout, stderr) serves one command after the other as long as nobody keeps it open: when a command has
 * ended and a background job of it still holds the pair, the pair is set aside for that job and the next command gets a fresh
 * one.  So a reply never waits for a background job, and what such a job prints later is never taken for the output of a
 * later command.  What a set-aside pair prints goes to `late`. */
#ifndef CURFEW_SERVER_CHANNEL_H
#define CURFEW_SERVER_CHANNEL_H

#include "base/error.h"
#include "server/capture.h"

#include <event2/event.h>
#include <sys/types.h>

/* Set-aside pairs of one shell; beyond it the oldest is closed, and its writers meet SIGPIPE. */
#define CF_CHANNEL_LATE_MAX 32

struct cf_channel;

/* Makes the folder `path` (which must not exist), and the first pair in it, for `uid`.  `scratch` (of `scratch_bytes`) is shared by all
 * channels of the loop and borrowed. */
int cf_channel_open(struct event_base *loop, const char *path, uid_t uid, gid_t gid, char *scratch, size_t scratch_bytes,
                    struct cf_channel **ret, struct cf_error *error);
/* Closes every descriptor and removes the folder with what is in it. */
void cf_channel_close(struct cf_channel **channel);
/* Closes the read ends, so that who still writes learns of it; the folder stays until cf_channel_close. */
void cf_channel_hang_up(struct cf_channel *channel);

const char *cf_channel_path(const struct cf_channel *channel);
/* The number of the pair that the next command prints to. */
unsigned cf_channel_pair(const struct cf_channel *channel);
/* Where the current pair's output goes from now on; NULL: to the late capture. */
void cf_channel_begin(struct cf_channel *channel, struct cf_capture *out, struct cf_capture *err);
/* Reads all that the current pair holds into the captures, then sets the pair aside when somebody still
 * holds it.  0, or an error when a fresh pair was needed and could not be made (the old one then stays in use). */
int cf_channel_finish(struct cf_channel *channel, struct cf_error *error);
/* What background jobs printed after their command had ended. */
const struct cf_capture *cf_channel_late(const struct cf_channel *channel);

#endif
