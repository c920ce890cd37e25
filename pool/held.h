#pragma once
/*
 * held: files without a name that a hostile process keeps, by a descriptor or by a mapping. They
 * take room on its disk, and no walk over folders meets them.
 *
 * A worker is not dumpable, so that only who has CAP_SYS_PTRACE in the server's user namespace may
 * look at what it has open (proc_fd_access_allowed() of fs/proc/base.c), and only who has
 * CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN there at what it has mapped (proc_map_files_get_link()):
 * root, outside of most containers. For others there is the reserve (pool/session_reserve.c).
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"

/* A process, with what it has started. The pidfd tells it from a later one of its number: whoever
 * asks is its parent, so that the number is its own for as long as the pidfd finds it. */
typedef struct HeldBy {
        pid_t pid;
        int pidfd; /* -1: there is no such process */
} HeldBy;

#define HELD_BY_NONE ((HeldBy){.pidfd = -1})

/* The process has not been waited for: until now its number has been its own. */
bool held_finds(const HeldBy *by);

/* More files than that, or more than can be looked at, count as over any limit. */
#define HELD_FILES_MAX 1024
#define HELD_LOOKS_MAX 65536

/*
 * Adds the room that files without a name take which lie on the file system of that folder and
 * belong to uid, each once. uid 0: workers have none of their own, and of what they have mapped
 * only shared mappings count, since a library that was replaced looks the same. Returns whether all
 * could be looked at; what has ended meanwhile holds nothing.
 */
bool held_measure(const HeldBy *by, size_t n_by, int folder_fd, uid_t uid, uint64_t *bytes);
