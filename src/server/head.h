/* head.h: what the headers of a request say, and whether they say it in one way only. */
#ifndef CURFEW_SERVER_HEAD_H
#define CURFEW_SERVER_HEAD_H

#include "base/error.h"
#include "base/settings.h"
#include "server/call.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Headers that are looked at.  Where one is there more than once, the last one's value and how many there are. */
enum cf_head_field {
    CF_HEAD_HOST,
    CF_HEAD_ORIGIN,
    CF_HEAD_AUTHORIZATION,
    CF_HEAD_CONTENT_TYPE,
    CF_HEAD_CONTENT_LENGTH,
    CF_HEAD_TRANSFER_ENCODING,
    CF_HEAD_ACCEPT,
    CF_HEAD_LAST_EVENT_ID,
    CF_HEAD_FIELDS
};

struct cf_head {
    const char *value[CF_HEAD_FIELDS];  /* libmicrohttpd's, while the request lives; NULL: not there */
    unsigned times[CF_HEAD_FIELDS];
    unsigned args;                      /* of the query */
    unsigned lines;                     /* of headers */
    bool broken;                        /* a name that is no token ("Content-Length :"), or a NUL */
    bool padded;                        /* a header is folded, or padded with blanks */
    enum cf_accept accept;              /* CF_ACCEPT_NONE: nothing that is known */
    size_t bytes;                       /* as they were sent, about */
    size_t least;                       /* that request line and headers must have had, without a blank that may be
                                         * left out */
};

void cf_head_read(struct MHD_Connection *mhd, const char *method, const char *url, const char *version,
                  struct cf_head *ret);
/* Where the request ends must have one meaning only.  0 with the length of the body (0: none), or CF_E_MALFORMED. */
int cf_head_framing(const struct cf_head *head, const char *version, uint64_t *ret_length, struct cf_error *error)
    __attribute__((warn_unused_result));
/* Whether a body of `length` bytes may come: its method, size and type.  `raw`: the operation takes
 * application/octet-stream, too. */
int cf_head_body(const struct cf_head *head, const struct cf_settings *settings, const char *method, bool raw,
                 uint64_t length, struct cf_error *error) __attribute__((warn_unused_result));
/* Whether the body is to be taken as it is: it says so, or it is not there and does not say what it would be. */
bool cf_head_is_raw(const struct cf_head *head, uint64_t length);

/* The first type of an Accept header's list that is known and not refused by q=0; parameters do not count otherwise.
 * CF_ACCEPT_NONE: there is none. */
enum cf_accept cf_head_accept(const char *list);
/* Plain digits that fit, nothing else. */
bool cf_head_number(const char *text, uint64_t *ret);

#endif
