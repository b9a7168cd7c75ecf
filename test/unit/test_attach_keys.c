/* test_attach_keys.c: what detaches, and which modes of a terminal are set back. */
#include "cli/handshake.h"
#include "cli/keys.h"
#include "cli/modes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint32_t random_state = 12345;

static unsigned random_below(unsigned limit)
{
    random_state = random_state * 1664525u + 1013904223u;
    return (random_state >> 8) % limit;
}

/* Types `typed` in pieces of `piece` bytes; what went on is put in `out`. */
static bool type_all(const char *keys_text, const char *typed, size_t len, size_t piece, struct cf_buf *out)
{
    struct cf_keys keys;
    bool detached = false;

    assert_int_equal(cf_keys_parse(&keys, keys_text), 0);
    for (size_t at = 0; at < len && !detached; at += piece)
        detached = cf_keys_feed(&keys, typed + at, len - at < piece ? len - at : piece, out);
    if (!detached)
        cf_keys_release(&keys, out);
    assert_false(cf_keys_holds(&keys));
    return detached;
}

static void keys_found(void **state)
{
    static const struct {
        const char *keys, *typed, *on;
        bool detached;
    } cases[] = {
        {"ctrl-\\,d", "\034d", "", true},
        {"ctrl-\\,d", "abc\034d rest", "abc", true},
        {"ctrl-\\,d", "\034\034d", "\034", true},
        {"ctrl-\\,d", "\034x\034", "\034x\034", false},
        {"ctrl-\\,d", "d\034", "d\034", false},
        {"ctrl-P,ctrl-q", "\020\021", "", true},
        {"ctrl-]", "\035", "", true},
        {"ctrl-_,?", "\037?", "", true},
        {"a,a,b", "aaab", "a", true},
        {"a,b,a,c", "abababac", "abab", true},
        {"a,b,a,b", "abaabab", "aba", true},
        {",,~", ",,~", ",", true},
        {"none", "\034d", "\034d", false},
        {"ctrl-\\,d", "\033[92;5ud", "", true},
        {"ctrl-\\,d", "\033[92;5:1u\033[92;5:3ud", "", true},
        {"ctrl-\\,d", "\033[27;5;92~d", "", true},
        {"ctrl-\\,d", "\033[92;133u\033[100u", "", true},
        {"ctrl-\\,d", "\033[92u\033[92;6ud", "\033[92u\033[92;6ud", false},
        {"ctrl-\\,d", "\033[92;5:3ud", "\033[92;5:3ud", false},
        {"ctrl-\\,d", "\033[A\033[15~\033[1;5C\033", "\033[A\033[15~\033[1;5C\033", false},
        {"ctrl-\\,d", "\033[92;5u\033[92;5:3ux", "\033[92;5u\033[92;5:3ux", false},
        {"ctrl-[,x", "\033x", "", true},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cf_buf out;

        cf_buf_init(&out, 4096);
        assert_int_equal(type_all(cases[i].keys, cases[i].typed, strlen(cases[i].typed), 4096, &out),
                         cases[i].detached);
        assert_string_equal(out.data ? out.data : "", cases[i].on);
        cf_buf_free(&out);
    }
}

static void keys_refused(void **state)
{
    static const char *const texts[] = {"", ",", "ctrl-", "ctrl-ab", "ctrl-1", "ctrl- ", "ab", "a,", "a,,b", "None",
                                        "a,b,c,d,e,f,g,h,i", "\t", "\303\244"};
    struct cf_keys keys;

    assert_int_equal(cf_keys_parse(&keys, "a,b,c,d,e,f,g,h"), 0);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i], ",") != 0)
            assert_int_equal(cf_keys_parse(&keys, texts[i]), -1);
}

static void keys_words(void **state)
{
    struct cf_keys keys;
    char text[64], little[8];

    assert_int_equal(cf_keys_parse(&keys, "ctrl-P,ctrl-\\,d"), 0);
    assert_string_equal(cf_keys_words(&keys, text, sizeof text), "ctrl-p and then ctrl-\\ and then d");
    cf_keys_words(&keys, little, sizeof little);
    assert_int_equal(strlen(little), sizeof little - 1);
}

/* Without the sequence in it, everything goes on as it was typed, whatever it is and however it is cut. */
static void keys_lose_nothing(void **state)
{
    static const char bytes[] = "a\034\033[92;5u~d:3b";

    for (int round = 0; round < 20000; round++) {
        struct cf_buf out;
        char typed[64];
        size_t len = random_below(sizeof typed);

        for (size_t i = 0; i < len; i++)
            typed[i] = bytes[random_below(sizeof bytes)];
        cf_buf_init(&out, 4096);
        /* No beginning of the sequence can be completed without a q. */
        assert_false(type_all("ctrl-\\,a,ctrl-\\,d,q", typed, len, 1 + random_below(9), &out));
        assert_int_equal(out.len, len);
        assert_memory_equal(out.data ? out.data : "", typed, len);
        cf_buf_free(&out);
    }
}

