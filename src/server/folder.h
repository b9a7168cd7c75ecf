/* folder.h: the folders that hold the server's own files. */
#ifndef CURFEW_SERVER_FOLDER_H
#define CURFEW_SERVER_FOLDER_H

#include <sys/types.h>

/* Makes the missing folders above the file `path`, each with `mode`.  0 or -1 and errno. */
int cf_folder_above(const char *path, mode_t mode);

#endif
