/* shells.c: slots with a serial number; a key is both, so that a late report never meets another shell.
 *
 * All that a shell needs but its process is made ahead for one shell, and what has ended is removed behind, both when the
 * loop has nothing else to do: its folder with the FIFOs alone takes half as long as a bash start where the runtime folder
 * is on a disk (0.35 ms on ext4, 0.03 ms on tmpfs). */
#include "server/shells.h"

#include "base/log.h"
#include "server/channel.h"
#include "server/priority.h"
#include "server/program.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* Ended shells that wait to be freed; a loop that never rests frees further ones at once. */
#define DROPPED_MAX 1024

struct dropped {
    struct dropped *next;
    struct cf_shell *shell;
};

struct cf_shells {
    struct cf_shell_host *host;
    struct cf_shell **slots;
    uint32_t *free_slots;
    uint32_t slot_count, free_count;
    uint32_t serial;
    uint32_t dropped_count;
    struct cf_shell *spare;             /* the next one, not launched; NULL: none is ready */
    struct dropped *dropped;
    struct event *tidy;                 /* at the lowest priority */
};

static int make(struct cf_shells *t, const struct cf_terminal *terminal, const struct cf_program *program, struct cf_shell **ret,
                struct cf_error *error)
{
    struct cf_shell_host *h = t->host;
    char path[1200];
    uint64_t random;
    /* Sessions may share a user, so a name that one of them could guess would let it read and write another's pipes. */
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return cf_error_set(error, CF_E_SYSTEM, NULL, "no random bytes");
    snprintf(path, sizeof path, "%s/sessions/%016llx", h->settings->runtime_dir, (unsigned long long)random);
    struct cf_channel *channel;
    struct cf_journal *journal = program != NULL && program->journal != NULL ? cf_journal_ref(program->journal) : cf_journal_new(&h->limits, &h->budget);
    if (journal == NULL)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    int code = cf_channel_open(h->loop, path, h->uid, h->gid, journal, h->pace, &channel, error);
    cf_journal_unref(&journal);
    if (code != 0)
        return code;
    return program != NULL ? cf_shell_make_program(h, channel, program, ret, error) : cf_shell_make(h, channel, terminal, ret, error);
}

static void tidy_later(struct cf_shells *t)
{
    struct timeval tv = { 0 };
    if (!evtimer_pending(t->tidy, NULL))
        evtimer_add(t->tidy, &tv);
}

/* One piece of work a turn, so that requests get in between. */
static void on_tidy(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    struct cf_shells *t = arg;
    struct cf_error error;
    struct dropped *d = t->dropped;
    if (d != NULL) {
        t->dropped = d->next;
        t->dropped_count--;
        cf_shell_free(&d->shell);
        free(d);
    } else if (t->spare == NULL && make(t, NULL, NULL, &t->spare, &error) != 0) {
        cf_log(CF_LOG_DEBUG, "no shell ahead: %s", error.text);       /* whoever needs one meets the error itself */
        return;
    }
    if (t->dropped != NULL || t->spare == NULL)
        tidy_later(t);
}

struct cf_shells *cf_shells_new(struct cf_shell_host *host)
{
    struct cf_shells *t = calloc(1, sizeof *t);
    if (t == NULL)
        return NULL;
    t->host = host;
    t->tidy = evtimer_new(host->loop, on_tidy, t);
    if (t->tidy == NULL) {
        free(t);
        return NULL;
    }
    (void)event_priority_set(t->tidy, CF_PRIORITY_IDLE);
    tidy_later(t);
    return t;
}

