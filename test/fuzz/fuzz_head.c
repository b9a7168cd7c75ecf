/* Headers as strangers write them: the first line as Accept and as Last-Event-ID, then lines of "Name: value" for the
 * handshake of a WebSocket. */
#include "server/handshake.h"
#include "server/head.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one_accept(const char *text)
{
    uint64_t number = 0;
    enum cf_accept accept = cf_head_accept(text);
    assert(accept <= CF_ACCEPT_NONE);
    if (accept == CF_ACCEPT_SSE)
        assert(strcasestr(text, "text/event-stream"));
    if (cf_head_number(text, &number))
        assert(strspn(text, "0123456789") == strlen(text) && *text);
}

static void one_handshake(char *lines)
{
    struct cf_handshake h = { 0 };
    struct cf_error error = { 0 };
    char accept[CF_HANDSHAKE_ACCEPT_BYTES];
    char *save = NULL;
    for (char *line = strtok_r(lines, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        size_t name = strcspn(line, ":");
        if (line[name])
            cf_handshake_note(&h, line, name, line + name + 1 + strspn(line + name + 1, " "));
    }
    if (cf_handshake_check(&h, accept, &error) == 0)
        assert(strlen(accept) == CF_HANDSHAKE_ACCEPT_BYTES - 1 && !cf_handshake_is_other_version(&h));
    else
        assert(error.code == CF_E_MALFORMED && error.field[0] && error.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = strndup((const char *)data, size);
    if (!text)
        return 0;
    char *rest = strchr(text, '\n');
    if (rest)
        *rest++ = '\0';
    one_accept(text);
    one_handshake(rest ? rest : text + strlen(text));
    free(text);
    return 0;
}
