/* sessions.h: a session from admission to tombstone: where core (the rules), shells (the processes) and tombs (the
 * memory of them) meet.  Knows nothing of HTTP; who asks gives a callback. */
#ifndef CURFEW_SERVER_SESSIONS_H
#define CURFEW_SERVER_SESSIONS_H

#include "base/agents.h"
#include "core/core.h"
#include "server/server.h"
#include "server/shell.h"
#include "server/tombs.h"

#include <jansson.h>

struct cf_sessions;
struct cf_shells;
struct cf_viewers;

struct cf_sessions *cf_sessions_new(struct cf_server *server, struct cf_shells *shells);
void cf_sessions_free(struct cf_sessions **sessions);

/* What to create; borrowed until `created` is called. */
struct cf_create {
    enum cf_kind kind;
    const char *workspace;
    const struct cf_agent *agent;       /* of kind agent; NULL otherwise */
    const char *cwd;                    /* inside the workspace; NULL: the workspace itself */
    json_t *env;                        /* object of strings; NULL: none */
    unsigned cols, rows;                /* of its terminal; 0: it has none */
    int64_t idle_ns, age_ns;            /* 0: the kind's policy */
    int64_t asked_ns;                   /* monotonic: since when it waits; 0: it does not */
};
/* Called once, maybe before cf_sessions_create returns; `error` is NULL on success. */
typedef void cf_created(void *arg, cf_handle handle, const struct cf_error *error);
void cf_sessions_create(struct cf_sessions *sessions, const struct cf_create *what, struct cf_now now,
                        cf_created *created, void *arg);

/* Uses of a session: USE(name, as the API calls it, what it is to the rules). */
#define CF_USE_TABLE(USE) \
    USE(CREATED, "created", STATE) \
    USE(COMMAND, "command", COMMAND) \
    USE(COMMAND_END, "end of a command", STATE) \
    USE(INPUT, "input", HEARTBEAT)              /* to a command, which has been counted */ \
    USE(MESSAGE, "message", INPUT) \
    USE(SIGNAL, "signal", HEARTBEAT) \
    USE(HEARTBEAT, "heartbeat", HEARTBEAT) \
    USE(VIEWER, "viewer", HEARTBEAT) \
    USE(OUTPUT, "output", HEARTBEAT) \
    USE(TERMINAL, "program in the terminal", HEARTBEAT)

enum cf_use {
#define USE(name, text, cause) CF_USE_##name,
    CF_USE_TABLE(USE)
#undef USE
    CF_USES
};

/* It was used now: as cf_core_touch, and the next server knows it, too. */
int cf_sessions_touch(struct cf_sessions *sessions, cf_handle handle, int64_t now_ns, enum cf_use use);

/* Looks a session up, also in the ledger.  0; CF_E_NOT_FOUND; or CF_E_GONE with *ret_tomb (borrowed). */
int cf_sessions_find(struct cf_sessions *sessions, const char *id, struct cf_now now, cf_handle *ret_handle,
                     const struct cf_tomb **ret_tomb, struct cf_error *error);

/* Exactly one of the two is called: the command's result, or the tombstone of a session that ended under it (NULL when
 * there was no memory for one). */
struct cf_exec_events {
    cf_exec_done *done;
    void (*lost)(void *arg, const struct cf_tomb *tomb);
};
/* Starts a command; `events` is NULL when nobody waits for its result but who watches the journal.  *ret_exec is its record, borrowed. */
int cf_sessions_exec(struct cf_sessions *sessions, cf_handle handle, const struct cf_exec_spec *spec, struct cf_now now,
                     const struct cf_exec_events *events, void *arg, struct cf_exec **ret_exec, struct cf_error *error);

/* The shell of a session that takes commands, borrowed; NULL and CF_E_NOT_READY when it is starting or ending. */
struct cf_shell *cf_sessions_shell(const struct cf_sessions *sessions, cf_handle handle, struct cf_error *error);
/* What a session ran and printed, borrowed; NULL when the handle is gone or has no shell yet. */
struct cf_journal *cf_sessions_journal(const struct cf_sessions *sessions, cf_handle handle);
/* The viewers of a session's terminal, borrowed; NULL when it has none. */
struct cf_viewers *cf_sessions_viewers(const struct cf_sessions *sessions, cf_handle handle);
/* Sets the size of its terminal and tells its viewers.  0, CF_E_NOT_READY, CF_E_SYSTEM. */
int cf_sessions_resize(struct cf_sessions *sessions, cf_handle handle, unsigned cols, unsigned rows, struct cf_error *error);
/* A terminal that a program has is in use, whatever it prints: moves the last use of such sessions to now. */
void cf_sessions_touch_at_work(struct cf_sessions *sessions, struct cf_now now);
/* The command that runs in a session; NULL when none does.  Borrowed. */
struct cf_exec *cf_sessions_running(const struct cf_sessions *sessions, cf_handle handle);

/* Starts the end of a session, or shortens its grace when it is ending.  `evidence` is one sentence.  A
 * handle that is gone is ignored. */
void cf_sessions_end(struct cf_sessions *sessions, cf_handle handle, enum cf_reason reason, const char *evidence,
                     int64_t grace_ns);
/* Calls `gone` when nothing of the session is left; 0, or CF_E_NO_MEMORY, CF_E_NOT_FOUND. */
typedef void cf_gone(void *arg, const struct cf_tomb *tomb);
int cf_sessions_wait(struct cf_sessions *sessions, cf_handle handle, cf_gone *gone, void *arg, struct cf_error *error);
/* Creates that wait for an emergency cleanup. */
unsigned cf_sessions_parked(const struct cf_sessions *sessions);
/* Ends all, and refuses what waits to be created. */
void cf_sessions_end_all(struct cf_sessions *sessions, enum cf_reason reason, const char *evidence, int64_t grace_ns);

/* Nothing more will be printed: whoever still reads learns why. */
void cf_sessions_close_journal(struct cf_journal *journal, const struct cf_tomb *tomb);

/* Writes the session as the API shows it.  False when the handle is gone. */
bool cf_sessions_json(struct cf_sessions *sessions, cf_handle handle, struct cf_now now, struct cf_jsonw *w,
                      const char *key);

/* ── what the ledger is told ── */

/* Puts on record that it runs; likewise all that do, for a ledger that may not know. */
void cf_sessions_record(const struct cf_sessions *sessions, cf_handle handle);
void cf_sessions_record_all(const struct cf_sessions *sessions);

#endif
