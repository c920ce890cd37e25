#pragma once
/* measure: what lies below a folder, counted for the janitor while a hostile process may be
 * changing it. No link is followed. */

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

/* Beyond these, or too deep, a folder counts as over any limit. */
#define MEASURE_ENTRIES_MAX 100000

/* A directory of that name, NULL when it is none. */
DIR *measure_open(int parent_fd, const char *name);
/* "." and ".." */
bool measure_is_dot(const char *name);

/* Adds to entries, up to MEASURE_ENTRIES_MAX, and to bytes. depth: of the folder itself, 0 at
 * first. */
void measure_directory(int parent_fd, const char *name, unsigned depth, unsigned *entries,
                       uint64_t *bytes);
/* Of a member of a home (pool/home.h): all below work/ but the workspaces of others, and what they
 * have beside them in their containers. */
void measure_member(int home_fd, unsigned member, unsigned *entries, uint64_t *bytes);
