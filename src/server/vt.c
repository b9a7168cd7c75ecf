/* vt.c: what a terminal is sent, taken apart. */
#include "server/vt.h"

#include <string.h>

#define REPLACEMENT 0xfffd
#define ESC 0x1b

static void step(struct cf_vt *vt, unsigned char c);

static void keep_raw(struct cf_vt *vt, unsigned char c)
{
    if (vt->raw_len < sizeof vt->raw)
        vt->raw[vt->raw_len++] = (char)c;
}

static void to_ground(struct cf_vt *vt)
{
    vt->state = CF_VT_GROUND;
    vt->raw_len = 0;
}

static void to_escape(struct cf_vt *vt)
{
    vt->state = CF_VT_ESCAPE;
    vt->intermediate = 0;
    vt->wrong = false;
    vt->raw_len = 0;
    keep_raw(vt, ESC);
}

static void to_csi(struct cf_vt *vt)
{
    vt->state = CF_VT_CSI;
    vt->wrong = false;
    vt->csi = (struct cf_vt_csi){ .count = 1, .param = { -1 } };
}

static void to_string(struct cf_vt *vt, enum cf_vt_state state)
{
    vt->state = state;
    vt->text_len = 0;
    vt->text_cut = false;
    vt->raw_len = 0;
}

/* ---- characters */

static void character(struct cf_vt *vt, uint32_t c)
{
    to_ground(vt);
    if (c >= 0x80 && c < 0xa0) {
        /* A C1 control, which is the same as ESC and the character 0x40 below. */
        to_escape(vt);
        step(vt, (unsigned char)(c - 0x40));
        return;
    }
    bool none = (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);
    vt->events->print(vt->arg, none ? REPLACEMENT : c);
}

/* The first byte of a character of several. */
static void lead(struct cf_vt *vt, unsigned char c)
{
    vt->raw_len = 0;
    vt->next_low = 0x80;
    vt->next_high = 0xbf;
    if (c >= 0xc2 && c <= 0xdf) {
        vt->missing = 1;
        vt->character = c & 0x1f;
    } else if (c >= 0xe0 && c <= 0xef) {
        vt->missing = 2;
        vt->character = c & 0x0f;
        vt->next_low = c == 0xe0 ? 0xa0 : 0x80;         /* no overlong forms */
        vt->next_high = c == 0xed ? 0x9f : 0xbf;        /* no surrogates */
    } else if (c >= 0xf0 && c <= 0xf4) {
        vt->missing = 3;
        vt->character = c & 0x07;
        vt->next_low = c == 0xf0 ? 0x90 : 0x80;
        vt->next_high = c == 0xf4 ? 0x8f : 0xbf;        /* nothing above U+10FFFF */
    } else {
        vt->events->print(vt->arg, REPLACEMENT);
        return;
    }
    keep_raw(vt, c);
}

/* Whether the byte was part of the character that is under way. */
static bool continues(struct cf_vt *vt, unsigned char c)
{
    if (c < vt->next_low || c > vt->next_high) {
        vt->missing = 0;
        vt->raw_len = 0;
        vt->events->print(vt->arg, REPLACEMENT);
        return false;
    }
    vt->character = vt->character << 6 | (c & 0x3f);
    vt->next_low = 0x80;
    vt->next_high = 0xbf;
    keep_raw(vt, c);
    if (--vt->missing == 0)
        character(vt, vt->character);
    return true;
}

static void ground(struct cf_vt *vt, unsigned char c)
{
    if (c >= 0x80)
        lead(vt, c);
    else if (c >= 0x20)
        vt->events->print(vt->arg, c);
}

/* ---- sequences */

static void escape(struct cf_vt *vt, unsigned char c)
{
    keep_raw(vt, c);
    if (c >= 0x20 && c < 0x30) {
        vt->wrong |= vt->intermediate != 0;
        vt->intermediate = (char)c;
    } else if (c >= 0x80) {
        to_ground(vt);
        ground(vt, c);
    } else if (vt->intermediate == 0 && c == '[') {
        to_csi(vt);
    } else if (vt->intermediate == 0 && c == ']') {
        to_string(vt, CF_VT_OSC);
    } else if (vt->intermediate == 0 && strchr("PX^_", c)) {
        to_string(vt, CF_VT_STRING);
    } else {
        to_ground(vt);
        if (!vt->wrong)
            vt->events->escape(vt->arg, vt->intermediate, (char)c);
    }
}

static void digit(struct cf_vt *vt, unsigned char c)
{
    if (vt->csi.intermediate)
        vt->wrong = true;
    if (vt->csi.count > CF_VT_PARAMS)
        return;
    int *param = &vt->csi.param[vt->csi.count - 1];
    *param = (*param < 0 ? 0 : *param) * 10 + (c - '0');
    if (*param > CF_VT_PARAM_MAX)
        *param = CF_VT_PARAM_MAX;
}

