/* workspace.h: folders under the workspace folder, by checked name and without following links. */
#ifndef CURFEW_SERVER_WORKSPACE_H
#define CURFEW_SERVER_WORKSPACE_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

/* Whether `name` may name a workspace: [A-Za-z0-9._-]{1,64}, no leading dot. */
bool cf_workspace_name_ok(const char *name);
/* Opens the folder that holds all workspaces, making it (and what leads to it) when missing. */
int cf_workspace_root(const char *path, int *ret_fd, struct cf_error *error);
/* Whether a user can walk by name to `root`; if not, ret_closed (PATH_MAX bytes) is the folder that stops it.  Only `own`, the
 * server's state folder, is opened for passing through when that is needed: what must stay secret in it is closed by itself. */
bool cf_workspace_way(const char *root, const char *own, uid_t uid, gid_t gid, char *ret_closed);
/* Opens workspace `name`, making it for `uid` when missing, and in it `cwd` (NULL or relative, must exist), beneath `root_fd`
 * only: a link that leads out is refused.  *ret_fd is owned. */
int cf_workspace_open(int root_fd, const char *name, const char *cwd, uid_t uid, gid_t gid, int *ret_fd,
                      struct cf_error *error);
/* The path of an open folder as the kernel knows it (PATH_MAX bytes).  0 or -1. */
int cf_workspace_path(int fd, char *ret_path);
/* Whether process `pid` stands in the folder that `fd` is, or is gone: then it stands nowhere else either. */
bool cf_workspace_stands_in(int fd, int pid);

#endif
