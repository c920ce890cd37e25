#include "pool/cgroup_find.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kit/bytes.h"

const CgroupFiles cgroup_files_of_self = {"/proc/self/cgroup", "/proc/self/mountinfo"};

static void close_file(FILE **file) {
        if (*file)
                (void) fclose(*file);
}

/* Whether a list, with commas between, has that word. */
static bool list_has(const char *list, const char *word) {
        size_t size = strlen(word);

        for (const char *at = list; *at;) {
                size_t length = strcspn(at, ",");

                if (length == size && memcmp(at, word, size) == 0)
                        return true;
                at += length + (at[length] == ',');
        }
        return false;
}

/* Lines are "number:controllers:path"; number 0 and no controllers is version 2. */
static int read_own_group(const char *file, const char *controller, char *ret_group, size_t size) {
        _cleanup_(close_file) FILE *lines = fopen(file, "re");
        _autofree_ char *line = NULL;
        size_t capacity = 0;

        if (!lines)
                return -errno;
        while (getline(&line, &capacity, lines) > 0) {
                char *controllers = strchr(line, ':');
                char *path = controllers ? strchr(controllers + 1, ':') : NULL;

                if (!path)
                        continue;
                *path++ = '\0';
                *controllers++ = '\0';
                path[strcspn(path, "\n")] = '\0';
                if (controller ? !list_has(controllers, controller) : strcmp(line, "0") != 0)
                        continue;
                if (strlen(path) >= size)
                        return -ENAMETOOLONG;
                (void) strcpy(ret_group, path);
                return 0;
        }
        return -ENOENT;
}

/* Undoes in place what the kernel does to blanks and backslashes: "\040". */
static void unescape(char *text) {
        char *to = text;

        for (const char *from = text; *from; to++) {
                unsigned a, b, c;

                if (from[0] == '\\' && (a = (unsigned) from[1] - '0') < 4 &&
                    (b = (unsigned) from[2] - '0') < 8 && (c = (unsigned) from[3] - '0') < 8) {
                        *to = (char) (a << 6 | b << 3 | c);
                        from += 4;
                } else {
                        *to = *from++;
                }
        }
        *to = '\0';
}

typedef struct Mount {
        char *root, *point, *type, *options;
} Mount;

/* "31 23 0:28 root point options [tags...] - type source super-options" (proc(5)) */
static bool parse_mount(char *line, Mount *ret_mount) {
        char *rest = NULL, *word = strtok_r(line, " \n", &rest);
        char *before[5] = {0};
        size_t n;

        for (n = 0; word && strcmp(word, "-") != 0; n++) {
                if (n < N_ELEMENTS(before))
                        before[n] = word;
                word = strtok_r(NULL, " \n", &rest);
        }
        *ret_mount = (Mount){.root = before[3], .point = before[4]};
        ret_mount->type = strtok_r(NULL, " \n", &rest);
        (void) strtok_r(NULL, " \n", &rest);
        ret_mount->options = strtok_r(NULL, " \n", &rest);
        if (!ret_mount->point || !ret_mount->options)
                return false;
        unescape(ret_mount->root);
        unescape(ret_mount->point);
        return true;
}

/* What of group lies below root: "" when they are the same, NULL when it does not. A group that is
 * outside of the reader's namespace begins with "/..". */
static const char *below(const char *group, const char *root) {
        size_t size = strlen(root);

        if (strncmp(group, "/..", 3) == 0)
                return NULL;
        if (strcmp(root, "/") == 0)
                return strcmp(group, "/") == 0 ? "" : group;
        if (strncmp(group, root, size) != 0 || (group[size] != '/' && group[size] != '\0'))
                return NULL;
        return group + size;
}

int cgroup_find(const CgroupFiles *files, const char *controller, char *ret_path, size_t size) {
        _cleanup_(close_file) FILE *lines = NULL;
        _autofree_ char *line = NULL;
        char group[4096];
        size_t capacity = 0;
        int r;

        r = read_own_group(files->own, controller, group, sizeof(group));
        if (r < 0)
                return r;
        lines = fopen(files->mounts, "re");
        if (!lines)
                return -errno;
        while (getline(&line, &capacity, lines) > 0) {
                const char *rest;
                Mount mount;
                int n;

                if (!parse_mount(line, &mount) ||
                    strcmp(mount.type, controller ? "cgroup" : "cgroup2") != 0 ||
                    (controller && !list_has(mount.options, controller)))
                        continue;
                rest = below(group, mount.root);
                if (!rest)
                        continue;
                n = snprintf(ret_path, size, "%s%s", mount.point, rest);
                if (n < 0 || (size_t) n >= size)
                        return -ENAMETOOLONG;
                if (access(ret_path, F_OK) == 0)
                        return 0;
        }
        return -ENOENT;
}
