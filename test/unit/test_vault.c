/* What outlives a server: records are there whole or not at all, whoever reads them, and however the writer went. */
#include "server/vault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The form of it that a server of this build relies upon: what the tests damage. */
#define FIRST_BLOCK 16384u
#define LIVE 0x4c495645u
struct block {
    uint32_t state;
    uint16_t class, kind;
    uint32_t len, number;
    uint64_t key, serial;
};

static struct cf_vault *fresh(void)
{
    struct cf_vault *v = cf_vault_new();
    assert_non_null(v);
    return v;
}

/* As the next server has it: by the descriptor alone. */
static struct cf_vault *next_of(struct cf_vault *v)
{
    int fd = dup(cf_vault_fd(v));
    assert_true(fd >= 0);
    cf_vault_free(&v);
    assert_null(v);
    return cf_vault_open(fd);
}

static struct block *block_of(struct cf_vault *v, cf_vault_ref ref)
{
    return (struct block *)cf_vault_data(v, ref) - 1;
}

static unsigned count(const struct cf_vault *v)
{
    struct cf_vault_record r;
    uint64_t cursor = 0;
    unsigned n = 0;
    while (cf_vault_next(v, &cursor, &r))
        n++;
    return n;
}

static bool find(const struct cf_vault *v, enum cf_vault_kind kind, uint64_t key, uint32_t number, struct cf_vault_record *ret)
{
    uint64_t cursor = 0;
    while (cf_vault_next(v, &cursor, ret))
        if (ret->kind == kind && ret->key == key && ret->number == number)
            return true;
    return false;
}

/* ---- records ---- */

static void put_and_found_by_the_next(void **state)
{
    struct cf_vault *v = fresh();
    struct cf_vault_record r;
    cf_vault_ref one = 0, two = 0, none = 0;
    assert_int_equal(count(v), 0);
    assert_true(cf_vault_put(v, &one, CF_VAULT_SESSION, 7, 3, "seven", 5));
    assert_true(cf_vault_put(v, &two, CF_VAULT_SHELL, 7, 3, "", 0));
    assert_true(cf_vault_make(v, &none, CF_VAULT_TOMB, 9, 0, 100));
    assert_memory_equal(cf_vault_data(v, one), "seven", 5);
    assert_int_equal((uintptr_t)cf_vault_data(v, one) % 8, 0);
    v = next_of(v);
    assert_non_null(v);
    assert_int_equal(count(v), 3);
    assert_true(find(v, CF_VAULT_SESSION, 7, 3, &r));
    assert_int_equal(r.len, 5);
    assert_memory_equal(r.data, "seven", 5);
    assert_true(r.ref == one && r.data == cf_vault_data(v, one));
    assert_true(find(v, CF_VAULT_SHELL, 7, 3, &r));
    assert_int_equal(r.len, 0);
    assert_true(find(v, CF_VAULT_TOMB, 9, 0, &r));
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(((const char *)r.data)[i], 0);
    cf_vault_free(&v);
}

static void replaced_and_dropped(void **state)
{
    struct cf_vault *v = fresh();
    struct cf_vault_record r;
    cf_vault_ref ref = 0;
    assert_true(cf_vault_put(v, &ref, CF_VAULT_EXEC, 1, 1, "old", 3));
    assert_true(cf_vault_put(v, &ref, CF_VAULT_EXEC, 1, 1, "and much longer than before, so that it lies elsewhere", 54));
    assert_int_equal(count(v), 1);
    v = next_of(v);
    assert_int_equal(count(v), 1);
    assert_true(find(v, CF_VAULT_EXEC, 1, 1, &r));
    assert_int_equal(r.len, 54);
    cf_vault_drop(v, &ref);
    assert_int_equal(ref, 0);
    cf_vault_drop(v, &ref);             /* nothing */
    assert_null(cf_vault_data(v, ref));
    assert_int_equal(count(v), 0);
    v = next_of(v);
    assert_int_equal(count(v), 0);
    cf_vault_free(&v);
}

