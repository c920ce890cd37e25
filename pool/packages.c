#include "pool/packages.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "jsontext/scan.h"
#include "kit/error.h"
#include "pool/package_files.h"
#include "pool/tree_walk.h"

/* The head of METADATA says who it is. */
#define METADATA_HEAD_MAX 4096
/* Names in a packages folder that are looked at. */
#define ENTRIES_MAX 65536

void package_list_done(PackageList *list) {
        free(list->of);
        *list = (PackageList){0};
}

static int add(PackageList *list, Slice name, Slice version) {
        char normalized[REQUIREMENT_NAME_MAX + 1];
        Package *package;

        if (list->n == PACKAGES_MAX || !requirement_normalize(name, normalized) ||
            !requirement_is_version(version))
                return 0;
        if (list->n == list->capacity) {
                size_t capacity = list->capacity ? 2 * list->capacity : 32;
                Package *of = realloc(list->of, capacity * sizeof(*of));

                if (!of)
                        return raise_error(-ENOMEM, "list packages");
                list->of = of;
                list->capacity = capacity;
        }
        package = &list->of[list->n++];
        memcpy(package->name, name.data, name.size);
        package->name[name.size] = '\0';
        memcpy(package->version, version.data, version.size);
        package->version[version.size] = '\0';
        return 0;
}

static int compare(const char *a, const char *b) {
        char x[REQUIREMENT_NAME_MAX + 1], y[REQUIREMENT_NAME_MAX + 1];

        if (!requirement_normalize(slice_of_text(a), x) ||
            !requirement_normalize(slice_of_text(b), y))
                return strcmp(a, b);
        return strcmp(x, y);
}

static int by_name(const void *a, const void *b) {
        return compare(((const Package *) a)->name, ((const Package *) b)->name);
}

static void sort(PackageList *list) {
        if (list->n > 1)
                qsort(list->of, list->n, sizeof(list->of[0]), by_name);
}

/* "Name: value", in the first lines. */
static Slice field_of(Slice text, const char *field) {
        size_t size = strlen(field);

        while (text.size > 0) {
                const uint8_t *end = memchr(text.data, '\n', text.size);
                Slice line = slice_of(text.data, end ? (size_t) (end - text.data) : text.size);

                if (line.size > size && line.data[size] == ':' &&
                    memcmp(line.data, field, size) == 0) {
                        line = slice_of(line.data + size + 1, line.size - size - 1);
                        while (line.size > 0 && line.data[0] == ' ')
                                line = slice_of(line.data + 1, line.size - 1);
                        while (line.size > 0 && (line.data[line.size - 1] == ' ' ||
                                                 line.data[line.size - 1] == '\r'))
                                line.size--;
                        return line;
                }
                if (!end)
                        break;
                text = slice_of(end + 1, text.size - line.size - 1);
        }
        return SLICE_NULL;
}

/* "name-version.dist-info": what counts when METADATA cannot be read. */
static int add_by_folder(PackageList *list, const char *folder, size_t size) {
        const char *dash = memchr(folder, '-', size);

        if (!dash)
                return 0;
        return add(list, slice_of(folder, (size_t) (dash - folder)),
                   slice_of(dash + 1, size - (size_t) (dash + 1 - folder)));
}

static int add_folder(PackageList *list, int packages_fd, const char *folder, size_t size) {
        _autoclose_ int folder_fd = tree_open(packages_fd, folder, O_RDONLY | O_DIRECTORY);
        _autoclose_ int fd =
                folder_fd < 0 ? -1 : tree_open(folder_fd, "METADATA", O_RDONLY | O_NONBLOCK);
        char head[METADATA_HEAD_MAX];
        ssize_t n = fd < 0 ? -1 : read(fd, head, sizeof(head));
        Slice name, version;

        if (folder_fd < 0 || !package_files_is_finished(folder_fd))
                return 0;
        name = field_of(slice_of(head, n > 0 ? (size_t) n : 0), "Name");
        version = field_of(slice_of(head, n > 0 ? (size_t) n : 0), "Version");
        return name.size > 0 && version.size > 0 ? add(list, name, version)
                                                 : add_by_folder(list, folder, size);
}

int package_list_read(int packages_fd, PackageList *ret_list) {
        static const char ending[] = ".dist-info";
        DIR *directory = tree_read(packages_fd);
        PackageList list = {0};
        unsigned n_entries = 0;
        const char *name;
        int r = 0;

        if (!directory)
                return raise_errno("read a folder of packages");
        while (r == 0 && n_entries++ < ENTRIES_MAX && (name = tree_next_name(directory))) {
                size_t size = strlen(name);

                if (size > strlen(ending) && strcmp(name + size - strlen(ending), ending) == 0)
                        r = add_folder(&list, packages_fd, name, size - strlen(ending));
        }
        (void) closedir(directory);
        if (r < 0) {
                package_list_done(&list);
                return r;
        }
        sort(&list);
        *ret_list = list;
        return 0;
}

/* A JSON string without escapes, which names and versions have no need of. */
static Slice plain_string(const JsonItem *item) {
        Slice text = item->value;

        if (item->kind != JSON_STRING || text.size < 2 || memchr(text.data, '\\', text.size))
                return SLICE_NULL;
        return slice_of(text.data + 1, text.size - 2);
}

int package_list_of_template(const char *about, PackageList *ret_list) {
        Slice text = slice_of_text(about);
        PackageList list = {0};
        JsonCursor members, distributions;
        JsonItem member, item;

        *ret_list = list;
        if (!json_is(text, JSON_OBJECT, 0) || !json_enter(text, &members))
                return 0;
        while (json_next(&members, &member)) {
                if (!slice_equals(member.key, "distributions") || member.kind != JSON_OBJECT ||
                    !json_enter(member.value, &distributions))
                        continue;
                while (json_next(&distributions, &item)) {
                        int r = add(&list, item.key, plain_string(&item));

                        if (r < 0) {
                                package_list_done(&list);
                                return r;
                        }
                }
        }
        sort(&list);
        *ret_list = list;
        return 0;
}

const Package *package_list_find(const PackageList *list, const char *name) {
        size_t low = 0, high = list->n;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = compare(list->of[middle].name, name);

                if (order == 0)
                        return &list->of[middle];
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return NULL;
}
