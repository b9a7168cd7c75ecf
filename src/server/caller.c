/* caller.c: who sent a request, as it is put on record; the kernel's word, as in peer.c. */
#include "server/call.h"

#include "server/edge.h"

#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

const char *cf_call_caller(const struct cf_call *call, char ret[CF_CALLER_MAX])
{
    const struct cf_request *r = call->edge;
    const struct cf_conn *conn = r != NULL ? r->conn : NULL;
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (conn == NULL)
        snprintf(ret, CF_CALLER_MAX, "unknown");
    else if (conn->unix_socket && getsockopt(conn->fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) == 0)
        snprintf(ret, CF_CALLER_MAX, "uid %u (socket, pid %d)", (unsigned)peer.uid, (int)peer.pid);
    else if (conn->peer == CF_PEER_SAME_UID)
        snprintf(ret, CF_CALLER_MAX, "uid %u (tcp)", (unsigned)geteuid());
    else
        snprintf(ret, CF_CALLER_MAX, "token (%s)", conn->unix_socket ? "socket" : "tcp");
    return ret;
}