static void what_is_dropped_is_used_again(void **state)
{
    struct cf_vault *v = fresh();
    cf_vault_ref refs[64] = { 0 };
    char data[4000] = "x";
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < 64; i++)
            assert_true(cf_vault_put(v, &refs[i], CF_VAULT_HEAD, i + 1, 0, data, 1 + (i * 61) % sizeof data));
        for (size_t i = 0; i < 64; i += 2)
            cf_vault_drop(v, &refs[i]);
        if (round == 100)
            v = next_of(v);             /* which finds the free ones as well */
    }
    assert_true(cf_vault_bytes(v) <= 1u << 20);
    cf_vault_free(&v);
}

static void named_by_one_store(void **state)
{
    struct cf_vault *v = fresh();
    struct cf_vault_record r;
    cf_vault_ref old = 0, new = 0;
    assert_true(cf_vault_put(v, &old, CF_VAULT_SPOOL, 5, 0, "old", 3));
    assert_true(cf_vault_make(v, &new, CF_VAULT_SPOOL, 0, 0, 3));
    memcpy(cf_vault_data(v, new), "new", 3);
    v = next_of(v);                     /* it died before: the old one counts */
    assert_true(find(v, CF_VAULT_SPOOL, 5, 0, &r));
    assert_memory_equal(r.data, "old", 3);
    cf_vault_name(v, new, 5);
    v = next_of(v);                     /* and behind it the new one, of the two that are there */
    assert_int_equal(count(v), 1);
    assert_true(find(v, CF_VAULT_SPOOL, 5, 0, &r));
    assert_memory_equal(r.data, "new", 3);
    cf_vault_name(v, 0, 5);             /* nothing */
    cf_vault_free(&v);
}

static void the_later_of_two_counts(void **state)
{
    struct cf_vault *v = fresh();
    struct cf_vault_record r;
    cf_vault_ref refs[3] = { 0 };
    for (int i = 0; i < 3; i++)         /* as when one was being put anew at that moment: the old one was not given up yet */
        assert_true(cf_vault_put(v, &refs[i], CF_VAULT_SERVER, 0, 0, &i, sizeof i));
    assert_int_equal(count(v), 3);
    v = next_of(v);
    assert_int_equal(count(v), 1);
    assert_true(find(v, CF_VAULT_SERVER, 0, 0, &r));
    assert_int_equal(*(int *)r.data, 2);
    /* And what it puts is later than all that there was. */
    cf_vault_ref ref = 0;
    int four = 4;
    assert_true(cf_vault_put(v, &ref, CF_VAULT_SERVER, 0, 0, &four, sizeof four));
    v = next_of(v);
    assert_int_equal(count(v), 1);
    assert_true(find(v, CF_VAULT_SERVER, 0, 0, &r));
    assert_int_equal(*(int *)r.data, 4);
    cf_vault_free(&v);
}

static void half_written_is_not_there(void **state)
{
    struct cf_vault *v = fresh();
    struct cf_vault_record r;
    cf_vault_ref old = 0, half = 0;
    assert_true(cf_vault_put(v, &old, CF_VAULT_SHELL, 1, 0, "whole", 5));
    assert_true(cf_vault_put(v, &half, CF_VAULT_SHELL, 1, 0, "ha", 2));
    block_of(v, half)->state = 0;       /* it is marked last */
    v = next_of(v);
    assert_int_equal(count(v), 1);
    assert_true(find(v, CF_VAULT_SHELL, 1, 0, &r));
    assert_memory_equal(r.data, "whole", 5);
    uint64_t before = cf_vault_bytes(v);
    half = 0;
    assert_true(cf_vault_put(v, &half, CF_VAULT_SHELL, 2, 0, "again", 5));      /* in its place */
    assert_int_equal(cf_vault_bytes(v), before);
    assert_int_equal(count(v), 2);
    cf_vault_free(&v);
}

static void dropped_on_the_way(void **state)
{
    struct cf_vault *v = fresh();
    struct cf_vault_record r;
    uint64_t cursor = 0;
    cf_vault_ref refs[100] = { 0 };
    unsigned seen = 0;
    for (uint32_t i = 0; i < 100; i++)
        assert_true(cf_vault_put(v, &refs[i], CF_VAULT_EXEC, 1, i, &i, sizeof i));
    while (cf_vault_next(v, &cursor, &r)) {
        cf_vault_ref ref = r.ref;
        assert_int_equal(*(uint32_t *)r.data, seen++);
        cf_vault_drop(v, &ref);
    }
    assert_int_equal(seen, 100);
    assert_int_equal(count(v), 0);
    cf_vault_free(&v);
}

