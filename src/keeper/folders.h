/* folders.h: the keeper's folders and its lock. */
#ifndef CURFEW_KEEPER_FOLDERS_H
#define CURFEW_KEEPER_FOLDERS_H

#include "base/error.h"

#include <sys/types.h>

/* Makes a folder with all above it that are missing.  One that is there keeps its mode, and has to be ours or root's
 * and writable by nobody else, as has to be the symbolic link that leads to it.  0 or CF_E_SYSTEM. */
int cf_folder_make(const char *path, mode_t mode, struct cf_error *error);

/* Takes the lock of a state or runtime folder until the descriptor is closed.  0, CF_E_BUSY when another keeper has
 * it (which the text names), or CF_E_SYSTEM. */
int cf_folder_lock(const char *folder, int *ret_lock_fd, struct cf_error *error);

/* Removes all that is in the folder, following no symbolic link; the folder stays.  No such folder: nothing to do.
 * Returns how many entries could not be removed. */
unsigned cf_folder_empty(const char *path);

#endif
