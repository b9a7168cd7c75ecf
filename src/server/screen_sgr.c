/* screen_sgr.c: colours and attributes: SGR (CSI … m). */
#include "server/screen_private.h"

#include <stddef.h>

struct flag {
    uint8_t number;
    uint16_t off, on;                   /* flags that go, flags that come */
};

static const struct flag flags[] = {
    { 1, 0, CF_PEN_BOLD },
    { 2, 0, CF_PEN_DIM },
    { 3, 0, CF_PEN_ITALIC },
    { 4, CF_PEN_UNDERLINES, CF_PEN_UNDERLINE },
    { 5, 0, CF_PEN_BLINK },
    { 6, 0, CF_PEN_BLINK },
    { 7, 0, CF_PEN_REVERSE },
    { 8, 0, CF_PEN_CONCEAL },
    { 9, 0, CF_PEN_STRIKE },
    { 21, CF_PEN_UNDERLINES, 2 * CF_PEN_UNDERLINE },
    { 22, CF_PEN_BOLD | CF_PEN_DIM, 0 },
    { 23, CF_PEN_ITALIC, 0 },
    { 24, CF_PEN_UNDERLINES, 0 },
    { 25, CF_PEN_BLINK, 0 },
    { 27, CF_PEN_REVERSE, 0 },
    { 28, CF_PEN_CONCEAL, 0 },
    { 29, CF_PEN_STRIKE, 0 },
    { 53, 0, CF_PEN_OVERLINE },
    { 55, CF_PEN_OVERLINE, 0 },
};

static int channel(int value)
{
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

/* The colour behind 38, 48 or 58 at `at`, written 5;N or 2;R;G;B, or with colons, where RGB may have a colour space
 * before it. Returns how many parameters belong to it; what is no colour leaves *ret_colour alone. */
static int colour(const struct cf_vt_csi *csi, int at, uint32_t *ret_colour)
{
    int left = csi->count - at - 1, subs = 0;
    while (subs < left && csi->sub[at + 1 + subs])
        subs++;
    const int *param = &csi->param[at + 1];
    int have = subs ? subs : left;
    if (have < 1)
        return 0;
    if (param[0] == 5 && have >= 2) {
        *ret_colour = CF_INDEXED | (uint32_t)channel(param[1]);
        return subs ? subs : 2;
    }
    if (param[0] == 2 && have >= 4) {
        const int *rgb = subs >= 5 ? param + 2 : param + 1;
        *ret_colour = CF_RGB | (uint32_t)(channel(rgb[0]) << 16 | channel(rgb[1]) << 8 | channel(rgb[2]));
        return subs ? subs : 4;
    }
    return subs ? subs : have;
}

static void one_flag(struct cf_pen *pen, int number)
{
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (flags[i].number == number)
            pen->flags = (uint16_t)((pen->flags & ~flags[i].off) | flags[i].on);
}

static bool basic_colour(struct cf_pen *pen, int number)
{
    if (number >= 30 && number <= 37)
        pen->fg = CF_INDEXED | (uint32_t)(number - 30);
    else if (number >= 90 && number <= 97)
        pen->fg = CF_INDEXED | (uint32_t)(number - 90 + 8);
    else if (number >= 40 && number <= 47)
        pen->bg = CF_INDEXED | (uint32_t)(number - 40);
    else if (number >= 100 && number <= 107)
        pen->bg = CF_INDEXED | (uint32_t)(number - 100 + 8);
    else if (number == 39)
        pen->fg = 0;
    else if (number == 49)
        pen->bg = 0;
    else
        return false;
    return true;
}

void cf_screen_sgr(struct cf_pen *pen, const struct cf_vt_csi *csi)
{
    for (int i = 0; i < csi->count; i++) {
        int number = csi->param[i] < 0 ? 0 : csi->param[i];
        uint32_t dropped;
        if (csi->sub[i])
            continue;                   /* of one that knows none */
        if (number == 0)
            *pen = (struct cf_pen){ 0 };
        else if (number == 38 || number == 48 || number == 58)
            i += colour(csi, i, number == 38 ? &pen->fg : number == 48 ? &pen->bg : &dropped);
        else if (number == 4 && i + 1 < csi->count && csi->sub[i + 1] && csi->param[i + 1] <= 5)
            pen->flags = (uint16_t)((pen->flags & ~CF_PEN_UNDERLINES) |
                                    CF_PEN_UNDERLINE * (csi->param[i + 1] < 0 ? 0 : csi->param[i + 1]));
        else if (!basic_colour(pen, number))
            one_flag(pen, number);
    }
}
