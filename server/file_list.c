#include "server/file_list.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#include "kit/error.h"
#include "pool/tree.h"
#include "pool/tree_walk.h"
#include "server/time_text.h"

#define PATH_BYTES_MAX (64U << 10)

typedef struct Listing {
        JsonWriter writer;
        unsigned entries;
        bool truncated;
        size_t path_size;
        char path[PATH_BYTES_MAX];
} Listing;

static void write_time(JsonWriter *writer, int64_t seconds) {
        char text[TIME_TEXT_SIZE];

        time_text_seconds(seconds, text);
        json_literal(writer, text);
}

static const char *type_name(mode_t mode) {
        if (S_ISREG(mode))
                return "file";
        if (S_ISDIR(mode))
                return "folder";
        return S_ISLNK(mode) ? "link" : "other";
}

void file_list_write_entry(JsonWriter *writer, Slice path, const struct stat *status) {
        json_begin_object(writer);
        json_key(writer, "path");
        json_text(writer, path);
        json_key(writer, "type");
        json_literal(writer, type_name(status->st_mode));
        json_key(writer, "size");
        json_integer(writer, S_ISREG(status->st_mode) ? status->st_size : 0);
        json_key(writer, "modified");
        write_time(writer, status->st_mtim.tv_sec);
        json_end_object(writer);
}

/* The names of a folder, as far as they may still be listed. */
typedef struct Names {
        char **of;
        size_t n;
} Names;

static void names_done(Names *names) {
        for (size_t i = 0; i < names->n; i++)
                free(names->of[i]);
        free(names->of);
}

static int compare(const void *a, const void *b) {
        return strcmp(*(char *const *) a, *(char *const *) b);
}

static int read_names(Listing *listing, int fd, Names *names) {
        DIR *directory = tree_read(fd);
        const char *name;
        int r = 0;

        if (!directory)
                return -errno;
        while (r == 0 && (name = tree_next_name(directory))) {
                if (listing->entries + names->n == FILE_LIST_ENTRIES_MAX) {
                        listing->truncated = true;
                        break;
                }
                if ((names->n & (names->n - 1)) == 0) {
                        char **of = reallocarray(names->of, names->n > 0 ? 2 * names->n : 1,
                                                 sizeof(*of));

                        if (of)
                                names->of = of;
                        else
                                r = -ENOMEM;
                }
                if (r == 0 && !(names->of[names->n] = strdup(name)))
                        r = -ENOMEM;
                if (r == 0)
                        names->n++;
        }
        (void) closedir(directory);
        if (names->n > 0)
                qsort(names->of, names->n, sizeof(*names->of), compare);
        return r;
}

static int list_folder(Listing *listing, int fd, unsigned depth);

static int list_entry(Listing *listing, int fd, const char *name, unsigned depth) {
        size_t before = listing->path_size, size = strlen(name);
        _autoclose_ int below_fd = -1;
        struct stat status;
        int r = 0;

        if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
                return 0; /* it has just gone */
        if (listing->writer.out->size > FILE_LIST_BYTES_MAX ||
            listing->entries == FILE_LIST_ENTRIES_MAX || before + size + 2 > PATH_BYTES_MAX) {
                listing->truncated = true;
                return 0;
        }
        listing->entries++;
        memcpy(listing->path + before, name, size);
        listing->path_size = before + size;
        file_list_write_entry(&listing->writer, slice_of(listing->path, listing->path_size),
                              &status);
        if (S_ISDIR(status.st_mode) && depth == FILE_LIST_DEPTH_MAX) {
                listing->truncated = true;
        } else if (S_ISDIR(status.st_mode)) {
                listing->path[listing->path_size++] = '/';
                below_fd = tree_open_folder(fd, name);
                if (below_fd >= 0)
                        r = list_folder(listing, below_fd, depth + 1);
        }
        listing->path_size = before;
        return r;
}

static int list_folder(Listing *listing, int fd, unsigned depth) {
        Names names = {0};
        int r = read_names(listing, fd, &names);

        for (size_t i = 0; r == 0 && i < names.n; i++)
                r = list_entry(listing, fd, names.of[i], depth);
        names_done(&names);
        return r;
}

int file_list(int folder_fd, const char *prefix, Buffer *out) {
        _autofree_ Listing *listing = calloc(1, sizeof(*listing));
        int r;

        if (!listing)
                return raise_error(-ENOMEM, "list files");
        listing->writer = JSON_WRITER(out);
        listing->path_size = strlen(prefix);
        if (listing->path_size >= PATH_BYTES_MAX)
                return raise_error(-ENAMETOOLONG, "list files");
        memcpy(listing->path, prefix, listing->path_size);
        json_begin_object(&listing->writer);
        json_key(&listing->writer, "files");
        json_begin_array(&listing->writer);
        r = list_folder(listing, folder_fd, 1);
        json_end_array(&listing->writer);
        json_key(&listing->writer, "truncated");
        json_boolean(&listing->writer, listing->truncated);
        json_end_object(&listing->writer);
        if (r < 0)
                return raise_error(r, "list files");
        return listing->writer.error;
}
