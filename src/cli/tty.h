/* tty.h: the terminal that curfew itself was started in. */
#ifndef CURFEW_CLI_TTY_H
#define CURFEW_CLI_TTY_H

/* Its size, each from 1 to 1000; 80 and 24 where there is none. */
void cf_tty_size(int *ret_cols, int *ret_rows);

#endif
