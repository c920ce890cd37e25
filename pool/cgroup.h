#pragma once
/*
 * cgroup: a control group for each slot, of version 2 where the server's own group is delegated to
 * it with the memory and pids controllers, of version 1 where that is what the host has. Made ahead
 * of any worker; a worker is born in it (CLONE_INTO_CGROUP) or enters it before it is confined.
 *
 *     <the server's own group>/
 *         hatchery-<pid>/     locked (flock) as long as the server lives
 *             supervisor/     version 2 only: the server itself, its zygotes and cell makers
 *             slot-<n>/       the workers of a slot, and what they start
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"
#include "pool/cgroup_find.h"

/* The server's folder in one hierarchy. */
typedef struct CgroupFolder {
        int own_fd; /* the server's own group, in which it lies */
        int fd;
        char name[32];
} CgroupFolder;

/* Version 2 has one hierarchy for all; version 1 has one for each. */
typedef enum CgroupHierarchy {
        CGROUP_UNIFIED = 0,
        CGROUP_MEMORY = 0,
        CGROUP_PIDS = 1,
        _CGROUP_HIERARCHIES = 2,
} CgroupHierarchy;

typedef struct CgroupTree {
        int version; /* 1, 2; 0: none */
        CgroupFolder folders[_CGROUP_HIERARCHIES];
        bool moved;        /* version 2: this process has left its own group */
        int error;         /* why there is none: errno (positive), and what was tried */
        const char *tried; /* static; NULL: nothing to try it on */
} CgroupTree;

#define CGROUP_TREE_NONE                                                                           \
        ((CgroupTree){.folders = {{.own_fd = -1, .fd = -1}, {.own_fd = -1, .fd = -1}}})

/*
 * Finds the groups that this process may divide, makes a folder for the server there, and removes
 * what a server that was killed has left, after killing what still runs in it. Version 0 is no
 * error. Call it in the server itself, before it has children: of version 2, a group that is
 * divided holds no process, so the caller moves into `supervisor`, and what it starts is born
 * there.
 */
_must_check_ int cgroup_tree_open(CgroupTree *ret_tree);
/* As above, with other files than those in /proc: for tests. */
_must_check_ int cgroup_tree_open_at(const CgroupFiles *files, CgroupTree *ret_tree);
/* Removes the server's folder, when no child of it is in there any more, and closes the rest. */
void cgroup_tree_close(CgroupTree *tree);

typedef struct SlotCgroup {
        int directory_fd;                   /* version 2, for CLONE_INTO_CGROUP; else -1 */
        int memory_procs_fd, pids_procs_fd; /* version 1, open for writing; else -1 */
        int limit_fd;                       /* of memory, open for writing */
        int swap_limit_fd;     /* version 1: of memory and swap together; -1: not counted */
        int events_fd;         /* where out-of-memory kills are counted */
        unsigned processes;    /* the limit in force; threads count too */
        uint64_t memory_bytes; /* the limit now in force */
        uint64_t oom_kills;    /* as of the last look */
} SlotCgroup;

#define SLOT_CGROUP_NONE                                                                           \
        ((SlotCgroup){.directory_fd = -1,                                                          \
                      .memory_procs_fd = -1,                                                       \
                      .pids_procs_fd = -1,                                                         \
                      .limit_fd = -1,                                                              \
                      .swap_limit_fd = -1,                                                         \
                      .events_fd = -1})

/* Whether there is one. */
static inline bool slot_cgroup_exists(const SlotCgroup *group) {
        return group->events_fd >= 0;
}

/* Makes the slot's group. memory_bytes bounds all its processes, the kernel's memory on their
 * behalf and what they write to a tmpfs together; swap is not used. processes counts threads. */
_must_check_ int cgroup_make_slot(const CgroupTree *tree, unsigned slot, uint64_t memory_bytes,
                                  unsigned processes, SlotCgroup *ret_group);
/* Nothing must be in it: else it stays, which is said in the log. */
void cgroup_remove_slot(const CgroupTree *tree, unsigned slot, SlotCgroup *group);

/* Another memory limit from now on; no system call when it is the one in force. -EBUSY (version 1
 * only) when more than that is in use. */
_must_check_ int cgroup_limit_memory(SlotCgroup *group, uint64_t memory_bytes);

/* Whether the kernel has killed for memory since the last look. */
bool cgroup_was_out_of_memory(SlotCgroup *group);

/* Kills everything inside (cgroup.kill, Linux 5.14; before that, and in version 1, each process by
 * itself, while pids.max keeps new ones from coming). They may need a moment to be gone. */
void cgroup_kill(const CgroupTree *tree, unsigned slot, const SlotCgroup *group);

/* 1: no process is inside; 0: some are; or -errno. */
_must_check_ int cgroup_is_empty(const CgroupTree *tree, unsigned slot);
