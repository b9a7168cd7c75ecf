/* journal.h: what one session ran and printed, and who waits to hear of it.
 *
 * A session's shell writes into its journal; requests read from it, each at its own pace.  It is counted by references: it outlives
 * its session for as long as somebody still reads.  All from the loop's thread. */
#ifndef CURFEW_SERVER_JOURNAL_H
#define CURFEW_SERVER_JOURNAL_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "server/spool.h"

/* Bytes of a command's text that its record keeps. */
#define CF_EXEC_COMMAND_MAX 1024

/* Why a command is lost when it was not refused. */
#define CF_SESSION_ENDED "the session ended while the command ran"
#define CF_NOT_BEGUN "the server was started anew before the command had begun"

struct cf_journal_limits {
    uint64_t spool_bytes;               /* output kept */
    uint32_t execs_kept;                /* records of ended commands, the oldest go first */
    int64_t retention_ns;               /* of such a record, and of its claim on the output */
    size_t head_bytes;                  /* first bytes of each stream of a running command that outlive the spool's bound */
};

/* One command, running or ended. */
struct cf_exec {
    TAILQ_ENTRY(cf_exec) link;
    uint32_t number;                    /* from 1 in its session */
    unsigned pins;                      /* readers that need the record */
    char *command;                      /* its first bytes, NUL-terminated */
    size_t command_len;                 /* kept bytes of it */
    int64_t started_wall_ns, started_mono_ns;
    bool ended;
    /* Once it has ended: */
    int64_t ended_mono_ns;
    int exit_code;                      /* as $? shows it: 128 + signal when a signal ended it */
    bool timed_out, cancelled;
    bool shell_left;                    /* it took the shell with it */
    bool lost;                          /* its session ended under it, or it never began: there is no exit code */
    struct cf_error *refused;           /* owned: why it never began, though it was taken; NULL: it began, or there was no memory for this */
    const char *session_state;          /* what its end left of the session; a literal */
    char *cwd;                          /* where the shell stood then; NULL: not known */
    uint64_t kept;                      /* its record in the vault; 0: none */
    uint64_t heads_kept[CF_STREAMS];    /* likewise its heads */
    /* What it printed: */
    uint64_t bytes;                     /* of both streams */
    uint64_t stream_bytes[CF_STREAMS];
    uint64_t late_bytes;                /* of its background jobs, after its end */
    struct cf_buf head[CF_STREAMS];     /* of the first bytes those that the spool has dropped */
};

/* Somebody who waits for more; `wake` is called when bytes came, a command ended or the session is gone.  It must be cheap and must not
 * call back into the journal: it notes that there is work for a later turn of the loop. */
struct cf_watch {
    LIST_ENTRY(cf_watch) link;
    void (*wake)(void *arg);
    void *arg;
};

struct cf_journal;

/* With one reference.  `limits` is copied, `budget` borrowed.  NULL: out of memory. */
struct cf_journal *cf_journal_new(const struct cf_journal_limits *limits, struct cf_spool_budget *budget);
/* Its name in the vault. */
uint64_t cf_journal_number(const struct cf_journal *journal);
struct cf_journal *cf_journal_ref(struct cf_journal *journal);
void cf_journal_unref(struct cf_journal **journal);

struct cf_spool *cf_journal_spool(const struct cf_journal *journal);

/* A new record of a command that begins now; NULL: out of memory.  Borrowed: it lives at least until its end. */
struct cf_exec *cf_journal_begin(struct cf_journal *journal, const char *text, size_t len, struct cf_now now);
/* Takes back a record of a command that could not be started after all; its number is used up. */
void cf_journal_forget(struct cf_journal *journal, struct cf_exec *exec);
/* Its end: the caller has set the record's fields from ended_mono_ns on, but for `ended`. */
void cf_journal_finish(struct cf_journal *journal, struct cf_exec *exec);
/* NULL when there is none of that number, or none any more. */
struct cf_exec *cf_journal_find(struct cf_journal *journal, uint32_t number);
/* Drops the records that are too old or too many. */
void cf_journal_prune(struct cf_journal *journal, int64_t now_mono_ns);
/* One after the other, the oldest first; NULL begins, NULL is the end. */
struct cf_exec *cf_journal_next(const struct cf_journal *journal, const struct cf_exec *after);

/* Whose bytes a pipe holds. */
struct cf_origin {
    uint32_t exec;                      /* 0: no command's */
    enum cf_stream stream;
    bool late;                          /* the command has ended */
};
/* Takes bytes out of a pipe, as cf_spool_splice; with `force` also when a reader that holds is too far behind. */
ssize_t cf_journal_splice(struct cf_journal *journal, int fd, const struct cf_origin *origin, size_t most, bool force);
/* Bytes that the session's terminal printed. */
void cf_journal_terminal(struct cf_journal *journal, const char *data, size_t len);
uint64_t cf_journal_terminal_bytes(const struct cf_journal *journal);
/* The session is one program, whose output is no command's: stdout and stderr are counted from its beginning to its end. */
void cf_journal_set_program(struct cf_journal *journal);
bool cf_journal_of_program(const struct cf_journal *journal);
uint64_t cf_journal_program_bytes(const struct cf_journal *journal, enum cf_stream stream);

void cf_journal_watch(struct cf_journal *journal, struct cf_watch *watch);
void cf_journal_unwatch(struct cf_journal *journal, struct cf_watch *watch);
void cf_journal_wake(struct cf_journal *journal);

/* Who writes and was held back (ENOBUFS) is told when a reader has moved on; only the last one that said so. */
void cf_journal_set_writer(struct cf_journal *journal, struct cf_watch *writer);
/* It writes no more. */
void cf_journal_drop_writer(struct cf_journal *journal, const struct cf_watch *writer);
/* A reader that holds has moved on, or holds no more. */
void cf_journal_moved(struct cf_journal *journal);

/* The session is gone: nothing more will come.  `tombstone` is JSON, or empty when there was no memory for one; copied. */
void cf_journal_close(struct cf_journal *journal, const struct cf_buf *tombstone);
bool cf_journal_closed(const struct cf_journal *journal);
const struct cf_buf *cf_journal_tombstone(const struct cf_journal *journal);

/* Appends a stream of a command, at most `max` bytes of it: the first half and the last, where it is longer, and between them a line that
 * says how many bytes are left out.  Returns whether any are. */
bool cf_journal_text(const struct cf_journal *journal, const struct cf_exec *exec, enum cf_stream stream, size_t max, struct cf_buf *out);
/* Appends the end of what the session printed, at most `max` bytes: of the last command's stdout up to a half, of its stderr a quarter, and of
 * what background jobs printed behind it. */
void cf_journal_last(const struct cf_journal *journal, size_t max, struct cf_buf *out);

#endif
