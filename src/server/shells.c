/* shells.c: slots with a serial number; a key is both, so that a late report never meets another shell. */
#include "server/shells.h"

#include <stdlib.h>

struct cf_shells {
    const struct cf_shell_host *host;
    struct cf_shell **slots;
    uint32_t *free_slots;
    uint32_t slot_count, free_count;
    uint32_t serial;
};

struct cf_shells *cf_shells_new(const struct cf_shell_host *host)
{
    struct cf_shells *t = calloc(1, sizeof *t);
    if (t != NULL)
        t->host = host;
    return t;
}

void cf_shells_free(struct cf_shells **shells)
{
    struct cf_shells *t = *shells;
    if (t == NULL)
        return;
    for (uint32_t i = 0; i < t->slot_count; i++)
        cf_shell_free(&t->slots[i]);
    free(t->slots);
    free(t->free_slots);
    free(t);
    *shells = NULL;
}

static int grow(struct cf_shells *t)
{
    uint32_t n = t->slot_count ? t->slot_count * 2 : 32;
    struct cf_shell **slots = realloc(t->slots, n * sizeof(struct cf_shell *));
    if (slots == NULL)
        return -1;
    t->slots = slots;
    uint32_t *free_slots = realloc(t->free_slots, n * sizeof *free_slots);
    if (free_slots == NULL)
        return -1;
    t->free_slots = free_slots;
    for (uint32_t i = n; i-- > t->slot_count;) {
        t->slots[i] = NULL;
        t->free_slots[t->free_count++] = i;
    }
    t->slot_count = n;
    return 0;
}

static uint32_t slot_of(uint64_t key)
{
    return (uint32_t)key - 1;
}

static struct cf_shell *find(const struct cf_shells *t, uint64_t key)
{
    uint32_t slot = slot_of(key);
    if (slot >= t->slot_count || t->slots[slot] == NULL || cf_shell_key(t->slots[slot]) != key)
        return NULL;
    return t->slots[slot];
}

int cf_shells_start(struct cf_shells *t, int cwd_fd, const struct cf_shell_events *events, void *arg,
                    struct cf_shell **ret, struct cf_error *error)
{
    if (t->free_count == 0 && grow(t) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    uint32_t slot = t->free_slots[t->free_count - 1];
    uint64_t key = (uint64_t)++t->serial << 32 | (slot + 1);
    int code = cf_shell_start(t->host, key, cwd_fd, events, arg, &t->slots[slot], error);
    if (code != 0)
        return code;
    t->free_count--;
    *ret = t->slots[slot];
    return 0;
}

void cf_shells_drop(struct cf_shells *t, struct cf_shell *shell)
{
    uint32_t slot = slot_of(cf_shell_key(shell));
    cf_shell_free(&t->slots[slot]);
    t->free_slots[t->free_count++] = slot;
}

void cf_shells_on_spawned(struct cf_shells *t, const struct cf_wire_spawned *report)
{
    struct cf_shell *shell = find(t, report->key);
    if (shell != NULL)
        cf_shell_on_spawned(shell, report);
}

void cf_shells_on_signaled(struct cf_shells *t, const struct cf_wire_signaled *report)
{
    struct cf_shell *shell = find(t, report->key);
    if (shell != NULL)
        cf_shell_on_signaled(shell, report);
}

void cf_shells_on_left(struct cf_shells *t, const struct cf_wire_left *report)
{
    struct cf_shell *shell = find(t, report->key);
    if (shell != NULL)
        cf_shell_on_left(shell, report);
}

void cf_shells_on_ended(struct cf_shells *t, const struct cf_wire_ended *report)
{
    struct cf_shell *shell = find(t, report->key);
    if (shell != NULL)
        cf_shell_on_ended(shell, report);
}
