#include "cli/tty.h"

#include <stddef.h>
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

int cf_tty_raw(struct cf_tty *tty)
{
    struct termios raw;

    if (!tty->raw && tcgetattr(STDIN_FILENO, &tty->before) < 0)
        return -1;
    raw = tty->before;
    cfmakeraw(&raw);
    raw.c_cc[VMIN] = 1;
    raw.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
        return -1;
    tty->raw = true;
    return 0;
}

/* Nothing is drained and so nothing can block: also on a line that has stopped, we come to our end. */
void cf_tty_restore(struct cf_tty *tty)
{
    pid_t front = tcgetpgrp(STDIN_FILENO);

    if (!tty->raw)
        return;
    tty->raw = false;
    if (front < 0 || front == getpgrp())
        tcsetattr(STDIN_FILENO, TCSANOW, &tty->before);
}
