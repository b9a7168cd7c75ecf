/* The ledger: what is recorded, found again, listed, forgotten, and what is done with files that cannot be used. */
#include "unit/ledger_fixture.h"

/* ---- recording and finding ---- */

static void found_after_a_restart(void **state)
{
    struct cf_ledger *l = begin();
    open_session(l, 1);
    end_session(l, 1);
    cf_ledger_free(&l);
    assert_null(l);
    l = begin();
    const struct cf_tomb *t = cf_ledger_find(l, id_of(1));
    assert_non_null(t);
    assert_string_equal(t->id, id_of(1));
    assert_string_equal(t->workspace, "odd");
    assert_string_equal(t->evidence, "number 1");
    assert_int_equal(t->kind, CF_KIND_BASH);
    assert_int_equal(t->reason, CF_REASON_IDLE);
    assert_int_equal(t->ended_wall_ns - t->created_wall_ns, 7);
    assert_int_equal(t->idle_for_ns, 5);
    assert_int_equal(t->message_count, 3);
    assert_int_equal(t->hold, CF_HOLD_PIDNS);
    assert_int_equal(t->rung, CF_RUNG_INTERRUPTED);
    assert_true(t->has_status);
    assert_int_equal(t->wait_status, 3 << 8);
    assert_int_equal(t->killed, 2);
    assert_int_equal(t->took_ms, 12);
    assert_int_equal(t->closed_ms, 0);
    assert_int_equal(t->interrupted_ms, 11);
    assert_int_equal(t->killed_ms, -1);
    assert_string_equal(t->agent, "cursor-agent");
    assert_int_equal(t->restarts, 4);
    assert_int_equal(t->last_output_len, 7);
    assert_memory_equal(t->last_output, "bye\0bye", 7);
    assert_null(cf_ledger_find(l, id_of(2)));
    assert_null(cf_ledger_find(l, "x' OR '1'='1"));
    cf_ledger_free(&l);
    char log[160];
    snprintf(log, sizeof log, "%s-wal", path);
    assert_int_equal(access(log, F_OK), -1);    /* a stop leaves one file, which has it all */
}

static void none_at_all(void **state)
{
    struct cf_ledger *l = NULL;
    struct cf_error error;
    int64_t next;
    open_session(l, 1);
    end_session(l, 1);
    cf_ledger_audit(l, &(struct cf_audit){ .action = "x" });
    cf_ledger_by(l, "x");
    assert_null(cf_ledger_find(l, id_of(1)));
    assert_int_equal(cf_ledger_reconcile(l, NULL, 0, NULL, NULL), 0);
    assert_int_equal(cf_ledger_start(l, &error), 0);
    assert_int_equal(cf_ledger_again_fd(l), -1);
    assert_int_equal(cf_ledger_history(l, &(struct cf_ledger_query){ .limit = 1 }, NULL, NULL, &next, &error), CF_E_UNAVAILABLE);
    assert_non_null(strstr(error.text, "ledger_file"));
    assert_string_equal(status_of(l).state, "off");
    cf_ledger_free(&l);
}

static void recorded_once(void **state)
{
    struct cf_ledger *l = begin();
    for (int i = 0; i < 3; i++) {
        open_session(l, 1);
        end_session(l, 1);
    }
    open_session(l, 1);                 /* told late that it runs: it has ended all the same */
    written(l);
    assert_int_equal(ask("SELECT count(*) FROM ended"), 1);
    assert_int_equal(ask("SELECT count(*) FROM outputs"), 1);
    assert_int_equal(ask("SELECT count(*) FROM running"), 0);
    cf_ledger_free(&l);
}

