#include "pool/package_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "jsontext/utf8.h"
#include "kit/bytes.h"
#include "kit/error.h"
#include "pool/requirement.h"
#include "pool/tree.h"
#include "pool/tree_walk.h"

#define METADATA_MAX (1 << 20)
#define RECORD_MAX   (32 << 20)
#define PATH_SIZE    4096
/* That are looked at; beyond them nothing is said to make room. */
#define FILES_MAX 200000

static const char ending[] = ".dist-info";

static bool is_dist_info(const char *name) {
        size_t size = strlen(name);

        return size > strlen(ending) && strcmp(name + size - strlen(ending), ending) == 0;
}

/* Calls visit for each "….dist-info" folder. */
static int for_each(int packages_fd, const void *data,
                    int (*visit)(int packages_fd, const char *folder, int folder_fd,
                                 const void *data)) {
        DIR *directory = tree_read(packages_fd);
        const char *name;
        int r = 0;

        if (!directory)
                return raise_errno("read a folder of packages");
        while (r == 0 && (name = tree_next_name(directory))) {
                _autoclose_ int fd = is_dist_info(name)
                                             ? tree_open(packages_fd, name, O_RDONLY | O_DIRECTORY)
                                             : -1;

                if (fd >= 0)
                        r = visit(packages_fd, name, fd, data);
        }
        (void) closedir(directory);
        return r;
}

/* A plain file of that name, whole; *ret_text is empty when it is none, or longer than maximum. */
static int read_file(int folder_fd, const char *name, size_t maximum, Buffer *ret_text) {
        _autoclose_ int fd = tree_open(folder_fd, name, O_RDONLY | O_NONBLOCK);
        struct stat status;
        ssize_t n;
        int r;

        *ret_text = BUFFER_INIT(maximum + 1);
        if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) ||
            (uint64_t) status.st_size > maximum)
                return 0;
        r = buffer_reserve(ret_text, (size_t) status.st_size + 1);
        if (r < 0)
                return raise_error(r, "read a package's %s", name);
        while ((n = read(fd, ret_text->data + ret_text->size,
                         (size_t) status.st_size - ret_text->size)) > 0)
                ret_text->size += (size_t) n;
        return 0;
}

/* A new one; one of that name stays. */
static int write_file(int folder_fd, const char *name, Slice text) {
        _autoclose_ int fd = tree_open(folder_fd, name, O_WRONLY | O_CREAT | O_EXCL);

        if (fd == -EEXIST)
                return 0;
        if (fd < 0)
                return raise_error(fd, "copy a package's %s", name);
        if (write(fd, text.data, text.size) != (ssize_t) text.size || fchmod(fd, 0644) < 0)
                return raise_errno("copy a package's %s", name);
        return 0;
}

static int open_folder(int parent_fd, const char *name, int *ret_fd) {
        *ret_fd = tree_open(parent_fd, name, O_RDONLY | O_DIRECTORY);
        if (*ret_fd == -ENOENT)
                return tree_make_folder(parent_fd, name, 0755, (uid_t) -1, ret_fd);
        return *ret_fd < 0 ? *ret_fd : 0;
}

/* --- for pip to see --- */

static int copy_metadata(int packages_fd, const char *folder, int folder_fd, const void *data) {
        const int *to_fd = data;
        _cleanup_(buffer_done) Buffer text = {0};
        _autoclose_ int new_fd = -1;
        int r = read_file(folder_fd, "METADATA", METADATA_MAX, &text);

        if (r < 0 || text.size == 0 || !package_files_is_finished(folder_fd))
                return r;
        /* pip reads that of all packages, and gives up at what it cannot decode. */
        if (utf8_valid_prefix(buffer_slice(&text)) < text.size)
                return 0;
        r = open_folder(*to_fd, folder, &new_fd);
        return r < 0 ? r : write_file(new_fd, "METADATA", buffer_slice(&text));
}

