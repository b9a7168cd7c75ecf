/* coordinator.c: conversations of which one is worked in at a time; those that nobody uses go. */
#include <curfew.h>
#include <stdio.h>
#include <unistd.h>

/* Told once for each session that has ended: here goes what was saved of it. */
static int delete_saved(void *context, const struct curfew_info *info)
{
    (void)context;
    printf("%s is gone: %s, %d messages\n", info->id, curfew_reason_name(info->reason), (int)info->message_count);
    return 0;
}

int main(void)
{
    struct curfew_table *table = NULL;
    struct curfew_coordinator *window = NULL;
    struct curfew_options options;
    struct curfew_error error = { 0 };
    curfew_session alice, bob, current;
    size_t removed = 0;

    curfew_options_init(&options, sizeof options);      /* idle for an hour and they end, older than a day as well */
    options.sweep_interval_ns = 300 * CURFEW_S_NS;      /* looked for every five minutes */
    options.limits.max_active = 10;                     /* so many conversations, and so much memory */
    options.callbacks.after_end = delete_saved;
    if (curfew_table_new(&options, &table, &error) != 0 || curfew_sweeper_start(table, &error) != 0 ||
        curfew_session_create(table, &(struct curfew_new){ .id = "alice" }, &alice, &error) != 0 ||
        curfew_session_create(table, &(struct curfew_new){ .id = "bob" }, &bob, &error) != 0 ||
        curfew_coordinator_new(table, &window) != 0 || curfew_switch(window, bob) != 0 ||
        curfew_switch(window, alice) != 0)
        return fprintf(stderr, "coordinator: %s\n", error.text), 1;
    for (int i = 0; i < 12; i++) {                      /* 1.2 seconds in which only alice talks */
        usleep(100 * 1000);
        if (curfew_current(window, &current) == 0)
            curfew_session_touch(table, current, CURFEW_TOUCH_MESSAGE);
    }
    /* who has not been used for a second; the sweeper waits */
    curfew_cleanup_inactive(table, CURFEW_S_NS, &removed);
    printf("Cleaned up %zu sessions; alice is %s\n", removed,
           curfew_session_find(table, "alice", &alice) == 0 ? "here" : "gone");
    curfew_coordinator_free(&window);
    curfew_table_free(&table);                          /* ends alice as well */
    return 0;
}