static void only_its_owner_reads_it(void **state)
{
    struct stat st;
    char name[160];
    mode_t before = umask(0);
    struct cf_ledger *l = begin();
    end_session(l, 1);
    written(l);
    for (const char *const *end = (const char *const[]){ "", "-wal", "-shm", NULL }; *end != NULL; end++) {
        snprintf(name, sizeof name, "%s%s", path, *end);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
    cf_ledger_free(&l);
    assert_int_equal(chmod(path, 0644), 0);
    l = begin();
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    cf_ledger_free(&l);
    umask(before);
}

/* ---- listing ---- */

struct seen {
    int64_t numbers[CF_LEDGER_SCAN_MAX + 10];
    char last[CF_ID_MAX];
    size_t count;
};

static void see(void *arg, int64_t number, const struct cf_tomb *tomb)
{
    struct seen *seen = arg;
    assert_true(seen->count == 0 || number < seen->numbers[seen->count - 1]);
    seen->numbers[seen->count++] = number;
    snprintf(seen->last, sizeof seen->last, "%s", tomb->id);
}

static const struct cf_ledger_query all = { .until_ns = INT64_MAX, .before = INT64_MAX, .limit = 1000 };

static int64_t list(struct cf_ledger *l, struct cf_ledger_query q, struct seen *ret)
{
    struct cf_error error;
    int64_t next = -1;
    ret->count = 0;
    assert_int_equal(cf_ledger_history(l, &q, see, ret, &next, &error), 0);
    return next;
}

static void listed_by_what_is_asked(void **state)
{
    static struct seen seen;
    struct cf_ledger *l = begin();
    for (int i = 0; i < 10; i++)
        end_at(l, i, (i + 1) * CF_NS_PER_S + cf_clock_now().wall_ns / DAY_NS * DAY_NS);
    written(l);
    int64_t base = cf_clock_now().wall_ns / DAY_NS * DAY_NS;
    struct cf_ledger_query q = all;
    assert_int_equal(list(l, q, &seen), 0);
    assert_int_equal(seen.count, 10);
    assert_string_equal(seen.last, id_of(0));
    q.since_ns = base + 4 * CF_NS_PER_S;
    q.until_ns = base + 6 * CF_NS_PER_S;
    assert_int_equal(list(l, q, &seen), 0);
    assert_int_equal(seen.count, 3);
    assert_string_equal(seen.last, id_of(3));
    q = all;
    q.workspace = "even";
    list(l, q, &seen);
    assert_int_equal(seen.count, 5);
    q.reason = "idle";
    q.kind = "bash";
    list(l, q, &seen);
    assert_int_equal(seen.count, 5);
    q.reason = "age";
    list(l, q, &seen);
    assert_int_equal(seen.count, 0);
    q = all;
    q.session_id = id_of(7);
    list(l, q, &seen);
    assert_int_equal(seen.count, 1);
    q.workspace = "even";
    list(l, q, &seen);
    assert_int_equal(seen.count, 0);
    cf_ledger_free(&l);
}

static void paged_without_gap_or_double(void **state)
{
    static struct seen seen;
    struct cf_ledger *l = begin();
    struct cf_ledger_query q = all;
    size_t total = 0, pages = 0;
    for (int i = 0; i < 25; i++)
        end_session(l, i);
    written(l);
    q.limit = 10;
    for (int64_t next = INT64_MAX, last = INT64_MAX; next != 0; pages++) {
        q.before = next;
        next = list(l, q, &seen);
        total += seen.count;
        assert_true(seen.numbers[0] < last);
        last = seen.numbers[seen.count - 1];
    }
    assert_int_equal(total, 25);
    assert_int_equal(pages, 3);
    cf_ledger_free(&l);
}

/* A question that nothing fits must not stop the loop for long, however much there is. */
static void looks_at_a_bounded_number(void **state)
{
    static struct seen seen;
    struct cf_ledger *l = begin();
    struct cf_ledger_query q = all;
    end_session(l, 0);
    for (int i = 1; i <= CF_LEDGER_SCAN_MAX + 2; i++) {
        end_session(l, 2 * i + 1);
        if (i % 2000 == 0)
            written(l);
    }
    written(l);
    q.workspace = "even";
    q.before = list(l, q, &seen);
    assert_int_equal(seen.count, 0);
    assert_int_equal(q.before, 4);      /* 5003 rows, of which 5000 were looked at */
    assert_int_equal(list(l, q, &seen), 0);
    assert_int_equal(seen.count, 1);
    cf_ledger_free(&l);
}

/* ---- audit ---- */

struct entries {
    struct cf_audit list[8];
    size_t count;
};

static void take(void *arg, int64_t number, const struct cf_audit *entry)
{
    struct entries *e = arg;
    assert_true(e->count < 8);
    e->list[e->count++] = *entry;
}

static void audited(void **state)
{
    struct cf_settings old, now;
    struct entries got = { 0 };
    struct cf_error error;
    int64_t next;
    struct cf_ledger *l = begin();
    cf_settings_default(&old);
    now = old;
    now.session_timeout = 90 * CF_NS_PER_S;
    now.auto_cleanup_enabled = false;
    now.grace = 1;                      /* none that changes at run time */
    cf_ledger_audit_end(l, "a", CF_REASON_IDLE, "idle for long");
    cf_ledger_by(l, "uid 7");
    cf_ledger_audit_settings(l, &old, &now);
    cf_ledger_audit_end(l, "b", CF_REASON_REQUESTED, "asked");
    cf_ledger_audit_end(l, "c", CF_REASON_LIMIT, "in the way");
    cf_ledger_by(l, NULL);
    cf_ledger_audit_end(l, "d", CF_REASON_REQUESTED, "asked");
    written(l);
    assert_int_equal(cf_ledger_audits(l, &all, take, &got, &next, &error), 0);
    assert_int_equal(got.count, 6);
    static const char *const by[] = { "unknown", "emergency cleanup", "uid 7", "uid 7", "uid 7", "sweep" };
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(got.list[i].by, by[i]);
    assert_string_equal(got.list[3].name, "auto_cleanup_enabled");
    assert_string_equal(got.list[4].name, "session_timeout");
    assert_string_equal(got.list[4].old, "3600");
    assert_string_equal(got.list[4].value, "90");
    assert_string_equal(got.list[5].detail, "idle: idle for long");
    struct cf_ledger_query q = all;
    q.action = "end";
    q.session_id = "c";
    got.count = 0;
    assert_int_equal(cf_ledger_audits(l, &q, take, &got, &next, &error), 0);
    assert_int_equal(got.count, 1);
    cf_ledger_free(&l);
}

/* ---- lost ---- */

static void count_lost(void *arg, const struct cf_tomb *tomb)
{
    assert_int_equal(tomb->reason, CF_REASON_LOST);
    assert_non_null(strstr(tomb->evidence, "no keeper holds it"));
    assert_false(tomb->has_status);
    assert_string_equal(tomb->workspace, "w");
    ++*(int *)arg;
}

static void lost_unless_held(void **state)
{
    int told = 0;
    const char *held[] = { "bash_w_000002", "bash_w_000004", "bash_w_nobody" };
    struct cf_ledger *l = begin();
    for (int i = 0; i < 6; i++)
        open_session(l, i);
    end_session(l, 5);
    cf_ledger_free(&l);
    l = open_with(100, DAY_NS, 1 << 20);
    assert_int_equal(cf_ledger_reconcile(l, held, 3, count_lost, &told), 3);
    assert_int_equal(told, 3);
    start(l);
    assert_int_equal(ask("SELECT count(*) FROM running"), 2);
    assert_int_equal(ask("SELECT count(*) FROM ended WHERE reason = 'lost'"), 3);
    assert_int_equal(ask("SELECT count(*) FROM audit WHERE action = 'end' AND by_whom = 'start'"), 3);
    assert_int_equal(cf_ledger_find(l, id_of(5))->reason, CF_REASON_IDLE);
    open_session(l, 2);                 /* who is held is recorded once more */
    end_session(l, 2);
    written(l);
    assert_int_equal(ask("SELECT count(*) FROM running"), 1);
    cf_ledger_free(&l);
}

/* ---- retention ---- */

static void forgotten_by_age(void **state)
{
    struct cf_ledger *l = open_with(4096, DAY_NS, 256 << 20);
    int64_t now_ns = cf_clock_now().wall_ns;
    start(l);
    for (int i = 0; i < 1200; i++)
        end_at(l, i, now_ns - 2 * DAY_NS);
    end_at(l, 1200, now_ns - DAY_NS / 2);
    cf_ledger_audit(l, &(struct cf_audit){ .action = "end", .at_wall_ns = now_ns - 2 * DAY_NS });
    WAIT(ask("SELECT count(*) FROM ended") == 1 && ask("SELECT count(*) FROM audit") == 0);
    assert_int_equal(ask("SELECT count(*) FROM outputs"), 1);
    WAIT(counts_of(l).ledger_pruned == 1201);
    assert_non_null(cf_ledger_find(l, id_of(1200)));
    cf_ledger_free(&l);
}

/* Without anything new: the writer wakes when the oldest is due. */
static void forgotten_in_time(void **state)
{
    struct cf_ledger *l = open_with(4096, CF_NS_PER_S, 256 << 20);
    start(l);
    end_session(l, 1);
    written(l);
    WAIT(ask("SELECT count(*) FROM ended") == 0);
    assert_true(cf_clock_now().wall_ns > 0);
    cf_ledger_free(&l);
}

static void forgotten_by_size(void **state)
{
    struct cf_ledger *l = open_with(4096, 30 * DAY_NS, 256 << 10);
    start(l);
    for (int i = 0; i < 6000; i++) {
        end_session(l, i);
        if (i % 1000 == 0)
            written(l);
    }
    written(l);
    WAIT(ask("PRAGMA page_count") * 4096 <= 256 << 10);
    assert_true(counts_of(l).ledger_pruned >= 3000);
    assert_non_null(cf_ledger_find(l, id_of(5999)));
    assert_null(cf_ledger_find(l, id_of(0)));
    cf_ledger_free(&l);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_size <= 256 << 10);
}