static void numbers_are_given_once(void **state)
{
    struct cf_vault *v = fresh();
    assert_int_equal(cf_vault_number(v), 1);
    assert_int_equal(cf_vault_number(v), 2);
    v = next_of(v);
    assert_int_equal(cf_vault_number(v), 3);
    cf_vault_free(&v);
    uint64_t one = cf_vault_number(NULL);
    assert_int_equal(cf_vault_number(NULL), one + 1);
}

static void the_hand_stays(void **state)
{
    struct cf_vault *v = fresh();
    struct cf_vault_hand *hand = cf_vault_hand(v);
    assert_int_equal(hand->key, 0);
    hand->key = 42;
    hand->len = 5;
    memcpy(hand->bytes, "bytes", 5);
    v = next_of(v);
    hand = cf_vault_hand(v);
    assert_true(hand->key == 42 && hand->len == 5 && memcmp(hand->bytes, "bytes", 5) == 0);
    cf_vault_free(&v);
}

static void none_at_all(void **state)
{
    cf_vault_ref ref = 0;
    struct cf_vault_record r;
    uint64_t cursor = 0;
    struct cf_vault *none = NULL;
    assert_true(cf_vault_put(NULL, &ref, CF_VAULT_SHELL, 1, 1, "x", 1));
    assert_true(cf_vault_make(NULL, &ref, CF_VAULT_SHELL, 1, 1, 1));
    assert_int_equal(ref, 0);
    cf_vault_name(NULL, 1, 1);
    cf_vault_drop(NULL, &ref);
    assert_null(cf_vault_data(NULL, 1));
    assert_null(cf_vault_hand(NULL));
    assert_false(cf_vault_next(NULL, &cursor, &r));
    assert_int_equal(cf_vault_bytes(NULL), 0);
    cf_vault_free(&none);
}

/* ---- what is refused ---- */

static void refused(struct cf_vault *v)
{
    v = next_of(v);
    assert_null(v);
}

static struct cf_vault *with_two(cf_vault_ref *ret)
{
    struct cf_vault *v = fresh();
    cf_vault_ref other = 0;
    *ret = 0;
    assert_true(cf_vault_put(v, ret, CF_VAULT_SHELL, 1, 0, "one", 3));
    assert_true(cf_vault_put(v, &other, CF_VAULT_SHELL, 2, 0, "two", 3));
    return v;
}

static void damage_is_refused(void **state)
{
    cf_vault_ref ref;
    struct cf_vault *v = with_two(&ref);
    uint64_t *header = (uint64_t *)((char *)cf_vault_data(v, ref) - sizeof(struct block) - FIRST_BLOCK);
    header[0] ^= 1;                     /* another build's */
    refused(v);
    for (uint64_t used = 0; used < FIRST_BLOCK + 192; used += 32) {
        v = with_two(&ref);
        header = (uint64_t *)((char *)cf_vault_data(v, ref) - sizeof(struct block) - FIRST_BLOCK);
        if (used == FIRST_BLOCK || used == FIRST_BLOCK + 64 || used == header[1]) {
            cf_vault_free(&v);          /* ends between two blocks */
            continue;
        }
        header[1] = used;
        refused(v);
    }
    v = with_two(&ref);
    header = (uint64_t *)((char *)cf_vault_data(v, ref) - sizeof(struct block) - FIRST_BLOCK);
    header[1] = UINT64_MAX;
    refused(v);
    v = with_two(&ref);
    block_of(v, ref)->class = 21;
    refused(v);
    v = with_two(&ref);
    block_of(v, ref)->class = 20;       /* longer than all that there is */
    refused(v);
    v = with_two(&ref);
    block_of(v, ref)->len = 33;         /* longer than its block */
    refused(v);
    v = with_two(&ref);
    block_of(v, ref)->len = UINT32_MAX;
    refused(v);
    v = with_two(&ref);
    block_of(v, ref)->kind = 0;
    refused(v);
    v = with_two(&ref);
    block_of(v, ref)->kind = CF_VAULT_KINDS;
    refused(v);
    v = with_two(&ref);                 /* of a free block only the length of it matters */
    block_of(v, ref)->state = 0;
    block_of(v, ref)->kind = CF_VAULT_KINDS;
    v = next_of(v);
    assert_non_null(v);
    assert_int_equal(count(v), 1);
    cf_vault_free(&v);
}

