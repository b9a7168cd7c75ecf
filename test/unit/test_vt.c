/* What a terminal is sent, taken apart. */
#include "server/vt.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void on_print(void *arg, uint32_t character)
{
    cf_buf_printf(arg, character < 0x7f ? "%c" : "<U+%04X>", character);
}

static void on_control(void *arg, char control)
{
    cf_buf_printf(arg, "<^%c>", control + '@');
}

static void on_escape(void *arg, char intermediate, char final)
{
    cf_buf_printf(arg, "<ESC %.*s%c>", intermediate != 0, &intermediate, final);
}

static void on_csi(void *arg, const struct cf_vt_csi *csi)
{
    cf_buf_printf(arg, "<CSI %.*s", csi->leader != 0, &csi->leader);
    for (int i = 0; i < csi->count; i++) {
        cf_buf_puts(arg, i == 0 ? "" : csi->sub[i] ? ":" : ";");
        if (csi->param[i] >= 0)
            cf_buf_printf(arg, "%d", csi->param[i]);
    }
    cf_buf_printf(arg, "%.*s%c>", csi->intermediate != 0, &csi->intermediate, csi->final);
}

static void on_osc(void *arg, const char *text, size_t len, bool cut)
{
    cf_buf_printf(arg, "<OSC %.*s%s>", (int)len, text, cut ? "..." : "");
}

static const struct cf_vt_events events = { on_print, on_control, on_escape, on_csi, on_osc };

struct row {
    const char *bytes, *told, *pending;
};

/* In one piece and byte by byte. */
static void expect_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (int by_byte = 0; by_byte < 2; by_byte++) {
            struct cf_buf told, pending;
            cf_buf_init(&told, 1 << 20);
            cf_buf_init(&pending, 1 << 20);
            struct cf_vt vt = { .events = &events, .arg = &told };
            size_t len = strlen(rows[i].bytes);
            for (size_t at = 0; at < len; at += by_byte ? 1 : len)
                cf_vt_feed(&vt, rows[i].bytes + at, by_byte ? 1 : len);
            assert_string_equal(told.len ? told.data : "", rows[i].told);
            cf_vt_pending(&vt, &pending);
            assert_string_equal(pending.len ? pending.data : "", rows[i].pending ? rows[i].pending : "");
            cf_buf_free(&told);
            cf_buf_free(&pending);
        }
}
#define EXPECT(rows) expect_rows(rows, sizeof(rows) / sizeof(rows)[0])

static void characters(void **state)
{
    static const struct row rows[] = {
        { "abc", "abc" },
        { "\xc3\xa9\xe2\x94\x80\xf0\x9f\x98\x80", "<U+00E9><U+2500><U+1F600>" },
        { "\xe2\x94", "", "\xe2\x94" },
        { "\xe2\x94x", "<U+FFFD>x" },
        { "\xe2\x94\xe2\x94\x80", "<U+FFFD><U+2500>" },
        { "\x80\xff\xc0\xaf", "<U+FFFD><U+FFFD><U+FFFD><U+FFFD>" },
        { "\xe0\x80\x80", "<U+FFFD><U+FFFD><U+FFFD>" },                  /* overlong */
        { "\xed\xa0\x80", "<U+FFFD><U+FFFD><U+FFFD>" },                  /* a surrogate */
        { "\xf4\x90\x80\x80", "<U+FFFD><U+FFFD><U+FFFD><U+FFFD>" },      /* above U+10FFFF */
        { "\xef\xbf\xbf\xef\xb7\x90", "<U+FFFD><U+FFFD>" },              /* no characters */
        { "a\x7f" "b", "ab" },
    };
    EXPECT(rows);
}

static void controls(void **state)
{
    static const struct row rows[] = {
        { "\r\n\b\t\a", "<^M><^J><^H><^I><^G>" },
        { "\033[1\r;2H", "<^M><CSI 1;2H>" },                              /* controls within a sequence come first */
        { "\033[1\030x\033]0;t\032y", "xy" },                             /* CAN and SUB break off */
        { "\xc2\x9b" "5H\xc2\x85", "<CSI 5H><ESC E>" },                   /* C1 */
    };
    EXPECT(rows);
}

static void sequences(void **state)
{
    static const struct row rows[] = {
        { "\033[H\033[;5H\033[?25;1h", "<CSI H><CSI ;5H><CSI ?25;1h>" },
        { "\033[38:2::1:2:3m", "<CSI 38:2::1:2:3m>" },
        { "\0337\033(0\033#8\033[2 q\033[!p", "<ESC 7><ESC (0><ESC #8><CSI 2 q><CSI !p>" },
        { "\033[1\033[2m", "<CSI 2m>" },                                  /* ESC begins anew */
        { "\033[99999999999999999999m", "<CSI 65535m>" },
        { "\033[1?2mx\033[ 1mx\033[  qx\033((Bx", "xxxx" },               /* not of any terminal */
        { "\033[1\xc3\xa9", "<U+00E9>" },
        { "\033", "", "\033" },
        { "\033[?25", "", "\033[?25" },
        { "\033(", "", "\033(" },
    };
    EXPECT(rows);
}

static void strings(void **state)
{
    static const struct row rows[] = {
        { "\033]0;a b\a\033]2;\xc3\xbc\033\\", "<OSC 0;a b><OSC 2;\xc3\xbc>" },
        { "\033Psome\adata\033\\x\033_y\033\\z\033Xk\033^l\033\\m", "xzm" },
        { "\033]0;a\033[mb", "<CSI m>b" },                                /* broken off by another sequence */
        { "\033]0;ab", "", "\033]99999;" },
        { "\033]0;ab\033", "", "\033]99999;\033" },
        { "\033Pab", "", "\033P>0~" },
        { "\033]0;a\nb\a", "<OSC 0;ab>" },
    };
    EXPECT(rows);
}

static void limits(void **state)
{
    struct cf_buf text, told;
    cf_buf_init(&text, 1 << 20);
    cf_buf_init(&told, 1 << 20);
    struct cf_vt vt = { .events = &events, .arg = &told };
    cf_buf_puts(&text, "\033[");
    for (int i = 0; i < 1000; i++)
        cf_buf_puts(&text, "7;");
    cf_buf_puts(&text, "m");
    cf_vt_feed(&vt, text.data, text.len);
    assert_int_equal(told.len, strlen("<CSI m>") + CF_VT_PARAMS * 2 - 1);
    cf_buf_reset(&told);
    cf_buf_reset(&text);
    cf_buf_puts(&text, "\033]");
    for (int i = 0; i < 1000; i++)
        cf_buf_puts(&text, "7;");
    cf_buf_puts(&text, "\a");
    cf_vt_feed(&vt, text.data, text.len);
    assert_int_equal(told.len, strlen("<OSC ...>") + CF_VT_TEXT);
    cf_buf_free(&text);
    cf_buf_free(&told);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        { .name = "characters, and what is none", .test_func = characters },
        { .name = "controls, also within a sequence", .test_func = controls },
        { .name = "sequences, whole, unfinished and wrong", .test_func = sequences },
        { .name = "strings, whole, unfinished and broken off", .test_func = strings },
        { .name = "more parameters and longer strings than are kept", .test_func = limits },
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
