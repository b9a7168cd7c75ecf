#include "base/environment.h"

#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *hidden;
static size_t hidden_bytes;

int cf_environment_hide(void)
{
    size_t count = 0, bytes = 0;
    for (; environ != NULL && environ[count] != NULL; count++)
        bytes += strlen(environ[count]) + 1;
    if (hidden != NULL || count == 0)
        return 0;
    hidden_bytes = (count + 1) * sizeof *environ + bytes;
    void *memory = mmap(NULL, hidden_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return -1;
    hidden = memory;
    char **moved = memory, *to = (char *)(moved + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(environ[i]) + 1;
        moved[i] = memcpy(to, environ[i], len);
        explicit_bzero(environ[i], len);
        to += len;
    }
    moved[count] = NULL;
    environ = moved;
    cf_environment_share(false);
    return 0;
}

void cf_environment_share(bool on)
{
    if (hidden != NULL)
        (void)madvise(hidden, hidden_bytes, on ? MADV_KEEPONFORK : MADV_WIPEONFORK);  /* of Linux 4.14, as pidfds are of 5.3 */
}
