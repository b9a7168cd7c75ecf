#include "bench/table/names.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define SEED UINT64_C(0x5eed0f5e5510f5)

uint64_t names_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Not from malloc, so that what a competitor takes can be told apart. */
static void *take(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
}

/* "s-" and ten digits, then up to seven letters and digits. */
static size_t write_id(char *ret_text, size_t number, uint64_t *seed)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    uint64_t random = names_random(seed);
    size_t len = 12, tail = random % 8;
    ret_text[0] = 's';
    ret_text[1] = '-';
    for (size_t place = 11; place > 1; place--, number /= 10)
        ret_text[place] = (char)('0' + number % 10);
    for (random >>= 8; tail > 0; tail--, random >>= 5)
        ret_text[len++] = letters[random & 31];
    ret_text[len] = '\0';
    return len;
}

bool names_make(struct names *names, size_t count)
{
    uint64_t seed = SEED;
    size_t bytes = 0;
    names->count = count;
    names->ids = take((count + NAMES_EXTRA) * sizeof names->ids[0]);
    names->shuffled = take(count * sizeof names->shuffled[0]);
    names->order = take(count * sizeof names->order[0]);
    if (names->ids == NULL || names->shuffled == NULL || names->order == NULL)
        return false;
    for (size_t i = 0; i < count + NAMES_EXTRA; i++)
        bytes += write_id(names->ids[i].text, i, &seed) + 1;
    names->mean_bytes = (double)bytes / (double)(count + NAMES_EXTRA);
    for (size_t i = 0; i < count; i++)
        names->order[i] = (uint32_t)i;
    for (size_t i = count; i > 1; i--) {
        size_t with = names_random(&seed) % i;
        uint32_t kept = names->order[i - 1];
        names->order[i - 1] = names->order[with];
        names->order[with] = kept;
    }
    for (size_t i = 0; i < count; i++)
        names->shuffled[i] = names->ids[names->order[i]];
    return true;
}

void names_free(struct names *names)
{
    munmap(names->ids, (names->count + NAMES_EXTRA) * sizeof names->ids[0]);
    munmap(names->shuffled, names->count * sizeof names->shuffled[0]);
    munmap(names->order, names->count * sizeof names->order[0]);
    memset(names, 0, sizeof *names);
}
