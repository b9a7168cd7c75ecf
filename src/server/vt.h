/* vt.h: what a terminal is sent, taken apart into characters, controls and sequences.
 *
 * The grammar is that of ECMA-48 and the VT500 as xterm reads it, in UTF-8.  Nothing here knows what a sequence does.
 * Input may be anything: no byte makes it fail, allocate, or look back, and each byte costs the same. */
#ifndef CURFEW_SERVER_VT_H
#define CURFEW_SERVER_VT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CF_VT_PARAMS 32                 /* of one sequence; further ones are read and dropped */
#define CF_VT_PARAM_MAX 65535
#define CF_VT_TEXT 512                  /* bytes of an OSC string; longer ones are told as cut */
#define CF_VT_RAW 64

/* A control sequence.  `leader` is one of "<=>?" and `intermediate` one of " !\"#$%&'()*+,-./", each 0 when there is
 * none. A parameter that was left out is -1.  `sub[i]` says that parameter i belongs to the one before it (it came
 * after a colon). */
struct cf_vt_csi {
    char leader;
    char intermediate;
    char final;
    int count;
    int param[CF_VT_PARAMS];
    bool sub[CF_VT_PARAMS];
};

/* Told in the order of the bytes, during cf_vt_feed. */
struct cf_vt_events {
    void (*print)(void *arg,
                  uint32_t character); /* U+FFFD for what is no UTF-8; never below U+0020, U+007F to U+009F */
    void (*control)(void *arg, char control);           /* C0, but NUL, CAN, SUB and ESC */
    void (*escape)(void *arg, char intermediate, char final);
    void (*csi)(void *arg, const struct cf_vt_csi *csi);
    void (*osc)(void *arg, const char *text, size_t len, bool cut);
};

enum cf_vt_state {
    CF_VT_GROUND,
    CF_VT_ESCAPE,
    CF_VT_CSI,
    CF_VT_OSC,
    CF_VT_OSC_ESCAPE,                   /* an ESC inside one, which ends it, or is the first half of what does */
    CF_VT_STRING,                       /* DCS, SOS, PM, APC: passed over */
    CF_VT_STRING_ESCAPE,
};

/* Zeroed but for `events` and `arg`, it is ready.  The rest is the parser's own. */
struct cf_vt {
    const struct cf_vt_events *events;
    void *arg;
    enum cf_vt_state state;
    uint32_t character; /* UTF-8: what is there of it, how many bytes are missing, what the next one may be */
    int missing;
    unsigned char next_low, next_high;
    char intermediate;                  /* of an escape */
    bool wrong;                         /* a sequence that is no sequence of any terminal: read to its end, not told */
    struct cf_vt_csi csi;
    char text[CF_VT_TEXT];
    size_t text_len;
    bool text_cut;
    char raw[CF_VT_RAW];                /* the bytes of the unfinished character or sequence */
    size_t raw_len;
};

void cf_vt_feed(struct cf_vt *vt, const char *bytes, size_t len);

/* What follows is not what follows: the unfinished character or sequence is dropped. */
void cf_vt_drop(struct cf_vt *vt);

/* Appends what brings another terminal's parser to the same place: the bytes of an unfinished character or sequence, so
 * that its rest may follow; for an unfinished string, which may be long, the beginning of one that every terminal
 * passes over. */
void cf_vt_pending(const struct cf_vt *vt, struct cf_buf *out);

#endif
