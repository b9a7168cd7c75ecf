#include "cli/tty.h"

#include <sys/ioctl.h>
#include <unistd.h>

#define SIZE_MAX_CELLS 1000

void cf_tty_size(int *ret_cols, int *ret_rows)
{
    static const int fds[] = {STDOUT_FILENO, STDIN_FILENO, STDERR_FILENO};
    struct winsize size;

    *ret_cols = 80;
    *ret_rows = 24;
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (ioctl(fds[i], TIOCGWINSZ, &size) < 0 || size.ws_col == 0 || size.ws_row == 0)
            continue;
        *ret_cols = size.ws_col < SIZE_MAX_CELLS ? size.ws_col : SIZE_MAX_CELLS;
        *ret_rows = size.ws_row < SIZE_MAX_CELLS ? size.ws_row : SIZE_MAX_CELLS;
        return;
    }
}
