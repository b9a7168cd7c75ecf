/* text.h: bytes that claim to be text. */
#ifndef CURFEW_BASE_TEXT_H
#define CURFEW_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Looks at the first character of `len` > 0 bytes: its length, 1 to 4, when it is valid UTF-8 (no
 * surrogates, no overlong forms, nothing above U+10FFFF), else minus the length of the longest
 * bad piece that a replacement character should stand for (Unicode, 3.9, best practice). */
int cf_text_utf8_step(const char *text, size_t len);
bool cf_text_is_utf8(const char *text, size_t len);

/* Copies text for a person's terminal: each control byte (C0, DEL, C1) and each byte that is not
 * UTF-8 becomes \xNN.  Always ends with a NUL; what does not fit is left out, whole characters at
 * a time.  Returns how many bytes it wrote, without the NUL. */
size_t cf_text_escape(char *out, size_t size, const char *text, size_t len);

#endif
