#include "pool/measure.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/home.h"
#include "wire/session.h"

#define MEASURE_DEPTH_MAX 64

DIR *measure_open(int parent_fd, const char *name) {
        int fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        DIR *directory;

        if (fd < 0 && errno == EACCES) {
                /* Not root, and the run took away its owner's rights. Whatever has taken the
                 * folder's place meanwhile, no link is followed. */
                if (fchmodat(parent_fd, name, 0700, AT_SYMLINK_NOFOLLOW) < 0)
                        return NULL;
                fd = openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        }
        if (fd < 0)
                return NULL;
        directory = fdopendir(fd);
        if (!directory)
                (void) close(fd);
        return directory;
}

bool measure_is_dot(const char *name) {
        return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Looks at an entry. A run of our own user may close its folder for all but reading names, again
 * and again, so that what is in it would count for nothing. */
static int look_at(int directory_fd, const char *name, struct stat *ret_status) {
        if (fstatat(directory_fd, name, ret_status, AT_SYMLINK_NOFOLLOW) == 0)
                return 0;
        if (errno != EACCES || fchmod(directory_fd, 0700) < 0)
                return -errno;
        return fstatat(directory_fd, name, ret_status, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

void measure_directory(int parent_fd, const char *name, unsigned depth, unsigned *entries,
                       uint64_t *bytes) {
        DIR *directory;
        struct dirent *entry;
        struct stat status;

        if (depth > MEASURE_DEPTH_MAX) {
                *entries = MEASURE_ENTRIES_MAX;
                return;
        }
        directory = measure_open(parent_fd, name);
        if (!directory) {
                if (errno == EACCES)
                        *entries = MEASURE_ENTRIES_MAX;
                return;
        }
        while (*entries < MEASURE_ENTRIES_MAX && (entry = readdir(directory))) {
                int r = measure_is_dot(entry->d_name)
                                ? -ENOENT
                                : look_at(dirfd(directory), entry->d_name, &status);

                if (r == -EACCES)
                        *entries = MEASURE_ENTRIES_MAX;
                if (r < 0)
                        continue;
                (*entries)++;
                *bytes += (uint64_t) status.st_blocks * 512;
                if (S_ISDIR(status.st_mode))
                        measure_directory(dirfd(directory), entry->d_name, depth + 1, entries,
                                          bytes);
        }
        (void) closedir(directory);
}

/* --- members of a home --- */

typedef struct MemberWalk {
        int home_fd;
        const char *own_name;
        unsigned *entries;
        uint64_t *bytes;
} MemberWalk;

static bool is_number(const char *text, size_t size) {
        return size > 0 && strspn(text, "0123456789") >= size;
}

/* Whether a folder is the workspace of another member: one that has packages/, where no session can
 * make anything, and is said to be there. path: below work/. */
static bool is_of_another(const MemberWalk *walk, const char *name, const char *path) {
        char packages[NAME_MAX + 16], link[NAME_MAX + 16], folder[HOME_FOLDER_SIZE];
        ssize_t n;

        if (!is_number(name, strlen(name)) || strcmp(name, walk->own_name) == 0)
                return false;
        (void) snprintf(packages, sizeof(packages), "packages/%s", name);
        if (faccessat(walk->home_fd, packages, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
                return false;
        (void) snprintf(link, sizeof(link), "%s.folder", name);
        n = readlinkat(walk->home_fd, link, folder, sizeof(folder));
        if (n < 0)
                return strcmp(path, name) == 0;
        return (size_t) n == strlen(path) && memcmp(folder, path, (size_t) n) == 0;
}

/* "3+": it holds workspaces of copies, and what a session may have put beside them. */
static bool is_container(const char *name) {
        size_t length = strlen(name);

        return length > 1 && name[length - 1] == COPY_CONTAINER_SUFFIX[0] &&
               is_number(name, length - 1);
}

static bool is_container_of_another(const MemberWalk *walk, const char *name, const char *path) {
        char owner[NAME_MAX + 1], folder[HOME_FOLDER_SIZE];

        (void) snprintf(owner, sizeof(owner), "%.*s", (int) strlen(name) - 1, name);
        (void) snprintf(folder, sizeof(folder), "%.*s", (int) strlen(path) - 1, path);
        return is_of_another(walk, owner, folder);
}

static bool is_own_container(const MemberWalk *walk, const char *name) {
        size_t length = strlen(walk->own_name);

        return strncmp(name, walk->own_name, length) == 0 && strlen(name) == length + 1;
}

/* path: of the folder below work/, with a slash at its end, or empty. of_another: the folder is a
 * container, of another member, who answers for all that is in it but the workspaces of others. */
static void measure_members(const MemberWalk *walk, int parent_fd, const char *name,
                            const char *path, bool of_another) {
        DIR *directory = measure_open(parent_fd, name);
        struct dirent *entry;
        struct stat status;

        if (!directory)
                return;
        while (*walk->entries < MEASURE_ENTRIES_MAX && (entry = readdir(directory))) {
                char below[HOME_FOLDER_SIZE + NAME_MAX + 2];
                int n = snprintf(below, sizeof(below), "%s%s", path, entry->d_name);
                bool contains = is_container(entry->d_name) && n + 1 < HOME_FOLDER_SIZE;

                if (of_another && !contains && strcmp(entry->d_name, walk->own_name) != 0)
                        continue;
                if (measure_is_dot(entry->d_name) || is_of_another(walk, entry->d_name, below) ||
                    look_at(dirfd(directory), entry->d_name, &status) < 0)
                        continue;
                (*walk->entries)++;
                *walk->bytes += (uint64_t) status.st_blocks * 512;
                if (!S_ISDIR(status.st_mode))
                        continue;
                if (contains) {
                        bool is_anothers =
                                !is_own_container(walk, entry->d_name) &&
                                (of_another || is_container_of_another(walk, entry->d_name, below));

                        (void) strcat(below, "/");
                        measure_members(walk, dirfd(directory), entry->d_name, below, is_anothers);
                } else {
                        measure_directory(dirfd(directory), entry->d_name, 1, walk->entries,
                                          walk->bytes);
                }
        }
        (void) closedir(directory);
}

void measure_member(int home_fd, unsigned member, unsigned *entries, uint64_t *bytes) {
        char own_name[16];
        MemberWalk walk = {home_fd, own_name, entries, bytes};

        (void) snprintf(own_name, sizeof(own_name), "%u", member);
        measure_members(&walk, home_fd, "work", "", false);
}