int package_files_copy_metadata(int packages_fd, int to_fd) {
        return for_each(packages_fd, &to_fd, copy_metadata);
}

/* --- what is not whole --- */

bool package_files_is_finished(int dist_info_fd) {
        struct stat status;

        return fstatat(dist_info_fd, PACKAGE_UNFINISHED, &status, AT_SYMLINK_NOFOLLOW) < 0;
}

/* Where a session may write to its packages, it may be in the way; then it has them as it likes. */
static int mark(int dist_info_fd) {
        if (mknodat(dist_info_fd, PACKAGE_UNFINISHED, S_IFREG | 0644, 0) == 0 || errno == EEXIST ||
            tree_is_disturbed(-errno))
                return 0;
        return raise_errno("mark a package as unfinished");
}

static int begin(int files_fd, const char *folder, int folder_fd, const void *data) {
        const int *packages_fd = data;
        _cleanup_(buffer_done) Buffer record = {0};
        _autoclose_ int fd = -1;
        int r = open_folder(*packages_fd, folder, &fd);

        /* A file of another package has that name, and stays. */
        if (tree_is_disturbed(r))
                return 0;
        if (r == 0)
                r = mark(fd);
        if (r == 0)
                r = read_file(folder_fd, "RECORD", RECORD_MAX, &record);
        return r < 0 || record.size == 0 ? r : write_file(fd, "RECORD", buffer_slice(&record));
}

int package_files_begin(int packages_fd, int files_fd) {
        return for_each(files_fd, &packages_fd, begin);
}

static int end(int files_fd, const char *folder, int folder_fd, const void *data) {
        const int *packages_fd = data;
        _autoclose_ int fd = tree_open(*packages_fd, folder, O_RDONLY | O_DIRECTORY);

        if (fd >= 0)
                (void) unlinkat(fd, PACKAGE_UNFINISHED, 0);
        return 0;
}

int package_files_end(int packages_fd, int files_fd) {
        return for_each(files_fd, &packages_fd, end);
}

/* --- removing --- */

/* And then the folders above it, as far as they are empty. */
static void remove_path(int packages_fd, char *path) {
        int flags = 0;

        for (;;) {
                char *slash = strrchr(path, '/');
                _autoclose_ int parent_fd = -1;

                if (slash) {
                        *slash = '\0';
                        parent_fd = tree_open(packages_fd, path, O_PATH | O_DIRECTORY);
                        if (parent_fd < 0)
                                return;
                }
                if (unlinkat(slash ? parent_fd : packages_fd, slash ? slash + 1 : path, flags) <
                            0 &&
                    errno != ENOENT)
                        return;
                if (!slash)
                        return;
                flags = AT_REMOVEDIR;
        }
}

/* The first field of a line of CSV; quoted when there is a comma in it, and quotes are doubled. */
static bool take_path(Slice line, char path[PATH_SIZE]) {
        bool is_quoted = line.size > 0 && line.data[0] == '"';
        size_t used = 0;

        for (size_t i = is_quoted; i < line.size && used < PATH_SIZE - 1; i++) {
                if (!is_quoted && line.data[i] == ',')
                        break;
                if (is_quoted && line.data[i] == '"' && (++i == line.size || line.data[i] != '"'))
                        break;
                path[used++] = (char) line.data[i];
        }
        path[used] = '\0';
        return used > 0 && used < PATH_SIZE - 1 && strlen(path) == used && path[0] != '/';
}

/* The path in the first line, which is taken off; or an empty one. */
static void next_path(Slice *record, char path[PATH_SIZE]) {
        const uint8_t *end = memchr(record->data, '\n', record->size);
        size_t size = end ? (size_t) (end - record->data) : record->size;

        if (!take_path(slice_of(record->data, size), path))
                path[0] = '\0';
        size += end ? 1 : 0;
        *record = slice_of(record->data + size, record->size - size);
}