/* ---- files that cannot be used ---- */

static void write_file(const char *text, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    close(fd);
}

static void damaged_is_put_aside(void **state)
{
    static char junk[20000];
    memset(junk, 'x', sizeof junk);
    write_file(junk, sizeof junk);
    log_catch();
    struct cf_ledger *l = begin();
    end_session(l, 1);
    written(l);
    assert_int_equal(files("ledger.db.corrupt-"), 1);
    assert_non_null(cf_ledger_find(l, id_of(1)));
    cf_ledger_free(&l);
    assert_int_equal(times_in(log_read(), "put aside as"), 1);
}

static void damaged_while_it_runs(void **state)
{
    static char junk[200000];
    struct cf_ledger *l = begin();
    for (int i = 0; i < 2000; i++)
        end_session(l, i);
    written(l);
    assert_int_equal(ask("PRAGMA wal_checkpoint(TRUNCATE)"), 0);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    memset(junk, 'x', sizeof junk);
    assert_int_equal(pwrite(fd, junk, sizeof junk, 4096), (ssize_t)sizeof junk);
    log_catch();
    for (int i = 2000; i < 2010; i++)   /* a look-up finds it, or the writer */
        (void)cf_ledger_find(l, id_of(i - 2000));
    end_session(l, 3000);
    WAIT(files("ledger.db.corrupt-") == 1);
    end_session(l, 3001);
    written(l);
    WAIT(cf_ledger_find(l, id_of(3001)) != NULL);
    assert_true(cf_ledger_again(l));    /* who runs is to be recorded once more */
    assert_false(cf_ledger_again(l));
    cf_ledger_free(&l);
    assert_int_equal(times_in(log_read(), "put aside as"), 1);
    close(fd);
}

