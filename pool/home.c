#include "pool/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "kit/error.h"
#include "kit/log.h"
#include "pool/home_folders.h"
#include "pool/tree.h"
#include "wire/session.h"

/* --- names, indexes, the trash --- */

void home_random_name(char ret_name[HOME_NAME_SIZE]) {
        /* 32 of them: a byte's lower five bits choose one. 80 bits in all. */
        static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
        uint8_t bytes[HOME_NAME_SIZE - 1];

        _Static_assert(sizeof(letters) == 33, "as many as five bits tell apart");
        /* So few bytes come at once and whole, once the machine has been up for a moment. */
        while (getrandom(bytes, sizeof(bytes), 0) != (ssize_t) sizeof(bytes))
                ;
        for (size_t i = 0; i < sizeof(bytes); i++)
                ret_name[i] = letters[bytes[i] % 32];
        ret_name[sizeof(bytes)] = '\0';
}

int home_discard(Homes *homes, int parent_fd, const char *name) {
        char trash[HOME_NAME_SIZE];

        home_random_name(trash);
        if (renameat(parent_fd, name, homes->trash_fd, trash) < 0) {
                if (errno == ENOENT)
                        return 0;
                /* Moving a folder changes its "..": a plain user needs the right to write to it. */
                if (errno != EACCES || fchmodat(parent_fd, name, 0700, AT_SYMLINK_NOFOLLOW) < 0 ||
                    renameat(parent_fd, name, homes->trash_fd, trash) < 0)
                        return raise_errno("move %s to the trash", name);
        }
        janitor_wake(homes->janitor);
        return 0;
}

bool home_take_index(Homes *homes, unsigned index) {
        uint64_t bit = 1ULL << (index % 64);

        if (index >= HOMES_MAX || homes->used[index / 64] & bit)
                return false;
        homes->used[index / 64] |= bit;
        return true;
}

static void free_index(Homes *homes, unsigned index) {
        homes->used[index / 64] &= ~(1ULL << (index % 64));
}

int home_next_index(Homes *homes, unsigned *ret_index) {
        for (unsigned i = 1; i <= HOMES_MAX; i++) {
                unsigned index = (homes->last_index + i) % HOMES_MAX;

                if (home_take_index(homes, index)) {
                        homes->last_index = index;
                        *ret_index = index;
                        return 0;
                }
        }
        return -EUSERS;
}

/* --- folders --- */

/* Opens a folder of a member, or makes it. In work/ a plain user's session may have put what it
 * likes in its place. */
static int open_or_make(Homes *homes, const Home *home, const char *parent, const char *name,
                        mode_t mode, uid_t uid, int *ret_fd) {
        _autoclose_ int parent_fd = tree_open_folder(home->directory_fd, parent);
        int fd;

        if (parent_fd < 0)
                return raise_error(parent_fd, "open %s of home %s", parent, home->name);
        fd = tree_open_folder(parent_fd, name);
        if (fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV) {
                int r = home_discard(homes, parent_fd, name);

                if (r < 0)
                        return r;
                fd = -ENOENT;
        }
        if (fd == -ENOENT)
                return tree_make_folder(parent_fd, name, mode, uid, ret_fd);
        if (fd < 0)
                return raise_error(fd, "open %s/%s of home %s", parent, name, home->name);
        *ret_fd = fd;
        return 0;
}

static uid_t owner_of(const Home *home) {
        return home->uid != 0 ? home->uid : (uid_t) -1;
}

/* --- where the workspace of a member is --- */

#define LINK_SIZE 32
/* "work/" and what a folder can be. */
#define WORK_PATH_SIZE (HOME_FOLDER_SIZE + 8)

static void link_name(unsigned number, char ret_name[LINK_SIZE]) {
        (void) snprintf(ret_name, LINK_SIZE, "%u.folder", number);
}

static int read_folder(const Home *home, unsigned number, char ret_folder[HOME_FOLDER_SIZE]) {
        char name[LINK_SIZE];
        ssize_t n;

        link_name(number, name);
        n = readlinkat(home->directory_fd, name, ret_folder, HOME_FOLDER_SIZE);
        if (n < 0 && errno == ENOENT)
                return snprintf(ret_folder, HOME_FOLDER_SIZE, "%u", number) < 0 ? -EINVAL : 0;
        if (n < 0 || n == HOME_FOLDER_SIZE)
                return raise_error(n < 0 ? -errno : -ENAMETOOLONG, "read %s of home %s", name,
                                   home->name);
        ret_folder[n] = '\0';
        return 0;
}