static void remove_recorded(int packages_fd, Slice record) {
        char path[PATH_SIZE];

        while (record.size > 0) {
                next_path(&record, path);
                if (path[0])
                        remove_path(packages_fd, path);
        }
}

/* What its record does not name. */
static void remove_folder(int packages_fd, const char *folder, int folder_fd) {
        DIR *directory = tree_read(folder_fd);
        const char *name;

        while (directory && (name = tree_next_name(directory)))
                (void) unlinkat(folder_fd, name, 0);
        if (directory)
                (void) closedir(directory);
        (void) unlinkat(packages_fd, folder, AT_REMOVEDIR);
}

/* name: a normalised one. */
static bool is_of(const char *folder, const char *name) {
        const char *dash = strchr(folder, '-');
        char normalized[REQUIREMENT_NAME_MAX + 1];

        return dash &&
               requirement_normalize(slice_of(folder, (size_t) (dash - folder)), normalized) &&
               strcmp(normalized, name) == 0;
}

static int remove_if_named(int packages_fd, const char *folder, int folder_fd, const void *data) {
        _cleanup_(buffer_done) Buffer record = {0};
        int r;

        if (!is_of(folder, data))
                return 0;
        r = mark(folder_fd);
        if (r == 0)
                r = read_file(folder_fd, "RECORD", RECORD_MAX, &record);
        if (r < 0)
                return r;
        remove_recorded(packages_fd, buffer_slice(&record));
        remove_folder(packages_fd, folder, folder_fd);
        return 0;
}

int package_files_remove(int packages_fd, const char *name) {
        char normalized[REQUIREMENT_NAME_MAX + 1];

        if (!requirement_normalize(slice_of_text(name), normalized))
                return 0;
        return for_each(packages_fd, normalized, remove_if_named);
}

/* --- how much that is --- */

typedef struct File {
        ino_t inode;
        uint64_t bytes;
} File;

typedef struct Found {
        const char *name; /* normalised */
        File *files;
        size_t n_files;
} Found;

static int find_recorded(int packages_fd, const char *folder, int folder_fd, const void *data) {
        Found *found = *(Found *const *) data;
        _cleanup_(buffer_done) Buffer text = {0};
        char path[PATH_SIZE];
        Slice record;
        int r;

        if (!is_of(folder, found->name))
                return 0;
        r = read_file(folder_fd, "RECORD", RECORD_MAX, &text);
        record = buffer_slice(&text);
        while (r == 0 && record.size > 0 && found->n_files < FILES_MAX) {
                _autoclose_ int fd = -1;
                struct stat status;

                next_path(&record, path);
                fd = path[0] ? tree_open(packages_fd, path, O_PATH) : -1;
                if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
                        found->files[found->n_files++] =
                                (File){status.st_ino, (uint64_t) status.st_blocks * 512};
        }
        return r;
}

static int by_inode(const void *a, const void *b) {
        const File *x = a, *y = b;

        return (x->inode > y->inode) - (x->inode < y->inode);
}

int package_files_measure(int packages_fd, const char *const *names, size_t n_names,
                          uint64_t *ret_bytes) {
        _autofree_ File *files = malloc(FILES_MAX * sizeof(*files));
        char normalized[REQUIREMENT_NAME_MAX + 1];
        Found found = {.name = normalized, .files = files}, *at = &found;
        int r = 0;

        if (!files)
                return raise_error(-ENOMEM, "measure packages");
        for (size_t i = 0; i < n_names && r == 0; i++) {
                if (requirement_normalize(slice_of_text(names[i]), normalized))
                        r = for_each(packages_fd, &at, find_recorded);
        }
        if (found.n_files > 0)
                qsort(files, found.n_files, sizeof(files[0]), by_inode);
        *ret_bytes = 0;
        for (size_t i = 0; i < found.n_files; i++) {
                if (i == 0 || files[i].inode != files[i - 1].inode)
                        *ret_bytes += files[i].bytes;
        }
        return r;
}
