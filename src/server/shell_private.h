/* shell_private.h: a shell's inside, shared by shell.c (its life) and shell_exec.c (its commands). */
#ifndef CURFEW_SERVER_SHELL_PRIVATE_H
#define CURFEW_SERVER_SHELL_PRIVATE_H

#include "server/channel.h"
#include "server/driver.h"
#include "server/keep.h"
#include "server/pty.h"
#include "server/shell.h"

/* From a terminal's request until its shell has begun: one at its prompt does so in a millisecond; one that runs what was typed does not. */
#define CF_SHELL_BEGIN_NS (2 * CF_NS_PER_S)

/* How far the server went to get the shell back from a command. */
enum stage { STAGE_RUNNING, STAGE_INTERRUPTED, STAGE_KILLED };

/* What a command reads. */
struct input {
    int write_fd;                       /* -1: closed */
    int read_fd;                        /* held until the command has its own */
    bool begun;                         /* it has */
    bool eof;                           /* closed when the queue is empty */
    struct cf_buf queue;                /* what has not gone into the FIFO yet */
    uint64_t last_seq;
    struct event *event;                /* the FIFO takes more */
    char name[16];
};

/* Programs of a pipeline that an interrupt may have met too early. */
#define INTERRUPTED_PIDS 8

struct run {
    bool active;                        /* a command was taken and its result not given yet */
    bool written;                       /* the driver has it */
    bool doubted;                       /* by the word of an earlier server, which may have died before it was */
    bool timed_out, cancelled;
    bool interrupted;                   /* a SIGINT was sent for it */
    bool due;                           /* one is to be sent once the shell sleeps */
    uint64_t due_ticks;                 /* since then */
    int64_t due_until_ns;               /* or then */
    enum stage stage;
    char *text;                         /* until it is written */
    size_t len;
    char *stdin_text;                   /* likewise; NULL: none */
    size_t stdin_len;
    bool input_open;
    bool by_file, stdin_by_file;        /* c and s lie in the shell's folder */
    struct cf_exec *exec;
    int64_t timeout_ns;
    int64_t until_ns;                   /* end of its timeout, 0: none; in a terminal also of waiting for its begin, and of the stages after it */
    int64_t give_up_ns;                 /* end of STAGE_INTERRUPTED, and of STAGE_KILLED */
    unsigned attempts;                  /* in the stage, after the first */
    uint64_t since_ticks;
    uint64_t interrupt_ticks;           /* of the last interrupt that we sent; 0: none */
    int interrupted_pids[INTERRUPTED_PIDS]; /* what was the shell's when that had come */
    /* In a terminal: */
    unsigned request;                   /* number of its request */
    bool begun;                         /* the shell has said that it begins */
    bool answering;                     /* it has asked, and is answered when no signal is on its way any more */
    cf_exec_done *done;
    void *arg;
    struct input input;
};

/* What a shell with a terminal has instead of the pipes. */
struct terminal {
    struct cf_pty *pty;                 /* NULL: it has none */
    unsigned cols, rows;
    int status_hold_fd;                 /* a writer of the status FIFO, so that it has no end */
    int answer_fd, answer_hold_fd;      /* both ends of the FIFO of answers */
    int boot_fd;                        /* what the shell reads at its start, until it is launched */
    unsigned requests;                  /* that were written */
    struct cf_link_args args;
    uint64_t last_seq;                  /* of what was typed */
};

/* What a program of its own has instead of bash and its driver; its stdin is `run.input`. */
struct program {
    char *name;                         /* NULL: it is a shell */
    struct cf_link_args args;           /* until it is launched; likewise the ends that it gets */
    int out_fd, err_fd;
    uint64_t last_seq;                  /* of what was written to it, also to its predecessors */
    bool lost;                          /* the keeper could not hold its pipes, and the server that had them is dead */
};

