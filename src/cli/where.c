#include "cli/where.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int token_add(struct cf_where *where, const char *token, struct cf_error *error)
{
    size_t len = strcspn(token, "\r\n");

    if (len == 0 || len > 4096 || token[len + strspn(token + len, "\r\n")] != '\0')
        return cf_error_set(error, CF_E_INVALID, "token", "the token must be one line of 1 to 4096 bytes");
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)token[i] <= ' ' || (unsigned char)token[i] > '~')
            return cf_error_set(error, CF_E_INVALID, "token", "the token has a byte that no token may have");
    snprintf(where->token, sizeof where->token, "Authorization: Bearer %.*s", (int)len, token);
    return 0;
}

static int token_read(struct cf_where *where, const char *path, struct cf_error *error)
{
    char *text;
    size_t len;
    int rc;

    if (cf_fd_read_file(AT_FDCWD, path, 4200, &text, &len) < 0)
        return cf_error_set(error, CF_E_UNAUTHORIZED, "token_file", "the token file %s cannot be read: %s", path,
                            strerror(errno));
    rc = token_add(where, text, error);
    free(text);
    return rc;
}

/* The server's own token file is offered only to the server that the same settings describe. */
static int token_find(struct cf_where *where, const struct cf_where_flags *flags, const struct cf_settings *settings,
                      bool local, struct cf_error *error)
{
    const char *token = getenv("CURFEW_TOKEN"), *file = getenv("CURFEW_TOKEN_FILE");

    if (flags->token_file)
        return token_read(where, flags->token_file, error);
    if (token && *token)
        return token_add(where, token, error);
    if (file && *file)
        return token_read(where, file, error);
    if (local && settings->token_required)
        return token_read(where, settings->token_file, error);
    return 0;
}

static int address_url(struct cf_where *where, const char *url, struct cf_error *error)
{
    size_t len = strlen(url);

    while (len > 0 && url[len - 1] == '/')
        len--;
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
        return cf_error_set(error, CF_E_INVALID, "url", "the address must begin with http:// or https://, not \"%s\"",
                            url);
    if (len >= sizeof where->base)
        return cf_error_set(error, CF_E_INVALID, "url", "the address is longer than %zu bytes",
                            sizeof where->base - 1);
    snprintf(where->base, sizeof where->base, "%.*s", (int)len, url);
    snprintf(where->name, sizeof where->name, "%s", where->base);
    return 0;
}

static int address_socket(struct cf_where *where, const char *path, struct cf_error *error)
{
    if (*path == '\0' || strlen(path) >= sizeof where->socket)
        return cf_error_set(error, CF_E_INVALID, "socket", "the socket's path must have 1 to %zu bytes",
                            sizeof where->socket - 1);
    snprintf(where->socket, sizeof where->socket, "%s", path);
    snprintf(where->base, sizeof where->base, "http://localhost");
    snprintf(where->name, sizeof where->name, "unix:%s", path);
    return 0;
}

static int address_find(struct cf_where *where, const struct cf_where_flags *flags,
                        const struct cf_settings *settings,
                        bool *ret_local, struct cf_error *error)
{
    const char *url = flags->url ? flags->url : flags->socket ? NULL : getenv("CURFEW_URL");
    char text[300];

    *ret_local = false;
    if (url && *url)
        return address_url(where, url, error);
    if (flags->socket)
        return address_socket(where, flags->socket, error);
    *ret_local = true;
    if (strcmp(settings->socket, "none") != 0)
        return address_socket(where, settings->socket, error);
    snprintf(text, sizeof text, strchr(settings->host, ':') ? "http://[%s]:%d" : "http://%s:%d", settings->host,
             (int)settings->port);
    return address_url(where, text, error);
}

int cf_where_find(struct cf_where *where, const struct cf_where_flags *flags, struct cf_error *error)
{
    struct cf_settings settings;
    struct cf_settings_args args;
    struct cf_complaints complaints;
    char *none[] = {NULL};
    bool local;
    int rc;

    memset(where, 0, sizeof *where);
    /* What is wrong in the settings is the server's to complain about; a row that is wrong keeps its default here. */
    cf_complaints_init(&complaints);
    cf_settings_load(&settings, 0, none, environ, &args, &complaints);
    cf_complaints_free(&complaints);
    rc = address_find(where, flags, &settings, &local, error);
    return rc < 0 ? rc : token_find(where, flags, &settings, local, error);
}
