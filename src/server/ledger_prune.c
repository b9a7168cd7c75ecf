/* ledger_prune.c: what leaves the ledger's database: rows by age and by size, and databases that cannot be used. */
#include "server/ledger_db.h"

#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A statement with up to two numbers; *ret is the first column, or how many rows went. */
static int run(struct cf_ledger_db *db, enum cf_ledger_statement which, int64_t first, int64_t second, int64_t *ret)
{
    sqlite3_stmt *s = db->statements[which];
    int code, numbers = sqlite3_bind_parameter_count(s);
    if (numbers > 0)
        sqlite3_bind_int64(s, 1, first);
    if (numbers > 1)
        sqlite3_bind_int64(s, 2, second);
    while ((code = sqlite3_step(s)) == SQLITE_ROW)
        *ret = sqlite3_column_type(s, 0) == SQLITE_NULL ? CF_NEVER_NS : sqlite3_column_int64(s, 0);
    if (code != SQLITE_DONE)
        snprintf(db->error, sizeof db->error, "%s", sqlite3_errmsg(db->handle));
    else if (numbers > 0)
        *ret = sqlite3_changes(db->handle);
    sqlite3_reset(s);
    return code == SQLITE_DONE ? SQLITE_OK : code;
}

static int oldest(struct cf_ledger_db *db, int64_t *ret_ended, int64_t *ret_audit)
{
    *ret_ended = *ret_audit = CF_NEVER_NS;
    int code = run(db, CF_LEDGER_OLDEST_ENDED, 0, 0, ret_ended);
    return code == SQLITE_OK ? run(db, CF_LEDGER_OLDEST_AUDIT, 0, 0, ret_audit) : code;
}

int cf_ledger_db_oldest(struct cf_ledger_db *db, int64_t *ret_wall_ns)
{
    int64_t ended, audit;
    int code = oldest(db, &ended, &audit);
    if (code == SQLITE_OK)
        *ret_wall_ns = ended < audit ? ended : audit;
    return code;
}

static int expire(struct cf_ledger_db *db, int64_t cutoff_wall_ns, int64_t *ret_rows, bool *ret_more)
{
    int64_t ended = 0, audit = 0;
    int code = run(db, CF_LEDGER_EXPIRE_ENDED, cutoff_wall_ns, CF_LEDGER_STEP_ROWS, &ended);
    if (code == SQLITE_OK)
        code = run(db, CF_LEDGER_EXPIRE_AUDIT, cutoff_wall_ns, CF_LEDGER_STEP_ROWS, &audit);
    *ret_rows = ended + audit;
    *ret_more = ended == CF_LEDGER_STEP_ROWS || audit == CF_LEDGER_STEP_ROWS;
    return code;
}

static int trim(struct cf_ledger_db *db, int64_t *ret_rows)
{
    int64_t ended, audit;
    int code = oldest(db, &ended, &audit);
    if (code != SQLITE_OK || (ended == CF_NEVER_NS && audit == CF_NEVER_NS))
        return code;
    return run(db, ended <= audit ? CF_LEDGER_TRIM_ENDED : CF_LEDGER_TRIM_AUDIT, CF_LEDGER_STEP_ROWS, 0, ret_rows);
}

int cf_ledger_db_prune(struct cf_ledger_db *db, int64_t cutoff_wall_ns, int64_t max_bytes, size_t *ret_rows,
                       bool *ret_more)
{
    int64_t pages = 0, left = 0, expired = 0, trimmed = 0, none;
    bool more = false;
    int code = expire(db, cutoff_wall_ns, &expired, &more);
    *ret_rows = (size_t)expired;
    if (code == SQLITE_OK)
        code = run(db, CF_LEDGER_PAGES, 0, 0, &pages);
    bool large = pages * db->page_bytes > max_bytes;
    if (code == SQLITE_OK && large && expired == 0)
        code = trim(db, &trimmed);
    *ret_rows += (size_t)trimmed;
    if (code != SQLITE_OK || expired + trimmed == 0) {
        *ret_more = false;
        return code;
    }
    code = run(db, CF_LEDGER_SHRINK, 0, 0, &none);
    if (code == SQLITE_OK)
        code = run(db, CF_LEDGER_PAGES, 0, 0, &left);
    *ret_more = more || left * db->page_bytes > max_bytes;
    return code;
}

/* ---- put aside ---- */

/* Of those that were put aside for this reason the oldest ones go; their names sort by time. */
static void forget_asides(const char *path, const char *word)
{
    char folder[PATH_MAX], base[PATH_MAX], prefix[NAME_MAX + 1], oldest_name[NAME_MAX + 1], gone[2 * PATH_MAX];
    int count;
    snprintf(folder, sizeof folder, "%s", path);
    snprintf(base, sizeof base, "%s", path);
    snprintf(prefix, sizeof prefix, "%.200s.%s-", basename(base), word);
    const char *where = dirname(folder);
    do {
        DIR *dir = opendir(where);
        if (dir == NULL)
            return;
        count = 0;
        for (const struct dirent *e; (e = readdir(dir)) != NULL;) {
            size_t len = strlen(e->d_name);
            if (strncmp(e->d_name, prefix, strlen(prefix)) != 0 ||
                (len > 4 && strcmp(e->d_name + len - 4, "-wal") == 0))
                continue;
            if (count++ == 0 || strcmp(e->d_name, oldest_name) < 0)
                snprintf(oldest_name, sizeof oldest_name, "%s", e->d_name);
        }
        closedir(dir);
        if (count <= CF_LEDGER_ASIDE_MAX)
            return;
        snprintf(gone, sizeof gone, "%s/%s-wal", where, oldest_name);
        (void)unlink(gone);
        snprintf(gone, sizeof gone, "%s/%s", where, oldest_name);
    } while (unlink(gone) == 0);
}

int cf_ledger_db_put_aside(const char *path, const char *word, int64_t now_wall_ns, char *ret_path, size_t size)
{
    char from[PATH_MAX], to[PATH_MAX], when[32];
    struct tm utc;
    time_t seconds = (time_t)(now_wall_ns / CF_NS_PER_S);
    (void)gmtime_r(&seconds, &utc);
    (void)strftime(when, sizeof when, "%Y%m%dT%H%M%S", &utc);
    snprintf(ret_path, size, "%s.%s-%s.%06d", path, word, when, (int)(now_wall_ns % CF_NS_PER_S / 1000));
    if (rename(path, ret_path) < 0)
        return errno;
    /* Without its log the database lacks what was written last; the shared memory is worth nothing alone. */
    snprintf(from, sizeof from, "%s-wal", path);
    snprintf(to, sizeof to, "%s-wal", ret_path);
    if (rename(from, to) < 0 && errno != ENOENT)
        (void)unlink(from);
    snprintf(from, sizeof from, "%s-shm", path);
    (void)unlink(from);
    forget_asides(path, word);
    return 0;
}
