/* modes.h: which modes of the terminal the remote side has changed, and how they are set back.
 *
 * A program that was cut off leaves the terminal with its alternate screen, its mouse or an invisible cursor.  What was
 * never changed is left alone: some of these sequences do something also where there is nothing to undo. */
#ifndef CURFEW_CLI_MODES_H
#define CURFEW_CLI_MODES_H

#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

#define CF_MODES_PARAMS 64

struct cf_modes {
    int state;                          /* of the reader; see modes.c */
    char params[CF_MODES_PARAMS];       /* of the sequence that is being read: private mark, numbers, intermediates */
    size_t params_len;
    uint32_t changed;                   /* bits: places in the table of modes.c */
    unsigned pushed;                    /* keyboard modes that are stacked */
};

void cf_modes_init(struct cf_modes *modes);
/* What goes to the terminal, cut anywhere. */
void cf_modes_feed(struct cf_modes *modes, const char *data, size_t len);
/* Appends what sets the terminal back, and begins anew. */
void cf_modes_undo(struct cf_modes *modes, struct cf_buf *out);

#endif