static int write_folder(const Home *home, unsigned number, unsigned source,
                        char ret_folder[HOME_FOLDER_SIZE]) {
        char of_source[HOME_FOLDER_SIZE], name[LINK_SIZE];
        int n, r;

        if (source == 0)
                return snprintf(ret_folder, HOME_FOLDER_SIZE, "%u", number) < 0 ? -EINVAL : 0;
        r = read_folder(home, source, of_source);
        if (r < 0)
                return r;
        n = snprintf(ret_folder, HOME_FOLDER_SIZE, "%s" COPY_CONTAINER_SUFFIX "/%u", of_source,
                     number);
        if (n < 0 || n >= HOME_FOLDER_SIZE)
                return raise_error(-ENAMETOOLONG, "one more copy of %s of home %s", of_source,
                                   home->name);
        link_name(number, name);
        return symlinkat(ret_folder, home->directory_fd, name) < 0
                       ? raise_errno("note where member %u of home %s is", number, home->name)
                       : 0;
}

/* "1+/2" → "work/1+" and "2". */
static void split_folder(const char *folder, char ret_parent[WORK_PATH_SIZE],
                         char ret_name[LINK_SIZE]) {
        const char *slash = strrchr(folder, '/');

        (void) snprintf(ret_parent, WORK_PATH_SIZE, "work%s%.*s", slash ? "/" : "",
                        slash ? (int) (slash - folder) : 0, folder);
        (void) snprintf(ret_name, LINK_SIZE, "%.*s", LINK_SIZE - 1, slash ? slash + 1 : folder);
}

/* --- members --- */

/* What an earlier process has left there is no other's. */
static int make_temporary(Homes *homes, const Home *home, int container_fd) {
        _autoclose_ int fd = -1;
        int r = home_discard(homes, container_fd, COPY_TEMPORARY);

        return r < 0 ? r
                     : tree_make_folder(container_fd, COPY_TEMPORARY, 0700, owner_of(home), &fd);
}

static int open_folders(Homes *homes, const Home *home, HomeMember *member) {
        char parent[WORK_PATH_SIZE], name[LINK_SIZE], container[LINK_SIZE + 2], number[LINK_SIZE];
        _autoclose_ int container_fd = -1;
        int r;

        split_folder(member->folder, parent, name);
        (void) snprintf(container, sizeof(container), "%s" COPY_CONTAINER_SUFFIX, name);
        (void) snprintf(number, sizeof(number), "%u", member->number);
        r = open_or_make(homes, home, parent, name, 0700, owner_of(home), &member->work_fd);
        if (r == 0 && member->number > 0)
                r = open_or_make(homes, home, parent, container, 0711, (uid_t) -1, &container_fd);
        if (r == 0 && member->number > 0)
                r = make_temporary(homes, home, container_fd);
        if (r == 0)
                r = open_or_make(homes, home, "packages", number, 0755, (uid_t) -1,
                                 &member->packages_fd);
        return r;
}

int home_open_member(Homes *homes, Home *home, unsigned number, HomeMember *ret_member) {
        HomeMember member = HOME_MEMBER_NONE;
        int r;

        member.number = number;
        r = read_folder(home, number, member.folder);
        if (r == 0)
                r = open_folders(homes, home, &member);
        if (r < 0) {
                home_member_close(&member);
                return r;
        }
        *ret_member = member;
        return 0;
}

static int discard_below(Homes *homes, const Home *home, const char *parent, const char *name) {
        _autoclose_ int parent_fd = tree_open_folder(home->directory_fd, parent);

        if (parent_fd < 0)
                return parent_fd == -ENOENT
                               ? 0
                               : raise_error(parent_fd, "open %s of home %s", parent, home->name);
        return home_discard(homes, parent_fd, name);
}

static int discard_folders(Homes *homes, const Home *home, unsigned number) {
        char folder[HOME_FOLDER_SIZE], parent[WORK_PATH_SIZE], name[LINK_SIZE];
        int r = read_folder(home, number, folder);

        if (r < 0)
                return r;
        split_folder(folder, parent, name);
        r = discard_below(homes, home, parent, name);
        (void) snprintf(name, sizeof(name), "%u", number);
        return r < 0 ? r : discard_below(homes, home, "packages", name);
}

static void container_path(const char *folder, char ret_path[WORK_PATH_SIZE]) {
        (void) snprintf(ret_path, WORK_PATH_SIZE, "work/%s" COPY_CONTAINER_SUFFIX, folder);
}

void home_discard_temporary(Homes *homes, const Home *home, const HomeMember *member) {
        char path[WORK_PATH_SIZE];

        container_path(member->folder, path);
        if (discard_below(homes, home, path, COPY_TEMPORARY) < 0)
                log_warning("temporary files of member %u of home %s stay", member->number,
                            home->name);
}

void home_renew_temporary(Homes *homes, const Home *home, const HomeMember *member) {
        char path[WORK_PATH_SIZE] = ".";
        _autoclose_ int parent_fd = -1;

        if (member->number > 0)
                container_path(member->folder, path);
        parent_fd = tree_open_folder(home->directory_fd, path);
        if (parent_fd < 0 || make_temporary(homes, home, parent_fd) < 0)
                log_warning("temporary files of member %u of home %s stay", member->number,
                            home->name);
}

