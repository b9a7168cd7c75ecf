/* vault.c: blocks of powers of two behind a header page, one after the other, so that a walk finds them all; free ones are listed in the server's own memory.
 *
 * Two shapes were thought of: this one, and a log of changes that a next server replays.  The log needs replaying code beside the code that
 * changes things, and a snapshot beside both when it grows; here each part writes what it is, and reads that back. */
#include "server/vault.h"

#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Changes with the layout of any record: a server that was built otherwise does not read it. */
#define MAGIC 0x63667661756c7402u
/* Address space for all that it may become. */
#define MAP_BYTES (16ull << 30)
#define FIRST_BLOCK 16384u
#define GROW_BYTES (256u << 10)
#define LEAST_SHIFT 6                   /* 64 bytes, 32 of them the header */
#define CLASSES 21                      /* to 64 MiB */
#define LIVE 0x4c495645u

struct header {
    uint64_t magic;
    uint64_t used;                      /* where the next block will be */
    uint64_t numbers;                   /* that were given */
    uint64_t pad;
    struct cf_vault_hand hand;
};
_Static_assert(sizeof(struct header) <= FIRST_BLOCK, "the header has its pages");

struct block {
    uint32_t state;                     /* LIVE, or anything else: free */
    uint16_t class;
    uint16_t kind;
    uint32_t len, number;
    uint64_t key;
    uint64_t serial;                    /* of two with the same name the higher one counts */
};
_Static_assert(sizeof(struct block) == 32, "a block's header");

struct cf_vault {
    int fd;
    char *map;
    uint64_t size;                      /* bytes that have memory behind them */
    uint64_t serial;
    uint64_t free_blocks[CLASSES];      /* offsets; the next one's is in the first bytes of the data; 0: none */
};

static struct header *header_of(const struct cf_vault *v)
{
    return (struct header *)v->map;
}

static struct block *block_at(const struct cf_vault *v, uint64_t at)
{
    return (struct block *)(v->map + at);
}

static uint64_t *next_free(struct block *b)
{
    return (uint64_t *)(b + 1);
}

static uint64_t size_of(unsigned class)
{
    return 1ull << (LEAST_SHIFT + class);
}

static struct cf_vault *map_it(int fd, uint64_t size)
{
    struct cf_vault *v = calloc(1, sizeof *v);
    char *map = v != NULL ? mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0) : MAP_FAILED;
    if (map == MAP_FAILED) {
        free(v);
        cf_fd_close(&fd);
        return NULL;
    }
    *v = (struct cf_vault){ .fd = fd, .map = map, .size = size };
    return v;
}

struct cf_vault *cf_vault_new(void)
{
    int fd = memfd_create("curfew-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    /* Allocated, not only made longer: a page for which there is no memory when it is written would be a SIGBUS. */
    if (fd >= 0 && fallocate(fd, 0, 0, GROW_BYTES) < 0)
        cf_fd_close(&fd);
    /* Who else could come to it cannot take the memory away from under the server. */
    if (fd >= 0)
        (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL);
    struct cf_vault *v = fd >= 0 ? map_it(fd, GROW_BYTES) : NULL;
    if (v != NULL) {
        header_of(v)->used = FIRST_BLOCK;
        header_of(v)->magic = MAGIC;
    }
    return v;
}

/* Of each name the latest record stays; what a server had begun to put when it died is free. */
static bool settle(struct cf_vault *v)
{
    uint64_t at = FIRST_BLOCK, used = header_of(v)->used;
    while (at < used) {
        struct block *b = block_at(v, at);
        if (b->class >= CLASSES || size_of(b->class) > used - at)
            return false;
        if (b->state == LIVE && (b->len > size_of(b->class) - sizeof *b || b->kind == 0 || b->kind >= CF_VAULT_KINDS))
            return false;
        if (b->state == LIVE && b->serial > v->serial)
            v->serial = b->serial;
        at += size_of(b->class);
    }
    return at == used;
}

static void give(struct cf_vault *v, uint64_t at)
{
    struct block *b = block_at(v, at);
    __atomic_store_n(&b->state, 0, __ATOMIC_RELEASE);
    *next_free(b) = v->free_blocks[b->class];
    v->free_blocks[b->class] = at;
}

static int by_name(const void *left, const void *right)
{
    const struct block *a = *(const struct block *const *)left, *b = *(const struct block *const *)right;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a->serial < b->serial ? -1 : a->serial > b->serial;
}

/* At most one record was being put anew, so there are hardly any: but who says so is the dead. */
static bool drop_doubles(struct cf_vault *v)
{
    uint64_t used = header_of(v)->used;
    size_t count = 0, n = 0;
    for (uint64_t at = FIRST_BLOCK; at < used; at += size_of(block_at(v, at)->class))
        count += block_at(v, at)->state == LIVE;
    struct block **all = malloc((count + 1) * sizeof(struct block *));
    if (all == NULL)
        return false;
    for (uint64_t at = FIRST_BLOCK; at < used; at += size_of(block_at(v, at)->class))
        if (block_at(v, at)->state == LIVE)
            all[n++] = block_at(v, at);
    qsort(all, n, sizeof(struct block *), by_name);
    for (size_t i = 1; i < n; i++)
        if (all[i - 1]->kind == all[i]->kind && all[i - 1]->key == all[i]->key && all[i - 1]->number == all[i]->number)
            all[i - 1]->state = 0;
    free(all);
    for (uint64_t at = FIRST_BLOCK; at < used; at += size_of(block_at(v, at)->class))
        if (block_at(v, at)->state != LIVE)
            give(v, at);
    return true;
}

struct cf_vault *cf_vault_open(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || (uint64_t)st.st_size < GROW_BYTES) {
        cf_fd_close(&fd);
        return NULL;
    }
    struct cf_vault *v = map_it(fd, (uint64_t)st.st_size);
    if (v != NULL && (header_of(v)->magic != MAGIC || header_of(v)->used < FIRST_BLOCK || header_of(v)->used > v->size || !settle(v) || !drop_doubles(v)))
        cf_vault_free(&v);
    return v;
}

