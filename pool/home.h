#pragma once
/*
 * home: where the files of a session and of its copies live, on disk, for as long as they do:
 *
 *     <state directory>/sessions/            0711, locked by one server
 *         <name>/                            0711, 16 random letters and digits; a *home*
 *             work/                          0711, of the home's uid: what its cell has as /work
 *                 0/                         0700: workspace of the first session; its current
 *                                            directory, "/work/0"
 *                 1/                         … of a copy (session_fork) of it, or of a copy's copy
 *             packages/                      what its cell has as /packages, read-only
 *                 0/  1/                     on sys.path of the session of that number
 *             tmp/                           only without mount namespaces: TMPDIR
 *             0.session  1.session           one record for each session (home_record.h)
 *             0.cells                        its notebook, one cell a line
 *         trash/                             on its way out
 *
 * Sessions that share a home are called its *members*; they share one uid and one cell, and are
 * kept apart by Landlock (a copy may only enter its own folders). The first one's cell is the
 * home's.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"
#include "pool/chores.h"
#include "pool/janitor.h"

#define HOME_NAME_SIZE   17
#define HOMES_MAX        4096 /* as many uids are set apart for them */
#define HOME_MEMBERS_MAX 1024

typedef struct Homes {
        char path[160];
        int root_fd, trash_fd;
        uid_t uid_base; /* home i runs as this + i; 0: no uids of their own */
        uint64_t *used; /* bits: indexes of homes that are taken */
        Janitor *janitor;
} Homes;

typedef struct Home {
        char name[HOME_NAME_SIZE];
        unsigned index;       /* among all homes; decides the uid */
        uid_t uid;            /* 0: the server's own */
        int directory_fd;     /* of the home */
        unsigned n_members;   /* alive */
        unsigned next_member; /* numbers are never used twice */
} Home;

#define HOME_NONE ((Home){.directory_fd = -1})

/* What is open of one member. */
typedef struct HomeMember {
        unsigned number;
        int work_fd, packages_fd; /* open for reading; -1: none */
} HomeMember;

#define HOME_MEMBER_NONE ((HomeMember){.work_fd = -1, .packages_fd = -1})

/* Opens directory/sessions, and makes what is missing; takes the lock (-EWOULDBLOCK: another server
 * has it). Whatever is in it stays: see homes_next(). uid_base 0: homes have no uids of their own.
 */
_must_check_ int homes_open(Homes *homes, const char *directory, uid_t uid_base);
void homes_close(Homes *homes);

/* Walks what an earlier server has left, in no order; position starts at 0. Returns 1 and an open
 * home, 0 after the last, or -errno. A folder that is no home, or whose index is taken, is moved to
 * the trash. */
_must_check_ int homes_next(Homes *homes, uint64_t *position, Home *ret_home);

/* A new home with its first member, number 0. Some 100 µs. -ENOSPC, -EDQUOT, -EMFILE, …; -EUSERS:
 * there are HOMES_MAX. */
_must_check_ int home_make(Homes *homes, bool has_tmp, Home *ret_home, HomeMember *ret_member);
/* Opens the folders of a member that is there; makes those that are missing. */
_must_check_ int home_open_member(Homes *homes, Home *home, unsigned number,
                                  HomeMember *ret_member);
/* Makes the (empty) folders of the next member. */
_must_check_ int home_add_member(Homes *homes, Home *home, HomeMember *ret_member);
/* Moves its folders and records to the trash, and with the last member the home; closes. */
void home_remove_member(Homes *homes, Home *home, HomeMember *member);
/* Moves what is in the workspace to the trash, and makes it new: a new folder, of a new inode. */
_must_check_ int home_empty_member(Homes *homes, Home *home, HomeMember *member);
/* Closes and forgets; the files stay. */
void home_close(Homes *homes, Home *home);
void home_member_close(HomeMember *member);
/* "sessions/<name>" by path, for a worker without a mount namespace. */
void home_path(const Homes *homes, const Home *home, char *ret_path, size_t size);

/* --- for chores: block for as long as it takes; no name is ever followed --- */

/* Copies what is in one workspace to another, empty one: regular files (shared blocks where the
 * file system can, FICLONE), folders, symbolic links as they are, modes, times; what else there is
 * is left out. -EDQUOT when there is more than bytes_max or entries_max. Owner: uid if not -1. */
_must_check_ int tree_copy(int from_fd, int to_fd, uid_t uid, uint64_t bytes_max,
                           uint64_t entries_max);
/* Likewise with hard links for the files, which are never written to again; copies where they
 * cannot be linked (EXDEV, EMLINK). Existing files stay, and folders are joined. */
_must_check_ int tree_link(int from_fd, int to_fd, uint64_t entries_max);
/* Bytes (of blocks) and entries below a directory. */
_must_check_ int tree_measure(int fd, uint64_t *ret_bytes, uint64_t *ret_entries);