static void what_is_none_is_refused(void **state)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    assert_null(cf_vault_open(fd));
    assert_int_equal(fcntl(fd, F_GETFD), -1);           /* taken over all the same */
    fd = memfd_create("test", MFD_CLOEXEC);
    assert_int_equal(ftruncate(fd, 1 << 20), 0);
    assert_null(cf_vault_open(fd));
    fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    assert_null(cf_vault_open(fd));
    assert_null(cf_vault_open(-1));
}

/* ---- memory ---- */

static void all_lengths(void **state)
{
    struct cf_vault *v = fresh();
    struct cf_vault_record r;
    static char data[4u << 20];
    cf_vault_ref refs[128] = { 0 };
    uint32_t n = 0;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i * 31 >> 3);
    for (size_t len = 32; len <= sizeof data; len *= 2)
        for (size_t at = len - 1; at <= len + 1 && at <= sizeof data; at++, n++)
            assert_true(cf_vault_put(v, &refs[n], CF_VAULT_HEAD, at, n, data, at));
    v = next_of(v);
    assert_int_equal(count(v), n);
    n = 0;
    for (size_t len = 32; len <= sizeof data; len *= 2)
        for (size_t at = len - 1; at <= len + 1 && at <= sizeof data; at++, n++) {
            assert_true(find(v, CF_VAULT_HEAD, at, n, &r));
            assert_int_equal(r.len, at);
            assert_memory_equal(r.data, data, at);
        }
    cf_vault_ref ref = 0;
    assert_false(cf_vault_make(v, &ref, CF_VAULT_HEAD, 1, 1, CF_VAULT_RECORD_MAX));     /* no room for its head */
    assert_false(cf_vault_make(v, &ref, CF_VAULT_HEAD, 1, 1, SIZE_MAX));
    assert_int_equal(ref, 0);
    assert_true(cf_vault_make(v, &ref, CF_VAULT_HEAD, 1, 1, CF_VAULT_RECORD_MAX - sizeof(struct block)));
    cf_vault_free(&v);
}

static void check_as_before(struct cf_vault *v, cf_vault_ref ref, uint64_t bytes)
{
    struct cf_vault_record r;
    assert_int_equal(cf_vault_bytes(v), bytes);
    assert_int_equal(count(v), 1);
    assert_true(find(v, CF_VAULT_SHELL, 1, 0, &r));
    assert_true(r.ref == ref && r.len == 3 && memcmp(r.data, "old", 3) == 0);
}

static void without_memory_all_is_as_before(void **state)
{
    struct cf_vault *v = fresh();
    cf_vault_ref ref = 0, before, other = 0;
    struct rlimit was, least;
    assert_true(cf_vault_put(v, &ref, CF_VAULT_SHELL, 1, 0, "old", 3));
    uint64_t bytes = cf_vault_bytes(v);
    before = ref;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    least = (struct rlimit){ .rlim_cur = bytes, .rlim_max = was.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &least), 0);
    bool made = cf_vault_make(v, &ref, CF_VAULT_SHELL, 1, 0, 1 << 20);
    bool small = cf_vault_put(v, &other, CF_VAULT_SHELL, 2, 0, "small", 5);    /* what fits goes on */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_false(made);
    assert_true(small);
    cf_vault_drop(v, &other);
    assert_int_equal(ref, before);
    check_as_before(v, ref, bytes);
    assert_true(cf_vault_make(v, &ref, CF_VAULT_SHELL, 1, 0, 1 << 20));         /* there is memory again */
    v = next_of(v);
    assert_int_equal(count(v), 1);
    cf_vault_free(&v);
}

