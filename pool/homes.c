/* homes_*: the folder of all homes, and what an earlier server has left in it. */

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "kit/clock.h"
#include "kit/error.h"
#include "kit/log.h"
#include "pool/home_folders.h"
#include "pool/tree.h"
#include "pool/tree_walk.h"
#include "wire/session.h"

/* An end of the server does not wait for a million files: the next server goes on with them. */
#define CLOSE_NS (5 * NS_PER_S)

static int open_or_make(int parent_fd, const char *name, mode_t mode, int *ret_fd) {
        int fd = tree_open_folder(parent_fd, name);

        if (fd == -ENOENT)
                return tree_make_folder(parent_fd, name, mode, (uid_t) -1, ret_fd);
        if (fd < 0)
                return raise_error(fd, "open folder %s", name);
        *ret_fd = fd;
        return 0;
}

static bool is_home_name(const char *name) {
        return strlen(name) == HOME_NAME_SIZE - 1 &&
               strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789") == HOME_NAME_SIZE - 1;
}

/* Not ours, but at home where a file system is mounted. */
static bool is_left_alone(const char *name) {
        return strcmp(name, "trash") == 0 || strcmp(name, "lost+found") == 0;
}

/* The names are taken at once: moving one away while reading may hide another. */
static int find_homes(Homes *homes) {
        DIR *directory = tree_read(homes->root_fd);
        const char *name;
        int r = 0;

        if (!directory)
                return raise_errno("read %s", homes->path);
        while (r == 0 && (name = tree_next_name(directory))) {
                if (is_left_alone(name))
                        continue;
                if (is_home_name(name) && homes->n_found < HOMES_MAX) {
                        memcpy(homes->found[homes->n_found++], name, HOME_NAME_SIZE);
                        continue;
                }
                log_warning("%s in %s is no home of a session, and goes", name, homes->path);
                r = home_discard(homes, homes->root_fd, name);
        }
        (void) closedir(directory);
        return r;
}

static int open_root(Homes *homes, const char *directory) {
        _autoclose_ int directory_fd = -1;
        int n, r;

        n = snprintf(homes->path, sizeof(homes->path), "%s/sessions", directory);
        if (n < 0 || (size_t) n >= sizeof(homes->path))
                return raise_error(-ENAMETOOLONG, "the state directory's path is too long: %s",
                                   directory);
        r = tree_make_path(directory, 0711, "the state directory");
        if (r < 0)
                return r;
        directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory_fd < 0)
                return raise_errno("open the state directory %s", directory);
        /* Workers of other uids pass through, and see no names. */
        r = open_or_make(directory_fd, "sessions", 0711, &homes->root_fd);
        if (r < 0)
                return r;
        if (flock(homes->root_fd, LOCK_EX | LOCK_NB) < 0)
                return raise_errno("lock %s", homes->path);
        return open_or_make(homes->root_fd, "trash", 0700, &homes->trash_fd);
}

int homes_open(Homes *homes, const char *directory, uid_t uid_base) {
        int r;

        *homes = HOMES_NONE;
        homes->uid_base = uid_base;
        homes->last_index = HOMES_MAX - 1;
        r = open_root(homes, directory);
        if (r == 0) {
                homes->used = calloc(HOMES_MAX / 64, sizeof(*homes->used));
                homes->found = calloc(HOMES_MAX, sizeof(*homes->found));
                if (!homes->used || !homes->found)
                        r = raise_error(-ENOMEM, "allocate the homes of sessions");
        }
        if (r == 0)
                r = janitor_new(homes->trash_fd, &homes->janitor);
        if (r == 0)
                r = find_homes(homes);
        if (r < 0) {
                homes_close(homes);
                return r;
        }
        /* What an earlier server had no time for. */
        janitor_wake(homes->janitor);
        return 0;
}

void homes_close(Homes *homes) {
        homes->janitor = janitor_free_by(homes->janitor, clock_now_ns() + CLOSE_NS);
        close_fd(&homes->trash_fd);
        close_fd(&homes->root_fd);
        free(take_ptr(homes->used));
        free(take_ptr(homes->found));
        homes->n_found = 0;
}

/* --- what an earlier server has left --- */

bool home_parse_record(const char *name, unsigned *ret_member) {
        char canonical[32];
        unsigned number = 0;

        for (const char *at = name; *at >= '0' && *at <= '9' && number < HOME_MEMBERS_MAX; at++)
                number = 10 * number + (unsigned) (*at - '0');
        if (number >= HOME_MEMBERS_MAX)
                return false;
        (void) snprintf(canonical, sizeof(canonical), "%u.session", number);
        if (strcmp(name, canonical) != 0)
                return false;
        *ret_member = number;
        return true;
}

