#pragma once
/*
 * package_files: the files of installed packages in a packages folder, found by what their
 * dist-info says of them. That is written by whoever made the wheel, so it can name files of other
 * packages of the same session, but nothing outside of the folder.
 */

#include "kit/cleanup.h"

/* Copies the METADATA of all packages, for pip to see, into an empty folder. Some may be missing
 * when they are no proper files. */
_must_check_ int package_files_copy_metadata(int packages_fd, int to_fd);

/* Removes the package of that name, in any version, and folders that become empty. 0 also when
 * there is none. */
_must_check_ int package_files_remove(int packages_fd, const char *name);
