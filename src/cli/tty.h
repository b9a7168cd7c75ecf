/* tty.h: the terminal that curfew itself was started in. */
#ifndef CURFEW_CLI_TTY_H
#define CURFEW_CLI_TTY_H

#include <stdbool.h>
#include <termios.h>

struct cf_tty {
    struct termios before;
    bool raw;
};

/* Its size, each from 1 to 1000; 80 and 24 where there is none. */
void cf_tty_size(int *ret_cols, int *ret_rows);
/* Every key comes as it is typed, none is a signal or an end of file, and output is left as it is.  0 or -1 and
 * errno. */
int cf_tty_raw(struct cf_tty *tty);
/* As it was before; does nothing when it is not raw.  A terminal that is in other hands by now, since we were put into
 * the background, is left alone. */
void cf_tty_restore(struct cf_tty *tty);

#endif
