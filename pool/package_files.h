#pragma once
/*
 * package_files: the files of installed packages in a packages folder, found by what their
 * dist-info says of them. That is written by whoever made the wheel, so it can name files of other
 * packages of the same session, but nothing outside of the folder.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kit/cleanup.h"

/* Copies the METADATA of all packages, for pip to see, into an empty folder. Some may be missing
 * when they are no proper files, or no text. */
_must_check_ int package_files_copy_metadata(int packages_fd, int to_fd);

/* Removes the package of that name, in any version, and folders that become empty. 0 also when
 * there is none. */
_must_check_ int package_files_remove(int packages_fd, const char *name);

/* How much room that would make, at least: blocks of the plain files that records name, each file
 * once, whatever else they say. */
_must_check_ int package_files_measure(int packages_fd, const char *const *names, size_t n_names,
                                       uint64_t *ret_bytes);

/* In a dist-info whose package is being put in or removed: nobody counts it as installed. A server
 * that is killed meanwhile leaves it, and whoever installs the package then has it whole. */
#define PACKAGE_UNFINISHED "HATCHERY-UNFINISHED"

bool package_files_is_finished(int dist_info_fd);
/* Before the files of a wheel, an open folder, are put into a packages folder: marks what there
 * will be, and brings the records, by which all of it can be removed. -ENOSPC, … */
_must_check_ int package_files_begin(int packages_fd, int files_fd);
/* After it. */
_must_check_ int package_files_end(int packages_fd, int files_fd);
