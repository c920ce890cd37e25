#pragma once
/* cgroup_find: where in the file system the control groups of this process are. */

#include <stddef.h>

#include "kit/cleanup.h"

/* In the formats of these two of /proc, which are what it is about. */
typedef struct CgroupFiles {
        const char *own;    /* "/proc/self/cgroup" */
        const char *mounts; /* "/proc/self/mountinfo" */
} CgroupFiles;

extern const CgroupFiles cgroup_files_of_self;

/*
 * The folder of this process's group in the hierarchy that has that controller, or, when controller
 * is NULL, in the unified one (version 2). Seen through cgroup namespaces and mounts of a part only
 * (containers). Returns 0; -ENOENT when there is no such hierarchy, or it is not mounted where this
 * process can see its own group in it; or another -errno. Logs nothing: that there is none is an
 * answer.
 */
_must_check_ int cgroup_find(const CgroupFiles *files, const char *controller, char *ret_path,
                             size_t size);
