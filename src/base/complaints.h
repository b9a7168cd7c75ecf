/* complaints.h: everything that one reading found wrong, so that all of it can be told at once. */
#ifndef CURFEW_BASE_COMPLAINTS_H
#define CURFEW_BASE_COMPLAINTS_H

#include "base/buf.h"

/* In order: "file:line: …", "environment: …", "--flag: …".  `count` counts all of them; the text
 * stops after CF_COMPLAINTS_SHOWN with a line that says so, since a file of rubbish has no end. */
#define CF_COMPLAINTS_SHOWN 200

struct cf_complaints {
    struct cf_buf lines;                /* one a line */
    unsigned count;
};

void cf_complaints_init(struct cf_complaints *c);
void cf_complaints_free(struct cf_complaints *c);
/* Adds one line of at most 1024 bytes; control bytes and what is not UTF-8 are escaped as \xNN. */
void cf_complaints_add(struct cf_complaints *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The lines as text, borrowed; "" when there are none. */
const char *cf_complaints_text(const struct cf_complaints *c);

#endif
