#pragma once
/* cgroup_folder: what is done to one control group, of whichever version, through a descriptor of
 * its folder. Nothing here logs; callers know whether a failure is one. */

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"

/* Returns a descriptor, or -errno. */
_must_check_ int cgroup_folder_open(int parent_fd, const char *name);

/* Writes to one of its files, in one piece as the kernel wants it. 0 or -errno, which may be
 * nobody's business: not every kernel has every file. */
int cgroup_write(int folder_fd, const char *file, const char *text);
int cgroup_write_number(int folder_fd, const char *file, uint64_t number);

/* The number after a word at the start of a line of an opened file; 0 if it cannot be had. */
uint64_t cgroup_read_count(int fd, const char *word);

/* 1: no process is inside; 0: some are; or -errno. Groups below it do not count in version 1. */
_must_check_ int cgroup_folder_is_empty(int folder_fd);

/* Kills everything inside; in version 1, not what is in groups below. limit_fd: the folder with
 * pids.max in it; the limit is 0 meanwhile, and processes in the end. */
void cgroup_folder_kill(int folder_fd, int limit_fd, unsigned processes);

/* Kills what is inside and below, and removes it all; waits for that up to a second. 0 or -errno.
 */
_must_check_ int cgroup_folder_remove(int parent_fd, const char *name);