struct cf_shell {
    const struct cf_shell_host *host;
    struct cf_shell_events events;
    void *arg;
    uint64_t key;
    enum cf_shell_state state;
    uint32_t hold;
    int pid;
    bool listens;                       /* its driver has said so */
    bool ending, left;
    bool closed;                        /* the first step of its end was taken while it lived */
    int wait_status;
    int request_fd, boot_fd, status_fd;
    int theirs[3];                      /* the other ends, until the keeper has them */
    struct event *status_event, *timer;
    char token[CF_DRIVER_TOKEN];
    struct cf_buf status;               /* the beginning of a status whose end has not come yet; mostly empty */
    char *cwd;                          /* as the last status said; NULL: none yet */
    struct cf_channel *channel;
    struct terminal terminal;
    struct program program;
    struct run run;
    uint64_t last_ticks;                /* when its last command ended */
    uint64_t jobs, crowded_ticks;       /* of shell_jobs.c */
    int init;                           /* likewise: the leader's parent, to which orphans come; 0: none, -1: not known yet */
    unsigned signals_pending;           /* asked of the keeper, not confirmed */
    unsigned probe;                     /* number of the last probe; 0: none is out */
    unsigned probes;
    bool preparing;                     /* cf_shell_prepare's text is running */
    bool unprepared;                    /* by the word of an earlier server, likewise */
    int prepared_code;
    cf_vault_ref kept;                  /* its record in the vault */
    bool disowned;                      /* it has none, and gets none */
    int64_t end_grace_ns;               /* with which its end was asked for */
    uint64_t session;
};

/* Writes down how it is, for the next server. */
void cf_shell_keep(struct cf_shell *s);
/* Of the input that waits in the record, so much more has been written. */
void cf_shell_keep_sent(const struct cf_shell *s, size_t len);
/* Ready is whose driver listens and whose containment is known. */
void cf_shell_become_ready(struct cf_shell *s);
/* Its descriptors, but for the channel's, are in the keeper's hand as well. */
void cf_shell_give(const struct cf_shell *s);
/* Its status, and its timer. */
int cf_shell_open_events(struct cf_shell *s, struct cf_error *error);
/* One text of those that end in NUL. */
void cf_shell_on_status_text(struct cf_shell *s, const char *text);

/* Ready is who listens and has been started; nothing otherwise. */
void cf_shell_become_ready(struct cf_shell *s);
/* Gives up its pipes. */
void cf_shell_hang_up(struct cf_shell *s);

