#pragma once
/*
 * home: where the files of a session and of its copies live, on disk, for as long as they do:
 *
 *     <state directory>/sessions/            0711, locked by one server
 *         <name>/                            0711, 16 random letters and digits; a *home*
 *             work/                          0711, of the home's group: what its cell has as /work
 *                 0/                         0700: workspace of the first session; its current
 *                                            directory, "/work/0"
 *                 1/                         … of a copy (session_fork) of it
 *                 1+/                        workspaces of copies of that copy: "1+/2"; for what
 *                                            a copy may enter, and no more, may what is copied
 *                                            from it (wire/session.h)
 *             packages/                      0711; what its cell has as /packages, read-only
 *                 0/  1/                     0755: on sys.path of the session of that number
 *             tmp/                           0700, only without mount namespaces: TMPDIR
 *             0.session  1.session           one record for each session (home_record.h)
 *             0.cells                        its notebook, one cell a line
 *             2.folder                       symbolic link, never followed: "1+/2", where that
 *                                            member's workspace is below work/; none: "2"
 *         trash/                             on its way out
 *
 * Sessions that share a home are called its *members*; they share one uid and one cell, and are
 * kept apart by Landlock (a copy may only enter its own folders). The first one's cell is the
 * home's.
 *
 * As root, folders that hold members belong to root, so that nothing of a session's can take their
 * place, or lie beside them where nobody counts it; the group of work/ tells the home's uid to the
 * next server. As a plain user all belongs to that one user, and a session may make and move what
 * it likes in its /work: nothing there is trusted, and what has a member's name and is no folder
 * is thrown away.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "kit/cleanup.h"
#include "pool/janitor.h"

#define HOME_NAME_SIZE   17
#define HOMES_MAX        4096 /* as many uids are set apart for them */
#define HOME_MEMBERS_MAX 1024

typedef struct Homes {
        char path[160];
        int root_fd, trash_fd;
        uid_t uid_base;                /* home i runs as this + i; 0: no uids of their own */
        uint64_t *used;                /* bits: indexes of homes that are taken */
        unsigned last_index;           /* that was given out: an index rests as long as it may */
        char (*found)[HOME_NAME_SIZE]; /* by homes_open() */
        size_t n_found;
        Janitor *janitor; /* of the trash */
} Homes;

#define HOMES_NONE ((Homes){.root_fd = -1, .trash_fd = -1})

typedef struct Home {
        char name[HOME_NAME_SIZE];
        unsigned index;       /* among all homes; decides the uid */
        uid_t uid;            /* 0: the server's own */
        int directory_fd;     /* of the home */
        unsigned n_members;   /* alive */
        unsigned next_member; /* numbers are never used twice */
} Home;

#define HOME_NONE ((Home){.directory_fd = -1})

#define HOME_FOLDER_SIZE 128

/* What is open of one member. */
typedef struct HomeMember {
        unsigned number;
        int work_fd, packages_fd;      /* open for reading; -1: none */
        char folder[HOME_FOLDER_SIZE]; /* its workspace, below work/ */
} HomeMember;

#define HOME_MEMBER_NONE ((HomeMember){.work_fd = -1, .packages_fd = -1})

/* Opens directory/sessions, and makes what is missing; takes the lock (-EWOULDBLOCK: another server
 * has it). Whatever is in it stays: see homes_next(). uid_base 0: homes have no uids of their own.
 * After a failure there is nothing to close. */
_must_check_ int homes_open(Homes *homes, const char *directory, uid_t uid_base);
/* Waits until the trash has been emptied, but for no more than some seconds. HOMES_NONE may be
 * closed. */
void homes_close(Homes *homes);

/* Walks what an earlier server has left, in no order, before the first home is made; position
 * starts at 0. Returns 1 and an open home whose n_members counts its records, 0 after the last, or
 * -errno. A folder that is no home, that has no record, or whose index is taken, is moved to the
 * trash, and so are members without one. */
_must_check_ int homes_next(Homes *homes, uint64_t *position, Home *ret_home);

/* A new home with its first member, number 0. Some 100 µs. -ENOSPC, -EDQUOT, -EMFILE, …; -EUSERS,
 * not raised, since clients can bring it about at will: there are HOMES_MAX. What has been made by
 * then goes to the trash. */
_must_check_ int home_make(Homes *homes, bool has_tmp, Home *ret_home, HomeMember *ret_member);
/* Opens the folders of a member that is there; makes those that are missing. */
_must_check_ int home_open_member(Homes *homes, Home *home, unsigned number,
                                  HomeMember *ret_member);
/* Makes the (empty) folders of the next member, which is to be a copy of that one. -EUSERS, not
 * raised: there have been HOME_MEMBERS_MAX; -ENAMETOOLONG: it is a copy of a copy of a copy … of
 * too many. */
_must_check_ int home_add_member(Homes *homes, Home *home, unsigned source, HomeMember *ret_member);
/* Moves its folders and records to the trash, and with the last member the home; closes. */
void home_remove_member(Homes *homes, Home *home, HomeMember *member);
/* What a copy has for a temporary folder, when the process that was copied has gone; one that is
 * made in its place has another, or makes that anew with home_open_member(). */
void home_discard_temporary(Homes *homes, const Home *home, const HomeMember *member);
/* Without a mount namespace, tmp/ or that folder is what the next process has, too: it is made
 * new for it. */
void home_renew_temporary(Homes *homes, const Home *home, const HomeMember *member);
/* Moves what is in the workspace and its packages to the trash, and makes both new: new folders, of
 * new inodes. */
_must_check_ int home_empty_member(Homes *homes, Home *home, HomeMember *member);
/* Closes and forgets; the files stay, and its index stays taken. */
void home_close(Homes *homes, Home *home);
void home_member_close(HomeMember *member);
/* tmp/, for a home that was made where workers had no need of it. */
_must_check_ int home_make_tmp(const Home *home);
/* Its absolute path, for a worker without a mount namespace. */
void home_path(const Homes *homes, const Home *home, char *ret_path, size_t size);
