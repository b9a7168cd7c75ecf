/* records.c: the ledger's place in the server. */
#include "server/records.h"

#include "base/log.h"
#include "server/ledger.h"
#include "server/link.h"
#include "server/sessions.h"
#include "server/sessions_private.h"
#include "server/shells.h"

#include <stdio.h>
#include <string.h>

/* From an entry to its being written; docs/ledger.md tells it. */
#define BEHIND_MS 5

static void on_again(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_server *server = arg;
    if (cf_ledger_again(server->ledger))
        cf_sessions_record_all(server->sessions);
}

static void on_time(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_server *server = arg;
    cf_ledger_wake(server->ledger);
}

/* Waking a thread takes some microseconds, which whoever made the entry need not wait for; and a crowd shares them. */
static void on_queued(void *arg)
{
    struct cf_server *server = arg;
    struct timeval tv = { .tv_usec = BEHIND_MS * 1000 };
    evtimer_add(server->ledger_timer, &tv);
}

static void on_lost(void *arg, const struct cf_tomb *tomb)
{
    struct cf_server *server = arg;
    struct cf_tomb copy = *tomb;
    copy.ended_mono_ns = cf_clock_now().mono_ns;
    copy.last_output = NULL;
    copy.last_output_len = 0;
    (void)cf_tombs_add(server->tombs, &copy);
}

static void audit(struct cf_server *server, const char *action)
{
    struct cf_audit entry = { .by = "keeper" };
    snprintf(entry.action, sizeof entry.action, "%s", action);
    snprintf(entry.detail, sizeof entry.detail, "curfew %s", CURFEW_VERSION);
    cf_ledger_audit(server->ledger, &entry);
}

int cf_records_open(struct cf_server *server, const char *const *held, size_t count, struct cf_error *error)
{
    const struct cf_settings *s = &server->settings;
    const struct cf_ledger_options options = { .path = s->ledger_file, .queue = (size_t)s->ledger_queue,
                                               .retention_ns = s->ledger_retention, .max_bytes = s->ledger_max_bytes,
                                               .queued = on_queued, .arg = server };
    if (strcmp(s->ledger_file, "none") == 0)
        return 0;
    server->ledger_timer = evtimer_new(server->loop, on_time, server);
    server->ledger = server->ledger_timer != NULL ? cf_ledger_new(&options) : NULL;
    if (server->ledger == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    size_t lost = cf_ledger_reconcile(server->ledger, held, count, on_lost, server);
    if (lost > 0)
        cf_log(CF_LOG_WARNING, "%zu sessions were recorded as running, but no keeper holds them: lost", lost);
    server->ledger_event =
        event_new(server->loop, cf_ledger_again_fd(server->ledger), EV_READ | EV_PERSIST, on_again, server);
    if (server->ledger_event == NULL || event_add(server->ledger_event, NULL) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    audit(server, "start");
    return cf_ledger_start(server->ledger, error);
}

void cf_records_close(struct cf_server *server)
{
    if (server->ledger != NULL)
        audit(server, "stop");
    cf_ledger_free(&server->ledger);
    if (server->ledger_event != NULL)
        event_free(server->ledger_event);
    if (server->ledger_timer != NULL)
        event_free(server->ledger_timer);
    server->ledger_event = server->ledger_timer = NULL;
}

void cf_sessions_record(const struct cf_sessions *all, cf_handle handle)
{
    const struct session *s = cf_sessions_get(all, handle);
    struct cf_session row;
    if (s != NULL && s->started && cf_core_get(all->server->core, handle, 0, &row))
        cf_ledger_opened(all->server->ledger, row.id, cf_kind_name((enum cf_kind)row.kind), row.workspace,
                         s->created_wall_ns, s->shell != NULL ? cf_shell_hold(s->shell) : 0);
}

void cf_sessions_record_all(const struct cf_sessions *all)
{
    size_t cursor = 0;
    cf_handle handle;
    while (cf_core_next(all->server->core, &cursor, &handle))
        cf_sessions_record(all, handle);
}
