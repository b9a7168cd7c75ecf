/* upgrade.c: from a request to a WebSocket, and from there back to libmicrohttpd. */
#include "core/core.h"
#include "server/request.h"
#include "server/websocket_private.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>

/* The 101 is sent. */
static void take_over(void *cls, struct MHD_Connection *mhd, void *context, const char *early, size_t early_len,
                      MHD_socket fd, struct MHD_UpgradeResponseHandle *upgraded)
{
    struct cf_ws *ws = cls;
    struct cf_conn *conn = ws->request->conn;
    const int on = 1;
    cf_deadline_set(&conn->http->deadlines, &conn->deadline, CF_PHASE_WORK, 0);
    if (!conn->unix_socket)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    cf_ws_start(ws, fd, upgraded, early, early_len);
}

struct MHD_Response *cf_ws_response(struct cf_ws *ws)
{
    struct MHD_Response *response = MHD_create_response_for_upgrade(take_over, ws);
    if (response && (MHD_add_response_header(response, "Upgrade", "websocket") != MHD_YES ||
                     MHD_add_response_header(response, "Sec-WebSocket-Accept", ws->accept) != MHD_YES)) {
        MHD_destroy_response(response);
        response = NULL;
    }
    return response;
}

void cf_ws_free(struct cf_ws **ptr)
{
    struct cf_ws *ws = *ptr;
    if (!ws)
        return;
    *ptr = NULL;
    if (!ws->told)
        ws->events->closed(ws->arg, CF_WS_GONE);
    free(ws->early);
    free(ws);
}

/* ---- the handshake ---- */

static enum MHD_Result note(void *cls, enum MHD_ValueKind kind, const char *name, size_t name_len, const char *value,
                            size_t len)
{
    cf_handshake_note(cls, name, name_len, value ? value : "");
    return MHD_YES;
}

/* The handshake's answer, or why there is none. */
static int agree(struct cf_request *r, struct cf_ws *ws, struct cf_error *error)
{
    struct cf_handshake handshake = { 0 };
    if (!r->conn)
        return cf_error_set(error, CF_E_SHUTTING_DOWN, NULL, "%s", cf_error_text(CF_E_SHUTTING_DOWN));
    if (!ws)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    if (r->http10 || r->head_only)
        return cf_error_set(error, CF_E_MALFORMED, NULL, "this path is a WebSocket: it takes GET by HTTP/1.1");
    MHD_get_connection_values_n(r->conn->mhd, MHD_HEADER_KIND, note, &handshake);
    r->upgrade_required = cf_handshake_is_other_version(&handshake);
    return cf_handshake_check(&handshake, ws->accept, error);
}

void cf_call_upgrade(struct cf_call *call, const struct cf_ws_events *events, void *arg)
{
    struct cf_request *r = call->edge;
    struct cf_error error = { 0 };
    struct cf_ws *ws = calloc(1, sizeof *ws);
    if (agree(r, ws, &error) < 0) {
        free(ws);
        events->closed(arg, CF_WS_GONE);
        cf_call_fail(call, &error, NULL);
        return;
    }
    ws->request = r;
    ws->events = events;
    ws->arg = arg;
    r->ws = ws;
    call->answered = true;
    cf_request_answer(r, MHD_HTTP_SWITCHING_PROTOCOLS);
}
