/* body_edge.h: what the edge does with the answers of body.h. */
#ifndef CURFEW_SERVER_BODY_EDGE_H
#define CURFEW_SERVER_BODY_EDGE_H

#include "server/body.h"
#include "server/edge.h"

/* For libmicrohttpd to queue; NULL: no memory. */
struct MHD_Response *cf_body_response(struct cf_body *body);
/* All that are under way end here, unfinished: their connections are closed as libmicrohttpd runs. */
void cf_bodies_cut(struct cf_http *http);
/* The request is over, `ok`: as far as libmicrohttpd knows without an error.  Calls `done`; takes NULL. */
void cf_body_free(struct cf_body **body, bool ok);

#endif
