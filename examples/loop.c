/* loop.c: a program with an event loop of its own, which sweeps when somebody is due and starts no thread for it.
 *
 * It reads commands, one on a line: `new NAME`, `touch NAME`, `busy NAME`, `done NAME`, `end NAME`, `plan`.  Sessions
 * end after two idle seconds, or as many as its argument says.  At the end of its input it waits until nobody will be
 * due any more. */
#include <curfew.h>

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 256

static int tell_end(void *context, const struct curfew_info *info)
{
    (void)context;
    printf("%s ended: %s after %.1f s\n", info->id, curfew_reason_name(info->reason),
           (double)(info->now_ns - info->last_used_ns) / (double)CURFEW_S_NS);
    return 0;
}

static void tell_plan(struct curfew_table *table)
{
    struct curfew_plan_query query = { .within_ns = 3600 * CURFEW_S_NS };
    struct curfew_planned planned[10];
    size_t count = 0, total = 0;

    int code = curfew_plan(table, &query, planned, 10, &count, &total, NULL);
    printf("plan: %zu would end within the hour\n", code == 0 ? total : 0);
    for (size_t i = 0; i < count; i++) {
        struct curfew_info info;
        if (curfew_session_get(table, planned[i].session, &info, sizeof info) == 0)
            printf("plan: %zu. %s, %s\n", i + 1, info.id, curfew_reason_name(planned[i].reason));
    }
}

static int obey(struct curfew_table *table, const char *verb, const char *name)
{
    curfew_session session;

    if (strcmp(verb, "plan") == 0) {
        tell_plan(table);
        return 0;
    }
    if (strcmp(verb, "new") == 0)
        return curfew_session_create(table, &(struct curfew_new){ .id = name }, &session, NULL);
    int code = curfew_session_find(table, name, &session);
    if (code != 0)
        return code;
    if (strcmp(verb, "touch") == 0)
        return curfew_session_touch(table, session, CURFEW_TOUCH_INPUT);
    if (strcmp(verb, "busy") == 0 || strcmp(verb, "done") == 0)
        return curfew_session_busy(table, session, strcmp(verb, "busy") == 0);
    return strcmp(verb, "end") == 0 ? curfew_session_end(table, session) : CURFEW_E_INVALID;
}

/* Takes the whole lines out of the buffer. */
static void obey_lines(struct curfew_table *table, char *buffer, size_t *length)
{
    for (char *end; (end = memchr(buffer, '\n', *length)) != NULL;) {
        char verb[16] = "", name[CURFEW_ID_SIZE] = "";
        *end = '\0';
        if (sscanf(buffer, "%15s %95s", verb, name) >= 1)
            printf("%s %s: %s\n", verb, name, curfew_error_name(obey(table, verb, name)));
        *length -= (size_t)(end + 1 - buffer);
        memmove(buffer, end + 1, *length);
    }
}

/* How long poll may sleep until somebody is due: rounded up, so that it does not wake for nothing.  Never 0: a callback
 * that keeps somebody (there is none here) would make the loop spin. */
static int wait_ms(struct curfew_table *table)
{
    int64_t due_ns = curfew_next_due(table);
    if (due_ns == CURFEW_NEVER_NS)
        return -1;
    int64_t left_ms = (due_ns - curfew_now(table)) / 1000000 + 1;
    return left_ms < 1 ? 1 : left_ms > INT_MAX ? INT_MAX : (int)left_ms;
}

static int run(struct curfew_table *table)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
    char buffer[LINE_BYTES];
    size_t length = 0;

    for (;;) {
        int wait = wait_ms(table);
        if (wait < 0 && input.fd < 0)
            return 0;                   /* no input any more, and nobody to wait for */
        fflush(stdout);
        if (poll(&input, 1, wait) < 0 && errno != EINTR)
            return 1;
        if (input.fd >= 0 && input.revents != 0) {
            ssize_t got = read(input.fd, buffer + length, sizeof buffer - length);
            if (got <= 0)
                input.fd = -1;          /* poll ignores it from now on */
            else
                length += (size_t)got;
            obey_lines(table, buffer, &length);
            if (length == sizeof buffer)
                length = 0;             /* a line that is longer is no command */
        }
        curfew_sweep(table, NULL);
    }
}

int main(int argc, char **argv)
{
    double idle_s = argc > 1 ? strtod(argv[1], NULL) : 2;
    const struct curfew_kind kind = { "named", { (int64_t)(idle_s * (double)CURFEW_S_NS), CURFEW_NEVER_NS } };
    struct curfew_table *table = NULL;
    struct curfew_options options;
    struct curfew_error error;

    curfew_options_init(&options, sizeof options);
    options.kinds = &kind;
    options.kind_count = 1;
    options.callbacks.after_end = tell_end;
    if (curfew_table_new(&options, &table, &error) != 0) {
        fprintf(stderr, "loop: %s\n", error.text);
        return 1;
    }
    int status = run(table);
    curfew_table_free(&table);
    return status;
}
