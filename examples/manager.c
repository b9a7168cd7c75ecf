/* manager.c: a session manager with limits, ages, an emergency cleanup and counters.
 *
 * The settings are those of
 *     [session]
 *     cleanup_interval_secs = 60
 *     max_idle_time_secs = 3600
 *     max_session_age_secs = 86400
 *     max_sessions = 1000
 *     cleanup_on_shutdown = true
 * and the table's clock is one that this program sets, so that its two days pass at once.  Take the two lines with
 * `clock` out, and the time is the real one. */
#include <curfew.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_SESSIONS 1000

static int64_t the_time_ns;

static int64_t read_clock(void *context)
{
    (void)context;
    return the_time_ns;
}

static void print_log(void *context, int level, const char *text)
{
    static const char *const levels[] = { "error", "warning", "info", "debug" };
    (void)context;
    printf("    log: %s: %s\n", levels[level], text);
}

/* Asked before each end: the moment to save a session, or to keep it by CURFEW_KEEP. */
static int export_session(void *context, const struct curfew_info *info)
{
    unsigned *exported = context;
    if (*exported < 3)
        printf("    export: %s, reason %s%s%s\n", info->id, curfew_reason_name(info->reason),
               info->failure[0] != '\0' ? ": " : "", info->failure);
    (*exported)++;
    return CURFEW_GO_ON;
}

static void must(int code, const struct curfew_error *error)
{
    if (code != 0) {
        fprintf(stderr, "manager: %s\n", error != NULL ? error->text : curfew_error_text(code));
        exit(1);
    }
}

static struct curfew_table *make_manager(unsigned *exported)
{
    const struct curfew_kind kind = { "session", { .idle_ns = 3600 * CURFEW_S_NS, .age_ns = 86400 * CURFEW_S_NS } };
    struct curfew_table *table = NULL;
    struct curfew_options options;
    struct curfew_error error;

    curfew_options_init(&options, sizeof options);
    options.kinds = &kind;
    options.kind_count = 1;
    options.limits.max_sessions = MAX_SESSIONS;
    options.limits.max_active = UINT32_MAX;             /* max_sessions is limit enough */
    options.sweep_interval_ns = 60 * CURFEW_S_NS;
    options.cleanup_on_shutdown = true;
    options.clock = read_clock;
    options.callbacks.before_end = export_session;
    options.callbacks.log = print_log;
    options.callbacks.context = exported;
    must(curfew_table_new(&options, &table, &error), &error);
    return table;
}

static void print_metrics(struct curfew_table *table, const char *when)
{
    struct curfew_counts counts;
    curfew_counts_get(table, &counts, sizeof counts);
    printf("%s: sessions_created %" PRIu64 ", sessions_cleaned %" PRIu64 ", sessions_active %" PRIu64
           ", cleanup_runs %" PRIu64 ", cleanup_errors %" PRIu64 "\n", when, counts.sessions_created,
           counts.sessions_cleaned, counts.sessions_active, counts.cleanup_runs, counts.cleanup_errors);
}

/* Two that end by themselves, one that is used, and MAX_SESSIONS - 3 that nobody touches. */
static void fill(struct curfew_table *table, curfew_session *ret_used)
{
    struct curfew_error error;
    curfew_session session;

    for (int i = 0; i < MAX_SESSIONS; i++) {
        char id[32];
        snprintf(id, sizeof id, "session%d", i + 1);
        must(curfew_session_create(table, &(struct curfew_new){ .id = id }, &session, &error), &error);
        if (i == 0)
            must(curfew_session_close(table, session), NULL);
        else if (i == 1)
            must(curfew_session_fail(table, session, "connection reset"), NULL);
        else if (i == 2)
            *ret_used = session;
    }
}

static void ask_for_one_more(struct curfew_table *table, const char *id)
{
    struct curfew_error error;
    curfew_session session;
    int code = curfew_session_create(table, &(struct curfew_new){ .id = id }, &session, &error);
    printf("%s: %s\n", id, code == 0 ? "created" : error.text);
}

int main(void)
{
    unsigned exported = 0;
    struct curfew_table *table = make_manager(&exported);
    curfew_session used;
    size_t ended;

    fill(table, &used);
    print_metrics(table, "full");

    /* The next sweep; with the real clock curfew_sweeper_start does it. */
    the_time_ns += 60 * CURFEW_S_NS;
    must(curfew_sweep(table, &ended), NULL);
    print_metrics(table, "after a minute");             /* without the closed and the failed one */

    ask_for_one_more(table, "extra1");
    ask_for_one_more(table, "extra2");
    ask_for_one_more(table, "extra3");                  /* none has been idle for the emergency's five minutes */

    the_time_ns += 240 * CURFEW_S_NS;
    must(curfew_session_touch(table, used, CURFEW_TOUCH_MESSAGE), NULL);
    the_time_ns += CURFEW_S_NS;
    ask_for_one_more(table, "extra3");                  /* now they have, and make room */
    print_metrics(table, "after five minutes");

    must(curfew_shutdown(table, &ended), NULL);
    printf("shutdown ended %zu, %u were exported in all\n", ended, exported);
    print_metrics(table, "at the end");
    curfew_table_free(&table);
    return 0;
}
