/* text.c: UTF-8 stepping and escaping for terminals. */
#include "base/text.h"

#include <stdint.h>
#include <string.h>

static bool is_tail(unsigned char c)
{
    return (c & 0xc0) == 0x80;
}

int cf_text_utf8_step(const char *text, size_t len)
{
    unsigned char first = (unsigned char)text[0];
    unsigned char low = 0x80, high = 0xbf;      /* what the second byte may be: Unicode, table 3-7 */
    int size;

    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return -1;
    if (first < 0xe0) {
        size = 2;
    } else if (first < 0xf0) {
        size = 3;
        low = first == 0xe0 ? 0xa0 : 0x80;
        high = first == 0xed ? 0x9f : 0xbf;
    } else {
        size = 4;
        low = first == 0xf0 ? 0x90 : 0x80;
        high = first == 0xf4 ? 0x8f : 0xbf;
    }
    if (len < 2 || (unsigned char)text[1] < low || (unsigned char)text[1] > high)
        return -1;
    for (int i = 2; i < size; i++)
        if (len <= (size_t)i || !is_tail((unsigned char)text[i]))
            return -i;
    return size;
}

bool cf_text_is_utf8(const char *text, size_t len)
{
    for (size_t at = 0; at < len;) {
        int step = cf_text_utf8_step(text + at, len - at);
        if (step < 0)
            return false;
        at += (size_t)step;
    }
    return true;
}

/* C1 controls are two bytes in UTF-8, and terminals obey some of them. */
static bool is_control(const char *text, int step)
{
    unsigned char c = (unsigned char)text[0];
    if (step == 1)
        return c < 0x20 || c == 0x7f;
    return step == 2 && c == 0xc2 && (unsigned char)text[1] < 0xa0;
}

size_t cf_text_escape(char *out, size_t size, const char *text, size_t len)
{
    static const char hex[] = "0123456789abcdef";
    size_t wrote = 0;

    for (size_t at = 0; at < len;) {
        int step = cf_text_utf8_step(text + at, len - at);
        bool plain = step > 0 && !is_control(text + at, step);
        size_t from = (size_t)(step > 0 ? step : -step);
        size_t need = plain ? from : 4 * from;
        if (wrote + need >= size)
            break;
        if (plain) {
            memcpy(out + wrote, text + at, from);
        } else {
            for (size_t i = 0; i < from; i++) {
                unsigned char c = (unsigned char)text[at + i];
                memcpy(out + wrote + 4 * i, (char[4]){ '\\', 'x', hex[c >> 4], hex[c & 15] }, 4);
            }
        }
        wrote += need;
        at += from;
    }
    if (size > 0)
        out[wrote] = '\0';
    return wrote;
}
