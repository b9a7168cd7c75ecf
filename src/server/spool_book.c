/* spool_book.c: single words, in an order. */
#include "server/spool_book.h"

#include <string.h>

static struct cf_book_page *page_of(const struct cf_book *b)
{
    return cf_vault_data(cf_keep_vault(b->keep), b->ref);
}

static void set(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

void cf_book_grow(struct cf_book *b, uint32_t capacity)
{
    struct cf_vault *vault = cf_keep_vault(b->keep);
    struct cf_book_page *old = page_of(b), *page;
    cf_vault_ref fresh = 0;
    if (vault == NULL || (old == NULL && b->ref != 0) || (old != NULL && old->capacity >= capacity))
        return;
    /* Under a name of its own until it is whole: of two with one name the later one would count, empty as it is. */
    if (!cf_vault_make(vault, &fresh, CF_VAULT_SPOOL, 0, 0, sizeof *page + capacity * sizeof page->pieces[0])) {
        cf_vault_drop(vault, &b->ref);
        return;
    }
    page = cf_vault_data(vault, fresh);
    if (old != NULL) {
        *page = *old;
        for (uint64_t i = old->first; i != old->next; i++)
            page->pieces[i & (capacity - 1)] = old->pieces[i & (old->capacity - 1)];
    }
    page->capacity = capacity;
    cf_vault_name(vault, fresh, b->number);
    cf_vault_drop(vault, &b->ref);
    b->ref = fresh;
}

void cf_book_ring(const struct cf_book *b, uint64_t size, uint64_t bound, uint64_t origin)
{
    struct cf_book_page *page = page_of(b);
    if (page == NULL)
        return;
    set(&page->origin, origin);
    set(&page->bound, bound);
    set(&page->size, size);
}

void cf_book_begin(const struct cf_book *b, uint64_t begin, uint64_t first)
{
    struct cf_book_page *page = page_of(b);
    if (page == NULL)
        return;
    set(&page->begin, begin);
    set(&page->first, first);
}

void cf_book_hand(const struct cf_book *b, const struct cf_piece *source)
{
    struct cf_book_page *page = page_of(b);
    if (page != NULL)
        page->hand = *source;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

void cf_book_note(const struct cf_book *b, uint64_t serial, const struct cf_piece *piece)
{
    struct cf_book_page *page = page_of(b);
    if (page == NULL)
        return;
    page->pieces[serial & (page->capacity - 1)] = *piece;
    set(&page->next, serial + 1);
}

void cf_book_longer(const struct cf_book *b, uint64_t serial, uint32_t len)
{
    struct cf_book_page *page = page_of(b);
    if (page != NULL)
        __atomic_fetch_add(&page->pieces[serial & (page->capacity - 1)].len, len, __ATOMIC_RELEASE);
}

bool cf_book_fits(const struct cf_book *b, uint64_t serial, uint32_t len, uint32_t most)
{
    const struct cf_book_page *page = page_of(b);
    return page == NULL || page->pieces[serial & (page->capacity - 1)].len + len <= most;
}

void cf_book_drop(struct cf_book *b)
{
    cf_vault_drop(cf_keep_vault(b->keep), &b->ref);
}
