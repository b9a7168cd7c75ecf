/* shutdown.c: the order of going down. */
#include "server/shutdown.h"

#include "base/log.h"
#include "server/http.h"
#include "server/pool.h"
#include "server/records.h"
#include "server/recover.h"
#include "server/sessions.h"
#include "server/sweep.h"

#include <signal.h>
#include <unistd.h>

/* S1.9: requests get this long to be answered once nothing is left to end. */
#define DRAIN_NS (5 * CF_NS_PER_S)
#define LOOK_AGAIN_MS 10

bool cf_shutdown_all_gone(const struct cf_server *server)
{
    return cf_core_count(server->core) == 0 && cf_pool_count(server->pool) == 0;
}

static void look_later(struct cf_server *server)
{
    struct timeval tv = { .tv_usec = LOOK_AGAIN_MS * 1000 };
    evtimer_add(server->shutdown_timer, &tv);
}

/* Who waits for an answer still gets it; what is under way for longer goes on with the next server.  Nothing is taken down: what is there is that
 * one's. */
static void look_whether_to_leave(struct cf_server *server)
{
    if (cf_http_pending(server->http) > 0 && cf_clock_now().mono_ns < server->leave_until_ns) {
        look_later(server);
        return;
    }
    cf_log(CF_LOG_INFO, "leaving %u sessions to the next server", cf_core_count(server->core));
    server->keep.leaving = true;
    cf_records_close(server);
    cf_link_handover(server->link);
    _exit(0);
}

void cf_shutdown_leave(struct cf_server *server, int64_t drain_ns)
{
    if (server->shutting_down || server->leave_until_ns > 0)
        return;
    server->leave_until_ns = cf_clock_now().mono_ns + drain_ns;
    look_later(server);                 /* not at once: whoever asked for it gets an answer first */
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_server *server = arg;
    int64_t now_ns = cf_clock_now().mono_ns;
    if (!server->shutting_down) {
        look_whether_to_leave(server);
        return;
    }
    if (!cf_shutdown_all_gone(server))
        server->drain_until_ns = now_ns + DRAIN_NS;
    else if (cf_http_pending(server->http) == 0 || now_ns > server->drain_until_ns) {
        cf_log(CF_LOG_INFO, "all sessions have ended; bye");
        cf_records_close(server);       /* before the keeper hears of it, which would not wait */
        cf_link_bye(server->link, 0);
        event_base_loopbreak(server->loop);
        return;
    }
    look_later(server);
}

static void on_signal(evutil_socket_t signo, short what, void *arg)
{
    (void)what;
    struct cf_server *server = arg;
    int64_t grace_ns = server->settings.cleanup_on_shutdown && !server->shutting_down ? server->settings.grace : 0;
    cf_log(CF_LOG_INFO, "%s: shutting down, %u sessions to end%s", signo == SIGINT ? "interrupt" : "terminated",
           cf_core_count(server->core), server->shutting_down ? ", at once" : "");
    if (!server->shutting_down) {
        server->shutting_down = true;
        server->drain_until_ns = cf_clock_now().mono_ns + DRAIN_NS;     /* also where there is nothing to end */
        cf_recover_drop_listeners(server);
        cf_http_drain(server->http);
        cf_sweep_stop(server->sweep);
        cf_pool_stop(server->pool);
    }
    cf_sessions_end_all(server->sessions, CF_REASON_SHUTDOWN, "the server shut down", grace_ns);
    on_look(-1, 0, server);
}

int cf_shutdown_prepare(struct cf_server *server, struct cf_error *error)
{
    server->term_event = evsignal_new(server->loop, SIGTERM, on_signal, server);
    server->int_event = evsignal_new(server->loop, SIGINT, on_signal, server);
    server->shutdown_timer = evtimer_new(server->loop, on_look, server);
    if (server->term_event == NULL || server->int_event == NULL || server->shutdown_timer == NULL ||
        event_add(server->term_event, NULL) < 0 || event_add(server->int_event, NULL) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    sigset_t heard;                     /* the keeper starts the server with both blocked */
    sigemptyset(&heard);
    sigaddset(&heard, SIGTERM);
    sigaddset(&heard, SIGINT);
    sigprocmask(SIG_UNBLOCK, &heard, NULL);
    return 0;
}

void cf_shutdown_free(struct cf_server *server)
{
    struct event **events[] = { &server->term_event, &server->int_event, &server->shutdown_timer };
    for (size_t i = 0; i < 3; i++)
        if (*events[i] != NULL) {
            event_free(*events[i]);
            *events[i] = NULL;
        }
}