static void none_without_memory_for_the_first_pages(void **state)
{
    struct rlimit was, least;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &was), 0);
    least = (struct rlimit){ .rlim_cur = 4096, .rlim_max = was.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &least), 0);
    struct cf_vault *v = cf_vault_new();
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &was), 0);
    assert_null(v);
}

/* ---- at random ---- */

#define NAMES 300
#define STEPS 100000

struct model {
    cf_vault_ref ref;
    uint32_t len, seed;
};

static uint32_t random_of(uint32_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 17;
    *x ^= *x << 5;
    return *x;
}

static void fill(char *data, uint32_t len, uint32_t seed)
{
    for (uint32_t i = 0; i < len; i++)
        data[i] = (char)(seed + i * 2654435761u / 7);
}

static void compare(struct cf_vault *v, struct model *all, char *scratch)
{
    struct cf_vault_record r;
    uint64_t cursor = 0;
    unsigned here = 0, there = 0;
    while (cf_vault_next(v, &cursor, &r)) {
        struct model *m = &all[r.key * 10 + r.number];
        assert_true(r.key < NAMES / 10 && r.number < 10);
        assert_int_equal(r.kind, 1 + r.number % (CF_VAULT_KINDS - 1));
        assert_true(m->ref == r.ref && m->len == r.len);
        fill(scratch, m->len, m->seed);
        assert_memory_equal(r.data, scratch, m->len);
        here++;
    }
    for (unsigned i = 0; i < NAMES; i++)
        there += all[i].ref != 0;
    assert_int_equal(here, there);
}

static void as_a_model_has_it(void **state)
{
    struct cf_vault *v = fresh();
    struct model *all = calloc(NAMES, sizeof *all);
    static char data[1u << 16];
    uint32_t x = 88172645u, most = 0;
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t which = random_of(&x) % NAMES, what = random_of(&x) % 100;
        struct model *m = &all[which];
        if (what < 30) {
            cf_vault_drop(v, &m->ref);
        } else {
            m->len = random_of(&x) % (random_of(&x) % 50 == 0 ? sizeof data : 500);
            m->seed = random_of(&x);
            fill(data, m->len, m->seed);
            assert_true(cf_vault_put(v, &m->ref, (enum cf_vault_kind)(1 + which % 10 % (CF_VAULT_KINDS - 1)), which / 10, which % 10, data, m->len));
        }
        if (random_of(&x) % 500 == 0) {
            v = next_of(v);
            assert_non_null(v);
            compare(v, all, data);
        }
        if (cf_vault_bytes(v) > most)
            most = (uint32_t)cf_vault_bytes(v);
    }
    compare(v, all, data);
    assert_true(most < 64u << 20);      /* it does not grow for ever */
    free(all);
    cf_vault_free(&v);
}

int main(void)
{
#define TEST(title, function) { .name = title, .test_func = function }
    const struct CMUnitTest tests[] = {
        TEST("a record that was put is found by whoever opens the descriptor", put_and_found_by_the_next),
        TEST("a record put anew takes the place of the old one, and one that is dropped is gone", replaced_and_dropped),
        TEST("what is dropped is used again", what_is_dropped_is_used_again),
        TEST("a record gets its name by one store", named_by_one_store),
        TEST("of two records with one name the later one counts", the_later_of_two_counts),
        TEST("a record that was half written is not there, and its place is used again", half_written_is_not_there),
        TEST("records may be dropped on a walk", dropped_on_the_way),
        TEST("a number is given once, also by the next", numbers_are_given_once),
        TEST("what was in the hand is in it still", the_hand_stays),
        TEST("without a vault nothing happens", none_at_all),
        TEST("a damaged header, class, length or kind is refused", damage_is_refused),
        TEST("what is no vault is refused and closed", what_is_none_is_refused),
        TEST("records of every length up to 64 MiB", all_lengths),
        TEST("without memory all is as before, and what fits goes on", without_memory_all_is_as_before),
        TEST("without memory for its first pages there is none", none_without_memory_for_the_first_pages),
        TEST("100,000 random steps, opened anew in between, are as a model has them", as_a_model_has_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
