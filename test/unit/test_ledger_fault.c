/* The ledger's writer on a disk that fails, fills or hangs: a file system for SQLite that does so when it is told to. */
#include "unit/ledger_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- a file system between SQLite and the real one ---- */

struct file {
    sqlite3_file base;
    sqlite3_file *real;
};

static sqlite3_vfs *below;
static sqlite3_vfs shim;
static atomic_long until;               /* calls until one fails; 0: none does */
static atomic_bool for_good;            /* and all after it */
static atomic_int failure;              /* SQLITE_… */
static atomic_long calls;
static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;       /* held: writing hangs */

static void fail_from(long nth, int code, bool good)
{
    atomic_store(&failure, code);
    atomic_store(&for_good, good);
    atomic_store(&calls, 0);
    atomic_store(&until, nth);
}

static void heal(void)
{
    atomic_store(&until, 0);
}

static int drop(void **state)
{
    heal();
    return fixture_drop(state);
}

/* What this call shall give. */
static int fate(void)
{
    long nth = atomic_fetch_add(&calls, 1) + 1, at = atomic_load(&until);
    if (at == 0 || nth < at || (nth > at && !atomic_load(&for_good)))
        return SQLITE_OK;
    return atomic_load(&failure);
}

static sqlite3_file *real(sqlite3_file *f)
{
    return ((struct file *)f)->real;
}

static int x_close(sqlite3_file *f)
{
    int code = real(f)->pMethods != NULL ? real(f)->pMethods->xClose(real(f)) : SQLITE_OK;
    return code;
}

static int x_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
    return real(f)->pMethods->xRead(real(f), to, n, at);
}

static int x_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
    pthread_mutex_lock(&gate);
    pthread_mutex_unlock(&gate);
    int code = fate();
    return code != SQLITE_OK ? code : real(f)->pMethods->xWrite(real(f), from, n, at);
}

static int x_truncate(sqlite3_file *f, sqlite3_int64 size)
{
    int code = fate();
    return code != SQLITE_OK ? code : real(f)->pMethods->xTruncate(real(f), size);
}

static int x_sync(sqlite3_file *f, int flags)
{
    int code = fate();
    return code != SQLITE_OK ? code : real(f)->pMethods->xSync(real(f), flags);
}

static int x_size(sqlite3_file *f, sqlite3_int64 *ret)
{
    return real(f)->pMethods->xFileSize(real(f), ret);
}

static int x_lock(sqlite3_file *f, int level)
{
    return real(f)->pMethods->xLock(real(f), level);
}

static int x_unlock(sqlite3_file *f, int level)
{
    return real(f)->pMethods->xUnlock(real(f), level);
}

static int x_check(sqlite3_file *f, int *ret)
{
    return real(f)->pMethods->xCheckReservedLock(real(f), ret);
}

static int x_control(sqlite3_file *f, int what, void *arg)
{
    return real(f)->pMethods->xFileControl(real(f), what, arg);
}

static int x_sector(sqlite3_file *f)
{
    return real(f)->pMethods->xSectorSize(real(f));
}

static int x_device(sqlite3_file *f)
{
    return real(f)->pMethods->xDeviceCharacteristics(real(f));
}

static int x_shm_map(sqlite3_file *f, int page, int size, int extend, void volatile **ret)
{
    int code = extend ? fate() : SQLITE_OK;
    return code != SQLITE_OK ? code : real(f)->pMethods->xShmMap(real(f), page, size, extend, ret);
}

static int x_shm_lock(sqlite3_file *f, int at, int n, int flags)
{
    return real(f)->pMethods->xShmLock(real(f), at, n, flags);
}

static void x_shm_barrier(sqlite3_file *f)
{
    real(f)->pMethods->xShmBarrier(real(f));
}

static int x_shm_unmap(sqlite3_file *f, int delete)
{
    return real(f)->pMethods->xShmUnmap(real(f), delete);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2, .xClose = x_close, .xRead = x_read, .xWrite = x_write, .xTruncate = x_truncate, .xSync = x_sync,
    .xFileSize = x_size, .xLock = x_lock, .xUnlock = x_unlock, .xCheckReservedLock = x_check, .xFileControl = x_control,
    .xSectorSize = x_sector, .xDeviceCharacteristics = x_device, .xShmMap = x_shm_map, .xShmLock = x_shm_lock,
    .xShmBarrier = x_shm_barrier, .xShmUnmap = x_shm_unmap,
};

static int x_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *f, int flags, int *ret_flags)
{
    struct file *file = (struct file *)f;
    int code = atomic_load(&for_good) ? SQLITE_OK : fate();    /* a full disk still opens what is there */
    (void)vfs;
    *file = (struct file){ .real = (sqlite3_file *)(file + 1) };
    if (code == SQLITE_OK)
        code = below->xOpen(below, name, file->real, flags, ret_flags);
    if (code == SQLITE_OK)
        file->base.pMethods = &methods;
    return code == SQLITE_FULL ? SQLITE_CANTOPEN : code;
}

