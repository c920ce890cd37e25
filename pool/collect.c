#include "pool/collect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kit/error.h"

#define PATH_BYTES_MAX 4096

typedef struct Walk {
        const Slice *patterns;
        size_t n_patterns;
        size_t files_max, bytes_max;
        size_t bytes;
        unsigned entries;
        uint64_t steps;
        char path[PATH_BYTES_MAX];
        Collection *collection;
        int error;
} Walk;

static bool crosses_folders(Slice pattern, size_t at) {
        return at + 1 < pattern.size && pattern.data[at + 1] == '*';
}

/* Whether "**" and the "/" behind it are a component of their own, which may stand for no folder.
 */
static bool may_be_no_folder(Slice pattern, size_t at) {
        return crosses_folders(pattern, at) && at + 2 < pattern.size &&
               pattern.data[at + 2] == '/' && (at == 0 || pattern.data[at - 1] == '/');
}

/* Marks a place of the pattern as reached, and those that it reaches without a byte of the path. */
static void reach(Slice pattern, bool *reached, size_t at) {
        while (!reached[at]) {
                reached[at] = true;
                if (at == pattern.size || pattern.data[at] != '*')
                        return;
                /* A star may stand for nothing. */
                if (may_be_no_folder(pattern, at))
                        reach(pattern, reached, at + 3);
                at += crosses_folders(pattern, at) ? 2 : 1;
        }
}

/* A star has taken a byte, and may take more or be done. */
static void stay(Slice pattern, bool *reached, size_t at) {
        reached[at] = true;
        reach(pattern, reached, at + (crosses_folders(pattern, at) ? 2 : 1));
}

/* Walks all ways through the pattern at once, so that no pattern takes more than its length times
 * the path's. */
bool collect_matches(Slice pattern, Slice path) {
        bool now[COLLECT_PATTERN_MAX + 1] = {false}, next[COLLECT_PATTERN_MAX + 1];

        if (pattern.size > COLLECT_PATTERN_MAX)
                return false;
        reach(pattern, now, 0);
        for (size_t i = 0; i < path.size; i++) {
                uint8_t byte = path.data[i];

                memset(next, 0, sizeof(next));
                for (size_t at = 0; at < pattern.size; at++) {
                        if (!now[at])
                                continue;
                        if (pattern.data[at] == '*' &&
                            (crosses_folders(pattern, at) || byte != '/'))
                                stay(pattern, next, at);
                        else if (pattern.data[at] == byte ||
                                 (pattern.data[at] == '?' && byte != '/'))
                                reach(pattern, next, at + 1);
                }
                memcpy(now, next, sizeof(now));
        }
        return now[pattern.size];
}

/* Names and patterns may both be chosen so that matching takes minutes. */
static bool is_wanted(Walk *walk, Slice path) {
        for (size_t i = 0; i < walk->n_patterns; i++) {
                walk->steps += (uint64_t) walk->patterns[i].size * path.size;
                if (walk->steps > COLLECT_STEPS_MAX) {
                        walk->collection->truncated = true;
                        return false;
                }
                if (collect_matches(walk->patterns[i], path))
                        return true;
        }
        return false;
}

static int open_beneath(int folder_fd, const char *name, int flags) {
        struct open_how how = {
                .flags = (uint64_t) (flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC),
                .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS |
                           RESOLVE_NO_XDEV,
        };

        return (int) syscall(SYS_openat2, folder_fd, name, &how, sizeof(how));
}

/* Reads at most size bytes; st_size is not believed. Returns the bytes read, or -1. */
static ssize_t read_all(int fd, uint8_t *to, size_t size) {
        size_t used = 0;

        while (used < size) {
                ssize_t n = read(fd, to + used, size - used);

                if (n < 0)
                        return -1;
                if (n == 0)
                        break;
                used += (size_t) n;
        }
        return (ssize_t) used;
}

/* Reads the content, or says why not. */
static const char *take_content(Walk *walk, int folder_fd, const char *name, RunCollected *file) {
        _autoclose_ int fd = -1;
        struct stat status;
        uint8_t *content;
        ssize_t n;

        fd = open_beneath(folder_fd, name, O_RDONLY);
        if (fd < 0)
                return errno == ELOOP ? "a symbolic link" : "cannot be opened";
        if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
                return "not a regular file";
        if (status.st_nlink != 1)
                return "has more than one link";
        file->size = (uint64_t) status.st_size;
        if (file->size > walk->bytes_max - walk->bytes)
                return "too large";
        content = malloc(file->size + 1);
        if (!content) {
                walk->error = -ENOMEM;
                return "out of memory";
        }
        n = read_all(fd, content, file->size);
        if (n < 0) {
                free(content);
                return "cannot be read";
        }
        file->content = slice_of(content, (size_t) n);
        walk->bytes += (size_t) n;
        return NULL;
}

