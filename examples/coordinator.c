/* coordinator.c: several conversations in one program, which works in one of them at a time.  Those that nobody uses
 * go. */
#include <curfew.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* Told once for each session that has ended: here goes what was saved of it. */
static int delete_saved(void *context, const struct curfew_info *info)
{
    (void)context;
    printf("%s is gone: %s, %llu messages\n", info->id, curfew_reason_name(info->reason),
           (unsigned long long)info->message_count);
    return 0;
}

static void must(int code)
{
    if (code != 0) {
        fprintf(stderr, "coordinator: %s\n", curfew_error_text(code));
        exit(1);
    }
}

int main(void)
{
    const struct curfew_kind chat = { "chat", { .idle_ns = 3600 * CURFEW_S_NS, .age_ns = CURFEW_NEVER_NS } };
    struct curfew_table *table = NULL;
    struct curfew_coordinator *window = NULL;
    struct curfew_options options;
    curfew_session alice, bob, current;
    size_t removed = 0;

    curfew_options_init(&options, sizeof options);
    options.kinds = &chat;
    options.kind_count = 1;
    options.limits.max_active = 10;                     /* so many conversations, and so much memory */
    options.sweep_interval_ns = 300 * CURFEW_S_NS;
    options.callbacks.after_end = delete_saved;
    must(curfew_table_new(&options, &table, NULL));
    must(curfew_sweeper_start(table, NULL));            /* a thread that ends who has been idle for an hour */

    must(curfew_session_create(table, &(struct curfew_new){ .id = "alice" }, &alice, NULL));
    must(curfew_session_create(table, &(struct curfew_new){ .id = "bob" }, &bob, NULL));
    must(curfew_coordinator_new(table, &window));
    must(curfew_switch(window, bob));                   /* switching counts as use */
    must(curfew_switch(window, alice));

    for (int i = 0; i < 12; i++) {                      /* 1.2 seconds in which only alice talks */
        nanosleep(&(struct timespec){ .tv_nsec = 100 * 1000 * 1000 }, NULL);
        must(curfew_current(window, &current));
        must(curfew_session_touch(table, current, CURFEW_TOUCH_MESSAGE));
    }

    /* The sweeper would take an hour over bob.  By hand, whoever has not been used for a second: */
    must(curfew_cleanup_inactive(table, CURFEW_S_NS, &removed));
    printf("Cleaned up %zu sessions\n", removed);
    printf("alice is %s, bob is %s\n", curfew_session_find(table, "alice", &alice) == 0 ? "here" : "gone",
           curfew_session_find(table, "bob", &bob) == 0 ? "here" : "gone");

    curfew_coordinator_free(&window);
    curfew_table_free(&table);                          /* ends alice as well */
    return 0;
}