void cf_shells_free(struct cf_shells **shells)
{
    struct cf_shells *t = *shells;
    if (t == NULL)
        return;
    for (uint32_t i = 0; i < t->slot_count; i++)
        cf_shell_free(&t->slots[i]);
    while (t->dropped != NULL) {
        struct dropped *d = t->dropped;
        t->dropped = d->next;
        cf_shell_free(&d->shell);
        free(d);
    }
    cf_shell_free(&t->spare);
    event_free(t->tidy);
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

static int start(struct cf_shells *t, int cwd_fd, const struct cf_terminal *terminal, const struct cf_program *program,
                 const struct cf_shell_events *events, void *arg, struct cf_shell **ret, struct cf_error *error)
{
    if (t->free_count == 0 && grow(t) < 0)
        return cf_error_set(error, CF_E_NO_MEMORY, NULL, "out of memory");
    uint32_t slot = t->free_slots[t->free_count - 1];
    uint64_t key = (uint64_t)++t->serial << 32 | (slot + 1);
    struct cf_shell *own = NULL, **shell = terminal != NULL || program != NULL ? &own : &t->spare;
    int code = *shell != NULL ? 0 : make(t, terminal, program, shell, error);
    if (code == 0)
        code = cf_shell_launch(*shell, key, cwd_fd, events, arg, error);
    if (code != 0) {
        cf_shell_free(&own);
        return code;
    }
    t->free_count--;
    *ret = t->slots[slot] = *shell;
    *shell = NULL;
    tidy_later(t);
    return 0;
}

int cf_shells_adopt(struct cf_shells *t, struct cf_shell *shell)
{
    uint32_t slot = slot_of(cf_shell_key(shell));
    while (slot >= t->slot_count)
        if (grow(t) < 0)
            return -1;
    if (t->slots[slot] != NULL)
        return -1;
    for (uint32_t i = 0; i < t->free_count; i++)
        if (t->free_slots[i] == slot) {
            t->free_slots[i] = t->free_slots[--t->free_count];
            break;
        }
    t->slots[slot] = shell;
    cf_shells_pass(t, cf_shell_key(shell));
    return 0;
}

void cf_shells_pass(struct cf_shells *t, uint64_t key)
{
    uint32_t serial = (uint32_t)(key >> 32);
    if (serial > t->serial)
        t->serial = serial;
}

void cf_shells_replay(struct cf_shells *t, struct cf_vault_hand *hand)
{
    struct cf_shell *shell = hand != NULL && hand->key != 0 ? find(t, hand->key) : NULL;
    if (shell != NULL)
        cf_shell_replay(shell, hand->bytes, hand->len > 0 && hand->len < sizeof hand->bytes ? hand->len : sizeof hand->bytes - 1);
    if (hand != NULL)
        memset(hand, 0, sizeof *hand);
}

static bool is_ours(const struct cf_shells *t, const char *path)
{
    for (uint32_t i = 0; i < t->slot_count; i++)
        if (t->slots[i] != NULL && strcmp(cf_shell_path(t->slots[i]), path) == 0)
            return true;
    return false;
}

/* A server that dies leaves the folders of shells that were made ahead, or freed later. */
void cf_shells_clean(const struct cf_shells *t)
{
    char folder[1100], path[1400];
    snprintf(folder, sizeof folder, "%s/sessions", t->host->settings->runtime_dir);
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;) {
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.' && !is_ours(t, path))
            cf_channel_discard(path);
    }
    if (dir != NULL)
        closedir(dir);
}

int cf_shells_start(struct cf_shells *t, int cwd_fd, const struct cf_terminal *terminal, const struct cf_shell_events *events, void *arg,
                    struct cf_shell **ret, struct cf_error *error)
{
    return start(t, cwd_fd, terminal, NULL, events, arg, ret, error);
}

int cf_shells_start_program(struct cf_shells *t, int cwd_fd, const struct cf_program *program, const struct cf_shell_events *events,
                            void *arg, struct cf_shell **ret, struct cf_error *error)
{
    return start(t, cwd_fd, NULL, program, events, arg, ret, error);
}

void cf_shells_drop(struct cf_shells *t, struct cf_shell *shell)
{
    uint32_t slot = slot_of(cf_shell_key(shell));
    cf_shell_forget(shell);
    struct dropped *d = t->dropped_count < DROPPED_MAX ? malloc(sizeof *d) : NULL;
    t->slots[slot] = NULL;
    t->free_slots[t->free_count++] = slot;
    if (d == NULL) {
        cf_shell_free(&shell);
        return;
    }
    *d = (struct dropped){ .next = t->dropped, .shell = shell };
    t->dropped = d;
    t->dropped_count++;
    tidy_later(t);
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
