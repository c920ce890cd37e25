#pragma once
/*
 * cgroup: a control group for each slot, of version 2 where the server's own group is delegated to
 * it with the memory and pids controllers, of version 1 where that is what the host has. Made ahead
 * of any worker; a worker is born in it (CLONE_INTO_CGROUP) or enters it before it is confined.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"

typedef struct CgroupTree {
        int version;            /* 1, 2; 0: none */
        int memory_fd, pids_fd; /* version 1: the server's folder in each hierarchy */
        int unified_fd;         /* version 2 */
        int error;              /* why there is none: errno, and what was tried */
        const char *tried;
} CgroupTree;

/* Finds the groups that this process may divide, makes a folder for the server there, and removes
 * what a server that was killed has left. version 0 is no error. */
_must_check_ int cgroup_tree_open(CgroupTree *ret_tree);
/* Removes the server's folder. */
void cgroup_tree_close(CgroupTree *tree);

typedef struct SlotCgroup {
        int directory_fd;                   /* version 2, for CLONE_INTO_CGROUP; else -1 */
        int memory_procs_fd, pids_procs_fd; /* version 1, open for writing; else -1 */
        int events_fd;                      /* where out-of-memory kills are counted */
        int peak_fd;           /* memory high-water mark, or -1 where the kernel has none */
        uint64_t memory_bytes; /* the limit now in force */
        uint64_t oom_kills;    /* as of the last look */
} SlotCgroup;

#define SLOT_CGROUP_NONE                                                                           \
        ((SlotCgroup){.directory_fd = -1,                                                          \
                      .memory_procs_fd = -1,                                                       \
                      .pids_procs_fd = -1,                                                         \
                      .events_fd = -1,                                                             \
                      .peak_fd = -1})

/* Makes the slot's group. memory_bytes bounds all its processes and its tmpfs together; swap is not
 * used. */
_must_check_ int cgroup_make_slot(const CgroupTree *tree, unsigned slot, uint64_t memory_bytes,
                                  unsigned processes, SlotCgroup *ret_group);
/* Nothing must be in it. */
void cgroup_remove_slot(const CgroupTree *tree, unsigned slot, SlotCgroup *group);

/* Another memory limit from now on; no system call when it is the one in force. */
_must_check_ int cgroup_limit_memory(const CgroupTree *tree, unsigned slot, SlotCgroup *group,
                                     uint64_t memory_bytes);

/* Whether the kernel has killed for memory since the last look. */
bool cgroup_was_out_of_memory(SlotCgroup *group);

/* Kills everything inside (cgroup.kill; version 1: each process by number, until none is left). */
void cgroup_kill(const CgroupTree *tree, unsigned slot, const SlotCgroup *group);

/* 1: no process is inside; 0: some are; or -errno. */
_must_check_ int cgroup_is_empty(const CgroupTree *tree, unsigned slot, const SlotCgroup *group);