/* What is copied from it lives on, in the container. */
static void discard_container(Homes *homes, const Home *home, const HomeMember *member) {
        char path[WORK_PATH_SIZE];

        home_discard_temporary(homes, home, member);
        container_path(member->folder, path);
        (void) unlinkat(home->directory_fd, path, AT_REMOVEDIR);
}

int home_add_member(Homes *homes, Home *home, unsigned source, HomeMember *ret_member) {
        unsigned number = home->next_member;
        HomeMember member = HOME_MEMBER_NONE;
        char name[LINK_SIZE];
        int r;

        if (number >= HOME_MEMBERS_MAX)
                return -EUSERS;
        home->next_member++;
        member.number = number;
        /* What a session, or an earlier server, may have left there. */
        r = discard_folders(homes, home, number);
        link_name(number, name);
        if (r == 0)
                r = home_discard(homes, home->directory_fd, name);
        if (r == 0)
                r = write_folder(home, number, source, member.folder);
        if (r == 0)
                r = discard_folders(homes, home, number);
        if (r == 0)
                r = open_folders(homes, home, &member);
        if (r < 0) {
                home_member_close(&member);
                (void) discard_folders(homes, home, number);
                return r;
        }
        home->n_members++;
        *ret_member = member;
        return 0;
}

int home_empty_member(Homes *homes, Home *home, HomeMember *member) {
        unsigned number = member->number;
        int r = discard_folders(homes, home, number);

        home_member_close(member);
        member->number = number;
        return r < 0 ? r : home_open_member(homes, home, number, member);
}

static void discard_home(Homes *homes, Home *home) {
        if (home_discard(homes, homes->root_fd, home->name) < 0)
                return; /* its files may still be there, so nobody else gets its uid */
        free_index(homes, home->index);
}

void home_remove_member(Homes *homes, Home *home, HomeMember *member) {
        static const char *const files[] = {"session", "cells"};
        char name[LINK_SIZE];

        home_member_close(member);
        if (home->n_members <= 1) {
                discard_home(homes, home);
                home_close(homes, home);
                return;
        }
        home->n_members--;
        for (size_t i = 0; i < N_ELEMENTS(files); i++) {
                (void) snprintf(name, sizeof(name), "%u.%s", member->number, files[i]);
                if (home_discard(homes, home->directory_fd, name) < 0)
                        return; /* raised; its folders stay with it */
        }
        if (discard_folders(homes, home, member->number) < 0)
                log_warning("files of member %u of home %s stay", member->number, home->name);
        if (member->number > 0)
                discard_container(homes, home, member);
        /* Last: it tells where they are. */
        link_name(member->number, name);
        (void) unlinkat(home->directory_fd, name, 0);
}

void home_member_close(HomeMember *member) {
        close_fd(&member->work_fd);
        close_fd(&member->packages_fd);
}

/* --- homes --- */

static int make_folders(Homes *homes, Home *home, bool has_tmp, HomeMember *ret_member) {
        _autoclose_ int work_fd = -1, packages_fd = -1;
        int r;

        r = tree_make_folder(homes->root_fd, home->name, 0711, (uid_t) -1, &home->directory_fd);
        if (r == 0)
                r = tree_make_folder(home->directory_fd, "work", 0711, (uid_t) -1, &work_fd);
        if (r == 0 && home->uid != 0 && fchown(work_fd, (uid_t) -1, (gid_t) home->uid) < 0)
                r = raise_errno("give a home to group %u", home->uid);
        if (r == 0)
                r = tree_make_folder(home->directory_fd, "packages", 0711, (uid_t) -1,
                                     &packages_fd);
        if (r == 0 && has_tmp)
                r = home_make_tmp(home);
        return r < 0 ? r : home_open_member(homes, home, 0, ret_member);
}

int home_make_tmp(const Home *home) {
        _autoclose_ int fd = tree_open_folder(home->directory_fd, "tmp");

        if (fd == -ENOENT)
                return tree_make_folder(home->directory_fd, "tmp", 0700, owner_of(home), &fd);
        return fd < 0 ? raise_error(fd, "open tmp of home %s", home->name) : 0;
}

int home_make(Homes *homes, bool has_tmp, Home *ret_home, HomeMember *ret_member) {
        Home home = HOME_NONE;
        int r;

        r = home_next_index(homes, &home.index);
        if (r < 0)
                return r;
        home_random_name(home.name);
        home.uid = homes->uid_base != 0 ? homes->uid_base + home.index : 0;
        home.n_members = home.next_member = 1;
        r = make_folders(homes, &home, has_tmp, ret_member);
        if (r < 0) {
                discard_home(homes, &home);
                home_close(homes, &home);
                return r;
        }
        *ret_home = home;
        return 0;
}

void home_close(Homes *homes, Home *home) {
        close_fd(&home->directory_fd);
}

void home_path(const Homes *homes, const Home *home, char *ret_path, size_t size) {
        (void) snprintf(ret_path, size, "%s/%s", homes->path, home->name);
}
