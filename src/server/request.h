/* request.h: one request from its headers to its answer, as libmicrohttpd calls for it. */
#ifndef CURFEW_SERVER_REQUEST_H
#define CURFEW_SERVER_REQUEST_H

#include "server/edge.h"

enum MHD_Result cf_request_access(void *cls, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *data, size_t *len, void **state);
void cf_request_completed(void *cls, struct MHD_Connection *mhd, void **state, enum MHD_RequestTerminationCode why);
/* The answer is in call.body: sends it, now or when the handler has returned. */
void cf_request_answer(struct cf_request *request, int status);
/* Answers a suspended request's client with 503 and leaves its call to whoever will answer it. */
void cf_request_orphan(struct cf_request *request);

#endif