static void undone(const char *shown, size_t len, size_t piece, char *text, size_t size)
{
    struct cf_modes modes;
    struct cf_buf out;

    cf_modes_init(&modes);
    cf_buf_init(&out, 4096);
    for (size_t at = 0; at < len; at += piece)
        cf_modes_feed(&modes, shown + at, len - at < piece ? len - at : piece);
    cf_modes_undo(&modes, &out);
    snprintf(text, size, "%s", out.data ? out.data : "");
    cf_buf_reset(&out);
    cf_modes_undo(&modes, &out);
    assert_int_equal(out.len, 0);       /* it was done */
    cf_buf_free(&out);
}

static void modes_undone(void **state)
{
    static const struct {
        const char *shown, *undo;
    } cases[] = {
        {"text \303\244\r\n\t\b", ""},
        {"\033[2J\033[H\033[3;4H\033[K\033[5A\033[6n\033[c", ""},
        {"\033[1;31mred", "\033[m"},
        {"\033[1;31mred\033[m", ""},
        {"\033[1mred\033[0m", ""},
        {"\033[?1049h", "\033[?1049l"},
        {"\033[?1049h\033[?1049l", ""},
        {"\033[?1049;1006;25h", "\033[?1049l\033[?1006l"},
        {"\033[?25l\033[?7l", "\033[?7h\033[?25h"},
        {"\033[?25l\033[?25h", ""},
        {"\033[?9999h\033[?h\033[?;h", ""},
        {"\033[4h", "\033[4l"},
        {"\033[2;10r", "\0337\033[r\0338"},
        {"\033[2;10r\033[r", ""},
        {"\033[5 q", "\033[0 q"},
        {"\033(0", "\017\033(B"},
        {"\033(0\033(B", ""},
        {"\016", "\017\033(B"},
        {"\033=", "\033>"},
        {"\033=\033>", ""},
        {"\033[>1u\033[>3u\033[<u", "\033[<1u"},
        {"\033[>1u\033[<9u", ""},
        {"\033[=5u\033[?u", ""},
        {"\033[>4;1m", "\033[>4m"},
        {"\033[>4;1m\033[>4m", ""},
        {"\033[?25l\033c", ""},
        {"\033]0;title\007\033]2;\033\\", ""},
        {"\033]0;\033[?25l", "\033[?25h"},        /* ESC ends the text: what follows counts */
        {"\033P1$r\033\\\033_x\033\\\033^y\033\\", ""},
        {"\033]52;c;cut", "\033\\"},
        {"\033[12;3", "\030"},
        {"\033", "\030"},
        {"\033[?1\0301h", ""},
        {"\033[?\033[?25l", "\033[?25h"},
    };
    char text[256];

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t piece = 1; piece < 8; piece++) {


            undone(cases[i].shown, strlen(cases[i].shown), piece, text, sizeof text);
            assert_string_equal(text, cases[i].undo);
        }
}

/* Whatever was shown, what sets it back leaves nothing to be set back. */
static void modes_settle(void **state)
{
    static const char bytes[] = "\033\033[[??;;0125hlhlmrq u><=c()B0]P\\\007\016\030x";

    for (int round = 0; round < 20000; round++) {
        char shown[200], undo[4096], rest[4096];
        size_t len = random_below(sizeof shown);

        for (size_t i = 0; i < len; i++)
            shown[i] = bytes[random_below(sizeof bytes - 1)];
        undone(shown, len, 1 + random_below(20), undo, sizeof undo);
        undone(undo, strlen(undo), sizeof undo, rest, sizeof rest);
        /* But for the shape of the cursor, which has no name for what it was. */
        if (strcmp(rest, "\033[0 q") != 0)
            assert_string_equal(rest, "");
    }
}

static void accepted(void **state)
{
    char text[29];

    cf_handshake_accept("dGhlIHNhbXBsZSBub25jZQ==", text);      /* RFC 6455, 1.3 */
    assert_string_equal(text, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"the keys that detach are found, and nothing else is", keys_found, NULL, NULL, NULL},
        {"what names no keys is refused", keys_refused, NULL, NULL, NULL},
        {"keys are told in words", keys_words, NULL, NULL, NULL},
        {"what does not detach goes on as it was typed", keys_lose_nothing, NULL, NULL, NULL},
        {"modes that were changed are set back, others are left alone", modes_undone, NULL, NULL, NULL},
        {"what sets a terminal back leaves nothing to set back", modes_settle, NULL, NULL, NULL},
        {"the answer to a handshake is that of the RFC", accepted, NULL, NULL, NULL},
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
