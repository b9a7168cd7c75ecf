/* keys.h: the keys that detach, found in what is typed. */
#ifndef CURFEW_CLI_KEYS_H
#define CURFEW_CLI_KEYS_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

#define CF_KEYS_MAX 8
#define CF_KEYS_TOKEN 32

struct cf_key {
    unsigned char code;                 /* the character, or for ctrl- the lower-case one or one of @[\]^_ */
    bool ctrl;
};

/* One press as it came: a byte, or an escape sequence that stands for a key. */
struct cf_key_press {
    char bytes[CF_KEYS_TOKEN];
    size_t len;
};

/* What might be the beginning of the sequence is held back until the next key, or until its time is over. */
struct cf_keys {
    struct cf_key keys[CF_KEYS_MAX];
    size_t count;                       /* 0: nothing detaches */
    size_t matched;
    struct cf_key_press held[2 * CF_KEYS_MAX];
    size_t held_count;
};

/* Reads "ctrl-\,d", "ctrl-p,ctrl-q" or "none".  0 or -1: not of that form. */
int cf_keys_parse(struct cf_keys *keys, const char *text);
/* Appends to `out` what goes on to the session.  True: the sequence is complete, and what follows it is left. */
bool cf_keys_feed(struct cf_keys *keys, const char *data, size_t len, struct cf_buf *out);
bool cf_keys_holds(const struct cf_keys *keys);
/* The next key did not come in time: what is held goes on. */
void cf_keys_release(struct cf_keys *keys, struct cf_buf *out);
/* "ctrl-\ and then d" into `text`; returns it. */
const char *cf_keys_words(const struct cf_keys *keys, char *text, size_t size);

#endif
