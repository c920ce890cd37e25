#pragma once
/*
 * collect: brings files of a run's workspace back. The workspace may be hostile, and even change
 * meanwhile: nothing is followed (openat2 with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS,
 * RESOLVE_NO_MAGICLINKS, RESOLVE_NO_XDEV), only regular files with one link are read, and entries,
 * depth, files, bytes and the work of matching are bounded.
 */

#include "pool/run.h"

#define COLLECT_ENTRIES_MAX 4096 /* looked at, matching or not */
#define COLLECT_DEPTH_MAX   16
#define COLLECT_PATTERN_MAX 255        /* bytes of one pattern; a longer one matches nothing */
#define COLLECT_STEPS_MAX   (1U << 24) /* bytes of patterns times bytes of paths, all together */

typedef struct Collection {
        RunCollected *files;
        size_t n_files;
        bool truncated;
} Collection;

/*
 * Fills the collection with the files under folder_fd that match one of the patterns, in the order
 * of their names. A file that matches and cannot be returned is listed with the reason. In a
 * pattern, "*" and "?" do not match "/", "**" does.
 */
_must_check_ int collect_files(int folder_fd, const Slice *patterns, size_t n_patterns,
                               size_t files_max, size_t bytes_max, Collection *ret_collection);
void collection_done(Collection *collection);

/* Exposed for its test. */
bool collect_matches(Slice pattern, Slice path);