static void next_param(struct cf_vt *vt, bool sub)
{
    if (vt->csi.intermediate)
        vt->wrong = true;
    if (vt->csi.count <= CF_VT_PARAMS)
        vt->csi.count++;
    if (vt->csi.count > CF_VT_PARAMS)
        return;
    vt->csi.param[vt->csi.count - 1] = -1;
    vt->csi.sub[vt->csi.count - 1] = sub;
}

static void csi_end(struct cf_vt *vt, unsigned char c)
{
    vt->csi.final = (char)c;
    if (vt->csi.count > CF_VT_PARAMS)
        vt->csi.count = CF_VT_PARAMS;
    to_ground(vt);
    if (!vt->wrong)
        vt->events->csi(vt->arg, &vt->csi);
}

static void csi(struct cf_vt *vt, unsigned char c)
{
    bool first = vt->raw_len == 2;       /* ESC and [ only */
    keep_raw(vt, c);
    if (c >= '0' && c <= '9') {
        digit(vt, c);
    } else if (c == ';' || c == ':') {
        next_param(vt, c == ':');
    } else if (c >= '<' && c <= '?') {
        vt->wrong |= !first;
        vt->csi.leader = (char)c;
    } else if (c < 0x30) {
        vt->wrong |= vt->csi.intermediate != 0;
        vt->csi.intermediate = (char)c;
    } else if (c < 0x7f) {
        csi_end(vt, c);
    } else {
        to_ground(vt);
        ground(vt, c);
    }
}

/* ---- strings */

static void osc_end(struct cf_vt *vt)
{
    to_ground(vt);
    vt->events->osc(vt->arg, vt->text, vt->text_len, vt->text_cut);
}

static void osc(struct cf_vt *vt, unsigned char c)
{
    if (c == '\a')
        osc_end(vt);
    else if (c < 0x20)
        return;
    else if (vt->text_len < sizeof vt->text)
        vt->text[vt->text_len++] = (char)c;
    else
        vt->text_cut = true;
}

/* The byte behind an ESC in a string: a backslash ends it, anything else breaks it off. */
static void string_escape(struct cf_vt *vt, unsigned char c)
{
    bool is_osc = vt->state == CF_VT_OSC_ESCAPE;
    if (c == '\\' && is_osc) {
        osc_end(vt);
    } else if (c == '\\') {
        to_ground(vt);
    } else {
        to_escape(vt);
        step(vt, c);
    }
}

/* ---- */

/* What is done with controls wherever they come.  Whether that was all. */
static bool anywhere(struct cf_vt *vt, unsigned char c)
{
    bool in_string = vt->state == CF_VT_OSC || vt->state == CF_VT_STRING;
    if (c == 0x18 || c == 0x1a) {        /* CAN, SUB */
        to_ground(vt);
    } else if (c == ESC) {
        if (in_string)
            vt->state = vt->state == CF_VT_OSC ? CF_VT_OSC_ESCAPE : CF_VT_STRING_ESCAPE;
        else
            to_escape(vt);
    } else if (c == 0x7f && !in_string) {
        return true;
    } else if (c < 0x20 && !in_string) {
        if (vt->state == CF_VT_OSC_ESCAPE || vt->state == CF_VT_STRING_ESCAPE)
            to_escape(vt);
        if (c != 0)
            vt->events->control(vt->arg, (char)c);
    } else {
        return false;
    }
    return true;
}

static void step(struct cf_vt *vt, unsigned char c)
{
    if (vt->missing > 0 && continues(vt, c))
        return;
    if ((c < 0x20 || c == 0x7f) && anywhere(vt, c))
        return;
    switch (vt->state) {
    case CF_VT_GROUND: ground(vt, c); break;
    case CF_VT_ESCAPE: escape(vt, c); break;
    case CF_VT_CSI: csi(vt, c); break;
    case CF_VT_OSC: osc(vt, c); break;
    case CF_VT_STRING: break;
    case CF_VT_OSC_ESCAPE:
    case CF_VT_STRING_ESCAPE: string_escape(vt, c); break;
    }
}

void cf_vt_feed(struct cf_vt *vt, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x20 && c < 0x7f && vt->state == CF_VT_GROUND && vt->missing == 0)
            vt->events->print(vt->arg, c);
        else
            step(vt, c);
    }
}

void cf_vt_drop(struct cf_vt *vt)
{
    vt->missing = 0;
    to_ground(vt);
}

void cf_vt_pending(const struct cf_vt *vt, struct cf_buf *out)
{
    switch (vt->state) {
    case CF_VT_OSC:
    case CF_VT_OSC_ESCAPE:
        cf_buf_puts(out, "\033]99999;");
        break; /* ends as an OSC does; no terminal knows this number */
    case CF_VT_STRING:
    case CF_VT_STRING_ESCAPE:
        cf_buf_puts(out, "\033P>0~");
        break; /* a DCS that does nothing; SOS, PM and APC end as it does */
    default: cf_buf_append(out, vt->raw, vt->raw_len);
    }
    if (vt->state == CF_VT_OSC_ESCAPE || vt->state == CF_VT_STRING_ESCAPE)
        cf_buf_putc(out, ESC);
}
