/* sessions_private.h: a live session's inside, shared by sessions.c (birth and use) and sessions_end.c (end). */
#ifndef CURFEW_SERVER_SESSIONS_PRIVATE_H
#define CURFEW_SERVER_SESSIONS_PRIVATE_H

#include "server/keep.h"
#include "server/sessions.h"

struct waiter {
    struct waiter *next;
    cf_gone *gone;
    void *arg;
};

struct session {
    struct cf_sessions *all;
    cf_handle handle;
    struct cf_shell *shell;
    int64_t created_wall_ns, created_mono_ns;
    int64_t asked_ns;                   /* when it was asked for; before it was created when it had to wait */
    bool started;
    bool evicted;                       /* an emergency cleanup ends it */
    enum cf_use use;                    /* the last one */
    /* Until it has started: */
    cf_created *created;
    void *created_arg;
    /* Until its shell is prepared: */
    int cwd_fd;
    bool warm, has_env;
    char *setup;                        /* bash text to run before it is anybody's; NULL: none */
    struct cf_error failure;
    /* For a fresh shell in the place of one that went by itself: */
    int64_t restarts_left;
    bool restarting;                    /* it is on its way */
    unsigned old_shells;                /* that went, and of whose containments something may be left */
    char *cwd;                          /* NULL: the workspace */
    json_t *env;                        /* a reference; NULL: none */
    unsigned cols, rows;                /* of its terminal at its start; 0: it has none */
    struct session_agent *agent;        /* of kind agent; NULL otherwise */
    struct cf_viewers *viewers;         /* of its terminal; NULL: it has none */
    struct cf_wire_ended report;        /* of the last shell, which ended before the old ones */
    /* While a command runs: */
    struct cf_exec_events exec;
    void *exec_arg;
    /* Once its end was decided: */
    char evidence[CF_EVIDENCE_MAX];
    int64_t idle_for_ns;
    int64_t end_since_ns;
    struct waiter *waiters;
    /* For the next server: */
    uint64_t number;                    /* its name in the vault */
    cf_vault_ref kept;
};

struct parked {
    struct parked *next;
    struct cf_create what;
    cf_created *created;
    void *arg;
};

struct cf_sessions {
    struct cf_server *server;
    struct cf_shells *shells;
    struct session **by_slot;           /* by the lower half of a handle */
    uint32_t slot_count;
    struct parked *parked_first, **parked_last;     /* creates that wait for an emergency cleanup */
    unsigned parked_count;
    unsigned evicting;                  /* sessions that an emergency cleanup is ending */
};

struct session *cf_sessions_get(const struct cf_sessions *all, cf_handle handle);
/* Writes down how it is, for the next server. */
void cf_session_keep(struct session *s);
/* It was used now, and whether that counts as a message. */
void cf_session_keep_touch(const struct session *s, int64_t now_ns, bool message);
/* Makes room for a slot.  0 or -1: out of memory. */
int cf_sessions_reserve(struct cf_sessions *all, uint32_t slot);
void cf_sessions_remove(struct cf_sessions *all, struct session *s);
/* Tries the parked creates again, in their order. */
void cf_sessions_unpark(struct cf_sessions *all);
const struct cf_shell_events *cf_sessions_events(void);

/* Gives an admitted session its shell, warm when there is one. */
int cf_sessions_give_shell(struct session *s, const struct cf_create *what, struct cf_error *error);
/* Its viewers, once its shell is there; 0 or CF_E_NO_MEMORY.  Nothing for one without a terminal. */
int cf_sessions_open_terminal(struct session *s, struct cf_error *error);
/* Its terminal takes more, or nothing any more. */
void cf_sessions_on_room(struct cf_shell *shell, void *arg);
/* Whether a shell that goes by itself is replaced. */
bool cf_sessions_restarts(const struct session *s);
/* Puts a fresh shell in the place of one that has gone; `why` is for the log.  False: it cannot be. */
bool cf_sessions_restart(struct session *s, const char *why);
/* A tombstone for one of which there is no shell. */
void cf_sessions_bury_lost(struct session *s, const char *evidence);
/* Nothing is left of any shell of it. */
void cf_sessions_gone(struct session *s, const struct cf_wire_ended *report);

/* Events of a shell that another has replaced. */
const struct cf_shell_events *cf_sessions_old_events(void);
/* A command of its shell has ended; `arg` is the session. */
void cf_sessions_on_exec_done(void *arg, const struct cf_exec_result *result);
/* What an agent's session has beside: made at its admission, gone with it. */
int cf_sessions_agent_make(struct session *s, const struct cf_create *what, struct cf_error *error);
void cf_sessions_agent_free(struct session *s);
/* Starts its program in the folder cwd_fd. */
int cf_sessions_agent_start(struct session *s, struct cf_error *error);
/* The program has gone, or could not be started.  True: another one will take its place. */
bool cf_sessions_agent_left(struct session *s, int wait_status);
bool cf_sessions_agent_failed(struct session *s, const struct cf_error *why);
/* Whether it went because it had done what it was for. */
bool cf_sessions_agent_is_done(int wait_status);
/* Whether it is between two programs; false for other kinds. */
bool cf_sessions_agent_waits(const struct session *s);
/* Events of a program after which another one comes. */
const struct cf_shell_events *cf_sessions_agent_old_events(void);
/* For the next server: writes down what it has, behind what is in `whole`; takes it from there, into a session that has none; and goes on, once its shells are there. */
void cf_sessions_agent_keep(const struct session *s, struct cf_buf *whole);
int cf_sessions_agent_restore(struct session *s, const char *kept, size_t len, struct cf_error *error);
void cf_sessions_agent_resume(struct session *s);
/* Of the shells that it had before nothing is left. */
void cf_sessions_agent_alone(struct session *s);
void cf_sessions_agent_tomb(const struct session *s, struct cf_tomb *tomb);
void cf_sessions_agent_json(const struct session *s, struct cf_now now, struct cf_jsonw *w);

void cf_sessions_on_left(struct cf_shell *shell, void *arg, int wait_status);
void cf_sessions_on_ended(struct cf_shell *shell, void *arg, const struct cf_wire_ended *report);
void cf_sessions_on_failed(struct cf_shell *shell, void *arg, const struct cf_error *why);

#endif