static int with_shim(void **state)
{
    below = sqlite3_vfs_find(NULL);
    shim = *below;
    shim.zName = "shim";
    shim.szOsFile = (int)sizeof(struct file) + below->szOsFile;
    shim.xOpen = x_open;
    return sqlite3_vfs_register(&shim, 1);
}

static int without_shim(void **state)
{
    return sqlite3_vfs_unregister(&shim);
}

/* By the real file system, whatever the shim is doing. */
static int64_t look(const char *sql)
{
    sqlite3 *db;
    sqlite3_stmt *s;
    int64_t number = -1;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    sqlite3_busy_timeout(db, 5000);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &s, NULL), SQLITE_OK);
    if (sqlite3_step(s) == SQLITE_ROW)
        number = sqlite3_column_int64(s, 0);
    sqlite3_finalize(s);
    sqlite3_close(db);
    return number;
}

/* ---- one call fails ---- */

static void three_sessions(struct cf_ledger *l)
{
    for (int i = 0; i < 3; i++) {
        open_session(l, i);
        end_session(l, i);
        cf_ledger_audit_end(l, id_of(i), CF_REASON_IDLE, "x");
    }
    written(l);
}

static void all_there_once(void)
{
    assert_int_equal(look("SELECT count(*) FROM ended"), 3);
    assert_int_equal(look("SELECT count(*) FROM outputs"), 3);
    assert_int_equal(look("SELECT count(*) FROM audit"), 3);
    assert_int_equal(look("SELECT count(*) FROM running"), 0);
    assert_int_equal(look("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'"), 0);
}

/* The first, the second … call fails, until there are no more: of a fresh database, from opening to closing. */
static void any_one(int code)
{
    long nth = 1;
    for (bool met = true; met; nth++) {
        fixture_drop(NULL);
        fixture_fresh(NULL);
        log_catch();
        fail_from(nth, code, false);
        struct cf_ledger *l = begin();
        three_sessions(l);
        cf_ledger_free(&l);
        met = atomic_load(&calls) >= nth;
        heal();
        (void)log_read();
        all_there_once();
    }
    print_message("%ld calls\n", nth - 2);
    assert_true(nth > 10);
}

static void any_one_is_full(void **state)
{
    any_one(SQLITE_FULL);
}

static void any_one_is_an_error(void **state)
{
    any_one(SQLITE_IOERR_WRITE);
}

/* ---- the disk is full for long ---- */

static void waits_and_recovers(void **state)
{
    struct cf_ledger *l = begin();
    end_session(l, 1000);
    written(l);
    log_catch();
    fail_from(1, SQLITE_FULL, true);
    for (int i = 0; i < 3; i++)
        end_session(l, i);
    WAIT(counts_of(l).ledger_errors >= 3);
    assert_string_equal(status_of(l).state, "failing");
    assert_non_null(strstr(status_of(l).error, "full"));
    assert_int_equal(status_of(l).queued, 3);
    assert_int_equal(counts_of(l).ledger_failing, 1);
    assert_int_equal(counts_of(l).ledger_writes, 1);
    heal();
    written(l);
    assert_int_equal(counts_of(l).ledger_failing, 0);
    assert_int_equal(counts_of(l).ledger_dropped, 0);
    assert_int_equal(counts_of(l).ledger_writes, 4);
    cf_ledger_free(&l);
    char *log = log_read();
    assert_int_equal(times_in(log, "cannot be written"), 1);
    assert_int_equal(times_in(log, "is written again"), 1);
    assert_int_equal(look("SELECT count(*) FROM ended"), 4);
}

static void drops_the_oldest(void **state)
{
    struct cf_ledger *l = open_with(16, DAY_NS, 256 << 20);
    start(l);
    cf_ledger_audit(l, &(struct cf_audit){ .action = "start" });
    written(l);
    (void)cf_ledger_again(l);
    log_catch();
    fail_from(1, SQLITE_FULL, true);
    for (int i = 0; i < 40; i++) {
        end_session(l, i);
        if (i == 10)
            WAIT(strcmp(status_of(l).state, "failing") == 0);
    }
    WAIT(status_of(l).queued == 16);
    WAIT(counts_of(l).ledger_dropped == 24);
    heal();
    written(l);
    WAIT(cf_ledger_again(l));           /* what runs should be told again: that may have been dropped */
    cf_ledger_free(&l);
    assert_int_equal(times_in(log_read(), "the oldest are dropped"), 1);
    assert_int_equal(look("SELECT count(*) FROM ended"), 16);
    assert_int_equal(look("SELECT count(*) FROM ended WHERE session_id >= 'bash_w_000024'"), 16);
}

