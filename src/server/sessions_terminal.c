/* sessions_terminal.c: sessions with a terminal, and who looks at them. */
#include "server/attach.h"
#include "server/sessions_private.h"

#include <string.h>

/* What a viewer types is a use of the session. */
static int on_type(void *arg, const char *bytes, size_t len, size_t *ret_typed, struct cf_error *error)
{
    struct session *s = arg;
    int code = cf_shell_type_some(s->shell, bytes, len, ret_typed, error);
    if (code == 0)
        (void)cf_sessions_touch(s->all, s->handle, cf_clock_now().mono_ns, CF_USE_VIEWER);
    return code;
}

static int on_resize(void *arg, unsigned cols, unsigned rows, struct cf_error *error)
{
    struct session *s = arg;
    return cf_sessions_resize(s->all, s->handle, cols, rows, error);
}

void cf_sessions_on_room(struct cf_shell *shell, void *arg)
{
    struct session *s = arg;
    (void)shell;
    if (s->viewers != NULL)
        cf_viewers_room(s->viewers);
}

int cf_sessions_open_terminal(struct session *s, struct cf_error *error)
{
    static const struct cf_viewers_events events = { .type = on_type, .resize = on_resize };
    const struct cf_settings *settings = &s->all->server->settings;
    if (s->cols == 0 || s->viewers != NULL)
        return 0;
    const struct cf_viewers_options options = {
        .loop = s->all->server->loop, .journal = cf_shell_journal(s->shell), .cols = s->cols, .rows = s->rows,
        .max = (unsigned)settings->viewers_max, .lag_bytes = (uint64_t)settings->viewer_lag_bytes,
        .single = strcmp(settings->terminal_input, "single") == 0,
    };
    s->viewers = cf_viewers_new(&options, &events, s);
    return s->viewers != NULL ? 0 : cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
}

struct cf_viewers *cf_sessions_viewers(const struct cf_sessions *all, cf_handle handle)
{
    struct session *s = cf_sessions_get(all, handle);
    return s != NULL && s->started ? s->viewers : NULL;
}

int cf_sessions_resize(struct cf_sessions *all, cf_handle handle, unsigned cols, unsigned rows, struct cf_error *error)
{
    struct session *s = cf_sessions_get(all, handle);
    struct cf_shell *shell = cf_sessions_shell(all, handle, error);
    int code = shell != NULL ? cf_shell_resize(shell, cols, rows, error) : error->code;
    if (code != 0)
        return code;
    s->cols = cols;
    s->rows = rows;
    cf_viewers_resized(s->viewers, cols, rows);
    return 0;
}

void cf_sessions_touch_at_work(struct cf_sessions *all, struct cf_now now)
{
    for (uint32_t i = 0; i < all->slot_count; i++) {
        struct session *s = all->by_slot[i];
        if (s != NULL && s->viewers != NULL && s->started && cf_shell_at_work(s->shell))
            (void)cf_sessions_touch(all, s->handle, now.mono_ns, CF_USE_TERMINAL);
    }
}