typedef struct Records {
        bool has[HOME_MEMBERS_MAX];
} Records;

static int find_records(Home *home, Records *records) {
        DIR *directory = tree_read(home->directory_fd);
        const char *name;
        unsigned member;

        if (!directory)
                return -errno;
        while ((name = tree_next_name(directory))) {
                if (!home_parse_record(name, &member))
                        continue;
                records->has[member] = true;
                home->n_members++;
                if (member >= home->next_member)
                        home->next_member = member + 1;
        }
        (void) closedir(directory);
        return 0;
}

static bool ends_with(const char *name, const char *ending) {
        size_t size = strlen(name), ending_size = strlen(ending);

        return size > ending_size && strcmp(name + size - ending_size, ending) == 0;
}

/* What was just being written when a server was killed, and notebooks of members without a record:
 * a copy that comes may get the number. */
static void remove_stray_files(const Home *home, const Records *records) {
        static const char cells[] = ".cells";
        DIR *directory = tree_read(home->directory_fd);
        const char *name;

        while (directory && (name = tree_next_name(directory))) {
                bool is_stray = ends_with(name, ".new");

                if (ends_with(name, cells)) {
                        char record[300];
                        unsigned member;

                        (void) snprintf(record, sizeof(record), "%.*s.session",
                                        (int) (strlen(name) - strlen(cells)), name);
                        is_stray = home_parse_record(record, &member) && !records->has[member];
                }
                if (is_stray)
                        (void) unlinkat(home->directory_fd, name, 0);
        }
        if (directory)
                (void) closedir(directory);
}

/* Moves away what belongs to no member with a record; of work/, packages/. */
static int discard_strays(Homes *homes, const Home *home, const char *parent,
                          const Records *records) {
        _autoclose_ int fd = tree_open_folder(home->directory_fd, parent);
        DIR *directory;
        const char *name;
        int r = 0;

        if (fd < 0)
                return fd;
        directory = tree_read(fd);
        if (!directory)
                return -errno;
        while (r == 0 && (name = tree_next_name(directory))) {
                char record[300];
                unsigned member;

                /* Of a copy, which may have gone before those that were copied from it. */
                if (strchr(name, COPY_CONTAINER_SUFFIX[0])) {
                        _autoclose_ int container_fd = tree_open_folder(fd, name);

                        if (container_fd >= 0)
                                r = home_discard(homes, container_fd, COPY_TEMPORARY);
                        (void) unlinkat(fd, name, AT_REMOVEDIR);
                        continue;
                }
                (void) snprintf(record, sizeof(record), "%s.session", name);
                if (!home_parse_record(record, &member) || !records->has[member])
                        r = home_discard(homes, fd, name);
        }
        (void) closedir(directory);
        return r;
}

/* Whose it is, by the group of work/. */
static int find_index(Homes *homes, Home *home) {
        struct stat status;

        if (homes->uid_base == 0)
                return home_next_index(homes, &home->index);
        if (fstatat(home->directory_fd, "work", &status, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        home->index = status.st_gid - homes->uid_base;
        if (status.st_gid < homes->uid_base || !home_take_index(homes, home->index))
                return -EADDRINUSE;
        home->uid = status.st_gid;
        return 0;
}

static int open_home(Homes *homes, const char *name, Home *ret_home) {
        Home home = HOME_NONE;
        Records records = {0};
        int r;

        memcpy(home.name, name, HOME_NAME_SIZE);
        home.directory_fd = tree_open_folder(homes->root_fd, name);
        if (home.directory_fd < 0)
                return home.directory_fd;
        r = find_records(&home, &records);
        if (r == 0 && home.n_members == 0)
                r = -ENOENT;
        if (r == 0)
                remove_stray_files(&home, &records);
        if (r == 0)
                r = discard_strays(homes, &home, "work", &records);
        if (r == 0)
                r = discard_strays(homes, &home, "packages", &records);
        if (r == 0)
                r = find_index(homes, &home);
        if (r < 0) {
                home_close(homes, &home);
                return r;
        }
        *ret_home = home;
        return 0;
}

int homes_next(Homes *homes, uint64_t *position, Home *ret_home) {
        while (*position < homes->n_found) {
                const char *name = homes->found[(*position)++];
                int r = open_home(homes, name, ret_home);

                if (r == 0)
                        return 1;
                if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
                        return raise_error(r, "open home %s", name);
                if (r == -EADDRINUSE)
                        log_warning("home %s goes: its uid is not one of those for sessions, or is "
                                    "another one's",
                                    name);
                else
                        log_info("home %s goes: %s", name,
                                 r == -ENOENT ? "no session is in it" : strerror(-r));
                r = home_discard(homes, homes->root_fd, name);
                if (r < 0)
                        return r;
        }
        return 0;
}
