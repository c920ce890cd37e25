#include "pool/home.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "kit/error.h"
#include "kit/log.h"
#include "pool/home_folders.h"
#include "pool/tree.h"

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
        return raise_error(-EUSERS, "there are %u homes of sessions", HOMES_MAX);
}

/* --- members --- */

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

static void member_name(unsigned number, char *ret_name, size_t size) {
        (void) snprintf(ret_name, size, "%u", number);
}

int home_open_member(Homes *homes, Home *home, unsigned number, HomeMember *ret_member) {
        HomeMember member = HOME_MEMBER_NONE;
        char name[16];
        int r;

        member.number = number;
        member_name(number, name, sizeof(name));
        r = open_or_make(homes, home, "work", name, 0700, owner_of(home), &member.work_fd);
        if (r == 0)
                r = open_or_make(homes, home, "packages", name, 0755, (uid_t) -1,
                                 &member.packages_fd);
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
                return raise_error(parent_fd, "open %s of home %s", parent, home->name);
        return home_discard(homes, parent_fd, name);
}

static int discard_folders(Homes *homes, const Home *home, unsigned number) {
        char name[16];
        int r;

        member_name(number, name, sizeof(name));
        r = discard_below(homes, home, "work", name);
        return r < 0 ? r : discard_below(homes, home, "packages", name);
}

int home_add_member(Homes *homes, Home *home, HomeMember *ret_member) {
        unsigned number = home->next_member;
        int r;

        if (number >= HOME_MEMBERS_MAX)
                return raise_error(-EUSERS, "home %s has had %u members", home->name,
                                   HOME_MEMBERS_MAX);
        home->next_member++;
        /* What a session may have put there. */
        r = discard_folders(homes, home, number);
        if (r == 0)
                r = home_open_member(homes, home, number, ret_member);
        if (r < 0) {
                (void) discard_folders(homes, home, number);
                return r;
        }
        home->n_members++;
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

        home_member_close(member);
        if (home->n_members <= 1) {
                discard_home(homes, home);
                home_close(homes, home);
                return;
        }
        home->n_members--;
        for (size_t i = 0; i < N_ELEMENTS(files); i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "%u.%s", member->number, files[i]);
                if (home_discard(homes, home->directory_fd, name) < 0)
                        return; /* raised; its folders stay with it */
        }
        if (discard_folders(homes, home, member->number) < 0)
                log_warning("files of member %u of home %s stay", member->number, home->name);
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