void cf_vault_free(struct cf_vault **vault)
{
    struct cf_vault *v = *vault;
    if (v == NULL)
        return;
    munmap(v->map, MAP_BYTES);
    cf_fd_close(&v->fd);
    free(v);
    *vault = NULL;
}

int cf_vault_fd(const struct cf_vault *v)
{
    return v->fd;
}

/* ---- records ---- */

/* Room for a block at the end; what is behind `used` was never written, or is as it was left. */
static bool grow(struct cf_vault *v, uint64_t want)
{
    uint64_t size = v->size + (want > GROW_BYTES ? want : GROW_BYTES);
    if (header_of(v)->used + want <= v->size)
        return true;
    if (size > MAP_BYTES || fallocate(v->fd, 0, (off_t)v->size, (off_t)(size - v->size)) < 0)
        return false;
    v->size = size;
    return true;
}

static uint64_t take(struct cf_vault *v, size_t len)
{
    unsigned class = 0;
    while (size_of(class) - sizeof(struct block) < len)
        class++;
    uint64_t at = v->free_blocks[class];
    if (at != 0) {
        v->free_blocks[class] = *next_free(block_at(v, at));
        return at;
    }
    at = header_of(v)->used;
    if (!grow(v, size_of(class)))
        return 0;
    block_at(v, at)->state = 0;
    block_at(v, at)->class = (uint16_t)class;
    __atomic_store_n(&header_of(v)->used, at + size_of(class), __ATOMIC_RELEASE);
    return at;
}

static bool put(struct cf_vault *v, cf_vault_ref *ref, enum cf_vault_kind kind, uint64_t key, uint32_t number, const void *data, size_t len)
{
    uint64_t at = len <= CF_VAULT_RECORD_MAX - sizeof(struct block) ? take(v, len) : 0, old = *ref;
    if (at == 0)
        return false;
    struct block *b = block_at(v, at);
    b->kind = (uint16_t)kind;
    b->len = (uint32_t)len;
    b->number = number;
    b->key = key;
    b->serial = ++v->serial;
    if (data != NULL)
        memcpy(b + 1, data, len);
    else
        memset(b + 1, 0, len);
    __atomic_store_n(&b->state, LIVE, __ATOMIC_RELEASE);
    *ref = at;
    if (old != 0)
        give(v, old);
    return true;
}

bool cf_vault_put(struct cf_vault *v, cf_vault_ref *ref, enum cf_vault_kind kind, uint64_t key, uint32_t number, const void *data, size_t len)
{
    return v == NULL || put(v, ref, kind, key, number, len > 0 ? data : NULL, len);
}

bool cf_vault_make(struct cf_vault *v, cf_vault_ref *ref, enum cf_vault_kind kind, uint64_t key, uint32_t number, size_t len)
{
    return v == NULL || put(v, ref, kind, key, number, NULL, len);
}

void cf_vault_name(struct cf_vault *v, cf_vault_ref ref, uint64_t key)
{
    if (v != NULL && ref != 0)
        __atomic_store_n(&block_at(v, ref)->key, key, __ATOMIC_RELEASE);
}

void cf_vault_drop(struct cf_vault *v, cf_vault_ref *ref)
{
    if (v != NULL && *ref != 0)
        give(v, *ref);
    *ref = 0;
}

void *cf_vault_data(const struct cf_vault *v, cf_vault_ref ref)
{
    return v != NULL && ref != 0 ? block_at(v, ref) + 1 : NULL;
}

bool cf_vault_next(const struct cf_vault *v, uint64_t *cursor, struct cf_vault_record *ret)
{
    uint64_t at = *cursor != 0 ? *cursor : FIRST_BLOCK;
    for (; v != NULL && at < header_of(v)->used; at += size_of(block_at(v, at)->class)) {
        struct block *b = block_at(v, at);
        if (b->state != LIVE)
            continue;
        *ret = (struct cf_vault_record){ .ref = at, .kind = b->kind, .key = b->key, .number = b->number, .len = b->len, .data = b + 1 };
        *cursor = at + size_of(b->class);
        return true;
    }
    return false;
}

uint64_t cf_vault_number(struct cf_vault *v)
{
    static uint64_t without;
    return v != NULL ? ++header_of(v)->numbers : ++without;
}

struct cf_vault_hand *cf_vault_hand(const struct cf_vault *v)
{
    return v != NULL ? &header_of(v)->hand : NULL;
}

size_t cf_vault_bytes(const struct cf_vault *v)
{
    return v != NULL ? v->size : 0;
}
