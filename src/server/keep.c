/* keep.c: tags over the wire, and what comes back. */
#include "server/keep.h"

#include "base/fd.h"

#include <stdlib.h>
#include <string.h>

static uint64_t tag_of(enum cf_tag tag, uint32_t number)
{
    return (uint64_t)tag << 32 | number;
}

void cf_keep_hold(const struct cf_keep *keep, uint64_t key, const struct cf_keep_fd *fds, size_t count)
{
    uint64_t tags[CF_WIRE_FDS_MAX];
    int some[CF_WIRE_FDS_MAX];
    uint32_t n = 0;
    if (keep == NULL || keep->link == NULL || keep->leaving)
        return;
    for (size_t i = 0; i < count; i++) {
        if (fds[i].fd >= 0) {
            tags[n] = tag_of(fds[i].tag, fds[i].number);
            some[n++] = fds[i].fd;
        }
        if (n == CF_WIRE_FDS_MAX || (i + 1 == count && n > 0)) {
            cf_link_hold(keep->link, key, tags, some, n);
            n = 0;
        }
    }
}

void cf_keep_drop(const struct cf_keep *keep, uint64_t key, enum cf_tag tag, uint32_t number)
{
    if (keep != NULL && keep->link != NULL && !keep->leaving)
        cf_link_drop(keep->link, key, tag_of(tag, number));
}

/* ---- heirs ---- */

static struct cf_heir *add(struct cf_heirs *h, uint64_t key)
{
    if (h->count == h->room) {
        uint32_t room = h->room > 0 ? h->room * 2 : 64;
        struct cf_heir *all = realloc(h->all, room * sizeof *all);
        if (all == NULL)
            return NULL;
        h->all = all;
        h->room = room;
    }
    h->all[h->count] = (struct cf_heir){ .key = key };
    return &h->all[h->count++];
}

int cf_heirs_add(struct cf_heirs *h, const struct cf_wire_held *held)
{
    struct cf_heir *heir = add(h, held->key);
    if (heir == NULL)
        return -1;
    heir->state = held->session_state;
    heir->hold = held->hold;
    heir->pid = held->pid;
    return 0;
}

/* They come behind their session's HELD, and the server's own before any. */
int cf_heirs_add_fds(struct cf_heirs *h, const struct cf_wire_kept *kept, const int *fds, size_t count)
{
    struct cf_heir *heir = h->count > 0 && h->all[h->count - 1].key == kept->key ? &h->all[h->count - 1] : kept->key == 0 ? add(h, 0) : NULL;
    bool fits = heir != NULL && kept->count == count;
    if (fits && heir->count + count > heir->room) {
        uint32_t room = heir->room > 0 ? heir->room * 2 : CF_WIRE_FDS_MAX;
        struct cf_keep_fd *grown = realloc(heir->fds, room * sizeof *grown);
        fits = grown != NULL;
        if (fits) {
            heir->fds = grown;
            heir->room = room;
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (fits)
            heir->fds[heir->count++] = (struct cf_keep_fd){ .tag = (enum cf_tag)(kept->tags[i] >> 32), .number = (uint32_t)kept->tags[i], .fd = fds[i] };
        else
            cf_fd_close(&(int){ fds[i] });
    }
    return fits ? 0 : -1;
}

static int by_key(const void *left, const void *right)
{
    const struct cf_heir *a = left, *b = right;
    return a->key < b->key ? -1 : a->key > b->key;
}

void cf_heirs_sort(struct cf_heirs *h)
{
    if (h->count > 0)
        qsort(h->all, h->count, sizeof *h->all, by_key);
}

struct cf_heir *cf_heirs_find(const struct cf_heirs *h, uint64_t key)
{
    const struct cf_heir wanted = { .key = key };
    return h->count > 0 ? bsearch(&wanted, h->all, h->count, sizeof *h->all, by_key) : NULL;
}

int cf_heir_take(struct cf_heir *heir, enum cf_tag tag, uint32_t number)
{
    for (uint32_t i = 0; heir != NULL && i < heir->count; i++) {
        if (heir->fds[i].tag != tag || heir->fds[i].number != number)
            continue;
        int fd = heir->fds[i].fd;
        heir->fds[i] = heir->fds[--heir->count];
        return fd;
    }
    return -1;
}

void cf_heirs_free(struct cf_heirs *h)
{
    for (uint32_t i = 0; i < h->count; i++) {
        for (uint32_t k = 0; k < h->all[i].count; k++)
            cf_fd_close(&h->all[i].fds[k].fd);
        free(h->all[i].fds);
    }
    free(h->all);
    *h = (struct cf_heirs){ 0 };
}
