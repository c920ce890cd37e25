#include "pool/package_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "kit/bytes.h"
#include "kit/error.h"
#include "pool/requirement.h"
#include "pool/tree.h"
#include "pool/tree_walk.h"

#define METADATA_MAX (1 << 20)
#define RECORD_MAX   (32 << 20)
#define PATH_SIZE    4096

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

/* --- for pip to see --- */

static int copy_metadata(int packages_fd, const char *folder, int folder_fd, const void *data) {
        const int *to_fd = data;
        _cleanup_(buffer_done) Buffer text = {0};
        _autoclose_ int new_fd = -1, fd = -1;
        int r = read_file(folder_fd, "METADATA", METADATA_MAX, &text);

        if (r < 0 || text.size == 0)
                return r;
        r = tree_make_folder(*to_fd, folder, 0755, (uid_t) -1, &new_fd);
        if (r < 0)
                return r;
        fd = tree_open(new_fd, "METADATA", O_WRONLY | O_CREAT | O_EXCL);
        if (fd < 0)
                return raise_error(fd, "copy metadata");
        if (write(fd, text.data, text.size) != (ssize_t) text.size || fchmod(fd, 0644) < 0)
                return raise_errno("copy metadata");
        return 0;
}

int package_files_copy_metadata(int packages_fd, int to_fd) {
        return for_each(packages_fd, &to_fd, copy_metadata);
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

static void remove_recorded(int packages_fd, Slice record) {
        char path[PATH_SIZE];

        while (record.size > 0) {
                const uint8_t *end = memchr(record.data, '\n', record.size);
                size_t size = end ? (size_t) (end - record.data) : record.size;

                if (take_path(slice_of(record.data, size), path))
                        remove_path(packages_fd, path);
                size += end ? 1 : 0;
                record = slice_of(record.data + size, record.size - size);
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

static int remove_if_named(int packages_fd, const char *folder, int folder_fd, const void *data) {
        const char *name = data, *dash = strchr(folder, '-');
        char normalized[REQUIREMENT_NAME_MAX + 1];
        _cleanup_(buffer_done) Buffer record = {0};
        int r;

        if (!dash ||
            !requirement_normalize(slice_of(folder, (size_t) (dash - folder)), normalized) ||
            strcmp(normalized, name) != 0)
                return 0;
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
