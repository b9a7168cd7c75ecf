/* fuzz_settings.c: whatever a configuration file holds, every setting stays in its row's range, a row that was
 * complained about keeps its value, and what is written back reads as the same. */
#include "base/clock.h"
#include "base/settings.h"
#include "base/text.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const void *member(const struct cf_settings *s, const struct cf_setting *row)
{
    return (const char *)s + row->offset;
}

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check_text(const struct cf_setting *row, const char *text)
{
    size_t len = strnlen(text, (size_t)row->max + 1);

    require(len >= (size_t)row->min && len <= (size_t)row->max);
    require(cf_text_is_utf8(text, len));
    for (size_t i = 0; i < len; i++)
        require((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
}

static void check_row(const struct cf_settings *s, const struct cf_setting *row)
{
    int64_t unit = row->type == CF_SETTING_DURATION ? CF_NS_PER_S : 1, value;
    unsigned char byte;

    switch (row->type) {
    case CF_SETTING_BOOL:
        memcpy(&byte, member(s, row), 1);
        require(byte <= 1);
        break;
    case CF_SETTING_TEXT:
    case CF_SETTING_LIST:
        check_text(row, member(s, row));
        break;
    default:
        memcpy(&value, member(s, row), sizeof value);
        require(value >= row->min * unit && value <= row->max * unit);
    }
}

/* Writes all of it as a file. */
static void write_file(const struct cf_settings *s, struct cf_buf *out)
{
    const struct cf_setting *row;
    const char *section = "";

    for (size_t i = 0; (row = cf_setting_row(i)) != NULL; i++) {
        if (strcmp(section, row->section) != 0)
            cf_buf_printf(out, "[%s]\n", section = row->section);
        cf_buf_printf(out, "%s = ", row->name);
        cf_settings_value(s, row, out);
        cf_buf_putc(out, '\n');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cf_settings s, again, before;
    struct cf_complaints c;
    struct cf_buf file;
    const struct cf_setting *row;

    cf_settings_default(&s);
    before = s;
    cf_complaints_init(&c);
    cf_settings_read_text(&s, "fuzz", (const char *)data, size, &c);
    for (size_t i = 0; (row = cf_setting_row(i)) != NULL; i++)
        check_row(&s, row);
    require((c.count > 0) == (c.lines.len > 0));
    require(cf_text_is_utf8(cf_complaints_text(&c), c.lines.len));
    cf_complaints_free(&c);

    cf_buf_init(&file, 1 << 20);
    write_file(&s, &file);
    require(!file.failed);
    again = before;
    cf_complaints_init(&c);
    cf_settings_read_text(&again, "again", file.data, file.len, &c);
    require(c.count == 0);
    require(memcmp(&again, &s, sizeof s) == 0);
    cf_complaints_free(&c);
    cf_buf_free(&file);
    return 0;
}
