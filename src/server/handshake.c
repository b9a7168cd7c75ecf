#include "server/handshake.h"

#include <nettle/base64.h>
#include <nettle/sha1.h>
#include <string.h>
#include <strings.h>

#define GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"     /* RFC 6455, 1.3 */
#define KEY_LEN 24                                      /* 16 bytes in base64 */
#define BLANKS " \t"

/* Whether the comma-separated list holds the word, in any case. */
static bool lists(const char *list, const char *word)
{
    size_t word_len = strlen(word);
    while (*list) {
        list += strspn(list, "," BLANKS);
        size_t len = strcspn(list, "," BLANKS);
        if (len == word_len && strncasecmp(list, word, len) == 0)
            return true;
        list += len;
    }
    return false;
}

static bool is(const char *name, size_t len, const char *want)
{
    return strlen(want) == len && strncasecmp(name, want, len) == 0;
}

void cf_handshake_note(struct cf_handshake *h, const char *name, size_t name_len, const char *value)
{
    if (is(name, name_len, "Upgrade")) {
        h->upgrade = value;
        h->upgrades++;
    } else if (is(name, name_len, "Connection")) {
        h->connection |= lists(value, "upgrade");
    } else if (is(name, name_len, "Sec-WebSocket-Version")) {
        h->version = value;
        h->versions++;
    } else if (is(name, name_len, "Sec-WebSocket-Key")) {
        h->key = value;
        h->keys++;
    }
}

static bool is_key(const char *key)
{
    struct base64_decode_ctx decode;
    uint8_t bytes[BASE64_DECODE_LENGTH(KEY_LEN)];
    size_t len = 0;
    if (strlen(key) != KEY_LEN)
        return false;
    base64_decode_init(&decode);
    return base64_decode_update(&decode, &len, bytes, KEY_LEN, key) && base64_decode_final(&decode) && len == 16;
}

/* RFC 6455, 4.2.2, 5.4. */
static void answer(const char *key, char ret_accept[CF_HANDSHAKE_ACCEPT_BYTES])
{
    struct sha1_ctx sha1;
    uint8_t digest[SHA1_DIGEST_SIZE];
    _Static_assert(BASE64_ENCODE_RAW_LENGTH(SHA1_DIGEST_SIZE) + 1 == CF_HANDSHAKE_ACCEPT_BYTES, "room for the answer");
    sha1_init(&sha1);
    sha1_update(&sha1, KEY_LEN, (const uint8_t *)key);
    sha1_update(&sha1, sizeof GUID - 1, (const uint8_t *)GUID);
    sha1_digest(&sha1, sizeof digest, digest);
    base64_encode_raw(ret_accept, sizeof digest, digest);
    ret_accept[CF_HANDSHAKE_ACCEPT_BYTES - 1] = '\0';
}

bool cf_handshake_is_other_version(const struct cf_handshake *h)
{
    return h->upgrade && lists(h->upgrade, "websocket") && h->connection && h->versions == 1 &&
           strcmp(h->version, "13") != 0;
}

int cf_handshake_check(const struct cf_handshake *h, char ret_accept[CF_HANDSHAKE_ACCEPT_BYTES], struct cf_error *error)
{
    if (h->upgrades != 1 || !lists(h->upgrade, "websocket"))
        return cf_error_set(error, CF_E_MALFORMED, "Upgrade", "this path is a WebSocket: Upgrade must be websocket");
    if (!h->connection)
        return cf_error_set(error, CF_E_MALFORMED, "Connection", "Connection must name Upgrade");
    if (h->versions != 1 || strcmp(h->version, "13") != 0)
        return cf_error_set(error, CF_E_MALFORMED, "Sec-WebSocket-Version", "Sec-WebSocket-Version must be 13");
    if (h->keys != 1 || !is_key(h->key))
        return cf_error_set(error, CF_E_MALFORMED, "Sec-WebSocket-Key",
                            "Sec-WebSocket-Key must be 16 bytes in base64");
    answer(h->key, ret_accept);
    return 0;
}
