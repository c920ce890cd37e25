#pragma once
/* tree_walk: what the files of tree_* share. */

#include <dirent.h>

#include "kit/cleanup.h"

/* Opens one name below a folder; O_NOFOLLOW and O_CLOEXEC are added, and no mount is crossed.
 * Returns the descriptor or -errno. */
_must_check_ int tree_open(int parent_fd, const char *name, int flags);

/* Gives a folder back the rights that its owner, when that is us, has taken from itself: a run of
 * the server's own user may close its own workspace. */
void tree_open_up(int folder_fd);

/* The same folder once more, for reading; or -errno. */
_must_check_ int tree_open_again(int folder_fd);

/* To read the names of a folder, from the first, whoever else reads it; or NULL and errno. */
DIR *tree_read(int fd);
/* The next but "." and "..", or NULL after the last. */
const char *tree_next_name(DIR *directory);