static void take_file(Walk *walk, int folder_fd, const char *name) {
        Collection *collection = walk->collection;
        size_t path_size = strlen(walk->path);
        RunCollected *file;
        uint8_t *path;

        if (!is_wanted(walk, slice_of(walk->path, path_size)))
                return;
        if (collection->n_files == walk->files_max) {
                collection->truncated = true;
                return;
        }
        path = malloc(path_size + 1);
        if (!path) {
                walk->error = -ENOMEM;
                return;
        }
        memcpy(path, walk->path, path_size);
        file = &collection->files[collection->n_files++];
        *file = (RunCollected){.path = slice_of(path, path_size)};
        file->skipped = take_content(walk, folder_fd, name, file);
}

static int by_name(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Reads the names of a folder, no more than may still be looked at, and sorts them. */
static size_t read_names(Walk *walk, int folder_fd, char **names) {
        int fd = openat(folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *directory = fd < 0 ? NULL : fdopendir(fd);
        struct dirent *entry;
        size_t n = 0;

        if (!directory) {
                if (fd >= 0)
                        (void) close(fd);
                return 0;
        }
        while ((entry = readdir(directory))) {
                if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
                        continue;
                if (walk->entries == COLLECT_ENTRIES_MAX) {
                        walk->collection->truncated = true;
                        break;
                }
                names[n] = strdup(entry->d_name);
                if (!names[n]) {
                        walk->error = -ENOMEM;
                        break;
                }
                walk->entries++;
                n++;
        }
        (void) closedir(directory);
        qsort(names, n, sizeof(*names), by_name);
        return n;
}

static void walk_folder(Walk *walk, int folder_fd, size_t path_size, unsigned depth);

static void walk_entry(Walk *walk, int folder_fd, const char *name, size_t path_size,
                       unsigned depth) {
        size_t name_size = strlen(name);
        struct stat status;

        if (path_size + name_size + 2 > sizeof(walk->path) ||
            fstatat(folder_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
                return;
        memcpy(walk->path + path_size, name, name_size + 1);
        if (!S_ISDIR(status.st_mode)) {
                take_file(walk, folder_fd, name);
                return;
        }
        if (depth == COLLECT_DEPTH_MAX) {
                walk->collection->truncated = true;
                return;
        }
        {
                _autoclose_ int fd = open_beneath(folder_fd, name, O_RDONLY | O_DIRECTORY);

                memcpy(walk->path + path_size + name_size, "/", 2);
                if (fd >= 0)
                        walk_folder(walk, fd, path_size + name_size + 1, depth + 1);
        }
}

static void walk_folder(Walk *walk, int folder_fd, size_t path_size, unsigned depth) {
        char **names = calloc(COLLECT_ENTRIES_MAX - walk->entries + 1, sizeof(*names));
        size_t n;

        if (!names) {
                walk->error = -ENOMEM;
                return;
        }
        n = read_names(walk, folder_fd, names);
        for (size_t i = 0; i < n; i++) {
                if (walk->error == 0)
                        walk_entry(walk, folder_fd, names[i], path_size, depth);
                free(names[i]);
        }
        free(names);
}

int collect_files(int folder_fd, const Slice *patterns, size_t n_patterns, size_t files_max,
                  size_t bytes_max, Collection *ret_collection) {
        Collection collection = {0};
        Walk *walk;
        int r;

        walk = calloc(1, sizeof(*walk));
        collection.files = calloc(files_max + 1, sizeof(*collection.files));
        if (!walk || !collection.files) {
                free(walk);
                free(collection.files);
                return raise_error(-ENOMEM, "collect the files of a run");
        }
        *walk = (Walk){
                .patterns = patterns,
                .n_patterns = n_patterns,
                .files_max = files_max,
                .bytes_max = bytes_max,
                .collection = &collection,
        };
        walk_folder(walk, folder_fd, 0, 0);
        r = walk->error;
        free(walk);
        if (r < 0) {
                collection_done(&collection);
                return raise_error(r, "collect the files of a run");
        }
        *ret_collection = collection;
        return 0;
}

void collection_done(Collection *collection) {
        for (size_t i = 0; i < collection->n_files; i++) {
                free((void *) collection->files[i].path.data);
                free((void *) collection->files[i].content.data);
        }
        free(collection->files);
        *collection = (Collection){0};
}
