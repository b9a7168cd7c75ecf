#include "cli/keys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool key_parse(const char *text, size_t len, struct cf_key *ret)
{
    unsigned char c;

    ret->ctrl = len == 6 && strncmp(text, "ctrl-", 5) == 0;
    if (len != 1 && !ret->ctrl)
        return false;
    c = (unsigned char)text[len - 1];
    if (c <= ' ' || c > '~')
        return false;
    if (ret->ctrl && c >= 'A' && c <= 'Z')
        c = (unsigned char)(c - 'A' + 'a');
    ret->code = c;
    return !ret->ctrl || (c >= 'a' && c <= 'z') || strchr("@[\\]^_", c);
}

int cf_keys_parse(struct cf_keys *keys, const char *text)
{
    memset(keys, 0, sizeof *keys);
    if (strcmp(text, "none") == 0)
        return 0;
    for (;;) {
        /* A comma is a key as well, where one is due. */
        size_t len = *text == ',' ? 1 : strcspn(text, ",");

        if (keys->count == CF_KEYS_MAX || !key_parse(text, len, &keys->keys[keys->count]))
            return -1;
        keys->count++;
        text += len;
        if (*text == '\0')
            return 0;
        text++;
    }
}

/* Programs can ask the terminal to send keys as escape sequences: ESC [ code ; modifiers : event u (kitty) or
 * ESC [ 27 ; modifiers ; code ~ (xterm).  False: none of these. */
static bool sequence_read(const struct cf_key_press *press, unsigned long *ret_code, unsigned long *ret_modifiers,
                          bool *ret_release)
{
    char text[CF_KEYS_TOKEN + 1], *at, final;
    unsigned long first, second = 1;

    if (press->len < 4 || press->bytes[0] != '\033')
        return false;
    snprintf(text, sizeof text, "%.*s", (int)press->len, press->bytes);
    final = text[press->len - 1];
    first = strtoul(text + 2, &at, 10);
    at += strcspn(at, ";u~");
    if (*at == ';')
        second = strtoul(at + 1, &at, 10);
    *ret_release = strncmp(at, ":3", 2) == 0;
    if (final == '~') {
        if (first != 27 || *at != ';')
            return false;
        first = strtoul(at + 1, &at, 10);
    }
    *ret_code = first;
    *ret_modifiers = second > 0 ? second - 1 : 0;
    return true;
}

#define CTRL 4ul
#define LOCKS (64ul | 128ul)            /* caps and num lock change nothing here */

static bool matches(const struct cf_key *key, const struct cf_key_press *press, bool *ret_release)
{
    unsigned long code, modifiers;

    *ret_release = false;
    if (press->len == 1)
        return (unsigned char)press->bytes[0] == (key->ctrl ? key->code & 0x1f : key->code);
    return sequence_read(press, &code, &modifiers, ret_release) && code == key->code &&
           (modifiers & ~LOCKS) == (key->ctrl ? CTRL : 0);
}

static void hold(struct cf_keys *keys, const struct cf_key_press *press)
{
    keys->held[keys->held_count++] = *press;
}

/* One press more.  Where it does not fit, the first that was held goes on and the others are tried anew, so that no
 * beginning is missed. */
static bool step(struct cf_keys *keys, const struct cf_key_press *press, struct cf_buf *out)
{
    struct cf_key_press held[2 * CF_KEYS_MAX];
    size_t count = keys->held_count;
    bool release;

    if (matches(&keys->keys[keys->matched], press, &release) && !release) {
        hold(keys, press);
        return ++keys->matched == keys->count;
    }
    /* That a key of the sequence was let go is told behind it, and breaks nothing. */
    if (keys->matched > 0 && count < CF_KEYS_MAX + keys->matched &&
        matches(&keys->keys[keys->matched - 1], press, &release) && release) {
        hold(keys, press);
        return false;
    }
    if (count == 0) {
        cf_buf_append(out, press->bytes, press->len);
        return false;
    }
    memcpy(held, keys->held, count * sizeof *held);
    keys->held_count = keys->matched = 0;
    cf_buf_append(out, held[0].bytes, held[0].len);
    for (size_t i = 1; i < count; i++)
        step(keys, &held[i], out);
    return step(keys, press, out);
}

/* A terminal writes a sequence at once, so one that is cut is nothing to wait for: ESC alone is a key, too. */
static size_t press_read(const char *data, size_t len, struct cf_key_press *ret)
{
    size_t end = 2;

    ret->bytes[0] = data[0];
    ret->len = 1;
    if (len < 4 || data[0] != '\033' || data[1] != '[')
        return 1;
    while (end < len && end < CF_KEYS_TOKEN - 1 && (data[end] == ';' || data[end] == ':' ||
           (data[end] >= '0' && data[end] <= '9')))
        end++;
    if (end == len || end == 2 || (data[end] != 'u' && data[end] != '~'))
        return 1;
    ret->len = end + 1;
    memcpy(ret->bytes, data, ret->len);
    return ret->len;
}

bool cf_keys_feed(struct cf_keys *keys, const char *data, size_t len, struct cf_buf *out)
{
    struct cf_key_press press;

    if (keys->count == 0) {
        cf_buf_append(out, data, len);
        return false;
    }
    for (size_t at = 0; at < len;) {
        at += press_read(data + at, len - at, &press);
        if (step(keys, &press, out)) {
            keys->matched = keys->held_count = 0;
            return true;
        }
    }
    return false;
}

bool cf_keys_holds(const struct cf_keys *keys)
{
    return keys->held_count > 0;
}

void cf_keys_release(struct cf_keys *keys, struct cf_buf *out)
{
    for (size_t i = 0; i < keys->held_count; i++)
        cf_buf_append(out, keys->held[i].bytes, keys->held[i].len);
    keys->held_count = keys->matched = 0;
}

const char *cf_keys_words(const struct cf_keys *keys, char *text, size_t size)
{
    size_t len = 0;

    *text = '\0';
    for (size_t i = 0; i < keys->count && len < size; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%s%c", i > 0 ? " and then " : "",
                                keys->keys[i].ctrl ? "ctrl-" : "", keys->keys[i].code);
    return text;
}
