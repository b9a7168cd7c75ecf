#include "cli/quote.h"

#include "base/text.h"

#include <string.h>

static bool plain(const char *word)
{
    return *word != '\0' &&
           word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_%+:,./@-")] == '\0';
}

static void single(struct cf_buf *out, const char *word)
{
    cf_buf_putc(out, '\'');
    for (; *word; word++) {
        if (*word == '\'')
            cf_buf_puts(out, "'\\''");
        else
            cf_buf_putc(out, *word);
    }
    cf_buf_putc(out, '\'');
}

/* $'…', whose escapes are all two hexadecimal digits, so that no following digit is taken in. */
static void ansi_c(struct cf_buf *out, const char *word)
{
    cf_buf_puts(out, "$'");
    for (; *word; word++) {
        unsigned char c = (unsigned char)*word;

        if (c < ' ' || c > '~' || c == '\'' || c == '\\')
            cf_buf_printf(out, "\\x%02x", c);
        else
            cf_buf_putc(out, *word);
    }
    cf_buf_putc(out, '\'');
}

void cf_quote_words(struct cf_buf *out, char *const *words, int count)
{
    for (int i = 0; i < count; i++) {
        if (i > 0)
            cf_buf_putc(out, ' ');
        if (!cf_text_is_utf8(words[i], strlen(words[i])))
            ansi_c(out, words[i]);
        else if (i > 0 && plain(words[i]))
            cf_buf_puts(out, words[i]);
        else
            single(out, words[i]);
    }
}
