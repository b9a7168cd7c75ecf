/* quote.h: words of a command line as one line of bash. */
#ifndef CURFEW_CLI_QUOTE_H
#define CURFEW_CLI_QUOTE_H

#include "base/buf.h"

/* Appends the words so that bash runs the first as a command and hands it the others, byte for byte: nothing in them is
 * expanded, and the first is no keyword, alias or assignment.  Bytes that are not UTF-8 survive the way through JSON
 * as \xNN. */
void cf_quote_words(struct cf_buf *out, char *const *words, int count);

#endif
