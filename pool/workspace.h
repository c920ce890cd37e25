#pragma once
/*
 * workspace: the folders of the slots. One private root for the pool, in it a folder for each slot
 * with work/ (the run's current directory) and tmp/, owned by the slot's uid, and trash/, where
 * what a run has left is moved to be removed by the janitor.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"
#include "pool/janitor.h"

typedef struct Workspace {
        char path[180]; /* of the pool's root */
        int root_fd;    /* locked for as long as the pool lives */
        int trash_fd;
        uint64_t sequence; /* of names in the trash */
        Janitor *janitor;
} Workspace;

typedef struct SlotFolders {
        int directory_fd;    /* O_PATH */
        int work_fd, tmp_fd; /* open for reading */
} SlotFolders;

#define SLOT_FOLDERS_NONE ((SlotFolders){-1, -1, -1})

/* Makes the root inside directory, and removes roots there that nobody holds any more. */
_must_check_ int workspace_open(Workspace *workspace, const char *directory);
/* Removes everything. */
void workspace_close(Workspace *workspace);

/* Makes the folders of a slot; uid 0 leaves their owner. */
_must_check_ int workspace_make_slot(Workspace *workspace, unsigned slot, uid_t uid,
                                     SlotFolders *ret_folders);
/* Moves the slot's whole folder to the trash and makes it again; closes the old descriptors. */
_must_check_ int workspace_remake_slot(Workspace *workspace, unsigned slot, uid_t uid,
                                       SlotFolders *folders);
void slot_folders_close(SlotFolders *folders);

/* Makes both folders empty again: a look if they are, and new ones in their place if not. */
_must_check_ int workspace_empty_slot(Workspace *workspace, SlotFolders *folders, uid_t uid);

/* Makes both folders empty while a process stands in them, entry by entry. Returns -E2BIG when
 * there are too many entries to do so now. */
_must_check_ int workspace_empty_slot_in_place(Workspace *workspace, SlotFolders *folders);
