/* ledger_private.h: the ledger's inside, shared by ledger.c (queue), ledger_writer.c (its thread), ledger_read.c
 * (look-ups). */
#ifndef CURFEW_SERVER_LEDGER_PRIVATE_H
#define CURFEW_SERVER_LEDGER_PRIVATE_H

#include "server/ledger_db.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

/* The writer waits so long for more before it writes, unless that was done for it: what comes meanwhile shares a
 * transaction. */
#define CF_LEDGER_GATHER_NS (5 * CF_NS_PER_MS)
/* After a failure; doubled up to the second. */
#define CF_LEDGER_RETRY_FIRST_NS (100 * CF_NS_PER_MS)
#define CF_LEDGER_RETRY_LAST_NS (10 * CF_NS_PER_S)
/* At the end a failing disk is not waited for. */
#define CF_LEDGER_STOP_TRIES 5
#define CF_LEDGER_STOP_PAUSE_NS (50 * CF_NS_PER_MS)

struct cf_ledger {
    struct cf_ledger_options options;
    char *path;
    int64_t started_mono_ns, started_wall_ns;   /* retention goes by the one that no step of the wall clock moves */
    char by[CF_LEDGER_BY_MAX];
    bool asked;                         /* to be woken: cf_ledger_wake is on its way */
    int again_fd;

    pthread_mutex_t lock;
    pthread_cond_t wake, done;          /* for the writer; when it has finished */
    /* Below, under the lock. */
    struct cf_ledger_entry *first, **last;
    size_t count, in_hand;              /* queued; being written */
    bool waiting;                       /* the writer wants to be told of the next entry */
    bool stop, finished;
    ino_t suspect;                      /* the file that a reader found to be bad; 0: none */
    bool failing, overflowed;
    char error[256];

    atomic_ullong written, errors, dropped, pruned;

    pthread_t thread;
    bool running;
    /* The writer's; before it is started, the loop's. */
    struct cf_ledger_db db;
    bool was_open;                      /* once at least */
    char **held;                        /* what cf_ledger_reconcile could not do yet */
    size_t held_count;
    bool reconcile_due;
    int64_t retry_ns, retry_pause_ns;   /* when a failure is tried again; 0: nothing has failed */
    int64_t prune_ns;                   /* monotonic: when rows are to be removed */
    unsigned stop_tries;

    /* The loop's: look-ups. */
    sqlite3 *reader;
    sqlite3_stmt *queries[4];
    struct cf_tomb found;
    char found_output[CF_LAST_OUTPUT_MAX];
};

void *cf_ledger_work(void *ledger);
/* Opens the database if it is not; puts one aside that cannot be used.  SQLITE_OK, or it is told. */
int cf_ledger_open_db(struct cf_ledger *ledger);
void cf_ledger_failed(struct cf_ledger *ledger, const char *why);
/* Frees a list. */
size_t cf_ledger_entries_free(struct cf_ledger_entry *entries);
/* With the lock held: drops the oldest while there are more than may wait. */
void cf_ledger_bound(struct cf_ledger *ledger);
void cf_ledger_reader_close(struct cf_ledger *ledger);

#endif