/* Tells the owner, once, that this shell cannot go on. */
void cf_shell_fail(struct cf_shell *s, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Sets the one timer of a shell: what it means depends on the state. */
void cf_shell_arm(struct cf_shell *s, int64_t after_ns);
/* Writes to the driver's private descriptors; false when it is gone. */
bool cf_shell_write(struct cf_shell *s, int fd, const struct cf_buf *what);

/* Sees to it that there are lines from which the driver comes back when something unwinds it: before an interrupt, and after an R. */
void cf_shell_spares(struct cf_shell *s);

void cf_shell_run_on_status(struct cf_shell *s, const struct cf_driver_status *status);
void cf_shell_run_on_timer(struct cf_shell *s);
/* Begins the command that came while the shell was not ready, if one did. */
void cf_shell_run_begin(struct cf_shell *s);
/* The command is over, for whatever reason: collects its output and answers. */
void cf_shell_run_finish(struct cf_shell *s, int exit_code, bool wedged);
/* The command did not begin, and this is why. */
void cf_shell_run_refuse(struct cf_shell *s, const struct cf_error *why);
/* After an interrupt: asks the driver whether it listens, as soon as no signal is under way any more. */
void cf_shell_sync(struct cf_shell *s);
void cf_shell_sync_resume(struct cf_shell *s);
void cf_shell_run_free(struct cf_shell *s);
/* Sets the timer for a command that runs: until its timeout, or until it is to be looked whether it missed an interrupt. */
void cf_shell_arm_running(struct cf_shell *s);
/* Asks the driver whether it listens. */
void cf_shell_probe(struct cf_shell *s);
/* Goes on with a command of an earlier server. */
void cf_shell_run_resume(struct cf_shell *s);
void cf_shell_terminal_resume(struct cf_shell *s);
int cf_shell_terminal_restore(struct cf_shell *s, int master_fd, struct cf_error *error);
int cf_shell_input_restore(struct cf_shell *s, int write_fd, int read_fd);

/* Now, in the unit of field 22 of /proc/PID/stat. */
uint64_t cf_shell_ticks(void);
/* How long the next command has to wait, so that what it starts is younger than what the last one left; mostly 0. */
int64_t cf_shell_jobs_wait_ns(struct cf_shell *s);
/* An interrupt has just come to the shell's processes. */
void cf_shell_note_interrupted(struct cf_shell *s);
/* Whether the shell waits in a system call, or is gone. */
bool cf_shell_sleeps(const struct cf_shell *s);
/* Whether a child of the shell is alive that the interrupt which we sent would have ended: one that came between its fork and its exec is lost, since it meets
 * bash's own handler there. */
bool cf_shell_missed_interrupt(const struct cf_shell *s);

/* Its terminal, the FIFO of its statuses, and what it reads at its start. */
int cf_shell_terminal_make(struct cf_shell *s, const struct cf_terminal *terminal, struct cf_error *error);
int cf_shell_terminal_launch(struct cf_shell *s, struct cf_link_spawn *what, struct cf_error *error);
/* The leader has its end. */
int cf_shell_terminal_begin(struct cf_shell *s, struct cf_error *error);
/* Hangs up, once what was printed has been read. */
void cf_shell_terminal_close(struct cf_shell *s);
void cf_shell_terminal_free(struct cf_shell *s);

/* Commands in a shell with a terminal: the parts of shell_exec.c that are others there. */
int cf_shell_terminal_exec(struct cf_shell *s, char mode, struct cf_error *error);
void cf_shell_terminal_on_status(struct cf_shell *s, const struct cf_driver_status *status);
void cf_shell_terminal_on_timer(struct cf_shell *s);
/* No signal is on its way any more. */
void cf_shell_terminal_on_signaled(struct cf_shell *s);
void cf_shell_terminal_cancel(struct cf_shell *s);
void cf_shell_terminal_signal(struct cf_shell *s, int signo);
/* An interrupt has reached what runs in the terminal. */
void cf_shell_terminal_interrupted(struct cf_shell *s);
/* While no command runs: to the program that has the terminal. */
int cf_shell_terminal_interrupt(struct cf_shell *s, int signo, struct cf_error *error);

/* A command of whose input more may come begins with this. False: out of memory. */
bool cf_shell_input_queue(struct cf_shell *s, const char *data, size_t len);
/* Makes what the command of `run` reads; *ret_mode is the driver's word for it. */
int cf_shell_input_open(struct cf_shell *s, char *ret_mode, struct cf_error *error);
/* Makes the event for it, once its FIFO is there; closes it when that fails. */
int cf_shell_input_watch(struct cf_shell *s, struct cf_error *error);
/* Writes what waits, and closes behind it when nothing more will come, or when nobody reads. */
void cf_shell_input_flush(struct cf_shell *s);
/* The command has its stdin open. */
void cf_shell_input_begun(struct cf_shell *s);
void cf_shell_input_close(struct cf_shell *s);

/* In program.c: the parts of a shell's life that are others there. */
int cf_program_make(struct cf_shell *s, const struct cf_program *program, struct cf_error *error);
int cf_program_launch(struct cf_shell *s, struct cf_link_spawn *what, struct cf_error *error);
int cf_program_input(struct cf_shell *s, const struct cf_input *input, bool *ret_repeated, bool *ret_open, struct cf_error *error);
int cf_program_signal(struct cf_shell *s, int signo, struct cf_error *error);
/* What the next server has to know of one; all of it is borrowed. */
struct cf_program_kept {
    const char *name, *waits;
    size_t name_len, waits_len;
    uint64_t last_seq;
    bool eof;
};
int cf_program_restore(struct cf_shell *s, const struct cf_program_kept *kept, struct cf_heir *heir, struct cf_error *error);
void cf_program_resume(struct cf_shell *s);
/* It reads no more, and nobody may write to it. */
void cf_program_close(struct cf_shell *s);
void cf_program_free(struct cf_shell *s);

#endif