/* ---- the disk hangs ---- */

/* The loop goes on: were a push to wait for the disk, this would never end. */
static void nobody_waits_for_a_disk_that_hangs(void **state)
{
    struct cf_ledger *l = open_with(64, DAY_NS, 256 << 20);
    start(l);
    cf_ledger_audit(l, &(struct cf_audit){ .action = "start" });
    written(l);
    log_catch();
    pthread_mutex_lock(&gate);
    for (int i = 0; i < 1000; i++)
        end_session(l, i);
    assert_null(cf_ledger_find(l, id_of(1)));
    assert_true(status_of(l).queued <= 128);
    pthread_mutex_unlock(&gate);
    written(l);
    struct cf_counts counts = counts_of(l);
    assert_int_equal(counts.ledger_writes + counts.ledger_dropped, 1001);
    assert_int_equal(look("SELECT count(*) FROM ended"), (int64_t)counts.ledger_writes - 1);
    assert_int_equal(look("SELECT count(*) FROM ended WHERE session_id = 'bash_w_000999'"), 1);
    cf_ledger_free(&l);
    (void)log_read();
}

static int64_t seconds_to_close(struct cf_ledger **l)
{
    int64_t before = cf_clock_now().mono_ns;
    cf_ledger_free(l);
    return (cf_clock_now().mono_ns - before) / CF_NS_PER_S;
}

static void stops_on_a_full_disk(void **state)
{
    struct cf_ledger *l = begin();
    end_session(l, 1);
    written(l);
    log_catch();
    fail_from(1, SQLITE_FULL, true);
    end_session(l, 2);
    end_session(l, 3);
    WAIT(strcmp(status_of(l).state, "failing") == 0);
    assert_true(seconds_to_close(&l) < 5);
    heal();
    assert_non_null(strstr(log_read(), "2 entries could not be written"));
    assert_int_equal(look("SELECT count(*) FROM ended"), 1);
}

static struct cf_ledger *volatile left; /* by a writer that hung, which still uses it; so that it counts as no leak */

static void stops_on_a_disk_that_hangs(void **state)
{
    struct cf_ledger *l = begin();
    end_session(l, 1);
    written(l);
    log_catch();
    pthread_mutex_lock(&gate);
    end_session(l, 2);
    left = l;
    int64_t took = seconds_to_close(&l);
    assert_in_range(took, CF_LEDGER_FLUSH_NS / CF_NS_PER_S, 30);
    assert_null(l);
    pthread_mutex_unlock(&gate);
    assert_non_null(strstr(log_read(), "did not finish writing"));
    WAIT(look("SELECT count(*) FROM ended") == 2);
}

/* ---- others at the database ---- */

static void locked_by_somebody(void **state)
{
    sqlite3 *other;
    struct cf_ledger *l = begin();
    end_session(l, 1);
    written(l);
    log_catch();
    assert_int_equal(sqlite3_open_v2(path, &other, SQLITE_OPEN_READWRITE, "unix"), SQLITE_OK);
    assert_int_equal(sqlite3_exec(other, "BEGIN IMMEDIATE", NULL, NULL, NULL), SQLITE_OK);
    end_session(l, 2);
    WAIT(strcmp(status_of(l).state, "failing") == 0);
    assert_non_null(strstr(status_of(l).error, "locked"));
    assert_non_null(cf_ledger_find(l, id_of(1)));       /* reading goes on */
    assert_int_equal(sqlite3_exec(other, "ROLLBACK", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(other);
    written(l);
    assert_non_null(cf_ledger_find(l, id_of(2)));
    cf_ledger_free(&l);
    (void)log_read();
}

int main(void)
{
#define TEST(title, function) { .name = title, .test_func = function, .setup_func = fixture_fresh, .teardown_func = drop }
    const struct CMUnitTest tests[] = {
        TEST("whichever one call finds the disk full, from opening to closing, every record is there once", any_one_is_full),
        TEST("whichever one call fails with an input/output error, every record is there once", any_one_is_an_error),
        TEST("on a full disk entries wait; it is counted, shown, told once, and recovered from", waits_and_recovers),
        TEST("when the queue is full the oldest goes, counted, and what runs is asked for again", drops_the_oldest),
        TEST("nobody waits for a disk that hangs, and memory stays bounded", nobody_waits_for_a_disk_that_hangs),
        TEST("a stop on a full disk does not wait long, and says how much is lost", stops_on_a_full_disk),
        TEST("a database that somebody has locked is read on, and written when it is free", locked_by_somebody),
        TEST("a stop on a disk that hangs is bounded", stops_on_a_disk_that_hangs),
    };
    return cmocka_run_group_tests(tests, with_shim, without_shim);
}