static void newer_is_put_aside(void **state)
{
    struct cf_ledger *l = begin();
    end_session(l, 1);
    cf_ledger_free(&l);
    (void)ask("PRAGMA user_version = 2");
    log_catch();
    l = begin();
    assert_null(cf_ledger_find(l, id_of(1)));
    end_session(l, 2);
    written(l);
    cf_ledger_free(&l);
    assert_int_equal(files("ledger.db.newer-"), 1);
    assert_non_null(strstr(log_read(), "version 2 of a later curfew"));
}

static void only_so_many_are_kept_aside(void **state)
{
    log_catch();
    for (int i = 0; i < 12; i++) {
        write_file("this is no database, and never was one", 38);
        struct cf_ledger *l = begin();
        cf_ledger_free(&l);
    }
    (void)log_read();
    assert_int_equal(files("ledger.db.corrupt-"), 8);
}

static void anothers_is_left_alone(void **state)
{
    write_file("", 0);
    (void)ask("CREATE TABLE precious (x)");
    log_catch();
    struct cf_ledger *l = begin();
    end_session(l, 1);
    WAIT(strcmp(status_of(l).state, "failing") == 0);
    assert_non_null(strstr(status_of(l).error, "something else"));
    cf_ledger_free(&l);
    (void)log_read();
    assert_int_equal(ask("SELECT count(*) FROM sqlite_master"), 1);
}

