/* ledger_fixture.h: a ledger in a folder of its own, and what its tests ask. */
#ifndef TEST_LEDGER_FIXTURE_H
#define TEST_LEDGER_FIXTURE_H

#include "base/clock.h"
#include "server/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_NS (86400 * CF_NS_PER_S)
#define PATIENCE_MS 20000

static char folder[64], path[128];
static int stderr_fd = -1;              /* the real one, while the log goes to a file */

static inline int fixture_fresh(void **state)
{
    snprintf(folder, sizeof folder, "/tmp/cf-ledger.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/ledger.db", folder);
    return 0;
}

/* What is logged goes to a file in the folder, until log_read. */
static inline void log_catch(void)
{
    char name[160];
    snprintf(name, sizeof name, "%s/log", folder);
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    stderr_fd = dup(STDERR_FILENO);
    assert_true(fd >= 0 && stderr_fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
}

static inline char *log_read(void)
{
    static char text[65536];
    char name[160];
    snprintf(name, sizeof name, "%s/log", folder);
    dup2(stderr_fd, STDERR_FILENO);
    close(stderr_fd);
    stderr_fd = -1;
    FILE *file = fopen(name, "re");
    size_t len = fread(text, 1, sizeof text - 1, file);
    text[len] = '\0';
    fclose(file);
    fputs(text, stderr);
    return text;
}

static inline int fixture_drop(void **state)
{
    char command[128];
    if (stderr_fd >= 0)                 /* it has failed: what it said is worth seeing */
        (void)log_read();
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static inline unsigned times_in(const char *text, const char *word)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word))
        count++;
    return count;
}

static inline struct cf_ledger *open_with(size_t queue, int64_t retention_ns, int64_t max_bytes)
{
    const struct cf_ledger_options options = { .path = path, .queue = queue, .retention_ns = retention_ns, .max_bytes = max_bytes };
    struct cf_ledger *l = cf_ledger_new(&options);
    assert_non_null(l);
    return l;
}

static inline void start(struct cf_ledger *l)
{
    struct cf_error error;
    assert_int_equal(cf_ledger_start(l, &error), 0);
}

static inline struct cf_ledger *begin(void)
{
    struct cf_ledger *l = open_with(4096, 30 * DAY_NS, 256 << 20);
    (void)cf_ledger_reconcile(l, NULL, 0, NULL, NULL);
    start(l);
    return l;
}

static inline const char *id_of(int n)
{
    static char id[32];
    snprintf(id, sizeof id, "bash_w_%06d", n);
    return id;
}

static inline void open_session(struct cf_ledger *l, int n)
{
    cf_ledger_opened(l, id_of(n), "bash", "w", (int64_t)n * CF_NS_PER_S, CF_HOLD_CGROUP);
}

static inline void end_at(struct cf_ledger *l, int n, int64_t wall_ns)
{
    char words[] = "bye\0bye";
    struct cf_tomb tomb = {
        .reason = CF_REASON_IDLE, .created_wall_ns = wall_ns - 7, .ended_wall_ns = wall_ns, .idle_for_ns = 5, .message_count = 3,
        .hold = CF_HOLD_PIDNS, .rung = CF_RUNG_INTERRUPTED, .has_status = true, .wait_status = 3 << 8, .killed = 2, .took_ms = 12,
        .closed_ms = 0, .interrupted_ms = 11, .killed_ms = -1, .agent = "cursor-agent", .restarts = 4,
        .last_output = words, .last_output_len = sizeof words - 1,
    };
    snprintf(tomb.id, sizeof tomb.id, "%s", id_of(n));
    snprintf(tomb.workspace, sizeof tomb.workspace, n % 2 == 0 ? "even" : "odd");
    snprintf(tomb.evidence, sizeof tomb.evidence, "number %d", n);
    cf_ledger_ended(l, &tomb);
}

static inline void end_session(struct cf_ledger *l, int n)
{
    end_at(l, n, cf_clock_now().wall_ns);
}

static inline struct cf_ledger_status status_of(struct cf_ledger *l)
{
    struct cf_ledger_status status;
    cf_ledger_status(l, &status);
    return status;
}

static inline struct cf_counts counts_of(struct cf_ledger *l)
{
    struct cf_counts counts = { 0 };
    cf_ledger_count(l, &counts);
    return counts;
}

/* Waits until `what` holds of the ledger `l`. */
#define WAIT(what)                                             \
    do {                                                       \
        bool came_ = false;                                    \
        for (int ms = 0; !(came_ = (what)) && ms < PATIENCE_MS; ms++) \
            usleep(1000);                                      \
        if (!came_)                                            \
            fail_msg("not in time: %s", #what);                \
    } while (0)

static inline void written(struct cf_ledger *l)
{
    WAIT(status_of(l).queued == 0 && strcmp(status_of(l).state, "ok") == 0);
}

/* A number from the database, by a connection of the test's own. */
static inline int64_t ask(const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    int64_t number = -1;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    if (sqlite3_step(s) == SQLITE_ROW)
        number = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return number;
}

/* How many files of the folder begin with this; their logs do not count. */
static inline unsigned files(const char *prefix)
{
    unsigned count = 0;
    DIR *dir = opendir(folder);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        count += strncmp(e->d_name, prefix, strlen(prefix)) == 0 && strstr(e->d_name, "-wal") == NULL;
    closedir(dir);
    return count;
}

#endif
