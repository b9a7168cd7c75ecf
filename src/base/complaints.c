/* complaints.c: a bounded list of lines. */
#include "base/complaints.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

#define LINE_BYTES 1024

void cf_complaints_init(struct cf_complaints *c)
{
    *c = (struct cf_complaints){ 0 };
    cf_buf_init(&c->lines, (CF_COMPLAINTS_SHOWN + 1) * LINE_BYTES);
}

void cf_complaints_free(struct cf_complaints *c)
{
    if (c == NULL)
        return;
    cf_buf_free(&c->lines);
    c->count = 0;
}

void cf_complaints_add(struct cf_complaints *c, const char *fmt, ...)
{
    char text[LINE_BYTES], line[LINE_BYTES];

    c->count++;
    if (c->count > CF_COMPLAINTS_SHOWN) {
        if (c->count == CF_COMPLAINTS_SHOWN + 1)
            cf_buf_puts(&c->lines, "… and more\n");
        return;
    }
    va_list args;
    va_start(args, fmt);
    int wrote = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t len = cf_text_escape(line, sizeof line, text, wrote < 0 ? 0 : strnlen(text, sizeof text));
    line[len++] = '\n';
    cf_buf_append(&c->lines, line, len);
}

const char *cf_complaints_text(const struct cf_complaints *c)
{
    return c->lines.data != NULL ? c->lines.data : "";
}