static void a_folder_in_its_place(void **state)
{
    assert_int_equal(mkdir(path, 0755), 0);
    log_catch();
    struct cf_ledger *l = begin();
    for (int i = 0; i < 5; i++) {
        open_session(l, i);
        end_session(l, i);
    }
    assert_string_equal(status_of(l).state, "failing");
    assert_non_null(strstr(status_of(l).error, "Is a directory"));
    assert_int_equal(status_of(l).queued, 10);
    assert_int_equal(rmdir(path), 0);
    written(l);
    assert_int_equal(ask("SELECT count(*) FROM ended"), 5);
    cf_ledger_free(&l);
    char *log = log_read();
    assert_int_equal(times_in(log, "cannot be written"), 1);
    assert_int_equal(times_in(log, "is written again"), 1);
}

/* Of an earlier server, with a database that could not be opened at the start. */
static void lost_as_soon_as_it_opens(void **state)
{
    char away[160];
    struct cf_ledger *l = begin();
    open_session(l, 1);
    open_session(l, 2);
    cf_ledger_free(&l);
    snprintf(away, sizeof away, "%s.away", path);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    log_catch();
    l = open_with(100, DAY_NS, 1 << 20);
    const char *held[] = { "bash_w_000002" };
    assert_int_equal(cf_ledger_reconcile(l, held, 1, NULL, NULL), 0);
    start(l);
    open_session(l, 3);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rename(away, path), 0);
    written(l);
    WAIT(ask("SELECT count(*) FROM running") == 2);
    assert_int_equal(cf_ledger_find(l, id_of(1))->reason, CF_REASON_LOST);
    cf_ledger_free(&l);
    (void)log_read();
}

static void deleted_while_it_runs(void **state)
{
    char name[160];
    struct cf_ledger *l = begin();
    end_session(l, 1);
    written(l);
    assert_non_null(cf_ledger_find(l, id_of(1)));
    for (const char *const *end = (const char *const[]){ "", "-wal", "-shm", NULL }; *end != NULL; end++) {
        snprintf(name, sizeof name, "%s%s", path, *end);
        (void)unlink(name);
    }
    log_catch();
    end_session(l, 2);
    written(l);
    WAIT(cf_ledger_find(l, id_of(2)) != NULL);
    assert_null(cf_ledger_find(l, id_of(1)));
    assert_true(cf_ledger_again(l));
    cf_ledger_free(&l);
    assert_int_equal(times_in(log_read(), "removed or replaced"), 1);
}

int main(void)
{
#define TEST(title, function) { .name = title, .test_func = function, .setup_func = fixture_fresh, .teardown_func = fixture_drop }
    const struct CMUnitTest tests[] = {
        TEST("a tombstone is found with all of its parts after a restart", found_after_a_restart),
        TEST("without a ledger nothing is recorded, and nothing breaks", none_at_all),
        TEST("a session is in history once, however often it is told", recorded_once),
        TEST("the database and its log can be read by their owner only", only_its_owner_reads_it),
        TEST("history is chosen by time, reason, kind, workspace and session", listed_by_what_is_asked),
        TEST("pages of history have no gap and no double", paged_without_gap_or_double),
        TEST("one question looks at a bounded number of records, and says where to go on", looks_at_a_bounded_number),
        TEST("the audit tells who ended what, and who changed which setting from what to what", audited),
        TEST("what was recorded as running and is not held is lost, once", lost_unless_held),
        TEST("records older than the retention go", forgotten_by_age),
        TEST("the last one goes in time, also when nothing new comes", forgotten_in_time),
        TEST("beyond the size the oldest records go, and the file shrinks", forgotten_by_size),
        TEST("a damaged database is put aside and a fresh one begun", damaged_is_put_aside),
        TEST("likewise one that is damaged while it is used", damaged_while_it_runs),
        TEST("a database of a later version is put aside", newer_is_put_aside),
        TEST("only the last eight of those put aside are kept", only_so_many_are_kept_aside),
        TEST("a database of something else is left alone", anothers_is_left_alone),
        TEST("a folder in its place: entries wait, are written when it is gone, and the log tells it once", a_folder_in_its_place),
        TEST("sessions of an earlier server are lost as soon as the database can be opened", lost_as_soon_as_it_opens),
        TEST("a database that is deleted while it is used is begun anew", deleted_while_it_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
